/* Removal of directory trees that images filled, of any depth. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

#define DEPTH_MAX 64 /* descriptors that are open at a time */

struct removal {
    int top;            /* where directories too deep are moved to, to be removed from there */
    unsigned int moved; /* how many were */
};

static int remove_entry(struct removal *removal, int parent, const char *name, int depth);

static void name_moved(char name[40], unsigned int number)
{
    snprintf(name, 40, ".hull-deep.%d.%u", (int)getpid(), number);
}

static int move_up(struct removal *removal, int parent, const char *name)
{
    char place[40];
    name_moved(place, removal->moved);
    if (renameat(parent, name, removal->top, place) < 0)
        return errno == ENOENT ? 0 : -1;
    removal->moved++;
    return 0;
}

static int empty_directory(struct removal *removal, int parent, const char *name, int depth)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
        fd = openat(parent, name, flags);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    /* Its owner may have forbidden itself to write; root doesn't care. */
    if (geteuid() != 0)
        fchmod(fd, 0700);
    scope_closedir DIR *stream = fdopendir(fd);
    if (!stream) {
        close(fd);
        return -1;
    }
    struct dirent *entry;
    while ((entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            remove_entry(removal, fd, entry->d_name, depth + 1) < 0)
            return -1;
    return 0;
}

/* Somebody else may remove the same tree: what is gone is as it should be. */
static int remove_entry(struct removal *removal, int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -1;
    if (depth >= DEPTH_MAX)
        return move_up(removal, parent, name);
    if (empty_directory(removal, parent, name, depth) < 0)
        return -1;
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int store_remove_tree(int directory, const char *name, struct error *err)
{
    struct removal removal = {.top = directory};
    int result = remove_entry(&removal, directory, name, 0);
    for (unsigned int i = 0; result == 0 && i < removal.moved; i++) {
        char moved[40];
        name_moved(moved, i);
        result = remove_entry(&removal, directory, moved, 0);
    }
    return result < 0 ? error_set(err, errno, "can't remove %s", name) : 0;
}
