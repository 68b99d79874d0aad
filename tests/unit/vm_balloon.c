/* vm/device/virtio_balloon and vm/memory/guest_discard: pages go, and none but those; statistics,
 * hints and reports as Linux's driver gives them and as an attacker does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vm/device/virtio_balloon.h"
#include "vm/log.h"
#include "vm/memory/guest_discard.h"
#include "vm_driver.h"

#define PAGE_POISON (1ull << 4)
enum { ACTUAL = 4, COMMAND = 8, POISON = 12 }; /* in the configuration */
#define PAGES (DRIVER_BUFFERS + 0x100000u)     /* what is given away lies here */

static struct driver driver;

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

static void fill(void)
{
    memset(driver_at(&driver, PAGES), 0xaa, 0x100000);
}

static void open_with(struct virtio_balloon_options options, uint64_t features)
{
    driver_open(&driver, virtio_balloon_create("balloon", &options), features);
    fill();
}

static int open_full(void **state)
{
    (void)state;
    open_with((struct virtio_balloon_options){.pages = 100,
                                              .deflate_on_oom = true,
                                              .statistics_interval = 1,
                                              .hinting = true,
                                              .reporting = true},
              ~PAGE_POISON);
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    return 0;
}

static void assert_pages(unsigned first, unsigned count, uint8_t value)
{
    const uint8_t *bytes = driver_at(&driver, PAGES + first * GUEST_PAGE_SIZE);
    for (unsigned i = 0; i < count * GUEST_PAGE_SIZE; i += 64)
        assert_int_equal(bytes[i], value);
}

static void assert_given_back(unsigned queue)
{
    uint32_t head, written;
    assert_true(driver_take(&driver, queue, &head, &written));
    assert_int_equal(written, 0);
}

static void give(unsigned queue, const void *bytes, uint32_t size)
{
    memcpy(driver_at(&driver, DRIVER_BUFFERS), bytes, size);
    driver_add(&driver, queue, 0, &(struct driver_part){DRIVER_BUFFERS, size, false}, 1);
    driver_notify(&driver, queue);
}

static uint32_t config_word(unsigned offset)
{
    uint32_t value;
    virtio_device_read_config(driver.device, offset, &value, sizeof value);
    return value;
}

static void inflating_takes_just_the_pages_named(void **state)
{
    (void)state;
    uint32_t base = PAGES / GUEST_PAGE_SIZE;
    const uint32_t pages[] = {base + 9, base + 8, base + 3, base + 3, base + 7};
    give(0, pages, sizeof pages);
    assert_given_back(0);
    assert_pages(0, 3, 0xaa);
    assert_pages(3, 1, 0);
    assert_pages(4, 3, 0xaa);
    assert_pages(7, 3, 0);
    assert_pages(10, 50, 0xaa);
    assert_int_equal(virtio_balloon_discarded(driver.device), 4 * GUEST_PAGE_SIZE);
    give(1, pages, sizeof pages); /* and they come back, to be written to */
    assert_given_back(1);
    fill();
    assert_pages(0, 20, 0xaa);
}

static void pages_that_are_no_memory_are_passed_over(void **state)
{
    (void)state;
    uint32_t base = PAGES / GUEST_PAGE_SIZE;
    const uint32_t pages[] = {UINT32_MAX, DRIVER_MEMORY_SIZE / GUEST_PAGE_SIZE, base, 0x80000000};
    give(0, pages, sizeof pages);
    assert_given_back(0);
    assert_pages(0, 1, 0);
    assert_pages(1, 1, 0xaa);
    assert_int_equal(driver.device->malformed, 3);
}

