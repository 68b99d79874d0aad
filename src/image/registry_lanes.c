#include "image/registry_lanes.h"

#include <sys/types.h>

#define LANES_MAX 32

struct lanes {
    const struct registry_session *session;
    int (*work)(void *context, struct registry_http *http, size_t index, struct error *err);
    void *context;
    size_t count;
    struct registry_cancel cancel;
    pthread_mutex_t mutex; /* of all below */
    size_t next;
    bool failed;
    struct error error;
};

/* The first failure counts; those that follow from it don't. */
static void fail(struct lanes *lanes, const struct error *err)
{
    pthread_mutex_lock(&lanes->mutex);
    if (!lanes->failed)
        lanes->error = *err;
    lanes->failed = true;
    pthread_mutex_unlock(&lanes->mutex);
    registry_cancel_all(&lanes->cancel);
}

/* The next index, or -1. */
static ssize_t take_index(struct lanes *lanes)
{
    pthread_mutex_lock(&lanes->mutex);
    ssize_t index = lanes->failed || lanes->next == lanes->count ? -1 : (ssize_t)lanes->next++;
    pthread_mutex_unlock(&lanes->mutex);
    return index;
}

static void *run(void *argument)
{
    struct lanes *lanes = argument;
    scope_registry_http struct registry_http http = {0};
    struct error err = {0};
    int status = registry_http_open(&http, lanes->session->config, lanes->session->host, &err);
    http.cancel = &lanes->cancel;
    for (ssize_t index; status == 0 && (index = take_index(lanes)) >= 0;)
        status = lanes->work(lanes->context, &http, (size_t)index, &err);
    if (status < 0)
        fail(lanes, &err);
    return NULL;
}

int registry_lanes_run(const struct registry_session *session, size_t count,
                       int (*work)(void *context, struct registry_http *http, size_t index,
                                   struct error *err),
                       void *context, struct error *err)
{
    struct lanes lanes = {.session = session, .work = work, .context = context, .count = count};
    size_t parallel = (size_t)session->config->parallel, started = 0;
    pthread_t threads[LANES_MAX];
    if (count == 0)
        return 0;
    pthread_mutex_init(&lanes.mutex, NULL);
    registry_cancel_open(&lanes.cancel);
    while (started < parallel && started < count && started < LANES_MAX &&
           pthread_create(&threads[started], NULL, run, &lanes) == 0)
        started++;
    if (started == 0)
        run(&lanes);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    registry_cancel_close(&lanes.cancel);
    pthread_mutex_destroy(&lanes.mutex);
    if (lanes.failed && err)
        *err = lanes.error;
    return lanes.failed ? -1 : 0;
}
