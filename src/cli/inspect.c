#include <errno.h>
#include <string.h>

#include "cli/engine_verb.h"
#include "cli/image_verb.h"
#include "cli/inspect_each.h"
#include "network/network.h"

#define FLAG_SIZE                                                                                  \
    {                                                                                              \
        .name = "size", .letter = 's', .help = "show how much containers' files take"              \
    }

static const struct command_flag container_flags[] = {INSPECT_FORMAT_FLAG, FLAG_SIZE, {0}};
static const struct command_flag flags[] = {
    INSPECT_FORMAT_FLAG,
    FLAG_SIZE,
    {.name = "type",
     .argument = "TYPE",
     .choices = "container image network volume",
     .help = "only objects of this kind"},
    {0},
};

/* Each tells whether there is an object of the name: 1 with *object, 0, or -1. */

static int find_container(struct engine *engine, const char *name, bool size, json_t **object,
                          struct error *err)
{
    scope_container struct engine_container container = {0};
    if (engine_find(engine, name, &container, err) < 0)
        return err->code == ENOENT ? 0 : -1;
    *object = engine_inspect(engine, &container, size, err);
    return *object ? 1 : -1;
}

static int find_image(struct engine *engine, const char *name, bool size, json_t **object,
                      struct error *err)
{
    scope_image struct image image = {0};
    struct image_store *store = engine_images(engine, err);
    struct reference reference;
    (void)size;
    if (!store)
        return -1;
    /* A name that can't be an image's may be something else's. */
    bool possible =
        strncmp(name, "sha256:", 7) == 0 || reference_parse(name, &reference, NULL) == 0;
    int found = possible ? image_find(store, name, &image, err) : 0;
    if (found == 1)
        *object = image_describe(store, &image);
    return found;
}

static int find_network(struct engine *engine, const char *name, bool size, json_t **object,
                        struct error *err)
{
    struct networks *networks = engine_networks(engine, err);
    char id[NETWORK_ID_SIZE];
    (void)size;
    int found = networks ? network_find(networks, name, id, NULL, err) : -1;
    if (found == 1)
        *object = network_inspect(networks, id, err);
    return found == 1 && !*object ? -1 : found;
}

static int find_volume(struct engine *engine, const char *name, bool size, json_t **object,
                       struct error *err)
{
    struct volume_store *store = engine_volumes(engine, err);
    (void)size;
    if (!store)
        return -1;
    *object = volume_inspect(store, name, err);
    return *object ? 1 : err->code == ENOENT ? 0 : -1;
}

/* In the order in which docker looks. */
static const struct {
    const char *name;
    int (*find)(struct engine *engine, const char *name, bool size, json_t **object,
                struct error *err);
} kinds[] = {
    {"container", find_container},
    {"image", find_image},
    {"network", find_network},
    {"volume", find_volume},
};

/* `container inspect` is this verb without --type. */
static const char *wanted_type(const struct cli_context *context)
{
    bool has_type = strcmp(context->line->verb->name, "inspect") == 0;
    return has_type ? command_value(context->line, "type") : "container";
}

struct search {
    struct engine *engine;
    const char *type; /* or NULL */
    bool size;
};

static json_t *find(void *argument, const char *name, struct error *err)
{
    const struct search *search = argument;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        json_t *object = NULL;
        if (search->type && strcmp(search->type, kinds[i].name) != 0)
            continue;
        int found = kinds[i].find(search->engine, name, search->size, &object, err);
        if (found != 0)
            return found < 0 ? NULL : object;
    }
    error_set(err, 0, "no such %s: %s", search->type ? search->type : "object", name);
    return NULL;
}

static int inspect(struct cli_context *context, struct engine *engine, struct error *err)
{
    struct search search = {engine, wanted_type(context), command_given(context->line, "size")};
    return inspect_each(context, find, &search, err);
}

static int run_inspect(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, inspect, err);
}

const struct cli_verb cli_inspect = {
    .command = {.name = "inspect",
                .arguments = "NAME|ID...",
                .summary = "show all that is known of containers, images, networks or volumes",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_inspect,
};

const struct cli_verb cli_container_inspect = {
    .command = {.name = "container inspect",
                .arguments = "CONTAINER...",
                .summary = "show all that is known of containers",
                .flags = container_flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_inspect,
};
