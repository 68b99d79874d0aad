/* image/extract: what files have beside their names, as archives of every kind say it. */
#include "image_fixture.h"

#include <sys/xattr.h>

static void assert_extracted(const struct tar *tar)
{
    if (fixture_extract(tar) < 0)
        fail_msg("%s", fixture.err.text);
}

static ssize_t get_xattr(const char *path, const char *key, char *value, size_t size)
{
    char place[128];
    snprintf(place, sizeof place, "/proc/self/fd/%d/%s", fixture.root, path);
    return lgetxattr(place, key, value, size);
}

static void modes_owners_and_times_are_those_of_the_archive(void **state)
{
    (void)state;
    umask(077);
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "./", .type = '5', .mode = 0751, .mtime = 86400);
    TAR_ADD(&tar, "su", .mode = 04755, .uid = 1000, .gid = 50, .mtime = 1600000000, .data = "x");
    TAR_ADD(&tar, "sg", .mode = 02711, .gid = 7, .mtime = 1, .data = "x");
    TAR_ADD(&tar, "none", .mode = 01000, .data = "x");
    TAR_ADD(&tar, "tmp/", .type = '5', .mode = 01777, .mtime = 1700000000);
    TAR_ADD(&tar, "tmp/closed/", .type = '5', .mode = 0500, .uid = 3, .mtime = 1700000001);
    TAR_ADD(&tar, "tmp/closed/file", .data = "x");
    TAR_ADD(&tar, "link", .type = '2', .link = "su", .uid = 9, .gid = 9, .mtime = 5);
    tar_end(&tar);
    assert_extracted(&tar);
    assert_int_equal(umask(022), 077);
    struct stat status = fixture_stat("su");
    assert_int_equal(status.st_mode & 07777, 04755);
    assert_int_equal(status.st_uid, 1000);
    assert_int_equal(status.st_gid, 50);
    assert_int_equal(status.st_mtime, 1600000000);
    assert_int_equal(fixture_stat("sg").st_mode & 07777, 02711);
    assert_int_equal(fixture_stat("none").st_mode & 07777, 01000);
    status = fixture_stat("tmp");
    assert_int_equal(status.st_mode & 07777, 01777);
    assert_int_equal(status.st_mtime, 1700000000);
    status = fixture_stat("tmp/closed");
    assert_int_equal(status.st_mode & 07777, 0500);
    assert_int_equal(status.st_uid, 3);
    assert_int_equal(status.st_mtime, 1700000001);
    status = fixture_stat("link");
    assert_int_equal(status.st_uid, 9);
    assert_int_equal(status.st_mtime, 5);
    assert_int_equal(fixture_stat(".").st_mode & 07777, 0751);
    assert_int_equal(fixture_stat(".").st_mtime, 86400);
}

static void large_ids_and_odd_times_fit(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "base256", .uid = 4000000000u, .gid = 4294967294u, .data = "x");
    tar_pax(&tar, "uid", "3000000000");
    tar_pax(&tar, "mtime", "1700000000.123456789");
    TAR_ADD(&tar, "pax", .data = "x");
    tar_pax(&tar, "mtime", "-86400.5");
    TAR_ADD(&tar, "before", .data = "x");
    TAR_ADD(&tar, "later", .data = "x", .mtime = 1ll << 33);
    TAR_ADD(&tar, "negative", .data = "x", .mtime = -1000);
    tar_end(&tar);
    assert_extracted(&tar);
    struct stat status = fixture_stat("base256");
    assert_int_equal(status.st_uid, 4000000000u);
    assert_int_equal(status.st_gid, 4294967294u);
    status = fixture_stat("pax");
    assert_int_equal(status.st_mtim.tv_sec, 1700000000);
    assert_int_equal(status.st_mtim.tv_nsec, 123456789);
    assert_true(fixture_stat("before").st_mtim.tv_sec < 0);
    assert_int_equal(fixture_stat("later").st_mtime, 1ll << 33);
    assert_int_equal(fixture_stat("negative").st_mtime, -1000);
}

