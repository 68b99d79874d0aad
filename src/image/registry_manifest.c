#include "image/registry_manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "image/digest.h"

#define TAGS_MAX 100000

#define ACCEPT                                                                                     \
    IMAGE_TYPE_OCI_INDEX ", " IMAGE_TYPE_OCI_MANIFEST ", " IMAGE_TYPE_DOCKER_LIST                  \
                         ", " IMAGE_TYPE_DOCKER_MANIFEST

void registry_manifest_release(struct registry_manifest *manifest)
{
    free(manifest->bytes);
    *manifest = (struct registry_manifest){0};
}

int registry_manifest_ask(struct registry_session *session, struct registry_http *http,
                          const char *reference, char digest[IMAGE_DIGEST_SIZE], struct error *err)
{
    scope_registry_http_response struct registry_http_response response = {0};
    scope_free char *url = registry_session_url(session, "manifests/%s", reference);
    struct registry_http_request request = {.method = "HEAD", .url = url, .accept = ACCEPT};
    if (registry_session_send(session, http, &request, &response, err) < 0)
        return -1;
    if (response.status == 405 || response.status == 501 || response.status == 400)
        return 0;
    if (response.status != 200)
        return registry_session_refuse(session, "manifest", &response, err);
    if (!response.digest || !reference_is_digest(response.digest))
        return 0;
    strcpy(digest, response.digest);
    return 1;
}

/* The type that the document gives itself counts, and its form where it gives none; the header's
 * is often wrong. */
static void find_media_type(struct registry_manifest *manifest, const char *said)
{
    json_auto_t *document = json_loadb(manifest->bytes, manifest->length, 0, NULL);
    const char *type = json_string_value(json_object_get(document, "mediaType"));
    size_t length = said ? strcspn(said, "; \t") : 0;
    if (!type && json_is_array(json_object_get(document, "manifests")))
        type = IMAGE_TYPE_OCI_INDEX;
    if (!type && (length == 0 || strncmp(said, "application/vnd.", 16) != 0))
        type = IMAGE_TYPE_OCI_MANIFEST;
    if (type)
        snprintf(manifest->media_type, sizeof manifest->media_type, "%s", type);
    else
        snprintf(manifest->media_type, sizeof manifest->media_type, "%.*s", (int)length, said);
}

int registry_manifest_get(struct registry_session *session, struct registry_http *http,
                          const char *reference, struct registry_manifest *manifest,
                          struct error *err)
{
    scope_registry_http_response struct registry_http_response response = {0};
    scope_free char *url = registry_session_url(session, "manifests/%s", reference);
    struct registry_http_request request = {.url = url, .accept = ACCEPT};
    *manifest = (struct registry_manifest){0};
    if (registry_session_send(session, http, &request, &response, err) < 0)
        return error_wrap(err, "manifest");
    if (response.status != 200)
        return registry_session_refuse(session, "manifest", &response, err);
    if (response.length == 0)
        return error_set(err, 0, "manifest: %s sent nothing", session->host);
    manifest->bytes = scope_take_pointer(response.body);
    manifest->length = response.length;
    response.length = 0;
    digest_compute(manifest->bytes, manifest->length, manifest->digest);
    const char *expected = reference_is_digest(reference) ? reference : response.digest;
    if (expected && reference_is_digest(expected) && strcmp(expected, manifest->digest) != 0)
        return error_set(err, 0,
                         "manifest: the digest of what came is %s instead of %s (it was damaged "
                         "on its way, or %s is not to be trusted)",
                         manifest->digest, expected, session->host);
    find_media_type(manifest, response.content_type);
    return 0;
}

json_t *registry_manifest_choose(const struct registry_manifest *index,
                                 const struct platform *wanted, struct error *err)
{
    json_auto_t *document = json_loadb(index->bytes, index->length, 0, NULL);
    const json_t *list = json_object_get(document, "manifests");
    if (!json_is_array(list)) {
        error_set(err, 0, "its index isn't valid: it has no manifests");
        return NULL;
    }
    json_t *chosen = platform_select(list, wanted, err);
    const char *digest = json_string_value(json_object_get(chosen, "digest"));
    if (chosen && (!digest || !reference_is_digest(digest))) {
        error_set(err, 0, "its index isn't valid: a manifest has no sha256 digest");
        return NULL;
    }
    return json_incref(chosen);
}

int registry_manifest_put(struct registry_session *session, struct registry_http *http,
                          const char *reference, const struct registry_manifest *manifest,
                          bool *knows_subject, struct error *err)
{
    scope_registry_http_response struct registry_http_response response = {0};
    scope_free char *url = registry_session_url(session, "manifests/%s", reference);
    struct registry_http_request request = {
        .method = "PUT",
        .url = url,
        .content_type = manifest->media_type,
        .body = manifest->bytes,
        .length = (int64_t)manifest->length,
        .has_body = true,
    };
    if (registry_session_send(session, http, &request, &response, err) < 0)
        return error_wrap(err, "manifest");
    if (response.status != 201 && response.status != 200 && response.status != 202)
        return registry_session_refuse(session, "manifest", &response, err);
    if (response.digest && reference_is_digest(response.digest) &&
        strcmp(response.digest, manifest->digest) != 0)
        return error_set(err, 0, "manifest: %s keeps it as %s instead of %s", session->host,
                         response.digest, manifest->digest);
    if (knows_subject)
        *knows_subject = response.subject != NULL;
    return 0;
}

void registry_tags_free(char **tags, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(tags[i]);
    free(tags);
}

/* One page; *next is the URL of the following one, or NULL. */
static int read_page(struct registry_session *session, const char *url,
                     const struct registry_http_response *response, char ***tags, size_t *count,
                     char **next, struct error *err)
{
    json_auto_t *page = json_loadb(response->body ? response->body : "", response->length, 0, NULL);
    const json_t *list = json_object_get(page, "tags"), *tag;
    size_t i;
    *next = NULL;
    if (!json_is_object(page) || (list && !json_is_array(list) && !json_is_null(list)))
        return error_set(err, 0, "tags: %s sent no list", session->host);
    json_array_foreach(list, i, tag)
    {
        const char *name = json_string_value(tag);
        if (!name || *count == TAGS_MAX)
            return error_set(err, 0, "tags: %s sent %s", session->host,
                             name ? "too many" : "something else");
        *tags = memory_resize(*tags, *count + 1, sizeof **tags);
        (*tags)[(*count)++] = memory_copy_string(name);
    }
    return registry_session_next_page(session, url, response, next, err) < 0
               ? error_wrap(err, "tags")
               : 0;
}

int registry_tags_get(struct registry_session *session, struct registry_http *http, char ***tags,
                      size_t *count, struct error *err)
{
    char *url = registry_session_url(session, "tags/list"), *next = NULL;
    int status = 0;
    *tags = NULL;
    *count = 0;
    for (size_t before; url; free(url), url = next) {
        scope_registry_http_response struct registry_http_response response = {0};
        struct registry_http_request request = {.url = url};
        before = *count;
        next = NULL;
        status = registry_session_send(session, http, &request, &response, err);
        if (status == 0 && response.status != 200)
            status = registry_session_refuse(session, "tags", &response, err);
        if (status == 0)
            status = read_page(session, url, &response, tags, count, &next, err);
        if (status < 0 || *count == before) { /* a page without tags is the last */
            free(next);
            next = NULL;
        }
    }
    if (status < 0) {
        registry_tags_free(*tags, *count);
        *tags = NULL;
        *count = 0;
    }
    return status;
}
