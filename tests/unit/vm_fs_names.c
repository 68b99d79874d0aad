/* vm/device/virtio_fs: names and directories: no name, link or swap leads out of what is shared,
 * and nothing but files and directories is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm_fs_guest.h"

/* Names that would lead elsewhere, or are none. */
static void odd_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "/", "a/b", "../shared", "/etc"};
    char endless[64], longest[300];
    uint64_t handle;
    fs_put(fs_path("file"), "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct fuse_mkdir_in mkdir_in = {.mode = 0755};
        const struct fuse_rename_in rename_in = {.newdir = FS_ROOT};
        char pair[64];
        assert_int_equal(fs_try_look_up(FS_ROOT, names[i]), EINVAL);
        assert_int_equal(fs_try_create(FS_ROOT, names[i], O_RDWR, 0644, &handle), EINVAL);
        assert_int_equal(fs_call_name(FUSE_UNLINK, FS_ROOT, NULL, 0, names[i], NULL), EINVAL);
        assert_int_equal(fs_call_name(FUSE_RMDIR, FS_ROOT, NULL, 0, names[i], NULL), EINVAL);
        assert_int_equal(
            fs_call_name(FUSE_MKDIR, FS_ROOT, &mkdir_in, sizeof mkdir_in, names[i], NULL), EINVAL);
        int length = snprintf(pair, sizeof pair, "file%c%s", 0, names[i]);
        assert_int_equal(fs_call_with(FUSE_RENAME, FS_ROOT, &rename_in, sizeof rename_in, pair,
                                      (size_t)length + 1, FS_ANSWER_SIZE, NULL),
                         EINVAL);
    }
    memset(endless, 'n', sizeof endless); /* without an end */
    assert_int_equal(
        fs_call_with(FUSE_LOOKUP, FS_ROOT, NULL, 0, endless, sizeof endless, 256, NULL), EINVAL);
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    assert_int_equal(fs_try_look_up(FS_ROOT, longest), ENAMETOOLONG);
    longest[255] = '\0';
    assert_int_equal(fs_try_look_up(FS_ROOT, longest), ENOENT);
    assert_int_equal(access(fs_path("file"), F_OK), 0);
}

static void links_are_not_followed(void **state)
{
    (void)state;
    char secret[96];
    uint64_t handle;
    const void *answer;
    snprintf(secret, sizeof secret, "%s/secret", fs_outside);
    fs_put(secret, "secret");
    const char pair[] = "way\0../secret";
    assert_int_equal(
        fs_call_with(FUSE_SYMLINK, FS_ROOT, NULL, 0, pair, sizeof pair, FS_ANSWER_SIZE, &answer),
        0);
    uint64_t node = fs_node_of(FS_ROOT, "way");
    assert_int_equal(fs_entry.attr.mode & S_IFMT, S_IFLNK);
    assert_int_equal(fs_call(FUSE_READLINK, node, NULL, 0, &answer), 0);
    assert_memory_equal(answer, "../secret", 9);
    assert_int_equal(fs_written, 16 + 9);
    assert_int_equal(fs_try_open(node, O_RDONLY, &handle), ELOOP);
    assert_int_equal(fs_try_look_up(node, "secret"), ENOTDIR);
    assert_int_equal(fs_try_create(FS_ROOT, "way", O_RDWR, 0644, &handle), ELOOP);
    /* One that leads to a directory, and what is done with its attributes. */
    assert_int_equal(symlink("/etc", fs_path("etc")), 0);
    node = fs_node_of(FS_ROOT, "etc");
    assert_int_equal(fs_try_look_up(node, "passwd"), ENOTDIR);
    const struct fuse_open_in open_in = {0};
    assert_int_equal(fs_call(FUSE_OPENDIR, node, &open_in, sizeof open_in, NULL), ENOTDIR);
    const struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0777};
    assert_int_equal(fs_call(FUSE_SETATTR, node, &mode, sizeof mode, NULL), EOPNOTSUPP);
    const struct fuse_setattr_in owner = {.valid = FATTR_UID | FATTR_ATIME, .uid = 5, .atime = 7};
    assert_int_equal(fs_call(FUSE_SETATTR, node, &owner, sizeof owner, NULL), 0);
    struct stat status;
    assert_int_equal(lstat(fs_path("etc"), &status), 0);
    assert_int_equal(status.st_uid, 5); /* of the link itself */
    assert_int_equal(stat("/etc", &status), 0);
    assert_int_equal(status.st_uid, 0);
    fs_assert_content(secret, "secret");
}

