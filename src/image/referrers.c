#include "image/referrers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

void referrers_release(struct referrers *referrers)
{
    for (size_t i = 0; i < referrers->count; i++)
        json_decref(referrers->items[i].annotations);
    free(referrers->items);
    json_decref(referrers->digests);
    *referrers = (struct referrers){0};
}

const char *referrer_type(const json_t *manifest)
{
    const char *type = json_string_value(json_object_get(manifest, "artifactType"));
    if (!type || !*type)
        type = json_string_value(json_object_get(json_object_get(manifest, "config"), "mediaType"));
    return type;
}

bool referrer_is_no_image(const json_t *manifest, char text[REFERRER_TEXT_SIZE])
{
    const char *config =
        json_string_value(json_object_get(json_object_get(manifest, "config"), "mediaType"));
    const char *subject =
        json_string_value(json_object_get(json_object_get(manifest, "subject"), "digest"));
    bool is_empty = config && strcmp(config, "application/vnd.oci.empty.v1+json") == 0;
    if (!config || strcmp(config, IMAGE_TYPE_OCI_CONFIG) == 0 ||
        strcmp(config, IMAGE_TYPE_DOCKER_CONFIG) == 0 ||
        (!is_empty && !json_object_get(manifest, "artifactType")))
        return false;
    bool refers = subject && reference_is_digest(subject);
    snprintf(text, REFERRER_TEXT_SIZE, "an artifact of type %.255s%s%s", referrer_type(manifest),
             refers ? " that refers to " : "", refers ? subject : "");
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return true;
}

json_t *referrer_describe(const json_t *manifest, const char *media_type, const char *digest,
                          size_t length)
{
    json_t *descriptor = json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest,
                                   "size", (json_int_t)length);
    json_t *annotations = json_object_get(manifest, "annotations");
    const char *type = referrer_type(manifest);
    if (type)
        json_object_set_new(descriptor, "artifactType", json_string(type));
    if (annotations)
        json_object_set(descriptor, "annotations", annotations);
    return descriptor;
}

/* A media type has nothing but visible characters (RFC 6838, 4.2), and blanks before parameters. */
static bool take_type(const json_t *value, char *type, size_t size)
{
    const char *text = json_string_value(value);
    if (!value || json_is_null(value))
        return true;
    if (!text || strlen(text) >= size || json_string_length(value) != strlen(text))
        return false;
    for (const char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            return false;
    strcpy(type, text);
    return true;
}

static bool are_texts(const json_t *annotations)
{
    const char *key;
    json_t *value;
    if (!annotations || json_is_null(annotations))
        return true;
    json_object_foreach((json_t *)annotations, key, value)
    {
        if (!json_is_string(value))
            return false;
    }
    return json_is_object(annotations);
}

static int read_descriptor(const json_t *descriptor, struct referrer *referrer, struct error *err)
{
    const char *digest = json_string_value(json_object_get(descriptor, "digest"));
    const json_t *size = json_object_get(descriptor, "size");
    const json_t *annotations = json_object_get(descriptor, "annotations");
    if (!digest || !reference_is_digest(digest))
        return error_set(err, 0, "it has no sha256 digest");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return error_set(err, 0, "%s has no size", digest);
    strcpy(referrer->digest, digest);
    referrer->size = json_integer_value(size);
    if (!take_type(json_object_get(descriptor, "mediaType"), referrer->media_type,
                   sizeof referrer->media_type) ||
        !take_type(json_object_get(descriptor, "artifactType"), referrer->artifact_type,
                   sizeof referrer->artifact_type))
        return error_set(err, 0, "%s has a type that can't be one", digest);
    if (!are_texts(annotations))
        return error_set(err, 0, "%s has annotations that aren't texts", digest);
    return 0;
}

int referrers_add(struct referrers *referrers, const json_t *descriptor, const char *wanted,
                  struct error *err)
{
    struct referrer referrer = {0};
    if (read_descriptor(descriptor, &referrer, err) < 0)
        return -1;
    if (wanted && strcmp(referrer.artifact_type, wanted) != 0)
        return 0;
    if (json_object_get(referrers->digests, referrer.digest))
        return 0;
    if (referrers->count == REFERRERS_MAX) {
        *err = (struct error){.code = E2BIG};
        snprintf(err->text, sizeof err->text, "there are more than %d", REFERRERS_MAX);
        return -1;
    }
    if (!referrers->digests)
        referrers->digests = json_object();
    json_object_set_new(referrers->digests, referrer.digest, json_null());
    json_t *annotations = json_object_get(descriptor, "annotations");
    referrer.annotations = json_is_object(annotations) ? json_incref(annotations) : json_object();
    referrers->items =
        memory_resize(referrers->items, referrers->count + 1, sizeof *referrers->items);
    referrers->items[referrers->count++] = referrer;
    return 0;
}

/* ---- Of the store ---- */

static bool is_known_by(const struct image *image, const char *digest)
{
    if (strcmp(image->manifest_digest, digest) == 0 || strcmp(image->index_digest, digest) == 0)
        return true;
    for (size_t i = 0; i < image->digest_count; i++) {
        const char *at = strchr(image->digests[i], '@');
        if (at && strcmp(at + 1, digest) == 0)
            return true;
    }
    return false;
}

/* An image that is damaged, or just removed, refers to nothing: `image ls` and `system check` tell
 * which it is. */
static int add_element(struct image_store *store, const json_t *element, const struct image *image,
                       const char *wanted, struct referrers *referrers, struct error *err)
{
    size_t length;
    struct error failed = {0};
    const char *digest = store_index_digest(element);
    scope_free char *bytes = image_blob_read(store, digest, IMAGE_MANIFEST_LIMIT, &length, NULL);
    json_auto_t *manifest = bytes ? json_loadb(bytes, length, 0, NULL) : NULL;
    const char *subject =
        json_string_value(json_object_get(json_object_get(manifest, "subject"), "digest"));
    const char *type = json_string_value(json_object_get(element, "mediaType"));
    if (!subject || !is_known_by(image, subject))
        return 0;
    json_auto_t *descriptor =
        referrer_describe(manifest, type ? type : IMAGE_TYPE_OCI_MANIFEST, digest, length);
    if (referrers_add(referrers, descriptor, wanted, &failed) == 0)
        return 0;
    if (failed.code == E2BIG)
        return error_set(err, 0, "%s", failed.text);
    store_warn(store, "a referrer is passed over: %s", failed.text);
    return 0;
}

int image_referrers(struct image_store *store, const struct image *image, const char *wanted,
                    struct referrers *referrers, struct error *err)
{
    json_t *index = store_index_read(store, err), *element;
    int status = index ? 0 : -1;
    size_t i;
    *referrers = (struct referrers){0};
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        if (status == 0)
            status = add_element(store, element, image, wanted, referrers, err);
    }
    json_decref(index);
    return status < 0 ? error_wrap(err, "referrers") : 0;
}
