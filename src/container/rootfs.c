#include "container/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/copy_up.h"
#include "container/devices.h"
#include "container/mount_cgroup.h"
#include "container/mounts.h"
#include "container/rootpath.h"

/* Makes the mount that holds path private: pivot_root(2) refuses a shared parent. Only a mount
 * point can be told to; the nearest one above is found by trying. */
static int make_parent_private(const char *path, struct error *err)
{
    scope_free char *prefix = memory_copy_string(path);
    for (;;) {
        if (mount(NULL, *prefix ? prefix : "/", NULL, MS_PRIVATE, NULL) == 0)
            return 0;
        char *slash = strrchr(prefix, '/');
        if (errno != EINVAL || !slash)
            return error_set(err, errno, "can't make the mount above %s private", path);
        *slash = '\0';
    }
}

static int attach_root(struct rootfs *rootfs, struct error *err)
{
    scope_close int target = open(rootfs->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* A container's root user may be nobody on the way to its root. Any other place does:
     * what counts from here on is the descriptor. */
    if (target < 0 && errno == EACCES && rootfs->root_source >= 0)
        target = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (target < 0)
        return error_set(err, errno, "can't open the root file system %s", rootfs->path);
    return mount_attach(rootfs->root, target, rootfs->path, err);
}

int rootfs_prepare(struct rootfs *rootfs, struct error *err)
{
    const char *name = rootfs->config->linux_section.rootfs_propagation;
    unsigned long propagation = name ? mount_propagation_flags(name) : MS_SLAVE | MS_REC;
    /* "unbindable" is for the root itself; its parents only have to stop sharing. */
    if (propagation & MS_UNBINDABLE)
        propagation = MS_PRIVATE | MS_REC;
    if (mount(NULL, "/", NULL, propagation | MS_REC, NULL) < 0)
        return error_set(err, errno, "can't set the propagation of the mount namespace");
    if (propagation & MS_SHARED && make_parent_private(rootfs->path, err) < 0)
        return -1;
    rootfs->root = rootfs->root_source;
    if (rootfs->root < 0)
        rootfs->root = mount_clone(AT_FDCWD, rootfs->path, true, 0, err);
    if (rootfs->root < 0)
        return error_wrap(err, "root file system");
    if (rootfs->root_source >= 0 && !(propagation & MS_SHARED) &&
        mount_set_propagation(rootfs->root, MS_SLAVE, true, err) < 0)
        return -1;
    return attach_root(rootfs, err);
}

/* Files below /proc that may be covered by a mount: the ones lxcfs and its like provide. */
static bool may_cover_in_proc(const char *destination)
{
    static const char *const allowed[] = {
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/slabinfo",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/crypto/fips_enabled",
    };
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (strcmp(destination, allowed[i]) == 0)
            return true;
    }
    return false;
}

static int check_target(const struct config_mount *mount, int target, struct error *err)
{
    struct stat status;
    if (!rootpath_is_procfs(target) || fstat(target, &status) < 0)
        return 0;
    /* The root directory of a procfs has inode 1. */
    bool below_root = status.st_ino != 1;
    if (below_root && !may_cover_in_proc(mount->destination))
        return error_set(err, 0,
                         "mount %s: nothing may be mounted inside /proc but a few "
                         "information files",
                         mount->destination);
    if (!below_root && (!mount->type || strcmp(mount->type, "proc") != 0))
        return error_set(err, 0, "mount %s: /proc may be covered by another procfs only",
                         mount->destination);
    return 0;
}

