/* Copying whole trees, by descriptors, so that nobody who renames or links inside of a
 * tree can lead us out of it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

#define DEPTH_MAX 256       /* each level holds three descriptors */
#define ATTRIBUTE_MAX 65536 /* the kernel's limit of a value, and of the list of names */

#define BLOCK_SIZE 65536

/* A file of several names that has been copied under one of them. */
struct linked_file {
    dev_t device;
    ino_t inode;
    char *path; /* below the destination */
};

struct copier {
    int root;     /* the destination, where a linked file's path begins */
    void *linked; /* tsearch(3)'s tree of struct linked_file */
    struct error *err;
};

static int compare_linked(const void *left, const void *right)
{
    const struct linked_file *a = left, *b = right;
    if (a->inode != b->inode)
        return a->inode < b->inode ? -1 : 1;
    return a->device < b->device ? -1 : a->device > b->device;
}

static void free_linked(void *node)
{
    struct linked_file *file = node;
    free(file->path);
    free(file);
}

static int fail(const struct copier *copier, const char *what, const char *path)
{
    return error_set(copier->err, errno, "can't %s %s", what, path);
}

/* Attributes that belong to the file system that the file was on, not to the file. */
static bool is_copied_attribute(const char *name)
{
    return strncmp(name, "trusted.overlay.", 16) != 0 && strncmp(name, "user.overlay.", 13) != 0;
}

/* Where the destination can't have an attribute (a file system without them, a user namespace
 * without the right), the copy goes without. */
static int copy_attributes(int from, int to, struct error *err)
{
    scope_free char *names = memory_allocate(1, ATTRIBUTE_MAX);
    char from_path[32], to_path[32];
    snprintf(from_path, sizeof from_path, "/proc/self/fd/%d", from);
    snprintf(to_path, sizeof to_path, "/proc/self/fd/%d", to);
    ssize_t length = listxattr(from_path, names, ATTRIBUTE_MAX);
    if (length <= 0)
        return 0;
    scope_free char *value = memory_allocate(1, ATTRIBUTE_MAX);
    for (const char *name = names; name < names + length; name += strlen(name) + 1) {
        ssize_t size =
            is_copied_attribute(name) ? getxattr(from_path, name, value, ATTRIBUTE_MAX) : -1;
        if (size < 0 || setxattr(to_path, name, value, (size_t)size, 0) == 0 ||
            errno == EOPNOTSUPP || errno == EPERM)
            continue;
        return error_set(err, errno, "can't set the attribute %s", name);
    }
    return 0;
}

/* Data only: holes stay holes. */
static int copy_data(int in, int out, off_t size)
{
    off_t at = 0;
    scope_free char *block = NULL;
    if (ftruncate(out, size) < 0)
        return -1;
    while (at < size) {
        off_t data = lseek(in, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0;
        off_t hole = data < 0 ? size : lseek(in, data, SEEK_HOLE);
        loff_t source = data < 0 ? at : data, target = source;
        while (source < hole) {
            ssize_t count = copy_file_range(in, &source, out, &target, (size_t)(hole - source), 0);
            if (count < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)) {
                if (!block)
                    block = memory_allocate(1, BLOCK_SIZE);
                count = pread(in, block, BLOCK_SIZE, source);
                if (count > 0 && (count = pwrite(out, block, (size_t)count, target)) > 0) {
                    source += count;
                    target += count;
                }
            }
            if (count < 0 && errno == EINTR)
                continue;
            if (count < 0)
                return -1;
            if (count == 0)
                return 0;
        }
        at = hole;
    }
    return 0;
}

static int copy_directory(struct copier *copier, int from, int to, const char *path, int depth);

static int copy_file(struct copier *copier, int from, int to, const char *name, const char *path,
                     const struct stat *status)
{
    scope_close int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    scope_close int out =
        in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0 || copy_data(in, out, status->st_size) < 0)
        return fail(copier, "copy", path);
    /* The owner before the mode and the capabilities, which a change of owner takes away. */
    if (fchown(out, status->st_uid, status->st_gid) < 0 || fchmod(out, status->st_mode & 07777) < 0)
        return fail(copier, "set the owner and mode of", path);
    return copy_attributes(in, out, copier->err);
}

