#include <stdio.h>

#include "cli/image_verb.h"

static const struct command_flag flags[] = {
    {.name = "force",
     .letter = 'f',
     .help = "also what a stopped container uses, and images with several names"},
    {.name = "no-prune", .help = "accepted for docker's sake: parents are never images here"},
    {0},
};

static void print_removal(const struct image_removal *removal)
{
    for (size_t i = 0; i < removal->untagged_count; i++)
        printf("Untagged: %s\n", removal->untagged[i]);
    for (size_t i = 0; i < removal->deleted_count; i++)
        printf("Deleted: %s\n", removal->deleted[i]);
}

/* All that can be removed are; the first error is what the verb ends with. */
static int remove_images(struct cli_context *context, struct image_store *store, struct error *err)
{
    const struct command_line *line = context->line;
    bool force = command_given(line, "force");
    int status = 0;
    for (int i = 0; i < line->argument_count; i++) {
        scope_image_removal struct image_removal removal = {0};
        struct error reason = {0};
        if (image_remove(store, line->arguments[i], force, &removal, &reason) < 0) {
            if (status < 0)
                warnings_say(context->warnings, err);
            *err = reason;
            status = -1;
        }
        print_removal(&removal);
    }
    return status;
}

static int run_rmi(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, remove_images, err);
}

const struct cli_verb cli_rmi = {
    .command = {.name = "rmi",
                .aliases = "image rm,image remove",
                .arguments = "IMAGE...",
                .summary = "remove images",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_rmi,
};
