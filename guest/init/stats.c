/* What the container uses. A machine has a cgroup for it; where there is none (in tests), it is
 * what the machine uses. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "guest.h"

#define MAX_LISTED 512 /* so that they fit a reply */

/* The number after "key " (or "key:") at the beginning of a line. */
static uint64_t find_number(const char *text, const char *key)
{
    size_t length = strlen(key);
    while (text && *text) {
        if (strncmp(text, key, length) == 0 && (text[length] == ' ' || text[length] == ':'))
            return strtoull(text + length + 1, NULL, 10);
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return 0;
}

static char *read_text(int directory, const char *path)
{
    return directory == -1 ? NULL : file_read_all(directory, path, 1 << 20, NULL, NULL);
}

static uint64_t read_processor(const struct guest *guest)
{
    scope_free char *cgroup = read_text(guest->cgroup, "cpu.stat");
    if (cgroup)
        return find_number(cgroup, "usage_usec") * 1000;
    /* /proc/stat: user, nice, system of all processors, in ticks */
    scope_free char *machine = read_text(AT_FDCWD, "/proc/stat");
    unsigned long long user = 0, nice = 0, system = 0;
    if (!machine || sscanf(machine, "cpu %llu %llu %llu", &user, &nice, &system) != 3)
        return 0;
    return (user + nice + system) * (1000000000ULL / (unsigned long)sysconf(_SC_CLK_TCK));
}

static void read_memory(const struct guest *guest, uint64_t *used, uint64_t *limit)
{
    scope_free char *machine = read_text(AT_FDCWD, "/proc/meminfo");
    *limit = find_number(machine, "MemTotal") * 1024;
    *used = *limit - find_number(machine, "MemAvailable") * 1024;
    scope_free char *current = read_text(guest->cgroup, "memory.current");
    scope_free char *details = read_text(guest->cgroup, "memory.stat");
    if (!current || !details)
        return;
    uint64_t all = strtoull(current, NULL, 10), cache = find_number(details, "inactive_file");
    *used = all > cache ? all - cache : 0;
}

static void read_network(uint64_t *received, uint64_t *sent)
{
    scope_free char *text = read_text(AT_FDCWD, "/proc/net/dev");
    char *rest = text, *line;
    while (rest && (line = strsep(&rest, "\n"))) {
        unsigned long long in, out;
        char *colon = strchr(line, ':');
        line += strspn(line, " ");
        if (!colon || strncmp(line, "lo:", 3) == 0 ||
            sscanf(colon + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &in, &out) != 2)
            continue;
        *received += in;
        *sent += out;
    }
}

/* Of whole disks; sectors are of 512 bytes whatever the disk's are. */
static void read_disks(uint64_t *was_read, uint64_t *written)
{
    scope_free char *text = read_text(AT_FDCWD, "/proc/diskstats");
    char *rest = text, *line;
    while (rest && (line = strsep(&rest, "\n"))) {
        char name[64], path[96];
        unsigned long long in, out;
        if (sscanf(line, "%*u %*u %63s %*u %*u %llu %*u %*u %*u %llu", name, &in, &out) != 3)
            continue;
        snprintf(path, sizeof path, "/sys/block/%s/device", name);
        if (access(path, F_OK) < 0)
            continue;
        *was_read += in * 512;
        *written += out * 512;
    }
}

static uint64_t count_processes(const struct guest *guest)
{
    scope_free char *cgroup = read_text(guest->cgroup, "pids.current");
    if (cgroup)
        return strtoull(cgroup, NULL, 10);
    scope_closedir DIR *proc = opendir("/proc");
    struct dirent *entry;
    uint64_t count = 0;
    while (proc && (entry = readdir(proc)))
        count += isdigit((unsigned char)entry->d_name[0]) ? 1 : 0;
    return count > 0 ? count - 1 : 0; /* without us */
}

json_t *stats_read(const struct guest *guest, struct error *err)
{
    uint64_t memory = 0, limit = 0, received = 0, sent = 0, was_read = 0, written = 0;
    struct timespec now;
    (void)err;
    clock_gettime(CLOCK_BOOTTIME, &now);
    read_memory(guest, &memory, &limit);
    read_network(&received, &sent);
    read_disks(&was_read, &written);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "time",
                     (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec, "cpu",
                     (json_int_t)read_processor(guest), "memory", (json_int_t)memory, "memoryLimit",
                     (json_int_t)limit, "received", (json_int_t)received, "sent", (json_int_t)sent,
                     "blockRead", (json_int_t)was_read, "blockWritten", (json_int_t)written, "pids",
                     (json_int_t)count_processes(guest));
}

/* ---- processes ---- */

/* "NSpid:\t12\t1" in /proc/PID/status: its pid in the container, or 0 if it isn't in one. */
static unsigned long inner_pid(const char *status)
{
    const char *at = strstr(status, "\nNSpid:");
    unsigned long outer, inner;
    return at && sscanf(at, "\nNSpid: %lu %lu", &outer, &inner) == 2 ? inner : 0;
}

/* The arguments with blanks between them; "[name]" where there are none. */
static json_t *command_of(int directory, const char *name)
{
    char text[256];
    scope_close int fd = openat(directory, "cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? 0 : read(fd, text, sizeof text);
    size_t length = count > 0 ? (size_t)count : 0;
    while (length > 0 && text[length - 1] == '\0')
        length--;
    for (size_t i = 0; i < length; i++)
        text[i] = text[i] == '\0' ? ' ' : text[i];
    json_t *command = length > 0 ? json_stringn(text, length) : NULL;
    return command ? command : json_sprintf("[%s]", name);
}

static json_t *describe_process(int proc, const char *pid)
{
    unsigned long long user, system, start;
    int parent, terminal;
    char state;
    scope_close int directory = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_free char *status = directory < 0 ? NULL : read_text(directory, "status");
    scope_free char *stat = status ? read_text(directory, "stat") : NULL;
    unsigned long inner = status ? inner_pid(status) : 0;
    char *open = stat ? strchr(stat, '(') : NULL, *close = stat ? strrchr(stat, ')') : NULL;
    if (!inner || !open || !close ||
        sscanf(close + 1,
               " %c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
               "%*d %*d %llu",
               &state, &parent, &terminal, &user, &system, &start) != 6)
        return NULL;
    *close = '\0';
    const char *ids = strstr(status, "\nUid:");
    unsigned long uid = ids ? strtoul(ids + 5, NULL, 10) : 0;
    unsigned long tick = (unsigned long)sysconf(_SC_CLK_TCK);
    return json_pack("{s:I, s:I, s:I, s:I, s:s%, s:i, s:I, s:I, s:I, s:o}", "pid",
                     (json_int_t)strtoul(pid, NULL, 10), "innerPid", (json_int_t)inner, "parent",
                     (json_int_t)parent, "uid", (json_int_t)uid, "state", &state, (size_t)1,
                     "terminal", terminal, "cpu",
                     (json_int_t)((user + system) * (1000000000ULL / tick)), "start",
                     (json_int_t)(start * (1000000000ULL / tick)), "memory",
                     (json_int_t)find_number(status, "VmRSS") * 1024, "command",
                     command_of(directory, open + 1));
}

json_t *stats_list_processes(const struct guest *guest, struct error *err)
{
    scope_closedir DIR *proc = opendir("/proc");
    struct dirent *entry;
    (void)guest;
    if (!proc) {
        error_set(err, errno, "can't list processes");
        return NULL;
    }
    json_t *list = json_array();
    while ((entry = readdir(proc)) && json_array_size(list) < MAX_LISTED) {
        json_t *process = isdigit((unsigned char)entry->d_name[0])
                              ? describe_process(dirfd(proc), entry->d_name)
                              : NULL;
        if (process)
            json_array_append_new(list, process);
    }
    return json_pack("{s:o}", "processes", list);
}
