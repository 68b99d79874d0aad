/* The tree below a container's cgroup: its pids, and its removal.
 *
 * A container may have made cgroups inside its own, as deep and as many as it liked. So the walk
 * holds one open directory however deep it is: down by openat(), up by "..", and a stack of names
 * and directory positions in memory. Links are not followed. (A cgroup can't be moved to another
 * parent, so ".." leads back to where we came from.) */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

struct level {
    off_t next; /* where the parent's listing goes on after this directory */
    char name[256];
};

struct walk {
    int fd; /* the directory the walk is in */
    size_t depth, room;
    struct level *levels;
    struct timespec deadline;
};

static int open_directory(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void end_walk(struct walk *walk)
{
    free(walk->levels);
    if (walk->fd >= 0)
        close(walk->fd);
}

/* Finds the next subdirectory in the listing, from its present position on. 1 found, 0 none. */
static int next_directory(struct walk *walk, struct level *found)
{
    _Alignas(struct dirent64) char buffer[2048];
    for (;;) {
        ssize_t length = getdents64(walk->fd, (void *)buffer, sizeof buffer);
        if (length <= 0)
            return length < 0 && errno != ENOENT ? -1 : 0;
        for (ssize_t at = 0; at < length;) {
            struct dirent64 *entry = (struct dirent64 *)(buffer + at);
            at += entry->d_reclen;
            if (entry->d_type != DT_DIR || file_is_dots(entry->d_name))
                continue;
            found->next = entry->d_off;
            snprintf(found->name, sizeof found->name, "%s", entry->d_name);
            /* The rest of the buffer is read again: the directory may change meanwhile. */
            return lseek(walk->fd, entry->d_off, SEEK_SET) < 0 ? -1 : 1;
        }
    }
}

/* Goes down. A directory that is gone meanwhile isn't entered: 0. */
static int enter(struct walk *walk, const struct level *level)
{
    int child = open_directory(walk->fd, level->name);
    if (child < 0)
        return errno == ENOENT ? 0 : -1;
    if (walk->depth == walk->room) {
        walk->room = walk->room ? walk->room * 2 : 4;
        walk->levels = memory_resize(walk->levels, walk->room, sizeof *walk->levels);
    }
    walk->levels[walk->depth++] = *level;
    close(walk->fd);
    walk->fd = child;
    return 1;
}

/* Goes up, to go on after the directory just left, which is levels[depth] from now on. */
static int leave(struct walk *walk)
{
    int parent = open_directory(walk->fd, "..");
    if (parent < 0)
        return -1;
    close(walk->fd);
    walk->fd = parent;
    walk->depth--;
    return lseek(parent, walk->levels[walk->depth].next, SEEK_SET) < 0 ? -1 : 0;
}

struct pid_list {
    pid_t *pids;
    size_t count, room;
};

static int add_pids(struct pid_list *list, int directory, struct error *err)
{
    struct error reason;
    scope_free char *text = file_read_all(directory, "cgroup.procs", 64 << 20, NULL, &reason);
    if (!text && reason.code == EOPNOTSUPP) /* a threaded cgroup lists threads only */
        text = file_read_all(directory, "cgroup.threads", 64 << 20, NULL, &reason);
    if (!text) {
        if (reason.code == ENODEV || reason.code == ENOENT) /* removed while we looked */
            return 0;
        if (err)
            *err = reason;
        return -1;
    }
    for (char *at = text, *end; *at; at = end + (*end == '\n')) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (pid <= 0) /* 0: not in our pid namespace */
            continue;
        if (list->count == list->room) {
            list->room = list->room ? list->room * 2 : 16;
            list->pids = memory_resize(list->pids, list->room, sizeof *list->pids);
        }
        list->pids[list->count++] = (pid_t)pid;
    }
    return 0;
}

static int compare_pids(const void *left, const void *right)
{
    pid_t a = *(const pid_t *)left, b = *(const pid_t *)right;
    return (a > b) - (a < b);
}