static void ids_that_no_kernel_has_are_refused(void **state)
{
    (void)state;
    static const char *const ids[] = {"4294967295", "4294967296", "9223372036854775807"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        for (char type = '0'; type <= '5'; type += 5) {
            scope_tar struct tar tar = {0};
            tar_pax(&tar, "uid", ids[i]);
            TAR_ADD(&tar, type == '5' ? "dir/" : "file", .type = type);
            tar_end(&tar);
            assert_int_equal(fixture_extract(&tar), -1);
            fixture_assert_error("out of range");
        }
}

static void extended_attributes_and_capabilities_arrive(void **state)
{
    (void)state;
    static const unsigned char net_raw[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0,
                                            0, 0, 0, 0, 0, 0,    0, 0, 0, 0};
    char value[64];
    scope_tar struct tar tar = {0};
    tar_pax_bytes(&tar, "SCHILY.xattr.security.capability", net_raw, sizeof net_raw);
    TAR_ADD(&tar, "ping", .mode = 0755, .data = "x", .uid = 12); /* chown drops capabilities */
    tar_pax(&tar, "SCHILY.xattr.user.note", "hello");
    TAR_ADD(&tar, "noted", .data = "x");
    tar_pax(&tar, "SCHILY.xattr.user.note", "on a directory");
    TAR_ADD(&tar, "dir/", .type = '5', .mode = 0500);
    tar_pax(&tar, "SCHILY.xattr.trusted.note", "on a link");
    TAR_ADD(&tar, "link", .type = '2', .link = "nowhere");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_int_equal(get_xattr("ping", "security.capability", value, sizeof value), 20);
    assert_memory_equal(value, net_raw, 20);
    assert_int_equal(fixture_stat("ping").st_uid, 12);
    assert_int_equal(get_xattr("noted", "user.note", value, sizeof value), 5);
    assert_memory_equal(value, "hello", 5);
    assert_int_equal(get_xattr("dir", "user.note", value, sizeof value), 14);
    assert_int_equal(get_xattr("link", "trusted.note", value, sizeof value), 9);
}

/* They could lead overlayfs to other files of the layers below. */
static void attributes_of_overlayfs_never_come_from_an_archive(void **state)
{
    (void)state;
    static const char *const keys[] = {"trusted.overlay.redirect", "trusted.overlay.opaque",
                                       "trusted.overlay.metacopy", "user.overlay.opaque",
                                       "user.overlay.redirect"};
    char value[64];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        scope_free char *key = memory_format("SCHILY.xattr.%s", keys[i]);
        scope_tar struct tar tar = {0};
        tar_pax(&tar, key, "y");
        TAR_ADD(&tar, "dir/", .type = '5', .mode = 0755);
        tar_pax(&tar, key, "y");
        TAR_ADD(&tar, "file", .data = "x");
        tar_end(&tar);
        assert_extracted(&tar);
        assert_int_equal(get_xattr("dir", keys[i], value, sizeof value), -1);
        assert_int_equal(get_xattr("file", keys[i], value, sizeof value), -1);
    }
}

static void what_no_file_system_takes_is_a_warning(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    tar_pax(&tar, "SCHILY.xattr.nonsense.key", "y");
    TAR_ADD(&tar, "file", .data = "x");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_non_null(strstr(fixture.warnings, "nonsense.key"));
}

