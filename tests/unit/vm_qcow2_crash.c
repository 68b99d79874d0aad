/* vm/device/qcow2_flush: a power cut at any write. What the image writes goes through functions of
 * this test (the linker's --wrap), which keep what is on the disk apart from what the kernel may or
 * may not have written of it yet, sector by sector. At random instants a disk as it could be after
 * a power cut is put together: qemu-img must find no error but leaks, and every sector must read as
 * it was flushed, or as it was written since. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_qcow2_image.h"

#include <errno.h>
#include <linux/falloc.h>

#define FILE_MAX (24u << 20)
#define DISK_SIZE (2u << 20)
#define SECTORS (DISK_SIZE / 512)
#define CRASHES_MAX 40 /* of one image */
#define VALUES_MAX 64  /* of a sector between two flushes */

struct pending {
    uint64_t offset, size;
    uint8_t *bytes; /* NULL: a hole */
    struct pending *next;
};

static struct {
    bool on;
    int sync_error; /* what the next fdatasync() fails with */
    int fd;
    uint8_t *durable, *crashed; /* the file as it is on the disk, and as a power cut leaves it */
    uint64_t durable_size;
    struct pending *first, **end;
    unsigned seed, crashes, until_crash;
} disk;

/* What each sector may read as: values[0] was flushed. */
static struct {
    uint32_t values[VALUES_MAX];
    unsigned count;
} sectors[SECTORS];

ssize_t __real_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate64(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size);

static void apply(uint8_t *file, uint64_t *file_size, const struct pending *write, bool partly)
{
    for (uint64_t done = 0; done < write->size; done += 512) {
        uint64_t piece = write->size - done < 512 ? write->size - done : 512;
        if (partly && rand_r(&disk.seed) % 2)
            continue;
        if (write->bytes)
            memcpy(file + write->offset + done, write->bytes + done, piece);
        else
            memset(file + write->offset + done, 0, piece);
        if (write->bytes && write->offset + done + piece > *file_size)
            *file_size = write->offset + done + piece;
    }
}

static uint32_t value_of(const uint8_t *bytes, unsigned sector)
{
    uint32_t words[2];
    memcpy(words, bytes, sizeof words);
    if (words[0] == 0 && words[1] == 0)
        return 0;
    assert_int_equal(words[0], sector + 1); /* no other sector's */
    for (unsigned i = 8; i < 512; i++)
        assert_int_equal(bytes[i], (uint8_t)words[1]);
    return words[1];
}

static void assert_sectors(const char *name)
{
    struct qcow2 *image = image_open(name, true);
    uint8_t *bytes = malloc(DISK_SIZE);
    image_read(image, 0, bytes, DISK_SIZE);
    for (unsigned i = 0; i < SECTORS; i++) {
        uint32_t value = value_of(bytes + i * 512, i);
        bool allowed = false;
        for (unsigned j = 0; j < sectors[i].count; j++)
            allowed |= sectors[i].values[j] == value;
        if (!allowed)
            fail_msg("sector %u reads as %u, of %u that it may", i, value, sectors[i].count);
    }
    assert_int_equal(qcow2_close(image), 0);
    free(bytes);
}

/* The power is cut now. */
static void crash(void)
{
    uint64_t size = disk.durable_size;
    disk.on = false;
    disk.crashes++;
    memcpy(disk.crashed, disk.durable, FILE_MAX);
    unsigned way =
        (unsigned)rand_r(&disk.seed) % 4; /* nothing, all, or some of what was under way */
    for (struct pending *write = disk.first; write && way > 0; write = write->next) {
        if (way == 1 || rand_r(&disk.seed) % 2)
            apply(disk.crashed, &size, write, way == 3);
    }
    image_must("rm -f crashed");
    image_patch("crashed", 0, disk.crashed, size);
    image_check("crashed", true);
    assert_sectors("crashed");
    disk.on = true;
}

static void maybe_crash(void)
{
    if (disk.until_crash-- > 0 || disk.crashes == CRASHES_MAX)
        return;
    crash();
    disk.until_crash = (unsigned)rand_r(&disk.seed) % 40;
}

