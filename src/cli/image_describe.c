/* An image as docker's API describes it (ImageInspect). */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/image_verb.h"

static json_t *list_names(const struct image *image)
{
    json_t *list = json_array();
    for (size_t i = 0; i < image->name_count; i++) {
        struct reference reference;
        char text[REFERENCE_TEXT_SIZE];
        bool valid = reference_parse(image->names[i], &reference, NULL) == 0;
        json_array_append_new(list, json_string(valid ? reference_format_familiar(&reference, text)
                                                      : image->names[i]));
    }
    return list;
}

static json_t *list_digests(const struct image *image)
{
    json_t *list = json_array();
    for (size_t i = 0; i < image->digest_count; i++) {
        struct reference reference;
        char text[REFERENCE_TEXT_SIZE];
        bool valid = reference_parse(image->digests[i], &reference, NULL) == 0;
        json_array_append_new(list, json_string(valid ? reference_format_familiar(&reference, text)
                                                      : image->digests[i]));
    }
    return list;
}

/* What the layers' directories are; only named, not unpacked. */
static json_t *describe_layers(struct image_store *store, const struct image *image)
{
    json_t *data = json_object();
    scope_free char *lower = memory_copy_string("");
    char chain[IMAGE_DIGEST_SIZE];
    for (size_t i = image->layer_count; i-- > 0;) {
        image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, i + 1, chain);
        char *path = memory_format("%s%s%s/layers/%.24s", lower, *lower ? ":" : "",
                                   image_store_directory(store), chain + strlen("sha256:"));
        free(lower);
        lower = path;
    }
    json_object_set_new(data, "LowerDir", json_string(lower));
    return json_pack("{s:s, s:o}", "Name", "overlay", "Data", data);
}

static json_t *text_member(const json_t *config, const char *key)
{
    const char *text = json_string_value(json_object_get(config, key));
    return json_string(text ? text : "");
}

json_t *image_describe(struct image_store *store, const struct image *image)
{
    json_t *layers = json_array();
    for (size_t i = 0; i < image->layer_count; i++)
        json_array_append_new(layers, json_string(image->diff_ids[i]));
    json_t *config = json_object_get(image->config, "config");
    json_t *history = json_object_get(image->config, "history");
    const json_t *last = json_array_get(history, json_array_size(history) - 1);
    json_t *object = json_object();
    json_object_set_new(object, "Id", json_string(image->id));
    json_object_set_new(object, "RepoTags", list_names(image));
    json_object_set_new(object, "RepoDigests", list_digests(image));
    json_object_set_new(object, "Parent", json_string(""));
    json_object_set_new(object, "Comment", text_member(last, "comment"));
    json_object_set_new(object, "Created", text_member(image->config, "created"));
    json_object_set_new(object, "Author", text_member(image->config, "author"));
    json_object_set_new(object, "Config", config ? json_deep_copy(config) : json_object());
    json_object_set_new(object, "Architecture", json_string(image->platform.architecture));
    if (*image->platform.variant)
        json_object_set_new(object, "Variant", json_string(image->platform.variant));
    json_object_set_new(object, "Os", json_string(image->platform.os));
    json_object_set_new(object, "Size", json_integer(image->size));
    json_object_set_new(object, "GraphDriver", describe_layers(store, image));
    json_object_set_new(object, "RootFS",
                        json_pack("{s:s, s:o}", "Type", "layers", "Layers", layers));
    json_object_set_new(
        object, "Descriptor",
        json_pack("{s:s, s:s}", "mediaType", image->media_type, "digest", image->manifest_digest));
    return object;
}
