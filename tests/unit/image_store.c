/* image/ingest, image/blob, image/lease, image/collect: what goes into the store, and what keeps it
 * there. */
#include "base/remove_tree.h"
#include "image/sha256.h"
#include "image_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#define HELLO "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define OTHER "sha256:486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7"

static struct image_lease *begin_lease(void)
{
    struct image_lease *lease;
    assert_int_equal(image_lease_begin(fixture.store, &lease, &fixture.err), 0);
    return lease;
}

static bool is_stored(const char *digest)
{
    return image_blob_have(fixture.store, NULL, digest, -1, &fixture.err) == 1;
}

static int count_files(const char *path)
{
    int fd = openat(fixture.store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fdopendir(fd);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(stream));)
        count += entry->d_name[0] != '.';
    return count;
}

static void prune(void)
{
    scope_image_removal struct image_removal removal = {0};
    if (image_prune(fixture.store, NULL, &removal, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
}

static void report(const char *fault, void *context)
{
    int *count = context;
    (*count)++;
    print_message("%s\n", fault);
}

static void assert_sound(void)
{
    int count = 0;
    assert_int_equal(image_store_check(fixture.store, false, report, &count, &fixture.err), 0);
}

static void a_blob_is_there_when_it_is_whole(void **state)
{
    (void)state;
    struct image_ingest *ingest;
    char digest[IMAGE_DIGEST_SIZE];
    scope_image_lease struct image_lease *lease = begin_lease();
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_offset(ingest), 0);
    assert_int_equal(image_ingest_write(ingest, "hel", 3, &fixture.err), 0);
    assert_false(is_stored(HELLO));
    assert_int_equal(image_ingest_write(ingest, "lo", 2, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, digest, &fixture.err), 0);
    assert_string_equal(digest, HELLO);
    assert_true(is_stored(HELLO));
    assert_int_equal(count_files("ingest"), 0);
    scope_free char *text = image_blob_read(fixture.store, HELLO, 100, NULL, &fixture.err);
    assert_string_equal(text, "hello");
    assert_null(image_blob_read(fixture.store, HELLO, 4, NULL, &fixture.err));
    /* Of another size it is another blob. */
    assert_int_equal(image_blob_have(fixture.store, lease, HELLO, 6, &fixture.err), 0);
    /* Without an expected digest and size. */
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, NULL, -1, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "other", 5, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, digest, &fixture.err), 0);
    assert_true(is_stored(digest));
}

static void a_wrong_digest_leaves_nothing(void **state)
{
    (void)state;
    struct image_ingest *ingest;
    scope_image_lease struct image_lease *lease = begin_lease();
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "Hello", 5, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), -1);
    fixture_assert_error(HELLO);
    fixture_assert_error("sha256:185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969");
    assert_false(is_stored(HELLO));
    assert_int_equal(count_files("ingest"), 0);
}

static void more_bytes_than_said_and_fewer_are_refused(void **state)
{
    (void)state;
    struct image_ingest *ingest;
    scope_image_lease struct image_lease *lease = begin_lease();
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "hello", 5, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "!", 1, &fixture.err), -1);
    fixture_assert_error("more than the 5 bytes");
    image_ingest_abort(ingest, true); /* not even when it is asked for: it isn't to be trusted */
    assert_int_equal(count_files("ingest"), 0);
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 6, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "hello", 5, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), -1);
    fixture_assert_error("5 bytes came instead of 6");
    assert_false(is_stored(HELLO));
}

