#include "vm_fs_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/remove_tree.h"
#include "vm/device/virtio_fs.h"

struct driver fs_driver;
char fs_outside[64], fs_shared[80]; /* a directory, and the one in it that is shared */
uint32_t fs_written;                /* by the last answer */

void fs_quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

/* As driver_open(), with memory that the server can map. */
static void interrupt_queue(void *transport, unsigned queue)
{
    ((struct driver *)transport)->queue_interrupts[queue]++;
}
static void interrupt_config(void *transport)
{
    ((struct driver *)transport)->config_interrupts++;
}
static const struct virtio_transport_operations transport = {interrupt_queue, interrupt_config};

static void open_driver(struct virtio_device *device)
{
    struct error err = {0};
    fs_driver = (struct driver){.device = device};
    assert_int_equal(loop_open(&fs_driver.loop, &err), 0);
    assert_int_equal(guest_memory_add(&fs_driver.memory, 0, DRIVER_MEMORY_SIZE, true, false, &err),
                     0);
    assert_int_equal(virtio_device_open(device, &fs_driver.memory, &fs_driver.loop, &err), 0);
    device->transport_operations = &transport;
    device->transport = &fs_driver;
    driver_start(&fs_driver, 0);
    assert_false(device->status & VIRTIO_STATUS_NEEDS_RESET);
}

/* Turns the loop until there is an answer to the request at a queue. */
uint8_t *fs_await(unsigned queue)
{
    uint32_t head;
    while (!driver_take(&fs_driver, queue, &head, &fs_written)) {
        struct epoll_event event;
        assert_int_equal(epoll_wait(fs_driver.loop.epoll, &event, 1, 20000), 1);
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
        assert_false(fs_driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    }
    return driver_at(&fs_driver, FS_ANSWER);
}

void fs_send(unsigned queue, const void *bytes, uint32_t size, uint32_t room)
{
    const struct driver_part parts[] = {{FS_REQUEST, size, false}, {FS_ANSWER, room, true}};
    memcpy(driver_at(&fs_driver, FS_REQUEST), bytes, size);
    memset(driver_at(&fs_driver, FS_ANSWER), 0xee, 256);
    driver_add(&fs_driver, queue, 0, parts, room ? 2 : 1);
    virtio_device_notify(fs_driver.device, queue);
}

static uint8_t fs_request_bytes[0x90000];

/* A request of fixed arguments and bytes behind them. Its error, and the answer behind its header
 * in *answer. */
int fs_call_with(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
                 const void *rest, size_t rest_size, uint32_t room, const void **answer)
{
    struct fuse_in_header header = {.len = (uint32_t)(sizeof header + size + rest_size),
                                    .opcode = opcode,
                                    .unique = 77,
                                    .nodeid = node,
                                    .uid = 1234,
                                    .gid = 2345};
    struct fuse_out_header out;
    memcpy(fs_request_bytes, &header, sizeof header);
    if (size)
        memcpy(fs_request_bytes + sizeof header, arguments, size);
    if (rest_size)
        memcpy(fs_request_bytes + sizeof header + size, rest, rest_size);
    fs_send(1, fs_request_bytes, header.len, room);
    const uint8_t *bytes = fs_await(1);
    memcpy(&out, bytes, sizeof out);
    assert_int_equal(out.len, fs_written);
    assert_int_equal(out.unique, 77);
    if (answer)
        *answer = bytes + sizeof out;
    return -out.error;
}

int fs_call(uint32_t opcode, uint64_t node, const void *arguments, size_t size, const void **answer)
{
    return fs_call_with(opcode, node, arguments, size, NULL, 0, FS_ANSWER_SIZE, answer);
}

int fs_call_name(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
                 const char *name, const void **answer)
{
    return fs_call_with(opcode, node, arguments, size, name, strlen(name) + 1, FS_ANSWER_SIZE,
                        answer);
}

void fs_greet(void)
{
    const struct fuse_init_in in = {.major = 7, .minor = 38, .flags = ~0u & ~FUSE_INIT_EXT};
    const void *answer;
    assert_int_equal(fs_call(FUSE_INIT, 0, &in, sizeof in, &answer), 0);
    const struct fuse_init_out *out = answer;
    assert_int_equal(out->major, 7);
    assert_int_equal(out->max_pages, 256);
    assert_int_equal(out->max_write, 1 << 20);
}

static int fs_open_share_with(struct virtio_fs_options options)
{
    struct error err = {0};
    snprintf(fs_outside, sizeof fs_outside, "/tmp/hull-fs-XXXXXX");
    assert_non_null(mkdtemp(fs_outside));
    assert_int_equal(chmod(fs_outside, 0755), 0);
    snprintf(fs_shared, sizeof fs_shared, "%s/shared", fs_outside);
    assert_int_equal(mkdir(fs_shared, 0755), 0);
    options.tag = "share";
    options.directory = fs_shared;
    struct virtio_device *device = virtio_fs_create("fs0", &options, &err);
    if (!device)
        print_message("%s\n", err.text);
    assert_non_null(device);
    open_driver(device);
    fs_greet();
    return 0;
}

int fs_open_guest(void **state)
{
    (void)state;
    return fs_open_share_with((struct virtio_fs_options){0});
}

int fs_open_read_only(void **state)
{
    (void)state;
    return fs_open_share_with((struct virtio_fs_options){.read_only = true});
}

int fs_close_guest(void **state)
{
    (void)state;
    struct error err = {0};
    driver_close(&fs_driver);
    return remove_tree(AT_FDCWD, fs_outside, NULL, &err);
}

/* A path in the shared directory, as the host sees it. */
const char *fs_path(const char *name)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", fs_shared, name);
    return path;
}

