#include <stdio.h>
#include <string.h>

#include "cli/image_verb.h"
#include "cli/transfer.h"
#include "image/registry.h"

static const struct command_flag flags[] = {
    {.name = "all-tags", .letter = 'a', .help = "push every name that is here of the repository"},
    {.name = "compression-format",
     .argument = "FORMAT",
     .choices = "gzip zstd",
     .help = "compress layers like that which aren't; the image is pushed in OCI's form then"},
    {.name = "platform",
     .argument = "OS/ARCHITECTURE",
     .help = "of an image for several platforms, push only that for this one"},
    {.name = "quiet", .letter = 'q', .help = "print only the image's name"},
    {0},
};

static enum image_compression choose_compression(const char *text)
{
    return !text                       ? IMAGE_COMPRESSION_NONE
           : strcmp(text, "gzip") == 0 ? IMAGE_COMPRESSION_GZIP
                                       : IMAGE_COMPRESSION_ZSTD;
}

static int push(struct cli_context *context, struct image_store *store, struct error *err)
{
    static const struct transfer_words words = {"Pushed", "Layer already exists",
                                                "Mounted from another repository"};
    const char *name = context->line->arguments[0];
    bool quiet = command_given(context->line, "quiet");
    bool all_tags = command_given(context->line, "all-tags");
    const char *platform_text = command_value(context->line, "platform");
    struct platform platform;
    struct reference reference;
    struct transfer transfer;
    char text[REFERENCE_TEXT_SIZE];
    if ((platform_text && platform_parse(platform_text, &platform, err) < 0) ||
        reference_parse(name, &reference, err) < 0)
        return -1;
    transfer_begin(&transfer, &words, quiet, stdout);
    if (!all_tags && !*reference.tag && !*reference.digest)
        transfer_say(&transfer, "Using default tag: latest");
    const struct registry_push_options options = {
        .all_tags = all_tags,
        .platform = platform_text ? &platform : NULL,
        .compression = choose_compression(command_value(context->line, "compression-format")),
        .progress = &transfer.callback,
        .warnings = context->warnings,
        .say = transfer_say,
        .context = &transfer,
    };
    int status = registry_push(store, name, &options, err);
    transfer_end(&transfer);
    if (status == 0 && quiet) {
        if (!all_tags)
            reference_default_tag(&reference);
        printf("%s\n", reference_format(&reference, text));
    }
    return status;
}

static int run_push(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, push, err);
}

const struct cli_verb cli_push = {
    .command = {.name = "push",
                .aliases = "image push",
                .arguments = "NAME[:TAG]",
                .summary = "send an image to a registry",
                .description = "The registry is the one that NAME names ('hull tag' gives an image "
                               "another name). What it has already isn't sent again. An image "
                               "for several platforms that was loaded from an OCI archive is "
                               "pushed with all of them; of one that was pulled only the "
                               "platform that was pulled is here.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_push,
};