static int copy_link(struct copier *copier, int from, int to, const char *name, const char *path)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length >= 0) {
        target[length] = '\0';
        if (symlinkat(target, to, name) == 0)
            return 0;
    }
    return fail(copier, "copy the link", path);
}

static int copy_subdirectory(struct copier *copier, int from, int to, const char *name,
                             const char *path, int depth)
{
    scope_close int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0 || mkdirat(to, name, 0700) < 0)
        return fail(copier, "copy the directory", path);
    scope_close int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out < 0)
        return fail(copier, "open the directory", path);
    if (copy_directory(copier, in, out, path, depth + 1) < 0)
        return -1;
    return volume_copy_attributes(in, out, copier->err);
}

/* 1: made as a link to its other name; 0: it is the first name we see. */
static int link_other_name(struct copier *copier, int to, const char *name, const char *path,
                           const struct stat *status)
{
    const struct linked_file wanted = {.device = status->st_dev, .inode = status->st_ino};
    struct linked_file **known = tfind(&wanted, &copier->linked, compare_linked);
    if (known) {
        if (linkat(copier->root, (*known)->path, to, name, 0) < 0)
            return fail(copier, "link", path);
        return 1;
    }
    struct linked_file *file = memory_allocate(1, sizeof *file);
    *file = wanted;
    file->path = memory_copy_string(path);
    tsearch(file, &copier->linked, compare_linked);
    return 0;
}

static int copy_entry(struct copier *copier, int from, int to, const char *name, const char *above,
                      int depth)
{
    struct stat status;
    scope_free char *path = memory_format("%s%s%s", above, *above ? "/" : "", name);
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(copier, "look at", path);
    if (S_ISDIR(status.st_mode)) {
        if (copy_subdirectory(copier, from, to, name, path, depth) < 0)
            return -1;
    } else {
        int linked = status.st_nlink > 1 ? link_other_name(copier, to, name, path, &status) : 0;
        if (linked != 0)
            return linked < 0 ? -1 : 0;
        if (S_ISREG(status.st_mode)) {
            if (copy_file(copier, from, to, name, path, &status) < 0)
                return -1;
        } else if (S_ISLNK(status.st_mode)) {
            if (copy_link(copier, from, to, name, path) < 0)
                return -1;
        } else if (mknodat(to, name, status.st_mode & (S_IFMT | 07777), status.st_rdev) < 0 ||
                   fchmodat(to, name, status.st_mode & 07777, 0) < 0) {
            return fail(copier, "make the node", path);
        }
    }
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode) &&
        fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(copier, "set the owner of", path);
    const struct timespec times[2] = {status.st_atim, status.st_mtim};
    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static DIR *open_again(int directory)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return copy < 0 ? NULL : fdopendir(copy);
}

static int copy_directory(struct copier *copier, int from, int to, const char *path, int depth)
{
    if (depth > DEPTH_MAX)
        return error_set(copier->err, ELOOP, "more than %d directories deep", DEPTH_MAX);
    scope_closedir DIR *directory = open_again(from);
    if (!directory)
        return fail(copier, "read the directory", path);
    struct dirent *entry;
    while ((entry = readdir(directory)))
        if (!file_is_dots(entry->d_name) &&
            copy_entry(copier, from, to, entry->d_name, path, depth) < 0)
            return -1;
    return 0;
}

int volume_copy_tree(int from, int to, struct error *err)
{
    struct copier copier = {.root = to, .err = err};
    int result = copy_directory(&copier, from, to, "", 0);
    tdestroy(copier.linked, free_linked);
    return result;
}

int volume_copy_attributes(int from, int to, struct error *err)
{
    struct stat status;
    if (fstat(from, &status) < 0 || fchown(to, status.st_uid, status.st_gid) < 0 ||
        fchmod(to, status.st_mode & 07777) < 0)
        return error_set(err, errno, "can't set a directory's owner and mode");
    if (copy_attributes(from, to, err) < 0)
        return -1;
    const struct timespec times[2] = {status.st_atim, status.st_mtim};
    futimens(to, times);
    return 0;
}
