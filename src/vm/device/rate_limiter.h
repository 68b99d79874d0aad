/* A rate limiter as Firecracker's: two token buckets, for bytes and for operations.
 *
 * A bucket holds size tokens, full at first, and fills again within refill_time; one_time_burst
 * more are spent before any of them and never come back. Who finds too few tokens waits: the
 * limiter's timer calls it back when there may be enough. A request that is larger than the bucket
 * passes when the bucket is full, and what it took too much is waited for afterwards. */
#ifndef HULL_VM_RATE_LIMITER_H
#define HULL_VM_RATE_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct rate_bucket_settings {
    uint64_t size;           /* tokens; 0: no limit */
    uint64_t one_time_burst; /* tokens */
    uint64_t refill_time;    /* ms from empty to full; 0: no limit */
};

struct rate_limiter_settings {
    struct rate_bucket_settings bandwidth, operations; /* tokens are bytes; tokens are requests */
};

struct rate_bucket {
    struct rate_bucket_settings settings;
    uint64_t burst, budget; /* tokens left */
    uint64_t filled;        /* ns of the monotonic clock: budget is that of then */
    uint64_t blocked_until; /* ns; because a request took more than there was */
};

struct rate_limiter {
    struct rate_bucket bandwidth, operations;
    struct loop *loop;
    struct loop_timer timer;
    /* There may be enough tokens now: try again. On the loop's thread; not called unless a
     * rate_limiter_take() failed. */
    void (*go_on)(struct rate_limiter *limiter);
    uint64_t throttled; /* how often a rate_limiter_take() failed, for metrics */
};

/* Full buckets; settings may be NULL: no limits. The limiter stays where it is in memory. */
void rate_limiter_open(struct rate_limiter *limiter, struct loop *loop,
                       const struct rate_limiter_settings *settings,
                       void (*go_on)(struct rate_limiter *limiter));
/* Stops the timer. */
void rate_limiter_close(struct rate_limiter *limiter);

/* Takes tokens for one request of so many bytes from both buckets, and returns true; or takes none,
 * returns false, and go_on() will be called. While that is awaited all calls fail at once. */
bool rate_limiter_take(struct rate_limiter *limiter, uint64_t bytes);
/* Gives back what a request took that turned out smaller, or didn't happen. */
void rate_limiter_give_back(struct rate_limiter *limiter, uint64_t bytes, uint64_t operations);
/* Whether go_on() is awaited. */
static inline bool rate_limiter_is_waiting(const struct rate_limiter *limiter)
{
    return limiter->timer.armed;
}

/* New limits with full buckets while it runs; NULL keeps the bucket as it is. Who waits is called
 * soon. */
void rate_limiter_update(struct rate_limiter *limiter, const struct rate_bucket_settings *bandwidth,
                         const struct rate_bucket_settings *operations);

/* A bucket by itself, at a time in ns. Returns 0 if the tokens were taken, or else the ns until
 * it's worth another try. */
uint64_t rate_now(void);
void rate_bucket_fill(struct rate_bucket *bucket, const struct rate_bucket_settings *settings,
                      uint64_t now);
uint64_t rate_bucket_take(struct rate_bucket *bucket, uint64_t tokens, uint64_t now);
void rate_bucket_give_back(struct rate_bucket *bucket, uint64_t tokens);

#endif
