/* vm/device/disk_qcow2: many requests at once, of which some go straight to the engine and others
 * to threads, while flushes free clusters. What each reads is what was written, and QEMU finds the
 * image sound and reads the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_qcow2_image.h"

#include <sys/epoll.h>

#define DISK_SIZE (8u << 20)
#define SLOTS 24
#define BYTES_MAX (96u << 10)
#define REQUESTS 1500u

struct slot {
    struct disk_request request;
    struct iovec parts[2];
    bool busy;
    uint8_t *bytes;
};

static struct {
    struct loop loop;
    struct disk *disk;
    struct slot slots[SLOTS];
    uint8_t *model;
    unsigned seed, busy, done;
} test;

static unsigned pick(unsigned below)
{
    return (unsigned)rand_r(&test.seed) % below;
}

static void on_done(struct disk_request *request)
{
    struct slot *slot = loop_owner(request, struct slot, request);
    assert_int_equal(request->error, 0);
    if (request->operation == DISK_READ)
        assert_memory_equal(slot->bytes, test.model + request->offset, request->size);
    slot->busy = false;
    test.busy--;
    test.done++;
}

static bool overlaps(uint64_t offset, uint64_t size)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct disk_request *request = &test.slots[i].request;
        if (test.slots[i].busy && request->operation != DISK_FLUSH &&
            offset < request->offset + request->size && request->offset < offset + size)
            return true;
    }
    return false;
}

/* Starts a request in the slot, of a range that no other one is at. */
static void start(struct slot *slot)
{
    static const enum disk_operation operations[] = {DISK_READ,  DISK_READ,    DISK_READ,
                                                     DISK_WRITE, DISK_WRITE,   DISK_WRITE,
                                                     DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES};
    enum disk_operation operation = operations[pick(9)];
    uint64_t size = (pick(BYTES_MAX / 512) + 1) * 512ull, offset = pick(DISK_SIZE / 512) * 512ull;
    if (operation == DISK_DISCARD) { /* whole clusters, which then read as zeros */
        offset &= ~65535ull;
        size = 65536;
    }
    size = size < DISK_SIZE - offset ? size : DISK_SIZE - offset;
    if (operation == DISK_FLUSH)
        offset = size = 0;
    else if (overlaps(offset, size))
        return;
    if (operation == DISK_WRITE) {
        memset(slot->bytes, (int)pick(256), size);
        memcpy(test.model + offset, slot->bytes, size);
    } else if (operation != DISK_READ && operation != DISK_FLUSH) {
        memset(test.model + offset, 0, size);
    }
    slot->parts[0] = (struct iovec){slot->bytes, size / 4};
    slot->parts[1] = (struct iovec){slot->bytes + size / 4, size - size / 4};
    slot->request = (struct disk_request){.operation = operation,
                                          .unmap = pick(2),
                                          .offset = offset,
                                          .size = size,
                                          .parts = slot->parts,
                                          .part_count = 2,
                                          .done = on_done};
    slot->busy = true;
    test.busy++;
    disk_submit(test.disk, &slot->request);
}

static void turn(void)
{
    struct epoll_event event;
    disk_kick(test.disk);
    if (test.busy > 0 && epoll_wait(test.loop.epoll, &event, 1, 1) == 1)
        ((struct loop_source *)event.data.ptr)->ready(event.data.ptr, event.events);
}

static void open_image(bool threads)
{
    char path[200];
    struct error err = {0};
    snprintf(path, sizeof path, "%s/image", image_directory);
    test.disk = disk_open_qcow2(
        path, &(struct disk_settings){.threads = threads, .backing = DISK_BACKING_BENEATH},
        &test.loop, &err);
    if (!test.disk)
        fail_msg("%s", err.text);
}

static void run(bool threads, unsigned seed)
{
    test.model = calloc(1, DISK_SIZE);
    test.seed = seed;
    assert_int_equal(loop_open(&test.loop, NULL), 0);
    for (unsigned i = 0; i < SLOTS; i++)
        test.slots[i].bytes = malloc(BYTES_MAX);
    for (unsigned round = 0; round < 3; round++) {
        open_image(threads);
        for (test.done = 0; test.done < REQUESTS / 3;) {
            struct slot *slot = &test.slots[pick(SLOTS)];
            if (!slot->busy)
                start(slot);
            if (slot->busy || test.busy > SLOTS / 2)
                turn();
        }
        if (round == 1)
            disk_drain(test.disk);
        disk_close(test.disk);
        assert_int_equal(test.busy, 0);
        image_check("image", false);
        image_patch("model", 0, test.model, DISK_SIZE);
        image_must("qemu-img compare -f qcow2 -F raw image model");
    }
    for (unsigned i = 0; i < SLOTS; i++)
        free(test.slots[i].bytes);
    loop_close(&test.loop);
    free(test.model);
}

static void many_requests_at_once(void **state)
{
    (void)state;
    image_must("qemu-img create -q -f qcow2 image %u", DISK_SIZE);
    run(false, 1);
}

static void many_requests_by_threads_alone(void **state)
{
    (void)state;
    image_must("qemu-img create -q -f qcow2 image %u", DISK_SIZE);
    run(true, 2);
}

static void many_requests_with_a_backing_file(void **state)
{
    (void)state;
    image_must("truncate -s %u base", DISK_SIZE);
    image_must("qemu-img create -q -f qcow2 -b base -F raw -o cluster_size=4k image %u", DISK_SIZE);
    run(false, 3);
}

#define with_directory(name)                                                                       \
    cmocka_unit_test_setup_teardown(name, image_make_directory, image_remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_directory(many_requests_at_once),
        with_directory(many_requests_by_threads_alone),
        with_directory(many_requests_with_a_backing_file),
    };
    if (!image_has_tools()) {
        puts("qemu-img or qemu-io isn't installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
