#include "image/registry_upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"

#define CHUNK (64ll << 20)
#define MOUNTS_MAX 3

struct sending {
    struct registry_upload *upload;
    int fd;
    char *location; /* of the upload that is open there, absolute; or NULL */
    int64_t offset; /* what the registry has of it */
    int64_t chunk;  /* how much goes in a request */
    bool whole;     /* no chunks: the registry doesn't take them */
};

/* HEAD: 1, 0 or -1. */
static int exists(struct registry_upload *upload, struct error *err)
{
    scope_registry_http_response struct registry_http_response response = {0};
    scope_free char *url = registry_session_url(upload->session, "blobs/%s", upload->digest);
    struct registry_http_request request = {.method = "HEAD", .url = url};
    if (registry_session_send(upload->session, upload->http, &request, &response, err) < 0)
        return -1;
    if (response.status == 200)
        return response.content_length < 0 || response.content_length == upload->size;
    return response.status == 404
               ? 0
               : registry_session_refuse(upload->session, "blob", &response, err);
}

/* Whether a URL is the registry's own, that credentials are for. */
static bool is_own(const struct registry_session *session, const char *url)
{
    size_t length = strlen(session->base);
    return strncasecmp(url, session->base, length) == 0 && url[length] == '/';
}

/* Where the rest goes. A registry behind a proxy may not know that it speaks TLS. */
static int keep_location(struct sending *sending, const struct registry_http_response *response,
                         struct error *err)
{
    const struct registry_session *session = sending->upload->session;
    char ours[256], theirs[256];
    char *location =
        response->location ? registry_http_resolve(response->url, response->location) : NULL;
    if (!location)
        return error_set(err, 0, "blob %.19s: %s doesn't say where to send it",
                         sending->upload->digest, session->host);
    bool downgraded =
        strncasecmp(location, "http://", 7) == 0 && strncasecmp(session->base, "https://", 8) == 0;
    if (downgraded && registry_http_authority(location, theirs) &&
        registry_http_authority(session->base, ours) && strcasecmp(ours, theirs) == 0) {
        char *upgraded = memory_format("https://%s", location + 7);
        free(location);
        location = upgraded;
        downgraded = false;
    }
    if (downgraded) {
        free(location);
        return error_set(err, 0, "blob %.19s: %s wants it sent without encryption",
                         sending->upload->digest, session->host);
    }
    free(sending->location);
    sending->location = location;
    if (response->chunk_least > sending->chunk)
        sending->chunk = response->chunk_least;
    return 0;
}

static int send_once(struct sending *sending, struct registry_http_request *request,
                     struct registry_http_response *response, struct error *err)
{
    struct registry_upload *upload = sending->upload;
    if (is_own(upload->session, request->url))
        return registry_session_send_once(upload->session, upload->http, request, response, err);
    return registry_http_send(upload->http, request, response, err);
}

/* POST: opens an upload. 1: a mount made it unnecessary. */
static int open_upload(struct sending *sending, const char *mount, struct error *err)
{
    struct registry_upload *upload = sending->upload;
    scope_registry_http_response struct registry_http_response response = {0};
    scope_free char *url =
        mount ? registry_session_url(upload->session, "blobs/uploads/?mount=%s&from=%s",
                                     upload->digest, mount)
              : registry_session_url(upload->session, "blobs/uploads/");
    struct registry_http_request request = {.method = "POST", .url = url, .has_body = true};
    if (registry_session_send(upload->session, upload->http, &request, &response, err) < 0)
        return -1;
    if (mount && response.status == 201)
        return 1;
    if (response.status != 202 && response.status != 201)
        return mount ? 0 : registry_session_refuse(upload->session, "upload", &response, err);
    sending->offset = 0;
    return keep_location(sending, &response, err);
}

static void close_upload(struct sending *sending)
{
    scope_registry_http_response struct registry_http_response response = {0};
    struct registry_http_request request = {.method = "DELETE", .url = sending->location};
    if (sending->location)
        send_once(sending, &request, &response, NULL); /* else the registry drops it one day */
    free(sending->location);
    sending->location = NULL;
}

/* 1: done. */
static int try_mounts(struct sending *sending, struct error *err)
{
    const char *const *mount = sending->upload->mounts;
    for (int i = 0; mount && mount[i] && i < MOUNTS_MAX; i++) {
        registry_session_add_repository(sending->upload->session, mount[i]);
        close_upload(sending);
        int status = open_upload(sending, mount[i], err);
        if (status != 0)
            return status;
    }
    return 0;
}

static void tell_progress(void *context, int64_t bytes)
{
    const struct sending *sending = context;
    const struct registry_upload *upload = sending->upload;
    image_progress_update(upload->progress, upload->item, IMAGE_PROGRESS_UPLOADING,
                          sending->offset + bytes, upload->size);
}

/* The last request, with all bytes or none: it names the digest, which the registry verifies. */
static int put(struct sending *sending, bool with_bytes, struct registry_http_response *response,
               struct error *err)
{
    const struct registry_upload *upload = sending->upload;
    scope_free char *url =
        memory_format("%s%cdigest=%s", sending->location,
                      strchr(sending->location, '?') ? '&' : '?', upload->digest);
    struct registry_http_request request = {
        .method = "PUT",
        .url = url,
        .content_type = "application/octet-stream",
        .has_body = !with_bytes,
        .has_file = with_bytes,
        .file = sending->fd,
        .length = with_bytes ? upload->size : 0,
        .sent = with_bytes ? tell_progress : NULL,
        .context = sending,
    };
    return send_once(sending, &request, response, err);
}

