#include <errno.h>
#include <stdio.h>

#include "cli/network_verb.h"

static const struct command_flag flags[] = {
    {.name = "force", .letter = 'f', .help = "be content if there is no such network"},
    {0},
};

static int remove_one(struct cli_context *context, struct networks *networks, const char *name,
                      void *argument, struct error *err)
{
    char id[NETWORK_ID_SIZE] = "";
    struct engine *engine = argument;
    if (network_find(networks, name, id, NULL, err) < 0)
        return -1;
    if (network_remove(networks, name, err) < 0)
        return command_given(context->line, "force") && err->code == ENOENT ? 0 : -1;
    printf("%s\n", name);
    json_t *attributes = json_pack("{s:s, s:s}", "name", name, "type", "bridge");
    engine_emit(engine, "network", "destroy", id, attributes);
    return 0;
}

static int remove_networks(struct cli_context *context, struct engine *engine,
                           struct networks *networks, struct error *err)
{
    return network_verb_each(context, networks, remove_one, engine, err);
}

static int run_network_rm(struct cli_context *context, struct error *err)
{
    return network_verb_run(context, remove_networks, err);
}

const struct cli_verb cli_network_rm = {
    .command = {.name = "network rm",
                .aliases = "network remove",
                .arguments = "NETWORK...",
                .summary = "remove networks",
                .description = "One that a container is attached to is never removed, not even "
                               "with --force.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_network_rm,
};
