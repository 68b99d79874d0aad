/* What the level `container` does by other means than a guest does. */
#include <errno.h>
#include <unistd.h>

#include "container/mount_cgroup.h"
#include "container/mounts.h"
#include "container/seccomp.h"

/* A guest has cgroup v2 alone, and each container a cgroup namespace. */
int mount_cgroup(const struct rootfs *rootfs, const struct config_mount *mount,
                 struct mount_options *options, int target, struct error *err)
{
    (void)rootfs;
    int fd = mount_new("cgroup2", "cgroup", NULL, NULL, err);
    if (fd < 0)
        return error_wrap(err, "mount %s", mount->destination);
    int result = mount_set_attributes(fd, options, mount->destination, err);
    if (result == 0)
        result = mount_attach(fd, target, mount->destination, err);
    close(fd);
    return result;
}

/* Never called: a guest's processes have no filter. The machine is what confines them. */
int seccomp_install(const struct seccomp_program *program, int *listener, struct error *err)
{
    (void)program;
    (void)listener;
    return error_set(err, ENOSYS, "a guest has no seccomp filters");
}
