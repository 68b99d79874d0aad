#include "cli/container_verb.h"

static int rename_container(struct cli_context *context, struct engine *engine,
                            const struct engine_container *container, struct error *err)
{
    return engine_rename(engine, container, context->line->arguments[1], err);
}

static int run_rename(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, rename_container, err);
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
