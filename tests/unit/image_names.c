/* image/find, image/remove, image/history: images that are there, by the names, rules and words
 * that docker has for them. */
#include "image_fixture.h"

#define STRANGER "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void add_name(const char *image_name, const char *name)
{
    scope_image struct image image = {0};
    struct reference reference;
    assert_int_equal(image_find(fixture.store, image_name, &image, &fixture.err), 1);
    assert_int_equal(reference_parse(name, &reference, &fixture.err), 0);
    assert_int_equal(image_tag(fixture.store, &image, &reference, &fixture.err), 0);
}

/* The id that a text leads to; "" if there is none. */
static const char *find(const char *text)
{
    static char id[IMAGE_DIGEST_SIZE];
    scope_image struct image image = {0};
    int found = image_find(fixture.store, text, &image, &fixture.err);
    if (found < 0)
        fail_msg("%s", fixture.err.text);
    return strcpy(id, found ? image.id : "");
}

static size_t count_images(void)
{
    scope_image_list struct image_list list = {0};
    assert_int_equal(image_list(fixture.store, &list, &fixture.err), 0);
    return list.count;
}

/* What was untagged and deleted, in one line. */
static const char *remove_image(const char *text, bool force)
{
    static char line[1024];
    scope_image_removal struct image_removal removal = {0};
    fixture.err = (struct error){0};
    if (image_remove(fixture.store, text, force, &removal, &fixture.err) < 0)
        return "error";
    *line = '\0';
    for (size_t i = 0; i < removal.untagged_count; i++)
        sprintf(line + strlen(line), "%s ", removal.untagged[i]);
    sprintf(line + strlen(line), "/");
    for (size_t i = 0; i < removal.deleted_count; i++)
        sprintf(line + strlen(line), " %s", removal.deleted[i]);
    return line;
}

static void report(const char *fault, void *context)
{
    (void)context;
    print_message("%s\n", fault);
}

static void assert_sound(void)
{
    assert_int_equal(image_store_check(fixture.store, false, report, NULL, &fixture.err), 0);
}

static void note_digest(const char *name, const char *text)
{
    scope_image struct image image = {0};
    struct reference reference;
    assert_int_equal(image_find(fixture.store, name, &image, &fixture.err), 1);
    assert_int_equal(reference_parse(text, &reference, &fixture.err), 0);
    assert_int_equal(image_note_digest(fixture.store, &image, &reference, &fixture.err), 0);
}

static void an_image_is_found_by_all_that_docker_finds_it_by(void **state)
{
    (void)state;
    const char *id = fixture_make_image("one:1", "one"),
               *other = fixture_make_image("host.x/two", "two");
    note_digest("one:1", "one@" STRANGER);
    scope_free char *digest = memory_format("%.20s", id + 7);
    assert_string_equal(find("one:1"), id);
    assert_string_equal(find("docker.io/library/one:1"), id);
    assert_string_equal(find("one"), "");
    assert_string_equal(find("one:2"), "");
    assert_string_equal(find(id), id);
    assert_string_equal(find(id + 7), id);
    assert_string_equal(find(digest), id);
    assert_string_equal(find("one@" STRANGER), id);
    assert_string_equal(find("one:1@" STRANGER), id);
    assert_string_equal(find("two@" STRANGER), "");
    assert_string_equal(find("host.x/two"), other);
    assert_string_equal(find("host.x/two:latest"), other);
    assert_string_equal(find(""), "");
    assert_string_equal(find("No Name"), "");
    assert_string_equal(find("sha256:"), "");
    /* A name wins over an id that begins like it. */
    scope_free char *prefix = memory_format("%.6s", other + 7);
    add_name("one:1", prefix);
    assert_string_equal(find(prefix), id);
}

static void an_id_that_several_begin_with_is_an_error(void **state)
{
    (void)state;
    char first[17] = {0};
    /* With 17 images two ids begin with the same digit. */
    for (int i = 0; i < 17; i++) {
        scope_free char *text = memory_format("%d", i);
        const char *id = fixture_make_image(NULL, text);
        char digit[2] = {id[7]};
        if (!strchr(first, *digit)) {
            first[strlen(first)] = *digit;
            assert_string_equal(find(digit), id);
            continue;
        }
        scope_image struct image image = {0};
        assert_int_equal(image_find(fixture.store, digit, &image, &fixture.err), -1);
        fixture_assert_error("several images");
        return;
    }
    fail();
}

