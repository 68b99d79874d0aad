/* vm/device/virtio_mem: blocks come and go as they are asked for, and no guest gets more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "vm/device/virtio_mem.h"
#include "vm/log.h"
#include "vm_driver.h"

#define MIB (1ull << 20)
#define ADDRESS (1ull << 32)
#define TOTAL (512 * MIB)
#define BLOCK (2 * MIB)
#define SLOT (128 * MIB)

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { PLUGGED, UNPLUGGED, MIXED };

static struct driver driver;
static unsigned exposed; /* a bit for each slot */
static bool expose_fails;

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

static int expose(void *context, uint64_t address, uint64_t size, bool on, struct error *err)
{
    unsigned bit = 1u << (address - ADDRESS) / SLOT;
    assert_ptr_equal(context, &exposed);
    assert_int_equal(size, SLOT);
    assert_int_equal((address - ADDRESS) % SLOT, 0);
    assert_true(on == !(exposed & bit)); /* each change once */
    if (on && expose_fails)
        return error_set(err, 0, "no slots are left");
    exposed ^= bit;
    return 0;
}

static const struct virtio_mem_options good = {.address = ADDRESS,
                                               .total_size = TOTAL,
                                               .block_size = BLOCK,
                                               .slot_size = SLOT,
                                               .expose = expose,
                                               .context = &exposed};

static int open_device(void **state)
{
    (void)state;
    struct error err = {0};
    exposed = 0;
    expose_fails = false;
    driver_open(&driver, virtio_mem_create("mem", &good, &err), 0); /* there is no memory yet … */
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(guest_memory_add(&driver.memory, ADDRESS, TOTAL, false, false, &err), 0);
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, ~0ull); /* … but now */
    assert_false(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    driver.config_interrupts = 0;
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    return 0;
}

static uint64_t config_word(unsigned offset)
{
    uint64_t value;
    virtio_device_read_config(driver.device, offset, &value, sizeof value);
    return value;
}
#define usable_size() config_word(32)
#define plugged_size() config_word(40)

static uint16_t state; /* of the last answer */

static uint16_t ask(uint16_t type, uint64_t address, uint16_t blocks)
{
    uint32_t head, written;
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 24, false},
                                        {DRIVER_BUFFERS + 64, 10, true}};
    uint8_t *request = driver_at(&driver, DRIVER_BUFFERS);
    uint16_t answer;
    memset(request, 0, 24);
    memcpy(request, &type, 2);
    memcpy(request + 8, &address, 8);
    memcpy(request + 16, &blocks, 2);
    driver_add(&driver, 0, 0, parts, 2);
    driver_notify(&driver, 0);
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(written, 10);
    memcpy(&answer, driver_at(&driver, DRIVER_BUFFERS + 64), 2);
    memcpy(&state, driver_at(&driver, DRIVER_BUFFERS + 72), 2);
    return answer;
}

static void request_size(uint64_t size)
{
    struct error err = {0};
    assert_int_equal(virtio_mem_request(driver.device, size, &err), 0);
}

static void nothing_is_plugged_unasked(void **unused)
{
    (void)unused;
    assert_int_equal(ask(PLUG, ADDRESS, 1), NACK);
    assert_int_equal(exposed, 0);
    request_size(4 * MIB);
    assert_int_equal(driver.config_interrupts, 1);
    assert_int_equal(config_word(48), 4 * MIB);
    assert_int_equal(ask(PLUG, ADDRESS, 3), NACK);
    assert_int_equal(ask(PLUG, ADDRESS, 2), ACK);
    assert_int_equal(ask(PLUG, ADDRESS + 2 * BLOCK, 1), NACK);
    assert_int_equal(plugged_size(), 4 * MIB);
}

static void blocks_come_and_go(void **unused)
{
    (void)unused;
    struct virtio_mem_status status;
    request_size(TOTAL);
    assert_int_equal(usable_size(), TOTAL);
    assert_int_equal(ask(PLUG, ADDRESS, 2), ACK);
    assert_int_equal(ask(PLUG, ADDRESS + SLOT - BLOCK, 2), ACK); /* in two slots */
    assert_int_equal(exposed, 3);
    assert_int_equal(ask(STATE, ADDRESS, 2), ACK);
    assert_int_equal(state, PLUGGED);
    assert_int_equal(ask(STATE, ADDRESS, 3), ACK);
    assert_int_equal(state, MIXED);
    assert_int_equal(ask(STATE, ADDRESS + 2 * BLOCK, 1), ACK);
    assert_int_equal(state, UNPLUGGED);
    uint8_t *bytes = driver_at(&driver, ADDRESS + BLOCK);
    bytes[0] = bytes[BLOCK - 1] = 0xaa;
    bytes[-1] = 0xbb;
    assert_int_equal(ask(UNPLUG, ADDRESS + BLOCK, 1), ACK);
    assert_int_equal(bytes[0], 0); /* its pages are gone */
    assert_int_equal(bytes[BLOCK - 1], 0);
    assert_int_equal(bytes[-1], 0xbb);
    assert_int_equal(ask(UNPLUG, ADDRESS + SLOT, 1), ACK);
    assert_int_equal(exposed, 1); /* nothing of the second slot is left */
    virtio_mem_status(driver.device, &status);
    assert_int_equal(status.plugged_size, 2 * BLOCK);
    assert_int_equal(status.requested_size, TOTAL);
    assert_int_equal(status.total_size, TOTAL);
    assert_int_equal(ask(UNPLUG_ALL, 0, 0), ACK);
    assert_int_equal(exposed, 0);
    assert_int_equal(plugged_size(), 0);
}

