/* vm/device/qcow2*: images that QEMU made are read as it reads them, and those that are written
 * here are sound and equal to it. What a crash leaves is in vm_qcow2_crash.c, hostile images in
 * vm_qcow2_hostile.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_qcow2_image.h"

#include <pthread.h>
#include <sys/stat.h>

/* Reads all of an image as what we see, into a file, and lets qemu-img compare. */
static void assert_reads_as_qemu(const char *name)
{
    struct qcow2 *image = image_open(name, true);
    uint64_t size = qcow2_size(image);
    uint8_t *bytes = malloc(size);
    for (uint64_t at = 0; at < size; at += 300 * 512)
        image_read(image, at, bytes + at, size - at < 300 * 512 ? size - at : 300 * 512);
    image_patch("ours.raw", 0, bytes, size);
    image_must("truncate -s %llu ours.raw", (unsigned long long)size);
    image_must("qemu-img compare -f qcow2 -F raw %s ours.raw", name);
    image_must("rm ours.raw");
    assert_int_equal(qcow2_close(image), 0);
    free(bytes);
}

/* Some data, at places that are no multiples of clusters. */
static void make_base(const char *name, const char *options)
{
    image_must("qemu-img create -q -f qcow2 %s %s 3000k", options, name);
    image_must("qemu-io -f qcow2 -c 'write -P 1 0 70k' -c 'write -P 2 130k 3k' "
               "-c 'write -z 20k 40k' -c 'write -P 3 1000k 1000k' -c 'discard 1200k 100k' "
               "-c 'write -P 5 2990k 10k' %s",
               name);
}

static const char *const options[] = {
    "-o compat=1.1",
    "-o compat=0.10",
    "-o compat=1.1,cluster_size=512",
    "-o compat=1.1,cluster_size=2M",
    "-o compat=1.1,cluster_size=4k,refcount_bits=1",
    "-o compat=1.1,refcount_bits=64,lazy_refcounts=on",
    "-o compat=1.1,preallocation=metadata",
    "-o compat=0.10,cluster_size=1k",
};
#define OPTIONS_COUNT (sizeof options / sizeof *options)

static void what_qemu_wrote_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        make_base("image", options[i]);
        assert_reads_as_qemu("image");
    }
}

static void compressed_images_are_read(void **state)
{
    (void)state;
    image_must("head -c 300000 /dev/urandom >noise; yes hull | head -c 900000 >text; "
               "cat text noise text >plain");
    static const char *const ways[] = {
        "-c -o compat=0.10",           "-c -o cluster_size=4k",
        "-c -o compression_type=zstd", "-c -o compression_type=zstd,cluster_size=2M",
        "-c -o cluster_size=512",
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        image_must("qemu-img convert -f raw -O qcow2 %s plain image", ways[i]);
        assert_reads_as_qemu("image");
    }
}

static void backing_files_are_followed(void **state)
{
    (void)state;
    make_base("base", "");
    image_must("qemu-img convert -f qcow2 -O raw base base.raw");
    image_must("truncate -s 2500k base.raw");
    image_must("qemu-img create -q -f qcow2 -b base.raw -F raw one 2800k");
    image_must("qemu-io -f qcow2 -c 'write -P 7 64k 5k' -c 'write -z 1024k 256k' one");
    image_must("qemu-img create -q -f qcow2 -o cluster_size=4k -b one -F qcow2 two 4000k");
    image_must("qemu-io -f qcow2 -c 'write -P 8 66k 1k' -c 'write -P 9 3000k 64k' two");
    image_must("qemu-img create -q -f qcow2 -b two -F qcow2 three 1000k");
    assert_reads_as_qemu("one");
    assert_reads_as_qemu("two");
    assert_reads_as_qemu("three");
}

/* A copy in memory of what the image should read as. */
struct model {
    struct qcow2 *image;
    uint8_t *bytes, *seen;
    uint64_t size;
    unsigned seed;
};

static unsigned pick(struct model *model, unsigned below)
{
    return (unsigned)rand_r(&model->seed) % below;
}

static void pick_range(struct model *model, uint64_t most, uint64_t *offset, uint64_t *size)
{
    uint64_t sectors = model->size / 512;
    *offset = pick(model, (unsigned)sectors) * 512ull;
    *size = (pick(model, (unsigned)(most / 512)) + 1) * 512ull;
    if (*size > model->size - *offset)
        *size = model->size - *offset;
    if (pick(model, 4) == 0) { /* whole clusters, often */
        *offset &= ~65535ull;
        *size = model->size - *offset < 131072 ? model->size - *offset : 131072;
    }
}

static void assert_range(struct model *model, uint64_t offset, uint64_t size)
{
    image_read(model->image, offset, model->seen, size);
    assert_memory_equal(model->seen, model->bytes + offset, size);
}

