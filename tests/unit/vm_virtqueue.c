/* vm/device/virtqueue and virtio_device, by the entropy device: requests as drivers make them, and
 * as attackers do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm/device/virtio_entropy.h"
#include "vm/log.h"
#include "vm_driver.h"

static struct driver driver;

static int open_device(void **state)
{
    (void)state;
    driver_open(&driver, virtio_entropy_create("rng", NULL, &driver.loop), 0);
    return 0;
}

static int open_with_all_features(void **state)
{
    (void)state;
    driver_open(&driver, virtio_entropy_create("rng", NULL, &driver.loop), ~0ull);
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    return 0;
}

static const struct driver_part good = {DRIVER_BUFFERS, 64, true};

/* The third request waits for a token, which won't come soon. */
static void random_numbers_are_limited(void **state)
{
    const struct rate_limiter_settings rate = {.operations = {.size = 2, .refill_time = 600000}};
    (void)state;
    driver_open(&driver, virtio_entropy_create("rng", &rate, &driver.loop), 0);
    uint32_t head, written;
    for (uint16_t i = 0; i < 3; i++)
        driver_add(&driver, 0, i, &good, 1);
    driver_notify(&driver, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(driver_take(&driver, 0, &head, &written));
        assert_int_equal(written, 64);
    }
    assert_false(driver_take(&driver, 0, &head, &written));
    driver_notify(&driver, 0);
    assert_false(driver_take(&driver, 0, &head, &written));
    struct virtio_entropy_counters counters = virtio_entropy_counters(driver.device);
    assert_int_equal(counters.requests, 2);
    assert_int_equal(counters.bytes, 128);
    assert_int_equal(counters.throttled, 1);
    driver_close(&driver);
}

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

/* The device answered with so many bytes. */
static void assert_answer(uint32_t wanted_head, uint32_t wanted_written)
{
    uint32_t head, written;
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(head, wanted_head);
    assert_int_equal(written, wanted_written);
}

static void requests_are_answered(void **state)
{
    (void)state;
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 16, true},
                                        {DRIVER_BUFFERS + 4096, 100, true}};
    static const uint8_t zeros[100];
    for (unsigned i = 0; i < 3 * DRIVER_QUEUE_SIZE; i++) { /* around the ring */
        driver_add(&driver, 0, 3, parts, 2);
        driver_notify(&driver, 0);
        assert_answer(3, 116);
    }
    assert_memory_not_equal(driver_at(&driver, DRIVER_BUFFERS), zeros, 16);
    assert_memory_not_equal(driver_at(&driver, DRIVER_BUFFERS + 4096), zeros, 100);
    assert_int_equal(driver.queue_interrupts[0], 3 * DRIVER_QUEUE_SIZE);
}

static void an_indirect_table_works(void **state)
{
    (void)state;
    uint64_t address = DRIVER_BUFFERS + 8192;
    uint32_t length = 64;
    uint16_t flags = 2;
    uint8_t *table = driver_at(&driver, DRIVER_BUFFERS);
    memcpy(table, &address, 8);
    memcpy(table + 8, &length, 4);
    memcpy(table + 12, &flags, 2);
    driver_add(&driver, 0, 0, &(struct driver_part){DRIVER_BUFFERS, 16, false}, 1);
    *(uint16_t *)driver_at(&driver, 0x1000 + 12) = 4;
    driver_notify(&driver, 0);
    assert_answer(0, 64);
}

/* With VIRTIO_F_EVENT_IDX there is an interrupt when the driver's event is reached, and none else.
 */
static void an_event_index_holds_interrupts_back(void **state)
{
    (void)state;
    uint16_t *available = driver_at(&driver, 0x1000 + 16 * DRIVER_QUEUE_SIZE);
    driver_add(&driver, 0, 0, &good, 1);
    driver_notify(&driver, 0);
    assert_int_equal(driver.queue_interrupts[0], 1);
    available[2 + DRIVER_QUEUE_SIZE] = 3; /* after the fourth */
    for (unsigned i = 1; i < 5; i++) {
        driver_add(&driver, 0, 0, &good, 1);
        driver_notify(&driver, 0);
        assert_int_equal(driver.queue_interrupts[0], i < 3 ? 1 : 2);
    }
}

/* And the driver notifies only when the device's event is reached: that of the next request. */
static void the_device_asks_for_the_next_notification(void **state)
{
    (void)state;
    const uint16_t *event = driver_at(&driver, 0x1000 + 0x800 + 4 + 8 * DRIVER_QUEUE_SIZE);
    for (unsigned i = 1; i < 5; i++) {
        driver_add(&driver, 0, 0, &good, 1);
        driver_notify(&driver, 0);
        assert_int_equal(*event, i);
    }
}

static void the_driver_can_forbid_interrupts(void **state)
{
    (void)state;
    uint16_t *available = driver_at(&driver, 0x1000 + 16 * DRIVER_QUEUE_SIZE);
    available[0] = 1;
    driver_add(&driver, 0, 0, &good, 1);
    driver_notify(&driver, 0);
    assert_answer(0, 64);
    assert_int_equal(driver.queue_interrupts[0], 0);
}

/* After such a request the device says that it needs a reset, and does nothing more. */
static void assert_breaks(const struct driver_part *parts, unsigned count)
{
    uint32_t head, written;
    driver_add(&driver, 0, 0, parts, count);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(driver.config_interrupts, 1);
    driver_add(&driver, 0, 0, &good, 1);
    driver_notify(&driver, 0);
    assert_false(driver_take(&driver, 0, &head, &written));
}

