/* Directories in ROOT/containers that are being made: under another name, and locked. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "engine/engine_internal.h"

/* 1: locked; 0: somebody has removed it, or (try) has it locked; -1. */
static int lock(int fd, bool try, struct error *err)
{
    struct stat status;
    if (file_lock(fd, LOCK_EX | (try ? LOCK_NB : 0)) < 0)
        return errno == EWOULDBLOCK ? 0 : error_set(err, errno, "can't lock a directory");
    return fstat(fd, &status) == 0 && status.st_nlink > 0;
}

int engine_draft_make(const char *path, struct error *err)
{
    /* Who looks for drafts may find ours before it is locked, and remove it. */
    for (;;) {
        if (mkdir(path, 0711) < 0)
            return error_set(err, errno, "can't make the container's directory %s", path);
        scope_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            return error_set(err, errno, "can't open %s", path);
        int locked = fd < 0 ? 0 : lock(fd, false, err);
        if (locked < 0)
            return -1;
        if (locked)
            return scope_take_fd(&fd);
    }
}

/* 1: it is nobody's, and *fd holds its lock. */
static int is_abandoned(int containers, const char *name, int *fd, struct error *err)
{
    *fd = openat(containers, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open %s", name);
    return lock(*fd, true, err);
}

int engine_draft_each(struct engine *engine,
                      bool (*wants_removal)(const char *name, void *argument), void *argument,
                      struct error *err)
{
    scope_closedir DIR *stream = opendir(engine->containers);
    if (!stream)
        return error_set(err, errno, "can't read %s", engine->containers);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *name = entry->d_name;
        scope_close int fd = -1;
        if (strncmp(name, ENGINE_DRAFT_PREFIX, strlen(ENGINE_DRAFT_PREFIX)) != 0 ||
            file_is_dots(name))
            continue;
        int abandoned = is_abandoned(dirfd(stream), name, &fd, err);
        if (abandoned < 0 || (abandoned == 1 && wants_removal(name, argument) &&
                              remove_tree(dirfd(stream), name, NULL, err) < 0))
            return -1;
    }
    return 0;
}
