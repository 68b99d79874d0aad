#include "container/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/mounts.h"
#include "container/rootpath.h"

/* config-linux.md, "Default Devices"; /dev/console and /dev/ptmx are made otherwise. */
static const struct config_device default_devices[] = {
    {.path = "/dev/null", .type = 'c', .major = 1, .minor = 3, .has_mode = true, .mode = 0666},
    {.path = "/dev/zero", .type = 'c', .major = 1, .minor = 5, .has_mode = true, .mode = 0666},
    {.path = "/dev/full", .type = 'c', .major = 1, .minor = 7, .has_mode = true, .mode = 0666},
    {.path = "/dev/random", .type = 'c', .major = 1, .minor = 8, .has_mode = true, .mode = 0666},
    {.path = "/dev/urandom", .type = 'c', .major = 1, .minor = 9, .has_mode = true, .mode = 0666},
    {.path = "/dev/tty", .type = 'c', .major = 5, .minor = 0, .has_mode = true, .mode = 0666},
};

static const struct {
    const char *target, *path;
} default_links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

static mode_t node_type(char type)
{
    return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

static bool is_device(const struct stat *status, const struct config_device *device)
{
    mode_t type = node_type(device->type);
    return (status->st_mode & S_IFMT) == type &&
           (type == S_IFIFO ||
            status->st_rdev == makedev((unsigned int)device->major, (unsigned int)device->minor));
}

static int bind_host_device(const struct rootfs *rootfs, const struct config_device *device,
                            struct error *err)
{
    scope_close int host = open(device->path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (host < 0 || fstat(host, &status) < 0)
        return error_set(err, errno, "can't make device %s, and the host has none to bind",
                         device->path);
    if (!is_device(&status, device))
        return error_set(err, 0, "can't make device %s, and the host's is another device",
                         device->path);
    scope_close int fd = mount_clone(host, "", false, AT_EMPTY_PATH, err);
    if (fd < 0)
        return -1;
    scope_close int target = rootpath_make(rootfs->root, device->path, false, err);
    if (target < 0)
        return -1;
    return mount_attach(fd, target, device->path, err);
}

/* What mknod(2) makes of a device: */
enum { NODE_MADE, NODE_NOT_ALLOWED, NODE_IN_THE_WAY };

/* An empty file is what an earlier start may have made to bind a device on. */
static bool is_place_to_bind(int parent, const char *name)
{
    struct stat status;
    return fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
           status.st_size == 0;
}

/* mknod(2) and its owner and mode. NODE_IN_THE_WAY: something else is there. */
static int make_node(int parent, const char *name, const struct config_device *device,
                     struct error *err)
{
    mode_t mode = device->has_mode ? device->mode & 07777 : 0666;
    dev_t number = makedev((unsigned int)device->major, (unsigned int)device->minor);
    if (mknodat(parent, name, node_type(device->type) | mode, number) < 0) {
        struct stat status;
        if (errno == EPERM)
            return NODE_NOT_ALLOWED;
        if (errno != EEXIST)
            return error_set(err, errno, "can't make device %s", device->path);
        if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !is_device(&status, device))
            return NODE_IN_THE_WAY;
    }
    /* The umask is 0 while the container is made, so the mode is right already if we made it. */
    if ((device->uid || device->gid) &&
        fchownat(parent, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "can't give device %s to %u:%u", device->path, device->uid,
                         device->gid);
    return NODE_MADE;
}

static int make_device(const struct rootfs *rootfs, const struct config_device *device,
                       struct error *err)
{
    if (rootfs->user_namespace && device->type != 'p')
        return bind_host_device(rootfs, device, err);
    const char *name;
    scope_close int parent = rootpath_make_parent(rootfs->root, device->path, &name, err);
    if (parent < 0)
        return -1;
    int made = make_node(parent, name, device, err);
    /* "If a file already exists at path that does not match the requested device, the runtime MUST
     * generate an error" (config-linux.md, Devices). */
    if (made == NODE_IN_THE_WAY && !is_place_to_bind(parent, name))
        return error_set(err, EEXIST, "can't make device %s", device->path);
    return made > 0 ? bind_host_device(rootfs, device, err) : made;
}

static bool is_default(const char *path)
{
    for (size_t i = 0; i < sizeof default_devices / sizeof *default_devices; i++) {
        if (strcmp(path, default_devices[i].path) == 0)
            return true;
    }
    return false;
}

static bool is_configured(const struct rootfs *rootfs, const char *path)
{
    for (size_t i = 0; i < rootfs->config->linux_section.device_count; i++) {
        if (strcmp(path, rootfs->config->linux_section.devices[i].path) == 0)
            return true;
    }
    return false;
}

static int make_link(int dev, const char *target, const char *path, struct error *err)
{
    const char *name = path + strlen("/dev/");
    if (symlinkat(target, dev, name) < 0 && errno != EEXIST)
        return error_set(err, errno, "can't make %s", path);
    return 0;
}

/* /dev/ptmx must be the container's own pts/ptmx, not a node of the host's devpts. */
static int link_ptmx(int dev, struct error *err)
{
    struct stat status;
    if (fstatat(dev, "pts/ptmx", &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (unlinkat(dev, "ptmx", 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't replace /dev/ptmx");
    return make_link(dev, "pts/ptmx", "/dev/ptmx", err);
}

static int make_links(int dev, struct error *err)
{
    for (size_t i = 0; i < sizeof default_links / sizeof *default_links; i++) {
        if (make_link(dev, default_links[i].target, default_links[i].path, err) < 0)
            return -1;
    }
    if (access("/proc/kcore", F_OK) == 0 && make_link(dev, "/proc/kcore", "/dev/core", err) < 0)
        return -1;
    return link_ptmx(dev, err);
}

int devices_make_all(struct rootfs *rootfs, struct error *err)
{
    const struct config_linux *section = &rootfs->config->linux_section;
    scope_close int dev = rootpath_make(rootfs->root, "/dev", true, err);
    if (dev < 0)
        return -1;
    for (size_t i = 0; i < sizeof default_devices / sizeof *default_devices; i++) {
        const struct config_device *device = &default_devices[i];
        if (is_configured(rootfs, device->path))
            continue;
        int made = rootfs->user_namespace
                       ? NODE_NOT_ALLOWED
                       : make_node(dev, device->path + strlen("/dev/"), device, err);
        if (made > 0)
            made = bind_host_device(rootfs, device, err);
        if (made < 0)
            return -1;
    }
    for (size_t i = 0; i < section->device_count; i++) {
        const struct config_device *device = &section->devices[i];
        struct stat status;
        /* A default device that the configuration repeats may be on a read-only /dev already. */
        if (is_default(device->path) &&
            fstatat(dev, device->path + strlen("/dev/"), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_device(&status, device) && !device->uid && !device->gid)
            continue;
        if (make_device(rootfs, device, err) < 0)
            return -1;
    }
    return make_links(dev, err);
}

int devices_open_host(const struct rootfs *rootfs, const char *name, unsigned int major,
                      unsigned int minor, struct error *err)
{
    scope_close int fd = openat(rootfs->host_dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno, "can't open the host's /dev/%s", name);
    if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(major, minor))
        return error_set(err, 0, "the host's /dev/%s is not the device %u:%u", name, major, minor);
    return scope_take_fd(&fd);
}
