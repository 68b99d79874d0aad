/* What hull-monitor executes when its container has ended. */
#include "cli/container_verb.h"

static int run_cleanup(struct cli_context *context, struct error *err)
{
    scope_engine struct engine *engine = NULL;
    if (container_verb_open(context, &engine, err) < 0)
        return -1;
    return engine_clean_up(engine, context->line->arguments[0], err);
}

const struct cli_verb cli_container_cleanup = {
    .command = {.name = "container cleanup",
                .arguments = "ID",
                .summary = "give back what an ended container used",
                .description = "Containers' monitors call this; there is no need to.",
                .hidden = true,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_cleanup,
};
