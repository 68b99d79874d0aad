#include "container/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/capabilities.h"
#include "container/channel.h"
#include "container/lsm.h"
#include "container/scheduling.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int process_set_rlimits(pid_t pid, const struct config_process *config, struct error *err)
{
    for (size_t i = 0; i < config->rlimit_count; i++) {
        const struct config_rlimit *limit = &config->rlimits[i];
        struct rlimit value = {limit->soft, limit->hard};
        if (prlimit(pid, limit->resource, &value, NULL) < 0)
            return error_set(err, errno, "can't set %s", limit->name);
    }
    return 0;
}

/* The processors that the runtime was kept to are no limit of the container's: its cpuset is, and
 * the kernel sees to that. Linux 6.2 and later no longer do this when a process enters one. */
static void forget_affinity(void)
{
    cpu_set_t all[8]; /* 8192 processors, as many as the kernel can be built for */
    memset(all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, all);
}

int process_prepare(const struct process *process, struct error *err)
{
    const struct config_process *config = process->config;
    forget_affinity();
    if (process->has_personality && personality(process->personality) < 0)
        return error_set(err, errno, "can't set the personality");
    if (scheduling_apply(config, err) < 0)
        return -1;
    if (!process->user_namespace && process_set_rlimits(0, config, err) < 0)
        return -1;
    if ((config->apparmor_profile || config->selinux_label) &&
        lsm_set_exec_label(process->procfs, config->apparmor_profile, config->selinux_label, err) <
            0)
        return -1;
    if (config->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "can't set no_new_privs");
    return 0;
}

/* ---- the program and its environment ---- */

static const char *find_variable(const struct config_strings *env, const char *name)
{
    size_t length = strlen(name);
    const char *value = NULL;
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name, length) == 0 && env->items[i][length] == '=')
            value = env->items[i] + length + 1;
    }
    return value;
}

