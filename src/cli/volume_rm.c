#include <stdio.h>

#include "cli/volume_verb.h"

static const struct command_flag flags[] = {
    {.name = "force", .letter = 'f', .help = "be content if there is no such volume"},
    {0},
};

/* All that can be removed are; the last error is what the verb ends with. */
static int remove_volumes(struct cli_context *context, struct volume_store *store,
                          struct error *err)
{
    const struct command_line *line = context->line;
    bool force = command_given(line, "force");
    int status = 0;
    for (int i = 0; i < line->argument_count; i++) {
        struct error reason = {0};
        if (volume_remove(store, line->arguments[i], force, &reason) == 0) {
            printf("%s\n", line->arguments[i]);
            continue;
        }
        if (status < 0)
            warnings_say(context->warnings, err);
        *err = reason;
        status = -1;
    }
    return status;
}

static int run_volume_rm(struct cli_context *context, struct error *err)
{
    return volume_verb_run(context, remove_volumes, err);
}

const struct cli_verb cli_volume_rm = {
    .command = {.name = "volume rm",
                .aliases = "volume remove",
                .arguments = "VOLUME...",
                .summary = "remove volumes, with what is in them",
                .description = "One that a container uses is never removed, not even with --force.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_volume_rm,
};
