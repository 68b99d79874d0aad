#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "container/container.h"
#include "oci/verb/output.h"
#include "oci/verb/verb.h"

static int print_event(const char *type, const char *id, json_t *data, struct error *err)
{
    json_t *event = json_pack("{s:s, s:s}", "type", type, "id", id);
    if (data)
        json_object_set_new(event, "data", data);
    return output_json(event, JSON_COMPACT, err);
}

static int print_stats(const struct cgroup *cgroup, const char *id, struct error *err)
{
    json_t *stats = cgroup_stats(cgroup, err);
    return stats ? print_event("stats", id, stats, err) : -1;
}

/* 1: out of memory happened. The watch becomes readable more often than that. */
static int take_oom(const struct cgroup *cgroup, int watch, int64_t *seen)
{
    char drained[4096];
    while (read(watch, drained, sizeof drained) > 0)
        ;
    int64_t now = cgroup_oom_count(cgroup);
    bool more = now > *seen;
    *seen = now > *seen ? now : *seen;
    return more;
}

static long long now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int watch_container(struct record *record, const struct cgroup *cgroup, long long interval,
                           struct error *err)
{
    scope_close int process = record_open_process(record);
    scope_close int watch = cgroup_oom_watch(cgroup, err);
    int64_t seen = cgroup_oom_count(cgroup);
    if (watch < 0)
        return -1;
    /* By the clock: memory.events may change more often than the interval. */
    long long next = now_milliseconds() + interval;
    while (process >= 0) {
        struct pollfd polled[2] = {{process, POLLIN, 0}, {watch, POLLIN, 0}};
        long long left = next - now_milliseconds();
        left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
        if (poll(polled, 2, (int)left) < 0) {
            if (errno == EINTR)
                continue;
            return error_set(err, errno, "can't wait for events");
        }
        if (now_milliseconds() >= next) {
            next += interval;
            if (print_stats(cgroup, record->id, err) < 0)
                return -1;
        }
        if (polled[1].revents && take_oom(cgroup, watch, &seen) &&
            print_event("oom", record->id, NULL, err) < 0)
            return -1;
        if (polled[0].revents)
            break;
    }
    return 0;
}

int verb_events(struct verb_context *context, struct error *err)
{
    struct cgroup cgroup;
    scope_record struct record record = RECORD_CLOSED;
    const char *text = command_value(context->line, "interval");
    int64_t interval = 5000000000; /* ns */
    if ((text && !quantity_read_duration(text, &interval)) || interval < 1000000)
        return error_set(err, 0, "--interval: expected a time such as 5s or 500ms, found '%s'",
                         text);
    if (container_open(&record, &cgroup, context->root, verb_id(context), err) < 0)
        return -1;
    if (record_status(&record) == CONTAINER_STOPPED)
        return error_set(err, 0, "container with ID %s is not running", record.id);
    if (cgroup.count == 0)
        return error_set(err, 0, "the container has no cgroup of its own to watch");
    if (command_given(context->line, "stats"))
        return print_stats(&cgroup, record.id, err);
    return watch_container(&record, &cgroup, interval / 1000000, err);
}
