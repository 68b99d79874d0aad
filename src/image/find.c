/* Reading images out of the store, and finding them by name and id. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

static void free_strings(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(strings[i]);
    free(strings);
}

void image_release(struct image *image)
{
    free_strings(image->names, image->name_count);
    free_strings(image->digests, image->digest_count);
    json_decref(image->manifest);
    json_decref(image->config);
    image_descriptors_free(image->layers, image->layer_count);
    free(image->diff_ids);
    *image = (struct image){0};
}

static void add_string(char ***strings, size_t *count, const char *text, size_t length)
{
    for (size_t i = 0; i < *count; i++)
        if (strlen((*strings)[i]) == length && memcmp((*strings)[i], text, length) == 0)
            return;
    *strings = memory_resize(*strings, *count + 1, sizeof **strings);
    (*strings)[(*count)++] = memory_format("%.*s", (int)length, text);
}

static int compare_strings(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

int store_image_read_manifest(struct image_store *store, const char *manifest, struct image *image,
                              struct error *err)
{
    size_t length, config_length, count;
    struct image_descriptor config, *layers;
    scope_free char *bytes = image_blob_read(store, manifest, IMAGE_MANIFEST_LIMIT, &length, err);
    if (!bytes)
        return -1;
    if (image_manifest_parse(bytes, length, &config, &layers, &count, err) < 0)
        return -1;
    image_descriptors_free(layers, count);
    scope_free char *config_bytes =
        image_blob_read(store, config.digest, IMAGE_CONFIG_LIMIT, &config_length, err);
    if (!config_bytes)
        return -1;
    snprintf(image->manifest_digest, sizeof image->manifest_digest, "%s", manifest);
    if (store_image_fill(store, bytes, length, config_bytes, config_length, image, err) < 0) {
        image_release(image);
        return -1;
    }
    return 0;
}

/* Only the id that an element of the index leads to. */
static int read_id(struct image_store *store, const json_t *element, char id[IMAGE_DIGEST_SIZE],
                   struct error *err)
{
    size_t length, count;
    struct image_descriptor config, *layers;
    scope_free char *bytes =
        image_blob_read(store, store_index_digest(element), IMAGE_MANIFEST_LIMIT, &length, err);
    if (!bytes || image_manifest_parse(bytes, length, &config, &layers, &count, err) < 0)
        return -1;
    image_descriptors_free(layers, count);
    strcpy(id, config.digest);
    return 0;
}

static void take_names(struct image *image, const json_t *element)
{
    const char *name = store_index_name(element);
    if (*name)
        add_string(&image->names, &image->name_count, name, strlen(name));
    const char *digests =
        json_string_value(json_object_get(json_object_get(element, "annotations"), STORE_DIGESTS));
    while (digests && *digests) {
        size_t length = strcspn(digests, " ");
        if (length)
            add_string(&image->digests, &image->digest_count, digests, length);
        digests += length + strspn(digests + length, " ");
    }
}

/* Whether the element isn't in the index any more: whoever only looks takes no lock, and somebody
 * may remove at the same time. */
static bool is_gone(struct image_store *store, const json_t *element)
{
    const char *digest = store_index_digest(element);
    json_t *index = store_index_read(store, NULL), *other;
    bool found = !index;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i, other) found =
        found || strcmp(store_index_digest(other), digest) == 0;
    json_decref(index);
    return !found;
}

/* The ids of all elements of an index, read once; "" where it can't be read. */
static char (*read_ids(struct image_store *store, const json_t *index,
                       bool warn))[IMAGE_DIGEST_SIZE]
{
    json_t *element, *manifests = json_object_get(index, "manifests");
    char(*ids)[IMAGE_DIGEST_SIZE] = memory_allocate(json_array_size(manifests), sizeof *ids);
    size_t i;
    json_array_foreach(manifests, i, element)
    {
        struct error err = {0};
        if (read_id(store, element, ids[i], &err) < 0 && warn && !is_gone(store, element))
            store_warn(store, "image %s: %s", store_index_name(element), err.text);
    }
    return ids;
}

static int read_image(struct image_store *store, const json_t *index,
                      char (*ids)[IMAGE_DIGEST_SIZE], const json_t *element, struct image *image,
                      struct error *err)
{
    *image = (struct image){0};
    if (store_image_read_manifest(store, store_index_digest(element), image, err) < 0)
        return -1;
    json_t *other;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i,
                       other) if (strcmp(ids[i], image->id) == 0) take_names(image, other);
    strcpy(image->index_digest, store_index_of_platforms(element));
    if (image->name_count)
        qsort(image->names, image->name_count, sizeof *image->names, compare_strings);
    return 0;
}

int store_image_read(struct image_store *store, const json_t *index, const json_t *element,
                     struct image *image, struct error *err)
{
    scope_free char(*ids)[IMAGE_DIGEST_SIZE] = read_ids(store, index, false);
    if (read_image(store, index, ids, element, image, err) < 0) {
        const char *name = store_index_name(element);
        return error_wrap(err, "image %s", *name ? name : store_index_digest(element));
    }
    return 0;
}

static bool looks_like_id(const char *text)
{
    if (strncmp(text, "sha256:", 7) == 0)
        text += 7;
    size_t length = strlen(text);
    return length >= 1 && length <= 64 && strspn(text, "0123456789abcdef") == length;
}

