/* vm/device/rate_limiter: token buckets at times that the test chooses, and the timer on a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/device/rate_limiter.h"

#define MS 1000000ull

static struct rate_bucket filled(uint64_t size, uint64_t burst, uint64_t refill_time)
{
    struct rate_bucket bucket;
    rate_bucket_fill(&bucket, &(struct rate_bucket_settings){size, burst, refill_time}, 0);
    return bucket;
}

static void a_bucket_empties_and_fills(void **state)
{
    (void)state;
    struct rate_bucket bucket = filled(1000, 0, 100);
    assert_int_equal(rate_bucket_take(&bucket, 600, 0), 0);
    assert_int_equal(rate_bucket_take(&bucket, 400, 0), 0);
    assert_int_equal(rate_bucket_take(&bucket, 500, 0), 50 * MS);
    assert_int_equal(rate_bucket_take(&bucket, 500, 30 * MS), 20 * MS);
    assert_int_equal(rate_bucket_take(&bucket, 500, 50 * MS), 0);
    assert_int_not_equal(rate_bucket_take(&bucket, 1, 50 * MS), 0);
    /* Never more than its size, however long it waits. */
    assert_int_equal(rate_bucket_take(&bucket, 1000, 5000 * MS), 0);
    assert_int_equal(rate_bucket_take(&bucket, 10, 5000 * MS), MS);
}

/* Looking often takes nothing away: parts of a token are kept. */
static void parts_of_tokens_are_not_lost(void **state)
{
    (void)state;
    struct rate_bucket bucket = filled(3, 0, 1000);
    unsigned taken = 0;
    assert_int_equal(rate_bucket_take(&bucket, 3, 0), 0);
    for (uint64_t now = 0; now <= 10000 * MS; now += 7 * MS)
        taken += rate_bucket_take(&bucket, 1, now) == 0;
    assert_in_range(taken, 29, 30);
}

static void a_burst_is_spent_once(void **state)
{
    (void)state;
    struct rate_bucket bucket = filled(100, 250, 100);
    assert_int_equal(rate_bucket_take(&bucket, 200, 0), 0);
    assert_int_equal(rate_bucket_take(&bucket, 100, 0), 0); /* 50 of the burst, 50 of the rest */
    assert_int_equal(rate_bucket_take(&bucket, 50, 0), 0);
    assert_int_equal(rate_bucket_take(&bucket, 100, 0), 100 * MS);
    assert_int_equal(rate_bucket_take(&bucket, 100, 1000 * MS), 0);
    assert_int_equal(rate_bucket_take(&bucket, 1, 1000 * MS), MS);
}

/* It passes, and what it took too much is waited for before anything else. */
static void a_request_larger_than_the_bucket_passes(void **state)
{
    (void)state;
    struct rate_bucket bucket = filled(100, 0, 100);
    assert_int_equal(rate_bucket_take(&bucket, 50, 0), 0);
    assert_int_equal(rate_bucket_take(&bucket, 300, 0), 50 * MS); /* not before it is full */
    assert_int_equal(rate_bucket_take(&bucket, 300, 50 * MS), 0);
    assert_int_equal(rate_bucket_take(&bucket, 1, 50 * MS), 200 * MS);
    assert_int_equal(rate_bucket_take(&bucket, 1, 249 * MS), MS);
    assert_int_equal(rate_bucket_take(&bucket, 100, 350 * MS), 0);
}

static void extremes_do_not_overflow(void **state)
{
    (void)state;
    struct rate_bucket bucket = filled(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    assert_int_equal(rate_bucket_take(&bucket, UINT64_MAX, 0), 0);
    assert_int_equal(rate_bucket_take(&bucket, UINT64_MAX, UINT64_MAX), 0);
    assert_true(rate_bucket_take(&bucket, UINT64_MAX, UINT64_MAX) > 0);
    bucket = filled(1, 0, UINT64_MAX);
    assert_int_equal(rate_bucket_take(&bucket, UINT64_MAX, 0), 0);
    assert_true(rate_bucket_take(&bucket, 1, 1) > MS);
    bucket = filled(0, 5, 100); /* no limit */
    assert_int_equal(rate_bucket_take(&bucket, UINT64_MAX, 0), 0);
    bucket = filled(5, 5, 0);
    assert_int_equal(rate_bucket_take(&bucket, UINT64_MAX, 0), 0);
    rate_bucket_give_back(&bucket, UINT64_MAX);
    assert_int_equal(bucket.budget, 5);
}

struct fixture {
    struct loop loop;
    struct rate_limiter limiter;
    unsigned calls;
};

static void go_on(struct rate_limiter *limiter)
{
    struct fixture *fixture = loop_owner(limiter, struct fixture, limiter);
    fixture->calls++;
    fixture->loop.done = true;
}

static int open_fixture(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    *state = &fixture;
    return loop_open(&fixture.loop, NULL);
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    rate_limiter_close(&fixture->limiter);
    loop_close(&fixture->loop);
    return 0;
}

static void the_timer_calls_back(void **state)
{
    struct fixture *fixture = *state;
    const struct rate_limiter_settings settings = {.bandwidth = {1000, 0, 20},
                                                   .operations = {100, 0, 1000}};
    rate_limiter_open(&fixture->limiter, &fixture->loop, &settings, go_on);
    assert_true(rate_limiter_take(&fixture->limiter, 1000));
    uint64_t operations = fixture->limiter.operations.budget;
    int64_t before = loop_now();
    assert_false(rate_limiter_take(&fixture->limiter, 1000));
    assert_int_equal(fixture->limiter.operations.budget, operations); /* both or none */
    assert_true(rate_limiter_is_waiting(&fixture->limiter));
    assert_false(rate_limiter_take(&fixture->limiter, 0));
    loop_run(&fixture->loop);
    assert_int_equal(fixture->calls, 1);
    assert_true(loop_now() - before >= 19);
    assert_true(rate_limiter_take(&fixture->limiter, 1000));
    assert_int_equal(fixture->limiter.throttled, 2);
}

static void an_update_wakes_who_waits(void **state)
{
    struct fixture *fixture = *state;
    const struct rate_limiter_settings settings = {.operations = {1, 0, 3600000}};
    rate_limiter_open(&fixture->limiter, &fixture->loop, &settings, go_on);
    assert_true(rate_limiter_take(&fixture->limiter, 1));
    assert_false(rate_limiter_take(&fixture->limiter, 1));
    rate_limiter_update(&fixture->limiter, NULL, &(struct rate_bucket_settings){0});
    loop_run(&fixture->loop); /* would take an hour */
    assert_int_equal(fixture->calls, 1);
    assert_true(rate_limiter_take(&fixture->limiter, 1));
}

static void without_limits_all_passes(void **state)
{
    struct fixture *fixture = *state;
    rate_limiter_open(&fixture->limiter, &fixture->loop, NULL, go_on);
    for (unsigned i = 0; i < 100; i++)
        assert_true(rate_limiter_take(&fixture->limiter, UINT64_MAX));
}

#define with_loop(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_empties_and_fills),
        cmocka_unit_test(parts_of_tokens_are_not_lost),
        cmocka_unit_test(a_burst_is_spent_once),
        cmocka_unit_test(a_request_larger_than_the_bucket_passes),
        cmocka_unit_test(extremes_do_not_overflow),
        with_loop(the_timer_calls_back),
        with_loop(an_update_wakes_who_waits),
        with_loop(without_limits_all_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