static void add_pending(uint64_t offset, uint64_t size, uint8_t *bytes)
{
    struct pending *write = malloc(sizeof *write);
    assert_true(offset + size <= FILE_MAX);
    *write = (struct pending){offset, size, bytes, NULL};
    *disk.end = write;
    disk.end = &write->next;
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t written = __real_pwritev64(fd, parts, count, offset);
    if (disk.on && fd == disk.fd && written > 0) {
        uint8_t *bytes = malloc((size_t)written);
        size_t done = 0;
        for (int i = 0; i < count && done < (size_t)written; i++) {
            size_t piece = parts[i].iov_len;
            piece = piece < (size_t)written - done ? piece : (size_t)written - done;
            memcpy(bytes + done, parts[i].iov_base, piece);
            done += piece;
        }
        add_pending((uint64_t)offset, (uint64_t)written, bytes);
        maybe_crash();
    }
    return written;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    int status = __real_fallocate64(fd, mode, offset, size);
    if (disk.on && fd == disk.fd && status == 0) {
        add_pending((uint64_t)offset, (uint64_t)size, NULL);
        maybe_crash();
    }
    return status;
}

static void forget_pending(void)
{
    while (disk.first) {
        struct pending *write = disk.first;
        disk.first = write->next;
        free(write->bytes);
        free(write);
    }
    disk.end = &disk.first;
}

int __wrap_fdatasync(int fd)
{
    if (disk.sync_error) {
        errno = disk.sync_error;
        disk.sync_error = 0;
        return -1;
    }
    if (!disk.on || fd != disk.fd)
        return __real_fdatasync(fd);
    maybe_crash();
    for (struct pending *write = disk.first; write; write = write->next)
        apply(disk.durable, &disk.durable_size, write, false);
    forget_pending();
    return 0;
}

static int make_directory(void **state)
{
    image_make_directory(state);
    disk.durable = malloc(FILE_MAX);
    disk.crashed = malloc(FILE_MAX);
    return 0;
}

static int remove_directory(void **state)
{
    disk.on = false;
    free(disk.durable);
    free(disk.crashed);
    return image_remove_directory(state);
}

static void begin(int fd, unsigned seed)
{
    memset(disk.durable, 0, FILE_MAX);
    disk.end = &disk.first;
    ssize_t size = pread(fd, disk.durable, FILE_MAX, 0);
    assert_true(size > 0);
    disk.durable_size = (uint64_t)size;
    disk.fd = fd;
    disk.seed = seed;
    disk.crashes = 0;
    disk.until_crash = 1;
    disk.first = NULL;
    disk.end = &disk.first;
    disk.on = true;
}

static void add_value(unsigned sector, uint32_t value)
{
    assert_in_range(sectors[sector].count, 1, VALUES_MAX - 1);
    sectors[sector].values[sectors[sector].count++] = value;
}

/* What is written is the only thing that may be there once the flush is acknowledged. */
static void flush(struct qcow2 *image)
{
    assert_int_equal(qcow2_flush(image), 0);
    for (unsigned i = 0; i < SECTORS; i++) {
        sectors[i].values[0] = sectors[i].values[sectors[i].count - 1];
        sectors[i].count = 1;
    }
}

static void write_sectors(struct qcow2 *image, unsigned first, unsigned count, uint32_t version)
{
    uint8_t *bytes = malloc(count * 512);
    for (unsigned i = 0; i < count; i++) {
        uint32_t words[2] = {first + i + 1, version};
        memset(bytes + i * 512, (uint8_t)version, 512);
        memcpy(bytes + i * 512, words, sizeof words);
        add_value(first + i, version);
    }
    image_write(image, first * 512, bytes, count * 512);
    free(bytes);
}

