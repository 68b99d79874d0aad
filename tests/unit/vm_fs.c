/* vm/device/virtio_fs: the requests of a guest's kernel through the queues to the server, against a
 * directory of our own; what a guest must not get, it doesn't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/remove_tree.h"
#include "vm/device/virtio_fs.h"
#include "vm/log.h"
#include "vm_driver.h"

#define REQUEST DRIVER_BUFFERS
#define ANSWER (DRIVER_BUFFERS + 0x100000u)
#define ANSWER_SIZE 0x40000u
#define ROOT FUSE_ROOT_ID

static struct driver driver;
static char outside[64], shared[80]; /* a directory, and the one in it that is shared */
static uint32_t written;             /* by the last answer */

static void quiet(enum vm_log_level level, const char *module, const char *text)
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
    driver = (struct driver){.device = device};
    assert_int_equal(loop_open(&driver.loop, &err), 0);
    assert_int_equal(guest_memory_add(&driver.memory, 0, DRIVER_MEMORY_SIZE, true, false, &err), 0);
    assert_int_equal(virtio_device_open(device, &driver.memory, &driver.loop, &err), 0);
    device->transport_operations = &transport;
    device->transport = &driver;
    driver_start(&driver, 0);
    assert_false(device->status & VIRTIO_STATUS_NEEDS_RESET);
}