/* procfs and sysfs must be where they say, not where a link in the image leads. */
static int open_strict_target(const struct rootfs *rootfs, const struct config_mount *mount,
                              struct error *err)
{
    int target = file_open_resolved(rootfs->root, mount->destination, O_PATH | O_DIRECTORY, 0,
                                    RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
    if (target >= 0 || errno == ENOENT)
        return target >= 0 ? target : rootpath_make(rootfs->root, mount->destination, true, err);
    return error_set(err, errno, "mount %s: a %s must be mounted on an ordinary directory",
                     mount->destination, mount->type);
}

static int open_target(const struct rootfs *rootfs, const struct config_mount *mount,
                       bool directory, struct error *err)
{
    bool strict =
        mount->type && (strcmp(mount->type, "proc") == 0 || strcmp(mount->type, "sysfs") == 0);
    scope_close int target = strict
                                 ? open_strict_target(rootfs, mount, err)
                                 : rootpath_make(rootfs->root, mount->destination, directory, err);
    if (target < 0 || check_target(mount, target, err) < 0)
        return -1;
    return scope_take_fd(&target);
}

/* A tmpfs without "mode=" takes the mode of the directory that it covers, as if it were there. One
 * that has to be made yet has none to give: the kernel's default, 1777, stays. */
static bool takes_mode(const struct rootfs *rootfs, const struct config_mount *mount,
                       const struct mount_options *options)
{
    if (strcmp(mount->type, "tmpfs") != 0)
        return false;
    for (size_t i = 0; i < options->data_count; i++) {
        if (strncmp(options->data[i], "mode=", 5) == 0)
            return false;
    }
    scope_close int covered = rootpath_open(rootfs->root, mount->destination, O_PATH);
    return covered >= 0;
}

static int mount_tmpfs(const struct rootfs *rootfs, const struct config_mount *mount,
                       struct mount_options *options, int target, bool covers, struct error *err)
{
    struct stat status;
    char mode[16];
    covers = covers && fstat(target, &status) == 0;
    if (covers) {
        snprintf(mode, sizeof mode, "mode=%o", status.st_mode & 07777);
        options->data =
            memory_resize(options->data, options->data_count + 1, sizeof *options->data);
        options->data[options->data_count++] = mode;
    }
    scope_close int fd = mount_new("tmpfs", mount->source, options, rootfs->mount_label, err);
    options->data_count -= covers ? 1 : 0;
    if (fd < 0 || (options->copy_up && copy_up(target, fd, err) < 0))
        return -1;
    return scope_take_fd(&fd);
}

/* fsconfig(2) takes strings of at most 255 bytes; an overlay's lowerdir is often longer. */
static bool has_long_option(const struct mount_options *options)
{
    for (size_t i = 0; i < options->data_count; i++) {
        if (strlen(options->data[i]) > 255)
            return true;
    }
    return false;
}

/* mount(2), on a target that stays a descriptor. The new mount is opened by the same target. */
static int mount_classic(const struct config_mount *item, const struct mount_options *options,
                         const char *path, struct error *err)
{
    char text[4096];
    size_t length = 0;
    for (size_t i = 0; i < options->data_count; i++) {
        int more =
            snprintf(text + length, sizeof text - length, "%s%s", i ? "," : "", options->data[i]);
        length += (size_t)more;
        if (length >= sizeof text)
            return error_set(err, E2BIG, "mount %s: the options", item->destination);
    }
    if (mount(item->source, path, item->type, 0, text) < 0)
        return error_set(err, errno, "mount %s: can't mount a file system of type %s",
                         item->destination, item->type);
    return 0;
}

/* As runc does: a new file system at /dev and a tmpfs are empty, so "ro" is for the container, not
 * for us, who still make mount points, devices and the console's file in them. */
static void put_off_readonly(const struct config_mount *mount, struct mount_options *options)
{
    size_t length = strlen(mount->destination);
    while (length > 1 && mount->destination[length - 1] == '/')
        length--;
    bool is_dev = length == 4 && strncmp(mount->destination, "/dev", 4) == 0;
    bool is_tmpfs = mount->type && strcmp(mount->type, "tmpfs") == 0;
    struct mount_attr *one = &options->attributes, *all = &options->all;
    if (options->bind || options->remount || !(is_dev || is_tmpfs) ||
        !((one->attr_set | all->attr_set) & MOUNT_ATTR_RDONLY))
        return;
    one->attr_set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    all->attr_set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    options->readonly_later = true;
}

static void note_readonly(struct rootfs *rootfs, const struct mount_options *options, int fd)
{
    if (options->readonly_later)
        rootfs->readonly_later[rootfs->readonly_later_count++] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int mount_long(struct rootfs *rootfs, const struct config_mount *mount,
                      struct mount_options *options, int target, struct error *err)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", target);
    if (mount_classic(mount, options, path, err) < 0)
        return -1;
    scope_close int fd = rootpath_open(rootfs->root, mount->destination, O_PATH);
    if (fd < 0)
        return error_set(err, errno, "mount %s", mount->destination);
    note_readonly(rootfs, options, fd);
    return mount_set_attributes(fd, options, mount->destination, err);
}

static int remount(struct rootfs *rootfs, const struct config_mount *mount,
                   const struct mount_options *options, struct error *err)
{
    scope_close int fd = rootpath_open(rootfs->root, mount->destination, O_PATH);
    if (fd < 0)
        return error_set(err, errno, "can't remount %s", mount->destination);
    if (options->data_count > 0 && mount_reconfigure(fd, options, mount->destination, err) < 0)
        return -1;
    if (mount_set_attributes(fd, options, mount->destination, err) < 0)
        return -1;
    if (options->propagation)
        return mount_set_propagation(fd, options->propagation, options->propagation_recursive, err);
    return 0;
}

static int make_detached(struct rootfs *rootfs, size_t index, struct mount_options *options,
                         int target, bool covers, struct error *err)
{
    const struct config_mount *mount = &rootfs->config->mounts[index];
    if (strcmp(mount->type, "tmpfs") == 0)
        return mount_tmpfs(rootfs, mount, options, target, covers, err);
    int fd = mount_new(mount->type, mount->source, options,
                       strcmp(mount->type, "mqueue") == 0 ? NULL : rootfs->mount_label, err);
    if (fd >= 0 || strcmp(mount->type, "sysfs") != 0 || err->code != EPERM)
        return fd;
    /* A user namespace that doesn't own the network namespace may not mount sysfs: the host's,
     * read-only, is what there is. */
    fd = mount_clone(AT_FDCWD, "/sys", true, 0, err);
    return fd;
}

static int finish_mount(struct rootfs *rootfs, const struct config_mount *mount,
                        const struct mount_options *options, int fd, int target, struct error *err)
{
    if (mount_set_attributes(fd, options, mount->destination, err) < 0 ||
        mount_attach(fd, target, mount->destination, err) < 0)
        return -1;
    if (options->propagation &&
        mount_set_propagation(fd, options->propagation, options->propagation_recursive, err) < 0)
        return error_wrap(err, "mount %s", mount->destination);
    note_readonly(rootfs, options, fd);
    /* Our own procfs, before anybody could put anything over parts of it. */
    if (rootfs->procfs < 0 && mount->type && !options->bind && strcmp(mount->type, "proc") == 0)
        rootfs->procfs = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return 0;
}

static int mount_bind(struct rootfs *rootfs, size_t index, const struct mount_options *options,
                      struct error *err)
{
    const struct config_mount *mount = &rootfs->config->mounts[index];
    scope_close int fd = rootfs->sources ? rootfs->sources[index] : -1;
    bool from_outside = fd >= 0;
    if (fd < 0)
        fd = mount_clone_source(mount, options, err);
    struct stat status;
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) < 0)
        return error_set(err, errno, "mount %s: %s", mount->destination, mount->source);
    const char *propagation = rootfs->config->linux_section.rootfs_propagation;
    bool shares = propagation && strstr(propagation, "shared");
    if (from_outside && !options->propagation && !shares &&
        mount_set_propagation(fd, MS_SLAVE, true, err) < 0)
        return error_wrap(err, "mount %s", mount->destination);
    scope_close int target = open_target(rootfs, mount, S_ISDIR(status.st_mode), err);
    if (target < 0)
        return -1;
    return finish_mount(rootfs, mount, options, fd, target, err);
}

