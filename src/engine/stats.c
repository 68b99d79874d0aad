#include "engine/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "engine/machine.h"
#include "monitor/document.h"

#define TEXT_LIMIT (4u << 20)

static uint64_t number_at(const json_t *object, const char *first, const char *second,
                          const char *third)
{
    const json_t *value = json_object_get(object, first);
    if (second)
        value = json_object_get(value, second);
    if (third)
        value = json_object_get(value, third);
    json_int_t number = json_integer_value(value);
    return number > 0 ? (uint64_t)number : 0;
}

/* hull-oci knows where the cgroup is, and the differences of cgroups v1 and v2; hull-vm asks the
 * guest. NULL if there is no
 * such container any more. */
static json_t *ask_runtime(struct engine *engine, const struct engine_container *container,
                           struct error *err)
{
    int ends[2], status;
    const struct engine_runtime runtime = engine_runtime_of(engine, container);
    const char *program = runtime.program;
    const char *const words[] = {program,   "--root",      runtime.root, "events",
                                 "--stats", container->id, NULL};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe"), NULL;
    pid_t pid = fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_WRONLY);
        dup2(ends[1], STDOUT_FILENO);
        dup2(nothing, STDERR_FILENO);
        execv(program, (char *const *)(uintptr_t)words);
        _exit(125);
    }
    close(ends[1]);
    scope_free char *text =
        pid > 0 ? file_read_all_fd(ends[0], "hull-oci's answer", TEXT_LIMIT, NULL, NULL) : NULL;
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid < 0)
        return error_set(err, errno, "can't make a process"), NULL;
    return text ? json_loads(text, 0, NULL) : NULL;
}

/* Where there is no limit it is the machine's memory. */
static uint64_t limit_memory(uint64_t limit)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return limit == 0 || limit > all ? all : limit;
}

static void read_memory(const json_t *data, struct engine_stats *stats)
{
    const json_t *memory = json_object_get(data, "memory");
    uint64_t usage = number_at(memory, "usage", "usage", NULL);
    uint64_t cached = number_at(memory, "raw", "total_inactive_file", NULL); /* v1 */
    if (!cached)
        cached = number_at(memory, "raw", "inactive_file", NULL);
    stats->memory = usage > cached ? usage - cached : usage;
    stats->memory_limit = limit_memory(number_at(memory, "usage", "limit", NULL));
}

static void read_blocks(const json_t *data, struct engine_stats *stats)
{
    const json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(data, "blkio"), "ioServiceBytesRecursive"),
                       i, entry)
    {
        const char *operation = json_string_value(json_object_get(entry, "op"));
        uint64_t value = number_at(entry, "value", NULL, NULL);
        if (operation && strcasecmp(operation, "read") == 0)
            stats->block_read += value;
        else if (operation && strcasecmp(operation, "write") == 0)
            stats->block_written += value;
    }
}

/* /proc/PID/net/dev: "  eth0: RECEIVED packets errs drop fifo frame compressed multicast SENT …",
 * after two lines of headings. */
static void read_network(pid_t pid, struct engine_stats *stats)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/net/dev", (int)pid);
    scope_free char *text = file_read_all(AT_FDCWD, path, TEXT_LIMIT, NULL, NULL);
    char *rest = text;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        unsigned long long received, sent;
        char name[32];
        if (sscanf(line, " %31[^: ]: %llu %*u %*u %*u %*u %*u %*u %*u %llu", name, &received,
                   &sent) == 3 &&
            strcmp(name, "lo") != 0) {
            stats->received += received;
            stats->sent += sent;
        }
    }
}

/* What a machine's guest says; in its namespace the same bytes pass several interfaces. */
static void read_guest_network(const json_t *data, struct engine_stats *stats)
{
    const json_t *guest = json_array_get(json_object_get(data, "network_interfaces"), 0);
    stats->received = number_at(guest, "RxBytes", NULL, NULL);
    stats->sent = number_at(guest, "TxBytes", NULL, NULL);
}

/* Of the first process; 0: it doesn't run; -1: failed. */
static pid_t find_process(struct engine *engine, const struct engine_container *container,
                          struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    pid_t pid = status.state == MONITOR_RUNNING || status.state == MONITOR_PAUSED ? status.pid : 0;
    monitor_status_release(&status);
    return pid > 0 ? pid : 0;
}

int engine_read_stats(struct engine *engine, const struct engine_container *container,
                      struct engine_stats *stats, struct error *err)
{
    struct timespec now;
    const char *mode =
        json_string_value(json_object_get(engine_host_config(container), "NetworkMode"));
    *stats = (struct engine_stats){0};
    pid_t pid = find_process(engine, container, err);
    if (pid <= 0)
        return pid;
    err->text[0] = '\0';
    scope_json json_t *event = ask_runtime(engine, container, err);
    if (!event && err->text[0])
        return -1;
    /* It has ended meanwhile; or it has no cgroup of its own, and little is known of it. */
    if (!event && (pid = find_process(engine, container, err)) <= 0)
        return pid;
    const json_t *data = json_object_get(event, "data");
    clock_gettime(CLOCK_MONOTONIC, &now);
    stats->time = now.tv_sec * 1000000000LL + now.tv_nsec;
    stats->cpu = number_at(data, "cpu", "usage", "total");
    stats->pids = number_at(data, "pids", "current", NULL);
    read_memory(data, stats);
    read_blocks(data, stats);
    if (engine_is_machine(container))
        read_guest_network(data, stats);
    else if (!mode || strcmp(mode, "host") != 0)
        read_network(pid, stats);
    return 1;
}
