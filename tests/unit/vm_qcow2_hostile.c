/* vm/device/qcow2*: images that somebody made to do harm. They are refused with a reason, or a
 * request fails, and no table of the image is ever written as if it were the guest's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_qcow2_image.h"

#include <errno.h>

enum { CLUSTER = 65536 };

/* An image of 64 KiB clusters with data in the first two. */
static int make_image(void **state)
{
    image_make_directory(state);
    image_must("qemu-img create -q -f qcow2 image 1M");
    image_must("qemu-io -f qcow2 -c 'write -P 1 0 128k' image && cp image good");
    return 0;
}

static int remove_image(void **state)
{
    return image_remove_directory(state);
}

static void assert_refused(const char *name, bool read_only, enum disk_backing backing,
                           const char *reason)
{
    struct error err = {0};
    struct qcow2 *image;
    assert_int_equal(image_try_open(&image, name, read_only, backing, &err), -1);
    if (!strstr(err.text, reason))
        fail_msg("'%s' isn't about '%s'", err.text, reason);
}

/* The image with one number of its header changed is refused. */
static void assert_number_refused(uint64_t offset, uint64_t value, unsigned size, bool read_only,
                                  const char *reason)
{
    image_must("cp good image");
    image_patch_number("image", offset, value, size);
    assert_refused("image", read_only, DISK_BACKING_NONE, reason);
}

static void headers_are_checked(void **state)
{
    (void)state;
    assert_number_refused(0, 0x514649fc, 4, true, "isn't a qcow2 image");
    assert_number_refused(4, 4, 4, true, "version 4");
    assert_number_refused(4, 1, 4, true, "version 1");
    assert_number_refused(32, 1, 4, true, "encrypted");
    assert_number_refused(32, 2, 4, true, "encrypted");
    for (unsigned bits = 0; bits < 80; bits++) {
        if (bits < 9 || bits > 21)
            assert_number_refused(20, bits, 4, true, "clusters of");
    }
    assert_number_refused(20, UINT32_MAX, 4, true, "clusters of");
    assert_number_refused(96, 7, 4, true, "refcounts of");
    assert_number_refused(96, UINT32_MAX, 4, true, "refcounts of");
    assert_number_refused(100, 8, 4, true, "header of 8 bytes");
    assert_number_refused(100, UINT32_MAX - 7, 4, true, "header of");
    assert_number_refused(104, 1, 1, true, "compressed");
    assert_number_refused(112, 0xe2792aca00ffffffull, 8, true, "extension");
    image_must("head -c 60 good >image");
    assert_refused("image", true, DISK_BACKING_NONE, "");
    image_must(": >image");
    assert_refused("image", true, DISK_BACKING_NONE, "isn't a qcow2 image");
}

static void features_are_checked(void **state)
{
    (void)state;
    struct error err = {0};
    struct qcow2 *image;
    assert_number_refused(72, 4, 8, true, "another file");
    assert_number_refused(72, 16, 8, true, "subclusters");
    assert_number_refused(72, 32, 8, true, "aren't known (0x20)");
    assert_number_refused(72, 1ull << 63, 8, true, "aren't known");
    for (unsigned bit = 1; bit <= 2; bit++) { /* dirty; corrupt */
        assert_number_refused(72, bit, 8, false, "qemu-img check");
        assert_int_equal(image_try_open(&image, "image", true, DISK_BACKING_NONE, &err), 0);
        assert_int_equal(qcow2_close(image), 0);
    }
    /* Features that others may ignore, but no longer hold once it is written. */
    image_must("cp good image");
    image_patch_number("image", 88, UINT64_MAX, 8);
    assert_int_equal(qcow2_close(image_open("image", true)), 0);
    assert_true(image_get_number("image", 88, 8) == UINT64_MAX);
    assert_int_equal(qcow2_close(image_open("image", false)), 0);
    assert_int_equal(image_get_number("image", 88, 8), 0);
}

