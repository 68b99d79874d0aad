/* vm/device/virtio_block over files, by io_uring and by threads: what drivers ask for and attackers
 * do. tests/unit/vm_block_disk.c is about the device with a disk that fails or takes its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/device/disk_composite.h"
#include "vm/log.h"
#include "vm_block_driver.h"

#define DISK_SIZE (1u << 20)
#define DISK_SECTORS (DISK_SIZE / 512)

static struct driver driver;
static char path[64];
static bool threads;

static uint8_t pattern_at(uint64_t offset)
{
    return (uint8_t)(offset / 512 * 7 + offset);
}

static void assert_pattern(const uint8_t *bytes, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], pattern_at(offset + i));
}

static void make_file(size_t size)
{
    snprintf(path, sizeof path, "/tmp/hull-block-XXXXXX");
    int fd = mkstemp(path);
    uint8_t *bytes = malloc(size);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern_at(i);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    free(bytes);
}

static void read_file(uint64_t offset, void *bytes, size_t size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
}

static struct disk *open_file(bool read_only)
{
    struct error err = {0};
    struct disk *disk =
        disk_open_raw(path, &(struct disk_settings){.read_only = read_only, .threads = threads},
                      &driver.loop, &err);
    assert_non_null(disk);
    return disk;
}

static void open_with(const struct virtio_block_settings *settings, bool read_only,
                      uint64_t features)
{
    make_file(DISK_SIZE);
    block_driver_begin(&driver);
    block_driver_open(&driver,
                      virtio_block_create("root", open_file(read_only), settings, &driver.loop),
                      features);
}

static int open_writable(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){.serial = "serial-0123456789abcdef"}, false,
              ~(1ull << 29));
    return 0;
}

static int open_read_only(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){0}, true, ~(1ull << 29));
    return 0;
}

static int open_queues(void **state)
{
    (void)state;
    open_with(&(struct virtio_block_settings){.queues = 4}, false, ~0ull);
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    unlink(path);
    return 0;
}

static void reads_and_writes(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    assert_int_equal(block_do(&driver, BLOCK_IN, 8, 65536), BLOCK_OK);
    assert_pattern(block_data(&driver, 0), 8 * 512, 65536);
    memset(block_data(&driver, 0), 0xa5, sizeof bytes);
    assert_int_equal(block_do(&driver, BLOCK_OUT, 100, sizeof bytes), BLOCK_OK);
    read_file(100 * 512, bytes, sizeof bytes);
    assert_memory_equal(bytes, block_data(&driver, 0), sizeof bytes);
    read_file(99 * 512, bytes, 512);
    assert_pattern(bytes, 99 * 512, 512);
    memset(block_data(&driver, 0), 0, sizeof bytes);
    assert_int_equal(block_do(&driver, BLOCK_IN, 100, sizeof bytes), BLOCK_OK);
    assert_int_equal(block_data(&driver, 0)[4095], 0xa5);
    assert_int_equal(block_do(&driver, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    const struct virtio_block_counters *counters = virtio_block_counters(driver.device);
    assert_int_equal(counters->read_count, 2);
    assert_int_equal(counters->read_bytes, 65536 + 4096);
    assert_int_equal(counters->write_count, 1);
    assert_int_equal(counters->write_bytes, 4096);
    assert_int_equal(counters->flush_count, 1);
    assert_int_equal(counters->queue_events, 4);
    assert_int_equal(virtio_block_in_flight(driver.device), 0);
}

/* A device believes nothing about how a request is cut into parts (2.7.4). */
static void any_framing_works(void **state)
{
    (void)state;
    uint64_t base = DRIVER_BUFFERS + 0x8000;
    uint32_t head, written;
    uint8_t *header = driver_at(&driver, base);
    memset(header, 0, 2048);
    header[8] = 5; /* sector */
    const struct driver_part parts[] = {{base, 3, false},
                                        {base + 3, 13, false},
                                        {base + 0x1001, 100, true},
                                        {base + 0x2000, 413, true}}; /* with the status */
    driver_add(&driver, 0, 0, parts, 4);
    driver_notify(&driver, 0);
    block_wait(&driver, 0, &written);
    assert_int_equal(written, 513);
    assert_pattern(driver_at(&driver, base + 0x1001), 5 * 512, 100);
    assert_pattern(driver_at(&driver, base + 0x2000), 5 * 512 + 100, 412);
    assert_int_equal(((uint8_t *)driver_at(&driver, base + 0x2000))[412], BLOCK_OK);
    assert_false(driver_take(&driver, 0, &head, &written));
}

