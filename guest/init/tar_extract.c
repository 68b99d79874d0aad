/* A tar archive extracted in the container. Parents are resolved below its root each time, whatever
 * links the archive or the container makes; the last component is never followed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/rootpath.h"
#include "copy.h"

#define DIRECTORY_LIMIT 65536

/* Directories get their times when nothing is made in them any more. */
struct late_time {
    char *path;
    struct timespec mtime;
};

struct extract {
    struct copy_input *input;
    const struct tar_extraction *plan;
    struct late_time *times;
    size_t time_count;
};

/* Below the directory, without "." and empty components; NULL: it leads out of it. */
static char *join(const char *base, const char *path)
{
    char *joined = memory_allocate(1, strlen(base) + strlen(path) + 3), *to = joined;
    to = stpcpy(to, base);
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 2 && memcmp(path, "..", 2) == 0) {
            free(joined);
            return NULL;
        }
        if (length > 0 && !(length == 1 && *path == '.')) {
            *to++ = '/';
            memcpy(to, path, length);
            to += length;
            *to = '\0';
        }
        path += length + (path[length] == '/');
    }
    return joined;
}

/* ---- attributes ---- */

/* Through a descriptor without rights, so that links, devices and what nobody may open can be
 * changed as well, and its name in the working directory, /proc/self/fd. Owner first: it takes
 * set-user-id bits and capabilities away. */
static int set_attributes(struct extract *extract, const struct tar_entry *entry, int directory,
                          const char *name, struct error *err)
{
    const struct tar_extraction *plan = extract->plan;
    uid_t uid = plan->has_owner ? plan->uid : entry->uid;
    gid_t gid = plan->has_owner ? plan->gid : entry->gid;
    scope_close int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    scope_free char *path = memory_format("%d", fd);
    if (fd < 0 || fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "can't set the owner of %s", entry->path);
    if (entry->type != '2') {
        if (chmod(path, entry->mode) < 0)
            return error_set(err, errno, "can't set the mode of %s", entry->path);
        /* A file system that can't have one: the file is worth more than its attribute. */
        for (size_t i = 0; i < entry->attribute_count; i++)
            setxattr(path, entry->attributes[i].name, entry->attributes[i].value,
                     entry->attributes[i].length, 0);
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, entry->mtime};
    utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static void note_time(struct extract *extract, const char *path, const struct tar_entry *entry)
{
    if (extract->time_count >= DIRECTORY_LIMIT)
        return;
    extract->times = memory_resize(extract->times, extract->time_count + 1, sizeof *extract->times);
    extract->times[extract->time_count++] =
        (struct late_time){memory_copy_string(path), entry->mtime};
}

static void set_late_times(struct extract *extract)
{
    while (extract->time_count > 0) {
        struct late_time *late = &extract->times[--extract->time_count];
        scope_close int fd = rootpath_open(extract->plan->root, late->path, O_PATH | O_DIRECTORY);
        struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, late->mtime};
        if (fd >= 0)
            utimensat(fd, ".", times, 0);
        free(late->path);
    }
    free(extract->times);
}

/* ---- entries ---- */

