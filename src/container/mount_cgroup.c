#include "container/mount_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/mounts.h"

/* The container's directory of the host's mount. In a cgroup namespace a mount of the hierarchy's
 * own type has its root there by itself. */
static int bind_own_directory(const struct cgroup_hierarchy *hierarchy, struct error *err)
{
    return mount_clone(AT_FDCWD, hierarchy->path, true, 0, err);
}

static int mount_hierarchy(const struct rootfs *rootfs, const struct cgroup_hierarchy *hierarchy,
                           struct error *err)
{
    if (!rootfs->cgroup_namespace)
        return bind_own_directory(hierarchy, err);
    int fd;
    if (hierarchy->v2) {
        fd = mount_new("cgroup2", "cgroup", NULL, NULL, err);
    } else {
        scope_free char *controllers = memory_copy_string(hierarchy->controllers);
        struct mount_options options = {.data = memory_allocate(16, sizeof *options.data)};
        /* A hierarchy without controllers has a name: "none" says that this is all of it. */
        if (strncmp(controllers, "name=", 5) == 0)
            options.data[options.data_count++] = "none";
        char *rest = controllers, *name;
        while ((name = strsep(&rest, ",")) && options.data_count < 16)
            options.data[options.data_count++] = name;
        fd = mount_new("cgroup", "cgroup", &options, NULL, err);
        mount_options_release(&options);
    }
    /* A user namespace may be refused the mount; the directory itself is as good. */
    if (fd < 0 && (err->code == EPERM || err->code == EBUSY || err->code == EINVAL))
        fd = bind_own_directory(hierarchy, err);
    return fd;
}

static int finish(int fd, const struct mount_options *options, int target, const char *name,
                  struct error *err)
{
    struct mount_options own = *options;
    own.attributes.attr_set |= MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (mount_set_attributes(fd, &own, name, err) < 0)
        return -1;
    return mount_attach(fd, target, name, err);
}

/* The directory's name of a v1 hierarchy: its controllers, or what comes after "name=". */
static const char *directory_name(const struct cgroup_hierarchy *hierarchy)
{
    if (hierarchy->v2)
        return "unified";
    const char *slash = strrchr(hierarchy->mount_point, '/');
    return slash ? slash + 1 : hierarchy->controllers;
}

/* "cpu" and "cpuacct" beside the directory "cpu,cpuacct". */
static int link_controllers(int tmpfs, const struct cgroup_hierarchy *hierarchy, const char *name,
                            struct error *err)
{
    if (hierarchy->v2 || !strchr(hierarchy->controllers, ','))
        return 0;
    scope_free char *controllers = memory_copy_string(hierarchy->controllers);
    char *rest = controllers, *controller;
    while ((controller = strsep(&rest, ","))) {
        if (symlinkat(name, tmpfs, controller) < 0 && errno != EEXIST)
            return error_set(err, errno, "can't link the cgroup controller %s", controller);
    }
    return 0;
}

static int mount_tree(const struct rootfs *rootfs, const struct config_mount *mount,
                      const struct mount_options *options, int target, struct error *err)
{
    const char *data[] = {"mode=755"};
    struct mount_options tmpfs_options = {.data = data, .data_count = 1};
    scope_close int tmpfs = mount_new("tmpfs", "tmpfs", &tmpfs_options, rootfs->mount_label, err);
    if (tmpfs < 0)
        return -1;
    for (size_t i = 0; i < rootfs->cgroup->count; i++) {
        const char *name = directory_name(&rootfs->cgroup->hierarchies[i]);
        if (mkdirat(tmpfs, name, 0755) < 0 && errno != EEXIST)
            return error_set(err, errno, "can't make the cgroup directory %s", name);
        if (link_controllers(tmpfs, &rootfs->cgroup->hierarchies[i], name, err) < 0)
            return -1;
    }
    /* Attached before the hierarchies are attached to it: kernels before 6.15 take no mount
     * below a detached one. Its own attributes come last. */
    if (mount_attach(tmpfs, target, mount->destination, err) < 0)
        return -1;
    for (size_t i = 0; i < rootfs->cgroup->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &rootfs->cgroup->hierarchies[i];
        const char *name = directory_name(hierarchy);
        scope_close int fd = mount_hierarchy(rootfs, hierarchy, err);
        scope_close int directory = openat(tmpfs, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || directory < 0 || finish(fd, options, directory, name, err) < 0)
            return error_wrap(err, "cgroup hierarchy %s", name);
    }
    return mount_set_attributes(tmpfs, options, mount->destination, err);
}

int mount_cgroup(const struct rootfs *rootfs, const struct config_mount *mount,
                 struct mount_options *options, int target, struct error *err)
{
    int result;
    if (rootfs->cgroup->mode == CGROUP_MODE_V2) {
        scope_close int fd = -1;
        if (rootfs->cgroup->count > 0)
            fd = mount_hierarchy(rootfs, &rootfs->cgroup->hierarchies[0], err);
        else /* rootless, without a cgroup of its own */
            fd = mount_clone(AT_FDCWD, "/sys/fs/cgroup", true, 0, err);
        result = fd < 0 ? -1 : finish(fd, options, target, mount->destination, err);
    } else {
        result = mount_tree(rootfs, mount, options, target, err);
    }
    return result < 0 ? error_wrap(err, "mount %s", mount->destination) : 0;
}