static void tables_lie_in_the_file(void **state)
{
    (void)state;
    uint64_t refcounts = image_get_number("good", 48, 8), l1 = image_get_number("good", 40, 8);
    static const uint64_t places[] = {
        0, 512, CLUSTER + 512, 1ull << 40, UINT64_MAX - CLUSTER + 1, 1ull << 63};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_number_refused(40, places[i], 8, true, "L1 table where none can be");
        assert_number_refused(48, places[i], 8, false, "refcount table where none can be");
    }
    assert_number_refused(24, UINT64_MAX, 8, true, "L1 table that is too small");
    assert_number_refused(24, 1ull << 62, 8, true, "L1 table that is too small");
    assert_number_refused(36, 0, 4, true, "L1 table that is too small");
    assert_number_refused(56, 0, 4, false, "refcount table of 0 clusters");
    assert_number_refused(56, UINT32_MAX, 4, false, "refcount table of");
    assert_number_refused(56, 100, 4, false, "refcount table where none can be");
    /* A large L1 table that the file doesn't have. */
    image_must("cp good image");
    image_patch_number("image", 36, UINT32_MAX, 4);
    image_patch_number("image", 24, 1ull << 50, 8);
    assert_refused("image", true, DISK_BACKING_NONE, "L1 table");
    image_patch_number("image", 24, 1ull << 46, 8);
    assert_refused("image", true, DISK_BACKING_NONE, "L1 table where none can be");
    /* Two tables in one place. */
    assert_number_refused(40, refcounts, 8, false, "overlap");
    assert_number_refused(l1, refcounts, 8, false, "overlap");
    assert_number_refused(l1, image_get_number("good", refcounts, 8), 8, false, "overlap");
    assert_number_refused(l1, l1 | 1ull << 63, 8, false, "overlap");
    assert_number_refused(refcounts, l1, 8, false, "overlap");
}

static int try_read(struct qcow2 *image, uint64_t offset)
{
    uint8_t bytes[512];
    return qcow2_read(image, &(struct iovec){bytes, sizeof bytes}, 1, offset, sizeof bytes);
}

static int try_write(struct qcow2 *image, uint64_t offset)
{
    uint8_t bytes[512];
    memset(bytes, 0xbb, sizeof bytes);
    return qcow2_write(image, &(struct iovec){bytes, sizeof bytes}, 1, offset, sizeof bytes);
}

static void wrong_entries_fail_requests(void **state)
{
    (void)state;
    uint64_t l1 = image_get_number("good", 40, 8);
    uint64_t l2 = image_get_number("good", l1, 8) & 0x00fffffffffffe00ull;
    static const uint64_t tables[] = {512, 1ull << 40, 1ull << 55};
    static const uint64_t entries[] = {
        512,                           /* not aligned */
        1ull << 62 | 1ull << 40,       /* compressed, behind the end */
        1ull << 62 | 5ull << 54 | 100, /* compressed, nothing of the kind */
    };
    for (size_t i = 0; i < 3; i++) {
        image_must("cp good image");
        image_patch_number("image", l1, tables[i], 8);
        struct qcow2 *image = image_open("image", true);
        assert_int_equal(try_read(image, 0), EIO);
        assert_int_equal(qcow2_close(image), 0);
        image_must("cp good image");
        image_patch_number("image", l2, entries[i], 8);
        image = image_open("image", false);
        assert_int_equal(try_read(image, 0), EIO);
        assert_int_equal(try_write(image, 0), EIO);
        assert_int_equal(try_read(image, CLUSTER), 0);
        assert_int_equal(qcow2_close(image), 0);
    }
}

/* A guest that is given an image whose tables are called its data can't write them. */
static void tables_are_not_written_as_data(void **state)
{
    (void)state;
    uint64_t l1 = image_get_number("good", 40, 8), refcounts = image_get_number("good", 48, 8);
    uint64_t l2 = image_get_number("good", l1, 8) & 0x00fffffffffffe00ull;
    uint64_t places[] = {0, l1, l2, refcounts, image_get_number("good", refcounts, 8)};
    for (size_t i = 1; i < sizeof places / sizeof *places; i++) {
        image_must("cp good image");
        image_patch_number("image", l2, places[i] | 1ull << 63, 8);
        image_must("cp image before");
        struct qcow2 *image = image_open("image", false);
        assert_int_equal(try_write(image, 0), EIO);
        assert_int_equal(qcow2_close(image), 0);
        image_must("cmp image before");
        /* Nor can it have them given back. */
        image = image_open("image", false);
        assert_int_equal(qcow2_discard(image, 0, CLUSTER), 0);
        assert_int_equal(qcow2_flush(image), 0);
        assert_int_equal(qcow2_close(image), 0);
        assert_true(image_get_number("image", 40, 8) == l1);
        assert_true(image_get_number("image", refcounts, 8) ==
                    image_get_number("good", refcounts, 8));
        image_must("cmp -n 72 image before");
    }
}

/* Clusters that are counted as free although tables are in them. */
static void tables_are_not_allocated(void **state)
{
    (void)state;
    uint64_t refcounts = image_get_number("good", 48, 8);
    uint64_t block = image_get_number("good", refcounts, 8);
    uint8_t zeros[64] = {0};
    image_patch("image", block, zeros, sizeof zeros);
    struct qcow2 *image = image_open("image", false);
    for (unsigned i = 2; i < 16; i++)
        assert_int_equal(try_write(image, i * CLUSTER), 0);
    assert_int_equal(qcow2_close(image), 0);
    assert_int_equal(image_get_number("image", 0, 4), 0x514649fb);
    assert_true(image_get_number("image", refcounts, 8) == block);
    assert_int_equal(qcow2_close(image_open("image", false)), 0);
}

