/* The order matters: what needs the host's files comes before the change of root, what needs
 * rights before jail_drop(). Nothing is made in the host's file system but the empty directories
 * dev and run of the jail: the devices are in a tmpfs of the monitor's own namespace. */
#include "vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "vm/jail_process.h"
#include "vm/libraries.h"

/* Of mount(2); <sys/mount.h> and <linux/mount.h> can't be included together. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
#define UMOUNT_DETACH 2

/* ---- On the host ---- */

static int set_limit(const char *text, struct error *err)
{
    static const struct {
        const char *name;
        int resource;
    } known[] = {{"fsize=", RLIMIT_FSIZE}, {"no-file=", RLIMIT_NOFILE}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t length = strlen(known[i].name);
        int64_t value;
        if (strncmp(text, known[i].name, length) != 0)
            continue;
        if (!quantity_read_integer(text + length, 0, INT64_MAX, &value))
            break;
        const struct rlimit limit = {(rlim_t)value, (rlim_t)value};
        if (setrlimit(known[i].resource, &limit) < 0)
            return error_set(err, errno, "--resource-limit %s can't be set", text);
        return 0;
    }
    return error_set(
        err, 0, "--resource-limit %.64s: expected fsize=BYTES or no-file=N (descriptors)", text);
}

static int join(const struct jail_options *jail, struct error *err)
{
    if (jail->cgroup) {
        scope_free char *path = memory_format("%s/cgroup.procs", jail->cgroup);
        if (file_write_text(AT_FDCWD, path, "0", err) < 0)
            return error_wrap(err, "can't join the control group %s", jail->cgroup);
    }
    if (jail->network_namespace) {
        scope_close int fd = open(jail->network_namespace, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
            return error_set(err, errno, "can't join the network namespace %s",
                             jail->network_namespace);
    }
    return 0;
}

/* ---- The root directory ---- */

struct device {
    const char *path; /* from the root */
    dev_t number;     /* 0: the host has none */
};

static void find_devices(struct device *devices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        if (stat(devices[i].path, &status) == 0 && S_ISCHR(status.st_mode))
            devices[i].number = status.st_rdev;
    }
}

/* The directory, as a mount that nothing can be executed from and no device opened, is /. */
static int change_root(const char *directory, struct error *err)
{
    struct mount_attr attributes = {.attr_set =
                                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    /* What is unmounted on the host goes here, too; what is mounted there doesn't come. */
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
        return error_set(err, errno, "can't make mounts private");
    scope_close int tree = (int)syscall(SYS_open_tree, AT_FDCWD, directory,
                                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return error_set(err, errno, "can't clone the mount of the jail %s", directory);
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                sizeof attributes) < 0)
        return error_set(err, errno, "can't restrict the mount of the jail %s", directory);
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
        fchdir(tree) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", UMOUNT_DETACH) < 0 || chdir("/") < 0)
        return error_set(err, errno, "can't make %s the root directory", directory);
    return 0;
}

static int make_directory(const char *path, const struct jail_options *jail, bool give,
                          struct error *err)
{
    if (mkdir(path, 0755) < 0)
        return errno == EEXIST ? 0 : error_set(err, errno, "can't make %s in the jail", path);
    if (give && chown(path, jail->uid, jail->gid) < 0)
        return error_set(err, errno, "can't give %s to user %u", path, jail->uid);
    return 0;
}

static int make_devices(const struct jail_options *jail, const struct device *devices, size_t count,
                        struct error *err)
{
    if (make_directory("/dev", jail, false, err) < 0 || make_directory("/run", jail, true, err) < 0)
        return -1;
    if (mount("devices", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,mode=0755") < 0)
        return error_set(err, errno, "can't mount /dev in the jail");
    if (make_directory("/dev/net", jail, false, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const char *path = devices[i].path;
        if (devices[i].number && (mknod(path, S_IFCHR | 0600, devices[i].number) < 0 ||
                                  chown(path, jail->uid, jail->gid) < 0))
            return error_set(err, errno, "can't make %s in the jail", path);
    }
    if (mount(NULL, "/dev", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) < 0)
        return error_set(err, errno, "can't make /dev read-only in the jail");
    return 0;
}

static int check(const struct vm_options *options, struct error *err)
{
    const struct jail_options *jail = &options->jail;
    struct stat status;
    if (geteuid() != 0)
        return error_set(err, 0, "--jail takes root's rights, to give them up (start it as root)");
    if (stat(jail->directory, &status) < 0)
        return error_set(err, errno, "can't use the jail %s", jail->directory);
    return S_ISDIR(status.st_mode)
               ? 0
               : error_set(err, 0, "the jail %s is no directory", jail->directory);
}

int jail_enter(const struct vm_options *options, struct error *err)
{
    const struct jail_options *jail = &options->jail;
    struct device devices[] = {
        {"/dev/kvm", 0}, {"/dev/net/tun", 0}, {"/dev/urandom", 0}, {"/dev/userfaultfd", 0}};
    const size_t count = sizeof devices / sizeof *devices;
    int child = 0;
    if (check(options, err) < 0 || file_close_others(3, NULL, 0, err) < 0 ||
        libraries_load(options, err) < 0 || join(jail, err) < 0)
        return -1;
    for (size_t i = 0; i < jail->limit_count; i++) {
        if (set_limit(jail->limits[i], err) < 0)
            return -1;
    }
    signal(SIGXFSZ, SIG_IGN); /* a write above the limit fails, then */
    find_devices(devices, count);
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return error_set(err, errno, "can't make namespaces");
    if (change_root(jail->directory, err) < 0 || make_devices(jail, devices, count, err) < 0)
        return -1;
    if (jail->new_pid_namespace && (child = jail_process_split(err)) != 0)
        return child;
    setfsgid(jail->gid);
    setfsuid(jail->uid);
    return jail_process_bind(err);
}

int jail_attend(const struct jail_options *jail, int child)
{
    struct error err = {0};
    if (jail_drop(jail, &err) < 0) {
        fprintf(stderr, "hull-vmm: %s\n", err.text);
        return 1;
    }
    return jail_process_attend(child);
}

void jail_take_files(void)
{
    setfsuid(0);
    setfsgid(0);
}

/* ---- Rights ---- */

/* None can be had again: not by executing a file, nor as user 0, who is nobody special then. */
static int bound_capabilities(struct error *err)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return error_set(err, errno, "can't drop a capability");
    }
    if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                     SECBIT_NO_CAP_AMBIENT_RAISE |
                                     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED) < 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return error_set(err, errno, "can't bound capabilities");
    return 0;
}

int jail_drop(const struct jail_options *jail, struct error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {0};
    if (setgroups(0, NULL) < 0 || setresgid(jail->gid, jail->gid, jail->gid) < 0)
        return error_set(err, errno, "can't become group %u", jail->gid);
    if (bound_capabilities(err) < 0)
        return -1;
    if (setresuid(jail->uid, jail->uid, jail->uid) < 0)
        return error_set(err, errno, "can't become user %u", jail->uid);
    if (syscall(SYS_capset, &header, none) < 0)
        return error_set(err, errno, "can't drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "can't set no_new_privs");
    if (jail_process_bind(err) < 0)
        return -1;
    jail_process_settle();
    return 0;
}