static void names_of_any_length_and_letters_arrive(void **state)
{
    (void)state;
    char longest[256], path[1024];
    memset(longest, 'n', 255);
    longest[255] = '\0';
    snprintf(path, sizeof path, "%s/%s/%s", longest, longest, longest);
    scope_tar struct tar tar = {0};
    tar_pax(&tar, "path", path);
    TAR_ADD(&tar, "short", .data = "pax");
    longest[0] = 'm';
    snprintf(path, sizeof path, "%s/%s", longest, longest);
    tar_long(&tar, 'L', path);
    TAR_ADD(&tar, "cut", .data = "gnu");
    tar_long(&tar, 'K', path);
    TAR_ADD(&tar, "long-link", .type = '2', .link = "cut");
    tar_pax(&tar, "path", "\u65e5\u672c/f\u0151");
    TAR_ADD(&tar, "x", .data = "utf-8");
    TAR_ADD(&tar, "\u65e5\u672c/raw", .data = "utf-8 too");
    TAR_ADD(&tar, "latin-\xe9\xff", .data = "not utf-8");
    tar_pax(&tar, "hdrcharset", "BINARY");
    tar_pax(&tar, "path", "binary-\xff\xfe");
    TAR_ADD(&tar, "x", .data = "binary");
    tar_pax(&tar, "linkpath", "\u65e5\u672c");
    TAR_ADD(&tar, "soft", .type = '2', .link = "?");
    tar_pax(&tar, "linkpath", "\u65e5\u672c/raw");
    TAR_ADD(&tar, "hard", .type = '1', .link = "?");
    TAR_ADD(&tar, "new\nline \\ \"quotes\" ", .data = "odd");
    tar_end(&tar);
    assert_extracted(&tar);
    longest[0] = 'n';
    snprintf(path, sizeof path, "%s/%s/%s", longest, longest, longest);
    fixture_assert_text(path, "pax");
    longest[0] = 'm';
    snprintf(path, sizeof path, "%s/%s", longest, longest);
    fixture_assert_text(path, "gnu");
    fixture_assert_text("long-link", "gnu");
    fixture_assert_text("\u65e5\u672c/f\u0151", "utf-8");
    fixture_assert_text("latin-\xe9\xff", "not utf-8");
    fixture_assert_text("binary-\xff\xfe", "binary");
    assert_true(S_ISLNK(fixture_stat("soft").st_mode));
    fixture_assert_text("soft/raw", "utf-8 too");
    fixture_assert_text("hard", "utf-8 too");
    fixture_assert_text("new\nline \\ \"quotes\" ", "odd");
}

static void names_too_long_for_the_kernel_are_refused(void **state)
{
    (void)state;
    char part[300], path[6000];
    memset(part, 'n', 256);
    part[256] = '\0';
    scope_tar struct tar tar = {0};
    tar_pax(&tar, "path", part);
    TAR_ADD(&tar, "short");
    tar_end(&tar);
    assert_int_equal(fixture_extract(&tar), -1);
    fixture_assert_error("name too long");
    for (size_t i = 0; i < sizeof path - 1; i++)
        path[i] = i % 2 ? '/' : 'd';
    path[sizeof path - 1] = '\0';
    scope_tar struct tar deep = {0};
    tar_pax(&deep, "path", path);
    TAR_ADD(&deep, "short");
    tar_end(&deep);
    assert_int_equal(fixture_extract(&deep), -1);
    fixture_assert_error("name too long");
}

static void directories_as_deep_as_paths_go_are_made_and_removed(void **state)
{
    (void)state;
    char path[4000];
    for (size_t i = 0; i < sizeof path - 1; i++)
        path[i] = i % 2 ? '/' : 'd';
    path[sizeof path - 1] = '\0';
    scope_tar struct tar tar = {0};
    tar_pax(&tar, "path", path);
    TAR_ADD(&tar, "short", .type = '5');
    path[sizeof path - 2] = '\0';
    tar_pax(&tar, "linkpath", path);
    TAR_ADD(&tar, "deep", .type = '2', .link = "?");
    /* Deeper than any path names it. */
    tar_pax(&tar, "path", "deep/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a");
    TAR_ADD(&tar, "short", .data = "x");
    /* In the way of that: the whole tree goes. */
    TAR_ADD(&tar, "d", .data = "a file");
    tar_end(&tar);
    assert_extracted(&tar);
    fixture_assert_text("d", "a file");
}

static void sparse_files_keep_their_holes(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    /* GNU.sparse 1.0: the map is in front of the data, padded to a block. */
    char data[1024] = "2\n1048576\n4\n8388608\n0\n";
    memcpy(data + 512, "data", 4);
    TAR_ADD(&tar, "pax", .type = 'x',
            .data = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n26 GNU.sparse.name=sparse\n"
                    "31 GNU.sparse.realsize=8388608\n");
    TAR_ADD(&tar, "GNUSparseFile.0/sparse", .data = data, .length = 516);
    tar_end(&tar);
    assert_extracted(&tar);
    struct stat status = fixture_stat("sparse");
    assert_int_equal(status.st_size, 8388608);
    assert_true(status.st_blocks < 1024);
    char found[8] = "";
    scope_close int fd = openat(fixture.root, "sparse", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, found, 4, 1048576), 4);
    assert_string_equal(found, "data");
    assert_int_equal(pread(fd, found, 4, 1048572), 4);
    assert_memory_equal(found, "\0\0\0\0", 4);
}