static int mount_one(struct rootfs *rootfs, size_t index, struct error *err)
{
    const struct config_mount *mount = &rootfs->config->mounts[index];
    struct mount_options options;
    if (mount_options_parse(&options, mount, err) < 0)
        return -1;
    put_off_readonly(mount, &options);
    int result;
    if (options.remount) {
        result = remount(rootfs, mount, &options, err);
    } else if (options.bind) {
        result = mount_bind(rootfs, index, &options, err);
    } else if (strcmp(mount->type, "cgroup") == 0 || strcmp(mount->type, "cgroup2") == 0) {
        scope_close int target = open_target(rootfs, mount, true, err);
        result = target < 0 ? -1 : mount_cgroup(rootfs, mount, &options, target, err);
    } else {
        bool covers = takes_mode(rootfs, mount, &options);
        scope_close int target = open_target(rootfs, mount, true, err);
        scope_close int fd = -1;
        if (target < 0)
            result = -1;
        else if (has_long_option(&options))
            result = mount_long(rootfs, mount, &options, target, err);
        else if ((fd = make_detached(rootfs, index, &options, target, covers, err)) < 0)
            result = error_wrap(err, "mount %s", mount->destination);
        else
            result = finish_mount(rootfs, mount, &options, fd, target, err);
    }
    mount_options_release(&options);
    return result;
}

int rootfs_mount_all(struct rootfs *rootfs, struct error *err)
{
    bool dev_is_bound = false;
    rootfs->readonly_later = memory_allocate(rootfs->config->mount_count, sizeof(int));
    for (size_t i = 0; i < rootfs->config->mount_count; i++) {
        const struct config_mount *mount = &rootfs->config->mounts[i];
        if (mount_one(rootfs, i, err) < 0)
            return -1;
        if (strcmp(mount->destination, "/dev") == 0 || strcmp(mount->destination, "/dev/") == 0)
            dev_is_bound = mount->type == NULL || strcmp(mount->type, "bind") == 0;
    }
    /* A /dev of the host's is complete, and not ours to change. */
    return dev_is_bound ? 0 : devices_make_all(rootfs, err);
}