/* Turns the loop until there is an answer to the request at a queue. */
static uint8_t *await(unsigned queue)
{
    uint32_t head;
    while (!driver_take(&driver, queue, &head, &written)) {
        struct epoll_event event;
        assert_int_equal(epoll_wait(driver.loop.epoll, &event, 1, 20000), 1);
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
        assert_false(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    }
    return driver_at(&driver, ANSWER);
}

static void send_bytes(unsigned queue, const void *bytes, uint32_t size, uint32_t room)
{
    const struct driver_part parts[] = {{REQUEST, size, false}, {ANSWER, room, true}};
    memcpy(driver_at(&driver, REQUEST), bytes, size);
    memset(driver_at(&driver, ANSWER), 0xee, 256);
    driver_add(&driver, queue, 0, parts, room ? 2 : 1);
    virtio_device_notify(driver.device, queue);
}

static uint8_t request[0x90000];

/* A request of fixed arguments and bytes behind them. Its error, and the answer behind its header
 * in *answer. */
static int call_with(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
                     const void *rest, size_t rest_size, uint32_t room, const void **answer)
{
    struct fuse_in_header header = {.len = (uint32_t)(sizeof header + size + rest_size),
                                    .opcode = opcode,
                                    .unique = 77,
                                    .nodeid = node,
                                    .uid = 1234,
                                    .gid = 2345};
    struct fuse_out_header out;
    memcpy(request, &header, sizeof header);
    if (size)
        memcpy(request + sizeof header, arguments, size);
    if (rest_size)
        memcpy(request + sizeof header + size, rest, rest_size);
    send_bytes(1, request, header.len, room);
    const uint8_t *bytes = await(1);
    memcpy(&out, bytes, sizeof out);
    assert_int_equal(out.len, written);
    assert_int_equal(out.unique, 77);
    if (answer)
        *answer = bytes + sizeof out;
    return -out.error;
}

static int call(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
                const void **answer)
{
    return call_with(opcode, node, arguments, size, NULL, 0, ANSWER_SIZE, answer);
}

static int call_name(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
                     const char *name, const void **answer)
{
    return call_with(opcode, node, arguments, size, name, strlen(name) + 1, ANSWER_SIZE, answer);
}

static void greet(void)
{
    const struct fuse_init_in in = {.major = 7, .minor = 38, .flags = ~0u & ~FUSE_INIT_EXT};
    const void *answer;
    assert_int_equal(call(FUSE_INIT, 0, &in, sizeof in, &answer), 0);
    const struct fuse_init_out *out = answer;
    assert_int_equal(out->major, 7);
    assert_int_equal(out->max_pages, 256);
    assert_int_equal(out->max_write, 1 << 20);
}

static int open_with(struct virtio_fs_options options)
{
    struct error err = {0};
    snprintf(outside, sizeof outside, "/tmp/hull-fs-XXXXXX");
    assert_non_null(mkdtemp(outside));
    assert_int_equal(chmod(outside, 0755), 0);
    snprintf(shared, sizeof shared, "%s/shared", outside);
    assert_int_equal(mkdir(shared, 0755), 0);
    options.tag = "share";
    options.directory = shared;
    struct virtio_device *device = virtio_fs_create("fs0", &options, &err);
    if (!device)
        print_message("%s\n", err.text);
    assert_non_null(device);
    open_driver(device);
    greet();
    return 0;
}

static int open_share(void **state)
{
    (void)state;
    return open_with((struct virtio_fs_options){0});
}

static int open_read_only(void **state)
{
    (void)state;
    return open_with((struct virtio_fs_options){.read_only = true});
}

static int close_share(void **state)
{
    (void)state;
    struct error err = {0};
    driver_close(&driver);
    return remove_tree(AT_FDCWD, outside, NULL, &err);
}

/* A path in the shared directory, as the host sees it. */
static const char *at(const char *name)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", shared, name);
    return path;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void assert_content(const char *path, const char *wanted)
{
    struct error err = {0};
    char *text = file_read_all(AT_FDCWD, path, 4096, NULL, &err);
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

static struct fuse_entry_out entry; /* of the last lookup that succeeded */

static int look_up(uint64_t directory, const char *name)
{
    const void *answer;
    int status = call_name(FUSE_LOOKUP, directory, NULL, 0, name, &answer);
    if (status == 0)
        memcpy(&entry, answer, sizeof entry);
    return status;
}

static uint64_t node_of(uint64_t directory, const char *name)
{
    assert_int_equal(look_up(directory, name), 0);
    return entry.nodeid;
}

static int open_node(uint64_t node, uint32_t flags, uint64_t *handle)
{
    const struct fuse_open_in in = {.flags = flags};
    const void *answer;
    int status = call(FUSE_OPEN, node, &in, sizeof in, &answer);
    if (status == 0)
        *handle = ((const struct fuse_open_out *)answer)->fh;
    return status;
}

static int create(uint64_t directory, const char *name, uint32_t flags, uint32_t mode,
                  uint64_t *handle)
{
    const struct fuse_create_in in = {.flags = flags, .mode = mode};
    const void *answer;
    int status = call_name(FUSE_CREATE, directory, &in, sizeof in, name, &answer);
    if (status == 0) {
        struct fuse_open_out open;
        memcpy(&entry, answer, sizeof entry);
        memcpy(&open, (const char *)answer + sizeof entry, sizeof open);
        *handle = open.fh;
    }
    return status;
}

static int write_text(uint64_t handle, uint64_t offset, const char *text)
{
    const struct fuse_write_in in = {
        .fh = handle, .offset = offset, .size = (uint32_t)strlen(text)};
    return call_with(FUSE_WRITE, ROOT, &in, sizeof in, text, in.size, ANSWER_SIZE, NULL);
}

static int release(uint64_t handle)
{
    const struct fuse_release_in in = {.fh = handle};
    return call(FUSE_RELEASE, ROOT, &in, sizeof in, NULL);
}

static void files_are_made_written_and_read(void **state)
{
    (void)state;
    uint64_t handle;
    struct stat status;
    const void *answer;
    assert_int_equal(create(ROOT, "new", O_RDWR, 0640, &handle), 0);
    assert_int_equal(entry.attr.mode, S_IFREG | 0640);
    assert_int_equal(write_text(handle, 0, "Hello guest"), 0);
    assert_int_equal(write_text(handle, 6, "host!"), 0);
    assert_content(at("new"), "Hello host!");
    assert_int_equal(stat(at("new"), &status), 0);
    assert_int_equal(status.st_uid, 1234); /* the guest's user's */
    assert_int_equal(status.st_gid, 2345);
    const struct fuse_read_in in = {.fh = handle, .offset = 6, .size = 4096};
    assert_int_equal(call(FUSE_READ, entry.nodeid, &in, sizeof in, &answer), 0);
    assert_int_equal(written, sizeof(struct fuse_out_header) + 5);
    assert_memory_equal(answer, "host!", 5);
    const struct fuse_fsync_in sync = {.fh = handle};
    assert_int_equal(call(FUSE_FSYNC, entry.nodeid, &sync, sizeof sync, NULL), 0);
    const struct fuse_flush_in flush = {.fh = handle};
    assert_int_equal(call(FUSE_FLUSH, entry.nodeid, &flush, sizeof flush, NULL), 0);
    assert_int_equal(release(handle), 0);
    assert_int_equal(release(handle), EBADF);
    assert_int_equal(write_text(handle, 0, "x"), EBADF);
    assert_int_equal(create(ROOT, "new", O_RDWR | O_EXCL, 0640, &handle), EEXIST);
    assert_int_equal(create(ROOT, "new", O_RDWR, 0640, &handle), 0); /* made meanwhile */
    assert_int_equal(open_node(node_of(ROOT, "new"), O_RDWR | O_TRUNC, &handle), 0);
    assert_content(at("new"), "");
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
    assert_int_equal(create(ROOT, "big", O_RDWR, 0600, &handle), 0);
    const struct fuse_write_in in = {.fh = handle, .size = SIZE};
    assert_int_equal(call_with(FUSE_WRITE, ROOT, &in, sizeof in, bytes, SIZE, ANSWER_SIZE, NULL),
                     0);
    assert_int_equal(stat(at("big"), &status), 0);
    assert_int_equal(status.st_size, SIZE);
    const void *answer;
    const struct fuse_read_in read_in = {.fh = handle, .offset = 1000, .size = 0x30000};
    assert_int_equal(call(FUSE_READ, ROOT, &read_in, sizeof read_in, &answer), 0);
    assert_int_equal(written, 16 + 0x30000);
    assert_memory_equal(answer, bytes + 1000, 0x30000);
}

/* Names that would lead elsewhere, or are none. */
static void odd_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "/", "a/b", "../shared", "/etc"};
    char endless[64], longest[300];
    uint64_t handle;
    put(at("file"), "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct fuse_mkdir_in mkdir_in = {.mode = 0755};
        const struct fuse_rename_in rename_in = {.newdir = ROOT};
        char pair[64];
        assert_int_equal(look_up(ROOT, names[i]), EINVAL);
        assert_int_equal(create(ROOT, names[i], O_RDWR, 0644, &handle), EINVAL);
        assert_int_equal(call_name(FUSE_UNLINK, ROOT, NULL, 0, names[i], NULL), EINVAL);
        assert_int_equal(call_name(FUSE_RMDIR, ROOT, NULL, 0, names[i], NULL), EINVAL);
        assert_int_equal(call_name(FUSE_MKDIR, ROOT, &mkdir_in, sizeof mkdir_in, names[i], NULL),
                         EINVAL);
        int length = snprintf(pair, sizeof pair, "file%c%s", 0, names[i]);
        assert_int_equal(call_with(FUSE_RENAME, ROOT, &rename_in, sizeof rename_in, pair,
                                   (size_t)length + 1, ANSWER_SIZE, NULL),
                         EINVAL);
    }
    memset(endless, 'n', sizeof endless); /* without an end */
    assert_int_equal(call_with(FUSE_LOOKUP, ROOT, NULL, 0, endless, sizeof endless, 256, NULL),
                     EINVAL);
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    assert_int_equal(look_up(ROOT, longest), ENAMETOOLONG);
    longest[255] = '\0';
    assert_int_equal(look_up(ROOT, longest), ENOENT);
    assert_int_equal(access(at("file"), F_OK), 0);
}

