/* --storage-opt size: how much a container's changes to its image may take, by a project quota of
 * the file system that has them (xfs and ext4, mounted with prjquota). */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "engine/machine.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif
#define FIRST_PROJECT 0x10000000u /* above those of /etc/projects */

/* By the container's id: 28 bits of it. */
static unsigned int project_of(const struct engine_container *container)
{
    char digits[8];
    snprintf(digits, sizeof digits, "%.7s", container->id);
    return FIRST_PROJECT | (unsigned int)strtoul(digits, NULL, 16);
}

static int limit_project(int directory, unsigned int project, int64_t bytes)
{
    struct dqblk quota = {
        .dqb_bhardlimit = (uint64_t)(bytes + 1023) / 1024, /* in KiB */
        .dqb_valid = QIF_BLIMITS,
    };
    quota.dqb_bsoftlimit = quota.dqb_bhardlimit;
    /* QCMD() shifts into an int's sign. */
    const unsigned int command = (unsigned int)Q_SETQUOTA << SUBCMDSHIFT | PRJQUOTA;
    return (int)syscall(SYS_quotactl_fd, directory, command, project, &quota);
}

/* What is made below belongs to the project, too. */
static int enter_project(const char *directory, const char *name, unsigned int project)
{
    struct fsxattr attributes;
    scope_free char *path = memory_format("%s/%s", directory, name);
    scope_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
        return -1;
    attributes.fsx_projid = project;
    attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    return ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
}

int engine_quota_set(const struct engine_container *container, struct error *err)
{
    int64_t bytes;
    const json_t *options = json_object_get(engine_host_config(container), "StorageOpt");
    if (engine_is_machine(container))
        return 0; /* it is the size of its disk */
    const char *size = settings_text(options, "size");
    if (!*size || !quantity_read_size(size, &bytes) || bytes <= 0)
        return 0;
    unsigned int project = project_of(container);
    scope_close int directory = open(container->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0 && limit_project(directory, project, bytes) == 0 &&
        enter_project(container->directory, "upper", project) == 0 &&
        enter_project(container->directory, "work", project) == 0)
        return 0;
    return error_set(err, errno,
                     "--storage-opt size: the file system of %s can't limit a directory (mount xfs "
                     "or ext4 with prjquota there, or leave it out)",
                     container->directory);
}

void engine_quota_drop(const struct engine_container *container)
{
    if (!*settings_text(json_object_get(engine_host_config(container), "StorageOpt"), "size"))
        return;
    scope_close int directory = open(container->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0)
        limit_project(directory, project_of(container), 0);
}
