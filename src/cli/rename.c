#include "base/scope.h"
#include "cli/engine_verb.h"

static int rename_container(struct cli_context *context, struct engine *engine, struct error *err)
{
    char **arguments = context->line->arguments;
    scope_container struct engine_container container = {0};
    if (engine_find(engine, arguments[0], &container, err) < 0)
        return -1;
    return engine_rename(engine, &container, arguments[1], err);
}

static int run_rename(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, rename_container, err);
}

const struct cli_verb cli_rename = {
    .command = {.name = "rename",
                .aliases = "container rename",
                .arguments = "CONTAINER NAME",
                .summary = "give a container another name",
                .min_arguments = 2,
                .max_arguments = 2},
    .run = run_rename,
};
