/* pidfd_open(2) and its like, which musl doesn't declare. */
#ifndef HULL_STATIC_SYS_PIDFD_H
#define HULL_STATIC_SYS_PIDFD_H

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int pidfd_open(pid_t pid, unsigned int flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static inline int pidfd_send_signal(int pidfd, int signal, siginfo_t *information,
                                    unsigned int flags)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, information, flags);
}

static inline int pidfd_getfd(int pidfd, int fd, unsigned int flags)
{
    return (int)syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}

#endif
