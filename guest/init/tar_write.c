/* A tree of the container's as a tar archive. Names are looked up in directories that are open:
 * what is renamed or replaced meanwhile leads nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/rootpath.h"
#include "copy.h"

#define DEPTH_LIMIT 400
#define ATTRIBUTES_SIZE 65536
#define BUCKETS 1024

/* Files with several names, by device and inode: the later names are links to the first. */
struct first_name {
    struct first_name *next;
    dev_t device;
    ino_t inode;
    char path[];
};

struct walk {
    struct copy_output *output;
    struct first_name *names[BUCKETS];
    int depth;
};

static const char *find_first_name(struct walk *walk, const struct stat *status, const char *path)
{
    struct first_name **bucket = &walk->names[status->st_ino % BUCKETS];
    for (const struct first_name *name = *bucket; name; name = name->next) {
        if (name->inode == status->st_ino && name->device == status->st_dev)
            return name->path;
    }
    struct first_name *name = memory_allocate(1, sizeof *name + strlen(path) + 1);
    name->device = status->st_dev;
    name->inode = status->st_ino;
    strcpy(name->path, path);
    name->next = *bucket;
    *bucket = name;
    return NULL;
}

/* By its name in the working directory, /proc/self/fd: the attributes' system calls take no
 * descriptor without rights. Symbolic links' own are left out. */
static void read_attributes(struct tar_entry *entry, int directory, const char *name)
{
    scope_close int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    scope_free char *names = memory_allocate(1, ATTRIBUTES_SIZE + 1);
    scope_free char *value = memory_allocate(1, ATTRIBUTES_SIZE);
    scope_free char *path = memory_format("%d", fd);
    ssize_t length = fd < 0 || entry->type == '2' ? -1 : listxattr(path, names, ATTRIBUTES_SIZE);
    for (const char *at = names; length > 0 && at < names + length; at += strlen(at) + 1) {
        if (strncmp(at, "trusted.", 8) == 0)
            continue; /* the overlay's own */
        ssize_t size = getxattr(path, at, value, ATTRIBUTES_SIZE);
        if (size >= 0)
            tar_entry_add_attribute(entry, at, value, (size_t)size);
    }
}

/* Exactly so many bytes as the header said: what has been cut off since is zeros. */
static int write_contents(struct walk *walk, int fd, uint64_t size, const char *path,
                          struct error *err)
{
    char bytes[16384];
    uint64_t left = size + (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, of_file = size;
    while (left > 0) {
        size_t wanted = left < sizeof bytes ? (size_t)left : sizeof bytes;
        size_t from_file = of_file < wanted ? (size_t)of_file : wanted;
        ssize_t count = from_file > 0 ? read(fd, bytes, from_file) : 0;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set(err, errno, "can't read %s", path);
        if (count == 0) {
            of_file = 0;
            memset(bytes, 0, wanted);
            count = (ssize_t)wanted;
        } else {
            of_file -= (uint64_t)count;
        }
        if (copy_write(walk->output, bytes, (size_t)count, err) < 0)
            return -1;
        left -= (uint64_t)count;
    }
    return 0;
}

static int write_file(struct walk *walk, int directory, const char *name, struct tar_entry *entry,
                      struct error *err)
{
    struct stat status;
    scope_close int fd =
        openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open %s", entry->path);
    if (!S_ISREG(status.st_mode))
        return 0; /* it was replaced just now */
    entry->size = (uint64_t)status.st_size;
    if (tar_write_header(walk->output, entry, err) < 0)
        return -1;
    return write_contents(walk, fd, entry->size, entry->path, err);
}

static int write_entry(struct walk *walk, int directory, const char *name, const char *path,
                       struct error *err);

static int write_directory(struct walk *walk, int parent, const char *name, const char *path,
                           struct error *err)
{
    if (walk->depth >= DEPTH_LIMIT)
        return error_set(err, ELOOP, "%s is too deep", path);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scope_closedir DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open %s", path);
    struct dirent *entry;
    int result = 0;
    walk->depth++;
    while (result == 0 && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        scope_free char *below = memory_format("%s/%s", path, entry->d_name);
        result = write_entry(walk, fd, entry->d_name, below, err);
    }
    walk->depth--;
    return result;
}

static char type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return '0';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFDIR:
        return '5';
    case S_IFIFO:
        return '6';
    default:
        return 0; /* a socket is nothing without its process */
    }
}

