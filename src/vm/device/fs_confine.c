#include "vm/device/fs_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

/* Of mount(2); <sys/mount.h> and <linux/mount.h> can't be included together. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
#define UMOUNT_DETACH 2

unsigned long fs_confine_namespaces(void)
{
    return geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWPID | CLONE_NEWUSER;
}

/* In a user namespace of our own we are who we were, and nobody else is anybody. */
static int keep_identity(uid_t user, gid_t group, struct error *err)
{
    char text[64];
    if (file_write_text(AT_FDCWD, "/proc/self/setgroups", "deny", err) < 0)
        return -1;
    snprintf(text, sizeof text, "%u %u 1", user, user);
    if (file_write_text(AT_FDCWD, "/proc/self/uid_map", text, err) < 0)
        return -1;
    snprintf(text, sizeof text, "%u %u 1", group, group);
    return file_write_text(AT_FDCWD, "/proc/self/gid_map", text, err);
}

/* A /proc in which there is this process alone. Where an unprivileged user may not mount one, that
 * of the user: it can read no more there than it could before. */
static int open_proc(void)
{
    scope_close int context = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (context >= 0 &&
        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "subset", "pid", 0) == 0 &&
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) {
        scope_close int mounted =
            (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                         MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        if (mounted >= 0)
            return openat(mounted, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    return open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int fs_confine_enter(int directory, bool read_only, uid_t user, gid_t group, int *root, int *proc,
                     struct error *err)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                                MOUNT_ATTR_NOEXEC |
                                                (read_only ? MOUNT_ATTR_RDONLY : 0)};
    if (user != 0 && keep_identity(user, group, err) < 0)
        return -1;
    /* A descriptor stays in the old namespace of mounts, the working directory goes along. */
    if (fchdir(directory) < 0 ||
        unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return error_set(err, errno, "can't make namespaces");
    /* What is unmounted on the host goes here, too; what is mounted there doesn't come. */
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
        return error_set(err, errno, "can't make mounts private");
    scope_close int tree = (int)syscall(SYS_open_tree, AT_FDCWD, ".",
                                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return error_set(err, errno, "can't clone the directory's mount");
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                sizeof attributes) < 0)
        return error_set(err, errno, "can't restrict the directory's mount");
    *proc = open_proc();
    if (*proc < 0)
        return error_set(err, errno, "can't open /proc/self/fd");
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
        fchdir(tree) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", UMOUNT_DETACH) < 0 || chdir("/") < 0)
        return error_set(err, errno, "can't make the directory the root");
    *root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *root < 0 ? error_set(err, errno, "can't open the directory") : 0;
}

static int drop_capabilities(struct error *err)
{
    static const int kept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
                               CAP_FOWNER, CAP_FSETID,       CAP_SETUID,
                               CAP_SETGID, CAP_MKNOD,        CAP_SETFCAP};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    uint64_t mask = 0;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        mask |= 1ull << kept[i];
    /* Acting for another user must not take away what the guest's kernel has granted already. */
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                     SECBIT_NOROOT | SECBIT_NOROOT_LOCKED) < 0)
        return error_set(err, errno, "can't fix capabilities");
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (!(mask & 1ull << capability) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return error_set(err, errno, "can't drop a capability");
    }
    for (unsigned i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = (uint32_t)(mask >> 32 * i);
    if (syscall(SYS_capset, &header, data) < 0)
        return error_set(err, errno, "can't drop capabilities");
    return 0;
}

#ifndef __x86_64__
#error "the filter of system calls is x86-64's"
#endif

static const uint16_t allowed[] = {
    /* what FUSE requests become */
    SYS_openat, SYS_openat2, SYS_close, SYS_newfstatat, SYS_fstat, SYS_statx, SYS_lseek,
    SYS_getdents64, SYS_fstatfs, SYS_ftruncate, SYS_fallocate, SYS_fchmodat, SYS_fchownat,
    SYS_utimensat, SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_linkat, SYS_unlinkat, SYS_renameat,
    SYS_renameat2, SYS_readlinkat, SYS_fsync, SYS_fdatasync, SYS_syncfs, SYS_copy_file_range,
    SYS_setfsuid, SYS_setfsgid, SYS_fchdir, SYS_getxattr, SYS_setxattr, SYS_listxattr,
    SYS_removexattr, SYS_fcntl, SYS_preadv, SYS_pwritev, SYS_geteuid, SYS_getegid,
    /* the queues, and the monitor */
    SYS_read, SYS_write, SYS_poll, SYS_recvmsg, SYS_sendto, SYS_munmap, SYS_exit_group,
    /* the C library's own */
    SYS_brk, SYS_madvise, SYS_mremap, SYS_futex, SYS_rt_sigreturn, SYS_restart_syscall,
    SYS_clock_gettime, SYS_getrandom, SYS_sched_yield, SYS_getpid, SYS_gettid, SYS_tgkill,
    SYS_rt_sigprocmask, SYS_sigaltstack,
    /* musl's */
    SYS_writev, SYS_tkill};

#define COUNT (sizeof allowed / sizeof *allowed)

static int filter_system_calls(struct error *err)
{
    struct sock_filter filter[2 * COUNT + 16];
    unsigned short n = 0;
    const uint32_t number = offsetof(struct seccomp_data, nr);
    const uint32_t protection = offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t);
#define ADD(...) filter[n++] = (struct sock_filter)__VA_ARGS__
    ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number));
    for (size_t i = 0; i < COUNT; i++) {
        ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1));
        ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    /* Memory, but none that can be executed. */
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0));
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3));
    ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, protection));
    ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0));
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
#undef ADD
    struct sock_fprog program = {.len = n, .filter = filter};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return error_set(err, errno, "can't filter system calls");
    return 0;
}

int fs_confine_lock(struct error *err)
{
    if (geteuid() == 0 && setgroups(0, NULL) < 0)
        return error_set(err, errno, "can't leave groups");
    if (drop_capabilities(err) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "can't set no_new_privs");
    return filter_system_calls(err);
}