static void a_name_moves_and_leaves_the_other_dangling(void **state)
{
    (void)state;
    const char *one = fixture_make_image("x", "one"), *two = fixture_make_image("x", "two");
    assert_string_equal(find("x"), two);
    scope_image struct image image = {0};
    assert_int_equal(image_find(fixture.store, one, &image, &fixture.err), 1);
    assert_int_equal(image.name_count, 0);
    add_name(one, "x");
    assert_string_equal(find("x"), one);
    assert_int_equal(count_images(), 2);
    add_name(one, "x"); /* again changes nothing */
    assert_string_equal(find("x"), one);
    image_release(&image);
    assert_int_equal(image_find(fixture.store, one, &image, &fixture.err), 1);
    assert_int_equal(image.name_count, 1);
    struct reference reference;
    assert_int_equal(reference_parse("x@" STRANGER, &reference, NULL), 0);
    assert_int_equal(image_tag(fixture.store, &image, &reference, &fixture.err), -1);
    fixture_assert_error("can't be named by a digest");
    assert_sound();
}

static void the_same_image_twice_is_one(void **state)
{
    (void)state;
    const char *one = fixture_make_image("x", "one");
    scope_image struct image image = {0};
    assert_int_equal(image_find(fixture.store, one, &image, &fixture.err), 1);
    struct reference reference;
    scope_image_lease struct image_lease *lease = NULL;
    assert_int_equal(image_lease_begin(fixture.store, &lease, &fixture.err), 0);
    size_t length;
    scope_free char *manifest = image_blob_read(fixture.store, image.manifest_digest,
                                                IMAGE_MANIFEST_LIMIT, &length, &fixture.err);
    assert_int_equal(reference_parse("y:1", &reference, NULL), 0);
    assert_int_equal(image_add_manifest(fixture.store, lease, manifest, length, "", &reference,
                                        STRANGER, NULL, &fixture.err),
                     0);
    assert_int_equal(image_add_manifest(fixture.store, lease, manifest, length, "", NULL, NULL,
                                        NULL, &fixture.err),
                     0);
    assert_int_equal(count_images(), 1);
    image_release(&image);
    assert_int_equal(image_find(fixture.store, "y:1", &image, &fixture.err), 1);
    assert_int_equal(image.name_count, 2);
    assert_string_equal(image.names[0], "docker.io/library/x:latest");
    assert_string_equal(image.names[1], "docker.io/library/y:1");
    assert_int_equal(image.digest_count, 1);
    assert_string_equal(image.digests[0], "docker.io/library/y@" STRANGER);
}

static void an_image_whose_blobs_are_missing_is_not_entered(void **state)
{
    (void)state;
    scope_image_lease struct image_lease *lease = NULL;
    assert_int_equal(image_lease_begin(fixture.store, &lease, &fixture.err), 0);
    static const char manifest[] =
        "{\"schemaVersion\":2,\"config\":{\"digest\":\"" STRANGER "\",\"size\":2},\"layers\":[]}";
    assert_int_equal(image_add_manifest(fixture.store, lease, manifest, strlen(manifest), "", NULL,
                                        NULL, NULL, &fixture.err),
                     -1);
    fixture_assert_error("isn't in the store");
    char config[IMAGE_DIGEST_SIZE];
    static const char text[] = "{\"rootfs\":{\"diff_ids\":[\"" STRANGER "\"]}}";
    assert_int_equal(
        image_blob_add(fixture.store, lease, text, strlen(text), NULL, config, &fixture.err), 0);
    scope_free char *other = memory_format("{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\","
                                           "\"size\":2},\"layers\":[{\"digest\":\"%s\","
                                           "\"size\":9}]}",
                                           config, STRANGER);
    assert_int_equal(image_add_manifest(fixture.store, lease, other, strlen(other), "", NULL, NULL,
                                        NULL, &fixture.err),
                     -1);
    fixture_assert_error("isn't in the store");
    scope_free char *third = memory_format("{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\","
                                           "\"size\":2},\"layers\":[]}",
                                           config);
    assert_int_equal(image_add_manifest(fixture.store, lease, third, strlen(third), "", NULL, NULL,
                                        NULL, &fixture.err),
                     -1);
    fixture_assert_error("but its configuration 1");
    assert_int_equal(count_images(), 0);
}

static void removal_by_name_takes_the_name_first(void **state)
{
    (void)state;
    const char *id = fixture_make_image("a:1", "text");
    add_name("a:1", "a:2");
    assert_string_equal(remove_image("a:1", false), "a:1 /");
    assert_string_equal(find("a:2"), id);
    scope_free char *line = memory_format("/ %s", id);
    assert_non_null(strstr(remove_image("a:2", false), line));
    assert_int_equal(count_images(), 0);
    assert_string_equal(remove_image("a:2", false), "error");
    fixture_assert_error("no such image");
    assert_sound();
}