static void backing_files_are_only_followed_when_allowed(void **state)
{
    (void)state;
    image_must("mkdir below && cp good below/base && cp good base.qcow2");
    image_must("cd below && qemu-img create -q -f qcow2 -b base -F qcow2 top 1M");
    assert_refused("below/top", true, DISK_BACKING_NONE, "aren't allowed");
    assert_int_equal(qcow2_close(image_open("below/top", true)), 0);
    /* Out of the directory: by "..", by an absolute path, by a link. */
    image_must("cd below && qemu-img create -q -f qcow2 -b ../base.qcow2 -F qcow2 out 1M");
    assert_refused("below/out", true, DISK_BACKING_BENEATH, "isn't below");
    image_must("cd below && qemu-img create -q -f qcow2 -b %s/base.qcow2 -F qcow2 far 1M",
               image_directory);
    assert_refused("below/far", true, DISK_BACKING_BENEATH, "isn't below");
    image_must("cd below && rm base && ln -s ../base.qcow2 base");
    assert_refused("below/top", true, DISK_BACKING_BENEATH, "isn't below");
    struct error err = {0};
    struct qcow2 *image;
    static const char *const names[] = {"below/out", "below/far", "below/top"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(image_try_open(&image, names[i], true, DISK_BACKING_ANY, &err), 0);
        assert_int_equal(try_read(image, 0), 0);
        assert_int_equal(qcow2_close(image), 0);
    }
}

static void odd_backing_files_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"nbd://127.0.0.1/x", "json:{}", "fat:/etc"};
    for (size_t i = 0; i < 3; i++) {
        image_must("qemu-img create -q -f qcow2 -u -b '%s' -F raw top 1M", names[i]);
        assert_refused("top", true, DISK_BACKING_ANY, "isn't a file");
    }
    image_must("qemu-img create -q -f qcow2 -u -b /dev/zero -F raw top 1M");
    assert_refused("top", true, DISK_BACKING_ANY, "is no file");
    image_must("qemu-img create -q -f qcow2 -u -b missing -F raw top 1M");
    assert_refused("top", true, DISK_BACKING_ANY, "'missing'");
    /* Without a format a guest's first bytes would decide. */
    image_must("qemu-img create -q -f qcow2 -u -b good -F raw top 1M");
    image_patch_number("top", 112, 0x12345678, 4);
    assert_refused("top", true, DISK_BACKING_ANY, "raw or qcow2");
    image_must("qemu-img create -q -f qcow2 -u -b good -F vmdk top 1M || "
               "qemu-img create -q -f qcow2 -u -b good -F qed top 1M");
    assert_refused("top", true, DISK_BACKING_ANY, "raw or qcow2");
    image_must("qemu-img create -q -f qcow2 -u -b good -F raw top 1M");
    image_patch_number("top", 8, 1 << 20, 8);
    assert_refused("top", true, DISK_BACKING_ANY, "out of place");
    image_must("qemu-img create -q -f qcow2 -u -b good -F raw top 1M");
    image_patch_number("top", 16, UINT32_MAX, 4);
    assert_refused("top", true, DISK_BACKING_ANY, "out of place");
}

static void chains_have_an_end(void **state)
{
    (void)state;
    image_must("qemu-img create -q -f qcow2 -u -b self -F qcow2 other 1M && mv other self");
    assert_refused("self", true, DISK_BACKING_ANY, "chain");
    image_must("qemu-img create -q -f qcow2 -u -b two -F qcow2 one 1M");
    image_must("qemu-img create -q -f qcow2 -u -b one -F qcow2 two 1M");
    assert_refused("one", true, DISK_BACKING_ANY, "chain");
    image_must("cp good c0; for i in $(seq 1 33); do "
               "qemu-img create -q -f qcow2 -u -b c$((i-1)) -F qcow2 c$i 1M; done");
    struct qcow2 *image = image_open("c32", true);
    assert_int_equal(try_read(image, 0), 0);
    assert_int_equal(qcow2_close(image), 0);
    assert_refused("c33", true, DISK_BACKING_BENEATH, "chain");
}

#define with_image(test) cmocka_unit_test_setup_teardown(test, make_image, remove_image)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_image(headers_are_checked),
        with_image(features_are_checked),
        with_image(tables_lie_in_the_file),
        with_image(wrong_entries_fail_requests),
        with_image(tables_are_not_written_as_data),
        with_image(tables_are_not_allocated),
        with_image(backing_files_are_only_followed_when_allowed),
        with_image(odd_backing_files_are_refused),
        with_image(chains_have_an_end),
    };
    if (!image_has_tools()) {
        puts("qemu-img or qemu-io isn't installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
