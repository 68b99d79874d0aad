/* What is done last to the root file system: kernel parameters set, paths masked and made
 * read-only, and the root itself. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/devices.h"
#include "container/mounts.h"
#include "container/rootfs.h"
#include "container/rootpath.h"

/* "net.ipv4.ip_forward" or "net/ipv4/ip_forward" as a path below /proc. As in sysctl(8), the
 * separator that comes first is the separator, and the other one changes places with it. */
static char *sysctl_path(const char *key)
{
    char *path = memory_format("sys/%s", key);
    char *name = path + 4;
    if (name[strcspn(name, "./")] != '.')
        return path;
    for (; *name; name++)
        *name = *name == '.' ? '/' : *name == '/' ? '.' : *name;
    return path;
}

/* Into the procfs that we mounted ourselves: no link, no mount on the way, and a procfs it is. */
static int write_sysctl(int procfs, const struct config_pair *sysctl, struct error *err)
{
    scope_free char *path = sysctl_path(sysctl->key);
    scope_close int fd = file_open_resolved(
        procfs, path, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd < 0)
        return error_set(err, errno, "sysctl %s", sysctl->key);
    if (!rootpath_is_procfs(fd))
        return error_set(err, 0, "sysctl %s: not on a procfs", sysctl->key);
    if (write(fd, sysctl->value, strlen(sysctl->value)) < 0)
        return error_set(err, errno, "sysctl %s: can't write '%s'", sysctl->key, sysctl->value);
    return 0;
}

static int set_sysctls(struct rootfs *rootfs, struct error *err)
{
    const struct config_pairs *sysctl = &rootfs->config->linux_section.sysctl;
    if (sysctl->count == 0)
        return 0;
    int procfs = rootfs_open_procfs(rootfs, err);
    if (procfs < 0)
        return error_wrap(err, "sysctl");
    for (size_t i = 0; i < sysctl->count; i++) {
        if (write_sysctl(procfs, &sysctl->items[i], err) < 0)
            return -1;
    }
    return 0;
}

/* Is what the configuration mounts at destination, last, of this type? */
static bool has_mount_at(const struct rootfs *rootfs, const char *destination, const char *type)
{
    bool found = false;
    for (size_t i = 0; i < rootfs->config->mount_count; i++) {
        const struct config_mount *mount = &rootfs->config->mounts[i];
        size_t length = strlen(mount->destination);
        while (length > 1 && mount->destination[length - 1] == '/')
            length--;
        if (length == strlen(destination) && strncmp(mount->destination, destination, length) == 0)
            found = mount->type && strcmp(mount->type, type) == 0;
    }
    return found;
}

/* The procfs at /proc or the sysfs at /sys, where what is protected below must really be: who can
 * write to the root file system from another mount namespace could have renamed the mount point,
 * and put a decoy or nothing in its place (the 2025 runc advisories). */
