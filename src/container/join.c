#include "container/join.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h> /* setns */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "container/channel.h"
#include "container/namespaces.h"

uint64_t join_flags(const struct config_linux *config)
{
    uint64_t flags = 0;
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        if (config->namespaces[kind].listed)
            flags |= config_namespace_kinds[kind].clone_flag;
    }
    return flags;
}

bool join_is_staged(uint64_t flags, const struct config *container)
{
    if (flags & CLONE_NEWUSER)
        return true;
    const struct config_capabilities *capabilities =
        container->process ? container->process->capabilities : NULL;
    uint64_t all = 0;
    for (int set = 0; capabilities && set < CONFIG_CAPABILITY_SETS; set++)
        all |= capabilities->sets[set];
    return all & UINT64_C(1) << CAP_SYS_PTRACE;
}

static int enter(int pidfd, uint64_t flags, struct error *err)
{
    if (flags == 0 || setns(pidfd, (int)flags) == 0)
        return 0;
    return error_set(err, errno, "can't join the container's namespaces");
}

static pid_t clone_process(uint64_t flags, int cgroup)
{
    struct clone_args args = {.flags = flags, .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD};
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* The pid namespace counts for children only, so the runtime can join it itself: one process and
 * one system call join all. */
static pid_t clone_direct(const struct join *join, const int channel[2], int cgroup,
                          struct error *err)
{
    if (enter(join->pidfd, join->flags & CLONE_NEWPID, err) < 0)
        return -1;
    pid_t pid = clone_process(0, cgroup);
    if (pid == 0)
        close(channel[0]);
    else
        close(channel[1]);
    return pid < 0 ? error_set(err, errno, "can't make a process in the container") : pid;
}

/* In the process between. Returns 0 in its sibling, the one that we want. */
static int stage(const struct join *join, int channel, struct error *err)
{
    const int kept[] = {channel, join->pidfd};
    if (file_close_others(3 + join->preserved, kept, sizeof kept / sizeof *kept, err) < 0 ||
        enter(join->pidfd, join->flags, err) < 0)
        return -1;
    pid_t pid = clone_process(CLONE_PARENT, -1);
    if (pid == 0)
        return 0;
    if (pid < 0)
        return error_set(err, errno, "can't make a process in the container");
    channel_send(channel, CHANNEL_PID, pid);
    _exit(0);
}

static pid_t clone_staged(const struct join *join, const int channel[2], struct error *err)
{
    pid_t stage_pid = fork();
    if (stage_pid < 0)
        return error_set(err, errno, "can't fork");
    if (stage_pid == 0) {
        if (stage(join, channel[1], err) == 0)
            return 0;
        channel_send_text(channel[1], CHANNEL_ERROR, err->code, err->text);
        _exit(1);
    }
    close(channel[1]);
    struct channel_message message;
    int heard = channel_await(channel[0], stage_pid, err);
    if (heard == 0)
        heard = channel_expect(channel[0], CHANNEL_PID, "the process that joins the namespaces",
                               &message, err);
    waitpid(stage_pid, NULL, 0);
    return heard < 0 ? -1 : message.number;
}

pid_t join_clone(const struct join *join, const int channel[2], int cgroup, struct error *err)
{
    return join->staged ? clone_staged(join, channel, err)
                        : clone_direct(join, channel, cgroup, err);
}

int join_enter(const struct join *join, struct error *err)
{
    if (!join->staged)
        return enter(join->pidfd, join->flags & ~(uint64_t)CLONE_NEWPID, err);
    return join->flags & CLONE_NEWUSER ? namespaces_become_root(err) : 0;
}
