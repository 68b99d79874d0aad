#include <stdio.h>

#include "cli/verb.h"

static int run_version(struct cli_context *context, struct error *err)
{
    (void)context;
    (void)err;
    printf("hull version %s\n", HULL_VERSION);
    return 0;
}

const struct cli_verb cli_version = {
    .command = {.name = "version", .summary = "show the version"},
    .run = run_version,
    .runs_as_user = true,
};
