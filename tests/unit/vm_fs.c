/* vm/device/virtio_fs: files and their attributes, what a guest has forgotten, and sizes that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/device/fs_session.h"
#include "vm_fs_guest.h"

static void files_are_made_written_and_read(void **state)
{
    (void)state;
    uint64_t handle;
    struct stat status;
    const void *answer;
    assert_int_equal(fs_try_create(FS_ROOT, "new", O_RDWR, 0640, &handle), 0);
    assert_int_equal(fs_entry.attr.mode, S_IFREG | 0640);
    assert_int_equal(fs_try_write(handle, 0, "Hello guest"), 0);
    assert_int_equal(fs_try_write(handle, 6, "host!"), 0);
    fs_assert_content(fs_path("new"), "Hello host!");
    assert_int_equal(stat(fs_path("new"), &status), 0);
    assert_int_equal(status.st_uid, 1234); /* the guest's user's */
    assert_int_equal(status.st_gid, 2345);
    const struct fuse_read_in in = {.fh = handle, .offset = 6, .size = 4096};
    assert_int_equal(fs_call(FUSE_READ, fs_entry.nodeid, &in, sizeof in, &answer), 0);
    assert_int_equal(fs_written, sizeof(struct fuse_out_header) + 5);
    assert_memory_equal(answer, "host!", 5);
    const struct fuse_fsync_in sync = {.fh = handle};
    assert_int_equal(fs_call(FUSE_FSYNC, fs_entry.nodeid, &sync, sizeof sync, NULL), 0);
    const struct fuse_flush_in flush = {.fh = handle};
    assert_int_equal(fs_call(FUSE_FLUSH, fs_entry.nodeid, &flush, sizeof flush, NULL), 0);
    assert_int_equal(fs_try_release(handle), 0);
    assert_int_equal(fs_try_release(handle), EBADF);
    assert_int_equal(fs_try_write(handle, 0, "x"), EBADF);
    assert_int_equal(fs_try_create(FS_ROOT, "new", O_RDWR | O_EXCL, 0640, &handle), EEXIST);
    assert_int_equal(fs_try_create(FS_ROOT, "new", O_RDWR, 0640, &handle), 0); /* made meanwhile */
    assert_int_equal(fs_try_open(fs_node_of(FS_ROOT, "new"), O_RDWR | O_TRUNC, &handle), 0);
    fs_assert_content(fs_path("new"), "");
}

static void a_megabyte_goes_at_once(void **state)
{
    (void)state;
    enum { SIZE = 0x80000 };
    static uint8_t bytes[SIZE];
    uint64_t handle;
    struct stat status;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 999);
    assert_int_equal(fs_try_create(FS_ROOT, "big", O_RDWR, 0600, &handle), 0);
    const struct fuse_write_in in = {.fh = handle, .size = SIZE};
    assert_int_equal(
        fs_call_with(FUSE_WRITE, FS_ROOT, &in, sizeof in, bytes, SIZE, FS_ANSWER_SIZE, NULL), 0);
    assert_int_equal(stat(fs_path("big"), &status), 0);
    assert_int_equal(status.st_size, SIZE);
    const void *answer;
    const struct fuse_read_in read_in = {.fh = handle, .offset = 1000, .size = 0x30000};
    assert_int_equal(fs_call(FUSE_READ, FS_ROOT, &read_in, sizeof read_in, &answer), 0);
    assert_int_equal(fs_written, 16 + 0x30000);
    assert_memory_equal(answer, bytes + 1000, 0x30000);
}

