/* vm/device/virtio_block over a disk of the test, which notes what it is asked for and answers when
 * and as the test wants. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/log.h"
#include "vm_block_driver.h"

#define WAITING_MAX 32

struct scripted {
    struct disk disk;
    struct disk_request *waiting[WAITING_MAX];
    unsigned count;
    bool at_once; /* answers within submit() */
    int error;
    char log[256]; /* a letter for each request */
    unsigned drained;
    bool closed;
};

static struct driver driver;
static struct scripted scripted;

static void scripted_submit(struct disk *disk, struct disk_request *request)
{
    (void)disk;
    scripted.log[strlen(scripted.log)] = "RWFDZ"[request->operation];
    if (scripted.at_once) {
        request->error = scripted.error;
        request->done(request);
        return;
    }
    assert_in_range(scripted.count, 0, WAITING_MAX - 1);
    scripted.waiting[scripted.count++] = request;
}

/* Answers the one that came as the index-th of those that wait. */
static void answer(unsigned index)
{
    struct disk_request *request = scripted.waiting[index];
    memmove(scripted.waiting + index, scripted.waiting + index + 1,
            (--scripted.count - index) * sizeof *scripted.waiting);
    request->error = scripted.error;
    request->done(request);
    scripted.disk.batch_done(&scripted.disk);
}

static void scripted_drain(struct disk *disk)
{
    (void)disk;
    scripted.drained++;
    while (scripted.count > 0)
        answer(0);
}

static void scripted_close(struct disk *disk)
{
    (void)disk;
    scripted.closed = true;
}

static const struct disk_operations operations = {.name = "scripted",
                                                  .submit = scripted_submit,
                                                  .drain = scripted_drain,
                                                  .close = scripted_close};

static void open_with(const struct virtio_block_settings *settings, uint64_t features)
{
    scripted = (struct scripted){.disk = {.operations = &operations,
                                          .size = 1 << 20,
                                          .can_discard = true,
                                          .block_size = 4096,
                                          .discard_size = 4096}};
    block_driver_begin(&driver);
    block_driver_open(&driver, virtio_block_create("disk", &scripted.disk, settings, &driver.loop),
                      features);
}

#define ALL_FEATURES (~(1ull << 29))
#define FLUSH (1ull << 9)

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    assert_true(scripted.closed);
    return 0;
}

static void start(unsigned slot, uint32_t type, uint32_t size)
{
    block_add(&driver, 0, slot, type, slot * 8, size);
    driver_notify(&driver, 0);
}

static void assert_answered(unsigned slot, uint8_t status)
{
    uint32_t written;
    assert_int_equal(block_wait(&driver, 0, &written), slot);
    assert_int_equal(*block_status(&driver, slot), status);
}

static void assert_nothing_answered(void)
{
    uint32_t head, written;
    assert_false(driver_take(&driver, 0, &head, &written));
}

static void requests_end_in_any_order(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES);
    start(0, BLOCK_IN, 512);
    start(1, BLOCK_FLUSH, 0);
    start(2, BLOCK_OUT, 512);
    assert_string_equal(scripted.log, "RFW");
    assert_int_equal(virtio_block_in_flight(driver.device), 3);
    answer(2);
    assert_answered(2, BLOCK_OK);
    answer(0);
    assert_answered(0, BLOCK_OK);
    assert_nothing_answered(); /* not the flush before the disk says so */
    assert_int_equal(*block_status(&driver, 1), BLOCK_NO_ANSWER);
    answer(0);
    assert_answered(1, BLOCK_OK);
    assert_int_equal(driver.queue_interrupts[0], 3);
}

/* The buffers are the guest's own memory. */
static void buffers_are_not_copied(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES);
    start(1, BLOCK_IN, 4096);
    assert_int_equal(scripted.waiting[0]->part_count, 1);
    assert_ptr_equal(scripted.waiting[0]->parts[0].iov_base, block_data(&driver, 1));
    assert_int_equal(scripted.waiting[0]->parts[0].iov_len, 4096);
    assert_int_equal(scripted.waiting[0]->offset, 8 * 512);
}