/* 1 with *found: the id, or the manifest's digest, begins like that in one image only. */
static int find_by_id(const json_t *index, char (*ids)[IMAGE_DIGEST_SIZE], const char *text,
                      const json_t **found, struct error *err)
{
    const char *digits = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
    size_t length = strlen(digits), i;
    const char *id = NULL;
    json_t *element;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        if (!*ids[i] || strncmp(digest_hex(ids[i]), digits, length) != 0)
            continue;
        if (id && strcmp(id, ids[i]) != 0)
            return error_set(err, 0,
                             "several images have an id that begins with %s (give more of "
                             "its digits)",
                             digits);
        id = ids[i];
        *found = element;
    }
    /* Whole digests of manifests too: what a registry calls the image. */
    if (!id && length == 64)
        json_array_foreach(json_object_get(index, "manifests"), i,
                           element) if (strcmp(digest_hex(store_index_digest(element)), digits) ==
                                        0)
        {
            *found = element;
            return 1;
        }
    return id != NULL;
}

/* By "repository@digest": as noted when it was pulled, or the manifest's own in that repository. */
static const json_t *find_by_digest(const json_t *index, const struct reference *reference)
{
    char repository[REFERENCE_TEXT_SIZE], name[REFERENCE_TEXT_SIZE];
    reference_format_repository(reference, repository);
    scope_free char *wanted = memory_format("%s@%s", repository, reference->digest);
    json_t *element;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        scope_image struct image holder = {0};
        take_names(&holder, element);
        for (size_t j = 0; j < holder.digest_count; j++)
            if (strcmp(holder.digests[j], wanted) == 0)
                return element;
        if (strcmp(store_index_digest(element), reference->digest) != 0)
            continue;
        snprintf(name, sizeof name, "%s", store_index_name(element));
        if (strncmp(name, repository, strlen(repository)) == 0 && name[strlen(repository)] == ':')
            return element;
    }
    return NULL;
}

static const json_t *find_by_name(json_t *index, const char *text)
{
    struct reference reference;
    char name[REFERENCE_TEXT_SIZE];
    if (reference_parse(text, &reference, NULL) < 0)
        return NULL;
    if (*reference.digest)
        return find_by_digest(index, &reference);
    reference_default_tag(&reference);
    return store_index_find(index, reference_format(&reference, name));
}

int store_find_element(struct image_store *store, json_t *index, const char *text,
                       const json_t **element, bool *by_name, struct error *err)
{
    *element = find_by_name(index, text);
    /* As others wrote it into the layout: "busybox", not docker.io/library/busybox:latest. */
    if (!*element && *text)
        *element = store_index_find(index, text);
    *by_name = *element != NULL;
    if (*element)
        return 1;
    if (!looks_like_id(text))
        return 0;
    scope_free char(*ids)[IMAGE_DIGEST_SIZE] = read_ids(store, index, false);
    return find_by_id(index, ids, text, element, err);
}

/* *again: it was removed while it was read, and the name may be another image's now. */
static int find_once(struct image_store *store, const char *text, struct image *image, bool *again,
                     struct error *err)
{
    *again = false;
    *image = (struct image){0};
    json_t *index = store_index_read(store, err);
    if (!index)
        return -1;
    const json_t *element = NULL;
    bool by_name;
    int found = store_find_element(store, index, text, &element, &by_name, err);
    if (found == 1 && store_image_read(store, index, element, image, err) < 0) {
        *again = is_gone(store, element);
        found = -1;
    }
    json_decref(index);
    return found;
}

int image_find(struct image_store *store, const char *text, struct image *image, struct error *err)
{
    bool again;
    int found, attempts = 0;
    do
        found = find_once(store, text, image, &again, err);
    while (again && ++attempts < 10);
    return found;
}

static int compare_ages(const void *left, const void *right)
{
    const struct image *one = left, *other = right;
    if (one->created != other->created)
        return one->created < other->created ? 1 : -1;
    return strcmp(one->id, other->id);
}

int store_index_list(struct image_store *store, const json_t *index, struct image_list *list)
{
    json_t *element, *manifests = json_object_get(index, "manifests");
    *list = (struct image_list){
        .images = memory_allocate(json_array_size(manifests), sizeof *list->images)};
    scope_free char(*ids)[IMAGE_DIGEST_SIZE] = read_ids(store, index, true);
    struct store_set seen = {0};
    size_t i;
    json_array_foreach(manifests, i, element)
    {
        struct error err = {0};
        if (!*ids[i] || store_set_has(&seen, ids[i]))
            continue;
        store_set_add(&seen, ids[i]);
        if (read_image(store, index, ids, element, &list->images[list->count], &err) == 0)
            list->count++;
        else if (!is_gone(store, element))
            store_warn(store, "image %s: %s", store_index_name(element), err.text);
    }
    json_decref(seen.members);
    qsort(list->images, list->count, sizeof *list->images, compare_ages);
    return 0;
}

int image_list(struct image_store *store, struct image_list *list, struct error *err)
{
    *list = (struct image_list){0};
    json_t *index = store_index_read(store, err);
    if (!index)
        return -1;
    int result = store_index_list(store, index, list);
    json_decref(index);
    return result;
}

void image_list_release(struct image_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        image_release(&list->images[i]);
    free(list->images);
    *list = (struct image_list){0};
}
