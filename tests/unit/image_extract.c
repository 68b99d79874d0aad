/* image/extract: archives that want out of their root, or to fool overlayfs. */
#include "image_fixture.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

static void assert_extracted(const struct tar *tar)
{
    if (fixture_extract(tar) < 0)
        fail_msg("%s", fixture.err.text);
}

/* A file beside the root that no archive may touch. */
static void make_secret(void)
{
    fixture_write("secret", "untouched");
    assert_int_equal(fchmodat(fixture.fd, "secret", 0600, 0), 0);
}

static void assert_secret_untouched(void)
{
    struct stat status;
    scope_free char *text = file_read_all(fixture.fd, "secret", 100, NULL, NULL);
    assert_non_null(text);
    assert_string_equal(text, "untouched");
    assert_int_equal(fstatat(fixture.fd, "secret", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_nlink, 1);
    assert_int_equal(status.st_uid, geteuid());
    /* Nothing else has come beside the root. */
    int count = 0;
    scope_closedir DIR *stream = opendir(fixture.directory);
    while (stream && readdir(stream))
        count++;
    assert_int_equal(count, 4);
}

static void absolute_names_are_below_the_root(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "/etc/hull-test", .data = "inside");
    TAR_ADD(&tar, "//./x", .data = "x");
    tar_end(&tar);
    assert_extracted(&tar);
    fixture_assert_text("etc/hull-test", "inside");
    fixture_assert_text("x", "x");
    assert_int_not_equal(access("/etc/hull-test", F_OK), 0);
}

static void dots_never_leave_the_root(void **state)
{
    (void)state;
    static const char *const names[] = {"../secret",  "a/../../secret",      "./../secret",
                                        "/../secret", "a/b/../../../secret", ".."};
    make_secret();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        scope_tar struct tar tar = {0};
        TAR_ADD(&tar, names[i], .data = "out");
        tar_end(&tar);
        assert_int_equal(fixture_extract(&tar), -1);
        fixture_assert_error("leads out of its root");
    }
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "a/b/../c", .data = "fine");
    tar_end(&tar);
    assert_extracted(&tar);
    fixture_assert_text("a/c", "fine");
    assert_secret_untouched();
}

static void links_lead_to_places_inside_only(void **state)
{
    (void)state;
    make_secret();
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "up", .type = '2', .link = "..");
    TAR_ADD(&tar, "abs", .type = '2', .link = "/tmp");
    TAR_ADD(&tar, "tmp/", .type = '5');
    TAR_ADD(&tar, "up/secret", .data = "inside");
    TAR_ADD(&tar, "abs/file", .data = "inside too");
    TAR_ADD(&tar, "far", .type = '2', .link = "../../../../../../..");
    TAR_ADD(&tar, "far/deep", .data = "3");
    tar_end(&tar);
    assert_extracted(&tar);
    fixture_assert_text("secret", "inside");
    fixture_assert_text("tmp/file", "inside too");
    fixture_assert_text("deep", "3");
    assert_secret_untouched();
}

static void a_link_in_the_place_of_a_file_is_replaced_not_followed(void **state)
{
    (void)state;
    make_secret();
    scope_free char *outside = memory_format("%s/secret", fixture.directory);
    scope_tar struct tar tar = {0};
    tar_pax(&tar, "linkpath", outside);
    TAR_ADD(&tar, "a", .type = '2', .link = "…");
    TAR_ADD(&tar, "a", .data = "mine", .mode = 0777);
    TAR_ADD(&tar, "b", .type = '2', .link = "../secret");
    TAR_ADD(&tar, "b", .type = '6', .mode = 0777); /* a fifo: chmod would follow a link */
    TAR_ADD(&tar, "c", .type = '2', .link = "..");
    TAR_ADD(&tar, "c/", .type = '5', .mode = 0711);
    TAR_ADD(&tar, "c/secret", .data = "in c");
    tar_end(&tar);
    assert_extracted(&tar);
    fixture_assert_text("a", "mine");
    assert_true(S_ISFIFO(fixture_stat("b").st_mode));
    fixture_assert_text("c/secret", "in c");
    assert_int_equal(fixture_stat("c").st_mode, S_IFDIR | 0711);
    assert_secret_untouched();
}

/* The directory of the last entry is remembered as a descriptor: not beyond its end. */
static void a_directory_that_becomes_a_link_midway_is_not_remembered(void **state)
{
    (void)state;
    make_secret();
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "dir/", .type = '5', .mode = 0755);
    TAR_ADD(&tar, "dir/first", .data = "1");
    TAR_ADD(&tar, "other/", .type = '5', .mode = 0750);
    TAR_ADD(&tar, "other/sub/", .type = '5', .mode = 0700);
    TAR_ADD(&tar, "dir", .type = '2', .link = "..");
    TAR_ADD(&tar, "dir/secret", .data = "2");
    TAR_ADD(&tar, "deep/er/file", .data = "3");
    TAR_ADD(&tar, "deep", .type = '2', .link = "../../..");
    TAR_ADD(&tar, "deep/er2", .data = "4");
    TAR_ADD(&tar, "deep/../../secret", .data = "x");
    tar_end(&tar);
    assert_int_equal(fixture_extract(&tar), -1); /* the last one */
    fixture_assert_error("leads out of its root");
    fixture_assert_text("secret", "2");
    fixture_assert_text("er2", "4");
    assert_false(fixture_exists("dir/first"));
    assert_secret_untouched();
}

