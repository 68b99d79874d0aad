#include "base/scope.h"
#include "cli/container_verb.h"
#include "cli/run_flags.h"
#include "monitor/document.h"

/* As of `run`, whose texts they share in meaning. */
static const struct command_flag flags[] = {
    {.name = "blkio-weight", .argument = "WEIGHT", .help = "share of block I/O, 10 to 1000"},
    {.name = "cpu-period",
     .argument = "MICROSECONDS",
     .help = "length of the period of --cpu-quota"},
    {.name = "cpu-quota", .argument = "MICROSECONDS", .help = "processor time in each period"},
    {.name = "cpu-shares",
     .letter = 'c',
     .argument = "WEIGHT",
     .help = "share of processor time where it is scarce"},
    {.name = "cpus", .argument = "NUMBER", .help = "how many processors' time, such as 1.5"},
    {.name = "cpuset-cpus", .argument = "LIST", .help = "processors to run on, such as 0-3,5"},
    {.name = "cpuset-mems", .argument = "LIST", .help = "memory nodes to use, such as 0,1"},
    {.name = "memory", .letter = 'm', .argument = "SIZE", .help = "limit of memory, such as 512m"},
    {.name = "memory-reservation",
     .argument = "SIZE",
     .help = "memory to shrink to when it is scarce"},
    {.name = "memory-swap",
     .argument = "SIZE",
     .help = "limit of memory and swap together; -1: none"},
    {.name = "pids-limit", .argument = "N", .help = "limit of processes; -1: none"},
    {.name = "restart",
     .argument = "POLICY",
     .help = "no, always, unless-stopped or on-failure[:N]"},
    {0},
};

static int update_one(struct cli_context *context, struct engine *engine,
                      const struct engine_container *container, void *argument, struct error *err)
{
    (void)context;
    int result = engine_update(engine, container, argument, err);
    if (result < 0)
        run_flags_explain(err);
    return result;
}

static int run_update(struct cli_context *context, struct error *err)
{
    scope_json json_t *changes = run_flags_make_changes(context->line, err);
    if (!changes || json_object_size(changes) == 0) {
        context->exit_status = 1;
        return changes ? error_set(err, 0, "nothing to change (give one or more flags)") : -1;
    }
    const struct container_verb_each each = {.act = update_one, .argument = changes};
    return container_verb_each(context, &each, err);
}

const struct cli_verb cli_update = {
    .command = {.name = "update",
                .aliases = "container update",
                .arguments = "CONTAINER...",
                .summary = "change limits and restart policy of containers",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_update,
};
