#include <stdio.h>

#include "cli/format.h"
#include "cli/network_verb.h"

static const struct command_flag flags[] = {
    {.name = "format",
     .letter = 'f',
     .argument = "TEMPLATE",
     .help = "print json or a Go template"},
    {.name = "verbose",
     .letter = 'v',
     .help = "docker's, for a cluster's networks",
     .hidden = true},
    {0},
};

static int inspect_one(struct cli_context *context, struct networks *networks, const char *name,
                       void *argument, struct error *err)
{
    const char *format = command_value(context->line, "format");
    json_t *network = network_inspect(networks, name, err);
    if (!network || (format && format_print_line(format, network, stdout, err) < 0)) {
        json_decref(network);
        return -1;
    }
    json_array_append_new(argument, network);
    return 0;
}

static int inspect(struct cli_context *context, struct engine *engine, struct networks *networks,
                   struct error *err)
{
    json_t *all = json_array();
    (void)engine;
    int status = network_verb_each(context, networks, inspect_one, all, err);
    if (!command_given(context->line, "format")) {
        json_dumpf(all, stdout, JSON_INDENT(4));
        putchar('\n');
    }
    json_decref(all);
    return status;
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