static void a_broken_off_download_goes_on(void **state)
{
    (void)state;
    struct image_ingest *ingest;
    struct image_lease *lease = begin_lease();
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "hel", 3, &fixture.err), 0);
    image_ingest_abort(ingest, true);
    image_lease_end(lease);
    fixture_open_store();
    lease = begin_lease();
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_offset(ingest), 3);
    assert_int_equal(image_ingest_write(ingest, "lo", 2, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
    assert_true(is_stored(HELLO));
    image_lease_end(lease);
}

static void a_server_without_ranges_begins_anew(void **state)
{
    (void)state;
    struct image_ingest *ingest;
    scope_image_lease struct image_lease *lease = begin_lease();
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "HEL", 3, &fixture.err), 0);
    image_ingest_abort(ingest, true);
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_offset(ingest), 3);
    assert_int_equal(image_ingest_restart(ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_offset(ingest), 0);
    assert_int_equal(image_ingest_write(ingest, "hello", 5, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
}

/* What is there of it was made longer than it can be, by whoever. */
static void a_partial_blob_that_is_too_long_is_not_gone_on_from(void **state)
{
    (void)state;
    struct image_ingest *ingest;
    scope_image_lease struct image_lease *lease = begin_lease();
    scope_free char *path = memory_format("images/ingest/%.40s", digest_hex(HELLO));
    fixture_write(path, "much too long");
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(image_ingest_offset(ingest), 0);
    assert_int_equal(image_ingest_write(ingest, "hello", 5, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
    assert_true(is_stored(HELLO));
}

static void both_ways_to_a_digest_are_the_same(void **state)
{
    (void)state;
    unsigned char bytes[300], sum[SHA256_SIZE];
    /* FIPS 180-4's examples, and of none. */
    static const char *const texts[] = {"", "abc",
                                        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"};
    static const char *const sums[] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"};
    for (size_t i = 0; i < 3; i++) {
        char text[IMAGE_DIGEST_SIZE];
        digest_compute(texts[i], strlen(texts[i]), text);
        assert_string_equal(text + strlen("sha256:"), sums[i]);
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 31 ^ i >> 3);
    for (size_t length = 0; length <= sizeof bytes; length++) {
        struct digest digest;
        char text[IMAGE_DIGEST_SIZE];
        digest_begin(&digest);
        digest_update(&digest, bytes, length);
        digest_finish(&digest, text);
        sha256(bytes, length, sum);
        for (int i = 0; i < SHA256_SIZE; i++) {
            unsigned int byte;
            assert_int_equal(sscanf(text + strlen("sha256:") + 2 * i, "%2x", &byte), 1);
            assert_int_equal(byte, sum[i]);
        }
    }
}

/* A second process that wants the same blob waits, and then has it. */
static void two_who_want_the_same_blob_load_it_once(void **state)
{
    (void)state;
    struct image_ingest *ingest;
    scope_image_lease struct image_lease *lease = begin_lease();
    int go[2], status;
    char byte = 'x';
    assert_int_equal(pipe(go), 0);
    /* Before our lock is there to be inherited. */
    pid_t child = fork();
    if (child == 0) {
        struct image_store *store;
        struct image_ingest *second = NULL;
        struct image_lease *other;
        struct error err;
        if (image_store_open(&store, fixture.store->directory, &err) < 0 ||
            image_lease_begin(store, &other, &err) < 0 || read(go[0], &byte, 1) != 1)
            _exit(90);
        int begun = image_ingest_begin(store, other, HELLO, 5, NULL, &second, &err);
        _exit(begun == 1 && !second ? 0 : 91);
    }
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(write(go[1], &byte, 1), 1);
    usleep(50000); /* whoever comes first, the result is the same */
    assert_int_equal(image_ingest_write(ingest, "hello", 5, &fixture.err), 0);
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(go[0]);
    close(go[1]);
    /* Who looked for it before, and comes after, has it too, and leaves nothing. */
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 1);
    assert_null(ingest);
    scope_free char *path =
        memory_format("%s/ingest/%.40s", fixture.store->directory, digest_hex(HELLO));
    assert_int_equal(access(path, F_OK), -1);
}

static int ingest_hello(int go)
{
    struct image_store *store;
    struct image_lease *lease;
    struct image_ingest *ingest;
    struct error err;
    char byte;
    if (image_store_open(&store, fixture.store->directory, &err) < 0 ||
        image_lease_begin(store, &lease, &err) < 0 || read(go, &byte, 1) != 0)
        return 90;
    int begun = image_ingest_begin(store, lease, HELLO, 5, NULL, &ingest, &err);
    if (begun == 0 && (image_ingest_restart(ingest, &err) < 0 ||
                       image_ingest_write(ingest, "hello", 5, &err) < 0 ||
                       image_ingest_commit(ingest, NULL, &err) < 0))
        begun = -1;
    if (begun < 0)
        print_message("%s\n", err.text);
    return begun < 0 ? 91 : 0;
}

/* Whoever opens the file just when another one moves it into its place mustn't write to it. */
static void a_blob_that_came_into_its_place_is_not_written_to(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        int go[2], failed = 0;
        pid_t children[4];
        assert_int_equal(pipe(go), 0);
        for (int i = 0; i < 4; i++)
            if ((children[i] = fork()) == 0) {
                close(go[1]);
                _exit(ingest_hello(go[0]));
            }
        close(go[0]);
        close(go[1]);
        for (int i = 0; i < 4; i++) {
            int status;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            failed += status != 0;
        }
        assert_int_equal(failed, 0);
        scope_free char *text = image_blob_read(fixture.store, HELLO, 100, NULL, &fixture.err);
        assert_non_null(text);
        assert_int_equal(unlinkat(fixture.store->fd, store_blob_path(HELLO).text, 0), 0);
    }
}

static void digests_from_outside_are_no_paths(void **state)
{
    (void)state;
    static const char upper[] =
        "sha256:2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824";
    const char *const digests[] = {"",          "sha256:",   "sha256:../../../../etc/passwd",
                                   "sha512:00", "SHA256:00", upper};
    struct image_ingest *ingest;
    scope_image_lease struct image_lease *lease = begin_lease();
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        assert_int_equal(
            image_ingest_begin(fixture.store, lease, digests[i], 5, NULL, &ingest, &fixture.err),
            -1);
        assert_int_equal(image_blob_have(fixture.store, lease, digests[i], 5, &fixture.err), -1);
        assert_int_equal(image_blob_open(fixture.store, digests[i], NULL, &fixture.err), -1);
        assert_null(image_blob_read(fixture.store, digests[i], 5, NULL, &fixture.err));
    }
}

static void a_damaged_blob_is_noticed_when_it_is_read(void **state)
{
    (void)state;
    scope_image_lease struct image_lease *lease = begin_lease();
    assert_int_equal(image_blob_add(fixture.store, lease, "hello", 5, HELLO, NULL, &fixture.err),
                     0);
    assert_int_equal(image_blob_add(fixture.store, lease, "other", 5, HELLO, NULL, &fixture.err),
                     -1);
    scope_free char *path = memory_format("images/blobs/sha256/%s", digest_hex(HELLO));
    fixture_write(path, "jello");
    assert_null(image_blob_read(fixture.store, HELLO, 100, NULL, &fixture.err));
    fixture_assert_error("damaged");
}

static void a_lease_keeps_what_its_process_adds(void **state)
{
    (void)state;
    struct image_lease *lease = begin_lease();
    assert_int_equal(image_blob_add(fixture.store, lease, "hello", 5, NULL, NULL, &fixture.err), 0);
    prune();
    assert_true(is_stored(HELLO));
    image_lease_end(lease);
    assert_int_equal(count_files("leases"), 0);
    prune();
    assert_false(is_stored(HELLO));
    assert_sound();
}

static void a_partial_blob_that_is_written_is_not_collected(void **state)
{
    (void)state;
    struct image_ingest *ingest, *unknown;
    struct image_lease *lease = begin_lease();
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, HELLO, 5, NULL, &ingest, &fixture.err), 0);
    assert_int_equal(
        image_ingest_begin(fixture.store, lease, NULL, -1, NULL, &unknown, &fixture.err), 0);
    assert_int_equal(image_ingest_write(ingest, "hel", 3, &fixture.err), 0);
    prune();
    assert_sound();
    assert_int_equal(count_files("ingest"), 2);
    image_ingest_abort(unknown, true);
    assert_int_equal(count_files("ingest"), 1);
    assert_int_equal(image_ingest_write(ingest, "lo", 2, &fixture.err), 0);
    assert_int_equal(image_ingest_commit(ingest, NULL, &fixture.err), 0);
    prune();
    assert_true(is_stored(HELLO));
    image_lease_end(lease);
}

