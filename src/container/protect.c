/* What is done last to the root file system: kernel parameters set, paths masked and made
 * read-only, and the root itself. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
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

/* Opens a path to protect. A path below /proc or /sys must be on a procfs or sysfs: otherwise an
 * image's link would have us protect something else, and leave the real one open. 1: not there. */
static int open_protected(const struct rootfs *rootfs, const char *path, int *fd, struct error *err)
{
    bool proc = strncmp(path, "/proc/", 6) == 0, sys = strncmp(path, "/sys/", 5) == 0;
    *fd = proc || sys ? file_open_resolved(rootfs->root, path, O_PATH, 0,
                                           RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
                      : rootpath_open(rootfs->root, path, O_PATH);
    if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 1;
    if (*fd < 0)
        return error_set(err, errno, "can't protect %s", path);
    return 0;
}

/* Is path at or below a mount of the configuration other than /proc and /sys themselves? */
static bool is_below_other_mount(const struct rootfs *rootfs, const char *path)
{
    for (size_t i = 0; i < rootfs->config->mount_count; i++) {
        const char *destination = rootfs->config->mounts[i].destination;
        size_t length = strlen(destination);
        if (length > strlen("/proc/") && strncmp(path, destination, length) == 0 &&
            (path[length] == '/' || path[length] == '\0'))
            return true;
    }
    return false;
}

static bool has_mount_at(const struct rootfs *rootfs, const char *destination, const char *type)
{
    for (size_t i = 0; i < rootfs->config->mount_count; i++) {
        const struct config_mount *mount = &rootfs->config->mounts[i];
        if (mount->type && strcmp(mount->type, type) == 0 &&
            strcmp(mount->destination, destination) == 0)
            return true;
    }
    return false;
}

/* Where the configuration has a procfs at /proc or a sysfs at /sys, what is protected below must
 * really be on one: who can write the root file system from another mount namespace could have
 * renamed the mount point, and the mask would cover a decoy (the 2025 runc advisories). */
static int check_protected(const struct rootfs *rootfs, const char *path, int fd, struct error *err)
{
    bool decoy = false;
    if (strncmp(path, "/proc/", 6) == 0 && has_mount_at(rootfs, "/proc", "proc"))
        decoy = !rootpath_is_procfs(fd);
    else if (strncmp(path, "/sys/", 5) == 0 && has_mount_at(rootfs, "/sys", "sysfs"))
        decoy = !rootpath_is_sysfs(fd);
    if (decoy && !is_below_other_mount(rootfs, path))
        return error_set(err, 0, "can't protect %s: something else has been put in its place",
                         path);
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
    if (check_protected(rootfs, path, target, err) < 0)
        return -1;
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
    if (check_protected(rootfs, path, target, err) < 0)
        return -1;
    scope_close int copy = mount_clone(target, "", true, AT_EMPTY_PATH, err);
    if (copy < 0 || mount_set_readonly(copy, false, err) < 0)
        return error_wrap(err, "can't make %s read-only", path);
    return mount_attach(copy, target, path, err);
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
    if (mask_paths(rootfs, err) < 0)
        return -1;
    if (rootfs->config->root.readonly && mount_set_readonly(rootfs->root, false, err) < 0)
        return error_wrap(err, "root file system");
    return 0;
}