/* The next chunk. */
static int patch(struct sending *sending, struct registry_http_response *response,
                 struct error *err)
{
    const struct registry_upload *upload = sending->upload;
    int64_t length = upload->size - sending->offset, next;
    char range[64];
    if (length > sending->chunk)
        length = sending->chunk;
    snprintf(range, sizeof range, "%lld-%lld", (long long)sending->offset,
             (long long)(sending->offset + length - 1));
    struct registry_http_request request = {
        .method = "PATCH",
        .url = sending->location,
        .content_type = "application/octet-stream",
        .content_range = range,
        .has_file = true,
        .file = sending->fd,
        .offset = sending->offset,
        .length = length,
        .sent = tell_progress,
        .context = sending,
    };
    if (send_once(sending, &request, response, err) < 0)
        return -1;
    if (response->status != 202 && response->status != 201 && response->status != 204)
        return 0;
    if (keep_location(sending, response, err) < 0)
        return -1;
    bool told = response->range && registry_parse_upload_range(response->range, &next) &&
                next > sending->offset && next <= sending->offset + length;
    sending->offset = told ? next : sending->offset + length;
    return 0;
}

/* One turn. The response is that which ended it: 201 is success. */
static int send_bytes(struct sending *sending, struct registry_http_response *response,
                      struct error *err)
{
    const struct registry_upload *upload = sending->upload;
    if (sending->whole || upload->size <= sending->chunk)
        return put(sending, true, response, err);
    while (sending->offset < upload->size) {
        int64_t before = sending->offset;
        if (patch(sending, response, err) < 0)
            return -1;
        if (sending->offset == before)
            return 0; /* refused */
        registry_http_response_release(response);
    }
    return put(sending, false, response, err);
}

/* After a broken connection: what the registry has, or a new upload. 1: all, as another sent it. */
static int find_state(struct sending *sending, struct error *err)
{
    struct registry_upload *upload = sending->upload;
    int have = exists(upload, err);
    if (have != 0)
        return have;
    if (sending->location && !sending->whole && upload->size > sending->chunk) {
        scope_registry_http_response struct registry_http_response response = {0};
        struct registry_http_request request = {.url = sending->location};
        int64_t next = 0;
        if (send_once(sending, &request, &response, NULL) == 0 && response.status == 204 &&
            response.range && registry_parse_upload_range(response.range, &next) &&
            next <= upload->size && keep_location(sending, &response, NULL) == 0) {
            sending->offset = next;
            return 0;
        }
    }
    close_upload(sending);
    return open_upload(sending, NULL, err);
}

/* A registry that takes no chunks may still take the whole. */
static bool refuses_chunks(const struct sending *sending, long status)
{
    return !sending->whole && sending->upload->size > sending->chunk &&
           (status == 400 || status == 404 || status == 405 || status == 416 || status == 501);
}

static int send_blob(struct sending *sending, struct error *err)
{
    struct registry_upload *upload = sending->upload;
    struct registry_attempts attempts = {0};
    int64_t counted = 0;
    int state = sending->location ? 0 : open_upload(sending, NULL, err);
    while (state == 0) {
        scope_registry_http_response struct registry_http_response response = {0};
        struct error failed = {0};
        int status = send_bytes(sending, &response, &failed);
        if (status == 0 && (response.status == 201 || response.status == 204))
            return 0;
        if (sending->offset > counted)
            attempts.failed = 0;
        counted = sending->offset;
        if (status == 0 && refuses_chunks(sending, response.status)) {
            sending->whole = true;
        } else if (!registry_may_retry(status, &response, &failed) ||
                   !registry_attempts_wait(&attempts, upload->http, &response)) {
            if (status == 0)
                return registry_session_refuse(upload->session, "upload", &response, err);
            if (err)
                *err = failed;
            return -1;
        } else {
            image_progress_update(upload->progress, upload->item, IMAGE_PROGRESS_RETRYING,
                                  sending->offset, upload->size);
        }
        state = find_state(sending, err);
    }
    return state < 0 ? -1 : 0;
}

int registry_upload(struct registry_upload *upload, struct error *err)
{
    int64_t size;
    upload->result = REGISTRY_UPLOAD_EXISTED;
    int have = exists(upload, err);
    if (have != 0)
        return have < 0 ? -1 : 0;
    scope_close int fd = image_blob_open(upload->store, upload->digest, &size, err);
    if (fd < 0)
        return -1;
    if (size != upload->size)
        return error_set(err, 0, "blob %.19s has %lld bytes, and its manifest says %lld",
                         upload->digest, (long long)size, (long long)upload->size);
    struct sending sending = {.upload = upload, .fd = fd, .chunk = CHUNK};
    int status = try_mounts(&sending, err);
    upload->result = status == 1 ? REGISTRY_UPLOAD_MOUNTED : REGISTRY_UPLOAD_SENT;
    if (status == 0)
        status = send_blob(&sending, err);
    if (status < 0) {
        close_upload(&sending);
        return error_wrap(err, "blob %.19s", upload->digest);
    }
    free(sending.location);
    return 0;
}