void fs_put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

void fs_assert_content(const char *path, const char *wanted)
{
    struct error err = {0};
    char *text = file_read_all(AT_FDCWD, path, 4096, NULL, &err);
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

struct fuse_entry_out fs_entry; /* of the last lookup that succeeded */

int fs_try_look_up(uint64_t directory, const char *name)
{
    const void *answer;
    int status = fs_call_name(FUSE_LOOKUP, directory, NULL, 0, name, &answer);
    if (status == 0)
        memcpy(&fs_entry, answer, sizeof fs_entry);
    return status;
}

uint64_t fs_node_of(uint64_t directory, const char *name)
{
    assert_int_equal(fs_try_look_up(directory, name), 0);
    return fs_entry.nodeid;
}

int fs_try_open(uint64_t node, uint32_t flags, uint64_t *handle)
{
    const struct fuse_open_in in = {.flags = flags};
    const void *answer;
    int status = fs_call(FUSE_OPEN, node, &in, sizeof in, &answer);
    if (status == 0)
        *handle = ((const struct fuse_open_out *)answer)->fh;
    return status;
}

int fs_try_create(uint64_t directory, const char *name, uint32_t flags, uint32_t mode,
                  uint64_t *handle)
{
    const struct fuse_create_in in = {.flags = flags, .mode = mode};
    const void *answer;
    int status = fs_call_name(FUSE_CREATE, directory, &in, sizeof in, name, &answer);
    if (status == 0) {
        struct fuse_open_out open;
        memcpy(&fs_entry, answer, sizeof fs_entry);
        memcpy(&open, (const char *)answer + sizeof fs_entry, sizeof open);
        *handle = open.fh;
    }
    return status;
}

int fs_try_write(uint64_t handle, uint64_t offset, const char *text)
{
    const struct fuse_write_in in = {
        .fh = handle, .offset = offset, .size = (uint32_t)strlen(text)};
    return fs_call_with(FUSE_WRITE, FS_ROOT, &in, sizeof in, text, in.size, FS_ANSWER_SIZE, NULL);
}

int fs_try_release(uint64_t handle)
{
    const struct fuse_release_in in = {.fh = handle};
    return fs_call(FUSE_RELEASE, FS_ROOT, &in, sizeof in, NULL);
}
