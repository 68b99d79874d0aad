#include "monitor/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "monitor/monitor.h"

#define TRY_MS 5

/* Its last holder may have removed the directory, and somebody made a new one. */
static bool is_named(int fd, const char *path)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

int lock_take(const char *run_directory, int timeout, struct error *err)
{
    scope_free char *path = memory_format("%s/lock", run_directory);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    for (;;) {
        scope_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return error_set(err, errno, "can't open %s", path);
        bool taken = fcntl(fd, F_OFD_SETLK, &lock) == 0;
        if (!taken && errno != EAGAIN && errno != EACCES && errno != EINTR)
            return error_set(err, errno, "can't lock %s", path);
        if (taken && is_named(fd, path))
            return scope_take_fd(&fd);
        if (!taken && timeout <= 0)
            return error_set(err, EAGAIN, "another monitor of the container is alive");
        poll(NULL, 0, TRY_MS);
        timeout -= TRY_MS;
    }
}

bool monitor_is_alive(const char *run_directory)
{
    scope_free char *path = memory_format("%s/lock", run_directory);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    scope_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
