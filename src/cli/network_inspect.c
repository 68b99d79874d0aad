#include "cli/inspect_each.h"
#include "cli/network_verb.h"

static const struct command_flag flags[] = {
    INSPECT_FORMAT_FLAG,
    {.name = "verbose",
     .letter = 'v',
     .help = "docker's, for a cluster's networks",
     .hidden = true},
    {0},
};

static json_t *find(void *argument, const char *name, struct error *err)
{
    return network_inspect(argument, name, err);
}

static int inspect(struct cli_context *context, struct engine *engine, struct networks *networks,
                   struct error *err)
{
    (void)engine;
    return inspect_each(context, find, networks, err);
}

static int run_network_inspect(struct cli_context *context, struct error *err)
{
    return network_verb_run(context, inspect, err);
}

const struct cli_verb cli_network_inspect = {
    .command = {.name = "network inspect",
                .arguments = "NETWORK...",
                .summary = "show all that is known of networks",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_network_inspect,
};
