#include "image/registry_download.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"

/* One turn of a download, until its end or that of the connection. */
struct turn {
    struct registry_http_sink sink; /* first: it is what the request has */
    const struct registry_download *download;
    struct image_ingest *ingest;
    bool unpack_failed;
};

static int begin(struct registry_http_sink *sink, const struct registry_http_response *response,
                 struct error *err)
{
    struct turn *turn = (struct turn *)sink;
    const struct image_descriptor *blob = turn->download->descriptor;
    int64_t offset = image_ingest_offset(turn->ingest);
    if (response->status == 206) {
        if (offset > 0 && response->has_content_range && response->first == offset &&
            (response->total < 0 || response->total == blob->size))
            return 0;
        return error_set(err, 0, "blob %.19s: %s sent another part than was asked for",
                         blob->digest, turn->download->session->host);
    }
    if (response->status != 200)
        return error_set(err, 0, "blob %.19s: %s answered HTTP status %ld to a download",
                         blob->digest, turn->download->session->host, response->status);
    if (response->content_length >= 0 && response->content_length != blob->size)
        return error_set(err, 0, "blob %.19s: %s announces %lld bytes, and the manifest says %lld",
                         blob->digest, turn->download->session->host,
                         (long long)response->content_length, (long long)blob->size);
    return offset > 0 ? image_ingest_restart(turn->ingest, err) : 0;
}

static int take(struct registry_http_sink *sink, const void *bytes, size_t count, struct error *err)
{
    struct turn *turn = (struct turn *)sink;
    const struct registry_download *download = turn->download;
    if (download->unpack && image_unpack_status(download->unpack, err) < 0) {
        turn->unpack_failed = true;
        return -1;
    }
    if (image_ingest_write(turn->ingest, bytes, count, err) < 0)
        return -1;
    image_progress_update(download->progress, download->item, IMAGE_PROGRESS_DOWNLOADING,
                          image_ingest_offset(turn->ingest), download->descriptor->size);
    return 0;
}

/* Where the owner of a layer that no registry may have keeps it. Only over TLS, unless the registry
 * is one that needs none: a manifest shouldn't make us talk to what listens on this machine. */
static bool may_follow(const struct registry_download *download, const char *url)
{
    char authority[256];
    return registry_http_authority(url, authority) &&
           (strncasecmp(url, "https://", 8) == 0 ||
            (strncasecmp(url, "http://", 7) == 0 && download->http->insecure));
}

static int ask(struct turn *turn, const char *url, bool foreign,
               struct registry_http_response *response, struct error *err)
{
    const struct registry_download *download = turn->download;
    struct registry_http_request request = {
        .url = url,
        .range_from = image_ingest_offset(turn->ingest),
        .sink = &turn->sink,
    };
    if (foreign)
        return registry_http_send(download->http, &request, response, err);
    return registry_session_send_once(download->session, download->http, &request, response, err);
}

/* Asks one place until the blob is whole, or it gets no further. */
static int download_from(struct turn *turn, const char *url, bool foreign, struct error *err)
{
    const struct registry_download *download = turn->download;
    const struct image_descriptor *blob = download->descriptor;
    struct registry_attempts attempts = {0};
    int64_t counted = image_ingest_offset(turn->ingest);
    while (image_ingest_offset(turn->ingest) < blob->size || blob->size == 0) {
        scope_registry_http_response struct registry_http_response response = {0};
        struct error failed = {0};
        int status = ask(turn, url, foreign, &response, &failed);
        bool answered = status == 0 && response.status >= 200 && response.status < 300;
        int64_t offset = image_ingest_offset(turn->ingest);
        if (answered && offset == blob->size)
            return 0;
        if (offset - counted > blob->size / 100) {
            attempts.failed = 0; /* it does get on */
            counted = offset;
        }
        if (answered) { /* a connection that ended too early without saying so */
            error_set(&failed, 0, "blob %.19s: only %lld of its %lld bytes came", blob->digest,
                      (long long)offset, (long long)blob->size);
            failed.code = ECONNRESET;
            status = -1;
        } else if (status == 0 && response.status == 416) {
            if (image_ingest_restart(turn->ingest, err) < 0)
                return -1;
            counted = 0;
        } else if (!registry_may_retry(status, &response, &failed)) {
            if (status < 0 && err)
                *err = failed;
            return status < 0 ? -1
                              : registry_session_refuse(download->session, "blob", &response, err);
        }
        image_progress_update(download->progress, download->item, IMAGE_PROGRESS_RETRYING, offset,
                              blob->size);
        if (registry_attempts_wait(&attempts, download->http, &response))
            continue;
        if (status == 0)
            return registry_session_refuse(download->session, "blob", &response, err);
        if (err)
            *err = failed;
        return -1;
    }
    return 0;
}

static int download_all(struct turn *turn, struct error *err)
{
    const struct registry_download *download = turn->download;
    scope_free char *url =
        registry_session_url(download->session, "blobs/%s", download->descriptor->digest);
    int status = download_from(turn, url, false, err);
    for (char **at = download->descriptor->urls; status < 0 && at && *at; at++) {
        if (!may_follow(download, *at) || (err->code != ENOENT && err->code != EACCES))
            continue;
        err->code = 0;
        status = download_from(turn, *at, true, err);
    }
    return status;
}

int registry_download(struct registry_download *download, struct error *err)
{
    const struct image_descriptor *blob = download->descriptor;
    struct turn turn = {.sink = {begin, take}, .download = download};
    struct error failed = {0};
    download->resumed = download->damaged = false;
    int begun = image_ingest_begin(download->store, download->lease, blob->digest, blob->size,
                                   download->unpack, &turn.ingest, err);
    if (begun != 0)
        return begun < 0 ? -1 : 0;
    download->resumed = image_ingest_offset(turn.ingest) > 0;
    image_progress_update(download->progress, download->item, IMAGE_PROGRESS_DOWNLOADING,
                          image_ingest_offset(turn.ingest), blob->size);
    if (download_all(&turn, &failed) < 0) {
        download->damaged = turn.unpack_failed && failed.code != ENOSPC && failed.code != EDQUOT;
        image_ingest_abort(turn.ingest, !turn.unpack_failed);
        if (err)
            *err = failed;
        return -1;
    }
    image_progress_update(download->progress, download->item, IMAGE_PROGRESS_VERIFYING, blob->size,
                          blob->size);
    int status = image_ingest_commit(turn.ingest, NULL, &failed);
    download->damaged = status < 0 && failed.code == 0;
    if (status < 0 && err)
        *err = failed;
    return status;
}
