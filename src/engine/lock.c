/* The lock of a container: of two commands that change its course, one waits. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/scope.h"
#include "engine/engine_internal.h"

int engine_lock(const struct engine_container *container, bool try, struct error *err)
{
    const char *path = container->directory;
    scope_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 && errno != ENOENT)
        return error_set(err, errno, "can't open %s", path);
    if (fd >= 0 && file_lock(fd, LOCK_EX | (try ? LOCK_NB : 0)) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(err, EAGAIN, "another command is working on container %.12s",
                               container->id)
                   : error_set(err, errno, "can't lock %s", path);
    /* While we waited, the container may have been removed, and its directory with it. */
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_nlink == 0) {
        error_set(err, 0, "container %.12s has been removed", container->id);
        if (err)
            err->code = ENOENT;
        return -1;
    }
    return scope_take_fd(&fd);
}
