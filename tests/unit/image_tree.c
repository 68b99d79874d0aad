/* image/archive_tree: directory trees as archives, and back. */
#include "image_fixture.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

static int append(void *context, const void *bytes, size_t count, struct error *err)
{
    (void)err;
    tar_append(context, bytes, count);
    return 0;
}

static struct tar write_tree(const char *path, const struct archive_tree_options *options)
{
    struct tar tar = {0};
    if (archive_write_tree(fixture.root, path, options, append, &tar, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    return tar;
}

/* Extracts into "copy" beside the root, and makes that the root for the asserts. */
static void extract_copy(const struct tar *tar)
{
    const struct archive_extract_options options = {.owners = true};
    assert_int_equal(mkdirat(fixture.fd, "copy", 0700), 0);
    close(fixture.root);
    fixture.root = openat(fixture.fd, "copy", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fixture_extract_with(tar, &options) < 0)
        fail_msg("%s", fixture.err.text);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    scope_close int fd = openat(fixture.root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && file_write_all(fd, text, strlen(text)) == 0);
    assert_int_equal(fchmod(fd, mode), 0);
}

static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", fixture.root, name);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
}

static void a_tree_comes_back_as_it_was(void **state)
{
    (void)state;
    const struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5},
                                      {.tv_sec = 1000, .tv_nsec = 5}};
    char long_name[256];
    memset(long_name, 'l', 255);
    long_name[255] = '\0';
    write_file("setuid", "program", 04755);
    assert_int_equal(fchownat(fixture.root, "setuid", 4000000000u, 50, 0), 0);
    assert_int_equal(fchmodat(fixture.root, "setuid", 04755, 0), 0);
    assert_int_equal(linkat(fixture.root, "setuid", fixture.root, "hard", 0), 0);
    assert_int_equal(symlinkat("/nowhere/at/all", fixture.root, "soft"), 0);
    assert_int_equal(linkat(fixture.root, "soft", fixture.root, "soft2", 0), 0);
    assert_int_equal(mkdirat(fixture.root, "dir", 01777), 0);
    assert_int_equal(fchmodat(fixture.root, "dir", 01777, 0), 0);
    write_file("dir/latin-\xe9", "x", 0640);
    assert_int_equal(utimensat(fixture.root, "dir/latin-\xe9", times, 0), 0);
    write_file(long_name, "long", 0600);
    assert_int_equal(mknodat(fixture.root, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
    assert_int_equal(mknodat(fixture.root, "fifo", S_IFIFO | 0600, 0), 0);
    make_socket("socket");
    int fd = openat(fixture.root, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fsetxattr(fd, "user.note", "a\0b", 3, 0), 0);
    close(fd);
    fd = openat(fixture.root, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 64 << 20), 0);
    assert_int_equal(pwrite(fd, "data", 4, 32 << 20), 4);
    close(fd);

    const struct archive_tree_options options = {.warnings = &fixture_warnings};
    scope_tar struct tar tar = write_tree("", &options), again = write_tree(".", &options);
    assert_int_equal(tar.length, again.length);
    assert_memory_equal(tar.bytes, again.bytes, tar.length);
    assert_true(tar.length < 1 << 20); /* without the holes */
    assert_non_null(strstr(fixture.warnings, "socket"));
    extract_copy(&tar);
    struct stat status = fixture_stat("setuid");
    assert_int_equal(status.st_mode & 07777, 04755);
    assert_int_equal(status.st_uid, 4000000000u);
    assert_int_equal(status.st_nlink, 2);
    assert_int_equal(status.st_ino, fixture_stat("hard").st_ino);
    assert_int_equal(fixture_stat("soft").st_ino, fixture_stat("soft2").st_ino);
    assert_int_equal(fixture_stat("dir").st_mode & 07777, 01777);
    status = fixture_stat("dir/latin-\xe9");
    assert_int_equal(status.st_mtim.tv_sec, 1000);
    assert_int_equal(status.st_mtim.tv_nsec, 5);
    fixture_assert_text(long_name, "long");
    assert_int_equal(fixture_stat("null").st_rdev, makedev(1, 3));
    assert_true(S_ISFIFO(fixture_stat("fifo").st_mode));
    assert_false(fixture_exists("socket"));
    char value[8];
    fd = openat(fixture.root, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fgetxattr(fd, "user.note", value, sizeof value), 3);
    close(fd);
    status = fixture_stat("sparse");
    assert_int_equal(status.st_size, 64 << 20);
    assert_true(status.st_blocks < 200);
    fd = openat(fixture.root, "sparse", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, value, 4, 32 << 20), 4);
    assert_memory_equal(value, "data", 4);
    close(fd);
}

