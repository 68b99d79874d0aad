#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

int loop_open(struct loop *loop, struct error *err)
{
    *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    return loop->epoll < 0 ? error_set(err, errno, "can't make an epoll instance") : 0;
}

void loop_close(struct loop *loop)
{
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

void loop_run(struct loop *loop)
{
    while (!loop->done) {
        int timeout = run_timers(loop);
        struct epoll_event event;
        if (loop->done)
            break;
        /* One at a time: what its function frees can't be among further ones. */
        if (epoll_wait(loop->epoll, &event, 1, timeout) == 1) {
            struct loop_source *source = event.data.ptr;
            source->ready(source, event.events);
        }
    }
}
