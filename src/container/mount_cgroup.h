/* Mounts of type cgroup: what a container sees of the control groups, on v1, v2 and hybrid
 * hosts. */
#ifndef HULL_CONTAINER_MOUNT_CGROUP_H
#define HULL_CONTAINER_MOUNT_CGROUP_H

#include "container/mount_options.h"
#include "container/rootfs.h"

/* On v2: the cgroup2 file system (or, without a cgroup namespace, the container's part of the
 * host's). On v1 and hybrid: a tmpfs with a directory for each hierarchy, that holds the
 * container's part, and links for controllers mounted together. target is the directory. */
int mount_cgroup(const struct rootfs *rootfs, const struct config_mount *mount,
                 struct mount_options *options, int target, struct error *err);

#endif
