#include "image/registry_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "image/registry_session.h"

#define ITEM "archive" /* for the progress */

struct fetch {
    struct registry_http_sink sink; /* first: it is what the request has */
    const struct image_progress *progress;
    int fd;
    int64_t limit, total, done;
};

static int check_length(const struct fetch *fetch, int64_t length, struct error *err)
{
    return length <= fetch->limit
               ? 0
               : error_set(err, 0, "it is longer than the %lld MiB that there is room for",
                           (long long)(fetch->limit >> 20));
}

/* After a broken connection from the beginning: nothing says that the rest would be of the same. */
static int begin(struct registry_http_sink *sink, const struct registry_http_response *response,
                 struct error *err)
{
    struct fetch *fetch = (struct fetch *)sink;
    fetch->total = response->content_length > 0 ? response->content_length : 0;
    fetch->done = 0;
    if (response->status != 200)
        return error_set(err, 0, "HTTP status %ld", response->status);
    if (ftruncate(fetch->fd, 0) < 0 || lseek(fetch->fd, 0, SEEK_SET) < 0)
        return error_set(err, errno, "can't write the archive");
    return check_length(fetch, fetch->total, err);
}

static int take(struct registry_http_sink *sink, const void *bytes, size_t count, struct error *err)
{
    struct fetch *fetch = (struct fetch *)sink;
    fetch->done += (int64_t)count;
    if (check_length(fetch, fetch->done, err) < 0)
        return -1;
    if (file_write_all(fetch->fd, bytes, count) < 0)
        return error_set(err, errno, "can't write the archive");
    image_progress_update(fetch->progress, ITEM, IMAGE_PROGRESS_DOWNLOADING, fetch->done,
                          fetch->total);
    return 0;
}

static int refuse(long status, struct error *err)
{
    error_set(err, 0, "the server answers HTTP status %ld", status);
    if (err)
        err->code = status == 404 ? ENOENT : status == 401 || status == 403 ? EACCES : 0;
    return -1;
}

/* As often as is configured, unless it is of no use. */
static int fetch_patiently(struct fetch *fetch, struct registry_http *http, const char *url,
                           struct error *err)
{
    const struct registry_http_request request = {.url = url, .sink = &fetch->sink};
    struct registry_attempts attempts = {0};
    for (;;) {
        scope_registry_http_response struct registry_http_response response = {0};
        struct error failed = {0};
        int status = registry_http_send(http, &request, &response, &failed);
        if (status == 0 && response.status >= 200 && response.status < 300)
            return 0;
        if (registry_may_retry(status, &response, &failed)) {
            image_progress_update(fetch->progress, ITEM, IMAGE_PROGRESS_RETRYING, fetch->done,
                                  fetch->total);
            if (registry_attempts_wait(&attempts, http, &response))
                continue;
        }
        if (status == 0)
            return refuse(response.status, err);
        if (err)
            *err = failed;
        return -1;
    }
}

int registry_client_fetch_file(const char *url, int fd, int64_t limit,
                               const struct image_progress *progress, struct error *err)
{
    scope_registry_config struct registry_config config;
    scope_registry_http struct registry_http http = {0};
    struct fetch fetch = {.sink = {begin, take}, .progress = progress, .fd = fd, .limit = limit};
    char authority[256];
    int shown = (int)strcspn(url, "?"); /* the rest may be somebody's secret */
    if (registry_config_load(&config, err) < 0)
        return -1;
    if (!registry_http_authority(url, authority))
        return error_set(err, 0, "%.*s isn't http://HOST/PATH or https://HOST/PATH", shown, url);
    if (registry_http_open(&http, &config, authority, err) < 0)
        return -1;
    struct error failed = {0};
    int status = fetch_patiently(&fetch, &http, url, &failed);
    image_progress_update(progress, ITEM,
                          status < 0 ? IMAGE_PROGRESS_FAILED : IMAGE_PROGRESS_COMPLETE, fetch.done,
                          fetch.done);
    if (status == 0)
        return lseek(fd, 0, SEEK_SET) < 0 ? error_set(err, errno, "can't read the archive") : 0;
    /* What libcurl says names the URL already. */
    if (strncmp(failed.text, url, (size_t)shown) != 0)
        error_wrap(&failed, "%.*s", shown, url);
    if (err)
        *err = failed;
    return -1;
}
