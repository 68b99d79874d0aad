/* image/layers, image/unpack, image/commit: unpacked layers, where they come from and when they go.
 */
#include "image_fixture.h"

#include <sys/xattr.h>

#include "base/remove_tree.h"

#define STRANGER "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void report(const char *fault, void *context)
{
    (void)context;
    print_message("%s\n", fault);
}

static void assert_sound(void)
{
    assert_int_equal(image_store_check(fixture.store, false, report, NULL, &fixture.err), 0);
}

static void layers_are_unpacked_when_they_are_missing(void **state)
{
    (void)state;
    fixture_make_image("a", "text");
    scope_image struct image image = {0};
    scope_image_layers struct image_layers layers = {0};
    assert_int_equal(image_find(fixture.store, "a", &image, &fixture.err), 1);
    assert_int_equal(image_lease_take(fixture.store, "c", "c", &image, &fixture.err), 0);
    assert_int_equal(image_layers(fixture.store, &image, &layers, &fixture.err), 0);
    assert_int_equal(layers.count, 1);
    assert_int_equal(strlen(layers.names[0]), 24);
    scope_free char *path = memory_format("%s/etc/text", layers.directories[0]);
    scope_free char *whole = memory_format("%s/%s", layers.base, layers.names[0]);
    assert_string_equal(whole, layers.directories[0]);
    assert_int_equal(access(path, R_OK), 0);
    scope_free char *relative = memory_format("images/layers/%s", layers.names[0]);
    assert_int_equal(remove_tree(fixture.fd, relative, NULL, &fixture.err), 0);
    image_layers_release(&layers);
    assert_int_equal(image_layers(fixture.store, &image, &layers, &fixture.err), 0);
    assert_int_equal(access(path, R_OK), 0);
    assert_sound();
}

/* The kernel may have written a layer only in part, if the machine went down before it was asked to
 * write all. */
static void a_layer_that_was_never_acknowledged_goes_with_the_boot(void **state)
{
    (void)state;
    fixture_make_image("a", "text");
    scope_image struct image image = {0};
    scope_image_layers struct image_layers layers = {0};
    assert_int_equal(image_find(fixture.store, "a", &image, &fixture.err), 1);
    assert_int_equal(image_layers(fixture.store, &image, &layers, &fixture.err), 0);
    scope_free char *fresh = memory_format("layer-info/%s.fresh", layers.names[0]);
    scope_free char *known = memory_format("layer-info/%s.json", layers.names[0]);
    scope_free char *text = memory_format("images/layers/%s/etc/text", layers.names[0]);
    assert_int_equal(renameat(fixture.store->fd, known, fixture.store->fd, fresh), 0);
    fixture_write(text, "");
    assert_int_equal(unlinkat(fixture.store->fd, "boot", 0), 0);
    fixture_open_store();
    assert_int_equal(faccessat(fixture.fd, text, F_OK, 0), -1);
    image_layers_release(&layers);
    assert_int_equal(image_layers(fixture.store, &image, &layers, &fixture.err), 0);
    scope_free char *found = file_read_all(fixture.fd, text, 100, NULL, &fixture.err);
    assert_string_equal(found, "text");
    assert_sound();
    /* Killed between placing and acknowledging: pruning acknowledges it. */
    assert_int_equal(renameat(fixture.store->fd, known, fixture.store->fd, fresh), 0);
    assert_int_equal(image_store_check(fixture.store, true, NULL, NULL, &fixture.err), 1);
    scope_image_removal struct image_removal removal = {0};
    assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), 0);
    assert_int_equal(faccessat(fixture.fd, text, F_OK, 0), 0);
    assert_sound();
}