static int write_kind(struct walk *walk, int directory, const char *name, const struct stat *status,
                      struct tar_entry *entry, struct error *err)
{
    if (entry->type == '2') {
        char target[4096];
        ssize_t length = readlinkat(directory, name, target, sizeof target - 1);
        if (length < 0)
            return errno == EINVAL || errno == ENOENT
                       ? 0
                       : error_set(err, errno, "can't read the link %s", entry->path);
        target[length] = '\0';
        entry->link = memory_copy_string(target);
        return tar_write_header(walk->output, entry, err);
    }
    const char *first = entry->type == '0' && status->st_nlink > 1
                            ? find_first_name(walk, status, entry->path)
                            : NULL;
    if (first) {
        entry->type = '1';
        entry->link = memory_copy_string(first);
        return tar_write_header(walk->output, entry, err);
    }
    read_attributes(entry, directory, name);
    if (entry->type == '0')
        return write_file(walk, directory, name, entry, err);
    if (tar_write_header(walk->output, entry, err) < 0)
        return -1;
    return entry->type == '5' ? write_directory(walk, directory, name, entry->path, err) : 0;
}

static int write_entry(struct walk *walk, int directory, const char *name, const char *path,
                       struct error *err)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT && walk->depth > 0 ? 0 : error_set(err, errno, "%s", path);
    char type = type_of(status.st_mode);
    if (!type)
        return 0;
    struct tar_entry entry = {.type = type,
                              .path = memory_copy_string(path),
                              .mode = status.st_mode & 07777,
                              .uid = status.st_uid,
                              .gid = status.st_gid,
                              .major = type == '3' || type == '4' ? major(status.st_rdev) : 0,
                              .minor = type == '3' || type == '4' ? minor(status.st_rdev) : 0,
                              .mtime = status.st_mtim};
    int result = write_kind(walk, directory, name, &status, &entry, err);
    tar_entry_release(&entry);
    return result;
}

static int finish(struct copy_output *output, struct error *err)
{
    static const char end[2 * TAR_BLOCK];
    return copy_write(output, end, sizeof end, err) < 0 ? -1 : copy_flush(output, err);
}

/* "a/b/" and "a/b/." are what b leads to; "a/b" is b itself, also where it is a symbolic link. */
int tar_write_tree(struct copy_output *output, int root, const char *path, struct error *err)
{
    struct walk walk = {.output = output};
    scope_free char *copy = memory_copy_string(path);
    size_t length = strlen(copy);
    bool follows = false;
    while (length > 0 && (copy[length - 1] == '/' ||
                          (copy[length - 1] == '.' && (length == 1 || copy[length - 2] == '/')))) {
        follows = true;
        copy[--length] = '\0';
    }
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    bool is_named = *name && strcmp(name, "..") != 0;
    scope_close int directory = -1;
    if (!is_named || follows) {
        directory = rootpath_open(root, *copy ? copy : "/", O_PATH | O_DIRECTORY);
    } else {
        scope_free char *above = memory_format("/%.*s", (int)(name - copy), copy);
        directory = rootpath_open(root, above, O_PATH | O_DIRECTORY);
    }
    if (directory < 0)
        return error_set(err, errno, "%s", path);
    int result = write_entry(&walk, directory, !is_named || follows ? "." : name,
                             is_named ? name : ".", err);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct first_name *next; walk.names[i]; walk.names[i] = next) {
            next = walk.names[i]->next;
            free(walk.names[i]);
        }
    }
    return result < 0 ? -1 : finish(output, err);
}
