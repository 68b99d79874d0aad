/* Manifests and configurations as registries and archives give them: nothing in them is believed.
 * OCI image-spec 1.1 (manifest, descriptor, config); Docker's image manifest version 2, schema 2.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

bool image_type_is_index(const char *media_type)
{
    return strcmp(media_type, IMAGE_TYPE_OCI_INDEX) == 0 ||
           strcmp(media_type, IMAGE_TYPE_DOCKER_LIST) == 0;
}

/* Documents nest a few levels; jansson itself stops at 2048. */
static json_t *parse(const void *bytes, size_t length, const char *what, struct error *err)
{
    json_error_t reason;
    json_t *document = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &reason);
    if (!json_is_object(document)) {
        error_set(err, 0, "the image's %s isn't valid: %s", what,
                  document ? "it isn't a JSON object" : reason.text);
        json_decref(document);
        return NULL;
    }
    return document;
}

static int read_urls(const json_t *urls, struct image_descriptor *descriptor)
{
    size_t count = json_array_size(urls);
    if (count == 0 || count > 32)
        return 0;
    descriptor->urls = memory_allocate(count + 1, sizeof *descriptor->urls);
    for (size_t i = 0; i < count; i++) {
        const char *url = json_string_value(json_array_get(urls, i));
        if (!url)
            return -1;
        descriptor->urls[i] = memory_copy_string(url);
    }
    return 0;
}

static int read_descriptor(const json_t *object, struct image_descriptor *descriptor,
                           const char *what, struct error *err)
{
    const char *type = json_string_value(json_object_get(object, "mediaType"));
    const char *digest = json_string_value(json_object_get(object, "digest"));
    json_t *size = json_object_get(object, "size");
    *descriptor = (struct image_descriptor){.size = json_integer_value(size)};
    if (type && strlen(type) >= sizeof descriptor->media_type)
        return error_set(err, 0,
                         "the image's manifest isn't valid: its %s has a media type too "
                         "long",
                         what);
    if (!digest || !reference_is_digest(digest))
        return error_set(err, 0, "the image's manifest isn't valid: its %s has no sha256 digest",
                         what);
    if (!json_is_integer(size) || descriptor->size < 0)
        return error_set(err, 0, "the image's manifest isn't valid: its %s has no size", what);
    strcpy(descriptor->media_type, type ? type : "");
    strcpy(descriptor->digest, digest);
    if (read_urls(json_object_get(object, "urls"), descriptor) < 0)
        return error_set(err, 0, "the image's manifest isn't valid: a URL isn't a text");
    return 0;
}

void image_descriptors_free(struct image_descriptor *descriptors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (char **url = descriptors[i].urls; url && *url; url++)
            free(*url);
        free(descriptors[i].urls);
    }
    free(descriptors);
}

/* What the manifest says it is; from what it has where it doesn't say. */
static bool is_image_manifest(const json_t *manifest, struct error *err)
{
    const char *type = json_string_value(json_object_get(manifest, "mediaType"));
    if (json_object_get(manifest, "manifests") || (type && image_type_is_index(type))) {
        error_set(err, 0, "it is an index of several images, not one image's manifest");
        return false;
    }
    if (json_integer_value(json_object_get(manifest, "schemaVersion")) != 2) {
        error_set(err, 0,
                  "the image's manifest is of Docker's schema 1, which no registry should "
                  "serve any more (push the image again with a current client)");
        return false;
    }
    return true;
}

static int read_manifest(const json_t *manifest, struct image_descriptor *config,
                         struct image_descriptor **layers, size_t *count, struct error *err)
{
    *layers = NULL;
    *count = 0;
    if (!is_image_manifest(manifest, err) ||
        read_descriptor(json_object_get(manifest, "config"), config, "configuration", err) < 0)
        return -1;
    free(config->urls);
    config->urls = NULL;
    json_t *list = json_object_get(manifest, "layers");
    size_t size = json_array_size(list);
    if (!json_is_array(list) || size > IMAGE_LAYERS_MAX)
        return error_set(err, 0, "the image's manifest isn't valid: it has %s layers (at most %d)",
                         size ? "too many" : "no list of", IMAGE_LAYERS_MAX);
    *layers = memory_allocate(size, sizeof **layers);
    for (; *count < size; (*count)++)
        if (read_descriptor(json_array_get(list, *count), &(*layers)[*count], "layer", err) < 0) {
            image_descriptors_free(*layers, *count + 1);
            *layers = NULL;
            *count = 0;
            return -1;
        }
    return 0;
}

