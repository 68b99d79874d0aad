/* vm/device/virtio_fs: the process that serves a share: what it may do, and what becomes of the
 * device without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "vm/device/virtio_fs.h"
#include "vm_fs_guest.h"

static void a_read_only_share_stays_as_it_is(void **state)
{
    (void)state;
    uint64_t handle;
    fs_put(fs_path("file"), "text");
    uint64_t node = fs_node_of(FS_ROOT, "file");
    assert_int_equal(fs_try_create(FS_ROOT, "new", O_RDWR, 0644, &handle), EROFS);
    assert_int_equal(fs_try_open(node, O_RDWR, &handle), EROFS);
    assert_int_equal(fs_call_name(FUSE_UNLINK, FS_ROOT, NULL, 0, "file", NULL), EROFS);
    const struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0777};
    assert_int_equal(fs_call(FUSE_SETATTR, node, &in, sizeof in, NULL), EROFS);
    assert_int_equal(fs_try_open(node, O_RDONLY, &handle), 0);
}

/* The server is our only child. */
static int server_id(void)
{
    char path[64];
    struct error err = {0};
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    char *text = file_read_all(AT_FDCWD, path, 4096, NULL, &err);
    assert_non_null(text);
    int id = atoi(text);
    free(text);
    assert_true(id > 0);
    return id;
}

static void the_server_is_confined(void **state)
{
    (void)state;
    char path[64], target[128] = "";
    struct error err = {0};
    struct stat root, directory;
    int id = server_id();
    snprintf(path, sizeof path, "/proc/%d/status", id);
    char *text = file_read_all(AT_FDCWD, path, 65536, NULL, &err);
    assert_non_null(text);
    assert_non_null(strstr(text, "NoNewPrivs:\t1"));
    assert_non_null(strstr(text, "Seccomp:\t2"));
    assert_non_null(strstr(text, "CapEff:\t00000000880000df"));
    assert_non_null(strstr(text, "CapBnd:\t00000000880000df"));
    free(text);
    snprintf(path, sizeof path, "/proc/%d/root", id);
    assert_int_equal(stat(path, &root), 0);
    assert_int_equal(stat(fs_shared, &directory), 0);
    assert_int_equal(root.st_ino, directory.st_ino);
    snprintf(path, sizeof path, "/proc/%d/mountinfo", id);
    text = file_read_all(AT_FDCWD, path, 65536, NULL, &err);
    assert_non_null(text);
    assert_null(strchr(strchr(text, '\n') + 1, '\n')); /* one mount */
    assert_non_null(strstr(text, "nosuid,nodev,noexec"));
    free(text);
    snprintf(path, sizeof path, "/proc/%d/ns/net", id);
    char ours[128] = "";
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    assert_true(readlink("/proc/self/ns/net", ours, sizeof ours - 1) > 0);
    assert_string_not_equal(target, ours);
}

static void a_server_that_died_is_noticed(void **state)
{
    (void)state;
    assert_int_equal(kill(server_id(), SIGKILL), 0);
    while (!(fs_driver.device->status & VIRTIO_STATUS_NEEDS_RESET)) {
        struct epoll_event event;
        assert_int_equal(epoll_wait(fs_driver.loop.epoll, &event, 1, 20000), 1);
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
    virtio_device_set_status(fs_driver.device, 0);
    driver_start(&fs_driver, 0);
    assert_true(fs_driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void a_malformed_request_breaks_the_device(void **state)
{
    (void)state;
    const struct driver_part parts[] = {{DRIVER_MEMORY_SIZE - 8, 64, false}, {FS_ANSWER, 64, true}};
    driver_add(&fs_driver, 1, 0, parts, 2);
    virtio_device_notify(fs_driver.device, 1);
    while (!(fs_driver.device->status & VIRTIO_STATUS_NEEDS_RESET)) {
        struct epoll_event event;
        assert_int_equal(epoll_wait(fs_driver.loop.epoll, &event, 1, 20000), 1);
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
    virtio_device_set_status(fs_driver.device, 0);
    driver_start(&fs_driver, 0);
    fs_greet();
}

static void what_cannot_be_shared_is_said(void **state)
{
    (void)state;
    struct error err = {0};
    struct virtio_fs_options options = {.tag = "t", .directory = "/nowhere/at/all"};
    assert_null(virtio_fs_create("fs", &options, &err));
    assert_non_null(strstr(err.text, "can't share '/nowhere/at/all': No such file"));
    options.tag = "";
    assert_null(virtio_fs_create("fs", &options, &err));
    options.tag = "a tag of more than thirty-six letters";
    assert_null(virtio_fs_create("fs", &options, &err));
}

static void memory_of_its_own_cannot_be_served(void **state)
{
    (void)state;
    struct error err = {0};
    struct virtio_fs_options options = {.tag = "t", .directory = "/tmp"};
    struct virtio_device *device = virtio_fs_create("fs", &options, &err);
    assert_non_null(device);
    driver_open(&fs_driver, device, 0);
    assert_true(device->status & VIRTIO_STATUS_NEEDS_RESET);
    driver_close(&fs_driver);
}

#define with_share(test) cmocka_unit_test_setup_teardown(test, fs_open_guest, fs_close_guest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_read_only_share_stays_as_it_is, fs_open_read_only,
                                        fs_close_guest),
        with_share(the_server_is_confined),
        with_share(a_server_that_died_is_noticed),
        with_share(a_malformed_request_breaks_the_device),
        cmocka_unit_test(what_cannot_be_shared_is_said),
        cmocka_unit_test(memory_of_its_own_cannot_be_served),
    };
    vm_log_set_sink(fs_quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