static void links_are_not_followed(void **state)
{
    (void)state;
    char secret[96];
    uint64_t handle;
    const void *answer;
    snprintf(secret, sizeof secret, "%s/secret", outside);
    put(secret, "secret");
    const char pair[] = "way\0../secret";
    assert_int_equal(
        call_with(FUSE_SYMLINK, ROOT, NULL, 0, pair, sizeof pair, ANSWER_SIZE, &answer), 0);
    uint64_t node = node_of(ROOT, "way");
    assert_int_equal(entry.attr.mode & S_IFMT, S_IFLNK);
    assert_int_equal(call(FUSE_READLINK, node, NULL, 0, &answer), 0);
    assert_memory_equal(answer, "../secret", 9);
    assert_int_equal(written, 16 + 9);
    assert_int_equal(open_node(node, O_RDONLY, &handle), ELOOP);
    assert_int_equal(look_up(node, "secret"), ENOTDIR);
    assert_int_equal(create(ROOT, "way", O_RDWR, 0644, &handle), ELOOP);
    /* One that leads to a directory, and what is done with its attributes. */
    assert_int_equal(symlink("/etc", at("etc")), 0);
    node = node_of(ROOT, "etc");
    assert_int_equal(look_up(node, "passwd"), ENOTDIR);
    const struct fuse_open_in open_in = {0};
    assert_int_equal(call(FUSE_OPENDIR, node, &open_in, sizeof open_in, NULL), ENOTDIR);
    const struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0777};
    assert_int_equal(call(FUSE_SETATTR, node, &mode, sizeof mode, NULL), EOPNOTSUPP);
    const struct fuse_setattr_in owner = {.valid = FATTR_UID | FATTR_ATIME, .uid = 5, .atime = 7};
    assert_int_equal(call(FUSE_SETATTR, node, &owner, sizeof owner, NULL), 0);
    struct stat status;
    assert_int_equal(lstat(at("etc"), &status), 0);
    assert_int_equal(status.st_uid, 5); /* of the link itself */
    assert_int_equal(stat("/etc", &status), 0);
    assert_int_equal(status.st_uid, 0);
    assert_content(secret, "secret");
}

/* A directory that the guest knows is swapped for a link to elsewhere. */
static void a_swapped_directory_leads_nowhere(void **state)
{
    (void)state;
    uint64_t handle;
    char target[96];
    snprintf(target, sizeof target, "%s/target", outside);
    assert_int_equal(mkdir(target, 0777), 0);
    assert_int_equal(mkdir(at("directory"), 0777), 0);
    uint64_t node = node_of(ROOT, "directory");
    assert_int_equal(rename(at("directory"), at("moved")), 0);
    assert_int_equal(symlink(target, at("directory")), 0);
    assert_int_equal(create(node, "new", O_RDWR, 0644, &handle), 0);
    assert_int_equal(access(at("moved/new"), F_OK), 0);
    snprintf(target, sizeof target, "%s/target/new", outside);
    assert_int_equal(access(target, F_OK), -1);
    /* And moved out of the share: it stays what the guest has, but leads no further up. */
    snprintf(target, sizeof target, "%s/out", outside);
    assert_int_equal(rename(at("moved"), target), 0);
    assert_int_equal(look_up(node, ".."), EINVAL);
}

