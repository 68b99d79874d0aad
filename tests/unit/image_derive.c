/* image/derive: files made of layers are made once, whole or not at all, and go with their layers.
 */
#include "image_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static int make_text(const char *name, const char *directory, int64_t size, const char *file,
                     struct error *err)
{
    scope_free char *text = memory_format("%s/etc/text", directory);
    scope_free char *bytes = file_read_all(AT_FDCWD, text, 100, NULL, err);
    scope_free char *made = memory_format("%s/made", fixture.directory);
    scope_close int count = open(made, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    scope_close int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (!bytes || count < 0 || fd < 0 || write(count, "x", 1) != 1)
        return error_set(err, errno, "can't make it");
    if (strlen(name) != 24 || size != (int64_t)strlen(bytes))
        return error_set(err, 0, "not told what it is");
    return file_write_all(fd, bytes, strlen(bytes));
}

static int make_half(const char *name, const char *directory, int64_t size, const char *file,
                     struct error *err)
{
    (void)name, (void)directory, (void)size;
    scope_close int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file_write_all(fd, "half", 4) < 0)
        return -1;
    return error_set(err, 0, "no room");
}

static int make_and_die(const char *name, const char *directory, int64_t size, const char *file,
                        struct error *err)
{
    make_half(name, directory, size, file, err);
    raise(SIGKILL);
    return -1;
}

static const struct image_derivation text_derivation = {.suffix = "text", .make = make_text};
static const struct image_derivation half_derivation = {.suffix = "text", .make = make_half};
static const struct image_derivation dying_derivation = {.suffix = "text", .make = make_and_die};

static int count_entries(const char *path)
{
    scope_free char *absolute = memory_format("%s/images/%s", fixture.directory, path);
    scope_closedir DIR *stream = opendir(absolute);
    int count = 0;
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        count += entry->d_name[0] != '.';
    return count;
}

static off_t times_made(void)
{
    struct stat status;
    return fstatat(fixture.fd, "made", &status, 0) < 0 ? 0 : status.st_size;
}

static void find_held(struct image *image)
{
    fixture_make_image("a", "text");
    assert_int_equal(image_find(fixture.store, "a", image, &fixture.err), 1);
    assert_int_equal(image_lease_take(fixture.store, "c", "c", image, &fixture.err), 0);
}

static void it_is_made_once_and_goes_with_the_layer(void **state)
{
    (void)state;
    scope_image struct image image = {0};
    scope_image_derived struct image_derived derived = {0};
    find_held(&image);
    for (int i = 0; i < 2; i++) {
        image_derived_release(&derived);
        if (image_derive(fixture.store, &image, &text_derivation, &derived, &fixture.err) < 0)
            fail_msg("%s", fixture.err.text);
        assert_int_equal(derived.count, 1);
        scope_free char *text = file_read_all(AT_FDCWD, derived.files[0], 100, NULL, &fixture.err);
        assert_string_equal(text, "text");
    }
    assert_int_equal(times_made(), 1);
    assert_int_equal(count_entries("unpack"), 0);
    /* Held, it stays. */
    scope_image_removal struct image_removal removal = {0};
    assert_int_equal(image_remove(fixture.store, "a", true, &removal, &fixture.err), 0);
    assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), 0);
    assert_int_equal(access(derived.files[0], F_OK), 0);
    assert_int_equal(image_lease_release(fixture.store, "c", &fixture.err), 0);
    assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), 0);
    assert_int_equal(count_entries("layers"), 0);
    assert_int_equal(count_entries("derived"), 0);
    assert_int_equal(count_entries("leases"), 0);
}

static void one_without_its_layer_is_a_fault_that_pruning_removes(void **state)
{
    (void)state;
    scope_image struct image image = {0};
    scope_image_derived struct image_derived derived = {0};
    find_held(&image);
    assert_int_equal(image_derive(fixture.store, &image, &text_derivation, &derived, &fixture.err),
                     0);
    assert_int_equal(image_store_check(fixture.store, true, NULL, NULL, &fixture.err), 0);
    fixture_write("images/derived/0123456789abcdef01234567.text", "of no layer");
    assert_int_equal(image_store_check(fixture.store, true, NULL, NULL, &fixture.err), 1);
    scope_image_removal struct image_removal removal = {0};
    assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), 0);
    assert_int_equal(image_store_check(fixture.store, true, NULL, NULL, &fixture.err), 0);
    assert_int_equal(count_entries("derived"), 1);
}

static void many_at_once_make_it_once(void **state)
{
    (void)state;
    pid_t children[20];
    scope_image struct image image = {0};
    find_held(&image);
    for (int i = 0; i < 20; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            scope_image_derived struct image_derived derived = {0};
            _exit(image_derive(fixture.store, &image, &text_derivation, &derived, NULL) < 0 ||
                  access(derived.files[0], R_OK) < 0);
        }
    }
    for (int i = 0; i < 20; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(times_made(), 1);
    assert_int_equal(count_entries("derived"), 1);
    assert_int_equal(count_entries("unpack"), 0);
}

static void what_fails_leaves_nothing(void **state)
{
    (void)state;
    scope_image struct image image = {0};
    scope_image_derived struct image_derived derived = {0};
    find_held(&image);
    assert_int_equal(image_derive(fixture.store, &image, &half_derivation, &derived, &fixture.err),
                     -1);
    fixture_assert_error("no room");
    assert_null(derived.files);
    assert_int_equal(count_entries("derived"), 0);
    assert_int_equal(count_entries("unpack"), 0);
    assert_int_equal(image_derive(fixture.store, &image, &text_derivation, &derived, &fixture.err),
                     0);
}

static void who_is_killed_leaves_what_the_next_removes(void **state)
{
    (void)state;
    scope_image struct image image = {0};
    scope_image_derived struct image_derived derived = {0};
    find_held(&image);
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(image_derive(fixture.store, &image, &dying_derivation, &derived, NULL) < 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(count_entries("derived"), 0);
    assert_int_equal(count_entries("unpack"), 1);
    /* Its lock went with it. */
    assert_int_equal(image_derive(fixture.store, &image, &text_derivation, &derived, &fixture.err),
                     0);
    assert_int_equal(image_store_tidy(fixture.store, &fixture.err), 0);
    assert_int_equal(count_entries("unpack"), 0);
    assert_int_equal(access(derived.files[0], R_OK), 0);
    assert_int_equal(image_store_check(fixture.store, false, NULL, NULL, &fixture.err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_make_store, fixture_remove)
        CASE(it_is_made_once_and_goes_with_the_layer),
        CASE(one_without_its_layer_is_a_fault_that_pruning_removes),
        CASE(many_at_once_make_it_once),
        CASE(what_fails_leaves_nothing),
        CASE(who_is_killed_leaves_what_the_next_removes),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