static void the_id_is_told(void **state)
{
    (void)state;
    memset(block_data(&driver, 0), 'x', 32);
    assert_int_equal(block_do(&driver, BLOCK_GET_ID, 0, 32), BLOCK_OK);
    assert_memory_equal(block_data(&driver, 0), "serial-0123456789abcxxxxxxxxxxxx", 32);
    assert_int_equal(block_do(&driver, BLOCK_GET_ID, 0, 6), BLOCK_OK);
}

static void requests_out_of_range_fail(void **state)
{
    (void)state;
    assert_int_equal(block_do(&driver, BLOCK_IN, DISK_SECTORS - 1, 512), BLOCK_OK);
    assert_int_equal(block_do(&driver, BLOCK_IN, DISK_SECTORS - 1, 1024), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_OUT, DISK_SECTORS, 512), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_IN, UINT64_MAX, 512), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_IN, UINT64_MAX / 512 + 1, 512), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_IN, 0, 511), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, 77, 0, 512), BLOCK_UNSUPPORTED);
    assert_int_equal(virtio_block_counters(driver.device)->failed_count, 5);
    assert_int_equal(virtio_block_counters(driver.device)->invalid_count, 1);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, DISK_SIZE);
}

static void a_read_only_disk_stays_as_it_is(void **state)
{
    (void)state;
    assert_true(driver.device->features & (1ull << 5));
    assert_false(driver.device->features & (1ull << 13));
    assert_int_equal(block_do(&driver, BLOCK_OUT, 0, 512), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_DISCARD, 0, 16), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_ZEROES, 0, 16), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    assert_int_equal(block_do(&driver, BLOCK_IN, 0, 512), BLOCK_OK);
    assert_pattern(block_data(&driver, 0), 0, 512);
}

static void zeroes_and_discards(void **state)
{
    (void)state;
    static const uint8_t zeros[65536];
    uint8_t *segments = block_data(&driver, 0), bytes[65536];
    struct stat before, after;
    block_put_segment(segments, 8, 8, 0);
    block_put_segment(segments + 16, 32, 16, 1);
    assert_int_equal(block_do(&driver, BLOCK_ZEROES, 0, 32), BLOCK_OK);
    read_file(8 * 512, bytes, 8 * 512);
    assert_memory_equal(bytes, zeros, 8 * 512);
    read_file(32 * 512, bytes, 16 * 512);
    assert_memory_equal(bytes, zeros, 16 * 512);
    read_file(16 * 512, bytes, 16 * 512);
    assert_pattern(bytes, 16 * 512, 16 * 512);
    assert_int_equal(stat(path, &before), 0);
    block_put_segment(segments, 1024, 512, 0);
    assert_int_equal(block_do(&driver, BLOCK_DISCARD, 0, 16), BLOCK_OK);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_blocks - after.st_blocks, 512);
    assert_int_equal(after.st_size, DISK_SIZE);
}

static void bad_segments_are_refused(void **state)
{
    (void)state;
    uint8_t *segments = block_data(&driver, 0);
    block_put_segment(segments, 0, 8, 2); /* a flag that isn't defined */
    assert_int_equal(block_do(&driver, BLOCK_ZEROES, 0, 16), BLOCK_UNSUPPORTED);
    block_put_segment(segments, 0, 8, 1); /* one that isn't for discards */
    assert_int_equal(block_do(&driver, BLOCK_DISCARD, 0, 16), BLOCK_UNSUPPORTED);
    block_put_segment(segments, 0, 8, 0);
    block_put_segment(segments + 16, DISK_SECTORS - 1, 2, 0);
    assert_int_equal(block_do(&driver, BLOCK_ZEROES, 0, 32), BLOCK_IOERR);
    block_put_segment(segments + 16, UINT64_MAX, 2, 0);
    assert_int_equal(block_do(&driver, BLOCK_ZEROES, 0, 32), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_ZEROES, 0, 17), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_ZEROES, 0, 17 * 16), BLOCK_IOERR);
    /* None of it was done in part. */
    assert_int_equal(block_do(&driver, BLOCK_IN, 0, 4096), BLOCK_OK);
    assert_pattern(block_data(&driver, 0), 0, 4096);
}

