#include "monitor/oom.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

/* Lines of /proc/PID/cgroup: "5:memory:/path" where the controller is v1's, "0::/path" of v2. */
static char *find_cgroup(int pid, bool *is_v1)
{
    char name[32];
    snprintf(name, sizeof name, "/proc/%d/cgroup", pid);
    scope_free char *text = file_read_all(AT_FDCWD, name, 1 << 16, NULL, NULL);
    char *unified = NULL, *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *controllers = strchr(line, ':'), *path = controllers;
        if (path && (path = strchr(controllers + 1, ':')))
            *path++ = '\0';
        if (!path || strcmp(path, "/") == 0)
            continue;
        if (strcmp(controllers + 1, "memory") == 0) {
            *is_v1 = true;
            return memory_format("/sys/fs/cgroup/memory%s", path);
        }
        if (controllers[1] == '\0')
            unified = path;
    }
    *is_v1 = false;
    return unified ? memory_format("/sys/fs/cgroup%s", unified) : NULL;
}

static long long read_count(const struct oom *oom)
{
    scope_free char *text = oom->path ? file_read_all(AT_FDCWD, oom->path, 4096, NULL, NULL) : NULL;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "oom_kill ", 9) == 0)
            return atoll(line + 9);
    }
    return oom->count;
}

void oom_check(struct oom *oom)
{
    long long count = read_count(oom);
    if (count <= oom->count)
        return;
    oom->count = count;
    oom->killed(oom);
}

static void take_notice(struct loop_source *source, uint32_t events)
{
    struct oom *oom = loop_owner(source, struct oom, source);
    char bytes[1024];
    if (!(events & EPOLLIN) || read(source->fd, bytes, sizeof bytes) <= 0)
        loop_watch(oom->loop, source, 0);
    oom_check(oom);
}

static int watch_v1(const char *directory, const char *path)
{
    scope_free char *control = memory_format("%s/cgroup.event_control", directory);
    scope_close int counted = open(path, O_RDONLY | O_CLOEXEC);
    scope_close int notices = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    char text[32];
    snprintf(text, sizeof text, "%d %d", notices, counted);
    if (counted < 0 || notices < 0 || file_write_text(AT_FDCWD, control, text, NULL) < 0)
        return -1;
    return scope_take_fd(&notices);
}

static int watch_v2(const char *path)
{
    scope_close int notices = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (notices < 0 || inotify_add_watch(notices, path, IN_MODIFY) < 0)
        return -1;
    return scope_take_fd(&notices);
}

void oom_watch(struct oom *oom, int pid)
{
    bool is_v1;
    oom_end(oom);
    scope_free char *directory = find_cgroup(pid, &is_v1);
    if (!directory)
        return;
    oom->path = memory_format("%s/%s", directory, is_v1 ? "memory.oom_control" : "memory.events");
    oom->count = 0;
    oom->count = read_count(oom);
    oom->source = (struct loop_source){.ready = take_notice};
    oom->source.fd = is_v1 ? watch_v1(directory, oom->path) : watch_v2(oom->path);
    if (oom->source.fd >= 0)
        loop_watch(oom->loop, &oom->source, EPOLLIN);
}

void oom_end(struct oom *oom)
{
    if (!oom->path)
        return;
    if (oom->source.fd >= 0) {
        loop_watch(oom->loop, &oom->source, 0);
        close(oom->source.fd);
    }
    oom->source.fd = -1;
    free(oom->path);
    oom->path = NULL;
}
