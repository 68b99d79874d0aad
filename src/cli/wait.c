#include <stdio.h>

#include "cli/container_verb.h"

static int wait_for(struct cli_context *context, struct engine *engine,
                    const struct engine_container *container, void *argument, struct error *err)
{
    int exit_code;
    (void)context;
    (void)argument;
    if (engine_wait(engine, container, ENGINE_WAIT_NOT_RUNNING, &exit_code, err) < 0)
        return -1;
    printf("%d\n", exit_code);
    fflush(stdout); /* the next may run for long */
    return 0;
}

static int run_wait(struct cli_context *context, struct error *err)
{
    const struct container_verb_each each = {.act = wait_for, .prints_itself = true};
    return container_verb_each(context, &each, err);
}

const struct cli_verb cli_wait = {
    .command = {.name = "wait",
                .aliases = "container wait",
                .arguments = "CONTAINER...",
                .summary = "wait until containers have ended, and print their exit codes",
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_wait,
};
