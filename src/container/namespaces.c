#include "container/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h> /* setns, unshare */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/channel.h"
#include "container/idmap.h"

static uint64_t flag_of(enum config_namespace_kind kind)
{
    return config_namespace_kinds[kind].clone_flag;
}

int namespaces_open(struct namespaces *namespaces, const struct config_linux *config,
                    struct error *err)
{
    namespaces->create = 0;
    namespaces->config = config;
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++)
        namespaces->joined[kind] = -1;
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        const struct config_namespace *item = &config->namespaces[kind];
        const char *name = config_namespace_kinds[kind].name;
        if (!item->listed)
            continue;
        if (!item->path) {
            namespaces->create |= flag_of((enum config_namespace_kind)kind);
            continue;
        }
        int fd = open(item->path, O_RDONLY | O_CLOEXEC);
        int type = fd < 0 ? -1 : ioctl(fd, NS_GET_NSTYPE);
        namespaces->joined[kind] = fd;
        if (fd < 0)
            error_set(err, errno, "can't open the %s namespace %s", name, item->path);
        else if (type != (int)flag_of((enum config_namespace_kind)kind))
            error_set(err, 0, "%s is not a %s namespace", item->path, name);
        else
            continue;
        namespaces_close(namespaces);
        return -1;
    }
    return 0;
}

void namespaces_close(struct namespaces *namespaces)
{
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        if (namespaces->joined[kind] >= 0)
            close(namespaces->joined[kind]);
        namespaces->joined[kind] = -1;
    }
}

bool namespaces_makes(const struct namespaces *namespaces, enum config_namespace_kind kind)
{
    return namespaces->create & flag_of(kind);
}

bool namespaces_changes_user(const struct namespaces *namespaces)
{
    return namespaces_makes(namespaces, CONFIG_NAMESPACE_USER) ||
           namespaces->joined[CONFIG_NAMESPACE_USER] >= 0;
}

static bool joins_any(const struct namespaces *namespaces)
{
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        if (namespaces->joined[kind] >= 0)
            return true;
    }
    return false;
}

bool namespaces_is_staged(const struct namespaces *namespaces)
{
    return namespaces->joined[CONFIG_NAMESPACE_USER] >= 0 ||
           namespaces->joined[CONFIG_NAMESPACE_PID] >= 0 ||
           namespaces->joined[CONFIG_NAMESPACE_TIME] >= 0 ||
           namespaces_makes(namespaces, CONFIG_NAMESPACE_TIME) ||
           (namespaces_makes(namespaces, CONFIG_NAMESPACE_USER) && joins_any(namespaces));
}

static int join(const struct namespaces *namespaces, int kind, struct error *err)
{
    if (setns(namespaces->joined[kind], (int)flag_of((enum config_namespace_kind)kind)) == 0)
        return 0;
    return error_set(err, errno, "can't join the %s namespace %s",
                     config_namespace_kinds[kind].name, namespaces->config->namespaces[kind].path);
}

/* Some namespaces can be joined only with the privileges one has before joining the user
 * namespace, some only with those one has after it; so each is tried before, and what was
 * refused again after. */
static int join_all(const struct namespaces *namespaces, struct error *err)
{
    bool refused[CONFIG_NAMESPACE_KINDS] = {false};
    int user = namespaces->joined[CONFIG_NAMESPACE_USER];
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        if (kind == CONFIG_NAMESPACE_USER || namespaces->joined[kind] < 0)
            continue;
        if (join(namespaces, kind, err) == 0)
            continue;
        if (user < 0 || err->code != EPERM)
            return -1;
        refused[kind] = true;
    }
    if (user >= 0 && join(namespaces, CONFIG_NAMESPACE_USER, err) < 0)
        return -1;
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        if (refused[kind] && join(namespaces, kind, err) < 0)
            return -1;
    }
    return 0;
}

int namespaces_become_root(struct error *err)
{
    if (setresgid(0, 0, 0) < 0 && errno != EINVAL)
        return error_set(err, errno, "can't become group 0 of the user namespace");
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        return error_set(err, errno, "can't drop the groups in the user namespace");
    if (setresuid(0, 0, 0) < 0 && errno != EINVAL)
        return error_set(err, errno, "can't become user 0 of the user namespace");
    return 0;
}

static size_t format_offset(char *text, size_t size, const char *clock,
                            const struct config_time_offset *offset)
{
    if (!offset->given)
        return 0;
    return (size_t)snprintf(text, size, "%s %lld %u\n", clock, (long long)offset->seconds,
                            offset->nanoseconds);
}

/* Offsets can be set until the first process is in the namespace, which is the next one made; all
 * by one write. file is our timens_offsets, opened before there was a user namespace: in it, files
 * of procfs aren't ours. */
static int make_time_namespace(const struct namespaces *namespaces, int file, struct error *err)
{
    char text[192];
    size_t length = format_offset(text, sizeof text, "monotonic", &namespaces->config->monotonic);
    length += format_offset(text + length, sizeof text - length, "boottime",
                            &namespaces->config->boottime);
    if (unshare((int)flag_of(CONFIG_NAMESPACE_TIME)) < 0)
        return error_set(err, errno, "can't make a time namespace");
    if (length > 0 && write(file, text, length) < 0)
        return error_set(err, errno, "can't set the time offsets");
    return 0;
}