/* A child that is killed in the midst of all that a pull does. */
static void die_while_pulling(void)
{
    struct image_store *store;
    struct image_lease *lease;
    struct image_ingest *ingest;
    struct image_unpack *unpack;
    struct error err;
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "a/b/c", .data = "x");
    if (image_store_open(&store, fixture.store->directory, &err) < 0 ||
        image_lease_begin(store, &lease, &err) < 0 ||
        image_blob_add(store, lease, "hello", 5, NULL, NULL, &err) < 0 ||
        image_unpack_begin(store, lease, OTHER, OTHER, NULL, NULL, NULL, &unpack, &err) != 0 ||
        image_ingest_begin(store, lease, NULL, -1, NULL, &ingest, &err) != 0 ||
        image_ingest_write(ingest, "unknown", 7, &err) < 0 ||
        image_ingest_begin(store, lease, OTHER, 100000, unpack, &ingest, &err) != 0 ||
        image_ingest_write(ingest, tar.bytes, tar.length, &err) < 0)
        _exit(1);
    kill(getpid(), SIGKILL);
}

static void what_a_killed_process_left_is_collected(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        die_while_pulling();
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(count_files("leases"), 1);
    assert_int_equal(count_files("unpack"), 1);
    assert_int_equal(count_files("ingest"), 2);
    assert_true(is_stored(HELLO));
    assert_true(image_store_check(fixture.store, false, NULL, NULL, &fixture.err) >= 4);
    prune();
    assert_sound();
    assert_int_equal(count_files("leases"), 0);
    assert_int_equal(count_files("unpack"), 0);
    assert_int_equal(count_files("ingest"), 0);
    assert_false(is_stored(HELLO));
}

