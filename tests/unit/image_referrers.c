/* image/referrers: what descriptors tell, which come from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/referrers.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MANIFEST "\"mediaType\": \"" IMAGE_TYPE_OCI_MANIFEST "\", \"digest\": \"" DIGEST "\""

static int add(struct referrers *referrers, const char *text, const char *wanted, struct error *err)
{
    json_auto_t *descriptor = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(descriptor);
    *err = (struct error){0};
    return referrers_add(referrers, descriptor, wanted, err);
}

static void a_descriptor_is_taken_whole_and_once(void **state)
{
    static const char text[] = "{" MANIFEST ", \"size\": 7, \"artifactType\": \"application/x\", "
                               "\"annotations\": {\"key\": \"value\"}}";
    scope_referrers struct referrers referrers = {0};
    struct error err;
    (void)state;
    assert_int_equal(add(&referrers, text, "application/y", &err), 0);
    assert_int_equal(referrers.count, 0);
    assert_int_equal(add(&referrers, text, "application/x", &err), 0);
    assert_int_equal(add(&referrers, text, NULL, &err), 0);
    assert_int_equal(referrers.count, 1);
    const struct referrer *found = &referrers.items[0];
    assert_string_equal(found->digest, DIGEST);
    assert_string_equal(found->media_type, IMAGE_TYPE_OCI_MANIFEST);
    assert_string_equal(found->artifact_type, "application/x");
    assert_int_equal(found->size, 7);
    assert_string_equal(json_string_value(json_object_get(found->annotations, "key")), "value");
}

static void what_a_descriptor_leaves_out_is_empty(void **state)
{
    scope_referrers struct referrers referrers = {0};
    struct error err;
    (void)state;
    assert_int_equal(add(&referrers,
                         "{\"digest\": \"" DIGEST "\", \"size\": 0, \"annotations\": null, "
                         "\"artifactType\": null}",
                         NULL, &err),
                     0);
    assert_int_equal(referrers.count, 1);
    assert_string_equal(referrers.items[0].media_type, "");
    assert_string_equal(referrers.items[0].artifact_type, "");
    assert_int_equal(json_object_size(referrers.items[0].annotations), 0);
}

static void what_cannot_be_a_descriptor_is_refused(void **state)
{
    static const char *const strange[] = {
        "7",
        "null",
        "[]",
        "{}",
        "{\"digest\": \"sha256:00\", \"size\": 1}",
        "{" MANIFEST "}",
        "{" MANIFEST ", \"size\": -1}",
        "{" MANIFEST ", \"size\": 1.5}",
        "{" MANIFEST ", \"size\": 1, \"artifactType\": {}}",
        "{" MANIFEST ", \"size\": 1, \"artifactType\": \"a\\u001b[2J\"}",
        "{" MANIFEST ", \"size\": 1, \"artifactType\": \"a\\u0000b\"}",
        "{" MANIFEST ", \"size\": 1, \"artifactType\": \"\\u00e9\"}",
        "{" MANIFEST ", \"size\": 1, \"annotations\": []}",
        "{" MANIFEST ", \"size\": 1, \"annotations\": {\"a\": null}}",
    };
    scope_referrers struct referrers referrers = {0};
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        if (add(&referrers, strange[i], NULL, &err) == 0)
            fail_msg("taken: %s", strange[i]);
        assert_true(*err.text);
        assert_int_equal(err.code, 0);
    }
    assert_int_equal(referrers.count, 0);
}

static void there_are_only_so_many(void **state)
{
    scope_referrers struct referrers referrers = {0};
    struct error err;
    (void)state;
    for (int i = 0; i <= REFERRERS_MAX; i++) {
        scope_free char *text =
            memory_format("{\"digest\": \"sha256:%064x\", \"size\": 1}", (unsigned int)i);
        assert_int_equal(add(&referrers, text, NULL, &err), i < REFERRERS_MAX ? 0 : -1);
    }
    assert_int_equal(err.code, E2BIG);
    assert_int_equal(referrers.count, REFERRERS_MAX);
}

static void a_manifest_is_described_by_its_type_or_its_configurations(void **state)
{
    json_auto_t *plain = json_loads("{\"config\": {\"mediaType\": \"application/c\"}, "
                                    "\"annotations\": {\"key\": \"value\"}}",
                                    0, NULL);
    json_auto_t *typed = json_loads("{\"config\": {\"mediaType\": \"application/c\"}, "
                                    "\"artifactType\": \"application/a\"}",
                                    0, NULL);
    json_auto_t *index = json_loads("{\"manifests\": []}", 0, NULL);
    (void)state;
    assert_string_equal(referrer_type(plain), "application/c");
    assert_string_equal(referrer_type(typed), "application/a");
    assert_null(referrer_type(index));
    json_auto_t *descriptor = referrer_describe(plain, "application/m", DIGEST, 9);
    scope_referrers struct referrers referrers = {0};
    struct error err = {0};
    assert_int_equal(referrers_add(&referrers, descriptor, "application/c", &err), 0);
    assert_int_equal(referrers.count, 1);
    assert_string_equal(referrers.items[0].media_type, "application/m");
    assert_int_equal(referrers.items[0].size, 9);
    assert_int_equal(json_object_size(referrers.items[0].annotations), 1);
}

static void what_is_no_image_is_told_from_what_may_be(void **state)
{
    static const char *const images[] = {
        "{}",
        "{\"config\": {\"mediaType\": \"" IMAGE_TYPE_OCI_CONFIG "\"}, \"artifactType\": \"a/b\"}",
        "{\"config\": {\"mediaType\": \"" IMAGE_TYPE_DOCKER_CONFIG "\"}}",
        "{\"config\": {\"mediaType\": \"application/octet-stream\"}}",
    };
    char text[REFERRER_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        json_auto_t *manifest = json_loads(images[i], 0, NULL);
        assert_false(referrer_is_no_image(manifest, text));
    }
    json_auto_t *empty = json_loads(
        "{\"config\": {\"mediaType\": \"application/vnd.oci.empty.v1+json\"}, \"subject\": 7}", 0,
        NULL);
    assert_true(referrer_is_no_image(empty, text));
    assert_string_equal(text, "an artifact of type application/vnd.oci.empty.v1+json");
    json_auto_t *typed = json_loads("{\"config\": {\"mediaType\": \"a/c\"}, \"artifactType\": "
                                    "\"a/b\\u001b[2J\", \"subject\": {\"digest\": \"" DIGEST "\"}}",
                                    0, NULL);
    assert_true(referrer_is_no_image(typed, text));
    assert_string_equal(text, "an artifact of type a/b?[2J that refers to " DIGEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_is_taken_whole_and_once),
        cmocka_unit_test(what_a_descriptor_leaves_out_is_empty),
        cmocka_unit_test(what_cannot_be_a_descriptor_is_refused),
        cmocka_unit_test(there_are_only_so_many),
        cmocka_unit_test(a_manifest_is_described_by_its_type_or_its_configurations),
        cmocka_unit_test(what_is_no_image_is_told_from_what_may_be),
    };
    return cmocka_run_group_tests_name("referrers", tests, NULL, NULL);
}