int rootfs_mount_console(const struct rootfs *rootfs, int slave, struct error *err)
{
    /* From the open descriptor, so that nothing can stand in for the terminal's name. */
    scope_close int fd = mount_clone(slave, "", false, AT_EMPTY_PATH, err);
    if (fd < 0)
        return error_wrap(err, "/dev/console");
    scope_close int target = rootpath_make(rootfs->root, "/dev/console", false, err);
    if (target < 0)
        return -1;
    return mount_attach(fd, target, "/dev/console", err);
}

int rootfs_open_procfs(struct rootfs *rootfs, struct error *err)
{
    if (rootfs->procfs >= 0)
        return rootfs->procfs;
    rootfs->procfs = mount_new("proc", "proc", NULL, NULL, err);
    return rootfs->procfs;
}

/* A mount of /proc or of /sys that nothing covers lets user namespaces mount more of them
 * (mount_too_revealing() in the kernel), without the container's masks. pivot_root takes the
 * host's along; without it they must go one by one. The last first: they may be stacked. */
static int unmount_revealing(const struct rootfs *rootfs, struct error *err)
{
    size_t length = strlen(rootfs->path);
    scope_free char *text = file_read_all(AT_FDCWD, "/proc/self/mountinfo", 16u << 20, NULL, err);
    if (!text)
        return -1;
    for (char *end = text + strlen(text); end > text;) {
        char *line = end - 1; /* its newline, which becomes its end */
        *line = '\0';
        while (line > text && line[-1] != '\n')
            line--;
        end = line;
        char path[PATH_MAX], type[64];
        const char *tail = strstr(line, " - ");
        if (!tail || sscanf(tail, " - %63s", type) != 1 ||
            sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1 ||
            (strcmp(type, "proc") != 0 && strcmp(type, "sysfs") != 0) ||
            (strncmp(path, rootfs->path, length) == 0 && (path[length] == '/' || !path[length])))
            continue;
        file_unescape_mount(path);
        if (mount(NULL, path, NULL, MS_SLAVE | MS_REC, NULL) == 0 && umount2(path, MNT_DETACH) == 0)
            continue;
        if (errno != EINVAL && errno != EPERM)
            return error_set(err, errno, "can't unmount %s", path);
        /* It came locked into this mount namespace. */
        if (mount("tmpfs", path, "tmpfs", 0, NULL) < 0)
            return error_set(err, errno, "can't cover %s", path);
    }
    return 0;
}

/* In a chroot the root that pivot_root(2) changes is the chroot's, somewhere in the mount
 * namespace, whose own root would stay the host's: and there whoever joins the namespace later
 * would be. Joining the namespace that one is in leaves the chroot; but it also leads onto what is
 * mounted over the root, and that may be the container's own: then there was no chroot to leave.
 * Kernels before 5.8 can't do it; there it stays as it is. */
static int leave_chroot(int new_root, struct error *err)
{
    struct stat ours, found;
    scope_close int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    scope_close int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (self < 0 || old < 0 || fstat(new_root, &ours) < 0 || setns(self, CLONE_NEWNS) < 0)
        return 0;
    if (stat("/", &found) == 0 && found.st_dev == ours.st_dev && found.st_ino == ours.st_ino &&
        (fchdir(old) < 0 || chroot(".") < 0))
        return error_set(err, errno, "can't go back to the host's root");
    return 0;
}

int rootfs_enter(struct rootfs *rootfs, bool no_pivot, struct error *err)
{
    if (!no_pivot && leave_chroot(rootfs->root, err) < 0)
        return -1;
    if (fchdir(rootfs->root) < 0)
        return error_set(err, errno, "can't enter the root file system");
    if (no_pivot) {
        if (unmount_revealing(rootfs, err) < 0)
            return -1;
        if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
            return error_set(err, errno, "can't move the root file system to /");
    } else {
        /* The old root lands on top of the new one; the working directory is the new, so "."
         * is what the kernel stacked there: the old root, which goes. */
        if (syscall(SYS_pivot_root, ".", ".") < 0)
            return error_set(err, errno,
                             "can't pivot into the root file system (on a ramfs "
                             "host, use --no-pivot)");
        if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
            return error_set(err, errno, "can't let go of the host's root file system");
    }
    const char *name = rootfs->config->linux_section.rootfs_propagation;
    if (name && mount(NULL, "/", NULL, mount_propagation_flags(name), NULL) < 0)
        return error_set(err, errno, "can't set the root's propagation to %s", name);
    return 0;
}