static void errors_are_told(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES);
    scripted.error = EIO;
    for (unsigned at_once = 0; at_once < 2; at_once++) {
        scripted.at_once = at_once;
        const uint32_t types[] = {BLOCK_IN, BLOCK_OUT, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_ZEROES};
        for (unsigned i = 0; i < 5; i++) {
            block_put_segment(block_data(&driver, 0), 0, 8, 0);
            start(0, types[i], i == 2 ? 0 : i < 2 ? 512 : 16);
            if (!at_once)
                answer(0);
            assert_answered(0, BLOCK_IOERR);
        }
    }
    assert_int_equal(virtio_block_counters(driver.device)->failed_count, 10);
    assert_int_equal(virtio_block_counters(driver.device)->write_count, 0);
    scripted.error = 0;
    start(0, BLOCK_IN, 512);
    assert_answered(0, BLOCK_OK);
}

/* Without a flush the driver takes an acknowledged write for written (5.2.6.2). */
static void without_flush_writes_go_through(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES & ~FLUSH & ~(1ull << 11));
    start(0, BLOCK_OUT, 512);
    answer(0);
    assert_nothing_answered();
    assert_string_equal(scripted.log, "WF");
    answer(0);
    assert_answered(0, BLOCK_OK);
    start(1, BLOCK_OUT, 512);
    answer(0);
    scripted.error = EIO;
    answer(0);
    assert_answered(1, BLOCK_IOERR);
}

static void the_driver_can_switch_the_cache_off(void **state)
{
    (void)state;
    uint8_t writeback = 0;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES);
    scripted.at_once = true;
    start(0, BLOCK_OUT, 512);
    assert_string_equal(scripted.log, "W");
    virtio_device_write_config(driver.device, 32, &writeback, 1);
    block_put_segment(block_data(&driver, 1), 0, 8, 0);
    start(1, BLOCK_ZEROES, 16);
    assert_string_equal(scripted.log, "WZF");
    virtio_device_set_status(driver.device, 0);
    virtio_device_read_config(driver.device, 32, &writeback, 1);
    assert_int_equal(writeback, 1);
}

static void an_unsafe_cache_never_flushes(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){.unsafe_cache = true}, ALL_FEATURES);
    assert_false(driver.device->features & FLUSH);
    scripted.at_once = true;
    start(0, BLOCK_OUT, 512);
    assert_answered(0, BLOCK_OK);
    start(0, BLOCK_FLUSH, 0);
    assert_answered(0, BLOCK_OK);
    assert_string_equal(scripted.log, "W");
}

static void segments_follow_each_other(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES);
    block_put_segment(block_data(&driver, 0), 8, 8, 0);
    block_put_segment(block_data(&driver, 0) + 16, 64, 16, 1);
    start(0, BLOCK_ZEROES, 32);
    assert_int_equal(scripted.count, 1);
    assert_int_equal(scripted.waiting[0]->offset, 8 * 512);
    assert_false(scripted.waiting[0]->unmap);
    /* What the guest changes now counts no more. */
    block_put_segment(block_data(&driver, 0) + 16, UINT64_MAX, 16, 7);
    answer(0);
    assert_int_equal(scripted.waiting[0]->offset, 64 * 512);
    assert_int_equal(scripted.waiting[0]->size, 16 * 512);
    assert_true(scripted.waiting[0]->unmap);
    assert_nothing_answered();
    answer(0);
    assert_answered(0, BLOCK_OK);
}

static void a_reset_waits_for_the_disk(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES);
    start(0, BLOCK_IN, 512);
    start(1, BLOCK_OUT, 512);
    virtio_device_set_status(driver.device, 0);
    assert_int_equal(scripted.drained, 1);
    assert_int_equal(virtio_block_in_flight(driver.device), 0);
    /* Nothing was written into the rings or buffers of a driver that is gone. */
    assert_int_equal(*block_status(&driver, 0), BLOCK_NO_ANSWER);
    assert_int_equal(driver.queue_interrupts[0], 0);
    driver_start(&driver, ALL_FEATURES);
    start(0, BLOCK_IN, 512);
    answer(0);
    assert_answered(0, BLOCK_OK);
}