/* A discard may leave a sector as it was, or zeros: what it is, is looked up. */
static void erase_sectors(struct qcow2 *image, unsigned first, unsigned count, unsigned way)
{
    uint8_t bytes[512];
    for (unsigned i = 0; i < count; i++)
        add_value(first + i, 0);
    int error = way == 2 ? qcow2_discard(image, first * 512, count * 512)
                         : qcow2_write_zeros(image, first * 512, count * 512, way);
    assert_int_equal(error, 0);
    for (unsigned i = 0; i < count && way == 2; i++) {
        image_read(image, (first + i) * 512, bytes, sizeof bytes);
        uint32_t value = value_of(bytes, first + i);
        if (value != 0)
            add_value(first + i, value);
    }
}

static void change(const char *name, unsigned seed, unsigned steps)
{
    char path[200];
    struct error err = {0};
    struct qcow2 *image;
    snprintf(path, sizeof path, "%s/%s", image_directory, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    const struct disk_settings settings = {.backing = DISK_BACKING_BENEATH};
    assert_int_equal(qcow2_open(&image, fd, path, &settings, &err), 0);
    begin(fd, seed);
    for (unsigned step = 0; step < steps; step++) {
        unsigned first = (unsigned)rand_r(&disk.seed) % SECTORS;
        unsigned count = (unsigned)rand_r(&disk.seed) % 200 + 1,
                 what = (unsigned)rand_r(&disk.seed) % 12;
        count = count < SECTORS - first ? count : SECTORS - first;
        if (what < 6)
            write_sectors(image, first, count, seed * 1000 + step + 1);
        else if (what < 9)
            erase_sectors(image, first, count, what - 6);
        else if (what < 11 || step % 20 == 0)
            flush(image);
    }
    flush(image);
    crash();
    assert_true(disk.crashes > 4);
    disk.on = false;
    forget_pending();
    assert_int_equal(qcow2_close(image), 0);
    image_check(name, false);
}

static void forget_values(void)
{
    for (unsigned i = 0; i < SECTORS; i++) {
        sectors[i].values[0] = 0;
        sectors[i].count = 1;
    }
}

static void a_power_cut_keeps_what_was_flushed(void **state)
{
    (void)state;
    static const char *const options[] = {
        "",
        "-o cluster_size=512",
        "-o cluster_size=4k,refcount_bits=1",
        "-o compat=0.10,cluster_size=2k",
    };
    for (unsigned i = 0; i < 4; i++) {
        forget_values();
        image_must("qemu-img create -q -f qcow2 %s image 2M", options[i]);
        change("image", 10 + i, 120);
    }
}

static void snapshots_and_backing_files_survive_it(void **state)
{
    (void)state;
    forget_values();
    image_must("qemu-img create -q -f qcow2 -o cluster_size=4k image 2M");
    change("image", 20, 60);
    image_must("qemu-img convert -f qcow2 -O raw image before && qemu-img snapshot -c one image");
    change("image", 21, 100);
    image_must("qemu-img convert -l one -f qcow2 -O raw image after && cmp before after");
    image_must("qemu-img create -q -f qcow2 -b image -F qcow2 top 2M");
    change("top", 22, 100);
}

/* What the kernel didn't write it doesn't try again: that the next fdatasync() succeeds means
 * nothing.
 */
static void after_a_failed_flush_none_succeeds(void **state)
{
    (void)state;
    uint8_t byte = 1;
    image_must("qemu-img create -q -f qcow2 image 2M");
    for (unsigned tables = 0; tables < 2; tables++) { /* with tables to be written, or data alone */
        struct qcow2 *image = image_open("image", false);
        image_write(image, 0, &byte, 1);
        if (!tables) {
            assert_int_equal(qcow2_flush(image), 0);
            image_write(image, 1, &byte, 1);
        }
        disk.sync_error = EIO;
        assert_int_equal(qcow2_flush(image), EIO);
        assert_int_equal(qcow2_flush(image), EIO);
        assert_int_equal(qcow2_write(image, &(struct iovec){&byte, 1}, 1, 0, 1), EIO);
        image_read(image, 0, &byte, 1);
        assert_int_equal(qcow2_close(image), EIO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_power_cut_keeps_what_was_flushed, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(snapshots_and_backing_files_survive_it, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(after_a_failed_flush_none_succeeds, make_directory,
                                        remove_directory),
    };
    if (!image_has_tools()) {
        puts("qemu-img or qemu-io isn't installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
