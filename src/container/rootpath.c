#include "container/rootpath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

#define LINKS_MAX 40

int rootpath_open(int root, const char *path, uint64_t flags)
{
    return file_open_resolved(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* A walk that makes what is missing. `done` has no symbolic links in it (at the moment each
 * component was looked at; every open starts from the root and can't leave it). */
struct walk {
    int root;
    char done[PATH_MAX];
    char rest[PATH_MAX];
    int links;
};

/* Takes the next component off walk->rest; false at the end. */
static bool next_component(struct walk *walk, char component[NAME_MAX + 1], bool *last)
{
    char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");
    if (length == 0)
        return false;
    size_t kept = length > NAME_MAX ? NAME_MAX : length;
    memcpy(component, start, kept);
    component[kept] = '\0';
    char *after = start + length;
    *last = after[strspn(after, "/")] == '\0';
    memmove(walk->rest, after, strlen(after) + 1);
    return true;
}

/* walk->done plus component, in walk->done. */
static int step_into(struct walk *walk, const char *component)
{
    size_t length = strlen(walk->done);
    if (strcmp(component, ".") == 0)
        return 0;
    if (strcmp(component, "..") == 0) {
        char *slash = strrchr(walk->done, '/');
        *(slash ? slash : walk->done) = '\0';
        return 0;
    }
    if (length + strlen(component) + 2 > sizeof walk->done) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memmove(stpcpy(walk->done + length, length ? "/" : ""), component, strlen(component) + 1);
    return 0;
}

static int open_done(const struct walk *walk, uint64_t flags)
{
    return rootpath_open(walk->root, *walk->done ? walk->done : ".", O_PATH | flags);
}

/* The component is a symbolic link in the directory walk->done: goes on where it points. */
static int follow_link(struct walk *walk, int directory, const char *component)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t length = readlinkat(directory, component, target, sizeof target - 1);
    if (length < 0)
        return -1;
    target[length] = '\0';
    memcpy(rest, walk->rest, sizeof rest);
    if (++walk->links > LINKS_MAX || (size_t)length + strlen(rest) + 2 > sizeof walk->rest) {
        errno = ELOOP;
        return -1;
    }
    stpcpy(stpcpy(stpcpy(walk->rest, target), "/"), rest);
    if (target[0] == '/')
        walk->done[0] = '\0';
    return 0;
}

/* Makes the component in the directory walk->done unless it is there. 1: it is a symbolic link
 * and was followed. */
static int make_component(struct walk *walk, const char *component, bool directory)
{
    scope_close int parent = open_done(walk, O_DIRECTORY);
    if (parent < 0)
        return -1;
    struct stat status;
    if (fstatat(parent, component, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISLNK(status.st_mode) ? (follow_link(walk, parent, component) < 0 ? -1 : 1) : 0;
    if (errno != ENOENT)
        return -1;
    if (directory)
        return mkdirat(parent, component, 0755) < 0 && errno != EEXIST ? -1 : 0;
    int file = openat(parent, component, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0 && errno != EEXIST)
        return -1;
    if (file >= 0)
        close(file);
    return 0;
}

static int walk_and_make(struct walk *walk, bool directory)
{
    char component[NAME_MAX + 1];
    bool last;
    while (next_component(walk, component, &last)) {
        if (!file_is_dots(component)) {
            int made = make_component(walk, component, directory || !last);
            if (made < 0)
                return -1;
            if (made == 1)
                continue;
        }
        if (step_into(walk, component) < 0)
            return -1;
    }
    return open_done(walk, 0);
}

int rootpath_make(int root, const char *path, bool directory, struct error *err)
{
    int fd = rootpath_open(root, path, O_PATH);
    if (fd < 0 && errno == ENOENT && strlen(path) < PATH_MAX) {
        struct walk walk = {.root = root};
        strcpy(walk.rest, path);
        fd = walk_and_make(&walk, directory);
    }
    if (fd < 0)
        return error_set(err, errno, "can't make %s in the container's root", path);
    return fd;
}

int rootpath_make_parent(int root, const char *path, const char **name, struct error *err)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (**name == '\0' || file_is_dots(*name))
        return error_set(err, EINVAL, "'%s' doesn't name a file", path);
    scope_free char *parent = memory_format("/%.*s", slash ? (int)(slash - path) : 0, path);
    return rootpath_make(root, parent, true, err);
}

static bool has_magic(int fd, long magic)
{
    struct statfs status;
    return fstatfs(fd, &status) == 0 && (long)status.f_type == magic;
}

bool rootpath_is_procfs(int fd)
{
    return has_magic(fd, PROC_SUPER_MAGIC);
}

bool rootpath_is_sysfs(int fd)
{
    return has_magic(fd, SYSFS_MAGIC);
}