int image_manifest_parse(const void *bytes, size_t length, struct image_descriptor *config,
                         struct image_descriptor **layers, size_t *count, struct error *err)
{
    json_t *manifest = parse(bytes, length, "manifest", err);
    int result = manifest ? read_manifest(manifest, config, layers, count, err) : -1;
    json_decref(manifest);
    return result;
}

static int read_diff_ids(const json_t *config, char (**diff_ids)[IMAGE_DIGEST_SIZE], size_t *count,
                         struct error *err)
{
    json_t *list = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    size_t size = json_array_size(list);
    *diff_ids = NULL;
    *count = 0;
    if (size > IMAGE_LAYERS_MAX)
        return error_set(err, 0, "the image has %zu layers (at most %d)", size, IMAGE_LAYERS_MAX);
    *diff_ids = memory_allocate(size, sizeof **diff_ids);
    for (; *count < size; (*count)++) {
        const char *digest = json_string_value(json_array_get(list, *count));
        if (!digest || !reference_is_digest(digest)) {
            free(*diff_ids);
            *diff_ids = NULL;
            return error_set(err, 0,
                             "the image's configuration isn't valid: diff id %zu isn't a "
                             "sha256 digest",
                             *count);
        }
        strcpy((*diff_ids)[*count], digest);
    }
    return 0;
}

int image_config_diff_ids(const void *bytes, size_t length, char (**diff_ids)[IMAGE_DIGEST_SIZE],
                          size_t *count, struct error *err)
{
    json_t *config = parse(bytes, length, "configuration", err);
    int result = config ? read_diff_ids(config, diff_ids, count, err) : -1;
    json_decref(config);
    return result;
}

/* "2024-05-01T12:34:56.789Z" and with an offset (RFC 3339); 0 for anything else. */
int64_t store_parse_time(const char *text)
{
    struct tm time = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &time) : NULL;
    if (!rest)
        return 0;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    int hours = 0, minutes = 0, offset = 0;
    char sign;
    if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
        offset = (sign == '+' ? 1 : -1) * (hours * 60 + minutes) * 60;
    return (int64_t)timegm(&time) - offset;
}

const char *store_format_time(int64_t time, char text[32])
{
    struct tm parts;
    time_t seconds = (time_t)time;
    if (!gmtime_r(&seconds, &parts) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        strcpy(text, "1970-01-01T00:00:00Z");
    return text;
}

/* The layers' sizes: unpacked where that is known. */
static int64_t sum_sizes(struct image_store *store, const struct image *image)
{
    int64_t size = 0;
    char chain[IMAGE_DIGEST_SIZE];
    for (size_t i = 0; i < image->layer_count; i++) {
        image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, i + 1, chain);
        int64_t unpacked = store_layer_size(store, chain);
        size += unpacked >= 0 ? unpacked : image->layers[i].size;
    }
    return size;
}

int store_image_fill(struct image_store *store, const void *manifest, size_t manifest_length,
                     const void *config, size_t config_length, struct image *image,
                     struct error *err)
{
    struct image_descriptor descriptor;
    size_t diff_count;
    image->manifest = parse(manifest, manifest_length, "manifest", err);
    if (!image->manifest ||
        read_manifest(image->manifest, &descriptor, &image->layers, &image->layer_count, err) < 0)
        return -1;
    image->config = parse(config, config_length, "configuration", err);
    if (!image->config || read_diff_ids(image->config, &image->diff_ids, &diff_count, err) < 0)
        return -1;
    if (diff_count != image->layer_count)
        return error_set(err, 0,
                         "the image's manifest has %zu layers, but its configuration %zu (it isn't "
                         "a container's image, or damaged)",
                         image->layer_count, diff_count);
    strcpy(image->id, descriptor.digest);
    const char *type = json_string_value(json_object_get(image->manifest, "mediaType"));
    if (!*image->media_type)
        snprintf(image->media_type, sizeof image->media_type, "%s",
                 type ? type : IMAGE_TYPE_OCI_MANIFEST);
    image->created = store_parse_time(json_string_value(json_object_get(image->config, "created")));
    platform_from_json(image->config, &image->platform);
    image->size = sum_sizes(store, image);
    return 0;
}
