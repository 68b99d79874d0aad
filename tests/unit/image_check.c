/* image/check: every invariant of the store, broken one at a time, is noticed; and what a
 * collection can mend, it mends. */
#include "image_fixture.h"

#include <sys/file.h>

#define NOBODY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct image image;
static char layer[STORE_LAYER_NAME_SIZE];
static char faults[8192];

static int make_sound_store(void **state)
{
    if (fixture_make_store(state) < 0)
        return -1;
    fixture_make_image("a", "text");
    assert_int_equal(image_find(fixture.store, "a", &image, &fixture.err), 1);
    snprintf(layer, sizeof layer, "%.24s", digest_hex(image.diff_ids[0]));
    return 0;
}

static int remove_store(void **state)
{
    image_release(&image);
    return fixture_remove(state);
}

static void note_fault(const char *fault, void *context)
{
    size_t used = strlen(faults);
    (void)context;
    snprintf(faults + used, sizeof faults - used, "%s\n", fault);
}

static int check(bool quick)
{
    *faults = '\0';
    return image_store_check(fixture.store, quick, note_fault, NULL, &fixture.err);
}

static void expect_fault(const char *part)
{
    int count = check(false);
    if (count < 1 || !strstr(faults, part))
        fail_msg("%d faults, none with '%s': %s", count, part, faults);
}

static void expect_sound(void)
{
    int count = check(false);
    if (count != 0)
        fail_msg("%d faults: %s", count, faults);
}

/* After the fault was told a prune mends it. */
static void expect_mended(const char *part)
{
    scope_image_removal struct image_removal removal = {0};
    expect_fault(part);
    if (image_prune(fixture.store, NULL, &removal, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    expect_sound();
}

static char *blob_path(const char *digest)
{
    return memory_format("images/blobs/sha256/%s", digest_hex(digest));
}

static void a_sound_store_has_no_faults(void **state)
{
    (void)state;
    expect_sound();
    assert_int_equal(check(true), 0);
}

static void damaged_blobs_are_told(void **state)
{
    (void)state;
    scope_free char *path = blob_path(image.layers[0].digest);
    scope_close int fd = openat(fixture.fd, path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "X", 1, 600), 1);
    assert_int_equal(check(true), 0); /* only reading all of it tells */
    expect_fault("is damaged");
    assert_int_equal(ftruncate(fd, 100), 0);
    expect_fault("has 100 bytes instead of");
    assert_int_equal(unlinkat(fixture.fd, path, 0), 0);
    expect_fault("is missing");
}

static void damaged_documents_are_told_and_can_be_removed(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        const char *digest = which % 2 ? image.id : image.manifest_digest;
        scope_free char *path = blob_path(digest);
        if (which < 2)
            fixture_write(path, "{}");
        else
            assert_int_equal(unlinkat(fixture.fd, path, 0), 0);
        expect_fault("docker.io/library/a:latest");
        /* Nothing may be collected now, as what it leads to can't be known … */
        scope_image_removal struct image_removal removal = {0};
        assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), -1);
        fixture_assert_error("docker.io/library/a:latest is damaged (remove it)");
        /* … but the store opens, after a reboot too, and the image can be removed. */
        assert_int_equal(unlinkat(fixture.store->fd, "boot", 0), 0);
        fixture_open_store();
        assert_int_equal(image_remove(fixture.store, "a", false, &removal, &fixture.err), 0);
        expect_sound();
        fixture_make_image("a", "text");
        image_release(&image);
        assert_int_equal(image_find(fixture.store, "a", &image, &fixture.err), 1);
    }
}

static void names_given_twice_are_told(void **state)
{
    (void)state;
    json_t *index = store_index_read(fixture.store, &fixture.err);
    json_t *manifests = json_object_get(index, "manifests");
    json_array_append_new(manifests, json_deep_copy(json_array_get(manifests, 0)));
    assert_int_equal(store_index_write(fixture.store, index, &fixture.err), 0);
    expect_fault("is given twice");
    json_array_append_new(manifests, json_pack("{s:s}", "digest", "sha256:../../x"));
    assert_int_equal(store_index_write(fixture.store, index, &fixture.err), 0);
    expect_fault("leads to no manifest");
    json_decref(index);
}

