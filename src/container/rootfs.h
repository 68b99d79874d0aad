/* The container's root file system, as its first process builds it in its own mount namespace:
 * the root, the mounts of the configuration, /dev, and at the end read-only and masked paths. */
#ifndef HULL_CONTAINER_ROOTFS_H
#define HULL_CONTAINER_ROOTFS_H

#include <stdbool.h>

#include "base/error.h"
#include "container/cgroup.h"
#include "oci/config.h"

struct rootfs {
    const struct config *config;
    const struct cgroup *cgroup;
    const char *path;        /* absolute path of the root on the host */
    const int *sources;      /* for each mount, a detached tree that the runtime opened, or -1 */
    int root_source;         /* the same of the root itself, or -1 */
    const char *mount_label; /* SELinux; NULL where there is none */
    bool user_namespace;     /* new or joined: no mknod, ids may lack a mapping */
    bool cgroup_namespace;
    int root;            /* descriptor of the container's root mount */
    int procfs;          /* a procfs mount nobody else made or can cover: what is written to
                            /proc goes there; -1: none needed so far */
    int host_dev;        /* the host's /dev, for binds of devices */
    int *readonly_later; /* mounts that become read-only when everything in them is made */
    size_t readonly_later_count;
};

/* Propagation of the namespace, the root as a mount of its own. The working directory is the
 * bundle. */
int rootfs_prepare(struct rootfs *rootfs, struct error *err);

/* All mounts, then /dev: devices, links, ptmx. */
int rootfs_mount_all(struct rootfs *rootfs, struct error *err);

/* The console's slave as /dev/console. */
int rootfs_mount_console(const struct rootfs *rootfs, int slave, struct error *err);

/* Read-only and masked paths, sysctls; the root itself read-only. After the hooks. */
int rootfs_protect(struct rootfs *rootfs, struct error *err);

/* Makes the root the process's root, and lets go of the host's. */
int rootfs_enter(struct rootfs *rootfs, bool no_pivot, struct error *err);

/* The procfs mount for writes (sysctl, security labels), opened if need be. */
int rootfs_open_procfs(struct rootfs *rootfs, struct error *err);

#endif
