#include "image/registry_referrers.h"

#include <errno.h>
#include <string.h>

#include "base/scope.h"
#include "image/digest.h"

int registry_subject(const struct registry_manifest *manifest, char digest[IMAGE_DIGEST_SIZE])
{
    json_auto_t *document = json_loadb(manifest->bytes, manifest->length, 0, NULL);
    const char *subject =
        json_string_value(json_object_get(json_object_get(document, "subject"), "digest"));
    if (!subject || !reference_is_digest(subject))
        return 0;
    strcpy(digest, subject);
    return 1;
}

/* The index as it is, or an empty one. */
static json_t *get_index(struct registry_session *session, struct registry_http *http,
                         const char *tag, struct error *err)
{
    scope_registry_manifest struct registry_manifest found = {0};
    struct error failed = {0};
    json_t *index = NULL;
    if (registry_manifest_get(session, http, tag, &found, &failed) == 0)
        index = json_loadb(found.bytes, found.length, 0, NULL);
    else if (failed.code != ENOENT) {
        error_set(err, 0, "%s", failed.text);
        return NULL;
    }
    if (json_is_object(index) && json_is_array(json_object_get(index, "manifests")))
        return index;
    json_decref(index);
    return json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", IMAGE_TYPE_OCI_INDEX,
                     "manifests");
}

static json_t *describe(const struct registry_manifest *manifest)
{
    json_auto_t *document = json_loadb(manifest->bytes, manifest->length, 0, NULL);
    json_t *descriptor = json_pack("{s:s, s:s, s:I}", "mediaType", manifest->media_type, "digest",
                                   manifest->digest, "size", (json_int_t)manifest->length);
    json_t *type = json_object_get(document, "artifactType");
    json_t *annotations = json_object_get(document, "annotations");
    if (!type)
        type = json_object_get(json_object_get(document, "config"), "mediaType");
    if (type)
        json_object_set(descriptor, "artifactType", type);
    if (annotations)
        json_object_set(descriptor, "annotations", annotations);
    return descriptor;
}

int registry_referrers_add(struct registry_session *session, struct registry_http *http,
                           const char *subject, const struct registry_manifest *manifest,
                           struct error *err)
{
    char tag[IMAGE_DIGEST_SIZE];
    strcpy(tag, subject);
    *strchr(tag, ':') = '-';
    json_auto_t *index = get_index(session, http, tag, err);
    if (!index)
        return error_wrap(err, "referrers of %.19s", subject);
    json_t *list = json_object_get(index, "manifests"), *element;
    size_t i;
    json_array_foreach(list, i, element)
    {
        const char *digest = json_string_value(json_object_get(element, "digest"));
        if (digest && strcmp(digest, manifest->digest) == 0)
            return 0;
    }
    json_array_append_new(list, describe(manifest));
    scope_registry_manifest struct registry_manifest updated = {0};
    updated.bytes = json_dumps(index, JSON_COMPACT);
    updated.length = updated.bytes ? strlen(updated.bytes) : 0;
    strcpy(updated.media_type, IMAGE_TYPE_OCI_INDEX);
    digest_compute(updated.bytes, updated.length, updated.digest);
    if (registry_manifest_put(session, http, tag, &updated, NULL, err) < 0)
        return error_wrap(err, "referrers of %.19s", subject);
    return 0;
}
