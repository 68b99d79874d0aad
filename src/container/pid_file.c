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

/* Puts the file that fd is under its name, in place of one that is there. */
static int name_file(int fd, const char *path)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST || unlink(path) < 0)
        return -1;
    return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

/* Where a file can't be made without a name (O_TMPFILE), it gets another name first. */
static int write_beside(const char *path, int directory, const char *text, struct error *err)
{
    scope_free char *beside =
        memory_format("%.*s.%s.%d", directory, path, path + directory, getpid());
    /* Its name can be guessed, and in a directory that others may write to it can be there: what
     * it is a link to must not be written to. */
    unlink(beside);
    scope_close int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0 && file_write_all(fd, text, strlen(text)) == 0 && rename(beside, path) == 0)
        return 0;
    error_set(err, errno, "can't write the pid file %s", path);
    if (fd >= 0)
        unlink(beside);
    return -1;
}

int pid_file_write(const char *path, pid_t pid, struct error *err)
{
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) + 1 : 0;
    scope_free char *directory = memory_format("%.*s", length ? length : 2, length ? path : "./");
    char text[16];
    snprintf(text, sizeof text, "%d", pid);
    scope_close int fd = open(directory, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        return write_beside(path, length, text, err);
    if (fd >= 0 && file_write_all(fd, text, strlen(text)) == 0 && name_file(fd, path) == 0)
        return 0;
    return error_set(err, errno, "can't write the pid file %s", path);
}

void pid_file_remove(const char *path, pid_t pid)
{
    scope_free char *text = file_read_all(AT_FDCWD, path, 64, NULL, NULL);
    if (text && pid > 0 && strtol(text, NULL, 10) == pid)
        unlink(path);
}