/* A directory that the guest knows is swapped for a link to elsewhere. */
static void a_swapped_directory_leads_nowhere(void **state)
{
    (void)state;
    uint64_t handle;
    char target[96];
    snprintf(target, sizeof target, "%s/target", fs_outside);
    assert_int_equal(mkdir(target, 0777), 0);
    assert_int_equal(mkdir(fs_path("directory"), 0777), 0);
    uint64_t node = fs_node_of(FS_ROOT, "directory");
    assert_int_equal(rename(fs_path("directory"), fs_path("moved")), 0);
    assert_int_equal(symlink(target, fs_path("directory")), 0);
    assert_int_equal(fs_try_create(node, "new", O_RDWR, 0644, &handle), 0);
    assert_int_equal(access(fs_path("moved/new"), F_OK), 0);
    snprintf(target, sizeof target, "%s/target/new", fs_outside);
    assert_int_equal(access(target, F_OK), -1);
    /* And moved out of the share: it stays what the guest has, but leads no further up. */
    snprintf(target, sizeof target, "%s/out", fs_outside);
    assert_int_equal(rename(fs_path("moved"), target), 0);
    assert_int_equal(fs_try_look_up(node, ".."), EINVAL);
}

static int rename_names(uint64_t from, const char *name, uint64_t to, const char *new_name,
                        uint32_t flags)
{
    char pair[128];
    const struct fuse_rename2_in in = {.newdir = to, .flags = flags};
    int length = snprintf(pair, sizeof pair, "%s%c%s", name, 0, new_name);
    return fs_call_with(FUSE_RENAME2, from, &in, sizeof in, pair, (size_t)length + 1,
                        FS_ANSWER_SIZE, NULL);
}

static void renaming_replaces_and_exchanges(void **state)
{
    (void)state;
    uint64_t handle;
    const void *answer;
    fs_put(fs_path("one"), "one");
    fs_put(fs_path("two"), "two");
    uint64_t two = fs_node_of(FS_ROOT, "two");
    assert_int_equal(fs_try_open(two, O_RDONLY, &handle), 0);
    assert_int_equal(rename_names(FS_ROOT, "one", FS_ROOT, "two", 1 /* RENAME_NOREPLACE */),
                     EEXIST);
    assert_int_equal(rename_names(FS_ROOT, "one", FS_ROOT, "two", 0), 0);
    fs_assert_content(fs_path("two"), "one");
    /* What was replaced is there for who has it open. */
    const struct fuse_read_in in = {.fh = handle, .size = 10};
    assert_int_equal(fs_call(FUSE_READ, two, &in, sizeof in, &answer), 0);
    assert_memory_equal(answer, "two", 3);
    assert_int_not_equal(fs_node_of(FS_ROOT, "two"), two);
    fs_put(fs_path("three"), "three");
    assert_int_equal(rename_names(FS_ROOT, "two", FS_ROOT, "three", 2 /* RENAME_EXCHANGE */), 0);
    fs_assert_content(fs_path("two"), "three");
    assert_int_equal(rename_names(FS_ROOT, "two", two, "x", 0), ENOTDIR);
    assert_int_equal(rename_names(FS_ROOT, "two", 99, "x", 0), ESTALE);
    assert_int_equal(rename_names(FS_ROOT, "none", FS_ROOT, "x", 0), ENOENT);
}

static void hard_links_are_one_file(void **state)
{
    (void)state;
    fs_put(fs_path("file"), "text");
    uint64_t node = fs_node_of(FS_ROOT, "file");
    const struct fuse_link_in in = {.oldnodeid = node};
    const void *answer;
    assert_int_equal(fs_call_name(FUSE_LINK, FS_ROOT, &in, sizeof in, "link", &answer), 0);
    memcpy(&fs_entry, answer, sizeof fs_entry);
    assert_int_equal(fs_entry.nodeid, node);
    assert_int_equal(fs_entry.attr.nlink, 2);
    assert_int_equal(fs_call_name(FUSE_LINK, FS_ROOT, &in, sizeof in, "link", NULL), EEXIST);
    const struct fuse_link_in odd = {.oldnodeid = 12345};
    assert_int_equal(fs_call_name(FUSE_LINK, FS_ROOT, &odd, sizeof odd, "other", NULL), ESTALE);
    /* Of a link itself. */
    assert_int_equal(symlink("/etc/passwd", fs_path("way")), 0);
    const struct fuse_link_in link = {.oldnodeid = fs_node_of(FS_ROOT, "way")};
    assert_int_equal(fs_call_name(FUSE_LINK, FS_ROOT, &link, sizeof link, "way2", &answer), 0);
    memcpy(&fs_entry, answer, sizeof fs_entry);
    assert_int_equal(fs_entry.attr.mode & S_IFMT, S_IFLNK);
}