static void removal_by_id_takes_all_names_of_one_repository(void **state)
{
    (void)state;
    const char *id = fixture_make_image("a:1", "text");
    add_name("a:1", "a:2");
    scope_free char *prefix = memory_format("%.12s", id + 7);
    add_name("a:1", "b/a:1");
    assert_string_equal(remove_image(prefix, false), "error");
    fixture_assert_error("several repositories");
    assert_string_equal(find("a:1"), id);
    assert_string_equal(remove_image("b/a:1", false), "b/a:1 /");
    scope_free char *line = memory_format("a:1 a:2 / %s", id);
    const char *removed = remove_image(prefix, false);
    assert_int_equal(strncmp(removed, line, strlen(line)), 0);

    id = fixture_make_image("a:1", "text");
    add_name("a:1", "b/a:1");
    assert_string_not_equal(remove_image(id, true), "error");
    assert_int_equal(count_images(), 0);
    assert_sound();
}

/* As docker: the digest is one of the image's names. */
static void removal_by_digest_takes_the_digest_first(void **state)
{
    (void)state;
    const char *id = fixture_make_image("a:1", "text");
    note_digest("a:1", "a@" STRANGER);
    assert_string_equal(remove_image("a@" STRANGER, false), "a@" STRANGER " /");
    assert_string_equal(find("a:1"), id);
    assert_string_equal(find("a@" STRANGER), "");
    /* With the last name in a repository its digests go. */
    note_digest("a:1", "a@" STRANGER);
    add_name("a:1", "b:1");
    assert_string_equal(remove_image("a:1", false), "a:1 a@" STRANGER " /");
    assert_string_equal(find("a@" STRANGER), "");
    assert_string_equal(find("b:1"), id);
    /* The only thing that it is known by. */
    const char *pulled = fixture_make_image(NULL, "by digest");
    note_digest(pulled, "c@" STRANGER);
    scope_free char *line = memory_format("c@" STRANGER " / %s", pulled);
    const char *removed = remove_image("c@" STRANGER, false);
    assert_int_equal(strncmp(removed, line, strlen(line)), 0);
    assert_sound();
}

static void what_a_container_holds_is_not_removed(void **state)
{
    (void)state;
    const char *id = fixture_make_image("a:1", "text");
    scope_image struct image image = {0};
    scope_image_layers struct image_layers layers = {0};
    assert_int_equal(image_find(fixture.store, id, &image, &fixture.err), 1);
    assert_int_equal(
        image_lease_take(fixture.store, "0123456789abcdef", "web", &image, &fixture.err), 0);
    assert_string_equal(remove_image("a:1", false), "error");
    fixture_assert_error("web");
    fixture_assert_error("0123456789ab");
    assert_string_equal(remove_image(id, false), "error");
    add_name("a:1", "a:2");
    assert_string_equal(remove_image("a:2", false), "a:2 /"); /* a name that isn't the last */
    /* By force it loses its names, but the container keeps its files. */
    assert_string_equal(remove_image("a:1", true), "a:1 /");
    assert_int_equal(count_images(), 0);
    assert_int_equal(image_layers(fixture.store, &image, &layers, &fixture.err), 0);
    assert_int_equal(access(layers.directories[0], F_OK), 0);
    scope_image struct image held = {0};
    assert_int_equal(image_find_held(fixture.store, "0123456789abcdef", id, &held, &fixture.err),
                     1);
    assert_string_equal(held.id, id);
    assert_int_equal(held.name_count, 0);
    image_release(&held);
    assert_int_equal(image_find_held(fixture.store, "another", id, &held, &fixture.err), 0);
    assert_sound();
    fixture_open_store();
    struct image_lease_holder *holders;
    size_t count;
    assert_int_equal(image_lease_list(fixture.store, &holders, &count, &fixture.err), 0);
    assert_int_equal(count, 1);
    assert_string_equal(holders[0].label, "web");
    assert_string_equal(holders[0].image, id);
    image_lease_holders_free(holders, count);
    assert_int_equal(image_lease_release(fixture.store, "0123456789abcdef", &fixture.err), 0);
    assert_int_equal(image_lease_release(fixture.store, "0123456789abcdef", &fixture.err), 0);
    scope_image_removal struct image_removal removal = {0};
    assert_int_equal(image_prune(fixture.store, NULL, &removal, &fixture.err), 0);
    assert_int_not_equal(access(layers.directories[0], F_OK), 0);
    assert_true(removal.reclaimed > 0);
    assert_int_equal(image_lease_take(fixture.store, "x", NULL, &image, &fixture.err), -1);
    fixture_assert_error("just removed");
    static const char *const owners[] = {"", "../x", "a/b", "a b"};
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
        assert_int_equal(image_lease_take(fixture.store, owners[i], NULL, &image, &fixture.err),
                         -1);
    assert_sound();
}

