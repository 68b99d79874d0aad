/* vm/image/disk_layout: a partition table as UEFI wants it, and bytes from where
 * they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/image/disk.h"

#define PARTITIONS 300

static uint64_t number(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | at[bytes];
    return value;
}

/* Bit by bit, as ISO 3309 has it: not the implementation's. */
static uint32_t crc32_of(const unsigned char *bytes, size_t count)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* The layout's own bytes, at their places in a disk where the files aren't. */
static unsigned char *materialise(const struct disk_layout *layout)
{
    unsigned char *disk = calloc(1, layout->size);
    for (size_t i = 0; i < layout->count; i++)
        if (!layout->extents[i].path)
            memcpy(disk + layout->extents[i].offset, layout->extents[i].bytes,
                   layout->extents[i].length);
    return disk;
}

static void make_partitions(struct disk_partition *partitions, size_t count, char names[][32])
{
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], 32, "/layers/%zu", i);
        partitions[i] = (struct disk_partition){.path = names[i], .size = 4096 * (i % 3 + 1)};
        memset(partitions[i].identity, (int)i + 1, sizeof partitions[i].identity);
    }
}

/* UEFI 2.10, 5.3.2 and 5.3.3. */
static void check_header(const unsigned char *disk, uint64_t size, uint64_t at, uint64_t other,
                         uint64_t *entries, uint64_t *first, uint64_t *last)
{
    unsigned char header[92];
    memcpy(header, disk + at * 512, sizeof header);
    assert_memory_equal(header, "EFI PART", 8);
    assert_int_equal(number(header + 8, 4), 0x10000);
    assert_int_equal(number(header + 12, 4), 92);
    uint32_t sum = (uint32_t)number(header + 16, 4);
    memset(header + 16, 0, 4);
    assert_int_equal(crc32_of(header, sizeof header), sum);
    assert_int_equal(number(header + 24, 8), at);
    assert_int_equal(number(header + 32, 8), other);
    *first = number(header + 40, 8);
    *last = number(header + 48, 8);
    *entries = number(header + 72, 8);
    uint64_t count = number(header + 80, 4);
    assert_true(count >= 128);
    assert_int_equal(number(header + 84, 4), 128);
    assert_true(*entries * 512 + count * 128 <= size);
    assert_int_equal(crc32_of(disk + *entries * 512, count * 128), number(header + 88, 4));
    /* Neither copy of the entries is in the usable sectors. */
    assert_true(*entries + (count * 128 + 511) / 512 <= *first || *entries > *last);
}

static void check_table(size_t count)
{
    static struct disk_partition partitions[PARTITIONS];
    static char names[PARTITIONS][32];
    struct disk_layout layout;
    struct error err = {0};
    make_partitions(partitions, count, names);
    assert_int_equal(disk_layout_make(&layout, partitions, count, &err), 0);
    unsigned char *disk = materialise(&layout);
    uint64_t sectors = layout.size / 512, entries, first, last, backup;
    assert_int_equal(layout.size % 4096, 0);
    assert_int_equal(number(disk + 510, 2), 0xaa55);
    assert_int_equal(disk[450], 0xee);
    assert_int_equal(number(disk + 454, 4), 1);
    assert_int_equal(number(disk + 458, 4), sectors - 1);
    check_header(disk, layout.size, sectors - 1, 1, &backup, &first, &last);
    check_header(disk, layout.size, 1, sectors - 1, &entries, &first, &last);
    uint64_t end = first;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *entry = disk + entries * 512 + i * 128;
        uint64_t begin = number(entry + 32, 8);
        assert_memory_equal(entry, disk + backup * 512 + i * 128, 128);
        assert_memory_equal(entry + 16, partitions[i].identity, 16);
        assert_true(begin >= end && begin % 8 == 0);
        end = number(entry + 40, 8) + 1;
        assert_int_equal((end - begin) * 512, partitions[i].size);
    }
    assert_true(end - 1 <= last);
    free(disk);
    disk_layout_release(&layout);
}

static void test_tables(void **state)
{
    (void)state;
    check_table(0);
    check_table(1);
    check_table(3);
    check_table(128);
    check_table(129);
    check_table(255);
}