static int check_executable(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return -1;
    if (S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    if (!(status.st_mode & 0111)) {
        errno = EACCES;
        return -1;
    }
    return 0;
}

static int program_error(const char *name, int code, struct error *err)
{
    if (code == 0)
        error_set(err, 0, "exec: \"%s\": executable file not found in $PATH", name);
    else
        error_set(err, 0, "exec: \"%s\": stat %s: %s", name, name,
                  code == ENOENT   ? "no such file or directory"
                  : code == EACCES ? "permission denied"
                  : code == EISDIR ? "is a directory"
                                   : strerror(code));
    err->code = code ? code : ENOENT;
    return -1;
}

int process_find_program(struct process *process, struct error *err)
{
    const char *name = process->config->args.items[0];
    if (!*name)
        return program_error(name, ENOENT, err);
    if (strchr(name, '/')) {
        /* A relative name is found from the working directory, where we are by execve. */
        if (*name == '/' && check_executable(name) < 0)
            return program_error(name, errno, err);
        process->program = name;
        return 0;
    }
    const char *path = find_variable(&process->config->env, "PATH");
    int denied = 0;
    for (const char *part = path ? path : DEFAULT_PATH; *part;) {
        size_t length = strcspn(part, ":");
        scope_free char *candidate = length ? memory_format("%.*s/%s", (int)length, part, name)
                                            : memory_format("./%s", name);
        if (check_executable(candidate) == 0) {
            process->program = scope_take_pointer(candidate);
            return 0;
        }
        if (errno == EACCES)
            denied = EACCES;
        part += length + (part[length] == ':');
    }
    return program_error(name, denied, err);
}

/* The home directory of uid in the container's /etc/passwd, which may be anything. */
static char *find_home(uint32_t uid)
{
    scope_close int fd = open("/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return memory_copy_string("/");
    scope_free char *text = file_read_all_fd(fd, "/etc/passwd", 1 << 20, NULL, NULL);
    char *rest = text, *line;
    while (text && (line = strsep(&rest, "\n"))) {
        char *fields[7] = {0};
        for (int i = 0; i < 7; i++)
            fields[i] = strsep(&line, ":");
        if (fields[5] && fields[2] && strtoul(fields[2], NULL, 10) == uid && *fields[5] == '/')
            return memory_copy_string(fields[5]);
    }
    return memory_copy_string("/");
}

/* Does a later entry set the same variable? getenv(3) would find the first. */
static bool is_overridden(const struct config_strings *env, size_t index)
{
    size_t length = strcspn(env->items[index], "=") + 1;
    for (size_t i = index + 1; i < env->count; i++) {
        if (strncmp(env->items[i], env->items[index], length) == 0)
            return true;
    }
    return false;
}

void process_make_environment(struct process *process)
{
    const struct config_strings *env = &process->config->env;
    process->environment = memory_allocate(env->count + 4, sizeof(char *));
    size_t count = 0;
    for (size_t i = 0; i < env->count; i++) {
        if (!is_overridden(env, i))
            process->environment[count++] = (char *)env->items[i];
    }
    if (!find_variable(env, "HOME")) {
        scope_free char *home = find_home(process->config->uid);
        process->environment[count++] = memory_format("HOME=%s", home);
    }
    if (process->listen_fds > 0) {
        process->environment[count++] = memory_format("LISTEN_FDS=%d", process->listen_fds);
        process->environment[count++] = memory_format("LISTEN_PID=%d", getpid());
    }
}

/* ---- becoming the user ---- */

/* The program may want to open /dev/stdout again: its pipes and terminal belong to its user. */
static int own_standard_streams(uint32_t uid, struct error *err)
{
    for (int fd = 0; fd <= 2; fd++) {
        struct stat status;
        if (fstat(fd, &status) < 0)
            continue;
        if (status.st_uid == uid || (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)))
            continue;
        if (fchown(fd, uid, status.st_gid) < 0 && errno != EINVAL && errno != EPERM &&
            errno != EROFS && errno != ENOSYS && errno != ENOTSUP && errno != EOVERFLOW)
            return error_set(err, errno, "can't give standard stream %d to user %u", fd, uid);
    }
    return 0;
}

/* CVE-2024-21626: a working directory reached through a leaked descriptor lies outside the root,
 * and the kernel then has no path for it. The system call, because the library's function goes on
 * to search upwards by itself, and takes the root file system's directory on the host, which is
 * the same directory on another mount, for the root. */
static int enter_directory(const char *path, struct error *err)
{
    char real[PATH_MAX];
    if (chdir(path) < 0)
        return error_set(err, errno, "can't enter the working directory %s", path);
    if (syscall(SYS_getcwd, real, sizeof real) <= 0 || real[0] != '/')
        return error_set(err, 0, "the working directory %s is outside the container", path);
    return 0;
}

static bool may_set_ids(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    return syscall(SYS_capget, &header, data) == 0 && data[0].effective & (1U << CAP_SETGID);
}

static int set_groups(const struct process *process, struct error *err)
{
    const struct config_process *config = process->config;
    if (setgroups(config->additional_gid_count, config->additional_gids) == 0)
        return 0;
    int code = errno;
    /* A rootless user namespace, the container's or the one we are in, may not change groups at all
     * (user_namespaces(7), setgroups); then there must be none to set. */
    if (code == EPERM && config->additional_gid_count == 0 &&
        (process->user_namespace || may_set_ids()))
        return 0;
    return error_set(err, code, "can't set the additional groups");
}

static int set_user(const struct process *process, struct error *err)
{
    const struct config_process *config = process->config;
    if (set_groups(process, err) < 0)
        return -1;
    if (setresgid(config->gid, config->gid, config->gid) < 0)
        return error_set(err, errno, "can't become group %u", config->gid);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
        setresuid(config->uid, config->uid, config->uid) < 0 ||
        prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return error_set(err, errno, "can't become user %u", config->uid);
    return 0;
}

/* Without no_new_privs, seccomp(2) takes CAP_SYS_ADMIN: kept until the filter is in place. */
static uint64_t capabilities_for_seccomp(const struct process *process)
{
    return process->seccomp && !process->config->no_new_privileges ? UINT64_C(1) << CAP_SYS_ADMIN
                                                                   : 0;
}

int process_become(const struct process *process, struct error *err)
{
    static const struct config_capabilities none;
    const struct config_process *config = process->config;
    /* From here on our privileges are the container's, which doesn't make us equal: nobody with
     * the same ones may look into us. */
    if (!process->user_namespace && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_set(err, errno, "can't make the process undumpable");
    const struct config_capabilities *capabilities =
        config->capabilities ? config->capabilities : &none;
    if (own_standard_streams(config->uid, err) < 0)
        return -1;
    /* Root may enter a directory that the user may not, and the user one (on a network file
     * system) that root may not: either will do. */
    bool entered = enter_directory(config->cwd, err) == 0;
    if (!entered && err->code != EACCES)
        return -1;
    if (capabilities_drop_bounding(capabilities->sets[CONFIG_CAPABILITY_BOUNDING], err) < 0 ||
        set_user(process, err) < 0)
        return -1;
    if (!entered && enter_directory(config->cwd, err) < 0)
        return -1;
    umask(config->has_umask ? (mode_t)config->umask : 0022);
    return capabilities_set(capabilities, capabilities_for_seccomp(process), err);
}

/* ---- execve ---- */

static int announce_listener(int channel, int listener, struct error *err)
{
    char answer;
    if (channel_report(channel, CHANNEL_LISTENER, listener, NULL) < 0)
        return error_set(err, errno, "can't hand over the seccomp listener");
    ssize_t count = read(channel, &answer, 1);
    if (count <= 0) /* the end: the agent didn't take it, and nobody will answer our calls */
        return error_set(err, count ? errno : EPIPE, "can't hand over the seccomp listener");
    close(listener);
    return 0;
}

int process_confine(const struct process *process, int channel, struct error *err)
{
    static const struct config_capabilities none;
    if (close_range((unsigned int)(3 + process->preserved), ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return error_set(err, errno, "can't mark descriptors to be closed");
    if (!process->seccomp)
        return 0;
    int listener = -1;
    if (seccomp_install(process->seccomp, &listener, err) < 0)
        return -1;
    if (capabilities_for_seccomp(process) &&
        capabilities_set(process->config->capabilities ? process->config->capabilities : &none, 0,
                         err) < 0)
        return -1;
    return listener >= 0 ? announce_listener(channel, listener, err) : 0;
}

int process_execute(const struct process *process, struct error *err)
{
    execve(process->program, (char *const *)process->config->args.items, process->environment);
    int code = errno;
    if (code == ENOENT && strchr(process->program, '/') && access(process->program, F_OK) == 0)
        error_set(err, 0, "exec %s: no such file or directory (its interpreter is missing)",
                  process->program);
    else
        error_set(err, 0, "exec %s: %s", process->program,
                  code == EACCES    ? "permission denied"
                  : code == ENOENT  ? "no such file or directory"
                  : code == ENOEXEC ? "exec format error"
                                    : strerror(code));
    err->code = code;
    return -1;
}
