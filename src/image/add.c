/* Entering images into index.json, and their names. */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

/* Everything the manifest leads to is in the store, and held. */
static int check_blobs(struct image_store *store, struct image_lease *lease,
                       const struct image *image, struct error *err)
{
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct image_descriptor *layer = &image->layers[i];
        int have = image_blob_have(store, lease, layer->digest, layer->size, err);
        if (have < 0)
            return -1;
        if (!have)
            return error_set(err, 0, "layer %s of %lld bytes isn't in the store", layer->digest,
                             (long long)layer->size);
    }
    return 0;
}

static int read_documents(struct image_store *store, struct image_lease *lease, const void *bytes,
                          size_t length, struct image *image, struct error *err)
{
    struct image_descriptor config, *layers;
    size_t count, config_length;
    if (image_manifest_parse(bytes, length, &config, &layers, &count, err) < 0)
        return -1;
    image_descriptors_free(layers, count);
    int have = image_blob_have(store, lease, config.digest, -1, err);
    if (have <= 0)
        return have < 0
                   ? -1
                   : error_set(err, 0, "its configuration %s isn't in the store", config.digest);
    scope_free char *config_bytes =
        image_blob_read(store, config.digest, IMAGE_CONFIG_LIMIT, &config_length, err);
    if (!config_bytes ||
        store_image_fill(store, bytes, length, config_bytes, config_length, image, err) < 0)
        return -1;
    return check_blobs(store, lease, image, err);
}

static json_t *make_descriptor(const struct image *image, size_t length)
{
    json_t *platform = json_pack("{s:s, s:s}", "architecture", image->platform.architecture, "os",
                                 image->platform.os);
    if (*image->platform.variant)
        json_object_set_new(platform, "variant", json_string(image->platform.variant));
    return json_pack("{s:s, s:s, s:I, s:o}", "mediaType", image->media_type, "digest",
                     image->manifest_digest, "size", (json_int_t)length, "platform", platform);
}

static int enter(struct image_store *store, const struct image *image, size_t length,
                 const struct reference *reference, const char *repository_digest,
                 struct error *err)
{
    char name[REFERENCE_TEXT_SIZE], repository[REFERENCE_TEXT_SIZE];
    scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, err);
    json_t *index = lock < 0 ? NULL : store_index_read(store, err);
    if (!index)
        return -1;
    struct reference named = reference ? *reference : (struct reference){0};
    *named.digest = '\0';
    json_t *descriptor = make_descriptor(image, length);
    store_index_add(index, descriptor, *named.tag ? reference_format(&named, name) : NULL);
    json_decref(descriptor);
    if (reference && repository_digest) {
        scope_free char *noted = memory_format(
            "%s@%s", reference_format_repository(reference, repository), repository_digest);
        store_index_note_digest(index, image->manifest_digest, noted);
    }
    int status = store_index_write(store, index, err);
    json_decref(index);
    return status;
}

int image_add_manifest(struct image_store *store, struct image_lease *lease, const void *bytes,
                       size_t length, const char *media_type, const struct reference *reference,
                       const char *repository_digest, struct image *image, struct error *err)
{
    scope_image struct image added = {0};
    if (repository_digest && !reference_is_digest(repository_digest))
        return error_set(err, 0, "'%.100s' is not a sha256 digest", repository_digest);
    snprintf(added.media_type, sizeof added.media_type, "%s", media_type ? media_type : "");
    if (read_documents(store, lease, bytes, length, &added, err) < 0)
        return -1;
    if (image_blob_add(store, lease, bytes, length, NULL, added.manifest_digest, err) < 0 ||
        store_synchronise(store, err) < 0)
        return -1;
    store_layers_settle(store, &added);
    if (enter(store, &added, length, reference, repository_digest, err) < 0)
        return -1;
    if (!image)
        return 0;
    char id[IMAGE_DIGEST_SIZE];
    strcpy(id, added.id);
    int found = image_find(store, id, image, err);
    return found < 0 ? -1 : found == 1 ? 0 : error_set(err, 0, "image %s was just removed", id);
}

struct change {
    const char *name;      /* to be added, or NULL */
    const char *digest;    /* "repository@sha256:…" to be noted, or NULL */
    const char *platforms; /* of the name, or of no name; NULL: stays as it is */
};

/* Changes the elements of an image under the lock. */
static int change(struct image_store *store, const struct image *image, const struct change *wanted,
                  struct error *err)
{
    scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, err);
    json_t *index = lock < 0 ? NULL : store_index_read(store, err);
    if (!index)
        return -1;
    json_t *element, *found = NULL;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i,
                       element) if (strcmp(store_index_digest(element), image->manifest_digest) ==
                                    0) found = element;
    int status = found ? 0 : error_set(err, 0, "image %.19s was just removed", image->id);
    if (found) {
        json_t *descriptor = json_deep_copy(found);
        if (wanted->name)
            store_index_add(index, descriptor, wanted->name);
        json_decref(descriptor);
        if (wanted->platforms)
            store_index_set_platforms(index, image->manifest_digest, wanted->name,
                                      wanted->platforms);
        if (wanted->digest)
            store_index_note_digest(index, image->manifest_digest, wanted->digest);
        status = store_index_write(store, index, err);
    }
    json_decref(index);
    return status;
}

int image_tag(struct image_store *store, const struct image *image,
              const struct reference *reference, struct error *err)
{
    char name[REFERENCE_TEXT_SIZE];
    struct reference tagged = *reference;
    if (*tagged.digest)
        return error_set(err, 0, "an image can't be named by a digest (give a name and a tag)");
    reference_default_tag(&tagged);
    const struct change wanted = {.name = reference_format(&tagged, name),
                                  .platforms = image->index_digest};
    return change(store, image, &wanted, err);
}

int image_note_index(struct image_store *store, const struct image *image, const char *index_digest,
                     struct error *err)
{
    return change(store, image, &(struct change){.platforms = index_digest}, err);
}

int image_note_digest(struct image_store *store, const struct image *image,
                      const struct reference *reference, struct error *err)
{
    char repository[REFERENCE_TEXT_SIZE];
    if (!reference_is_digest(reference->digest))
        return error_set(err, 0, "the reference has no digest");
    scope_free char *text = memory_format(
        "%s@%s", reference_format_repository(reference, repository), reference->digest);
    return change(store, image, &(struct change){.digest = text}, err);
}
