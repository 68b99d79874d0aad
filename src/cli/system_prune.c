#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/filter.h"
#include "cli/human.h"
#include "cli/image_verb.h"
#include "cli/prompt.h"
#include "cli/prune.h"
#include "cli/volume_verb.h"
#include "monitor/document.h"
#include "network/network.h"

static const struct command_flag flags[] = {
    {.name = "all", .letter = 'a', .help = "all images that aren't used, not only dangling ones"},
    {.name = "filter",
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only what until, label or label! say"},
    {.name = "force", .letter = 'f', .help = "don't ask"},
    {.name = "volumes", .help = "anonymous volumes that aren't used, too"},
    {0},
};

/* ---- networks ---- */

/* One that can't be told counts as used. */
static bool is_network_used(void *context, const char *id)
{
    return engine_network_is_used(context, id, NULL) != 0;
}

static int prune_networks(struct engine *engine, const struct prune_filter *filter,
                          struct error *err)
{
    scope_json json_t *removed = json_array();
    struct networks *networks = engine_networks(engine, err);
    char **names = NULL;
    size_t count = 0;
    if (!networks || network_prune(networks, is_network_used, engine, filter->filters,
                                   filter->count, &names, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(removed, json_string(names[i]));
    network_free_names(names, count);
    prune_print("Deleted Networks:", removed);
    return 0;
}

/* ---- volumes and images ---- */

static bool is_volume_wanted(const json_t *volume, void *filter)
{
    return volume_filter_passes(filter, volume);
}

static int prune_volumes(struct engine *engine, const struct prune_filter *filter, int64_t *bytes,
                         struct error *err)
{
    struct volume_filter wanted = {.filters = filter->filters, .count = filter->count};
    struct volume_store *store = engine_volumes(engine, err);
    long long freed = 0;
    scope_json json_t *removed =
        store ? volume_prune(store, false, is_volume_wanted, &wanted, &freed, err) : NULL;
    if (!removed)
        return -1;
    *bytes += freed;
    prune_print("Deleted Volumes:", removed);
    return 0;
}

static bool is_image_wanted(const struct image *image, const void *filter)
{
    return image_filter_passes(filter, image, NULL);
}

static int prune_images(struct engine *engine, const struct prune_filter *filter, bool all,
                        int64_t *bytes, struct error *err)
{
    scope_image_removal struct image_removal removal = {0};
    scope_json json_t *removed = json_array();
    struct image_store *store = engine_images(engine, err);
    const struct image_filter wanted = {
        .store = store, .filters = filter->filters, .count = filter->count};
    const struct image_prune_options options = {
        .all = all, .wanted = is_image_wanted, .context = &wanted};
    int result = store ? image_prune(store, &options, &removal, err) : -1;
    for (size_t i = 0; i < removal.untagged_count; i++)
        json_array_append_new(removed, json_sprintf("untagged: %s", removal.untagged[i]));
    for (size_t i = 0; i < removal.deleted_count; i++)
        json_array_append_new(removed, json_sprintf("deleted: %s", removal.deleted[i]));
    prune_print("Deleted Images:", removed);
    *bytes += removal.reclaimed;
    return result;
}

/* ---- all of it ---- */

static bool has_until(const struct prune_filter *filter)
{
    for (size_t i = 0; i < filter->count; i++)
        if (filter_value(filter->filters[i], "until"))
            return true;
    return false;
}

static bool is_confirmed(const struct command_line *line)
{
    scope_free char *warning = memory_format(
        "This will remove:\n  - all stopped containers\n  - all networks not used by at least one "
        "container\n%s  - all %s",
        command_given(line, "volumes")
            ? "  - all anonymous volumes not used by at least one container\n"
            : "",
        command_given(line, "all") ? "images without at least one container associated to them"
                                   : "dangling images");
    return prompt_confirm(warning);
}

static int prune(struct cli_context *context, struct engine *engine, struct error *err)
{
    struct command_line *line = context->line;
    struct prune_filter filter = {0};
    bool volumes = command_given(line, "volumes");
    int64_t bytes = 0;
    filter.count = command_values(line, "filter", &filter.filters);
    if (filter_check(filter.filters, filter.count, "until label label!", err) < 0)
        return -1;
    if (volumes && has_until(&filter))
        return error_set(err, 0, "the filter until can't be had with --volumes: volumes have none");
    if (!command_given(line, "force") && !is_confirmed(line))
        return 0;
    /* First what killed commands left: it may use some of the rest. */
    if (engine_reconcile(engine, false, err) < 0 ||
        prune_containers(context, engine, &filter, &bytes, err) < 0 ||
        prune_networks(engine, &filter, err) < 0 ||
        (volumes && prune_volumes(engine, &filter, &bytes, err) < 0) ||
        prune_images(engine, &filter, command_given(line, "all"), &bytes, err) < 0)
        return -1;
    printf("Total reclaimed space: %s\n", human_size((uint64_t)bytes).text);
    return 0;
}

static int run_system_prune(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, prune, err);
}

const struct cli_verb cli_system_prune = {
    .command = {.name = "system prune",
                .summary = "remove what isn't used, and what killed commands left",
                .flags = flags},
    .run = run_system_prune,
};