/* Attributes of directories are set at the end, when a link may stand there. */
static void attributes_of_a_directory_do_not_reach_through_a_link(void **state)
{
    (void)state;
    make_secret();
    assert_int_equal(mkdirat(fixture.fd, "outside", 0700), 0);
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "outside/", .type = '5', .mode = 0777, .uid = 1, .gid = 1, .mtime = 1);
    TAR_ADD(&tar, "outside", .type = '2', .link = "../outside");
    TAR_ADD(&tar, "a/outside/", .type = '5', .mode = 0777, .uid = 1, .gid = 1, .mtime = 1);
    TAR_ADD(&tar, "a", .type = '2', .link = "..");
    tar_end(&tar);
    assert_extracted(&tar);
    struct stat status;
    assert_int_equal(fstatat(fixture.fd, "outside", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(status.st_uid, geteuid());
    assert_int_equal(unlinkat(fixture.fd, "outside", AT_REMOVEDIR), 0);
    assert_secret_untouched();
}

static void hard_links_do_not_reach_out(void **state)
{
    (void)state;
    static const char *const targets[] = {"../secret", "/../secret", "up/../../secret", "..", ""};
    make_secret();
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        scope_tar struct tar tar = {0};
        TAR_ADD(&tar, "up", .type = '2', .link = "..");
        TAR_ADD(&tar, "hard", .type = '1', .link = targets[i]);
        TAR_ADD(&tar, "hard", .data = "overwritten");
        tar_end(&tar);
        /* A link to nothing is none of a file. */
        if (fixture_extract(&tar) < 0)
            assert_true(fixture.err.text[0]);
    }
    /* Through links, and by a link to the file itself. */
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "up", .type = '2', .link = "..");
    TAR_ADD(&tar, "hard", .type = '1', .link = "up/secret");
    tar_end(&tar);
    assert_int_equal(fixture_extract(&tar), -1);
    scope_tar struct tar other = {0};
    TAR_ADD(&other, "soft", .type = '2', .link = "../secret");
    TAR_ADD(&other, "hard", .type = '1', .link = "soft");
    TAR_ADD(&other, "hard", .data = "overwritten");
    tar_end(&other);
    assert_extracted(&other);
    fixture_assert_text("hard", "overwritten");
    assert_secret_untouched();
}

static void hard_links_inside_are_links(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "bin/one", .data = "program", .mode = 0755);
    TAR_ADD(&tar, "bin/two", .type = '1', .link = "bin/one");
    TAR_ADD(&tar, "three", .type = '1', .link = "/bin/one");
    TAR_ADD(&tar, "three", .type = '1', .link = "./bin/one"); /* again */
    TAR_ADD(&tar, "soft", .type = '2', .link = "nowhere");
    TAR_ADD(&tar, "soft2", .type = '1', .link = "soft");
    TAR_ADD(&tar, "four", .data = "in the way");
    TAR_ADD(&tar, "four", .type = '1', .link = "bin/one");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_int_equal(fixture_stat("bin/one").st_nlink, 4);
    assert_int_equal(fixture_stat("three").st_ino, fixture_stat("bin/one").st_ino);
    assert_int_equal(fixture_stat("four").st_ino, fixture_stat("bin/one").st_ino);
    assert_true(S_ISLNK(fixture_stat("soft2").st_mode));
    fixture_assert_text("bin/two", "program");

    scope_tar struct tar missing = {0};
    TAR_ADD(&missing, "five", .type = '1', .link = "bin/none");
    tar_end(&missing);
    assert_int_equal(fixture_extract(&missing), -1);
    fixture_assert_error("five");
    scope_tar struct tar directory = {0};
    TAR_ADD(&directory, "six", .type = '1', .link = "bin");
    tar_end(&directory);
    assert_int_equal(fixture_extract(&directory), -1);
    fixture_assert_error("six");
}

static void assert_whiteout(const char *path)
{
    struct stat status = fixture_stat(path);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(status.st_rdev, 0);
}

static void assert_opaque(const char *path, bool opaque)
{
    char value[8] = "";
    scope_close int fd = openat(fixture.root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t length = fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value);
    assert_int_equal(length, opaque ? 1 : -1);
    assert_int_equal(*value, opaque ? 'y' : '\0');
}