static void write_some(struct model *model)
{
    uint64_t offset, size;
    pick_range(model, 100000, &offset, &size);
    memset(model->bytes + offset, (int)pick(model, 255) + 1, size);
    model->bytes[offset] = 0x55;
    struct iovec parts[3] = {{model->bytes + offset, 100},
                             {model->bytes + offset + 100, 0},
                             {model->bytes + offset + 100, size - 100}};
    assert_int_equal(qcow2_write(model->image, parts, 3, offset, size), 0);
}

static void zero_some(struct model *model)
{
    uint64_t offset, size;
    pick_range(model, 300000, &offset, &size);
    memset(model->bytes + offset, 0, size);
    assert_int_equal(qcow2_write_zeros(model->image, offset, size, pick(model, 2)), 0);
}

/* What was discarded may read as anything, so as it does, but not its neighbours. */
static void discard_some(struct model *model)
{
    uint64_t offset, size;
    pick_range(model, 300000, &offset, &size);
    assert_int_equal(qcow2_discard(model->image, offset, size), 0);
    image_read(model->image, offset, model->bytes + offset, size);
}

static void reopen(struct model *model, const char *name)
{
    assert_int_equal(qcow2_close(model->image), 0);
    image_check(name, false);
    model->image = image_open(name, false);
}

/* Changes an image at random and compares it all the time; at the end QEMU compares. */
static void change(const char *name, unsigned seed, unsigned steps)
{
    struct model model = {.image = image_open(name, false), .seed = seed};
    model.size = qcow2_size(model.image);
    model.bytes = malloc(model.size);
    model.seen = malloc(model.size);
    image_read(model.image, 0, model.bytes, model.size);
    for (unsigned i = 0; i < steps; i++) {
        unsigned what = pick(&model, 20);
        uint64_t offset, size;
        if (what < 10)
            write_some(&model);
        else if (what < 13)
            zero_some(&model);
        else if (what < 15)
            discard_some(&model);
        else if (what < 16)
            assert_int_equal(qcow2_flush(model.image), 0);
        pick_range(&model, 200000, &offset, &size);
        assert_range(&model, offset, size);
        if (i % 60 == 59)
            reopen(&model, name);
    }
    assert_range(&model, 0, model.size);
    assert_int_equal(qcow2_close(model.image), 0);
    image_check(name, false);
    image_patch("model.raw", 0, model.bytes, model.size);
    image_must(
        "qemu-img compare -f qcow2 -F raw %s model.raw; status=$?; rm model.raw; exit $status",
        name);
    free(model.bytes);
    free(model.seen);
}

static void what_is_written_qemu_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        make_base("image", options[i]);
        change("image", (unsigned)i, 150);
    }
}

static void images_with_backing_files_are_written(void **state)
{
    (void)state;
    make_base("base", "");
    static const char *const ways[] = {"", "-o compat=0.10", "-o cluster_size=1k"};
    for (size_t i = 0; i < 3; i++) {
        image_must("cp base before");
        image_must("qemu-img create -q -f qcow2 %s -b base -F qcow2 image 3300k", ways[i]);
        change("image", 100 + (unsigned)i, 150);
        image_must("cmp base before");
    }
}

static void compressed_clusters_are_overwritten(void **state)
{
    (void)state;
    make_base("base", "");
    image_must("qemu-img convert -c -f qcow2 -O qcow2 -o cluster_size=16k base image");
    change("image", 200, 150);
}

/* What a snapshot in the image refers to stays as it was. */
static void snapshots_are_kept(void **state)
{
    (void)state;
    make_base("image", "-o cluster_size=4k");
    image_must("qemu-img convert -f qcow2 -O raw image before");
    image_must("qemu-img snapshot -c one image");
    change("image", 300, 100);
    image_must("qemu-img convert -f qcow2 -O raw image middle");
    image_must("qemu-img snapshot -c two image");
    change("image", 301, 100);
    image_must("qemu-img snapshot -a one image && qemu-img compare -f qcow2 -F raw image before");
    image_must("qemu-img snapshot -a two image && qemu-img compare -f qcow2 -F raw image middle");
    image_must("qemu-img snapshot -d one image && qemu-img snapshot -d two image");
    image_check("image", false);
}

/* The refcount table begins with one cluster, which here stands for 8 MiB (of 512 bytes) only. */
static void the_refcount_table_grows(void **state)
{
    (void)state;
    enum { PIECE = 1 << 20 };
    uint8_t *bytes = malloc(PIECE);
    image_must("qemu-img create -q -f qcow2 -o cluster_size=512 image 40M");
    struct qcow2 *image = image_open("image", false);
    for (unsigned i = 0; i < 40; i++) {
        memset(bytes, (int)i + 1, PIECE);
        image_write(image, (uint64_t)i * PIECE, bytes, PIECE);
    }
    assert_int_equal(qcow2_close(image), 0);
    image_check("image", false);
    assert_true(image_get_number("image", 56, 4) > 1);
    image = image_open("image", true);
    for (unsigned i = 0; i < 40; i++) {
        image_read(image, (uint64_t)i * PIECE, bytes, PIECE);
        assert_int_equal(bytes[0], i + 1);
        assert_int_equal(bytes[PIECE - 1], i + 1);
    }
    assert_int_equal(qcow2_close(image), 0);
    free(bytes);
}

