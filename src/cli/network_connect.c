#include "cli/network_verb.h"

static const struct command_flag flags[] = {
    {.name = "alias", .argument = "NAME", .repeats = true, .help = "another name in the network"},
    {.name = "ip", .argument = "ADDRESS", .help = "this IPv4 address of the network's subnet"},
    {.name = "ip6", .argument = "ADDRESS", .help = "this IPv6 address"},
    {0},
};

static int connect_container(struct cli_context *context, struct engine *engine,
                             struct networks *networks, struct error *err)
{
    struct command_line *line = context->line;
    scope_container struct engine_container container = {0};
    const char **aliases;
    struct network_endpoint_request request = {
        .network = line->arguments[0],
        .ip4 = command_value(line, "ip"),
        .ip6 = command_value(line, "ip6"),
    };
    (void)networks;
    request.alias_count = command_values(line, "alias", &aliases);
    request.aliases = aliases;
    if (engine_find(engine, line->arguments[1], &container, err) < 0)
        return -1;
    return engine_network_connect(engine, &container, &request, err);
}

static int run_network_connect(struct cli_context *context, struct error *err)
{
    return network_verb_run(context, connect_container, err);
}

const struct cli_verb cli_network_connect = {
    .command = {.name = "network connect",
                .arguments = "NETWORK CONTAINER",
                .summary = "give a container one more network",
                .description = "At once if it runs, and from its next start on.",
                .flags = flags,
                .min_arguments = 2,
                .max_arguments = 2},
    .run = run_network_connect,
};