static void odd_lists_of_pages_break_the_device(void **state)
{
    (void)state;
    give(0, "abc", 3);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    driver_add(&driver, 0, 0, &(struct driver_part){0, 1 << 20, false}, 1);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void its_size_is_asked_for_and_told(void **state)
{
    (void)state;
    uint32_t actual = 77, other = 5;
    assert_int_equal(config_word(0), 100);
    virtio_balloon_set_pages(driver.device, 200);
    assert_int_equal(driver.config_interrupts, 1);
    assert_int_equal(config_word(0), 200);
    virtio_device_write_config(driver.device, ACTUAL, &actual, 4);
    virtio_device_write_config(driver.device, 0, &other, 4); /* not the driver's to say */
    virtio_device_write_config(driver.device, COMMAND, &other, 4);
    assert_int_equal(virtio_balloon_actual(driver.device), 77);
    assert_int_equal(virtio_balloon_pages(driver.device), 200);
    assert_int_equal(config_word(COMMAND), 0);
}

/* Tags and values, without gaps. */
static void give_statistics(unsigned queue, unsigned first_tag, unsigned count)
{
    uint8_t bytes[10 * 64];
    for (unsigned i = 0; i < count; i++) {
        uint16_t tag = (uint16_t)(first_tag + i);
        uint64_t value = 1000 + i;
        memcpy(bytes + 10 * i, &tag, 2);
        memcpy(bytes + 10 * i + 2, &value, 8);
    }
    give(queue, bytes, 10 * count);
}

static void statistics_are_asked_for_again(void **state)
{
    (void)state;
    uint32_t head, written;
    struct virtio_balloon_statistics statistics;
    struct error err = {0};
    give_statistics(2, 0, 12);
    assert_false(driver_take(&driver, 2, &head, &written)); /* kept */
    assert_int_equal(virtio_balloon_statistics(driver.device, &statistics, &err), 0);
    assert_int_equal(statistics.present, 0xfff);
    assert_int_equal(statistics.value[BALLOON_FREE_MEMORY], 1004);
    /* Time passes: the loop would run it. */
    struct loop_timer *timer = driver.loop.timers;
    assert_non_null(timer);
    loop_timer_cancel(&driver.loop, timer);
    timer->expired(timer);
    assert_true(timer->armed);
    assert_given_back(2);
    give_statistics(2, 10, 20); /* tags that nobody knows */
    assert_int_equal(virtio_balloon_statistics(driver.device, &statistics, &err), 0);
    assert_int_equal(statistics.present, 0xfc00);
    give_statistics(2, 0, 1); /* one more than Linux has */
    assert_given_back(2);
    assert_int_equal(virtio_balloon_set_interval(driver.device, 5, &err), 0);
    assert_int_equal(virtio_balloon_interval(driver.device), 5);
    assert_true(timer->deadline > loop_now() + 4000);
    assert_int_equal(virtio_balloon_set_interval(driver.device, 0, &err), -1);
    virtio_device_set_status(driver.device, 0);
    assert_null(driver.loop.timers);
}

/* Linux puts its first statistics into the queue before it is ready, and notifies then only. */
static void statistics_from_before_are_taken(void **state)
{
    (void)state;
    struct virtio_balloon_statistics statistics;
    struct error err = {0};
    driver.device->active = false;
    give_statistics(2, 0, 3);
    driver.device->active = true;
    assert_int_equal(virtio_balloon_statistics(driver.device, &statistics, &err), 0);
    assert_int_equal(statistics.present, 0);
    assert_int_equal(driver.device->operations->activate(driver.device, &err), 0);
    driver_turn(&driver, 0);
    assert_int_equal(virtio_balloon_statistics(driver.device, &statistics, &err), 0);
    assert_int_equal(statistics.present, 7);
}

static void add_free_pages(unsigned queue, unsigned first, unsigned count)
{
    const struct driver_part parts[] = {
        {PAGES + first * GUEST_PAGE_SIZE, count * GUEST_PAGE_SIZE, true}};
    driver_add(&driver, queue, 1, parts, 1);
    driver_notify(&driver, queue);
    assert_given_back(queue);
}

static void say_command(unsigned queue, uint32_t command)
{
    give(queue, &command, sizeof command);
    assert_given_back(queue);
}

static void hints_of_the_present_run_are_taken(void **state)
{
    (void)state;
    struct virtio_balloon_hinting status;
    struct error err = {0};
    say_command(3, 2); /* before anything was asked for */
    add_free_pages(3, 0, 4);
    assert_pages(0, 4, 0xaa);
    assert_int_equal(virtio_balloon_hinting_start(driver.device, true, &err), 0);
    uint32_t run = config_word(COMMAND);
    assert_true(run >= 2);
    assert_int_equal(driver.config_interrupts, 1);
    say_command(3, run);
    add_free_pages(3, 8, 4);
    assert_pages(8, 4, 0);
    assert_pages(12, 4, 0xaa);
    assert_int_equal(virtio_balloon_hinting_status(driver.device, &status, &err), 0);
    assert_int_equal(status.host_command, run);
    assert_int_equal(status.guest_command, run);
    say_command(3, 0);
    assert_int_equal(config_word(COMMAND), 1); /* done: acknowledged */
    add_free_pages(3, 12, 1);
    assert_pages(12, 1, 0xaa);
    /* A second run; hints of the first are too late. */
    assert_int_equal(virtio_balloon_hinting_start(driver.device, false, &err), 0);
    assert_int_equal(config_word(COMMAND), run + 1);
    say_command(3, run);
    add_free_pages(3, 12, 1);
    assert_pages(12, 1, 0xaa);
    say_command(3, run + 1);
    say_command(3, 0);
    assert_int_equal(config_word(COMMAND), run + 1); /* the guest keeps its pages … */
    assert_int_equal(virtio_balloon_hinting_stop(driver.device, &err), 0);
    assert_int_equal(config_word(COMMAND), 1); /* … until now */
}

static void reports_are_taken(void **state)
{
    (void)state;
    add_free_pages(4, 20, 8);
    assert_pages(19, 1, 0xaa);
    assert_pages(20, 8, 0);
    assert_pages(28, 1, 0xaa);
}

/* Of a range that starts and ends within pages whole ones go. */
static void only_whole_pages_go(void **state)
{
    (void)state;
    const struct driver_part part = {PAGES + 100, 3 * GUEST_PAGE_SIZE, true};
    driver_add(&driver, 4, 1, &part, 1);
    driver_notify(&driver, 4);
    assert_pages(0, 1, 0xaa);
    assert_pages(1, 2, 0);
    assert_pages(3, 1, 0xaa);
}

static void poisoned_pages_are_left(void **state)
{
    (void)state;
    uint32_t poison = 0xaaaaaaaa;
    struct error err = {0};
    open_with((struct virtio_balloon_options){.hinting = true, .reporting = true}, ~0ull);
    virtio_device_write_config(driver.device, POISON, &poison, 4);
    add_free_pages(3, 0, 4);
    assert_int_equal(virtio_balloon_hinting_start(driver.device, true, &err), 0);
    say_command(2, config_word(COMMAND));
    add_free_pages(2, 0, 4);
    assert_pages(0, 4, 0xaa);
    poison = 0;
    virtio_device_write_config(driver.device, POISON, &poison, 4);
    add_free_pages(3, 0, 4);
    assert_pages(0, 4, 0);
}

static void what_it_was_made_without_is_refused(void **state)
{
    (void)state;
    struct virtio_balloon_statistics statistics;
    struct virtio_balloon_hinting hinting;
    struct error err = {0};
    open_with((struct virtio_balloon_options){.reporting = true}, ~PAGE_POISON);
    assert_int_equal(driver.device->queue_count, 3);
    assert_int_equal(virtio_balloon_statistics(driver.device, &statistics, &err), -1);
    assert_int_equal(virtio_balloon_set_interval(driver.device, 1, &err), -1);
    assert_int_equal(virtio_balloon_hinting_start(driver.device, true, &err), -1);
    assert_int_equal(virtio_balloon_hinting_stop(driver.device, &err), -1);
    assert_int_equal(virtio_balloon_hinting_status(driver.device, &hinting, &err), -1);
    add_free_pages(2, 0, 2); /* reports took the place of what isn't there */
    assert_pages(0, 2, 0);
}

static void shared_memory_goes_for_all_who_map_it(void **state)
{
    (void)state;
    struct guest_memory memory = {0};
    struct error err = {0};
    assert_int_equal(guest_memory_add(&memory, 0, 1 << 20, true, false, &err), 0);
    struct guest_region file = memory.regions[0];
    uint8_t *theirs = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, file.fd, 0);
    assert_true(theirs != MAP_FAILED);
    memset(file.host, 0xaa, 1 << 20);
    assert_int_equal(guest_memory_discard(&memory, file.host + 4096, 8192, 4096), 8192);
    assert_int_equal(theirs[4095], 0xaa);
    assert_int_equal(theirs[4096], 0);
    assert_int_equal(theirs[12287], 0);
    assert_int_equal(theirs[12288], 0xaa);
    /* Huge pages: not a part of one. */
    assert_int_equal(guest_memory_discard(&memory, file.host, 1 << 20, 2 << 20), 0);
    /* What isn't the VM's own is never discarded: a file of a pmem device. */
    struct guest_memory other = {0};
    file.address = 0;
    assert_int_equal(guest_memory_add_host(&other, &file, &err), 0);
    assert_int_equal(guest_memory_discard(&other, file.host, 1 << 20, 4096), 0);
    assert_int_equal(theirs[0], 0xaa);
    assert_int_equal(guest_memory_discard(&memory, (void *)UINTPTR_MAX, 4096, 4096), 0);
    munmap(theirs, 1 << 20);
    guest_memory_release(&memory);
}

#define with_device(test) cmocka_unit_test_setup_teardown(test, open_full, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_device(inflating_takes_just_the_pages_named),
        with_device(pages_that_are_no_memory_are_passed_over),
        with_device(odd_lists_of_pages_break_the_device),
        with_device(its_size_is_asked_for_and_told),
        with_device(statistics_are_asked_for_again),
        with_device(statistics_from_before_are_taken),
        with_device(hints_of_the_present_run_are_taken),
        with_device(reports_are_taken),
        with_device(only_whole_pages_go),
        cmocka_unit_test_teardown(poisoned_pages_are_left, close_device),
        cmocka_unit_test_teardown(what_it_was_made_without_is_refused, close_device),
        cmocka_unit_test(shared_memory_goes_for_all_who_map_it),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
