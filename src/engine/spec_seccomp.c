/* Which system calls the program may make. The default is a list of what is allowed: all that
 * works on what the program has already. What is missing reaches the kernel's own state (modules,
 * clocks, swap, keys, other processes' memory), creates namespaces, or is rarely used and large
 * (io_uring, userfaultfd, bpf): it needs the capability that governs it, or isn't there at all. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/utsname.h>

#include "base/memory.h"
#include "base/scope.h"
#include "engine/spec_internal.h"

/* Names are separated by blanks. */
static const char always[] =
    /* files by descriptor */
    "read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek close "
    "close_range dup dup2 dup3 fcntl fcntl64 fstat fstat64 fstatfs fstatfs64 fsync fdatasync "
    "ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 readahead sync sync_file_range "
    "sync_file_range2 arm_sync_file_range syncfs flock ioctl sendfile sendfile64 splice tee "
    "vmsplice copy_file_range getdents getdents64 memfd_create cachestat "
    /* files by name */
    "open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 newfstatat "
    "fstatat64 statx statfs statfs64 readlink readlinkat truncate truncate64 chdir fchdir getcwd "
    "link linkat symlink symlinkat unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir "
    "mknod mknodat chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 fchownat lchown "
    "lchown32 umask utime utimes utimensat utimensat_time64 futimesat name_to_handle_at statmount "
    "listmount "
    /* extended attributes, watches */
    "getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr "
    "removexattr lremovexattr fremovexattr getxattrat setxattrat listxattrat removexattrat "
    "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark "
    /* waiting */
    "select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1 "
    "epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 "
    "signalfd signalfd4 timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime "
    "timerfd_gettime64 io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents "
    "io_pgetevents_time64 pipe pipe2 "
    /* memory */
    "brk mmap mmap2 munmap mremap mprotect pkey_mprotect pkey_alloc pkey_free madvise mincore "
    "msync "
    "mlock mlock2 mlockall munlock munlockall remap_file_pages membarrier memfd_secret mseal "
    "map_shadow_stack process_mrelease "
    /* processes and threads */
    "fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid "
    "getpgrp setpgid getsid setsid set_tid_address set_robust_list get_robust_list futex "
    "futex_time64 futex_waitv futex_wait futex_wake futex_requeue rseq sched_yield "
    "sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam "
    "sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min "
    "sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority ioprio_get "
    "ioprio_set getcpu arch_prctl prctl set_thread_area get_thread_area modify_ldt pidfd_open "
    "pidfd_send_signal times getrusage uretprobe "
    /* signals */
    "kill tkill tgkill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack "
    "signal sigpending sigprocmask sigreturn sigsuspend pause restart_syscall alarm "
    /* who it is */
    "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 "
    "getresgid getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid "
    "setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32 setfsuid "
    "setfsuid32 "
    "setfsgid setfsgid32 setgroups setgroups32 capget capset seccomp landlock_create_ruleset "
    "landlock_add_rule landlock_restrict_self lsm_get_self_attr lsm_set_self_attr lsm_list_modules "
    /* limits, time, the system */
    "getrlimit ugetrlimit setrlimit prlimit64 gettimeofday time clock_gettime clock_gettime64 "
    "clock_getres clock_getres_time64 clock_nanosleep clock_nanosleep_time64 nanosleep getitimer "
    "setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
    "timer_settime timer_settime64 adjtimex clock_adjtime clock_adjtime64 uname sysinfo getrandom "
    /* sockets and System V IPC */
    "socketpair socketcall bind connect listen accept accept4 getsockname getpeername "
    "getsockopt setsockopt shutdown send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg "
    "recvmmsg_time64 ipc msgget msgsnd msgrcv msgctl semget semop semtimedop semtimedop_time64 "
    "semctl shmget shmat shmdt shmctl mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend "
    "mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64 "
    /* of the program itself and what it may trace (Linux 4.8 on) */
    "ptrace";

