#include "monitor/document.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

int document_write(const char *path, const json_t *document, struct error *err)
{
    scope_free char *text = json_dumps(document, JSON_COMPACT);
    /* By pid: two writers must not write into each other's. A killed one's is overwritten, or goes
     * with the directory. */
    scope_free char *beside = memory_format("%s.%d", path, getpid());
    if (!text)
        return error_set(err, ENOMEM, "can't write %s", path);
    scope_close int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, errno, "can't write %s", path);
    if (file_write_all(fd, text, strlen(text)) == 0 && rename(beside, path) == 0)
        return 0;
    error_set(err, errno, "can't write %s", path);
    unlink(beside);
    return -1;
}

void document_format_time(char text[40], const struct timespec *time)
{
    struct tm parts;
    gmtime_r(&time->tv_sec, &parts);
    size_t length = strftime(text, 24, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, 40 - length, ".%09ldZ", time->tv_nsec);
}

static const char *const restart_names[] = {
    [MONITOR_RESTART_NO] = "no",
    [MONITOR_RESTART_ON_FAILURE] = "on-failure",
    [MONITOR_RESTART_ALWAYS] = "always",
    [MONITOR_RESTART_UNLESS_STOPPED] = "unless-stopped",
};

const char *monitor_restart_name(enum monitor_restart_kind kind)
{
    return restart_names[kind];
}

static int find_restart(const char *name, size_t length, enum monitor_restart_kind *kind)
{
    for (size_t i = 0; i < sizeof restart_names / sizeof *restart_names; i++) {
        if (strlen(restart_names[i]) == length && memcmp(restart_names[i], name, length) == 0) {
            *kind = (enum monitor_restart_kind)i;
            return 0;
        }
    }
    return -1;
}

int monitor_restart_parse(struct monitor_restart *restart, const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');
    *restart = (struct monitor_restart){0};
    if (!*text)
        return 0;
    if (find_restart(text, colon ? (size_t)(colon - text) : strlen(text), &restart->kind) < 0)
        return error_set(err, 0,
                         "invalid restart policy '%s': it is one of no, on-failure[:MAX], always, "
                         "unless-stopped",
                         text);
    if (!colon)
        return 0;
    char *end;
    errno = 0;
    long count = strtol(colon + 1, &end, 10);
    if (restart->kind != MONITOR_RESTART_ON_FAILURE)
        return error_set(err, 0, "restart policy '%s': only on-failure takes a maximum retry count",
                         text);
    if (end == colon + 1 || *end || errno || count < 0 || count > INT_MAX)
        return error_set(err, 0, "restart policy '%s': the maximum retry count is not a number",
                         text);
    restart->maximum_retry_count = (int)count;
    return 0;
}

json_t *restart_to_json(const struct monitor_restart *restart)
{
    return json_pack("{s:s, s:i}", "name", monitor_restart_name(restart->kind), "maximumRetryCount",
                     restart->maximum_retry_count);
}

int restart_from_json(struct monitor_restart *restart, const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "name"));
    json_int_t count = json_integer_value(json_object_get(value, "maximumRetryCount"));
    if (!name || count < 0 || count > INT_MAX ||
        find_restart(name, strlen(name), &restart->kind) < 0)
        return -1;
    restart->maximum_retry_count = (int)count;
    return 0;
}