static void whiteouts_hide_what_is_below_only(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "etc/.wh.passwd");
    TAR_ADD(&tar, "etc/before", .data = "here");
    TAR_ADD(&tar, "etc/.wh.before");
    TAR_ADD(&tar, "etc/.wh.after");
    TAR_ADD(&tar, "etc/after", .data = "here too");
    TAR_ADD(&tar, "etc/.wh.dir");
    TAR_ADD(&tar, "etc/dir/", .type = '5', .mode = 0755);
    TAR_ADD(&tar, "etc/.wh.implicit");
    TAR_ADD(&tar, "etc/implicit/file", .data = "f");
    TAR_ADD(&tar, "etc/full/file", .data = "f");
    TAR_ADD(&tar, "etc/.wh.full");
    TAR_ADD(&tar, "etc/.wh.link");
    TAR_ADD(&tar, "etc/link", .type = '2', .link = "after");
    TAR_ADD(&tar, ".wh..wh.plnk"); /* aufs' own */
    TAR_ADD(&tar, ".wh..wh.aufs", .data = "x");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_whiteout("etc/passwd");
    fixture_assert_text("etc/before", "here");
    fixture_assert_text("etc/after", "here too");
    assert_opaque("etc/dir", true);
    assert_opaque("etc/implicit", true);
    assert_opaque("etc/full", true);
    assert_opaque("etc", false);
    fixture_assert_text("etc/full/file", "f");
    assert_true(S_ISLNK(fixture_stat("etc/link").st_mode));
    assert_false(fixture_exists(".wh..wh.plnk"));
    assert_false(fixture_exists(".wh..wh.aufs"));
}

static void opaque_markers_hide_a_whole_directory(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "var/a", .data = "a");
    TAR_ADD(&tar, "var/.wh..wh..opq");
    TAR_ADD(&tar, "var/b", .data = "b");
    TAR_ADD(&tar, "srv/.wh..wh..opq");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_opaque("var", true);
    assert_opaque("srv", true);
    fixture_assert_text("var/a", "a");
    fixture_assert_text("var/b", "b");
    assert_false(fixture_exists("var/.wh..wh..opq"));
}

static void whiteouts_of_nothing_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {".wh.", "a/.wh.", ".wh..", ".wh..."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        scope_tar struct tar tar = {0};
        TAR_ADD(&tar, names[i]);
        tar_end(&tar);
        assert_int_equal(fixture_extract(&tar), -1);
        fixture_assert_error("hides nothing");
    }
    /* ".wh...." hides "...", a name as good as any. */
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, ".wh....");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_whiteout("...");
}

static void whiteouts_do_not_reach_out(void **state)
{
    (void)state;
    make_secret();
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "up", .type = '2', .link = "..");
    TAR_ADD(&tar, "up/.wh.secret");
    TAR_ADD(&tar, "up/.wh..wh..opq");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_whiteout("secret"); /* in the root */
    char value[8];
    assert_int_equal(fgetxattr(fixture.fd, "trusted.overlay.opaque", value, sizeof value), -1);
    assert_secret_untouched();
}

static void a_plain_archive_has_no_whiteouts(void **state)
{
    (void)state;
    const struct archive_extract_options options = {.owners = true};
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, ".wh.x", .data = "a file");
    tar_end(&tar);
    assert_int_equal(fixture_extract_with(&tar, &options), 0);
    fixture_assert_text(".wh.x", "a file");
    assert_false(fixture_exists("x"));
}

static void devices_are_made_but_none_that_is_a_whiteout(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("not root\n");
        skip();
    }
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "dev/null", .type = '3', .major = 1, .minor = 3, .mode = 0666);
    TAR_ADD(&tar, "dev/loop", .type = '4', .major = 7, .minor = 300, .mode = 0660, .gid = 6);
    TAR_ADD(&tar, "fifo", .type = '6', .mode = 0622, .uid = 5);
    tar_end(&tar);
    assert_extracted(&tar);
    struct stat status = fixture_stat("dev/null");
    assert_int_equal(status.st_mode, S_IFCHR | 0666);
    assert_int_equal(status.st_rdev, makedev(1, 3));
    status = fixture_stat("dev/loop");
    assert_int_equal(status.st_mode, S_IFBLK | 0660);
    assert_int_equal(status.st_rdev, makedev(7, 300));
    assert_int_equal(status.st_gid, 6);
    status = fixture_stat("fifo");
    assert_int_equal(status.st_mode, S_IFIFO | 0622);
    assert_int_equal(status.st_uid, 5);

    scope_tar struct tar zero = {0};
    TAR_ADD(&zero, "etc", .type = '3', .mode = 0666);
    tar_end(&zero);
    assert_int_equal(fixture_extract(&zero), -1);
    fixture_assert_error("whiteout");
    assert_false(fixture_exists("etc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
        CASE(absolute_names_are_below_the_root),
        CASE(dots_never_leave_the_root),
        CASE(links_lead_to_places_inside_only),
        CASE(a_link_in_the_place_of_a_file_is_replaced_not_followed),
        CASE(a_directory_that_becomes_a_link_midway_is_not_remembered),
        CASE(attributes_of_a_directory_do_not_reach_through_a_link),
        CASE(hard_links_do_not_reach_out),
        CASE(hard_links_inside_are_links),
        CASE(whiteouts_hide_what_is_below_only),
        CASE(opaque_markers_hide_a_whole_directory),
        CASE(whiteouts_of_nothing_are_refused),
        CASE(whiteouts_do_not_reach_out),
        CASE(a_plain_archive_has_no_whiteouts),
        CASE(devices_are_made_but_none_that_is_a_whiteout),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
