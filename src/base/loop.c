#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

int loop_open(struct loop *loop, struct error *err)
{
    *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    loop->wake.fd = -1;
    return loop->epoll < 0 ? error_set(err, errno, "can't make an epoll instance") : 0;
}

void loop_close(struct loop *loop)
{
    if (loop->wake.fd >= 0)
        close(loop->wake.fd);
    close(loop->epoll);
}

int64_t loop_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_watch(struct loop *loop, struct loop_source *source, uint32_t events)
{
    if (events == source->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = source};
    /* Out of the set, not only without events: epoll tells of a hangup whatever one asks for. */
    int operation = events == 0           ? EPOLL_CTL_DEL
                    : source->events == 0 ? EPOLL_CTL_ADD
                                          : EPOLL_CTL_MOD;
    if (epoll_ctl(loop->epoll, operation, source->fd, &event) < 0)
        abort(); /* not a descriptor that can be watched: a bug; or the kernel has no memory */
    source->events = events;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    for (struct loop_timer **at = &loop->timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    timer->armed = false;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay)
{
    loop_timer_cancel(loop, timer);
    timer->deadline = loop_now() + (delay > 0 ? delay : 0);
    timer->armed = true;
    timer->next = loop->timers;
    loop->timers = timer;
    loop_wake(loop);
}

void loop_wake(struct loop *loop)
{
    if (loop->wake.fd >= 0 && eventfd_write(loop->wake.fd, 1) < 0)
        abort(); /* its counter can't be full */
}

/* Runs those that are due; returns how long there is until the next one, or -1. */
static int run_timers(struct loop *loop)
{
    for (;;) {
        struct loop_timer *first = NULL;
        for (struct loop_timer *timer = loop->timers; timer; timer = timer->next) {
            if (!first || timer->deadline < first->deadline)
                first = timer;
        }
        if (!first)
            return -1;
        int64_t left = first->deadline - loop_now();
        if (left > 0)
            return left > INT_MAX ? INT_MAX : (int)left;
        loop_timer_cancel(loop, first);
        first->expired(first);
        if (loop->done)
            return 0;
    }
}

static void on_wake(struct loop_source *source, uint32_t events)
{
    eventfd_t count;
    (void)events;
    eventfd_read(source->fd, &count);
}

int loop_share(struct loop *loop, pthread_mutex_t *lock, struct error *err)
{
    loop->wake =
        (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_wake};
    if (loop->wake.fd < 0)
        return error_set(err, errno, "can't make an eventfd");
    loop->lock = lock;
    loop_watch(loop, &loop->wake, EPOLLIN);
    return 0;
}

/* Waits without taking an event yet: until the lock is there again, another thread may free whose
 * event it was. */
static void wait_unlocked(struct loop *loop, int timeout)
{
    struct pollfd polled = {.fd = loop->epoll, .events = POLLIN};
    pthread_mutex_unlock(loop->lock);
    poll(&polled, 1, timeout);
    pthread_mutex_lock(loop->lock);
}

void loop_run(struct loop *loop)
{
    while (!loop->done) {
        int timeout = run_timers(loop);
        struct epoll_event event;
        if (loop->done)
            break;
        if (loop->lock) {
            wait_unlocked(loop, timeout);
            timeout = 0;
        }
        /* One at a time: what its function frees can't be among further ones. */
        if (epoll_wait(loop->epoll, &event, 1, timeout) == 1) {
            struct loop_source *source = event.data.ptr;
            source->ready(source, event.events);
        }
    }
}