static void a_part_of_a_tree_may_have_other_names(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(fixture.root, "a", 0755), 0);
    assert_int_equal(mkdirat(fixture.root, "a/b", 0755), 0);
    write_file("a/b/file", "x", 0644);
    write_file("a/other", "y", 0644);
    assert_int_equal(symlinkat("/a/b", fixture.root, "link"), 0);
    const struct archive_tree_options options = {.rename = "c", .prefix = "top/"};
    scope_tar struct tar tar = write_tree("a/b", &options);
    scope_tar struct tar through = write_tree("link/file", &options);
    scope_tar struct tar link = write_tree("link", NULL);
    extract_copy(&tar);
    fixture_assert_text("top/c/file", "x");
    assert_false(fixture_exists("a"));
    const struct archive_extract_options plain = {.owners = true, .keep_types = true};
    assert_int_equal(fixture_extract_with(&through, &plain), -1); /* top/c is a directory … */
    scope_tar struct tar none = {0};
    assert_int_equal(
        archive_write_tree(fixture.root, "nowhere/x", NULL, append, &none, &fixture.err), -1);
    assert_int_equal(fixture_extract_with(&link, &plain), 0);
    assert_true(S_ISLNK(fixture_stat("link").st_mode));
}

/* Paths are resolved inside of the root, whatever links are in them. */
static void no_file_outside_is_written_into_an_archive(void **state)
{
    (void)state;
    fixture_write("secret", "not for you");
    assert_int_equal(symlinkat("..", fixture.root, "up"), 0);
    assert_int_equal(symlinkat("../secret", fixture.root, "leak"), 0);
    scope_tar struct tar tar = {0};
    assert_int_equal(
        archive_write_tree(fixture.root, "up/secret/x", NULL, append, &tar, &fixture.err), -1);
    archive_write_tree(fixture.root, "../secret", NULL, append, &tar, &fixture.err);
    archive_write_tree(fixture.root, "up/secret", NULL, append, &tar, &fixture.err);
    scope_tar struct tar all = write_tree("", NULL);
    for (size_t i = 0; i + 11 <= tar.length; i++)
        assert_memory_not_equal(tar.bytes + i, "not for you", 11);
    for (size_t i = 0; i + 11 <= all.length; i++)
        assert_memory_not_equal(all.bytes + i, "not for you", 11);
}

static int refuse(void *context, const void *bytes, size_t count, struct error *err)
{
    (void)context;
    (void)bytes;
    (void)count;
    return error_set(err, ENOSPC, "no");
}

static void who_takes_may_refuse(void **state)
{
    (void)state;
    write_file("file", "x", 0644);
    assert_int_equal(archive_write_tree(fixture.root, "", NULL, refuse, NULL, &fixture.err), -1);
    fixture_assert_error("no: No space left");
}

static int check_root(void **state)
{
    (void)state;
    return geteuid() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
        CASE(a_tree_comes_back_as_it_was),
        CASE(a_part_of_a_tree_may_have_other_names),
        CASE(no_file_outside_is_written_into_an_archive),
        CASE(who_takes_may_refuse),
#undef CASE
    };
    return cmocka_run_group_tests(tests, check_root, NULL);
}
