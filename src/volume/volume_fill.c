/* Filling an empty volume from the image, once, whoever is killed meanwhile.
 *
 * Under the volume's lock a whole copy is made in NAME/copying, which is then renamed to
 * NAME/ready; from there each entry is renamed into _data. Who finds "copying" begins anew, who
 * finds "ready" goes on moving. A volume whose options mount a file system is copied into where it
 * is: what a killed process leaves there stays. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

/* 1: yes, 0: no, -1 */
static int is_empty(int directory, const char *name, struct error *err)
{
    scope_close int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return error_set(err, errno, "can't read the volume's %s", name);
    scope_take_fd(&fd);
    struct dirent *entry;
    while ((entry = readdir(stream)))
        if (!file_is_dots(entry->d_name))
            return 0;
    return 1;
}

static int make_copy(int directory, int source, struct error *err)
{
    if (remove_tree(directory, "copying", NULL, err) < 0)
        return -1;
    if (mkdirat(directory, "copying", 0700) < 0)
        return error_set(err, errno, "can't make a directory to copy into");
    scope_close int copy = openat(directory, "copying", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return error_set(err, errno, "can't open a directory to copy into");
    if (volume_copy_tree(source, copy, err) < 0)
        return -1;
    /* What a power cut after the rename leaves must be whole. */
    if (syncfs(copy) < 0 || renameat(directory, "copying", directory, "ready") < 0)
        return error_set(err, errno, "can't finish the copy");
    return 0;
}

static int move_ready(int directory, int source, struct error *err)
{
    scope_close int ready = openat(directory, "ready", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_close int data =
        openat(directory, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scope_close int listing = dup(ready);
    scope_closedir DIR *stream = listing < 0 ? NULL : fdopendir(listing);
    if (!stream || data < 0)
        return error_set(err, errno, "can't open the copy");
    scope_take_fd(&listing);
    struct dirent *entry;
    while ((entry = readdir(stream)))
        /* What a container that doesn't want the image's files has made meanwhile stays. */
        if (!file_is_dots(entry->d_name) &&
            renameat2(ready, entry->d_name, data, entry->d_name, RENAME_NOREPLACE) < 0 &&
            errno != EEXIST)
            return error_set(err, errno, "can't move %s into the volume", entry->d_name);
    if (volume_copy_attributes(source, data, err) < 0)
        return -1;
    return remove_tree(directory, "ready", NULL, err);
}

/* Where there is nothing to copy, or nothing that could be renamed. */
static int fill_in_place(int directory, int source, struct error *err)
{
    scope_close int data =
        openat(directory, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (data < 0)
        return error_set(err, errno, "can't open the volume's _data");
    if (volume_copy_tree(source, data, err) < 0)
        return -1;
    return volume_copy_attributes(source, data, err);
}

static int fill(int directory, int source, struct error *err)
{
    bool ready = faccessat(directory, "ready", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (!ready) {
        int empty = is_empty(directory, "_data", err);
        if (empty <= 0)
            return empty;
        int nothing = is_empty(source, ".", err);
        if (nothing < 0)
            return -1;
        if (nothing == 1 || volume_is_mounted(directory, "_data"))
            return fill_in_place(directory, source, err);
        if (make_copy(directory, source, err) < 0)
            return -1;
    }
    return move_ready(directory, source, err);
}

int volume_wants_content(struct volume_store *store, const char *name, struct error *err)
{
    scope_close int directory = volume_open_directory(store, name, err);
    if (directory < 0)
        return -1;
    if (faccessat(directory, "ready", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return is_empty(directory, "_data", err);
}

int volume_populate(struct volume_store *store, const char *name, int source, struct error *err)
{
    scope_close int directory = volume_open_directory(store, name, err);
    scope_close int lock = directory < 0 ? -1 : volume_lock(directory, name, err);
    if (lock < 0)
        return -1;
    if (fill(directory, source, err) < 0)
        return error_wrap(err, "volume '%s': filling it from the image", name);
    return 0;
}
