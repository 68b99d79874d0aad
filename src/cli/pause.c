/* `hull pause` and `hull unpause`. */
#include "cli/container_verb.h"

static int pause_one(struct cli_context *context, struct engine *engine,
                     const struct engine_container *container, void *argument, struct error *err)
{
    (void)context;
    (void)argument;
    return engine_pause(engine, container, err);
}

static int run_pause(struct cli_context *context, struct error *err)
{
    const struct container_verb_each each = {.act = pause_one};
    return container_verb_each(context, &each, err);
}

const struct cli_verb cli_pause = {
    .command = {.name = "pause",
                .aliases = "container pause",
                .arguments = "CONTAINER...",
                .summary = "freeze all processes of containers",
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_pause,
};

static int unpause_one(struct cli_context *context, struct engine *engine,
                       const struct engine_container *container, void *argument, struct error *err)
{
    (void)context;
    (void)argument;
    return engine_resume(engine, container, err);
}

static int run_unpause(struct cli_context *context, struct error *err)
{
    const struct container_verb_each each = {.act = unpause_one};
    return container_verb_each(context, &each, err);
}

const struct cli_verb cli_unpause = {
    .command = {.name = "unpause",
                .aliases = "container unpause",
                .arguments = "CONTAINER...",
                .summary = "let frozen containers go on",
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_unpause,
};
