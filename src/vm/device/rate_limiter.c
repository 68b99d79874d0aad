#include "vm/device/rate_limiter.h"

#include <time.h>

#define MILLISECOND 1000000ull

uint64_t rate_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static bool is_unlimited(const struct rate_bucket *bucket)
{
    return bucket->settings.size == 0 || bucket->settings.refill_time == 0;
}

void rate_bucket_fill(struct rate_bucket *bucket, const struct rate_bucket_settings *settings,
                      uint64_t now)
{
    *bucket = (struct rate_bucket){.settings = *settings,
                                   .burst = settings->one_time_burst,
                                   .budget = settings->size,
                                   .filled = now};
}

/* ns in which so many tokens come; UINT64_MAX / 2 at most. */
static uint64_t time_of(const struct rate_bucket *bucket, uint64_t tokens)
{
    unsigned __int128 time =
        ((unsigned __int128)tokens * bucket->settings.refill_time * MILLISECOND +
         bucket->settings.size - 1) /
        bucket->settings.size;
    return time > UINT64_MAX / 2 ? UINT64_MAX / 2 : (uint64_t)time;
}

/* Adds what came since the last time. The part of a token that came stays in bucket->filled. */
static void replenish(struct rate_bucket *bucket, uint64_t now)
{
    uint64_t passed = now > bucket->filled ? now - bucket->filled : 0;
    unsigned __int128 came = (unsigned __int128)passed * bucket->settings.size /
                             ((unsigned __int128)bucket->settings.refill_time * MILLISECOND);
    if (came == 0)
        return;
    if (came >= bucket->settings.size - bucket->budget) {
        bucket->budget = bucket->settings.size;
        bucket->filled = now;
        return;
    }
    /* Rounded down, so that nothing that came is lost: up to a token's time too early. */
    uint64_t spent =
        (uint64_t)(came * bucket->settings.refill_time * MILLISECOND / bucket->settings.size);
    bucket->budget += (uint64_t)came;
    bucket->filled += spent;
}

uint64_t rate_bucket_take(struct rate_bucket *bucket, uint64_t tokens, uint64_t now)
{
    if (is_unlimited(bucket))
        return 0;
    if (now < bucket->blocked_until)
        return bucket->blocked_until - now;
    if (tokens <= bucket->burst) {
        bucket->burst -= tokens;
        bucket->filled = now; /* as long as the burst lasts nothing comes */
        return 0;
    }
    uint64_t rest = tokens - bucket->burst;
    if (rest > bucket->budget)
        replenish(bucket, now);
    if (rest > bucket->settings.size && bucket->budget == bucket->settings.size) {
        uint64_t until = time_of(bucket, rest - bucket->settings.size);
        bucket->burst = bucket->budget = 0;
        bucket->blocked_until = now + until;
        bucket->filled = bucket->blocked_until;
        return 0;
    }
    uint64_t needed = rest < bucket->settings.size ? rest : bucket->settings.size;
    if (needed > bucket->budget) {
        uint64_t ready = bucket->filled + time_of(bucket, needed - bucket->budget);
        return ready > now ? ready - now : 1;
    }
    bucket->budget -= rest;
    bucket->burst = 0;
    return 0;
}

void rate_bucket_give_back(struct rate_bucket *bucket, uint64_t tokens)
{
    uint64_t room = bucket->settings.size - bucket->budget;
    bucket->budget += tokens < room ? tokens : room;
}

static void on_expired(struct loop_timer *timer)
{
    struct rate_limiter *limiter = loop_owner(timer, struct rate_limiter, timer);
    limiter->go_on(limiter);
}

void rate_limiter_open(struct rate_limiter *limiter, struct loop *loop,
                       const struct rate_limiter_settings *settings,
                       void (*go_on)(struct rate_limiter *limiter))
{
    *limiter = (struct rate_limiter){.loop = loop, .timer.expired = on_expired, .go_on = go_on};
    if (settings) {
        rate_bucket_fill(&limiter->bandwidth, &settings->bandwidth, rate_now());
        rate_bucket_fill(&limiter->operations, &settings->operations, rate_now());
    }
}

void rate_limiter_close(struct rate_limiter *limiter)
{
    if (limiter->timer.armed)
        loop_timer_cancel(limiter->loop, &limiter->timer);
}

bool rate_limiter_take(struct rate_limiter *limiter, uint64_t bytes)
{
    if (is_unlimited(&limiter->bandwidth) && is_unlimited(&limiter->operations))
        return true;
    if (limiter->timer.armed) {
        limiter->throttled++;
        return false;
    }
    uint64_t now = rate_now();
    struct rate_bucket operations = limiter->operations;
    uint64_t wait = rate_bucket_take(&limiter->operations, 1, now);
    if (wait == 0 && (wait = rate_bucket_take(&limiter->bandwidth, bytes, now)) > 0)
        limiter->operations = operations;
    if (wait == 0)
        return true;
    limiter->throttled++;
    /* In whole ms of the same clock, so that it isn't called too early. */
    uint64_t deadline = (now + wait + MILLISECOND - 1) / MILLISECOND;
    loop_timer_set(limiter->loop, &limiter->timer, (int64_t)(deadline - now / MILLISECOND));
    return false;
}

void rate_limiter_give_back(struct rate_limiter *limiter, uint64_t bytes, uint64_t operations)
{
    rate_bucket_give_back(&limiter->bandwidth, bytes);
    rate_bucket_give_back(&limiter->operations, operations);
}

void rate_limiter_update(struct rate_limiter *limiter, const struct rate_bucket_settings *bandwidth,
                         const struct rate_bucket_settings *operations)
{
    if (bandwidth)
        rate_bucket_fill(&limiter->bandwidth, bandwidth, rate_now());
    if (operations)
        rate_bucket_fill(&limiter->operations, operations, rate_now());
    if (limiter->timer.armed)
        loop_timer_set(limiter->loop, &limiter->timer, 0);
}
