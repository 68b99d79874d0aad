#include "cli/inspect_each.h"
#include "cli/volume_verb.h"

static const struct command_flag flags[] = {
    INSPECT_FORMAT_FLAG,
    {0},
};

static json_t *find(void *argument, const char *name, struct error *err)
{
    json_t *volume = volume_inspect(argument, name, err);
    /* These are hull's own, for who prunes. */
    json_object_del(volume, "Anonymous");
    json_object_del(volume, "UseCount");
    return volume;
}

static int inspect(struct cli_context *context, struct volume_store *store, struct error *err)
{
    return inspect_each(context, find, store, err);
}

static int run_volume_inspect(struct cli_context *context, struct error *err)
{
    return volume_verb_run(context, inspect, err);
}

const struct cli_verb cli_volume_inspect = {
    .command = {.name = "volume inspect",
                .arguments = "VOLUME...",
                .summary = "show all that is known of volumes",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_volume_inspect,
};