static uint64_t blocks_of(const char *name)
{
    char path[200];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", image_directory, name);
    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* Discarded clusters are used again, and their room is given back. */
static void discards_give_room_back(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    uint8_t *bytes = malloc(SIZE);
    memset(bytes, 7, SIZE);
    image_must("qemu-img create -q -f qcow2 image 16M");
    struct qcow2 *image = image_open("image", false);
    image_write(image, 0, bytes, SIZE);
    assert_int_equal(qcow2_flush(image), 0);
    uint64_t full = blocks_of("image");
    assert_int_equal(qcow2_discard(image, 0, SIZE), 0);
    assert_int_equal(qcow2_flush(image), 0);
    assert_true(blocks_of("image") + SIZE / 2 < full);
    for (unsigned i = 0; i < 10; i++) {
        image_write(image, 8 << 20, bytes, SIZE);
        assert_int_equal(qcow2_write_zeros(image, 8 << 20, SIZE, true), 0);
        assert_int_equal(qcow2_flush(image), 0);
    }
    image_write(image, 4 << 20, bytes, SIZE);
    assert_int_equal(qcow2_close(image), 0);
    image_must("test $(stat -c %%s image) -lt 10000000");
    image_check("image", false);
    free(bytes);
}

/* Threads that share clusters but no sectors: none loses what it wrote. */
struct writer {
    struct qcow2 *image;
    unsigned index;
    int error;
};
enum { WRITERS = 4, ROUNDS = 64 };

static void *write_stripes(void *argument)
{
    struct writer *writer = argument;
    uint8_t bytes[512];
    memset(bytes, (int)writer->index + 1, sizeof bytes);
    for (unsigned i = 0; i < ROUNDS * 4 && !writer->error; i++) {
        uint64_t offset = (i * WRITERS + writer->index) * sizeof bytes;
        writer->error = qcow2_write(writer->image, &(struct iovec){bytes, sizeof bytes}, 1, offset,
                                    sizeof bytes);
        if (!writer->error && i % 16 == 0)
            writer->error = qcow2_flush(writer->image);
        if (!writer->error && i % 8 == 0) /* elsewhere, so that clusters are freed meanwhile */
            writer->error = qcow2_discard(writer->image, (2 + writer->index) << 20, 65536);
        if (!writer->error && i % 4 == 0)
            writer->error = qcow2_write(writer->image, &(struct iovec){bytes, sizeof bytes}, 1,
                                        (2 + writer->index) << 20, sizeof bytes);
    }
    return NULL;
}

static void threads_share_an_image(void **state)
{
    (void)state;
    make_base("base", "");
    for (unsigned round = 0; round < 2; round++) {
        image_must(round ? "qemu-img create -q -f qcow2 -b base -F qcow2 image 8M"
                         : "qemu-img create -q -f qcow2 -o cluster_size=4k image 8M");
        pthread_t threads[WRITERS];
        struct writer writers[WRITERS];
        struct qcow2 *image = image_open("image", false);
        for (unsigned i = 0; i < WRITERS; i++) {
            writers[i] = (struct writer){.image = image, .index = i};
            assert_int_equal(pthread_create(&threads[i], NULL, write_stripes, &writers[i]), 0);
        }
        for (unsigned i = 0; i < WRITERS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(writers[i].error, 0);
        }
        for (unsigned i = 0; i < WRITERS * ROUNDS * 4; i++) {
            uint8_t bytes[512];
            image_read(image, i * 512, bytes, sizeof bytes);
            assert_int_equal(bytes[0], i % WRITERS + 1);
            assert_int_equal(bytes[511], i % WRITERS + 1);
        }
        assert_int_equal(qcow2_close(image), 0);
        image_check("image", false);
    }
}

#define with_directory(test)                                                                       \
    cmocka_unit_test_setup_teardown(test, image_make_directory, image_remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_directory(what_qemu_wrote_is_read),
        with_directory(compressed_images_are_read),
        with_directory(backing_files_are_followed),
        with_directory(what_is_written_qemu_reads),
        with_directory(images_with_backing_files_are_written),
        with_directory(compressed_clusters_are_overwritten),
        with_directory(snapshots_are_kept),
        with_directory(the_refcount_table_grows),
        with_directory(discards_give_room_back),
        with_directory(threads_share_an_image),
    };
    if (!image_has_tools()) {
        puts("qemu-img or qemu-io isn't installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
