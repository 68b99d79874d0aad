#include "container/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/rootpath.h"

#define PROCFS_ROOT_INODE 1 /* PROC_ROOT_INO of the kernel, part of its interface */

static bool is_given(const char *text)
{
    return text && *text;
}

bool lsm_apparmor_enabled(void)
{
    char answer = 'N';
    scope_close int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &answer, 1) == 1 && answer == 'Y';
}

/* As libselinux decides: its file system is there, and writable (a container is shown a read-only
 * one so that programs in it take SELinux for disabled). */
bool lsm_selinux_enabled(void)
{
    struct statfs status;
    return statfs("/sys/fs/selinux", &status) == 0 && status.f_type == SELINUX_MAGIC &&
           !(status.f_flags & ST_RDONLY);
}

static int check_apparmor(const char *profile, struct error *err)
{
    if (!is_given(profile) || lsm_apparmor_enabled())
        return 0;
    return error_set(err, 0,
                     "process.apparmorProfile is '%s', but AppArmor isn't enabled on this host",
                     profile);
}

static int check_selinux(const char *field, const char *label, struct error *err)
{
    if (!is_given(label))
        return 0;
    if (strpbrk(label, "\"\n"))
        return error_set(err, 0, "%s: a label can't have quotes or line breaks", field);
    if (!lsm_selinux_enabled())
        return error_set(err, 0, "%s is '%s', but SELinux isn't enabled on this host", field,
                         label);
    return 0;
}

int lsm_check(const char *apparmor_profile, const char *selinux_label, const char *mount_label,
              struct error *err)
{
    if (check_apparmor(apparmor_profile, err) < 0 ||
        check_selinux("process.selinuxLabel", selinux_label, err) < 0)
        return -1;
    return check_selinux("linux.mountLabel", mount_label, err);
}

/* A directory of procfs that is bound elsewhere (/proc/1, say) is procfs, too, but there
 * "thread-self" is whatever lies in it. */
static int check_procfs_root(int procfs, struct error *err)
{
    struct stat status;
    if (fstat(procfs, &status) < 0)
        return error_set(err, errno, "can't examine the procfs to write labels to");
    if (!rootpath_is_procfs(procfs) || status.st_ino != PROCFS_ROOT_INODE)
        return error_set(err, EXDEV, "what should be a procfs to write labels to is none");
    return 0;
}

int lsm_open_thread_file(int procfs, const char *name, uint64_t flags, struct error *err)
{
    if (check_procfs_root(procfs, err) < 0)
        return -1;
    /* The target is made by the kernel: "PID/task/TID" as numbered in this procfs. */
    char path[PATH_MAX];
    ssize_t length = readlinkat(procfs, "thread-self", path, sizeof path);
    if (length < 0)
        return error_set(err, errno, "can't find this thread in procfs");
    int added = snprintf(path + length, sizeof path - (size_t)length, "/%s", name);
    if (added < 0 || (size_t)added >= sizeof path - (size_t)length)
        return error_set(err, ENAMETOOLONG, "can't open procfs's %s", name);
    scope_close int fd = file_open_resolved(procfs, path, flags, 0,
                                            RESOLVE_BENEATH | RESOLVE_NO_XDEV |
                                                RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return error_set(err, errno, "can't open procfs's %s", path);
    if (!rootpath_is_procfs(fd))
        return error_set(err, EXDEV, "procfs's %s is in another file system", path);
    return scope_take_fd(&fd);
}

/* A module takes a label in one write, or refuses it. */
static int write_label(int fd, const char *text, const char *what, struct error *err)
{
    size_t length = strlen(text);
    ssize_t written;
    do {
        written = write(fd, text, length);
    } while (written < 0 && errno == EINTR);
    if (written < 0)
        return error_set(err, errno, "can't set the %s '%s'", what, text);
    if ((size_t)written != length)
        return error_set(err, EIO, "can't set the %s '%s'", what, text);
    return 0;
}

static int set_apparmor_profile(int procfs, const char *profile, struct error *err)
{
    scope_close int fd = lsm_open_thread_file(procfs, "attr/apparmor/exec", O_WRONLY, err);
    if (fd < 0 && err->code == ENOENT) /* before Linux 5.8 the modules shared one file */
        fd = lsm_open_thread_file(procfs, "attr/exec", O_WRONLY, err);
    if (fd < 0)
        return -1;
    scope_free char *command = memory_format("exec %s", profile);
    return write_label(fd, command, "AppArmor profile", err);
}

static int set_selinux_label(int procfs, const char *label, struct error *err)
{
    scope_close int fd = lsm_open_thread_file(procfs, "attr/exec", O_WRONLY, err);
    return fd < 0 ? -1 : write_label(fd, label, "SELinux label", err);
}

int lsm_set_exec_label(int procfs, const char *apparmor_profile, const char *selinux_label,
                       struct error *err)
{
    struct error unwanted;
    err = err ? err : &unwanted;
    if (lsm_check(apparmor_profile, selinux_label, NULL, err) < 0)
        return -1;
    if (is_given(apparmor_profile) && set_apparmor_profile(procfs, apparmor_profile, err) < 0)
        return -1;
    if (is_given(selinux_label) && set_selinux_label(procfs, selinux_label, err) < 0)
        return -1;
    return 0;
}

char *lsm_mount_label_option(const char *mount_label, bool selinux_enabled)
{
    if (!is_given(mount_label) || !selinux_enabled)
        return NULL;
    return memory_format("context=\"%s\"", mount_label);
}
