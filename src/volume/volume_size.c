/* How much a volume holds, while containers go on changing it: with one descriptor however deep the
 * tree is, without following links, and without leaving the file system. What is climbed down is
 * climbed up again by "..", which must be where we came from. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

#define DEPTH_MAX 100000 /* of 24 bytes */
#define TRIES_MAX 5

struct level {
    dev_t device;
    ino_t inode;
    long position; /* where its listing goes on */
};

struct walk {
    DIR *stream; /* of the innermost directory */
    struct level *levels;
    size_t depth, room;
    void *linked; /* tsearch(3)'s tree of the inodes of files with several names */
    long long bytes;
};

static int compare_inodes(const void *left, const void *right)
{
    ino_t a = *(const ino_t *)left, b = *(const ino_t *)right;
    return a < b ? -1 : a > b;
}

static void end_walk(struct walk *walk)
{
    if (walk->stream)
        closedir(walk->stream);
    free(walk->levels);
    tdestroy(walk->linked, free);
    *walk = (struct walk){0};
}

/* A file of several names counts once. */
static bool is_counted(struct walk *walk, const struct stat *status)
{
    if (status->st_nlink == 1)
        return false;
    ino_t *inode = memory_allocate(1, sizeof *inode);
    *inode = status->st_ino;
    ino_t **found = tsearch(inode, &walk->linked, compare_inodes);
    if (!found || *found == inode)
        return false;
    free(inode);
    return true;
}

/* All below return -1 with errno, which is ESTALE if somebody has moved directories. */

/* Makes a directory the one that is read. */
static int enter(struct walk *walk, int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        close(fd);
        return -1;
    }
    if (walk->stream)
        closedir(walk->stream);
    walk->stream = stream;
    return 0;
}

static int push(struct walk *walk)
{
    struct stat status;
    if (fstat(dirfd(walk->stream), &status) < 0)
        return -1;
    if (walk->depth == DEPTH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (walk->depth == walk->room) {
        walk->room = walk->room ? 2 * walk->room : 64;
        walk->levels = memory_resize(walk->levels, walk->room, sizeof *walk->levels);
    }
    walk->levels[walk->depth++] =
        (struct level){status.st_dev, status.st_ino, telldir(walk->stream)};
    return 0;
}

/* Goes on with the directory above. */
static int pop(struct walk *walk)
{
    struct stat status;
    const struct level *level = &walk->levels[--walk->depth];
    if (enter(walk, dirfd(walk->stream), "..") < 0 || fstat(dirfd(walk->stream), &status) < 0 ||
        status.st_dev != level->device || status.st_ino != level->inode) {
        errno = ESTALE;
        return -1;
    }
    seekdir(walk->stream, level->position);
    return 0;
}

static int count_entry(struct walk *walk, const char *name, dev_t device)
{
    struct stat status;
    if (file_is_dots(name) || fstatat(dirfd(walk->stream), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* gone meanwhile */
    if (S_ISREG(status.st_mode) && !is_counted(walk, &status))
        walk->bytes += status.st_size;
    if (!S_ISDIR(status.st_mode) || status.st_dev != device)
        return 0;
    if (push(walk) < 0)
        return -1;
    if (enter(walk, dirfd(walk->stream), name) == 0)
        return 0;
    walk->depth--;
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
}

static int count_tree(struct walk *walk, const char *path)
{
    struct stat status;
    if (enter(walk, AT_FDCWD, path) < 0)
        return errno == ENOENT ? 0 : -1; /* a row whose directory isn't made yet */
    if (fstat(dirfd(walk->stream), &status) < 0)
        return -1;
    for (;;) {
        struct dirent *entry = readdir(walk->stream);
        if (entry && count_entry(walk, entry->d_name, status.st_dev) < 0)
            return -1;
        if (!entry && walk->depth == 0)
            return 0;
        if (!entry && pop(walk) < 0)
            return -1;
    }
}

int volume_size(struct volume_store *store, const char *name, long long *bytes, struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        store->database, err, "SELECT options FROM volume WHERE name = ?", "t", name);
    int found = row ? database_step(store->database, row, err) : -1;
    if (found <= 0)
        return found < 0 ? -1 : volume_refuse(err, ENOENT, "no such volume: %s", name);
    *bytes = -1;
    if (strcmp(database_text(row, 0), "{}") != 0)
        return 0;
    scope_free char *path = volume_data_path(store, name);
    int result = -1;
    errno = ESTALE;
    for (int tries = 0; tries < TRIES_MAX && result < 0 && errno == ESTALE; tries++) {
        struct walk walk = {0};
        result = count_tree(&walk, path);
        int code = errno;
        *bytes = walk.bytes;
        end_walk(&walk);
        errno = code;
    }
    return result < 0 ? error_set(err, errno, "volume '%s': can't measure it", name) : 0;
}
