#include <stdio.h>

#include "cli/verb.h"
#include "vm/image/kernel.h"

static int run_kernel_use(struct cli_context *context, struct error *err)
{
    const char *name = context->line->arguments[0];
    if (kernel_use(context->root, name, err) < 0) {
        context->exit_status = 1;
        return -1;
    }
    printf("%s\n", name);
    return 0;
}

const struct cli_verb cli_kernel_use = {
    .command = {.name = "kernel use",
                .arguments = "NAME",
                .summary = "choose the default kernel of virtual machines",
                .description = "NAME is one that ls shows; 'host' is the kernel in the "
                               "host's /boot.",
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_kernel_use,
    .runs_as_user = true,
};