static void implicit_directories_are_told_for_the_layer_below(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "a/b/c/file", .data = "x");
    TAR_ADD(&tar, "a/", .type = '5', .mode = 0700);
    TAR_ADD(&tar, "d/file", .data = "x");
    tar_end(&tar);
    assert_extracted(&tar);
    assert_int_equal(fixture.result.implicit_count, 3);
    assert_string_equal(fixture.result.implicit[0], "a/b");
    assert_string_equal(fixture.result.implicit[1], "a/b/c");
    assert_string_equal(fixture.result.implicit[2], "d");
    assert_int_equal(fixture_stat("a").st_mode & 07777, 0700);
    assert_int_equal(fixture_stat("a/b").st_mode & 07777, 0755);
}

/* As cp extracts: to where files are already. */
static void a_plain_extraction_keeps_what_it_is_told_to(void **state)
{
    (void)state;
    struct archive_extract_options options = {
        .fixed_owner = true, .uid = 33, .gid = 44, .rename_from = "from", .rename_to = "to"};
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "from/", .type = '5', .mode = 0750, .uid = 1);
    TAR_ADD(&tar, "from/file", .data = "x", .uid = 1);
    TAR_ADD(&tar, "fromage", .data = "cheese", .uid = 1);
    tar_end(&tar);
    assert_int_equal(fixture_extract_with(&tar, &options), 0);
    fixture_assert_text("to/file", "x");
    fixture_assert_text("fromage", "cheese");
    assert_int_equal(fixture_stat("to/file").st_uid, 33);
    assert_int_equal(fixture_stat("to").st_gid, 44);

    options = (struct archive_extract_options){.keep_types = true};
    scope_tar struct tar other = {0};
    TAR_ADD(&other, "to", .data = "a file now");
    tar_end(&other);
    assert_int_equal(fixture_extract_with(&other, &options), -1);
    fixture_assert_error("can't replace the directory");
    fixture_assert_text("to/file", "x");
    scope_tar struct tar third = {0};
    TAR_ADD(&third, "fromage/", .type = '5', .mode = 0755);
    tar_end(&third);
    assert_int_equal(fixture_extract_with(&third, &options), -1);
    fixture_assert_error("can't replace the file");

    /* A directory with the setgid bit gives new files its group, but the archive says theirs. */
    assert_int_equal(mkdirat(fixture.root, "group", 0755), 0);
    assert_int_equal(fchownat(fixture.root, "group", 0, 77, 0), 0);
    assert_int_equal(fchmodat(fixture.root, "group", 02755, 0), 0);
    options = (struct archive_extract_options){.owners = true};
    scope_tar struct tar fourth = {0};
    TAR_ADD(&fourth, "group/file", .data = "x");
    tar_end(&fourth);
    assert_int_equal(fixture_extract_with(&fourth, &options), 0);
    assert_int_equal(fixture_stat("group/file").st_gid, 0);
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
        CASE(modes_owners_and_times_are_those_of_the_archive),
        CASE(large_ids_and_odd_times_fit),
        CASE(ids_that_no_kernel_has_are_refused),
        CASE(extended_attributes_and_capabilities_arrive),
        CASE(attributes_of_overlayfs_never_come_from_an_archive),
        CASE(what_no_file_system_takes_is_a_warning),
        CASE(names_of_any_length_and_letters_arrive),
        CASE(names_too_long_for_the_kernel_are_refused),
        CASE(directories_as_deep_as_paths_go_are_made_and_removed),
        CASE(sparse_files_keep_their_holes),
        CASE(implicit_directories_are_told_for_the_layer_below),
        CASE(a_plain_extraction_keeps_what_it_is_told_to),
#undef CASE
    };
    return cmocka_run_group_tests(tests, check_root, NULL);
}
