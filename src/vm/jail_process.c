#include "vm/jail_process.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A pidfd of the process outside while credentials change, or -1: the process's one. */
static int outside = -1;

int jail_process_split(struct error *err)
{
    outside = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (outside < 0)
        return error_set(err, errno, "can't open the own process");
    if (unshare(CLONE_NEWPID) < 0)
        return error_set(err, errno, "can't make a process namespace");
    sigset_t passed, before;
    sigemptyset(&passed);
    sigaddset(&passed, SIGTERM);
    sigaddset(&passed, SIGINT);
    sigaddset(&passed, SIGHUP);
    sigaddset(&passed, SIGCHLD);
    sigprocmask(SIG_BLOCK, &passed, &before);
    pid_t child = fork();
    if (child < 0)
        return error_set(err, errno, "can't make the first process of a namespace");
    if (child > 0) {
        jail_process_settle();
        return child;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return jail_process_bind(err);
}

int jail_process_attend(int child)
{
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGCHLD);
    for (;;) {
        int status, number;
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        /* One who isn't yet the user that we are can't be signalled; it ends with us. */
        if (sigwait(&watched, &number) == 0 && number != SIGCHLD && kill(child, number) < 0)
            return 128 + number;
    }
}

int jail_process_bind(struct error *err)
{
    struct pollfd polled = {.fd = outside, .events = POLLIN};
    if (outside < 0)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return error_set(err, errno, "can't be ended with the process outside");
    if (poll(&polled, 1, 0) != 0)
        _exit(1); /* it has gone already */
    return 0;
}

void jail_process_settle(void)
{
    if (outside >= 0)
        close(outside);
    outside = -1;
}