static int make_user_namespace(int channel, struct error *err)
{
    struct channel_message answer;
    if (unshare(CLONE_NEWUSER) < 0)
        return error_set(err, errno, "can't make a user namespace");
    if (channel_send(channel, CHANNEL_MAP, 0) < 0)
        return error_set(err, errno, "can't ask for the id mappings");
    return channel_expect(channel, CHANNEL_GO, "the runtime", &answer, err);
}

/* What the first process makes itself. The cgroup namespace's root is the cgroup one is in when
 * it is made; and the network namespace is most of the work, which the process can do while the
 * runtime does something else. */
static const uint64_t LATER = CLONE_NEWCGROUP | CLONE_NEWNET;

static pid_t clone_process(uint64_t flags, int cgroup, bool sibling)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
    if (sibling) { /* a sibling ends with its parent's signal */
        args.flags |= CLONE_PARENT;
        args.exit_signal = 0;
    }
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* In the process between. Returns 0 in the container's first process. */
static int stage(const struct namespaces *namespaces, int channel, struct error *err)
{
    uint64_t flags = namespaces->create & ~(uint64_t)(CLONE_NEWCGROUP | CLONE_NEWTIME);
    const struct config_linux *config = namespaces->config;
    scope_close int offsets = -1;
    if ((config->monotonic.given || config->boottime.given) &&
        (offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC)) < 0)
        return error_set(err, errno, "can't open /proc/self/timens_offsets");
    if (join_all(namespaces, err) < 0)
        return -1;
    bool makes_user = flags & CLONE_NEWUSER;
    if (makes_user && make_user_namespace(channel, err) < 0)
        return -1;
    /* Before becoming another user: from then on our files in /proc belong to the host's root. */
    if (namespaces_makes(namespaces, CONFIG_NAMESPACE_TIME) &&
        make_time_namespace(namespaces, offsets, err) < 0)
        return -1;
    if (makes_user && namespaces_become_root(err) < 0)
        return -1;
    flags &= ~(uint64_t)CLONE_NEWUSER;
    pid_t pid = clone_process(flags, -1, true);
    if (pid == 0)
        return 0;
    if (pid < 0)
        return error_set(err, errno, "can't make the container's namespaces");
    channel_send(channel, CHANNEL_PID, pid);
    _exit(0);
}

/* Attends to the process between until it says the pid of the first process. */
static pid_t attend_stage(const struct namespaces *namespaces, int channel, pid_t stage_pid,
                          struct error *err)
{
    struct channel_message message;
    const struct config_linux *config = namespaces->config;
    pid_t pid = -1;
    for (;;) {
        if (channel_await(channel, stage_pid, err) < 0)
            break;
        if (channel_receive(channel, &message) < 0) {
            error_set(err, errno, "can't hear from the process that makes the namespaces");
            break;
        }
        if (message.type == CHANNEL_MAP) {
            if (idmap_write(stage_pid, &config->uid_mappings, &config->gid_mappings, err) < 0)
                break;
            channel_send(channel, CHANNEL_GO, 0);
        } else if (message.type == CHANNEL_PID) {
            pid = message.number;
            break;
        } else if (message.type == CHANNEL_ERROR) {
            error_set(err, 0, "%s", message.text);
            err->code = message.number;
            break;
        } else {
            error_set(err, 0, "the process that makes the namespaces died unexpectedly");
            break;
        }
    }
    if (pid < 0)
        kill(stage_pid, SIGKILL);
    waitpid(stage_pid, NULL, 0);
    return pid;
}

static pid_t clone_staged(const struct namespaces *namespaces, const int channel[2],
                          struct error *err)
{
    pid_t stage_pid = fork();
    if (stage_pid < 0)
        return error_set(err, errno, "can't fork");
    if (stage_pid == 0) {
        close(channel[0]);
        if (stage(namespaces, channel[1], err) == 0)
            return 0;
        channel_send_text(channel[1], CHANNEL_ERROR, err->code, err->text);
        _exit(1);
    }
    close(channel[1]);
    return attend_stage(namespaces, channel[0], stage_pid, err);
}

pid_t namespaces_clone(const struct namespaces *namespaces, const int channel[2], int cgroup,
                       struct error *err)
{
    if (namespaces_is_staged(namespaces))
        return clone_staged(namespaces, channel, err);
    pid_t pid = clone_process(namespaces->create & ~LATER, cgroup, false);
    if (pid == 0) {
        close(channel[0]);
        return 0;
    }
    int code = errno;
    close(channel[1]);
    if (pid < 0)
        return error_set(err, code, "can't make the container's namespaces");
    if (!namespaces_makes(namespaces, CONFIG_NAMESPACE_USER))
        return pid;
    const struct config_linux *config = namespaces->config;
    if (idmap_write(pid, &config->uid_mappings, &config->gid_mappings, err) == 0)
        return pid;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
}

int namespaces_enter(const struct namespaces *namespaces, struct error *err)
{
    bool staged = namespaces_is_staged(namespaces);
    if (!staged && join_all(namespaces, err) < 0)
        return -1;
    if (!staged && namespaces_makes(namespaces, CONFIG_NAMESPACE_NETWORK) &&
        unshare(CLONE_NEWNET) < 0)
        return error_set(err, errno, "can't make a network namespace");
    return namespaces_changes_user(namespaces) ? namespaces_become_root(err) : 0;
}