int cgroup_collect_pids(const char *path, pid_t **pids, size_t *count, struct error *err)
{
    *pids = NULL;
    *count = 0;
    struct walk walk = {.fd = open_directory(AT_FDCWD, path)};
    if (walk.fd < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open cgroup %s", path);
    struct pid_list list = {0};
    int result = add_pids(&list, walk.fd, err);
    while (result == 0) {
        struct level level;
        int found = next_directory(&walk, &level);
        if (found > 0)
            found = enter(&walk, &level);
        if (found > 0)
            result = add_pids(&list, walk.fd, err);
        else if (found < 0 || (walk.depth > 0 && leave(&walk) < 0))
            result = error_set(err, errno, "can't list cgroup %s", path);
        else if (walk.depth == 0)
            break;
    }
    end_walk(&walk);
    if (result < 0) {
        free(list.pids);
        return -1;
    }
    if (list.count)
        qsort(list.pids, list.count, sizeof *list.pids, compare_pids);
    for (size_t i = 0; i < list.count; i++) /* threads of one process, or one that moved */
        if (i == 0 || list.pids[i] != list.pids[i - 1])
            list.pids[(*count)++] = list.pids[i];
    *pids = list.pids;
    return 0;
}

/* Waits a little for the processes of a cgroup to be gone: on v2 until the kernel says so. */
static void wait_unpopulated(int directory, bool v2, int attempt, const struct timespec *deadline)
{
    scope_close int events = v2 ? openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC) : -1;
    char text[128];
    ssize_t length = events < 0 ? -1 : read(events, text, sizeof text - 1);
    if (length > 0) {
        text[length] = '\0';
        if (strstr(text, "populated 1")) {
            struct pollfd waiting = {events, POLLPRI, 0};
            poll(&waiting, 1, cgroup_deadline_left(deadline));
            return;
        }
    }
    cgroup_back_off(attempt);
}

/* Removes the directory called name; while it is busy with dying processes, waits and tries
 * again. EBUSY at the deadline. */
static int remove_empty(int parent, const char *name, bool v2, const struct timespec *deadline)
{
    for (int attempt = 0;; attempt++) {
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY || cgroup_deadline_left(deadline) == 0)
            return -1;
        scope_close int directory = open_directory(parent, name);
        if (directory >= 0)
            wait_unpopulated(directory, v2, attempt, deadline);
        errno = EBUSY;
    }
}

/* Removes everything below the directory the walk is in, children before parents. */
static int remove_below(struct walk *walk, bool v2)
{
    for (;;) {
        struct level level;
        int found = next_directory(walk, &level);
        if (found > 0 && unlinkat(walk->fd, level.name, AT_REMOVEDIR) == 0)
            continue;
        if (found > 0)
            found = enter(walk, &level);
        if (found < 0)
            return -1;
        if (found > 0)
            continue;
        if (walk->depth == 0)
            return 0;
        if (leave(walk) < 0 ||
            remove_empty(walk->fd, walk->levels[walk->depth].name, v2, &walk->deadline) < 0)
            return -1;
    }
}

static int report_left(const char *path, int code, struct error *err)
{
    char text[256] = "";
    size_t used = 0;
    scope_free pid_t *pids = NULL;
    size_t count = 0;
    cgroup_collect_pids(path, &pids, &count, NULL);
    for (size_t i = 0; i < count && used < sizeof text - 16; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, " %d", pids[i]);
    if (count)
        return error_set(err, code, "can't remove cgroup %s: it still holds %zu processes:%s%s",
                         path, count, text, used >= sizeof text - 16 ? " …" : "");
    return error_set(err, code, "can't remove cgroup %s", path);
}

int cgroup_remove_tree(const struct cgroup_hierarchy *hierarchy, const struct timespec *deadline,
                       struct error *err)
{
    const char *path = hierarchy->path;
    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    struct stat status; /* a read-only or foreign hierarchy: fine if we aren't in it at all */
    if (errno != EBUSY && lstat(path, &status) < 0 && errno == ENOENT)
        return 0;
    struct walk walk = {.fd = open_directory(AT_FDCWD, path), .deadline = *deadline};
    if (walk.fd < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't remove cgroup %s", path);
    int result = remove_below(&walk, hierarchy->v2);
    int code = errno;
    end_walk(&walk);
    if (result == 0 && remove_empty(AT_FDCWD, path, hierarchy->v2, deadline) == 0)
        return 0;
    return report_left(path, result < 0 ? code : errno, err);
}
