#include "cli/system_df.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/human.h"
#include "cli/table.h"
#include "monitor/document.h"

static const struct command_flag flags[] = {
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "verbose", .letter = 'v', .help = "show what each object takes"},
    {0},
};

static const struct table_column columns[] = {
    {"Type", "TYPE", false, false},
    {"TotalCount", "TOTAL", false, false},
    {"Active", "ACTIVE", false, false},
    {"Size", "SIZE", false, false},
    {"Reclaimable", "RECLAIMABLE", false, false},
    {0},
};

struct usage {
    size_t total, active;
    int64_t bytes, reclaimable;
};

static void add_row(json_t *rows, const char *type, const struct usage *usage)
{
    char total[24], active[24];
    snprintf(total, sizeof total, "%zu", usage->total);
    snprintf(active, sizeof active, "%zu", usage->active);
    scope_free char *reclaimable =
        usage->bytes > 0
            ? memory_format("%s (%lld%%)", human_size((uint64_t)usage->reclaimable).text,
                            (long long)(usage->reclaimable * 100 / usage->bytes))
            : memory_copy_string(human_size((uint64_t)usage->reclaimable).text);
    json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s}", "Type", type, "TotalCount",
                                          total, "Active", active, "Size",
                                          human_size((uint64_t)usage->bytes).text, "Reclaimable",
                                          reclaimable));
}

static int add_images(struct engine *engine, json_t *rows, struct error *err)
{
    struct image_usage images;
    struct image_store *store = engine_images(engine, err);
    if (!store || image_store_usage(store, &images, err) < 0)
        return -1;
    const struct usage usage = {images.images, images.active, images.blobs + images.layers,
                                images.reclaimable};
    add_row(rows, "Images", &usage);
    return 0;
}

static int add_containers(struct engine *engine, json_t *rows, struct error *err)
{
    scope_engine_list struct engine_list list = {0};
    struct usage usage = {0};
    if (engine_list(engine, &list, err) < 0)
        return -1;
    usage.total = list.count;
    for (size_t i = 0; i < list.count; i++) {
        struct monitor_status status = {0};
        int64_t size = engine_size(&list.items[i]);
        if (engine_status(engine, &list.items[i], &status, err) < 0)
            return -1;
        bool is_up = engine_is_up(&status);
        monitor_status_release(&status);
        usage.active += is_up;
        usage.bytes += size;
        usage.reclaimable += is_up ? 0 : size;
    }
    add_row(rows, "Containers", &usage);
    return 0;
}

int system_df_measure(struct volume_store *store, const json_t *volume, int64_t *bytes,
                      struct error *err)
{
    long long size = -1;
    const char *name = json_string_value(json_object_get(volume, "Name"));
    if (volume_size(store, name, &size, err) < 0 && err->code != ENOENT)
        return -1;
    *bytes = size;
    return 0;
}

static int add_volumes(struct engine *engine, json_t *rows, struct error *err)
{
    struct volume_store *store = engine_volumes(engine, err);
    scope_json json_t *volumes = store ? volume_list(store, err) : NULL;
    struct usage usage = {.total = json_array_size(volumes)};
    const json_t *volume;
    size_t i;
    if (!volumes)
        return -1;
    json_array_foreach(volumes, i, volume)
    {
        bool is_used = json_integer_value(json_object_get(volume, "UseCount")) > 0;
        int64_t size;
        if (system_df_measure(store, volume, &size, err) < 0)
            return -1;
        size = size > 0 ? size : 0;
        usage.active += is_used;
        usage.bytes += size;
        usage.reclaimable += is_used ? 0 : size;
    }
    add_row(rows, "Local Volumes", &usage);
    return 0;
}

static int print_usage(struct cli_context *context, struct engine *engine, struct error *err)
{
    const struct command_line *line = context->line;
    const struct usage nothing = {0};
    scope_json json_t *rows = json_array();
    if (command_given(line, "verbose") && command_given(line, "format"))
        return error_set(err, 0, "--format and --verbose don't go together (leave one out)");
    if (command_given(line, "verbose"))
        return system_df_print_details(context, engine, err);
    if (add_images(engine, rows, err) < 0 || add_containers(engine, rows, err) < 0 ||
        add_volumes(engine, rows, err) < 0)
        return -1;
    add_row(rows, "Build Cache", &nothing);
    return table_print(columns, rows, command_value(line, "format"), true, stdout, err);
}

static int run_system_df(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, print_usage, err);
}

const struct cli_verb cli_system_df = {
    .command = {.name = "system df",
                .summary = "show how much disk space images, containers and volumes take",
                .flags = flags},
    .run = run_system_df,
};