static void test_too_many(void **state)
{
    static struct disk_partition partitions[PARTITIONS];
    static char names[PARTITIONS][32];
    struct disk_layout layout;
    struct error err = {0};
    (void)state;
    make_partitions(partitions, 256, names);
    assert_int_equal(disk_layout_make(&layout, partitions, 256, &err), -1);
    assert_string_equal(err.text, "the image has 256 layers; a virtual machine's disk holds 255");
    partitions[1].size = 0;
    assert_int_equal(disk_layout_make(&layout, partitions, 2, &err), -1);
    assert_null(layout.extents);
    partitions[1].size = UINT64_MAX;
    assert_int_equal(disk_layout_make(&layout, partitions, 2, &err), -1);
}

static void test_description(void **state)
{
    static struct disk_partition partitions[4];
    static char names[4][32];
    struct disk_layout layout, again;
    struct error err = {0};
    (void)state;
    make_partitions(partitions, 4, names);
    assert_int_equal(disk_layout_make(&layout, partitions, 4, &err), 0);
    json_t *description = disk_layout_describe(&layout);
    assert_int_equal(disk_layout_parse(&again, description, &err), 0);
    assert_int_equal(again.size, layout.size);
    assert_int_equal(again.count, layout.count);
    for (size_t i = 0; i < layout.count; i++) {
        assert_int_equal(again.extents[i].offset, layout.extents[i].offset);
        assert_int_equal(again.extents[i].length, layout.extents[i].length);
        if (layout.extents[i].path)
            assert_string_equal(again.extents[i].path, layout.extents[i].path);
        else
            assert_memory_equal(again.extents[i].bytes, layout.extents[i].bytes,
                                layout.extents[i].length);
    }
    json_decref(description);
    disk_layout_release(&again);
    disk_layout_release(&layout);
}

static void test_bad_descriptions(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{'size': 0, 'extents': []}",
        "{'size': -512, 'extents': []}",
        "{'size': 513, 'extents': []}",
        "{'size': 9223372036854775296, 'extents': []}",
        "{'size': 512}",
        "{'size': 512, 'extents': {}}",
        "{'size': 512, 'extents': [1]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 1}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 1, 'bytes': '00', 'path': '/x'}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 1, 'path': 'x'}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 1, 'bytes': '0'}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 1, 'bytes': '0g'}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 1, 'bytes': '000'}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 0, 'bytes': ''}]}",
        "{'size': 512, 'extents': [{'offset': -1, 'length': 1, 'bytes': '00'}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': -1, 'path': '/x'}]}",
        "{'size': 512, 'extents': [{'offset': 512, 'length': 1, 'bytes': '00'}]}",
        "{'size': 512, 'extents': [{'offset': 0, 'length': 513, 'path': '/x'}]}",
        "{'size': 512, 'extents': [{'offset': 1, 'length': 9223372036854775807, 'path': '/x'}]}",
        "{'size': 512, 'extents': [{'offset': 0.5, 'length': 1, 'path': '/x'}]}",
        ("{'size': 512, 'extents': [{'offset': 8, 'length': 8, 'path': '/x'},"
         " {'offset': 15, 'length': 1, 'path': '/y'}]}"),
        "{'size': 1048576, 'extents': [{'offset': 0, 'length': 65537, 'bytes': '00'}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[256];
        struct disk_layout layout;
        struct error err = {0};
        snprintf(text, sizeof text, "%s", texts[i]);
        for (char *quote = text; (quote = strchr(quote, '\''));)
            *quote = '"';
        json_t *description = json_loads(text, 0, NULL);
        assert_non_null(description);
        if (disk_layout_parse(&layout, description, &err) != -1)
            fail_msg("accepted: %s", texts[i]);
        assert_true(*err.text != '\0');
        assert_null(layout.extents);
        json_decref(description);
    }
}

static void test_writable_sizes(void **state)
{
    struct error err = {0};
    (void)state;
    assert_int_equal(disk_make_writable("/nonexistent", "/nonexistent/d", 1 << 20, &err), -1);
    assert_non_null(strstr(err.text, "can't have 1048576 bytes"));
    assert_int_equal(disk_make_writable("/nonexistent", "/nonexistent/d", INT64_MAX, &err), -1);
    assert_int_equal(disk_make_writable("/nonexistent", "/nonexistent/d", -1, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),         cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_description),    cmocka_unit_test(test_bad_descriptions),
        cmocka_unit_test(test_writable_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