static bool has_no_text(const struct image *image, const void *context)
{
    return strcmp(image->id, context) != 0;
}

static void pruning_takes_what_nobody_uses(void **state)
{
    (void)state;
    fixture_make_image("named", "1");
    const char *dangling = fixture_make_image("moved", "2"),
               *held = fixture_make_image("moved", "3");
    const char *kept = fixture_make_image("moved", "4");
    fixture_make_image("moved", "5");
    scope_image struct image image = {0};
    assert_int_equal(image_find(fixture.store, held, &image, &fixture.err), 1);
    assert_int_equal(image_lease_take(fixture.store, "c", "c", &image, &fixture.err), 0);
    struct image_prune_options options = {.wanted = has_no_text, .context = kept};
    scope_image_removal struct image_removal removal = {0};
    assert_int_equal(image_prune(fixture.store, &options, &removal, &fixture.err), 0);
    assert_string_equal(find(dangling), "");
    assert_string_equal(find(held), held);
    assert_string_equal(find(kept), kept);
    assert_int_equal(count_images(), 4);
    assert_string_equal(removal.deleted[0], dangling);
    assert_int_equal(removal.untagged_count, 0);
    options = (struct image_prune_options){.all = true};
    assert_int_equal(image_prune(fixture.store, &options, &removal, &fixture.err), 0);
    assert_int_equal(count_images(), 1);
    assert_string_equal(find(held), held);
    assert_sound();
}

/* As a load does, which names an image when it is there. */
static void an_image_that_is_not_named_yet_is_not_pruned(void **state)
{
    (void)state;
    const struct image_prune_options dangling = {0};
    const char *id = fixture_make_image(NULL, "one");
    scope_image struct image image = {0};
    scope_image_removal struct image_removal removal = {0};
    struct image_lease *lease;
    assert_int_equal(image_find(fixture.store, id, &image, &fixture.err), 1);
    size_t length;
    scope_free char *manifest = image_blob_read(fixture.store, image.manifest_digest,
                                                IMAGE_MANIFEST_LIMIT, &length, &fixture.err);
    assert_int_equal(image_lease_begin(fixture.store, &lease, &fixture.err), 0);
    assert_int_equal(image_add_manifest(fixture.store, lease, manifest, length, "", NULL, NULL,
                                        NULL, &fixture.err),
                     0);
    assert_int_equal(image_prune(fixture.store, &dangling, &removal, &fixture.err), 0);
    assert_string_equal(find(id), id);
    image_lease_end(lease);
    assert_int_equal(image_prune(fixture.store, &dangling, &removal, &fixture.err), 0);
    assert_string_equal(find(id), "");
}

static void a_history_may_tell_more_or_less_than_there_is(void **state)
{
    (void)state;
    fixture_make_image("a", "text");
    scope_image struct image image = {0};
    assert_int_equal(image_find(fixture.store, "a", &image, &fixture.err), 1);
    static const char *const histories[] = {
        "[]",         "3",
        "[{}]",       "[{\"empty_layer\":true,\"created_by\":\"ENV x\"},{}]",
        "[{},{},{}]", "[3,null,\"x\"]"};
    static const size_t counts[] = {1, 1, 1, 2, 3, 3};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        scope_free struct image_history_entry *entries = NULL;
        size_t count;
        int64_t sum = 0;
        json_object_set_new(image.config, "history",
                            json_loads(histories[i], JSON_DECODE_ANY, NULL));
        assert_int_equal(image_history(fixture.store, &image, &entries, &count, &fixture.err), 0);
        assert_int_equal(count, counts[i]);
        assert_string_equal(entries[0].id, image.id);
        for (size_t j = 0; j < count; j++)
            sum += entries[j].size;
        assert_int_equal(sum, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_make_store, fixture_remove)
        CASE(an_image_is_found_by_all_that_docker_finds_it_by),
        CASE(an_id_that_several_begin_with_is_an_error),
        CASE(a_name_moves_and_leaves_the_other_dangling),
        CASE(the_same_image_twice_is_one),
        CASE(an_image_whose_blobs_are_missing_is_not_entered),
        CASE(removal_by_name_takes_the_name_first),
        CASE(removal_by_id_takes_all_names_of_one_repository),
        CASE(removal_by_digest_takes_the_digest_first),
        CASE(what_a_container_holds_is_not_removed),
        CASE(pruning_takes_what_nobody_uses),
        CASE(an_image_that_is_not_named_yet_is_not_pruned),
        CASE(a_history_may_tell_more_or_less_than_there_is),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
