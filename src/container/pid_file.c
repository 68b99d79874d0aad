#include "container/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

int pid_file_write(const char *path, pid_t pid, struct error *err)
{
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path) + 1 : 0;
    scope_free char *beside =
        memory_format("%.*s.%s.%d", directory, path, path + directory, getpid());
    /* Its name can be guessed, and in a directory that others may write to it can be there: what
     * it is a link to must not be written to. */
    unlink(beside);
    scope_close int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    char text[16];
    int length = snprintf(text, sizeof text, "%d", pid);
    if (fd >= 0 && file_write_all(fd, text, (size_t)length) == 0 && rename(beside, path) == 0)
        return 0;
    error_set(err, errno, "can't write the pid file %s", path);
    if (fd >= 0)
        unlink(beside);
    return -1;
}