static int rename_names(uint64_t from, const char *name, uint64_t to, const char *new_name,
                        uint32_t flags)
{
    char pair[128];
    const struct fuse_rename2_in in = {.newdir = to, .flags = flags};
    int length = snprintf(pair, sizeof pair, "%s%c%s", name, 0, new_name);
    return call_with(FUSE_RENAME2, from, &in, sizeof in, pair, (size_t)length + 1, ANSWER_SIZE,
                     NULL);
}

static void renaming_replaces_and_exchanges(void **state)
{
    (void)state;
    uint64_t handle;
    const void *answer;
    put(at("one"), "one");
    put(at("two"), "two");
    uint64_t two = node_of(ROOT, "two");
    assert_int_equal(open_node(two, O_RDONLY, &handle), 0);
    assert_int_equal(rename_names(ROOT, "one", ROOT, "two", 1 /* RENAME_NOREPLACE */), EEXIST);
    assert_int_equal(rename_names(ROOT, "one", ROOT, "two", 0), 0);
    assert_content(at("two"), "one");
    /* What was replaced is there for who has it open. */
    const struct fuse_read_in in = {.fh = handle, .size = 10};
    assert_int_equal(call(FUSE_READ, two, &in, sizeof in, &answer), 0);
    assert_memory_equal(answer, "two", 3);
    assert_int_not_equal(node_of(ROOT, "two"), two);
    put(at("three"), "three");
    assert_int_equal(rename_names(ROOT, "two", ROOT, "three", 2 /* RENAME_EXCHANGE */), 0);
    assert_content(at("two"), "three");
    assert_int_equal(rename_names(ROOT, "two", two, "x", 0), ENOTDIR);
    assert_int_equal(rename_names(ROOT, "two", 99, "x", 0), ESTALE);
    assert_int_equal(rename_names(ROOT, "none", ROOT, "x", 0), ENOENT);
}

static void hard_links_are_one_file(void **state)
{
    (void)state;
    put(at("file"), "text");
    uint64_t node = node_of(ROOT, "file");
    const struct fuse_link_in in = {.oldnodeid = node};
    const void *answer;
    assert_int_equal(call_name(FUSE_LINK, ROOT, &in, sizeof in, "link", &answer), 0);
    memcpy(&entry, answer, sizeof entry);
    assert_int_equal(entry.nodeid, node);
    assert_int_equal(entry.attr.nlink, 2);
    assert_int_equal(call_name(FUSE_LINK, ROOT, &in, sizeof in, "link", NULL), EEXIST);
    const struct fuse_link_in odd = {.oldnodeid = 12345};
    assert_int_equal(call_name(FUSE_LINK, ROOT, &odd, sizeof odd, "other", NULL), ESTALE);
    /* Of a link itself. */
    assert_int_equal(symlink("/etc/passwd", at("way")), 0);
    const struct fuse_link_in link = {.oldnodeid = node_of(ROOT, "way")};
    assert_int_equal(call_name(FUSE_LINK, ROOT, &link, sizeof link, "way2", &answer), 0);
    memcpy(&entry, answer, sizeof entry);
    assert_int_equal(entry.attr.mode & S_IFMT, S_IFLNK);
}

static uint64_t open_directory(uint64_t node)
{
    const struct fuse_open_in in = {0};
    const void *answer;
    assert_int_equal(call(FUSE_OPENDIR, node, &in, sizeof in, &answer), 0);
    return ((const struct fuse_open_out *)answer)->fh;
}

/* All entries through answers of so many bytes, each once. */
static unsigned list(uint64_t handle, bool plus, uint32_t size)
{
    unsigned count = 0;
    uint64_t offset = 0;
    for (;;) {
        const struct fuse_read_in in = {.fh = handle, .offset = offset, .size = size};
        const void *answer;
        assert_int_equal(
            call(plus ? FUSE_READDIRPLUS : FUSE_READDIR, ROOT, &in, sizeof in, &answer), 0);
        uint32_t left = written - 16;
        assert_true(left <= size);
        if (left == 0)
            return count;
        for (const char *next = answer; left > 0; count++) {
            const struct fuse_direntplus *both = (const void *)next;
            const struct fuse_dirent *single = plus ? &both->dirent : (const void *)next;
            uint32_t step =
                (uint32_t)(plus ? FUSE_DIRENTPLUS_SIZE(both) : FUSE_DIRENT_SIZE(single));
            if (plus && single->name[0] != '.') {
                assert_true(both->entry_out.nodeid > ROOT);
                assert_int_equal(both->entry_out.attr.ino, single->ino);
            } else if (plus) {
                assert_int_equal(both->entry_out.nodeid, 0);
            }
            offset = single->off;
            assert_true(step <= left);
            next += step;
            left -= step;
        }
    }
}

