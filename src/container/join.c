#include "container/join.h"

#include <errno.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h> /* setns */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container/channel.h"

uint64_t join_flags(const struct config_linux *config)
{
    uint64_t flags = 0;
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        if (config->namespaces[kind].listed)
            flags |= config_namespace_kinds[kind].clone_flag;
    }
    return flags;
}

static int join(int pidfd, uint64_t flags, struct error *err)
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
static pid_t clone_direct(int pidfd, uint64_t flags, const int channel[2], int cgroup,
                          struct error *err)
{
    if (join(pidfd, flags & CLONE_NEWPID, err) < 0)
        return -1;
    pid_t pid = clone_process(0, cgroup);
    if (pid == 0)
        close(channel[0]);
    else
        close(channel[1]);
    return pid < 0 ? error_set(err, errno, "can't make a process in the container") : pid;
}

/* With a user namespace, the privileges for the others are those that one has in it: a process
 * in between joins everything, and makes the one that we want as its sibling. */
static pid_t clone_staged(int pidfd, uint64_t flags, const int channel[2], struct error *err)
{
    pid_t stage_pid = fork();
    if (stage_pid < 0)
        return error_set(err, errno, "can't fork");
    if (stage_pid == 0) {
        close(channel[0]);
        pid_t pid = join(pidfd, flags, err) < 0 ? -1 : clone_process(CLONE_PARENT, -1);
        if (pid == 0)
            return 0;
        if (pid < 0)
            channel_send_text(channel[1], CHANNEL_ERROR, errno,
                              *err->text ? err->text : "can't make a process in the container");
        else
            channel_send(channel[1], CHANNEL_PID, pid);
        _exit(0);
    }
    close(channel[1]);
    struct channel_message message;
    int heard = channel_expect(channel[0], CHANNEL_PID, "the process that joins the namespaces",
                               &message, err);
    waitpid(stage_pid, NULL, 0);
    return heard < 0 ? -1 : message.number;
}

pid_t join_clone(int pidfd, uint64_t flags, const int channel[2], int cgroup, struct error *err)
{
    return flags & CLONE_NEWUSER ? clone_staged(pidfd, flags, channel, err)
                                 : clone_direct(pidfd, flags, channel, cgroup, err);
}

int join_enter(int pidfd, uint64_t flags, struct error *err)
{
    if (!(flags & CLONE_NEWUSER))
        return join(pidfd, flags & ~(uint64_t)CLONE_NEWPID, err);
    /* Root there, if there is one: the standard streams and the terminal need an owner. */
    if ((setresgid(0, 0, 0) < 0 && errno != EINVAL) || (setgroups(0, NULL) < 0 && errno != EPERM) ||
        (setresuid(0, 0, 0) < 0 && errno != EINVAL))
        return error_set(err, errno, "can't become root of the user namespace");
    return 0;
}
