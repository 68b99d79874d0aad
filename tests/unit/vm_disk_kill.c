/* A process that writes through a disk is killed at any instant: every write whose flush was
 * acknowledged is found afterwards, and the image is sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_qcow2_image.h"

#include <signal.h>
#include <sys/epoll.h>

#define DISK_SIZE (64u << 20)
#define BLOCK 4096u
#define BLOCKS (DISK_SIZE / BLOCK)

static struct disk *open_disk(struct loop *loop, bool qcow2, bool threads)
{
    char path[200];
    struct error err = {0};
    const struct disk_settings settings = {.threads = threads};
    snprintf(path, sizeof path, "%s/disk", image_directory);
    struct disk *disk = qcow2 ? disk_open_qcow2(path, &settings, loop, &err)
                              : disk_open_raw(path, &settings, loop, &err);
    if (!disk)
        fail_msg("%s", err.text);
    return disk;
}

static void on_done(struct disk_request *request)
{
    request->disk = NULL;
}

/* Makes a request and waits for it; its error. */
static int wait_for(struct loop *loop, struct disk *disk, struct disk_request *request)
{
    struct epoll_event event;
    request->done = on_done;
    disk_submit(disk, request);
    disk_kick(disk);
    while (request->disk) {
        if (epoll_wait(loop->epoll, &event, 1, -1) == 1)
            ((struct loop_source *)event.data.ptr)->ready(event.data.ptr, event.events);
    }
    return request->error;
}

static int transfer(struct loop *loop, struct disk *disk, enum disk_operation operation,
                    unsigned block, uint32_t *words)
{
    struct iovec part = {words, BLOCK};
    struct disk_request request = {.operation = operation,
                                   .offset = (uint64_t)block * BLOCK,
                                   .size = BLOCK,
                                   .parts = &part,
                                   .part_count = 1};
    return wait_for(loop, disk, &request);
}

/* Blocks in an order that isn't theirs, so that tables are changed everywhere. */
static unsigned block_of(uint32_t number)
{
    return number * 769u % BLOCKS;
}

/* Writes numbers from first on, and tells those whose flush was acknowledged. */
static _Noreturn void write_until_killed(bool qcow2, bool threads, uint32_t first, int told)
{
    struct loop loop;
    uint32_t words[BLOCK / 4];
    if (loop_open(&loop, NULL) < 0)
        _exit(1);
    struct disk *disk = open_disk(&loop, qcow2, threads);
    for (uint32_t number = first;; number++) {
        for (unsigned i = 0; i < BLOCK / 4; i++)
            words[i] = number;
        struct disk_request flush = {.operation = DISK_FLUSH};
        if (transfer(&loop, disk, DISK_WRITE, block_of(number), words) ||
            (number % 3 == 0 && wait_for(&loop, disk, &flush)))
            _exit(1);
        if (number % 3 == 0 && write(told, &number, sizeof number) != sizeof number)
            _exit(1);
    }
}

/* Starts the writer, and kills it some microseconds after so many flushes; the last number told. */
static uint32_t kill_writer(bool qcow2, bool threads, uint32_t first, unsigned flushes,
                            unsigned microseconds)
{
    int told[2], status;
    uint32_t last = 0;
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(told[0]);
        write_until_killed(qcow2, threads, first, told[1]);
    }
    close(told[1]);
    while (flushes-- > 0)
        assert_int_equal(read(told[0], &last, sizeof last), sizeof last);
    usleep(microseconds);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(told[0], &last, sizeof last) == sizeof last) {
    }
    close(told[0]);
    return last;
}

static void assert_written(bool qcow2, uint32_t last)
{
    struct loop loop;
    uint32_t words[BLOCK / 4];
    assert_int_equal(loop_open(&loop, NULL), 0);
    struct disk *disk = open_disk(&loop, qcow2, false);
    for (uint32_t number = 1; number <= last; number++) {
        assert_int_equal(transfer(&loop, disk, DISK_READ, block_of(number), words), 0);
        assert_int_equal(words[0], number);
        assert_int_equal(words[BLOCK / 4 - 1], number);
    }
    disk_close(disk);
    loop_close(&loop);
}

static void kill_often(bool qcow2, bool threads)
{
    uint32_t last = 0;
    for (unsigned round = 0; round < 8; round++) {
        last = kill_writer(qcow2, threads, last + 1, 3 + round * 5, round * 137);
        if (qcow2)
            image_check("disk", true);
        assert_written(qcow2, last);
    }
}

static void a_raw_disk_keeps_what_was_flushed(void **state)
{
    (void)state;
    image_must("truncate -s %u disk", DISK_SIZE);
    kill_often(false, false);
    image_must("rm disk; truncate -s %u disk", DISK_SIZE);
    kill_often(false, true);
}

static void an_image_keeps_what_was_flushed(void **state)
{
    (void)state;
    if (!image_has_tools()) {
        puts("qemu-img or qemu-io isn't installed");
        skip();
    }
    image_must("qemu-img create -q -f qcow2 -o cluster_size=4k disk %u", DISK_SIZE);
    kill_often(true, false);
    image_must("qemu-img create -q -f qcow2 disk %u", DISK_SIZE);
    kill_often(true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_raw_disk_keeps_what_was_flushed, image_make_directory,
                                        image_remove_directory),
        cmocka_unit_test_setup_teardown(an_image_keeps_what_was_flushed, image_make_directory,
                                        image_remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