static void assert_broken(const struct driver_part *parts, unsigned count)
{
    uint32_t head, written;
    driver_add(&driver, 0, 0, parts, count);
    driver_notify(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    assert_false(driver_take(&driver, 0, &head, &written));
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    assert_int_equal(block_do(&driver, BLOCK_IN, 0, 512), BLOCK_OK);
}

static void malformed_requests_break(void **state)
{
    (void)state;
    const struct driver_part no_status[] = {{DRIVER_BUFFERS, 16, false}};
    const struct driver_part short_header[] = {{DRIVER_BUFFERS, 15, false},
                                               {DRIVER_BUFFERS, 513, true}};
    const struct driver_part no_header[] = {{DRIVER_BUFFERS, 513, true}};
    assert_broken(no_status, 1);
    assert_broken(short_header, 2);
    assert_broken(no_header, 1);
}

static void all_queues_work(void **state)
{
    (void)state;
    uint32_t written;
    uint16_t queues;
    virtio_device_read_config(driver.device, 34, &queues, 2);
    assert_int_equal(queues, 4);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned queue = 0; queue < 4; queue++) {
            block_add(&driver, queue, queue, BLOCK_IN, 8 * (queue + round), 4096);
            virtio_device_notify(driver.device, queue);
        }
        for (unsigned queue = 0; queue < 4; queue++) {
            assert_int_equal(block_wait(&driver, queue, &written), queue);
            assert_int_equal(*block_status(&driver, queue), BLOCK_OK);
            assert_pattern(block_data(&driver, queue), 4096 * (queue + round), 4096);
        }
    }
    assert_int_equal(driver.device->malformed, 0);
}

static void many_at_once_are_answered(void **state)
{
    (void)state;
    uint32_t written;
    for (unsigned round = 0; round < 20; round++) {
        unsigned seen = 0;
        for (unsigned slot = 0; slot < 5; slot++)
            block_add(&driver, 0, slot, slot == 4 ? BLOCK_FLUSH : BLOCK_IN, slot * 16,
                      slot == 4 ? 0 : 8192);
        virtio_device_notify(driver.device, 0);
        for (unsigned i = 0; i < 5; i++)
            seen |= 1u << block_wait(&driver, 0, &written);
        assert_int_equal(seen, 31);
        for (unsigned slot = 0; slot < 4; slot++)
            assert_pattern(block_data(&driver, slot), slot * 8192, 8192);
    }
}

static void a_reset_leaves_nothing_in_flight(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned slot = 0; slot < 5; slot++)
            block_add(&driver, 0, slot, BLOCK_IN, slot * 16, 8192);
        virtio_device_notify(driver.device, 0);
        driver_turn(&driver, 0);
        virtio_device_set_status(driver.device, 0);
        assert_int_equal(virtio_block_in_flight(driver.device), 0);
        memset(block_data(&driver, 0), 0, BLOCK_DATA_SIZE);
        driver_turn(&driver, 0);
        for (unsigned i = 0; i < 8192; i++)
            assert_int_equal(block_data(&driver, 0)[i], 0);
        driver_start(&driver, 0);
    }
    assert_int_equal(block_do(&driver, BLOCK_IN, 0, 512), BLOCK_OK);
}

static void another_disk_takes_its_place(void **state)
{
    (void)state;
    struct error err = {0};
    uint64_t capacity;
    uint32_t generation = driver.device->config_generation;
    char first[sizeof path];
    memcpy(first, path, sizeof path);
    make_file(DISK_SIZE / 2 + 100);
    assert_int_equal(virtio_block_replace_disk(driver.device, open_file(false), &err), 0);
    unlink(first);
    assert_int_equal(driver.config_interrupts, 1);
    assert_int_not_equal(driver.device->config_generation, generation);
    virtio_device_read_config(driver.device, 0, &capacity, 8);
    assert_int_equal(capacity, DISK_SECTORS / 2);
    assert_int_equal(block_do(&driver, BLOCK_IN, DISK_SECTORS / 2, 512), BLOCK_IOERR);
    memset(block_data(&driver, 0), 1, 512);
    assert_int_equal(block_do(&driver, BLOCK_OUT, 0, 512), BLOCK_OK);
    uint8_t byte;
    read_file(0, &byte, 1);
    assert_int_equal(byte, 1);
    struct disk *disk = open_file(true);
    assert_int_equal(virtio_block_replace_disk(driver.device, disk, &err), -1);
    assert_non_null(strstr(err.text, "writable"));
    disk_close(disk);
}

static void the_configuration_describes_the_disk(void **state)
{
    (void)state;
    uint64_t capacity;
    uint32_t segments, block_size;
    virtio_device_read_config(driver.device, 0, &capacity, 8);
    virtio_device_read_config(driver.device, 12, &segments, 4);
    virtio_device_read_config(driver.device, 20, &block_size, 4);
    assert_int_equal(capacity, DISK_SECTORS);
    assert_int_equal(segments, 254);
    assert_int_equal(block_size, 512);
    assert_int_equal(driver.device->config_size, 60);
    /* Nothing but the cache's mode can be written. */
    virtio_device_write_config(driver.device, 0, &block_size, 4);
    virtio_device_read_config(driver.device, 0, &capacity, 8);
    assert_int_equal(capacity, DISK_SECTORS);
    uint8_t writeback = 0;
    virtio_device_write_config(driver.device, 32, &writeback, 1);
    virtio_device_read_config(driver.device, 32, &writeback, 1);
    assert_int_equal(writeback, 0);
}