static void directories_are_listed(void **state)
{
    (void)state;
    char name[32];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        put(at(name), "");
    }
    uint64_t handle = open_directory(ROOT);
    assert_int_equal(list(handle, false, 4096), 102);
    assert_int_equal(list(handle, false, 100), 102);
    assert_int_equal(list(handle, true, 8192), 102);
    assert_int_equal(list(handle, true, 300), 102);
    const struct fuse_read_in odd = {.fh = handle, .offset = UINT64_MAX, .size = 4096};
    assert_int_equal(call(FUSE_READDIR, ROOT, &odd, sizeof odd, NULL), EINVAL);
    const struct fuse_read_in small = {.fh = handle, .size = 8};
    assert_int_equal(call(FUSE_READDIR, ROOT, &small, sizeof small, NULL), EINVAL);
    const struct fuse_fsync_in sync = {.fh = handle};
    assert_int_equal(call(FUSE_FSYNCDIR, ROOT, &sync, sizeof sync, NULL), 0);
    /* A directory's handle is no file's. */
    const struct fuse_read_in read_in = {.fh = handle, .size = 8};
    assert_int_equal(call(FUSE_READ, ROOT, &read_in, sizeof read_in, NULL), EBADF);
    const struct fuse_release_in in = {.fh = handle};
    assert_int_equal(call(FUSE_RELEASE, ROOT, &in, sizeof in, NULL), EBADF);
    assert_int_equal(call(FUSE_RELEASEDIR, ROOT, &in, sizeof in, NULL), 0);
}