static int skip(struct copy_input *input, uint64_t size, struct error *err)
{
    char bytes[4096];
    uint64_t left = size + (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
    while (left > 0) {
        size_t count = left < sizeof bytes ? (size_t)left : sizeof bytes;
        if (copy_read(input, bytes, count, err) < 0)
            return -1;
        left -= count;
    }
    return 0;
}

static int read_contents(struct extract *extract, const struct tar_entry *entry, int fd,
                         struct error *err)
{
    char bytes[16384];
    uint64_t left = entry->size;
    while (left > 0) {
        size_t count = left < sizeof bytes ? (size_t)left : sizeof bytes;
        if (copy_read(extract->input, bytes, count, err) < 0)
            return -1;
        if (file_write_all(fd, bytes, count) < 0)
            return error_set(err, errno, "can't write %s", entry->path);
        left -= count;
    }
    return copy_read(extract->input, bytes, (TAR_BLOCK - entry->size % TAR_BLOCK) % TAR_BLOCK, err);
}

static int extract_file(struct extract *extract, const struct tar_entry *entry, int directory,
                        const char *name, bool is_mounted, struct error *err)
{
    /* One that is mounted can't be replaced, only written. */
    int flags = is_mounted ? O_TRUNC : O_CREAT | O_EXCL;
    scope_close int fd =
        openat(directory, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        return error_set(err, errno, "can't make %s", entry->path);
    return read_contents(extract, entry, fd, err);
}

static int extract_link(struct extract *extract, const struct tar_entry *entry, int directory,
                        const char *name, struct error *err)
{
    scope_free char *target = join(extract->plan->path, entry->link);
    const char *target_name;
    if (!target)
        return error_set(err, EINVAL, "%s is a link out of the directory", entry->path);
    scope_close int parent = rootpath_make_parent(extract->plan->root, target, &target_name, err);
    if (parent < 0)
        return -1;
    if (linkat(parent, target_name, directory, name, 0) < 0)
        return error_set(err, errno, "can't link %s to %s", entry->path, entry->link);
    return 0;
}

static int extract_directory(struct extract *extract, const struct tar_entry *entry,
                             const char *path, int directory, const char *name, struct error *err)
{
    struct stat status;
    if (mkdirat(directory, name, 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "can't make %s", entry->path);
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "%s", entry->path);
    if (S_ISLNK(status.st_mode)) {
        scope_close int fd = rootpath_open(extract->plan->root, path, O_PATH | O_DIRECTORY);
        return fd < 0 ? error_set(err, ENOTDIR, "%s", entry->path) : 0;
    }
    if (!S_ISDIR(status.st_mode))
        return error_set(err, ENOTDIR, "%s is there, and no directory", entry->path);
    note_time(extract, path, entry);
    return set_attributes(extract, entry, directory, name, err);
}

/* Takes away what is there, but for directories; whether it is a mount, which stays. */
static int make_place(int directory, const char *name, const char *path, struct error *err)
{
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EBUSY)
        return 1;
    return error_set(err, errno, "%s is there, and can't be replaced", path);
}

static int extract_other(struct extract *extract, const struct tar_entry *entry, int directory,
                         const char *name, struct error *err)
{
    int is_mounted = make_place(directory, name, entry->path, err);
    if (is_mounted < 0)
        return -1;
    if (entry->type == '0') {
        if (extract_file(extract, entry, directory, name, is_mounted, err) < 0)
            return -1;
    } else if (entry->type == '1') {
        return extract_link(extract, entry, directory, name, err);
    } else if (entry->type == '2') {
        if (symlinkat(entry->link, directory, name) < 0)
            return error_set(err, errno, "can't make the link %s", entry->path);
    } else {
        mode_t kind = entry->type == '3' ? S_IFCHR : entry->type == '4' ? S_IFBLK : S_IFIFO;
        if (mknodat(directory, name, kind | 0600, makedev(entry->major, entry->minor)) < 0)
            return error_set(err, errno, "can't make the device %s", entry->path);
    }
    return set_attributes(extract, entry, directory, name, err);
}

static int extract_entry(struct extract *extract, const struct tar_entry *entry, struct error *err)
{
    const struct tar_extraction *plan = extract->plan;
    scope_free char *path = join(plan->path, entry->path);
    const char *name;
    if (!path)
        return error_set(err, EINVAL, "the archive's %s leads out of the directory", entry->path);
    if (strchr("0123456", entry->type) == NULL)
        return skip(extract->input, entry->size, err);
    if (strlen(path) == strlen(plan->path)) /* "." */
        return entry->type == '0' ? skip(extract->input, entry->size, err) : 0;
    scope_close int directory = rootpath_make_parent(plan->root, path, &name, err);
    if (directory < 0)
        return -1;
    if (entry->type == '5')
        return extract_directory(extract, entry, path, directory, name, err);
    return extract_other(extract, entry, directory, name, err);
}

int tar_extract(struct copy_input *input, const struct tar_extraction *plan, struct error *err)
{
    struct extract extract = {.input = input, .plan = plan};
    scope_close int there = rootpath_open(plan->root, plan->path, O_PATH | O_DIRECTORY);
    if (there < 0)
        return error_set(err, errno, "%s", plan->path);
    int more;
    struct tar_entry entry;
    while ((more = tar_read_header(input, &entry, err)) > 0) {
        int result = extract_entry(&extract, &entry, err);
        tar_entry_release(&entry);
        if (result < 0) {
            more = -1;
            break;
        }
    }
    set_late_times(&extract);
    return more < 0 ? -1 : copy_drain(input, err);
}