/* Makes what overlayfs leaves in an upper directory, and commits it. */
static void a_container_s_changes_become_a_layer(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("not root\n");
        skip();
    }
    fixture_make_image("a", "text");
    scope_image struct image parent = {0}, image = {0};
    scope_image_layers struct image_layers layers = {0};
    assert_int_equal(image_find(fixture.store, "a", &parent, &fixture.err), 1);
    assert_int_equal(mkdirat(fixture.root, "etc", 0711), 0);
    assert_int_equal(mknodat(fixture.root, "etc/text", S_IFCHR, 0), 0);
    assert_int_equal(mkdirat(fixture.root, "fresh", 0755), 0);
    int fd = openat(fixture.root, "fresh", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0), 0);
    close(fd);
    fd = openat(fixture.root, "fresh/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_int_equal(fsetxattr(fd, "user.note", "n", 1, 0), 0);
    close(fd);
    struct reference reference;
    assert_int_equal(reference_parse("b:1", &reference, NULL), 0);
    scope_free char *upper = memory_format("%s/root", fixture.directory);
    json_t *config = json_pack("{s:[s]}", "Cmd", "sh");
    const struct image_commit commit = {.parent = &parent,
                                        .upper = upper,
                                        .config = config,
                                        .author = "somebody",
                                        .comment = "changed",
                                        .created_by = "sh",
                                        .reference = &reference};
    if (image_commit(fixture.store, &commit, &image, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    json_decref(config);
    assert_int_equal(image.layer_count, 2);
    assert_int_equal(image_layers(fixture.store, &image, &layers, &fixture.err), 0);
    assert_int_equal(layers.count, 2);
    struct stat status;
    scope_close int layer = open(layers.directories[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fstatat(layer, "etc/text", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISCHR(status.st_mode) && status.st_rdev == 0);
    assert_int_equal(fstatat(layer, "fresh/file", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    char value[8];
    scope_close int fresh = openat(layer, "fresh", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fgetxattr(fresh, "trusted.overlay.opaque", value, sizeof value), 1);
    scope_free struct image_history_entry *entries = NULL;
    size_t count;
    assert_int_equal(image_history(fixture.store, &image, &entries, &count, &fixture.err), 0);
    assert_int_equal(count, 2);
    assert_string_equal(entries[0].id, image.id);
    assert_string_equal(entries[0].created_by, "sh");
    assert_string_equal(entries[0].comment, "changed");
    assert_string_equal(entries[1].id, "");
    assert_string_equal(entries[1].comment, "made");
    assert_int_equal(entries[1].size, 4);
    assert_sound();
    /* The parent's layer is shared: with the child removed it stays. */
    scope_image_removal struct image_removal removal = {0};
    assert_int_equal(image_remove(fixture.store, "b:1", false, &removal, &fixture.err), 0);
    assert_int_equal(access(layers.directories[0], F_OK), -1);
    assert_int_equal(access(layers.directories[1], F_OK), 0);
    assert_sound();
}

/* A directory that the upper layer takes for granted looks as it does below. */
static void directories_between_have_the_attributes_of_the_layer_below(void **state)
{
    (void)state;
    fixture_make_image("a", "text");
    scope_image struct image parent = {0};
    assert_int_equal(image_find(fixture.store, "a", &parent, &fixture.err), 1);
    struct image_lease *lease;
    struct image_unpack *unpack;
    struct image_ingest *ingest;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "etc/more", .data = "x");
    tar_end(&tar);
    char diff[IMAGE_DIGEST_SIZE], chain[IMAGE_DIGEST_SIZE];
    digest_compute(tar.bytes, tar.length, diff);
    char ids[2][IMAGE_DIGEST_SIZE];
    strcpy(ids[0], parent.diff_ids[0]);
    strcpy(ids[1], diff);
    image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])ids, 2, chain);
    assert_int_equal(image_lease_begin(fixture.store, &lease, &fixture.err), 0);
    assert_int_equal(image_unpack_begin(fixture.store, lease, chain, diff, NULL, NULL, NULL,
                                        &unpack, &fixture.err),
                     0);
    assert_int_equal(image_ingest_begin(fixture.store, lease, diff, (int64_t)tar.length, unpack,
                                        &ingest, &fixture.err),
                     0);
    for (size_t i = 0; i < tar.length; i += 100)
        assert_int_equal(image_ingest_write(ingest, tar.bytes + i,
                                            tar.length - i < 100 ? tar.length - i : 100,
                                            &fixture.err),
                         0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
    if (image_unpack_commit(unpack, (const char(*)[IMAGE_DIGEST_SIZE])ids, 1, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    /* Again: it is there. */
    assert_int_equal(image_unpack_begin(fixture.store, lease, chain, diff, NULL, NULL, NULL,
                                        &unpack, &fixture.err),
                     1);
    struct store_path path = store_layer_path(chain);
    scope_free char *etc = memory_format("%s/etc", path.text);
    struct stat status;
    assert_int_equal(fstatat(fixture.store->fd, etc, &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0711);
    assert_int_equal(status.st_uid, 7);
    assert_int_equal(status.st_mtime, 1000);
    image_lease_end(lease);
}

static void a_layer_that_is_not_what_the_configuration_says_is_refused(void **state)
{
    (void)state;
    struct image_lease *lease;
    struct image_unpack *unpack;
    struct image_ingest *ingest;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "file", .data = "x");
    tar_end(&tar);
    assert_int_equal(image_lease_begin(fixture.store, &lease, &fixture.err), 0);
    for (int cut = 0; cut < 2; cut++) {
        assert_int_equal(image_unpack_begin(fixture.store, lease, STRANGER, STRANGER, NULL, NULL,
                                            NULL, &unpack, &fixture.err),
                         0);
        assert_int_equal(
            image_ingest_begin(fixture.store, lease, NULL, -1, unpack, &ingest, &fixture.err), 0);
        assert_int_equal(image_ingest_write(ingest, tar.bytes, tar.length, &fixture.err), 0);
        if (cut)
            image_ingest_abort(ingest, false);
        else
            assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
        assert_int_equal(image_unpack_commit(unpack, NULL, 0, &fixture.err), -1);
        fixture_assert_error(cut ? "broken off" : "instead of " STRANGER);
        assert_false(store_layer_exists(fixture.store, STRANGER));
    }
    image_lease_end(lease);
    scope_image_removal struct image_removal removal = {0};
    assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), 0);
    assert_sound();
}

static void an_opaque_root_hides_all_layers_below(void **state)
{
    (void)state;
    fixture_make_image("a", "text");
    scope_image struct image parent = {0}, image = {0};
    scope_image_layers struct image_layers layers = {0};
    assert_int_equal(image_find(fixture.store, "a", &parent, &fixture.err), 1);
    assert_int_equal(fsetxattr(fixture.root, "trusted.overlay.opaque", "y", 1, 0), 0);
    scope_free char *upper = memory_format("%s/root", fixture.directory);
    const struct image_commit commit = {.parent = &parent, .upper = upper};
    assert_int_equal(image_commit(fixture.store, &commit, &image, &fixture.err), 0);
    assert_int_equal(image.layer_count, 2);
    assert_int_equal(image_layers(fixture.store, &image, &layers, &fixture.err), 0);
    assert_int_equal(layers.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_make_store, fixture_remove)
        CASE(layers_are_unpacked_when_they_are_missing),
        CASE(a_layer_that_was_never_acknowledged_goes_with_the_boot),
        CASE(a_container_s_changes_become_a_layer),
        CASE(directories_between_have_the_attributes_of_the_layer_below),
        CASE(a_layer_that_is_not_what_the_configuration_says_is_refused),
        CASE(an_opaque_root_hides_all_layers_below),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
