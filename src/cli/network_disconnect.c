#include "cli/network_verb.h"

static const struct command_flag flags[] = {
    {.name = "force", .letter = 'f', .help = "docker's; nothing needs it", .hidden = true},
    {0},
};

static int disconnect_container(struct cli_context *context, struct engine *engine,
                                struct networks *networks, struct error *err)
{
    const struct command_line *line = context->line;
    scope_container struct engine_container container = {0};
    (void)networks;
    if (engine_find(engine, line->arguments[1], &container, err) < 0)
        return -1;
    return engine_network_disconnect(engine, &container, line->arguments[0], err);
}

static int run_network_disconnect(struct cli_context *context, struct error *err)
{
    return network_verb_run(context, disconnect_container, err);
}

const struct cli_verb cli_network_disconnect = {
    .command = {.name = "network disconnect",
                .arguments = "NETWORK CONTAINER",
                .summary = "take a network from a container",
                .description = "At once if it runs, and for its next start.",
                .flags = flags,
                .min_arguments = 2,
                .max_arguments = 2},
    .run = run_network_disconnect,
};