/* As whoever adds an image does first: all goes but what can be gone on with. */
static void the_next_one_tidies_up(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        die_while_pulling();
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(image_store_tidy(fixture.store, &fixture.err), 0);
    assert_int_equal(count_files("leases"), 0);
    assert_int_equal(count_files("unpack"), 0);
    assert_int_equal(count_files("ingest"), 1);
    assert_true(is_stored(HELLO));
}

/* As after a reboot: the store knows another boot's id. */
static void forget_boot(void)
{
    assert_int_equal(unlinkat(fixture.store->fd, "boot", 0), 0);
    assert_int_equal(symlinkat("another-boot", fixture.store->fd, "boot"), 0);
}

static void the_first_after_a_reboot_cleans_up(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        die_while_pulling();
    assert_int_equal(waitpid(child, NULL, 0), child);
    forget_boot();
    fixture_open_store();
    assert_int_equal(count_files("leases"), 0);
    assert_int_equal(count_files("unpack"), 0);
    assert_false(is_stored(HELLO));
    /* A download can go on. */
    assert_int_equal(count_files("ingest"), 1);
    prune();
    assert_sound();
}

static void a_store_that_lost_its_index_is_not_begun_anew(void **state)
{
    (void)state;
    struct image_store *store;
    struct image_lease *lease = begin_lease();
    assert_int_equal(image_blob_add(fixture.store, lease, "hello", 5, NULL, NULL, &fixture.err), 0);
    image_lease_end(lease);
    assert_int_equal(unlinkat(fixture.store->fd, "index.json", 0), 0);
    assert_int_equal(image_store_open(&store, fixture.store->directory, &fixture.err), -1);
    fixture_assert_error("index.json is gone");
    assert_true(is_stored(HELLO));
    static const char *const damaged[] = {"", "{", "[]", "{\"manifests\": 3}"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        struct image_list list;
        fixture_write("images/index.json", damaged[i]);
        assert_int_equal(image_list(fixture.store, &list, &fixture.err), -1);
        fixture_assert_error("index.json is damaged");
        scope_image_removal struct image_removal removal = {0};
        assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), -1);
        assert_true(is_stored(HELLO));
    }
}

/* Two who empty the trash at the same time both succeed. */
static void removal_bears_company(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 400; i++) {
            char path[64];
            snprintf(path, sizeof path, "images/unpack/trash.%d", i % 4);
            mkdirat(fixture.fd, path, 0755);
            snprintf(path, sizeof path, "images/unpack/trash.%d/%d", i % 4, i);
            assert_int_equal(mkdirat(fixture.fd, path, 0755), 0);
        }
        pid_t child = fork();
        if (child == 0) {
            struct image_store *store;
            struct error err;
            if (image_store_open(&store, fixture.store->directory, &err) < 0)
                _exit(1);
            _exit(store_empty_trash(store, &err) < 0 ? 2 : 0);
        }
        if (store_empty_trash(fixture.store, &fixture.err) < 0)
            fail_msg("%s", fixture.err.text);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static void trees_deeper_than_any_path_are_removed(void **state)
{
    (void)state;
    int fd = dup(fixture.root);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(mkdirat(fd, "d", i % 2 ? 0700 : 0), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0));
        close(fd);
        assert_true((fd = next) >= 0);
    }
    close(fd);
    assert_int_equal(remove_tree(fixture.root, "d", NULL, &fixture.err), 0);
    assert_false(fixture_exists("d"));
    assert_int_equal(remove_tree(fixture.root, "d", NULL, &fixture.err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_make_store, fixture_remove)
        CASE(a_blob_is_there_when_it_is_whole),
        CASE(a_wrong_digest_leaves_nothing),
        CASE(more_bytes_than_said_and_fewer_are_refused),
        CASE(a_broken_off_download_goes_on),
        CASE(a_server_without_ranges_begins_anew),
        CASE(a_partial_blob_that_is_too_long_is_not_gone_on_from),
        CASE(both_ways_to_a_digest_are_the_same),
        CASE(two_who_want_the_same_blob_load_it_once),
        CASE(a_blob_that_came_into_its_place_is_not_written_to),
        CASE(digests_from_outside_are_no_paths),
        CASE(a_damaged_blob_is_noticed_when_it_is_read),
        CASE(a_lease_keeps_what_its_process_adds),
        CASE(a_partial_blob_that_is_written_is_not_collected),
        CASE(what_a_killed_process_left_is_collected),
        CASE(the_next_one_tidies_up),
        CASE(the_first_after_a_reboot_cleans_up),
        CASE(a_store_that_lost_its_index_is_not_begun_anew),
        CASE(removal_bears_company),
        CASE(trees_deeper_than_any_path_are_removed),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