static void attributes_are_set(void **state)
{
    (void)state;
    struct stat status;
    const void *answer;
    put(at("file"), "0123456789");
    uint64_t node = node_of(ROOT, "file");
    const struct fuse_setattr_in in = {.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE |
                                                FATTR_ATIME | FATTR_MTIME,
                                       .mode = 04755,
                                       .uid = 10,
                                       .gid = 20,
                                       .size = 4,
                                       .atime = 1000,
                                       .mtime = 2000,
                                       .mtimensec = 5};
    assert_int_equal(call(FUSE_SETATTR, node, &in, sizeof in, &answer), 0);
    const struct fuse_attr_out *out = answer;
    assert_int_equal(out->attr.mode, S_IFREG | 04755);
    assert_int_equal(stat(at("file"), &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 04755);
    assert_int_equal(status.st_uid, 10);
    assert_int_equal(status.st_gid, 20);
    assert_int_equal(status.st_size, 4);
    assert_int_equal(status.st_atim.tv_sec, 1000);
    assert_int_equal(status.st_mtim.tv_nsec, 5);
    const struct fuse_setattr_in huge = {.valid = FATTR_SIZE, .size = UINT64_MAX};
    assert_int_equal(call(FUSE_SETATTR, node, &huge, sizeof huge, NULL), EFBIG);
    assert_int_equal(call(FUSE_SETATTR, ROOT, &huge, sizeof huge, NULL), EISDIR);
    const struct fuse_setattr_in handle = {.valid = FATTR_SIZE | FATTR_FH, .fh = 12};
    assert_int_equal(call(FUSE_SETATTR, node, &handle, sizeof handle, NULL), EBADF);
    const struct fuse_access_in access_in = {.mask = R_OK};
    assert_int_equal(call(FUSE_ACCESS, node, &access_in, sizeof access_in, NULL), 0);
    const struct fuse_access_in write_in = {.mask = W_OK};
    assert_int_equal(call(FUSE_ACCESS, node, &write_in, sizeof write_in, NULL), EACCES);
    assert_int_equal(call(FUSE_STATFS, ROOT, NULL, 0, &answer), 0);
    assert_true(((const struct fuse_statfs_out *)answer)->st.namelen >= 255);
}

static void extended_attributes_are_kept(void **state)
{
    (void)state;
    char value[64];
    const void *answer;
    put(at("file"), "");
    uint64_t node = node_of(ROOT, "file");
    const uint32_t set[2] = {5, 0};
    static const char pair[] = "user.key\0value";
    int status =
        call_with(FUSE_SETXATTR, node, set, sizeof set, pair, sizeof pair - 1, ANSWER_SIZE, NULL);
    if (status == EOPNOTSUPP)
        skip();
    assert_int_equal(status, 0);
    assert_int_equal(getxattr(at("file"), "user.key", value, sizeof value), 5);
    struct fuse_getxattr_in get = {0};
    assert_int_equal(call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", &answer), 0);
    assert_int_equal(((const struct fuse_getxattr_out *)answer)->size, 5);
    get.size = 5;
    assert_int_equal(call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", &answer), 0);
    assert_memory_equal(answer, "value", 5);
    get.size = 3;
    assert_int_equal(call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", NULL), ERANGE);
    get.size = 4096;
    assert_int_equal(call_with(FUSE_GETXATTR, node, &get, sizeof get, "user.key", 9, 16, NULL),
                     ERANGE); /* no room for it */
    assert_int_equal(call(FUSE_LISTXATTR, node, &get, sizeof get, &answer), 0);
    assert_int_equal(written, 16 + 9);
    const uint32_t lie[2] = {50000, 0};
    assert_int_equal(
        call_with(FUSE_SETXATTR, node, lie, sizeof lie, pair, sizeof pair - 1, ANSWER_SIZE, NULL),
        EINVAL);
    assert_int_equal(call_name(FUSE_REMOVEXATTR, node, NULL, 0, "user.key", NULL), 0);
    assert_int_equal(call_name(FUSE_GETXATTR, node, &get, sizeof get, "user.key", NULL), ENODATA);
}

/* They are made, but never opened: the guest's kernel has devices and pipes of its own. */
static void special_files_are_not_opened(void **state)
{
    (void)state;
    uint64_t handle;
    struct stat status;
    const struct fuse_mknod_in pipe_in = {.mode = S_IFIFO | 0666};
    const struct fuse_mknod_in device_in = {.mode = S_IFCHR | 0666, .rdev = 1 << 8 | 5};
    assert_int_equal(call_name(FUSE_MKNOD, ROOT, &pipe_in, sizeof pipe_in, "pipe", NULL), 0);
    assert_int_equal(open_node(node_of(ROOT, "pipe"), O_RDONLY, &handle), ENXIO);
    assert_int_equal(create(ROOT, "pipe", O_RDWR, 0644, &handle), ENXIO);
    int made = call_name(FUSE_MKNOD, ROOT, &device_in, sizeof device_in, "zero", NULL);
    if (made == EPERM)
        return; /* no devices may be made here */
    assert_int_equal(made, 0);
    assert_int_equal(stat(at("zero"), &status), 0);
    assert_int_equal(status.st_rdev, makedev(1, 5));
    node_of(ROOT, "zero");
    assert_int_equal(entry.attr.rdev, 1 << 8 | 5);
    assert_int_equal(open_node(entry.nodeid, O_RDONLY, &handle), ENXIO);
    assert_int_equal(create(ROOT, "zero", O_RDWR, 0644, &handle), ENXIO);
}

static void holes_copies_and_nameless_files_work(void **state)
{
    (void)state;
    uint64_t one, two, nameless;
    const void *answer;
    assert_int_equal(create(ROOT, "one", O_RDWR, 0644, &one), 0);
    assert_int_equal(create(ROOT, "two", O_RDWR, 0644, &two), 0);
    const struct fuse_fallocate_in allocate = {.fh = one, .length = 65536};
    assert_int_equal(call(FUSE_FALLOCATE, ROOT, &allocate, sizeof allocate, NULL), 0);
    assert_int_equal(write_text(one, 0, "copied"), 0);
    const struct fuse_fallocate_in odd = {.fh = one, .length = UINT64_MAX};
    assert_int_equal(call(FUSE_FALLOCATE, ROOT, &odd, sizeof odd, NULL), EINVAL);
    const struct fuse_lseek_in seek = {.fh = one, .whence = SEEK_HOLE};
    assert_int_equal(call(FUSE_LSEEK, ROOT, &seek, sizeof seek, &answer), 0);
    const struct fuse_lseek_in end = {.fh = one, .whence = SEEK_END};
    assert_int_equal(call(FUSE_LSEEK, ROOT, &end, sizeof end, NULL), EINVAL);
    const struct fuse_copy_file_range_in copy = {.fh_in = one, .fh_out = two, .len = 6};
    assert_int_equal(call(FUSE_COPY_FILE_RANGE, ROOT, &copy, sizeof copy, &answer), 0);
    assert_int_equal(((const struct fuse_write_out *)answer)->size, 6);
    assert_content(at("two"), "copied");
    const struct fuse_syncfs_in sync = {0};
    assert_int_equal(call(FUSE_SYNCFS, ROOT, &sync, sizeof sync, NULL), 0);
    const struct fuse_create_in in = {.flags = O_RDWR, .mode = 0600};
    int status = call_name(FUSE_TMPFILE, ROOT, &in, sizeof in, "/", &answer);
    if (status == EOPNOTSUPP)
        return;
    assert_int_equal(status, 0);
    memcpy(&entry, answer, sizeof entry);
    memcpy(&nameless, (const char *)answer + sizeof entry, sizeof nameless);
    assert_int_equal(write_text(nameless, 0, "named later"), 0);
    const struct fuse_link_in link = {.oldnodeid = entry.nodeid};
    assert_int_equal(call_name(FUSE_LINK, ROOT, &link, sizeof link, "named", NULL), 0);
    assert_content(at("named"), "named later");
}

static void directories_come_and_go(void **state)
{
    (void)state;
    const struct fuse_mkdir_in in = {.mode = 0750};
    struct stat status;
    assert_int_equal(call_name(FUSE_MKDIR, ROOT, &in, sizeof in, "new", NULL), 0);
    assert_int_equal(stat(at("new"), &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0750);
    assert_int_equal(status.st_uid, 1234);
    uint64_t handle, node = node_of(ROOT, "new");
    assert_int_equal(create(node, "file", O_WRONLY, 0644, &handle), 0);
    assert_int_equal(call_name(FUSE_RMDIR, ROOT, NULL, 0, "new", NULL), ENOTEMPTY);
    assert_int_equal(call_name(FUSE_UNLINK, ROOT, NULL, 0, "new", NULL), EISDIR);
    assert_int_equal(call_name(FUSE_UNLINK, node, NULL, 0, "file", NULL), 0);
    assert_int_equal(call_name(FUSE_RMDIR, ROOT, NULL, 0, "new", NULL), 0);
    assert_int_equal(create(node, "file", O_WRONLY, 0644, &handle), ENOENT);
}

static void sizes_that_lie_are_refused(void **state)
{
    (void)state;
    uint64_t handle;
    const void *answer;
    put(at("file"), "0123456789");
    uint64_t node = node_of(ROOT, "file");
    assert_int_equal(open_node(node, O_RDWR, &handle), 0);
    const struct fuse_write_in more = {.fh = handle, .size = 1 << 20};
    assert_int_equal(call_with(FUSE_WRITE, node, &more, sizeof more, "x", 1, 256, NULL), EINVAL);
    const struct fuse_write_in far = {.fh = handle, .offset = UINT64_MAX, .size = 1};
    assert_int_equal(call_with(FUSE_WRITE, node, &far, sizeof far, "x", 1, 256, NULL), EINVAL);
    const struct fuse_read_in far_read = {.fh = handle, .offset = UINT64_MAX - 4, .size = 10};
    assert_int_equal(call(FUSE_READ, node, &far_read, sizeof far_read, NULL), EINVAL);
    /* It asks for more than it left room for. */
    const struct fuse_read_in in = {.fh = handle, .size = UINT32_MAX};
    assert_int_equal(call_with(FUSE_READ, node, &in, sizeof in, NULL, 0, 20, &answer), 0);
    assert_int_equal(written, 20);
    assert_memory_equal(answer, "0123", 4);
    assert_int_equal(call_with(FUSE_GETATTR, node, NULL, 0, NULL, 0, 40, NULL), EINVAL);
    assert_int_equal(call(FUSE_SETATTR, node, "abc", 3, NULL), EINVAL);
    assert_int_equal(call(FUSE_MKNOD, ROOT, "abc", 3, NULL), EINVAL);
    static const char long_request[0x20000];
    assert_int_equal(call(FUSE_SETXATTR, node, long_request, sizeof long_request, NULL), E2BIG);
    assert_int_equal(call(9999, node, NULL, 0, NULL), ENOSYS);
    assert_int_equal(call(FUSE_IOCTL, node, NULL, 0, NULL), ENOSYS);
    assert_int_equal(call(0, node, NULL, 0, NULL), ENOSYS);
    /* Less than a header; and no room for an answer at all. */
    send_bytes(1, "12345", 5, 64);
    await(1);
    assert_int_equal(written, 16);
    send_bytes(1, request, 40, 0);
    await(1);
    assert_int_equal(written, 0);
}

static void forget(uint64_t node, uint64_t lookups)
{
    struct {
        struct fuse_in_header header;
        struct fuse_forget_in in;
    } packet = {{.len = sizeof packet, .opcode = FUSE_FORGET, .nodeid = node}, {lookups}};
    send_bytes(0, &packet, sizeof packet, 0); /* in the queue for what hurries */
    await(0);
    assert_int_equal(written, 0);
}

static void forgotten_files_are_nothing(void **state)
{
    (void)state;
    put(at("file"), "");
    uint64_t node = node_of(ROOT, "file");
    assert_int_equal(node_of(ROOT, "file"), node);
    forget(node, 1);
    assert_int_equal(call(FUSE_GETATTR, node, NULL, 0, NULL), 0);
    forget(node, 1);
    assert_int_equal(call(FUSE_GETATTR, node, NULL, 0, NULL), ESTALE);
    uint64_t again = node_of(ROOT, "file");
    assert_int_not_equal(again, node); /* the same slot, another id */
    assert_int_equal(call(FUSE_GETATTR, node, NULL, 0, NULL), ESTALE);
    forget(again, UINT64_MAX);
    forget(again, UINT64_MAX);
    forget(ROOT, UINT64_MAX);
    forget(UINT64_MAX, 1);
    assert_int_equal(call(FUSE_GETATTR, ROOT, NULL, 0, NULL), 0);
    struct {
        struct fuse_in_header header;
        struct fuse_batch_forget_in in;
        struct fuse_forget_one ones[2];
    } packet = {{.len = sizeof packet, .opcode = FUSE_BATCH_FORGET},
                {.count = UINT32_MAX},
                {{node_of(ROOT, "file"), 1}, {3, 1}}};
    send_bytes(0, &packet, sizeof packet, 0);
    await(0);
    assert_int_equal(call(FUSE_GETATTR, packet.ones[0].nodeid, NULL, 0, NULL), ESTALE);
}

static void a_reset_forgets_all(void **state)
{
    (void)state;
    uint64_t handle;
    assert_int_equal(create(ROOT, "new", O_RDWR, 0644, &handle), 0);
    uint64_t node = entry.nodeid;
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    assert_int_equal(call(FUSE_GETATTR, ROOT, NULL, 0, NULL), EIO); /* nobody has greeted */
    greet();
    assert_int_equal(call(FUSE_GETATTR, node, NULL, 0, NULL), ESTALE);
    assert_int_equal(write_text(handle, 0, "x"), EBADF);
    assert_int_equal(look_up(ROOT, "new"), 0);
    assert_int_equal(call(FUSE_DESTROY, 0, NULL, 0, NULL), 0);
    assert_int_equal(look_up(ROOT, "new"), EIO);
}

static void other_versions_are_told(void **state)
{
    (void)state;
    const void *answer;
    const struct fuse_init_in later = {.major = 8}, old = {.major = 7, .minor = 12}, older = {6};
    assert_int_equal(call(FUSE_INIT, 0, &later, sizeof later, &answer), 0);
    assert_int_equal(((const struct fuse_init_out *)answer)->major, 7);
    assert_int_equal(call(FUSE_INIT, 0, &old, sizeof old, NULL), EPROTO);
    assert_int_equal(call(FUSE_INIT, 0, &older, sizeof older, NULL), EPROTO);
    assert_int_equal(call(FUSE_INIT, 0, &older, 8, NULL), EINVAL);
}

static void a_read_only_share_stays_as_it_is(void **state)
{
    (void)state;
    uint64_t handle;
    put(at("file"), "text");
    uint64_t node = node_of(ROOT, "file");
    assert_int_equal(create(ROOT, "new", O_RDWR, 0644, &handle), EROFS);
    assert_int_equal(open_node(node, O_RDWR, &handle), EROFS);
    assert_int_equal(call_name(FUSE_UNLINK, ROOT, NULL, 0, "file", NULL), EROFS);
    const struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0777};
    assert_int_equal(call(FUSE_SETATTR, node, &in, sizeof in, NULL), EROFS);
    assert_int_equal(open_node(node, O_RDONLY, &handle), 0);
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
    assert_int_equal(stat(shared, &directory), 0);
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
    while (!(driver.device->status & VIRTIO_STATUS_NEEDS_RESET)) {
        struct epoll_event event;
        assert_int_equal(epoll_wait(driver.loop.epoll, &event, 1, 20000), 1);
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void a_malformed_request_breaks_the_device(void **state)
{
    (void)state;
    const struct driver_part parts[] = {{DRIVER_MEMORY_SIZE - 8, 64, false}, {ANSWER, 64, true}};
    driver_add(&driver, 1, 0, parts, 2);
    virtio_device_notify(driver.device, 1);
    while (!(driver.device->status & VIRTIO_STATUS_NEEDS_RESET)) {
        struct epoll_event event;
        assert_int_equal(epoll_wait(driver.loop.epoll, &event, 1, 20000), 1);
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, 0);
    greet();
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
    driver_open(&driver, device, 0);
    assert_true(device->status & VIRTIO_STATUS_NEEDS_RESET);
    driver_close(&driver);
}

#define with_share(test) cmocka_unit_test_setup_teardown(test, open_share, close_share)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_share(files_are_made_written_and_read),
        with_share(a_megabyte_goes_at_once),
        with_share(odd_names_are_refused),
        with_share(links_are_not_followed),
        with_share(a_swapped_directory_leads_nowhere),
        with_share(renaming_replaces_and_exchanges),
        with_share(hard_links_are_one_file),
        with_share(directories_are_listed),
        with_share(attributes_are_set),
        with_share(extended_attributes_are_kept),
        with_share(special_files_are_not_opened),
        with_share(holes_copies_and_nameless_files_work),
        with_share(directories_come_and_go),
        with_share(sizes_that_lie_are_refused),
        with_share(forgotten_files_are_nothing),
        with_share(a_reset_forgets_all),
        with_share(other_versions_are_told),
        cmocka_unit_test_setup_teardown(a_read_only_share_stays_as_it_is, open_read_only,
                                        close_share),
        with_share(the_server_is_confined),
        with_share(a_server_that_died_is_noticed),
        with_share(a_malformed_request_breaks_the_device),
        cmocka_unit_test(what_cannot_be_shared_is_said),
        cmocka_unit_test(memory_of_its_own_cannot_be_served),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
