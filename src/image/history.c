/* How an image came to be, from its configuration's history (OCI image-spec, config). */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t layer_size(struct image_store *store, const struct image *image, size_t layer)
{
    char chain[IMAGE_DIGEST_SIZE];
    image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, layer + 1, chain);
    int64_t size = store_layer_size(store, chain);
    return size >= 0 ? size : image->layers[layer].size;
}

int image_history(struct image_store *store, const struct image *image,
                  struct image_history_entry **entries, size_t *count, struct error *err)
{
    json_t *history = json_object_get(image->config, "history"), *step;
    size_t steps = json_array_size(history), layers = 0, i;
    (void)err;
    json_array_foreach(history, i, step) layers +=
        !json_is_true(json_object_get(step, "empty_layer"));
    /* Layers that the history doesn't tell of (made by tools that write none) come first. */
    size_t untold = image->layer_count > layers ? image->layer_count - layers : 0;
    *count = untold + steps;
    *entries = memory_allocate(*count, sizeof **entries);
    size_t layer = 0;
    for (i = 0; i < *count; i++) {
        struct image_history_entry *entry = &(*entries)[*count - 1 - i];
        step = i < untold ? NULL : json_array_get(history, i - untold);
        entry->created = store_parse_time(text_of(step, "created"));
        entry->created_by = text_of(step, "created_by");
        entry->comment = text_of(step, "comment");
        if (!json_is_true(json_object_get(step, "empty_layer")) && layer < image->layer_count)
            entry->size = layer_size(store, image, layer++);
    }
    if (*count)
        strcpy((*entries)[0].id, image->id);
    return 0;
}