static int open_kernel_file_system(const struct rootfs *rootfs, const char *directory,
                                   bool (*is_right)(int), struct error *err)
{
    scope_close int fd = file_open_resolved(rootfs->root, directory, O_PATH | O_DIRECTORY, 0,
                                            RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
    if (fd < 0 || !is_right(fd))
        return error_set(err, 0, "something else has been put in the place of %s", directory);
    return scope_take_fd(&fd);
}

/* -1 with errno. Below /proc and /sys there are no links to follow. */
static int open_below(int directory, const char *path, const char *root)
{
    path += strlen(root);
    path += strspn(path, "/");
    return file_open_resolved(directory, *path ? path : ".", O_PATH, 0,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* Opens a path to protect. 1: not there. */
static int open_protected(const struct rootfs *rootfs, const char *path, int *fd, struct error *err)
{
    bool proc = strncmp(path, "/proc/", 6) == 0, sys = strncmp(path, "/sys/", 5) == 0;
    const char *root = proc ? "/proc" : "/sys";
    if ((proc || sys) && has_mount_at(rootfs, root, proc ? "proc" : "sysfs")) {
        scope_close int directory = open_kernel_file_system(
            rootfs, root, proc ? rootpath_is_procfs : rootpath_is_sysfs, err);
        if (directory < 0)
            return error_wrap(err, "can't protect %s", path);
        *fd = open_below(directory, path, root);
    } else if (proc || sys) {
        *fd = file_open_resolved(rootfs->root, path, O_PATH, 0,
                                 RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
    } else {
        *fd = rootpath_open(rootfs->root, path, O_PATH);
    }
    if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 1;
    if (*fd < 0)
        return error_set(err, errno, "can't protect %s", path);
    return 0;
}

struct masks {
    int null, empty; /* the host's /dev/null; an empty tmpfs, made when a directory needs it */
    bool attached;   /* the tmpfs covers the first directory */
};

static int make_masks(const struct rootfs *rootfs, bool directory, struct masks *masks,
                      struct error *err)
{
    if (directory && masks->empty < 0) {
        struct mount_options options = {.attributes = {.attr_set = MOUNT_ATTR_RDONLY}};
        masks->empty = mount_new("tmpfs", "tmpfs", &options, rootfs->mount_label, err);
        if (masks->empty < 0 || mount_set_readonly(masks->empty, false, err) < 0)
            return -1;
    } else if (!directory && masks->null < 0) {
        masks->null = devices_open_host(rootfs, "null", 1, 3, err);
    }
    return directory ? masks->empty : masks->null;
}

static int mask_path(const struct rootfs *rootfs, const char *path, struct masks *masks,
                     struct error *err)
{
    scope_close int target = -1;
    int missing = open_protected(rootfs, path, &target, err);
    if (missing)
        return missing < 0 ? -1 : 0;
    struct stat status;
    if (fstat(target, &status) < 0)
        return error_set(err, errno, "can't mask %s", path);
    /* Look before masking: a failed bind of a file onto a directory waits for RCU. */
    int source = make_masks(rootfs, S_ISDIR(status.st_mode), masks, err);
    if (source < 0)
        return error_wrap(err, "can't mask %s", path);
    /* Before Linux 6.15 only what is attached somewhere can be cloned: the first directory gets the
     * tmpfs itself, the others clones of it. */
    if (source == masks->empty && !masks->attached) {
        masks->attached = true;
        return mount_attach(source, target, path, err);
    }
    scope_close int mask = mount_clone(source, "", false, AT_EMPTY_PATH, err);
    if (mask < 0)
        return error_wrap(err, "can't mask %s", path);
    return mount_attach(mask, target, path, err);
}

static int mask_paths(const struct rootfs *rootfs, struct error *err)
{
    const struct config_strings *paths = &rootfs->config->linux_section.masked_paths;
    struct masks masks = {-1, -1, false};
    int result = 0;
    for (size_t i = 0; i < paths->count && result == 0; i++)
        result = mask_path(rootfs, paths->items[i], &masks, err);
    if (masks.null >= 0)
        close(masks.null);
    if (masks.empty >= 0)
        close(masks.empty);
    return result;
}

static int make_path_readonly(const struct rootfs *rootfs, const char *path, struct error *err)
{
    scope_close int target = -1;
    int missing = open_protected(rootfs, path, &target, err);
    if (missing)
        return missing < 0 ? -1 : 0;
    scope_close int copy = mount_clone(target, "", true, AT_EMPTY_PATH, err);
    if (copy < 0 || mount_set_readonly(copy, false, err) < 0)
        return error_wrap(err, "can't make %s read-only", path);
    return mount_attach(copy, target, path, err);
}

/* The descriptors are the mounts' own, whatever has been mounted over them since. */
static int make_mounts_readonly(struct rootfs *rootfs, struct error *err)
{
    for (; rootfs->readonly_later_count > 0; rootfs->readonly_later_count--) {
        scope_close int fd = rootfs->readonly_later[rootfs->readonly_later_count - 1];
        if (mount_set_readonly(fd, false, err) < 0)
            return -1;
    }
    free(rootfs->readonly_later);
    rootfs->readonly_later = NULL;
    return 0;
}

int rootfs_protect(struct rootfs *rootfs, struct error *err)
{
    const struct config_strings *readonly = &rootfs->config->linux_section.readonly_paths;
    if (set_sysctls(rootfs, err) < 0)
        return -1;
    for (size_t i = 0; i < readonly->count; i++) {
        if (make_path_readonly(rootfs, readonly->items[i], err) < 0)
            return -1;
    }
    if (mask_paths(rootfs, err) < 0 || make_mounts_readonly(rootfs, err) < 0)
        return -1;
    if (rootfs->config->root.readonly && mount_set_readonly(rootfs->root, false, err) < 0)
        return error_wrap(err, "root file system");
    return 0;
}
