/* `system df -v` */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/human.h"
#include "cli/image_verb.h"
#include "cli/ps.h"
#include "cli/system_df.h"
#include "cli/table.h"
#include "monitor/document.h"

static const struct table_column image_columns[] = {
    {"Repository", "REPOSITORY", true, false},
    {"Tag", "TAG", true, false},
    {"ID", "IMAGE ID", false, false},
    {"CreatedSince", "CREATED", false, false},
    {"Size", "SIZE", false, false},
    {"SharedSize", "SHARED SIZE", false, false},
    {"UniqueSize", "UNIQUE SIZE", false, false},
    {"Containers", "CONTAINERS", false, false},
    {0},
};

static const struct table_column container_columns[] = {
    {"ID", "CONTAINER ID", false, false},
    {"Image", "IMAGE", true, false},
    {"Command", "COMMAND", true, false},
    {"LocalVolumes", "LOCAL VOLUMES", false, false},
    {"Size", "SIZE", false, false},
    {"RunningFor", "CREATED", false, false},
    {"Status", "STATUS", false, false},
    {"Names", "NAMES", true, false},
    {0},
};

static const struct table_column volume_columns[] = {
    {"Name", "VOLUME NAME", true, false},
    {"Links", "LINKS", false, false},
    {"Size", "SIZE", false, false},
    {0},
};

/* ---- images ---- */

/* How many of the image's layers, from the bottom, another has too. */
static size_t count_shared(const struct image_list *list, const struct image *image)
{
    size_t most = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct image *other = &list->images[i];
        size_t same = 0;
        while (other != image && same < image->layer_count && same < other->layer_count &&
               strcmp(image->diff_ids[same], other->diff_ids[same]) == 0)
            same++;
        most = same > most ? same : most;
    }
    return most;
}

/* The bytes of the image's lowest layers. */
static int measure_layers(struct image_store *store, const struct image *image, size_t count,
                          int64_t *bytes, struct error *err)
{
    scope_free struct image_history_entry *entries = NULL;
    const json_t *history = json_object_get(image->config, "history");
    size_t steps, layer = 0;
    *bytes = 0;
    if (count == 0)
        return 0;
    if (image_history(store, image, &entries, &steps, err) < 0)
        return -1;
    /* The youngest first; steps without a layer are in it, too. */
    for (size_t i = 0; i < steps && layer < count; i++) {
        const json_t *step = json_array_get(history, i);
        if (json_is_true(json_object_get(step, "empty_layer")))
            continue;
        *bytes += entries[steps - 1 - i].size;
        layer++;
    }
    return 0;
}

static size_t count_containers(const struct engine_list *containers, const struct image *image)
{
    size_t count = 0;
    for (size_t i = 0; i < containers->count; i++)
        count += strcmp(containers->items[i].image_id, image->id) == 0;
    return count;
}

static int add_image_rows(struct image_store *store, const struct image_list *list,
                          const struct image *image, const struct engine_list *containers,
                          json_t *rows, struct error *err)
{
    int64_t shared;
    char count[24];
    if (measure_layers(store, image, count_shared(list, image), &shared, err) < 0)
        return -1;
    snprintf(count, sizeof count, "%zu", count_containers(containers, image));
    for (size_t i = 0; i < (image->name_count ? image->name_count : 1); i++) {
        struct reference reference = {.tag = "<none>"};
        char repository[REFERENCE_TEXT_SIZE] = "<none>";
        if (image->name_count && reference_parse(image->names[i], &reference, NULL) == 0)
            reference_format_familiar_repository(&reference, repository);
        json_array_append_new(
            rows,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Repository", repository, "Tag",
                      reference.tag, "ID", image_verb_show_id(image->id, false).text,
                      "CreatedSince",
                      image->created > 0 ? human_age(image->created, time(NULL)).text : "N/A",
                      "Size", human_size((uint64_t)image->size).text, "SharedSize",
                      human_size((uint64_t)shared).text, "UniqueSize",
                      human_size((uint64_t)(image->size - shared)).text, "Containers", count));
    }
    return 0;
}

static int print_images(struct engine *engine, const struct engine_list *containers,
                        struct error *err)
{
    scope_image_list struct image_list list = {0};
    scope_json json_t *rows = json_array();
    struct image_store *store = engine_images(engine, err);
    if (!store || image_list(store, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++)
        if (add_image_rows(store, &list, &list.images[i], containers, rows, err) < 0)
            return -1;
    printf("Images space usage:\n\n");
    return table_print(image_columns, rows, NULL, true, stdout, err);
}

/* ---- containers and volumes ---- */

static int print_containers(struct engine *engine, const struct engine_list *containers,
                            struct error *err)
{
    scope_json json_t *rows = json_array();
    for (size_t i = 0; i < containers->count; i++) {
        scope_json json_t *document = engine_inspect(engine, &containers->items[i], false, err);
        if (!document)
            return -1;
        json_t *row = ps_make_row(document, false, false);
        json_object_set_new(
            row, "Size",
            json_string(human_size((uint64_t)engine_size(&containers->items[i])).text));
        json_array_append_new(rows, row);
    }
    printf("\nContainers space usage:\n\n");
    return table_print(container_columns, rows, NULL, true, stdout, err);
}

static int print_volumes(struct engine *engine, struct error *err)
{
    scope_json json_t *rows = json_array();
    struct volume_store *store = engine_volumes(engine, err);
    scope_json json_t *volumes = store ? volume_list(store, err) : NULL;
    const json_t *volume;
    size_t i;
    if (!volumes)
        return -1;
    json_array_foreach(volumes, i, volume)
    {
        int64_t bytes;
        if (system_df_measure(store, volume, &bytes, err) < 0)
            return -1;
        json_t *row = json_object();
        json_object_set(row, "Name", json_object_get(volume, "Name"));
        json_object_set_new(
            row, "Links",
            json_sprintf("%d", (int)json_integer_value(json_object_get(volume, "UseCount"))));
        json_object_set_new(row, "Size",
                            json_string(bytes < 0 ? "N/A" : human_size((uint64_t)bytes).text));
        json_array_append_new(rows, row);
    }
    printf("\nLocal Volumes space usage:\n\n");
    return table_print(volume_columns, rows, NULL, true, stdout, err);
}

int system_df_print_details(struct cli_context *context, struct engine *engine, struct error *err)
{
    scope_engine_list struct engine_list containers = {0};
    (void)context;
    if (engine_list(engine, &containers, err) < 0 || print_images(engine, &containers, err) < 0 ||
        print_containers(engine, &containers, err) < 0)
        return -1;
    return print_volumes(engine, err);
}