static void attributes_are_set(void **state)
{
    (void)state;
    struct stat status;
    const void *answer;
    fs_put(fs_path("file"), "0123456789");
    uint64_t node = fs_node_of(FS_ROOT, "file");
    const struct fuse_setattr_in in = {.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE |
                                                FATTR_ATIME | FATTR_MTIME,
                                       .mode = 04755,
                                       .uid = 10,
                                       .gid = 20,
                                       .size = 4,
                                       .atime = 1000,
                                       .mtime = 2000,
                                       .mtimensec = 5};
    assert_int_equal(fs_call(FUSE_SETATTR, node, &in, sizeof in, &answer), 0);
    const struct fuse_attr_out *out = answer;
    assert_int_equal(out->attr.mode, S_IFREG | 04755);
    assert_int_equal(stat(fs_path("file"), &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 04755);
    assert_int_equal(status.st_uid, 10);
    assert_int_equal(status.st_gid, 20);
    assert_int_equal(status.st_size, 4);
    assert_int_equal(status.st_atim.tv_sec, 1000);
    assert_int_equal(status.st_mtim.tv_nsec, 5);
    const struct fuse_setattr_in huge = {.valid = FATTR_SIZE, .size = UINT64_MAX};
    assert_int_equal(fs_call(FUSE_SETATTR, node, &huge, sizeof huge, NULL), EFBIG);
    assert_int_equal(fs_call(FUSE_SETATTR, FS_ROOT, &huge, sizeof huge, NULL), EISDIR);
    const struct fuse_setattr_in handle = {.valid = FATTR_SIZE | FATTR_FH, .fh = 12};
    assert_int_equal(fs_call(FUSE_SETATTR, node, &handle, sizeof handle, NULL), EBADF);
    const struct fuse_access_in access_in = {.mask = R_OK};
    assert_int_equal(fs_call(FUSE_ACCESS, node, &access_in, sizeof access_in, NULL), 0);
    const struct fuse_access_in write_in = {.mask = W_OK};
    assert_int_equal(fs_call(FUSE_ACCESS, node, &write_in, sizeof write_in, NULL), EACCES);
    assert_int_equal(fs_call(FUSE_STATFS, FS_ROOT, NULL, 0, &answer), 0);
    assert_true(((const struct fuse_statfs_out *)answer)->st.namelen >= 255);
}

static void extended_attributes_are_kept(void **state)
{
    (void)state;
    char value[64];
    const void *answer;
    fs_put(fs_path("file"), "");
    uint64_t node = fs_node_of(FS_ROOT, "file");
    const uint32_t set[2] = {5, 0};
    static const char pair[] = "user.key\0value";
    int status = fs_call_with(FUSE_SETXATTR, node, set, sizeof set, pair, sizeof pair - 1,
                              FS_ANSWER_SIZE, NULL);
    if (status == EOPNOTSUPP)
        skip();
    assert_int_equal(status, 0);
    assert_int_equal(getxattr(fs_path("file"), "user.key", value, sizeof value), 5);
    struct fuse_getxattr_in get = {0};
    assert_int_equal(fs_call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", &answer), 0);
    assert_int_equal(((const struct fuse_getxattr_out *)answer)->size, 5);
    get.size = 5;
    assert_int_equal(fs_call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", &answer), 0);
    assert_memory_equal(answer, "value", 5);
    get.size = 3;
    assert_int_equal(fs_call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", NULL), ERANGE);
    get.size = 4096;
    assert_int_equal(fs_call_with(FUSE_GETXATTR, node, &get, sizeof get, "user.key", 9, 16, NULL),
                     ERANGE); /* no room for it */
    assert_int_equal(fs_call(FUSE_LISTXATTR, node, &get, sizeof get, &answer), 0);
    assert_int_equal(fs_written, 16 + 9);
    const uint32_t lie[2] = {50000, 0};
    assert_int_equal(fs_call_with(FUSE_SETXATTR, node, lie, sizeof lie, pair, sizeof pair - 1,
                                  FS_ANSWER_SIZE, NULL),
                     EINVAL);
    assert_int_equal(fs_call_name(FUSE_REMOVEXATTR, node, NULL, 0, "user.key", NULL), 0);
    assert_int_equal(fs_call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", NULL),
                     ENODATA);
}

static void holes_copies_and_nameless_files_work(void **state)
{
    (void)state;
    uint64_t one, two, nameless;
    const void *answer;
    assert_int_equal(fs_try_create(FS_ROOT, "one", O_RDWR, 0644, &one), 0);
    assert_int_equal(fs_try_create(FS_ROOT, "two", O_RDWR, 0644, &two), 0);
    const struct fuse_fallocate_in allocate = {.fh = one, .length = 65536};
    assert_int_equal(fs_call(FUSE_FALLOCATE, FS_ROOT, &allocate, sizeof allocate, NULL), 0);
    assert_int_equal(fs_try_write(one, 0, "copied"), 0);
    const struct fuse_fallocate_in odd = {.fh = one, .length = UINT64_MAX};
    assert_int_equal(fs_call(FUSE_FALLOCATE, FS_ROOT, &odd, sizeof odd, NULL), EINVAL);
    const struct fuse_lseek_in seek = {.fh = one, .whence = SEEK_HOLE};
    assert_int_equal(fs_call(FUSE_LSEEK, FS_ROOT, &seek, sizeof seek, &answer), 0);
    const struct fuse_lseek_in end = {.fh = one, .whence = SEEK_END};
    assert_int_equal(fs_call(FUSE_LSEEK, FS_ROOT, &end, sizeof end, NULL), EINVAL);
    const struct fuse_copy_file_range_in copy = {.fh_in = one, .fh_out = two, .len = 6};
    assert_int_equal(fs_call(FUSE_COPY_FILE_RANGE, FS_ROOT, &copy, sizeof copy, &answer), 0);
    assert_int_equal(((const struct fuse_write_out *)answer)->size, 6);
    fs_assert_content(fs_path("two"), "copied");
    const struct fuse_syncfs_in sync = {0};
    assert_int_equal(fs_call(FUSE_SYNCFS, FS_ROOT, &sync, sizeof sync, NULL), 0);
    const struct fuse_create_in in = {.flags = O_RDWR, .mode = 0600};
    int status = fs_call_name(FUSE_TMPFILE, FS_ROOT, &in, sizeof in, "/", &answer);
    if (status == EOPNOTSUPP)
        return;
    assert_int_equal(status, 0);
    memcpy(&fs_entry, answer, sizeof fs_entry);
    memcpy(&nameless, (const char *)answer + sizeof fs_entry, sizeof nameless);
    assert_int_equal(fs_try_write(nameless, 0, "named later"), 0);
    const struct fuse_link_in link = {.oldnodeid = fs_entry.nodeid};
    assert_int_equal(fs_call_name(FUSE_LINK, FS_ROOT, &link, sizeof link, "named", NULL), 0);
    fs_assert_content(fs_path("named"), "named later");
}

static void sizes_that_lie_are_refused(void **state)
{
    (void)state;
    uint64_t handle;
    const void *answer;
    fs_put(fs_path("file"), "0123456789");
    uint64_t node = fs_node_of(FS_ROOT, "file");
    assert_int_equal(fs_try_open(node, O_RDWR, &handle), 0);
    const struct fuse_write_in more = {.fh = handle, .size = 1 << 20};
    assert_int_equal(fs_call_with(FUSE_WRITE, node, &more, sizeof more, "x", 1, 256, NULL), EINVAL);
    const struct fuse_write_in far = {.fh = handle, .offset = UINT64_MAX, .size = 1};
    assert_int_equal(fs_call_with(FUSE_WRITE, node, &far, sizeof far, "x", 1, 256, NULL), EINVAL);
    const struct fuse_read_in far_read = {.fh = handle, .offset = UINT64_MAX - 4, .size = 10};
    assert_int_equal(fs_call(FUSE_READ, node, &far_read, sizeof far_read, NULL), EINVAL);
    /* It asks for more than it left room for. */
    const struct fuse_read_in in = {.fh = handle, .size = UINT32_MAX};
    assert_int_equal(fs_call_with(FUSE_READ, node, &in, sizeof in, NULL, 0, 20, &answer), 0);
    assert_int_equal(fs_written, 20);
    assert_memory_equal(answer, "0123", 4);
    assert_int_equal(fs_call_with(FUSE_GETATTR, node, NULL, 0, NULL, 0, 40, NULL), EINVAL);
    assert_int_equal(fs_call(FUSE_SETATTR, node, "abc", 3, NULL), EINVAL);
    assert_int_equal(fs_call(FUSE_MKNOD, FS_ROOT, "abc", 3, NULL), EINVAL);
    static const char long_request[0x20000];
    assert_int_equal(fs_call(FUSE_SETXATTR, node, long_request, sizeof long_request, NULL), E2BIG);
    assert_int_equal(fs_call(9999, node, NULL, 0, NULL), ENOSYS);
    assert_int_equal(fs_call(FUSE_IOCTL, node, NULL, 0, NULL), ENOSYS);
    assert_int_equal(fs_call(0, node, NULL, 0, NULL), ENOSYS);
    /* Less than a header; and no room for an answer at all. */
    fs_send(1, "12345", 5, 64);
    fs_await(1);
    assert_int_equal(fs_written, 16);
    fs_send(1, &(struct fuse_in_header){.len = 40, .opcode = FUSE_GETATTR}, 40, 0);
    fs_await(1);
    assert_int_equal(fs_written, 0);
}

static void forget(uint64_t node, uint64_t lookups)
{
    struct {
        struct fuse_in_header header;
        struct fuse_forget_in in;
    } packet = {{.len = sizeof packet, .opcode = FUSE_FORGET, .nodeid = node}, {lookups}};
    fs_send(0, &packet, sizeof packet, 0); /* in the queue for what hurries */
    fs_await(0);
    assert_int_equal(fs_written, 0);
}

static void forgotten_files_are_nothing(void **state)
{
    (void)state;
    fs_put(fs_path("file"), "");
    uint64_t node = fs_node_of(FS_ROOT, "file");
    assert_int_equal(fs_node_of(FS_ROOT, "file"), node);
    forget(node, 1);
    assert_int_equal(fs_call(FUSE_GETATTR, node, NULL, 0, NULL), 0);
    forget(node, 1);
    assert_int_equal(fs_call(FUSE_GETATTR, node, NULL, 0, NULL), ESTALE);
    uint64_t again = fs_node_of(FS_ROOT, "file");
    assert_int_not_equal(again, node); /* the same slot, another id */
    assert_int_equal(fs_call(FUSE_GETATTR, node, NULL, 0, NULL), ESTALE);
    forget(again, UINT64_MAX);
    forget(again, UINT64_MAX);
    forget(FS_ROOT, UINT64_MAX);
    forget(UINT64_MAX, 1);
    assert_int_equal(fs_call(FUSE_GETATTR, FS_ROOT, NULL, 0, NULL), 0);
    struct {
        struct fuse_in_header header;
        struct fuse_batch_forget_in in;
        struct fuse_forget_one ones[2];
    } packet = {{.len = sizeof packet, .opcode = FUSE_BATCH_FORGET},
                {.count = UINT32_MAX},
                {{fs_node_of(FS_ROOT, "file"), 1}, {3, 1}}};
    fs_send(0, &packet, sizeof packet, 0);
    fs_await(0);
    assert_int_equal(fs_call(FUSE_GETATTR, packet.ones[0].nodeid, NULL, 0, NULL), ESTALE);
}

static void a_reset_forgets_all(void **state)
{
    (void)state;
    uint64_t handle;
    assert_int_equal(fs_try_create(FS_ROOT, "new", O_RDWR, 0644, &handle), 0);
    uint64_t node = fs_entry.nodeid;
    virtio_device_set_status(fs_driver.device, 0);
    driver_start(&fs_driver, 0);
    assert_int_equal(fs_call(FUSE_GETATTR, FS_ROOT, NULL, 0, NULL), EIO); /* nobody has greeted */
    fs_greet();
    assert_int_equal(fs_call(FUSE_GETATTR, node, NULL, 0, NULL), ESTALE);
    assert_int_equal(fs_try_write(handle, 0, "x"), EBADF);
    assert_int_equal(fs_try_look_up(FS_ROOT, "new"), 0);
    assert_int_equal(fs_call(FUSE_DESTROY, 0, NULL, 0, NULL), 0);
    assert_int_equal(fs_try_look_up(FS_ROOT, "new"), EIO);
}

static void other_versions_are_told(void **state)
{
    (void)state;
    const void *answer;
    const struct fuse_init_in later = {.major = 8}, old = {.major = 7, .minor = 12}, older = {6};
    assert_int_equal(fs_call(FUSE_INIT, 0, &later, sizeof later, &answer), 0);
    assert_int_equal(((const struct fuse_init_out *)answer)->major, 7);
    assert_int_equal(fs_call(FUSE_INIT, 0, &old, sizeof old, NULL), EPROTO);
    assert_int_equal(fs_call(FUSE_INIT, 0, &older, sizeof older, NULL), EPROTO);
    assert_int_equal(fs_call(FUSE_INIT, 0, &older, 8, NULL), EINVAL);
}

/* A look-up in a session without a server. */
static int look_up_in(struct fs_session *session, const char *name, uint64_t *node)
{
    static struct virtqueue_chain chain;
    struct {
        struct fuse_in_header header;
        char name[32];
    } packet = {{.opcode = FUSE_LOOKUP, .nodeid = FS_ROOT}, ""};
    struct {
        struct fuse_out_header header;
        struct fuse_entry_out entry;
    } answer;
    strncpy(packet.name, name, sizeof packet.name - 1);
    chain.parts[0] = (struct iovec){&packet, sizeof packet};
    chain.parts[1] = (struct iovec){&answer, sizeof answer};
    chain.readable = chain.parts;
    chain.writable = chain.parts + 1;
    chain.readable_count = chain.writable_count = 1;
    chain.readable_size = sizeof packet;
    chain.writable_size = sizeof answer;
    assert_true(fs_session_serve(session, &chain) >= sizeof answer.header);
    *node = answer.entry.nodeid;
    return -answer.header.error;
}

/* A guest that knows of as many files as there may be gets an error, until it forgets one. */
static void descriptors_are_bounded(void **state)
{
    (void)state;
    char name[32];
    uint64_t node, last = 0;
    unsigned known = 0;
    int root = open(fs_shared, O_PATH | O_DIRECTORY), proc = open("/proc/self/fd", O_PATH);
    assert_true(root >= 0 && proc >= 0);
    struct fs_session *session = fs_session_create(root, proc, VIRTIO_FS_CACHE_AUTO, 64);
    session->greeted = true;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        fs_put(fs_path(name), "");
        int status = look_up_in(session, name, &node);
        assert_true(status == 0 || status == ENFILE);
        known += status == 0;
        last = status == 0 ? node : last;
    }
    assert_in_range(known, 40, 64);
    assert_true(fs_inode_is_scarce(session));
    assert_int_equal(look_up_in(session, "file-0", &node), 0); /* it is known already */
    fs_inode_forget(session, last, 1);
    assert_int_equal(look_up_in(session, "file-99", &node), 0);
    fs_session_release(session);
    close(root);
    close(proc);
}

#define with_share(test) cmocka_unit_test_setup_teardown(test, fs_open_guest, fs_close_guest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_share(files_are_made_written_and_read),
        with_share(a_megabyte_goes_at_once),
        with_share(attributes_are_set),
        with_share(extended_attributes_are_kept),
        with_share(holes_copies_and_nameless_files_work),
        with_share(sizes_that_lie_are_refused),
        with_share(forgotten_files_are_nothing),
        with_share(a_reset_forgets_all),
        with_share(other_versions_are_told),
        with_share(descriptors_are_bounded),
    };
    vm_log_set_sink(fs_quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