static void what_belongs_to_nothing_is_told(void **state)
{
    (void)state;
    fixture_write("images/blobs/sha256/" NOBODY, "x");
    expect_fault("is damaged");
    expect_mended("belongs to nothing");
    assert_int_equal(mkdirat(fixture.store->fd, "layers/0123456789abcdef01234567", 0755), 0);
    expect_mended("isn't acknowledged");
    assert_int_equal(mkdirat(fixture.store->fd, "layers/0123456789abcdef01234567", 0755), 0);
    fixture_write("images/layer-info/0123456789abcdef01234567.json", "{}");
    expect_mended("belongs to nothing");
    fixture_write("images/layer-info/0123456789abcdef01234567.json", "{}");
    expect_mended("is about no layer");
    fixture_write("images/layer-info/0123456789abcdef01234567.fresh", "{}");
    expect_mended("is about no layer");
    fixture_write("images/ingest/0123", "x");
    expect_mended("ingest/0123 is left");
    fixture_write("images/leases/pull.0123456789abcdef", "");
    expect_mended("lease pull.0123456789abcdef is left");
    fixture_write("images/unpack/file.0123456789abcdef", "");
    expect_mended("unpack/file.0123456789abcdef is left");
    assert_int_equal(mkdirat(fixture.store->fd, "unpack/pull.0123456789abcdef.0", 0755), 0);
    expect_mended("unpack/pull.0123456789abcdef.0 is left");
    assert_int_equal(mkdirat(fixture.store->fd, "unpack/trash.0123456789abcdef", 0755), 0);
    expect_mended("unpack/trash.0123456789abcdef is left");
    /* What is none of the store's it doesn't remove. */
    fixture_write("images/blobs/sha256/notes", "x");
    expect_fault("blobs/sha256/notes is no blob");
    assert_int_equal(unlinkat(fixture.store->fd, "blobs/sha256/notes", 0), 0);
    fixture_write("images/leases/notes", "x");
    expect_fault("leases/notes is no lease");
}

static void layers_that_lost_files_are_told(void **state)
{
    (void)state;
    scope_free char *file = memory_format("layers/%s/etc/text", layer);
    scope_free char *info = memory_format("images/layer-info/%s.json", layer);
    scope_free char *text = file_read_all(fixture.fd, info, 4096, NULL, &fixture.err);
    assert_int_equal(unlinkat(fixture.store->fd, file, 0), 0);
    assert_int_equal(check(true), 0);
    expect_fault("has 1 files instead of 2");
    static const char *const damaged[] = {"", "{}", "[]", "{\"chain_id\":\"sha256:" NOBODY "\"}"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        fixture_write(info, damaged[i]);
        expect_fault("layer-info");
    }
    fixture_write(info, text);
    scope_free char *made = memory_format("layers/%s/etc/other", layer);
    assert_int_equal(mkdirat(fixture.store->fd, made, 0755), 0);
    expect_sound(); /* it only counts */
}

static void leases_of_containers_lead_to_images(void **state)
{
    (void)state;
    assert_int_equal(image_lease_take(fixture.store, "c", "web", &image, &fixture.err), 0);
    expect_sound();
    fixture_write("images/leases/keep.c", "{");
    expect_fault("lease keep.c is damaged");
    fixture_write("images/leases/keep.c", "{\"manifest\": \"sha256:" NOBODY "\"}");
    expect_fault("keep.c: blob sha256:" NOBODY);
}

/* Whoever is at work breaks no invariant, and the check takes nothing from it. */
static void running_processes_are_no_faults(void **state)
{
    (void)state;
    struct image_lease *lease;
    struct image_ingest *ingest;
    struct image_unpack *unpack;
    char diff[IMAGE_DIGEST_SIZE];
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "file", .data = "x");
    tar_end(&tar);
    digest_compute(tar.bytes, tar.length, diff);
    assert_int_equal(image_lease_begin(fixture.store, &lease, &fixture.err), 0);
    assert_int_equal(image_blob_add(fixture.store, lease, "hello", 5, NULL, NULL, &fixture.err), 0);
    expect_sound();
    assert_int_equal(image_unpack_begin(fixture.store, lease, diff, diff, NULL, NULL, NULL, &unpack,
                                        &fixture.err),
                     0);
    assert_int_equal(image_ingest_begin(fixture.store, lease, diff, (int64_t)tar.length, unpack,
                                        &ingest, &fixture.err),
                     0);
    expect_sound();
    assert_int_equal(image_ingest_write(ingest, tar.bytes, tar.length, &fixture.err), 0);
    expect_sound();
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
    expect_sound();
    assert_int_equal(image_unpack_commit(unpack, NULL, 0, &fixture.err), 0);
    expect_sound(); /* not acknowledged yet, but about to be */
    image_lease_end(lease);
    expect_mended("belongs to nothing");
}

/* Large trees are removed after the lock was given back. */
static void trash_that_is_being_removed_is_no_fault(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(fixture.store->fd, "unpack/trash.0123456789abcdef", 0755), 0);
    int trash = store_hold_trash(fixture.store);
    expect_sound();
    close(trash);
    expect_mended("unpack/trash.0123456789abcdef is left");
}

/* A check is no collection. */
static void checking_changes_nothing(void **state)
{
    (void)state;
    fixture_write("images/leases/pull.0123456789abcdef", "");
    int count = check(false);
    assert_int_equal(count, 1);
    assert_int_equal(check(false), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_sound_store, remove_store)
        CASE(a_sound_store_has_no_faults),
        CASE(damaged_blobs_are_told),
        CASE(damaged_documents_are_told_and_can_be_removed),
        CASE(names_given_twice_are_told),
        CASE(what_belongs_to_nothing_is_told),
        CASE(layers_that_lost_files_are_told),
        CASE(leases_of_containers_lead_to_images),
        CASE(running_processes_are_no_faults),
        CASE(trash_that_is_being_removed_is_no_fault),
        CASE(checking_changes_nothing),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
