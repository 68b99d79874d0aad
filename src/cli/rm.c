#include "cli/container_verb.h"

static const struct command_flag flags[] = {
    {.name = "force", .letter = 'f', .help = "kill containers that run; content if there is none"},
    {.name = "volumes", .letter = 'v', .help = "remove their unnamed volumes too"},
    {0},
};

static int remove_one(struct cli_context *context, struct engine *engine,
                      const struct engine_container *container, void *argument, struct error *err)
{
    (void)argument;
    const struct engine_removal removal = {
        .force = command_given(context->line, "force"),
        .volumes = command_given(context->line, "volumes"),
    };
    return engine_remove(engine, container, &removal, err);
}

static int run_rm(struct cli_context *context, struct error *err)
{
    const struct container_verb_each each = {
        .act = remove_one, .bears_absence = command_given(context->line, "force")};
    return container_verb_each(context, &each, err);
}

const struct cli_verb cli_rm = {
    .command = {.name = "rm",
                .aliases = "container rm,container remove",
                .arguments = "CONTAINER...",
                .summary = "remove containers",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_rm,
};
