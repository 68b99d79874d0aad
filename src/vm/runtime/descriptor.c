#include "vm/runtime/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* An open file of our own, which may be non-blocking without others noticing. What can't be opened
 * again (a socket, a terminal of somebody else) is used as it is. */
static int open_again(int fd, uint32_t direction)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int flags = (direction == EPOLLIN ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat status;
    bool is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode); /* its offset is shared */
    int own = is_file ? -1 : open(path, flags);
    if (own < 0)
        return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : fd;
    close(fd);
    return own;
}

static bool can_be_watched(struct loop *loop, int fd)
{
    struct epoll_event event = {0};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return false;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
    return true;
}

static void on_time(struct loop_timer *timer)
{
    struct descriptor *descriptor = loop_owner(timer, struct descriptor, soon);
    descriptor->source.ready(&descriptor->source, EPOLLIN | EPOLLOUT);
}

void descriptor_open(struct descriptor *descriptor, struct loop *loop, int fd, uint32_t direction,
                     void (*ready)(struct loop_source *source, uint32_t events))
{
    *descriptor = (struct descriptor){.source = {.fd = open_again(fd, direction), .ready = ready},
                                      .soon = {.expired = on_time},
                                      .loop = loop};
    if (descriptor->source.fd >= 0)
        descriptor->can_watch = can_be_watched(loop, descriptor->source.fd);
}

void descriptor_watch(struct descriptor *descriptor, uint32_t direction, bool wanted)
{
    if (descriptor->source.fd < 0)
        return;
    if (descriptor->can_watch)
        loop_watch(descriptor->loop, &descriptor->source, wanted ? direction : 0);
    else if (wanted && !descriptor->soon.armed)
        loop_timer_set(descriptor->loop, &descriptor->soon, 0);
    else if (!wanted)
        loop_timer_cancel(descriptor->loop, &descriptor->soon);
}

ssize_t descriptor_read(struct descriptor *descriptor, void *bytes, size_t size)
{
    ssize_t count = recv(descriptor->source.fd, bytes, size, MSG_DONTWAIT);
    return count < 0 && errno == ENOTSOCK ? read(descriptor->source.fd, bytes, size) : count;
}

ssize_t descriptor_write(struct descriptor *descriptor, const void *bytes, size_t length)
{
    ssize_t count = send(descriptor->source.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    return count < 0 && errno == ENOTSOCK ? write(descriptor->source.fd, bytes, length) : count;
}

void descriptor_close(struct descriptor *descriptor)
{
    descriptor_watch(descriptor, 0, false);
    if (descriptor->source.fd >= 0)
        close(descriptor->source.fd);
    descriptor->source.fd = -1;
}
