#include "image/registry_referrers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "image/digest.h"

#define PAGES_MAX 250
#define BYTES_MAX (64u << 20) /* of all pages */

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

/* The tag of the index of what refers to a digest. */
static void format_tag(const char *subject, char tag[IMAGE_DIGEST_SIZE])
{
    strcpy(tag, subject);
    *strchr(tag, ':') = '-';
}

/* ---- Entering ---- */

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

int registry_referrers_add(struct registry_session *session, struct registry_http *http,
                           const char *subject, const struct registry_manifest *manifest,
                           struct error *err)
{
    char tag[IMAGE_DIGEST_SIZE];
    format_tag(subject, tag);
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
    json_auto_t *document = json_loadb(manifest->bytes, manifest->length, 0, NULL);
    json_array_append_new(list, referrer_describe(document, manifest->media_type, manifest->digest,
                                                  manifest->length));
    scope_registry_manifest struct registry_manifest updated = {0};
    updated.bytes = json_dumps(index, JSON_COMPACT);
    updated.length = updated.bytes ? strlen(updated.bytes) : 0;
    strcpy(updated.media_type, IMAGE_TYPE_OCI_INDEX);
    digest_compute(updated.bytes, updated.length, updated.digest);
    if (registry_manifest_put(session, http, tag, &updated, NULL, err) < 0)
        return error_wrap(err, "referrers of %.19s", subject);
    return 0;
}

/* ---- Listing ---- */

struct listing {
    struct registry_session *session;
    struct registry_http *http;
    const char *wanted;
    struct referrers *referrers;
    size_t pages, bytes;
    size_t invalid;
    struct error reason; /* of the first that isn't valid */
};

/* An answer, or what has the tag. Whoever may push to the repository may have written it, so that
 * one which isn't valid doesn't keep us from the others. Types are compared here, whatever filters
 * the registry says that it applied. err isn't NULL; its code is E2BIG if there are too many. */
static int read_index(struct listing *listing, const char *bytes, size_t length, struct error *err)
{
    json_auto_t *index = json_loadb(bytes ? bytes : "", length, 0, NULL);
    const json_t *list = json_object_get(index, "manifests"), *element;
    size_t i;
    if (!json_is_object(index) || (!json_is_array(list) && !json_is_null(list)))
        return error_set(err, 0, "%s sent no list", listing->session->host);
    json_array_foreach(list, i, element)
    {
        struct error failed = {0};
        if (referrers_add(listing->referrers, element, listing->wanted, &failed) == 0)
            continue;
        if (failed.code == E2BIG) {
            error_set(err, 0, "%s sends too many: %s", listing->session->host, failed.text);
            err->code = E2BIG;
            return -1;
        }
        if (listing->invalid++ == 0)
            listing->reason = failed;
    }
    return 0;
}

/* One answer of the API: 1 with the URL of the next, or NULL if it is the last; 0 if the registry
 * has no such API; or -1. */
static int get_page(struct listing *listing, const char *url, char **next, struct error *err)
{
    scope_registry_http_response struct registry_http_response response = {0};
    struct registry_http_request request = {.url = url, .accept = IMAGE_TYPE_OCI_INDEX};
    bool is_first = listing->pages++ == 0;
    *next = NULL;
    if (registry_session_send(listing->session, listing->http, &request, &response, err) < 0)
        return -1;
    if (is_first && (response.status == 404 || response.status == 405 || response.status == 501))
        return 0;
    if (response.status != 200)
        return registry_session_refuse(listing->session, "list", &response, err);
    listing->bytes += response.length;
    if (listing->pages > PAGES_MAX || listing->bytes > BYTES_MAX)
        return error_set(err, 0, "the list of %s doesn't end", listing->session->host);
    struct error failed = {0};
    if (read_index(listing, response.body, response.length, &failed) < 0)
        return error_set(err, 0, "%s", failed.text);
    return registry_session_next_page(listing->session, url, &response, next, err) < 0 ? -1 : 1;
}

/* 1, 0 or -1, as get_page(). */
static int get_pages(struct listing *listing, const char *subject, struct error *err)
{
    char *url = registry_session_url(listing->session, "referrers/%s", subject), *next;
    int status = 1;
    if (listing->wanted) {
        char *escaped = curl_easy_escape(listing->http->curl, listing->wanted, 0);
        char *filtered = memory_format("%s?artifactType=%s", url, escaped ? escaped : "");
        curl_free(escaped);
        free(url);
        url = filtered;
    }
    for (; url; url = next) {
        status = get_page(listing, url, &next, err);
        free(url);
    }
    return status;
}

/* What clients that pushed there entered. "If the tag schema does not return a valid image index,
 * the client SHOULD assume there are no referrers". */
static int get_by_tag(struct listing *listing, const char *subject, struct error *err)
{
    scope_registry_manifest struct registry_manifest found = {0};
    struct error failed = {0};
    char tag[IMAGE_DIGEST_SIZE];
    format_tag(subject, tag);
    if (registry_manifest_get(listing->session, listing->http, tag, &found, &failed) < 0) {
        if (failed.code == ENOENT)
            return 0;
        if (err)
            *err = failed;
        return -1;
    }
    if (!image_type_is_index(found.media_type))
        error_set(&failed, 0, "it is a manifest");
    else if (read_index(listing, found.bytes, found.length, &failed) == 0)
        return 0;
    if (failed.code == E2BIG)
        return error_set(err, 0, "%s", failed.text);
    error_wrap(&failed, "the tag %s isn't an index of referrers", tag);
    warnings_say(listing->session->warnings, &failed);
    return 0;
}

int registry_referrers_get(struct registry_session *session, struct registry_http *http,
                           const char *subject, const char *wanted, struct referrers *referrers,
                           struct error *err)
{
    struct listing listing = {
        .session = session, .http = http, .wanted = wanted, .referrers = referrers};
    *referrers = (struct referrers){0};
    int status = get_pages(&listing, subject, err);
    if (status == 0)
        status = get_by_tag(&listing, subject, err);
    if (status < 0)
        return error_wrap(err, "referrers");
    if (listing.invalid > 0) {
        error_wrap(&listing.reason, "%zu referrers that %s lists aren't valid and are passed over",
                   listing.invalid, session->host);
        warnings_say(session->warnings, &listing.reason);
    }
    return 0;
}
