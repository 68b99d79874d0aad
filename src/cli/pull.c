#include <stdio.h>

#include "cli/image_verb.h"
#include "cli/transfer.h"
#include "image/registry.h"

static const struct command_flag flags[] = {
    {.name = "all-tags", .letter = 'a', .help = "pull every tag of the repository"},
    {.name = "platform",
     .argument = "OS/ARCHITECTURE",
     .help = "of an image for several platforms, take that for this one, such as linux/arm64"},
    {.name = "quiet", .letter = 'q', .help = "print only the image's name"},
    {0},
};

static int pull(struct cli_context *context, struct image_store *store, struct error *err)
{
    const char *name = context->line->arguments[0];
    const char *platform_text = command_value(context->line, "platform");
    bool quiet = command_given(context->line, "quiet");
    bool all_tags = command_given(context->line, "all-tags");
    static const struct transfer_words words = {"Pull complete", "Already exists", NULL};
    struct transfer transfer;
    struct platform platform;
    struct reference reference, pulled;
    char text[REFERENCE_TEXT_SIZE];
    if ((platform_text && platform_parse(platform_text, &platform, err) < 0) ||
        reference_parse(name, &reference, err) < 0)
        return -1;
    transfer_begin(&transfer, &words, quiet, stdout);
    if (!all_tags && !*reference.tag && !*reference.digest)
        transfer_say(&transfer, "Using default tag: latest");
    const struct registry_pull_options options = {
        .platform = platform_text ? &platform : NULL,
        .all_tags = all_tags,
        .progress = &transfer.callback,
        .warnings = context->warnings,
        .say = transfer_say,
        .context = &transfer,
        .pulled = &pulled,
    };
    int status = registry_pull(store, name, &options, NULL, err);
    transfer_end(&transfer);
    if (status == 0)
        printf("%s\n", reference_format(&pulled, text));
    return status;
}

static int run_pull(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, pull, err);
}

const struct cli_verb cli_pull = {
    .command = {.name = "pull",
                .aliases = "image pull",
                .arguments = "NAME[:TAG|@DIGEST]",
                .summary = "fetch an image from a registry",
                .description = "A name without a registry is looked for at those that "
                               "registries.json has under \"search\", docker.io by default. What "
                               "is there already isn't fetched again.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_pull,
};