/* The driver breaks the rules while requests are in flight: they end, and nobody is told. */
static void a_broken_device_answers_nothing(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, ALL_FEATURES);
    start(0, BLOCK_IN, 512);
    driver_add(&driver, 0, 6, &(struct driver_part){0, 16, false}, 1);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    answer(0);
    assert_nothing_answered();
    assert_int_equal(virtio_block_in_flight(driver.device), 0);
}

/* Turns the loop, with its timers, until so many requests came to the disk. */
static void run_until(size_t requests)
{
    int64_t deadline = loop_now() + 10000;
    while (strlen(scripted.log) < requests) {
        assert_true(loop_now() < deadline);
        struct loop_timer *timer = driver.loop.timers;
        assert_non_null(timer);
        if (timer->deadline <= loop_now()) {
            loop_timer_cancel(&driver.loop, timer);
            timer->expired(timer);
        }
        driver_turn(&driver, 1);
    }
}

static void limits_hold_requests_back(void **state)
{
    (void)state;
    open_with(
        &(struct virtio_block_settings){.rate = {.bandwidth = {.size = 1024, .refill_time = 50}}},
        ALL_FEATURES);
    scripted.at_once = true;
    int64_t before = loop_now();
    for (unsigned slot = 0; slot < 5; slot++)
        start(slot,
              slot == 4  ? BLOCK_FLUSH
              : slot % 2 ? BLOCK_IN
                         : BLOCK_OUT,
              slot == 4 ? 0 : 1024);
    assert_string_equal(scripted.log, "W");
    assert_int_not_equal(virtio_block_throttled(driver.device), 0);
    run_until(5);
    assert_string_equal(scripted.log, "WRWRF");
    assert_in_range(loop_now() - before, 149, 10000);
    for (unsigned slot = 0; slot < 5; slot++)
        assert_answered(slot, BLOCK_OK);
    assert_int_equal(virtio_block_counters(driver.device)->rate_events, 3);
}

static void new_limits_count_at_once(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){.rate = {.operations = {.size = 1,
                                                                      .refill_time = 3600000}}},
              ALL_FEATURES);
    scripted.at_once = true;
    start(0, BLOCK_IN, 512);
    start(1, BLOCK_IN, 512);
    assert_string_equal(scripted.log, "R");
    virtio_block_limit(driver.device, NULL, &(struct rate_bucket_settings){0});
    run_until(2);
    start(2, BLOCK_IN, 512);
    assert_string_equal(scripted.log, "RRR");
}

static void a_reset_forgets_who_was_held_back(void **state)
{
    (void)state;
    open_with(
        &(struct virtio_block_settings){.rate = {.operations = {.size = 1, .refill_time = 20}}},
        ALL_FEATURES);
    scripted.at_once = true;
    start(0, BLOCK_IN, 512);
    start(1, BLOCK_IN, 512);
    virtio_device_set_status(driver.device, 0);
    assert_null(driver.loop.timers);
    driver_start(&driver, ALL_FEATURES);
    start(0, BLOCK_OUT, 512);
    run_until(2);
    assert_string_equal(scripted.log, "RW");
}

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

#define closed(test) cmocka_unit_test_teardown(test, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        closed(requests_end_in_any_order),
        closed(buffers_are_not_copied),
        closed(errors_are_told),
        closed(without_flush_writes_go_through),
        closed(the_driver_can_switch_the_cache_off),
        closed(an_unsafe_cache_never_flushes),
        closed(segments_follow_each_other),
        closed(a_reset_waits_for_the_disk),
        closed(a_broken_device_answers_nothing),
        closed(limits_hold_requests_back),
        closed(new_limits_count_at_once),
        closed(a_reset_forgets_who_was_held_back),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
