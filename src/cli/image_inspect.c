#include "cli/image_verb.h"
#include "cli/inspect_each.h"

static const struct command_flag flags[] = {
    INSPECT_FORMAT_FLAG,
    {0},
};

static json_t *find(void *argument, const char *name, struct error *err)
{
    struct image_store *store = argument;
    scope_image struct image image = {0};
    return image_verb_find(store, name, &image, err) < 0 ? NULL : image_describe(store, &image);
}

static int inspect(struct cli_context *context, struct image_store *store, struct error *err)
{
    return inspect_each(context, find, store, err);
}

static int run_image_inspect(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, inspect, err);
}

const struct cli_verb cli_image_inspect = {
    .command = {.name = "image inspect",
                .arguments = "IMAGE...",
                .summary = "show all that is known of images",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_image_inspect,
};
