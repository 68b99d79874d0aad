#include <stdio.h>

#include "cli/verb.h"
#include "vm/image/kernel.h"

/* All that can be removed are; the last error is what the verb ends with. */
static int run_kernel_rm(struct cli_context *context, struct error *err)
{
    const struct command_line *line = context->line;
    int status = 0;
    for (int i = 0; i < line->argument_count; i++) {
        struct error reason = {0};
        if (kernel_remove(context->root, line->arguments[i], &reason) == 0) {
            printf("%s\n", line->arguments[i]);
            continue;
        }
        if (status < 0)
            warnings_say(context->warnings, err);
        *err = reason;
        status = -1;
    }
    if (status < 0)
        context->exit_status = 1;
    return status;
}

const struct cli_verb cli_kernel_rm = {
    .command = {.name = "kernel rm",
                .aliases = "kernel remove",
                .arguments = "NAME...",
                .summary = "remove kernels for virtual machines",
                .description = "Machines that run aren't concerned: they have read theirs. Without "
                               "the default kernel the host's is the default.",
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_kernel_rm,
    .runs_as_user = true,
};
