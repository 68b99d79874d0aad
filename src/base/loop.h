/* The event loop: descriptors and timers, with a function each. */
#ifndef HULL_BASE_LOOP_H
#define HULL_BASE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct loop_source {
    int fd;
    uint32_t events; /* EPOLLIN …; 0: not watched at all, not even for a hangup */
    void (*ready)(struct loop_source *source, uint32_t events);
};

struct loop_timer {
    int64_t deadline; /* ms of loop_now() */
    bool armed;
    void (*expired)(struct loop_timer *timer);
    struct loop_timer *next;
};

struct loop {
    int epoll;
    bool done; /* set it, and loop_run() returns */
    struct loop_timer *timers;
    pthread_mutex_t *lock; /* of loop_share(), or NULL: one thread alone uses the loop */
    struct loop_source wake;
};

/* The object that a source or timer is a member of. */
#define loop_owner(pointer, type, member)                                                          \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

int loop_open(struct loop *loop, struct error *err);
void loop_close(struct loop *loop);

/* Watches source->fd for events from now on. A source that isn't watched may be freed. */
void loop_watch(struct loop *loop, struct loop_source *source, uint32_t events);

/* In so many ms, once; set again, the old time is forgotten. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* Milliseconds of the monotonic clock. */
int64_t loop_now(void);

/* Lets other threads use the loop, its sources and timers while they hold lock. loop_run(), which
 * is called with lock held, lets go of it while it waits: its functions run under it. */
int loop_share(struct loop *loop, pthread_mutex_t *lock, struct error *err);
/* Makes a shared loop look again at its timers and at loop->done. */
void loop_wake(struct loop *loop);

void loop_run(struct loop *loop);

#endif
