/* vm/device/virtio_pmem: a file as guest memory, and its flushes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/device/virtio_pmem.h"
#include "vm/log.h"
#include "vm_block_driver.h"

#define ADDRESS (1ull << 32)
#define FILE_SIZE ((2u << 20) + 5000)

static struct driver driver;
static char path[64];

static struct virtio_device *create(bool read_only, uint64_t address, struct error *err)
{
    return virtio_pmem_create(
        "pmem0",
        &(struct virtio_pmem_settings){.path = path, .read_only = read_only, .address = address},
        &driver.memory, &driver.loop, err);
}

static void open_with(bool read_only)
{
    struct error err = {0};
    snprintf(path, sizeof path, "/tmp/hull-pmem-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
    assert_int_equal(pwrite(fd, "first", 5, 0), 5);
    close(fd);
    block_driver_begin(&driver);
    struct virtio_device *device = create(read_only, ADDRESS, &err);
    assert_non_null(device);
    block_driver_open(&driver, device, 0);
}

static int open_writable(void **state)
{
    (void)state;
    open_with(false);
    return 0;
}

static int open_read_only(void **state)
{
    (void)state;
    open_with(true);
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    unlink(path);
    return 0;
}

static const struct driver_part flush_parts[] = {{DRIVER_BUFFERS, 4, false},
                                                 {DRIVER_BUFFERS + 16, 4, true}};

static uint32_t flush(uint32_t type)
{
    uint32_t written, result = 0xeeeeeeee;
    memcpy(driver_at(&driver, DRIVER_BUFFERS), &type, 4);
    memcpy(driver_at(&driver, DRIVER_BUFFERS + 16), &result, 4);
    driver_add(&driver, 0, 0, flush_parts, 2);
    driver_notify(&driver, 0);
    block_wait(&driver, 0, &written);
    assert_int_equal(written, 4);
    memcpy(&result, driver_at(&driver, DRIVER_BUFFERS + 16), 4);
    return result;
}

static void the_file_is_memory(void **state)
{
    (void)state;
    uint64_t place[2], size;
    char bytes[6] = "";
    virtio_device_read_config(driver.device, 0, place, sizeof place);
    assert_true(place[0] == ADDRESS && place[1] == 4 << 20);
    assert_int_equal(virtio_pmem_measure(path, &size, NULL), 0);
    assert_int_equal(size, 4 << 20);
    assert_memory_equal(driver_at(&driver, ADDRESS), "first", 5);
    memcpy(driver_at(&driver, ADDRESS + FILE_SIZE - 5), "last!", 5);
    assert_int_equal(flush(0), 0);
    FILE *file = fopen(path, "r");
    assert_int_equal(fseek(file, FILE_SIZE - 5, SEEK_SET), 0);
    assert_int_equal(fread(bytes, 1, 5, file), 5);
    fclose(file);
    assert_string_equal(bytes, "last!");
    /* Behind the file's end there is memory all the same, and the file doesn't grow. */
    memset(driver_at(&driver, ADDRESS + (4 << 20) - 10), 1, 10);
    assert_null(guest_memory_at(&driver.memory, ADDRESS + (4 << 20), 1));
    assert_int_equal(flush(0), 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, FILE_SIZE);
    assert_int_equal(virtio_pmem_counters(driver.device)->flush_count, 2);
}

static void other_requests_fail(void **state)
{
    (void)state;
    assert_int_equal(flush(1), 1);
    assert_int_equal(flush(UINT32_MAX), 1);
    assert_int_equal(virtio_pmem_counters(driver.device)->invalid_count, 2);
    assert_int_equal(flush(0), 0);
    const struct driver_part malformed[] = {{DRIVER_BUFFERS, 3, false},
                                            {DRIVER_BUFFERS + 16, 4, true}};
    driver_add(&driver, 0, 0, malformed, 2);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    assert_int_equal(flush(0), 0);
}

/* The third flush waits for a token, which won't come soon. */
static void flushes_are_limited(void **state)
{
    struct error err = {0};
    uint32_t head, written;
    (void)state;
    snprintf(path, sizeof path, "/tmp/hull-pmem-XXXXXX");
    int fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
    close(fd);
    block_driver_begin(&driver);
    struct virtio_device *device = virtio_pmem_create(
        "pmem0",
        &(struct virtio_pmem_settings){.path = path,
                                       .address = ADDRESS,
                                       .rate = {.operations = {.size = 2, .refill_time = 600000}}},
        &driver.memory, &driver.loop, &err);
    block_driver_open(&driver, device, 0);
    assert_int_equal(flush(0), 0);
    assert_int_equal(flush(0), 0);
    driver_add(&driver, 0, 0, flush_parts, 2);
    driver_notify(&driver, 0);
    driver_turn(&driver, 50);
    assert_false(driver_take(&driver, 0, &head, &written));
    assert_int_equal(virtio_pmem_throttled(device), 1);
    close_device(NULL);
}

static void many_flushes_are_answered(void **state)
{
    (void)state;
    uint32_t written;
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 8; i++)
            driver_add(&driver, 0, (uint16_t)(2 * i), flush_parts, 2);
        driver_notify(&driver, 0);
        for (unsigned i = 0; i < 8; i++)
            block_wait(&driver, 0, &written);
    }
    assert_int_equal(virtio_pmem_counters(driver.device)->flush_count, 80);
    for (unsigned i = 0; i < 8; i++)
        driver_add(&driver, 0, (uint16_t)(2 * i), flush_parts, 2);
    virtio_device_notify(driver.device, 0);
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    assert_int_equal(flush(0), 0);
}

static void a_read_only_file_cannot_be_written(void **state)
{
    (void)state;
    uint64_t size = 1;
    assert_int_equal(flush(0), 0);
    assert_memory_equal(driver_at(&driver, ADDRESS), "first", 5);
    assert_null(guest_memory_at_most(&driver.memory, ADDRESS, &size, true));
    assert_false(guest_memory_write(&driver.memory, ADDRESS, "x", 1));
    /* Nor by a device that the guest lets write there. */
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 4, false}, {ADDRESS, 4, true}};
    driver_add(&driver, 0, 0, parts, 2);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(create(false, ADDRESS + (1 << 20), &err));
    assert_non_null(strstr(err.text, "2 MiB"));
    assert_null(create(false, ADDRESS + (2 << 20), &err)); /* overlaps the first one */
    assert_null(create(false, 0, &err));
    char kept[sizeof path];
    memcpy(kept, path, sizeof path);
    snprintf(path, sizeof path, "/tmp");
    assert_null(create(true, 2 * ADDRESS, &err));
    snprintf(path, sizeof path, "/nonexistent");
    assert_null(create(true, 2 * ADDRESS, &err));
    assert_non_null(strstr(err.text, "/nonexistent"));
    memcpy(path, kept, sizeof path);
    assert_int_equal(truncate(path, 0), 0);
    assert_null(create(true, 2 * ADDRESS, &err));
    assert_non_null(strstr(err.text, "empty"));
}

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

#define writable(test) cmocka_unit_test_setup_teardown(test, open_writable, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        writable(the_file_is_memory),
        writable(other_requests_fail),
        cmocka_unit_test(flushes_are_limited),
        writable(many_flushes_are_answered),
        cmocka_unit_test_setup_teardown(a_read_only_file_cannot_be_written, open_read_only,
                                        close_device),
        writable(bad_settings_are_refused),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