/* What a capability gives. */
static const struct {
    const char *capability, *names;
} by_capability[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
     "mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname "
     "sethostname setns syslog umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module init_module finit_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev"},
    {"CAP_SYS_RAWIO", "iopl ioperm"},
    {"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define NO_SUCH_CALL 38 /* ENOSYS: libraries then do it in the old way */
#define VSOCK 40        /* AF_VSOCK: it would reach the host of a virtual machine */

static json_t *make_names(const char *names)
{
    json_t *list = json_array();
    while (*names) {
        size_t length = strcspn(names, " ");
        json_array_append_new(list, json_stringn(names, length));
        names += length + (names[length] == ' ');
    }
    return list;
}

static json_t *make_rule(const char *names, const char *action)
{
    return json_pack("{s:o, s:s}", "names", make_names(names), "action", action);
}

static void allow_if(json_t *rules, const char *name, int index, uint64_t value, uint64_t second,
                     const char *operation)
{
    json_t *rule = make_rule(name, "SCMP_ACT_ALLOW");
    json_object_set_new(rule, "args",
                        json_pack("[{s:i, s:I, s:I, s:s}]", "index", index, "value",
                                  (json_int_t)value, "valueTwo", (json_int_t)second, "op",
                                  operation));
    json_array_append_new(rules, rule);
}

static bool has_capability(const json_t *capabilities, const char *name)
{
    const json_t *item;
    size_t i;
    json_array_foreach(capabilities, i,
                       item) if (strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

static json_t *make_architectures(void)
{
    struct utsname names = {0};
    uname(&names);
    if (strcmp(names.machine, "x86_64") == 0)
        return json_pack("[s, s, s]", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32");
    if (strcmp(names.machine, "aarch64") == 0)
        return json_pack("[s, s]", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM");
    if (strcmp(names.machine, "riscv64") == 0)
        return json_pack("[s]", "SCMP_ARCH_RISCV64");
    return json_array();
}

json_t *spec_default_seccomp(const json_t *capabilities)
{
    /* Those that a program asks for to run older binaries, and to ask. */
    static const uint64_t personalities[] = {PER_LINUX, PER_LINUX32, UNAME26, PER_LINUX32 | UNAME26,
                                             0xffffffff};
    json_t *rules = json_array();
    json_array_append_new(rules, make_rule(always, "SCMP_ACT_ALLOW"));
    for (size_t i = 0; i < sizeof personalities / sizeof *personalities; i++)
        allow_if(rules, "personality", 0, personalities[i], 0, "SCMP_CMP_EQ");
    allow_if(rules, "socket", 0, VSOCK, 0, "SCMP_CMP_NE");
    for (size_t i = 0; i < sizeof by_capability / sizeof *by_capability; i++)
        if (has_capability(capabilities, by_capability[i].capability))
            json_array_append_new(rules, make_rule(by_capability[i].names, "SCMP_ACT_ALLOW"));
    if (!has_capability(capabilities, "CAP_SYS_ADMIN")) {
        /* The flags of clone3 are in memory, where a filter can't look. */
        allow_if(rules, "clone", 0, NAMESPACES, 0, "SCMP_CMP_MASKED_EQ");
        json_t *rule = make_rule("clone3", "SCMP_ACT_ERRNO");
        json_object_set_new(rule, "errnoRet", json_integer(NO_SUCH_CALL));
        json_array_append_new(rules, rule);
    }
    return json_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
                     1, "architectures", make_architectures(), "syscalls", rules);
}

/* A user's profile */

static bool lists(const json_t *list, const char *word)
{
    return json_is_array(list) && has_capability(list, word);
}

/* docker's names of architectures are Go's. */
static const char *architecture(void)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"riscv64", "riscv64"}};
    static struct utsname machine;
    uname(&machine);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(machine.machine, names[i][0]) == 0)
            return names[i][1];
    return "";
}

static bool kernel_is_at_least(const char *version)
{
    struct utsname names;
    int major = 0, minor = 0, have_major = 0, have_minor = 0;
    sscanf(version, "%d.%d", &major, &minor);
    if (uname(&names) < 0 || sscanf(names.release, "%d.%d", &have_major, &have_minor) != 2)
        return false;
    return have_major > major || (have_major == major && have_minor >= minor);
}