static void missing_or_odd_files_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    struct loop loop;
    assert_int_equal(loop_open(&loop, NULL), 0);
    assert_null(disk_open_raw("/nonexistent/disk", &(struct disk_settings){0}, &loop, &err));
    assert_non_null(strstr(err.text, "/nonexistent/disk"));
    assert_null(disk_open_raw("/dev/null", &(struct disk_settings){0}, &loop, &err));
    assert_non_null(strstr(err.text, "neither"));
    assert_null(disk_open_raw("/tmp", &(struct disk_settings){.read_only = true}, &loop, &err));
    loop_close(&loop);
}

static void a_composite_disk_reads_its_pieces(void **state)
{
    (void)state;
    make_file(DISK_SIZE);
    block_driver_begin(&driver);
    struct error err = {0};
    static unsigned char bytes[700] = "in memory";
    struct disk_extent extents[] = {
        {.offset = 0, .length = sizeof bytes, .bytes = bytes},
        {.offset = 1024, .length = 3000, .path = path},
        {.offset = 4024, .length = 5000, .path = path},
        {.offset = 20000, .length = 100, .bytes = bytes},
    };
    struct disk_layout layout = {65536, extents, 4};
    const struct disk_settings settings = {.threads = threads};
    layout.size = 20050;
    assert_null(disk_open_composite(&layout, &settings, &driver.loop, &err));
    layout.size = 65536;
    extents[2].length = DISK_SIZE + 1;
    assert_null(disk_open_composite(&layout, &settings, &driver.loop, &err));
    extents[2].length = 5000;
    extents[2].offset = 4000;
    assert_null(disk_open_composite(&layout, &settings, &driver.loop, &err));
    extents[2].offset = 4024;
    extents[2].path = (char *)(uintptr_t) "/nonexistent";
    assert_null(disk_open_composite(&layout, &settings, &driver.loop, &err));
    extents[2].path = path;
    struct disk *disk = disk_open_composite(&layout, &settings, &driver.loop, &err);
    assert_non_null(disk);
    block_driver_open(
        &driver,
        virtio_block_create("layers", disk, &(struct virtio_block_settings){0}, &driver.loop), 0);
    uint8_t wanted[65536] = {0};
    memcpy(wanted, bytes, sizeof bytes);
    memcpy(wanted + 20000, bytes, 100);
    for (unsigned i = 0; i < 3000; i++)
        wanted[1024 + i] = pattern_at(i);
    for (unsigned i = 0; i < 5000; i++)
        wanted[4024 + i] = pattern_at(i);
    assert_int_equal(block_do(&driver, BLOCK_IN, 0, 65536), BLOCK_OK);
    assert_memory_equal(block_data(&driver, 0), wanted, 65536);
    for (unsigned sector = 0; sector < 128; sector++) {
        assert_int_equal(block_do(&driver, BLOCK_IN, sector, 512), BLOCK_OK);
        assert_memory_equal(block_data(&driver, 0), wanted + sector * 512, 512);
    }
    assert_int_equal(block_do(&driver, BLOCK_OUT, 0, 512), BLOCK_IOERR);
    assert_int_equal(block_do(&driver, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    close_device(NULL);
}

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

#define writable(test) cmocka_unit_test_setup_teardown(test, open_writable, close_device)
#define read_only(test) cmocka_unit_test_setup_teardown(test, open_read_only, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        writable(reads_and_writes),
        writable(any_framing_works),
        writable(the_id_is_told),
        writable(requests_out_of_range_fail),
        read_only(a_read_only_disk_stays_as_it_is),
        writable(zeroes_and_discards),
        writable(bad_segments_are_refused),
        writable(malformed_requests_break),
        cmocka_unit_test_setup_teardown(all_queues_work, open_queues, close_device),
        writable(many_at_once_are_answered),
        writable(a_reset_leaves_nothing_in_flight),
        writable(another_disk_takes_its_place),
        writable(the_configuration_describes_the_disk),
        cmocka_unit_test(missing_or_odd_files_are_refused),
        cmocka_unit_test(a_composite_disk_reads_its_pieces),
    };
    vm_log_set_sink(quiet);
    int failed = cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
    threads = true;
    return failed + cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
