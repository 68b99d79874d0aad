/* What a kernel needs before anything can run: file systems, a root; and its end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "guest.h"

static const struct {
    const char *type, *target, *data;
    unsigned long flags;
    bool may_fail; /* a test's kernel may not have or allow it */
} mounts[] = {
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
    {"devtmpfs", "/dev", "mode=755", MS_NOSUID, false},
    {"devpts", "/dev/pts", "ptmxmode=666,mode=620,gid=5", MS_NOSUID | MS_NOEXEC, true},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, true},
    {"cgroup2", "/sys/fs/cgroup", "nsdelegate", MS_NOSUID | MS_NODEV | MS_NOEXEC, true},
};

static int mount_all(struct error *err)
{
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        mkdir(mounts[i].target, 0755);
        if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags,
                  mounts[i].data) < 0 &&
            !mounts[i].may_fail)
            return error_set(err, errno, "can't mount %s on %s", mounts[i].type, mounts[i].target);
    }
    return 0;
}

/* An initrd's root file system can't be pivoted away from, as containers do: a tmpfs is mounted
 * over it, and becomes the root. */
static int make_root(bool is_machine, const char *directory, struct error *err)
{
    static const char *const directories[] = {
        &GUEST_ROOT[1],   &GUEST_LAYERS[1], &GUEST_DISK[1], &GUEST_FILES[1],
        &GUEST_SHARES[1], "proc",           "sys",          "dev"};
    if (mount("tmpfs", directory, "tmpfs", MS_NOSUID, "mode=755,size=64m") < 0)
        return error_set(err, errno, "can't mount a tmpfs on %s", directory);
    if (chdir(directory) < 0)
        return error_set(err, errno, "can't enter %s", directory);
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        mkdir(directories[i], 0755);
    bool done = is_machine
                    ? mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0
                    : syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0;
    if (!done || chdir("/") < 0)
        return error_set(err, errno, "can't make %s the root", directory);
    return 0;
}

/* The container's processes are in a cgroup of their own, so that they can be counted and limited
 * together; controllers are handed down to it. */
static int make_cgroup(void)
{
    static const char *const controllers[] = {"+cpu", "+memory", "+pids", "+io", "+cpuset"};
    for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++)
        file_write_text(AT_FDCWD, "/sys/fs/cgroup/cgroup.subtree_control", controllers[i], NULL);
    mkdir(GUEST_CGROUP, 0755);
    return open(GUEST_CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Descriptors 0, 1 and 2 are there: the console, or /dev/null in its place. */
static void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0)
        fd = open("/dev/null", O_RDWR);
    for (int i = 0; fd >= 0 && i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
}

static int prepare_machine(struct guest *guest, struct error *err)
{
    /* devtmpfs first, for the console; it is mounted again in the new root. */
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
    open_console();
    mkdir("/sys", 0555);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID, NULL);
    guest->modules = open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    modules_load(guest->modules, NULL);
    modules_load_for_devices(guest->modules);
    mkdir("/new", 0755);
    umount2("/dev", MNT_DETACH);
    umount2("/sys", MNT_DETACH);
    unlink("/init"); /* memory that the container can have */
    return make_root(true, "/new", err);
}

int machine_prepare(struct guest *guest, const char *directory, struct error *err)
{
    umask(022);
    if (guest->is_machine) {
        if (prepare_machine(guest, err) < 0)
            return -1;
    } else {
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            return error_set(err, errno, "can't make mounts private");
        if (make_root(false, directory, err) < 0)
            return -1;
    }
    if (mount_all(err) < 0 || network_raise_loopback(err) < 0)
        return -1;
    if (guest->is_machine) {
        guest->cgroup = make_cgroup();
        /* Memory that is plugged in is used at once. */
        file_write_text(AT_FDCWD, "/sys/devices/system/memory/auto_online_blocks", "online", NULL);
        /* The limits that distributions give services, which images expect. */
        struct rlimit files = {1048576, 1048576};
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return 0;
}

char *machine_option(const char *name)
{
    scope_free char *line = file_read_all(AT_FDCWD, "/proc/cmdline", 65536, NULL, NULL);
    char *rest = line, *word;
    size_t length = strlen(name);
    while (rest && (word = strsep(&rest, " \n"))) {
        if (strncmp(word, name, length) == 0 && word[length] == '=')
            return memory_copy_string(word + length + 1);
    }
    return NULL;
}

bool machine_is_quiet(void)
{
    scope_free char *line = file_read_all(AT_FDCWD, "/proc/cmdline", 65536, NULL, NULL);
    char *rest = line, *word;
    while (rest && (word = strsep(&rest, " \n"))) {
        if (strcmp(word, "quiet") == 0)
            return true;
    }
    return false;
}

/* A board that only has the reset line of a keyboard controller stops its machine by that. */
void machine_end(const struct guest *guest, bool restart)
{
    sync();
    reboot(restart || strcmp(guest->power, "reset") == 0 ? RB_AUTOBOOT : RB_POWER_OFF);
    for (;;)
        pause();
}
