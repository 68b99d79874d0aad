/* Which image is run, and when a registry is asked for it. There is no registry client beside this
 * program, so that asking one is an error that says so. */
#include "image/registry.h"
#include "image_fixture.h"

#define ASKED "can't load the registry client"

static const char *missing_name;

static void note_missing(void *context, const char *name)
{
    (void)context;
    missing_name = name;
}

static int obtain(const char *name, enum registry_policy policy, const char *platform_text,
                  struct image *image)
{
    struct platform platform;
    if (platform_text)
        assert_int_equal(platform_parse(platform_text, &platform, &fixture.err), 0);
    const struct registry_pull_options options = {.platform = platform_text ? &platform : NULL};
    fixture.err = (struct error){0};
    missing_name = NULL;
    return registry_obtain(fixture.store, name, policy, &options, note_missing, image,
                           &fixture.err);
}

static void assert_found(const char *name, enum registry_policy policy, const char *platform,
                         const char *id)
{
    scope_image struct image image = {0};
    if (obtain(name, policy, platform, &image) < 0)
        fail_msg("%s: %s", name, fixture.err.text);
    assert_string_equal(image.id, id);
    assert_null(missing_name);
}

static void assert_refused(const char *name, enum registry_policy policy, const char *platform,
                           const char *text)
{
    scope_image struct image image = {0};
    assert_int_equal(obtain(name, policy, platform, &image), -1);
    fixture_assert_error(text);
}

static void configure(const char *text)
{
    static char path[4200];
    fixture_write("registries.json", text);
    snprintf(path, sizeof path, "%s/registries.json", fixture.directory);
    setenv("HULL_REGISTRIES", path, 1);
}

static void finds_what_is_there(void **state)
{
    (void)state;
    configure("{}");
    const char *id = fixture_make_image("some/thing:1", "a");
    assert_found("some/thing:1", REGISTRY_POLICY_MISSING, NULL, id);
    assert_found("docker.io/some/thing:1", REGISTRY_POLICY_NEVER, NULL, id);
    assert_found(id, REGISTRY_POLICY_NEVER, NULL, id);
    char digits[13];
    snprintf(digits, sizeof digits, "%.12s", id + strlen("sha256:"));
    assert_found(digits, REGISTRY_POLICY_MISSING, NULL, id);
}

static void asks_for_what_is_missing(void **state)
{
    (void)state;
    configure("{}");
    fixture_make_image("some/thing:1", "a");
    assert_refused("some/thing:2", REGISTRY_POLICY_MISSING, NULL, ASKED);
    assert_string_equal(missing_name, "some/thing:2");
    assert_refused("some/thing:2", REGISTRY_POLICY_NEVER, NULL, "no such image: some/thing:2");
    assert_null(missing_name);
    assert_refused("some/thing:1", REGISTRY_POLICY_ALWAYS, NULL, ASKED);
    assert_null(missing_name);
    assert_refused("Not/A/Name", REGISTRY_POLICY_MISSING, NULL, "must be in lower case");
}

static void finds_short_names_at_the_registries_configured(void **state)
{
    (void)state;
    const char *id = fixture_make_image("registry.example/thing:1", "a");
    configure("{}");
    assert_refused("thing:1", REGISTRY_POLICY_NEVER, NULL, "no such image");
    configure("{\"search\": [\"other.example\", \"registry.example\"]}");
    assert_found("thing:1", REGISTRY_POLICY_MISSING, NULL, id);
    configure("{\"search\": [");
    assert_refused("nothing:1", REGISTRY_POLICY_NEVER, NULL, "registries.json");
}

static void takes_no_image_of_another_platform(void **state)
{
    (void)state;
    configure("{}");
    struct platform host;
    char own[PLATFORM_TEXT_SIZE];
    platform_host(&host);
    platform_format(&host, own);
    const char *id = fixture_make_image("some/thing:1", "a");
    assert_found("some/thing:1", REGISTRY_POLICY_MISSING, own, id);
    assert_refused("some/thing:1", REGISTRY_POLICY_MISSING, "linux/s390x", ASKED);
    assert_refused("some/thing:1", REGISTRY_POLICY_NEVER, "linux/s390x", "no such image");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_what_is_there, fixture_make_store, fixture_remove),
        cmocka_unit_test_setup_teardown(asks_for_what_is_missing, fixture_make_store,
                                        fixture_remove),
        cmocka_unit_test_setup_teardown(finds_short_names_at_the_registries_configured,
                                        fixture_make_store, fixture_remove),
        cmocka_unit_test_setup_teardown(takes_no_image_of_another_platform, fixture_make_store,
                                        fixture_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