static void the_usable_part_follows_what_is_asked_for(void **unused)
{
    (void)unused;
    assert_int_equal(usable_size(), 256 * MIB);
    assert_int_equal(ask(STATE, ADDRESS + 256 * MIB, 1), ERROR);
    request_size(128 * MIB);
    assert_int_equal(usable_size(), 384 * MIB);
    request_size(0);
    assert_int_equal(usable_size(), 384 * MIB); /* it doesn't shrink by itself */
    assert_int_equal(ask(UNPLUG_ALL, 0, 0), ACK);
    assert_int_equal(usable_size(), 256 * MIB);
}

static void odd_requests_are_errors(void **unused)
{
    (void)unused;
    request_size(TOTAL);
    assert_int_equal(ask(PLUG, ADDRESS, 1), ACK);
    assert_int_equal(ask(PLUG, ADDRESS, 1), ERROR);
    assert_int_equal(ask(PLUG, ADDRESS + BLOCK, 0), ERROR);
    assert_int_equal(ask(PLUG, ADDRESS + 4096, 1), ERROR);
    assert_int_equal(ask(PLUG, ADDRESS - BLOCK, 1), ERROR);
    assert_int_equal(ask(PLUG, ADDRESS + TOTAL, 1), ERROR);
    assert_int_equal(ask(PLUG, ADDRESS + TOTAL - BLOCK, 2), ERROR);
    assert_int_equal(ask(PLUG, UINT64_MAX - BLOCK + 1, 2), ERROR);
    assert_int_equal(ask(PLUG, ADDRESS + BLOCK, 65535), ERROR);
    assert_int_equal(ask(UNPLUG, ADDRESS, 2), ERROR);
    assert_int_equal(ask(UNPLUG, ADDRESS + BLOCK, 1), ERROR);
    assert_int_equal(ask(99, ADDRESS, 1), ERROR);
    assert_int_equal(plugged_size(), BLOCK);
}

static void a_slot_that_cannot_be_exposed_is_tried_again(void **unused)
{
    (void)unused;
    request_size(TOTAL);
    expose_fails = true;
    assert_int_equal(ask(PLUG, ADDRESS, 1), BUSY);
    expose_fails = false;
    assert_int_equal(ask(PLUG, ADDRESS, 1), ACK);
    expose_fails = true;
    assert_int_equal(ask(PLUG, ADDRESS + SLOT - 2 * BLOCK, 4), BUSY); /* half of it would do */
    assert_int_equal(plugged_size(), BLOCK);
    assert_int_equal(exposed, 1);
}

/* A reset of the device leaves the memory where it is (the guest may run in it). */
static void a_reset_keeps_what_is_plugged(void **unused)
{
    (void)unused;
    request_size(TOTAL);
    assert_int_equal(ask(PLUG, ADDRESS, 3), ACK);
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, ~0ull);
    assert_int_equal(plugged_size(), 3 * BLOCK);
    assert_int_equal(ask(UNPLUG_ALL, 0, 0), ACK);
    assert_int_equal(plugged_size(), 0);
}

static void a_request_that_is_none_breaks_the_device(void **unused)
{
    (void)unused;
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 24, false},
                                        {DRIVER_BUFFERS + 64, 9, true}};
    driver_add(&driver, 0, 0, parts, 2);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void an_old_driver_is_refused(void **unused)
{
    (void)unused;
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void sizes_must_go_together(void **unused)
{
    (void)unused;
    struct error err = {0};
    struct virtio_mem_options options = good;
    options.block_size = MIB;
    assert_null(virtio_mem_create("mem", &options, &err));
    options.block_size = 3 * MIB;
    assert_null(virtio_mem_create("mem", &options, &err));
    options = good;
    options.slot_size = 129 * MIB;
    assert_null(virtio_mem_create("mem", &options, &err));
    options = good;
    options.total_size = TOTAL + BLOCK;
    assert_null(virtio_mem_create("mem", &options, &err));
    options.total_size = 0;
    assert_null(virtio_mem_create("mem", &options, &err));
    options = good;
    options.address = UINT64_MAX - BLOCK + 1;
    assert_null(virtio_mem_create("mem", &options, &err));
    assert_int_equal(virtio_mem_request(driver.device, TOTAL + BLOCK, &err), -1);
    assert_int_equal(virtio_mem_request(driver.device, MIB, &err), -1);
}

#define with_device(test) cmocka_unit_test_setup_teardown(test, open_device, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_device(nothing_is_plugged_unasked),
        with_device(blocks_come_and_go),
        with_device(the_usable_part_follows_what_is_asked_for),
        with_device(odd_requests_are_errors),
        with_device(a_slot_that_cannot_be_exposed_is_tried_again),
        with_device(a_reset_keeps_what_is_plugged),
        with_device(a_request_that_is_none_breaks_the_device),
        with_device(an_old_driver_is_refused),
        with_device(sizes_must_go_together),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