static uint64_t open_directory(uint64_t node)
{
    const struct fuse_open_in in = {0};
    const void *answer;
    assert_int_equal(fs_call(FUSE_OPENDIR, node, &in, sizeof in, &answer), 0);
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
            fs_call(plus ? FUSE_READDIRPLUS : FUSE_READDIR, FS_ROOT, &in, sizeof in, &answer), 0);
        uint32_t left = fs_written - 16;
        assert_true(left <= size);
        if (left == 0)
            return count;
        for (const char *next = answer; left > 0; count++) {
            const struct fuse_direntplus *both = (const void *)next;
            const struct fuse_dirent *single = plus ? &both->dirent : (const void *)next;
            uint32_t step =
                (uint32_t)(plus ? FUSE_DIRENTPLUS_SIZE(both) : FUSE_DIRENT_SIZE(single));
            if (plus && single->name[0] != '.') {
                assert_true(both->entry_out.nodeid > FS_ROOT);
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
        fs_put(fs_path(name), "");
    }
    uint64_t handle = open_directory(FS_ROOT);
    assert_int_equal(list(handle, false, 4096), 102);
    assert_int_equal(list(handle, false, 100), 102);
    assert_int_equal(list(handle, true, 8192), 102);
    assert_int_equal(list(handle, true, 300), 102);
    const struct fuse_read_in odd = {.fh = handle, .offset = UINT64_MAX, .size = 4096};
    assert_int_equal(fs_call(FUSE_READDIR, FS_ROOT, &odd, sizeof odd, NULL), EINVAL);
    const struct fuse_read_in small = {.fh = handle, .size = 8};
    assert_int_equal(fs_call(FUSE_READDIR, FS_ROOT, &small, sizeof small, NULL), EINVAL);
    const struct fuse_fsync_in sync = {.fh = handle};
    assert_int_equal(fs_call(FUSE_FSYNCDIR, FS_ROOT, &sync, sizeof sync, NULL), 0);
    /* A directory's handle is no file's. */
    const struct fuse_read_in read_in = {.fh = handle, .size = 8};
    assert_int_equal(fs_call(FUSE_READ, FS_ROOT, &read_in, sizeof read_in, NULL), EBADF);
    const struct fuse_release_in in = {.fh = handle};
    assert_int_equal(fs_call(FUSE_RELEASE, FS_ROOT, &in, sizeof in, NULL), EBADF);
    assert_int_equal(fs_call(FUSE_RELEASEDIR, FS_ROOT, &in, sizeof in, NULL), 0);
}

/* They are made, but never opened: the guest's kernel has devices and pipes of its own. */
static void special_files_are_not_opened(void **state)
{
    (void)state;
    uint64_t handle;
    struct stat status;
    const struct fuse_mknod_in pipe_in = {.mode = S_IFIFO | 0666};
    const struct fuse_mknod_in device_in = {.mode = S_IFCHR | 0666, .rdev = 1 << 8 | 5};
    assert_int_equal(fs_call_name(FUSE_MKNOD, FS_ROOT, &pipe_in, sizeof pipe_in, "pipe", NULL), 0);
    assert_int_equal(fs_try_open(fs_node_of(FS_ROOT, "pipe"), O_RDONLY, &handle), ENXIO);
    assert_int_equal(fs_try_create(FS_ROOT, "pipe", O_RDWR, 0644, &handle), ENXIO);
    int made = fs_call_name(FUSE_MKNOD, FS_ROOT, &device_in, sizeof device_in, "zero", NULL);
    if (made == EPERM)
        return; /* no devices may be made here */
    assert_int_equal(made, 0);
    assert_int_equal(stat(fs_path("zero"), &status), 0);
    assert_int_equal(status.st_rdev, makedev(1, 5));
    fs_node_of(FS_ROOT, "zero");
    assert_int_equal(fs_entry.attr.rdev, 1 << 8 | 5);
    assert_int_equal(fs_try_open(fs_entry.nodeid, O_RDONLY, &handle), ENXIO);
    assert_int_equal(fs_try_create(FS_ROOT, "zero", O_RDWR, 0644, &handle), ENXIO);
}

static void directories_come_and_go(void **state)
{
    (void)state;
    const struct fuse_mkdir_in in = {.mode = 0750};
    struct stat status;
    assert_int_equal(fs_call_name(FUSE_MKDIR, FS_ROOT, &in, sizeof in, "new", NULL), 0);
    assert_int_equal(stat(fs_path("new"), &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0750);
    assert_int_equal(status.st_uid, 1234);
    uint64_t handle, node = fs_node_of(FS_ROOT, "new");
    assert_int_equal(fs_try_create(node, "file", O_WRONLY, 0644, &handle), 0);
    assert_int_equal(fs_call_name(FUSE_RMDIR, FS_ROOT, NULL, 0, "new", NULL), ENOTEMPTY);
    assert_int_equal(fs_call_name(FUSE_UNLINK, FS_ROOT, NULL, 0, "new", NULL), EISDIR);
    assert_int_equal(fs_call_name(FUSE_UNLINK, node, NULL, 0, "file", NULL), 0);
    assert_int_equal(fs_call_name(FUSE_RMDIR, FS_ROOT, NULL, 0, "new", NULL), 0);
    assert_int_equal(fs_try_create(node, "file", O_WRONLY, 0644, &handle), ENOENT);
}

#define with_share(test) cmocka_unit_test_setup_teardown(test, fs_open_guest, fs_close_guest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_share(odd_names_are_refused),
        with_share(links_are_not_followed),
        with_share(a_swapped_directory_leads_nowhere),
        with_share(renaming_replaces_and_exchanges),
        with_share(hard_links_are_one_file),
        with_share(directories_are_listed),
        with_share(special_files_are_not_opened),
        with_share(directories_come_and_go),
    };
    vm_log_set_sink(fs_quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
