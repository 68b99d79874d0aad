/* Removing whole trees, however deep: with two descriptors and without recursion. What a removed
 * directory holds is unlinked; its subdirectories are renamed up into the tree's root, whose turn
 * then comes. Who is killed meanwhile leaves a smaller tree of the same kind. */
#include "base/remove_tree.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

struct remover {
    int root;
    unsigned long long moved; /* numbers the names that subdirectories get in root */
    long long *bytes;
    struct error *err;
};

/* 1: it is gone; 0: it is a directory. */
static int unlink_file(struct remover *remover, int directory, const char *name)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(status.st_mode))
            return 0;
        if (unlinkat(directory, name, 0) == 0) {
            if (S_ISREG(status.st_mode) && status.st_nlink == 1)
                *remover->bytes += status.st_size;
            return 1;
        }
    }
    /* Somebody else may be removing the same. */
    return errno == ENOENT ? 1 : error_set(remover->err, errno, "can't remove %.200s", name);
}

static int move_up(struct remover *remover, int directory, const char *name)
{
    char target[32];
    do
        snprintf(target, sizeof target, ".removed-%llu", remover->moved++);
    while (renameat2(directory, name, remover->root, target, RENAME_NOREPLACE) < 0 &&
           errno == EEXIST);
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    return error_set(remover->err, errno, "can't move the directory %.200s", name);
}

/* Opens a directory to empty it; what another file system, or another directory, is mounted on is
 * not ours to empty. */
static DIR *open_to_empty(int directory, const char *name, struct error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    scope_close int fd = openat(directory, name, flags);
    struct statx status;
    /* A user who isn't root may have taken the right to read, or to write, from himself. */
    if (fd < 0 && errno == EACCES && fchmodat(directory, name, 0700, 0) == 0)
        fd = openat(directory, name, flags);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MODE, &status) < 0) {
        error_set(err, errno, "can't open %.200s", name);
        return NULL;
    }
    if (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
        error_set(err, EXDEV, "can't remove %.200s, where something is mounted", name);
        return NULL;
    }
    if ((status.stx_mode & 0700) != 0700)
        fchmod(fd, 0700);
    DIR *stream = fdopendir(fd);
    if (!stream) {
        error_set(err, errno, "can't read %.200s", name);
        return NULL;
    }
    scope_take_fd(&fd);
    return stream;
}

/* Removes a directory that root has, after it has been emptied into root. */
static int remove_directory(struct remover *remover, const char *name)
{
    struct error failure;
    scope_closedir DIR *stream = open_to_empty(remover->root, name, &failure);
    if (!stream) {
        if (failure.code == ENOENT)
            return 0;
        *remover->err = failure;
        return -1;
    }
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        int gone =
            file_is_dots(entry->d_name) ? 1 : unlink_file(remover, dirfd(stream), entry->d_name);
        if (gone < 0 || (gone == 0 && move_up(remover, dirfd(stream), entry->d_name) < 0))
            return -1;
    }
    /* ENOTEMPTY: readdir(3) may miss what moves while it reads; the next pass comes here again. */
    if (unlinkat(remover->root, name, AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENOTEMPTY)
        return error_set(remover->err, errno, "can't remove the directory %.200s", name);
    return 0;
}

static int empty_root(struct remover *remover, DIR *stream)
{
    struct dirent *entry;
    bool found;
    do {
        found = false;
        rewinddir(stream);
        while ((entry = readdir(stream))) {
            if (file_is_dots(entry->d_name))
                continue;
            found = true;
            int gone = unlink_file(remover, remover->root, entry->d_name);
            if (gone < 0 || (gone == 0 && remove_directory(remover, entry->d_name) < 0))
                return -1;
        }
    } while (found);
    return 0;
}

int remove_tree(int directory, const char *name, long long *bytes, struct error *err)
{
    long long unused = 0;
    struct error failure;
    scope_closedir DIR *stream = open_to_empty(directory, name, &failure);
    struct remover remover = {
        .root = stream ? dirfd(stream) : directory, .bytes = bytes ? bytes : &unused, .err = err};
    if (!stream) {
        if (failure.code == ENOTDIR || failure.code == ELOOP)
            return unlink_file(&remover, directory, name) < 0 ? -1 : 0;
        if (failure.code == ENOENT)
            return 0;
        if (err)
            *err = failure;
        return -1;
    }
    if (empty_root(&remover, stream) < 0)
        return -1;
    if (unlinkat(directory, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't remove the directory %.200s", name);
    return 0;
}