static void a_part_outside_memory_breaks(void **state)
{
    (void)state;
    assert_breaks(&(struct driver_part){DRIVER_MEMORY_SIZE - 8, 64, true}, 1);
}

static void a_part_that_wraps_around_breaks(void **state)
{
    (void)state;
    assert_breaks(&(struct driver_part){UINT64_MAX - 8, 64, true}, 1);
}

static void a_readable_part_behind_a_writable_one_breaks(void **state)
{
    (void)state;
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 16, true}, {DRIVER_BUFFERS, 16, false}};
    assert_breaks(parts, 2);
}

static void a_loop_breaks(void **state)
{
    (void)state;
    uint16_t first = 0;
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 16, true}, {DRIVER_BUFFERS, 16, true}};
    driver_add(&driver, 0, 0, parts, 2);
    *(uint16_t *)driver_at(&driver, 0x1000 + 16 + 12) = 3; /* goes on at the first */
    memcpy(driver_at(&driver, 0x1000 + 16 + 14), &first, 2);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void a_link_out_of_the_table_breaks(void **state)
{
    (void)state;
    uint16_t far = DRIVER_QUEUE_SIZE;
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 16, true}, {DRIVER_BUFFERS, 16, true}};
    driver_add(&driver, 0, 0, parts, 2);
    memcpy(driver_at(&driver, 0x1000 + 14), &far, 2);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void a_table_in_a_table_breaks(void **state)
{
    (void)state;
    uint64_t address = DRIVER_BUFFERS;
    uint32_t length = 16;
    uint16_t flags = 4;
    uint8_t *table = driver_at(&driver, DRIVER_BUFFERS);
    memcpy(table, &address, 8);
    memcpy(table + 8, &length, 4);
    memcpy(table + 12, &flags, 2);
    driver_add(&driver, 0, 0, &(struct driver_part){DRIVER_BUFFERS, 16, false}, 1);
    *(uint16_t *)driver_at(&driver, 0x1000 + 12) = 4;
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void more_requests_than_the_queue_holds_break(void **state)
{
    (void)state;
    driver.added[0] = DRIVER_QUEUE_SIZE;
    assert_breaks(&good, 1);
}

static void a_reset_mends_it(void **state)
{
    (void)state;
    a_part_outside_memory_breaks(NULL);
    virtio_device_set_status(driver.device, 0);
    assert_false(driver.device->active);
    assert_int_equal(driver.device->status, 0);
    assert_int_equal(driver.device->queues[0].next_available, 0);
    driver_start(&driver, 0);
    driver.queue_interrupts[0] = 0;
    requests_are_answered(NULL);
}

static void queues_out_of_memory_are_refused(void **state)
{
    (void)state;
    struct virtqueue *queue = &driver.device->queues[0];
    const uint64_t good_table = queue->table;
    queue->size = 3;
    assert_false(virtqueue_start(queue));
    queue->size = 512;
    assert_false(virtqueue_start(queue));
    queue->size = 16;
    queue->table = DRIVER_MEMORY_SIZE - 16;
    assert_false(virtqueue_start(queue));
    queue->table = good_table + 8;
    assert_false(virtqueue_start(queue));
    queue->table = good_table;
    queue->used = UINT64_MAX - 3;
    assert_false(virtqueue_start(queue));
    queue->used = DRIVER_BUFFERS; /* the used ring where the guest itself may not write */
    driver.memory.regions[0].read_only = true;
    assert_false(virtqueue_start(queue));
    driver.memory.regions[0].read_only = false;
    assert_true(virtqueue_start(queue));
}

static void features_that_are_not_offered_are_refused(void **state)
{
    (void)state;
    struct virtio_device *device = driver.device;
    virtio_device_set_status(device, 0);
    device->driver_features = VIRTIO_F_VERSION_1 | 1ull << 50;
    virtio_device_set_status(device, VIRTIO_STATUS_FEATURES_OK);
    assert_false(device->status & VIRTIO_STATUS_FEATURES_OK);
    device->driver_features = 0; /* a driver of before version 1 */
    virtio_device_set_status(device, VIRTIO_STATUS_FEATURES_OK);
    assert_false(device->status & VIRTIO_STATUS_FEATURES_OK);
    virtio_device_set_status(device, VIRTIO_STATUS_DRIVER_OK);
    assert_false(device->active);
}

#define with_device(test) cmocka_unit_test_setup_teardown(test, open_device, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_numbers_are_limited),
        with_device(requests_are_answered),
        with_device(an_indirect_table_works),
        cmocka_unit_test_setup_teardown(an_event_index_holds_interrupts_back,
                                        open_with_all_features, close_device),
        cmocka_unit_test_setup_teardown(the_device_asks_for_the_next_notification,
                                        open_with_all_features, close_device),
        with_device(the_driver_can_forbid_interrupts),
        with_device(a_part_outside_memory_breaks),
        with_device(a_part_that_wraps_around_breaks),
        with_device(a_readable_part_behind_a_writable_one_breaks),
        with_device(a_loop_breaks),
        with_device(a_link_out_of_the_table_breaks),
        with_device(a_table_in_a_table_breaks),
        with_device(more_requests_than_the_queue_holds_break),
        with_device(a_reset_mends_it),
        with_device(queues_out_of_memory_are_refused),
        with_device(features_that_are_not_offered_are_refused),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