/* All of "includes", none of "excludes". */
static bool applies(const json_t *rule, const json_t *capabilities)
{
    const json_t *with = json_object_get(rule, "includes");
    const json_t *without = json_object_get(rule, "excludes"), *item;
    size_t i;
    json_array_foreach(
        json_object_get(with, "caps"), i,
        item) if (json_is_string(item) &&
                  !has_capability(capabilities, json_string_value(item))) return false;
    json_array_foreach(
        json_object_get(without, "caps"), i,
        item) if (json_is_string(item) &&
                  has_capability(capabilities, json_string_value(item))) return false;
    if (json_array_size(json_object_get(with, "arches")) > 0 &&
        !lists(json_object_get(with, "arches"), architecture()))
        return false;
    if (lists(json_object_get(without, "arches"), architecture()))
        return false;
    const char *least = settings_text(with, "minKernel"),
               *most = settings_text(without, "minKernel");
    return (!*least || kernel_is_at_least(least)) && (!*most || !kernel_is_at_least(most));
}

static json_t *convert_rule(const json_t *rule)
{
    static const char *const members[] = {"action", "errnoRet", "args", "names"};
    json_t *result = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (settings_given(rule, members[i]) || json_is_integer(json_object_get(rule, members[i])))
            json_object_set(result, members[i], json_object_get(rule, members[i]));
    if (!json_object_get(result, "names") && settings_given(rule, "name"))
        json_object_set_new(result, "names", json_pack("[O]", json_object_get(rule, "name")));
    return result;
}

/* "archMap" lists for each architecture those that programs of it may also use. */
static json_t *convert_architectures(const json_t *map)
{
    json_t *own = make_architectures(), *list = json_array();
    const json_t *entry;
    size_t i;
    json_array_foreach(map, i, entry)
    {
        json_t *name = json_object_get(entry, "architecture");
        if (!json_equal(name, json_array_get(own, 0)))
            continue;
        json_array_append(list, name);
        json_array_extend(list, json_object_get(entry, "subArchitectures"));
    }
    json_decref(own);
    return list;
}

json_t *spec_convert_seccomp(const json_t *profile, const json_t *capabilities, struct error *err)
{
    static const char *const members[] = {"defaultAction", "defaultErrnoRet",  "flags",
                                          "listenerPath",  "listenerMetadata", "architectures"};
    const json_t *rule;
    size_t i;
    if (!settings_given(profile, "defaultAction")) {
        error_set(err, 0, "the seccomp profile has no defaultAction");
        return NULL;
    }
    json_t *result = json_object(), *rules = json_array();
    for (i = 0; i < sizeof members / sizeof *members; i++)
        if (json_object_get(profile, members[i]))
            json_object_set(result, members[i], json_object_get(profile, members[i]));
    if (!settings_given(result, "architectures") && json_object_get(profile, "archMap"))
        json_object_set_new(result, "architectures",
                            convert_architectures(json_object_get(profile, "archMap")));
    json_array_foreach(json_object_get(profile, "syscalls"), i,
                       rule) if (json_is_object(rule) && applies(rule, capabilities))
        json_array_append_new(rules, convert_rule(rule));
    json_object_set_new(result, "syscalls", rules);
    return result;
}

int spec_add_seccomp(struct spec *spec)
{
    const char *given = spec_security_option(spec, "seccomp");
    json_t *filter;
    if (given && strcmp(given, "unconfined") == 0)
        return 0;
    if (!given && spec->privileged)
        return 0;
    if (!given || strcmp(given, "builtin") == 0) {
        filter = spec_default_seccomp(spec->capabilities);
    } else {
        json_t *profile = json_loads(given, 0, NULL);
        filter = spec_convert_seccomp(profile, spec->capabilities, spec->err);
        json_decref(profile);
    }
    if (!filter)
        return -1;
    json_object_set_new(spec->linux_section, "seccomp", filter);
    return 0;
}
