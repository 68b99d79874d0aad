#include "container/copy_up.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

#define DEPTH_MAX 128

static int copy_directory(int from, int to, int depth, struct error *err);

static int copy_file(int from, int to, const char *name, const struct stat *status,
                     struct error *err)
{
    scope_close int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    scope_close int out =
        in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return error_set(err, errno, "tmpcopyup: can't copy %s", name);
    off_t left = status->st_size;
    while (left > 0) {
        ssize_t count = sendfile(out, in, NULL, (size_t)left);
        if (count < 0)
            return error_set(err, errno, "tmpcopyup: can't copy %s", name);
        if (count == 0)
            break;
        left -= count;
    }
    return 0;
}

static int copy_link(int from, int to, const char *name, struct error *err)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length >= 0) {
        target[length] = '\0';
        if (symlinkat(target, to, name) == 0)
            return 0;
    }
    return error_set(err, errno, "tmpcopyup: can't copy the link %s", name);
}

static int copy_subdirectory(int from, int to, const char *name, int depth, struct error *err)
{
    scope_close int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0 || mkdirat(to, name, 0700) < 0)
        return error_set(err, errno, "tmpcopyup: can't copy the directory %s", name);
    scope_close int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out < 0)
        return error_set(err, errno, "tmpcopyup: can't open the directory %s", name);
    return copy_directory(in, out, depth + 1, err);
}

static int copy_entry(int from, int to, const char *name, int depth, struct error *err)
{
    struct stat status;
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "tmpcopyup: can't look at %s", name);
    int result;
    if (S_ISDIR(status.st_mode))
        result = copy_subdirectory(from, to, name, depth, err);
    else if (S_ISREG(status.st_mode))
        result = copy_file(from, to, name, &status, err);
    else if (S_ISLNK(status.st_mode))
        result = copy_link(from, to, name, err);
    else if (mknodat(to, name, status.st_mode & (S_IFMT | 07777), status.st_rdev) < 0)
        result = error_set(err, errno, "tmpcopyup: can't copy %s", name);
    else
        result = 0;
    if (result < 0)
        return -1;
    if (fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "tmpcopyup: can't set the owner of %s", name);
    if (!S_ISLNK(status.st_mode) && fchmodat(to, name, status.st_mode & 07777, 0) < 0)
        return error_set(err, errno, "tmpcopyup: can't set the mode of %s", name);
    struct timespec times[2] = {status.st_atim, status.st_mtim};
    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static int copy_directory(int from, int to, int depth, struct error *err)
{
    if (depth > DEPTH_MAX)
        return error_set(err, ELOOP, "tmpcopyup: more than %d directories deep", DEPTH_MAX);
    int copy = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory)
        return error_set(err, errno, "tmpcopyup: can't read a directory");
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (file_is_dots(entry->d_name))
            continue;
        if (copy_entry(from, to, entry->d_name, depth, err) < 0)
            return -1;
    }
    return 0;
}

int copy_up(int from, int to, struct error *err)
{
    return copy_directory(from, to, 0, err);
}
