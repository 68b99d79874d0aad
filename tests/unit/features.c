/* oci/features_document: the document's structure, member by member (schema/features-schema.json
 * and features-linux.json of the specification), and that what it lists is what hull understands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "container/seccomp.h"
#include "oci/config.h"
#include "oci/verb/features_document.h"

static const char *const mount_options[] = {"bind", "ro", NULL};

static json_t *make_document(void)
{
    json_t *document = features_document(mount_options);
    assert_non_null(document);
    return document;
}

/* A list of strings, none twice. */
static void assert_list(const json_t *list, size_t at_least)
{
    assert_true(json_is_array(list));
    assert_true(json_array_size(list) >= at_least);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        assert_true(json_is_string(item));
        for (size_t other = 0; other < i; other++)
            assert_false(json_equal(item, json_array_get(list, other)));
    }
}

static bool list_has(const json_t *list, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_string_value(item), text) == 0)
            return true;
    }
    return false;
}

/* The object has exactly these members, so that none is misspelt or unknown to the schema. */
static void assert_members(const json_t *object, const char *const *names, size_t count)
{
    assert_true(json_is_object(object));
    for (size_t i = 0; i < count; i++) {
        if (!json_object_get(object, names[i]))
            fail_msg("%s is missing", names[i]);
    }
    assert_int_equal(json_object_size(object), count);
}

#define ASSERT_MEMBERS(object, ...)                                                                \
    assert_members(object, (const char *const[]){__VA_ARGS__},                                     \
                   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void the_top_level_is_complete(void **state)
{
    (void)state;
    json_t *document = make_document();
    ASSERT_MEMBERS(document, "ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux",
                   "annotations", "potentiallyUnsafeConfigAnnotations");
    assert_string_equal(json_string_value(json_object_get(document, "ociVersionMin")), "1.0.0");
    assert_string_equal(json_string_value(json_object_get(document, "ociVersionMax")), "1.2.0");
    json_t *hooks = json_object_get(document, "hooks");
    assert_list(hooks, CONFIG_HOOK_KINDS);
    assert_true(list_has(hooks, "createRuntime"));
    json_t *options = json_object_get(document, "mountOptions");
    assert_list(options, 2);
    assert_true(list_has(options, "bind") && list_has(options, "ro"));
    json_t *unsafe = json_object_get(document, "potentiallyUnsafeConfigAnnotations");
    assert_list(unsafe, 1);
    assert_true(list_has(unsafe, "org.systemd.property."));
    json_decref(document);
}

static void the_linux_section_is_complete(void **state)
{
    (void)state;
    json_t *document = make_document(), *section = json_object_get(document, "linux");
    ASSERT_MEMBERS(section, "namespaces", "capabilities", "cgroup", "seccomp", "apparmor",
                   "selinux", "intelRdt", "mountExtensions");
    json_t *namespaces = json_object_get(section, "namespaces");
    assert_list(namespaces, CONFIG_NAMESPACE_KINDS);
    assert_true(list_has(namespaces, "network") && list_has(namespaces, "time"));
    json_t *capabilities = json_object_get(section, "capabilities");
    assert_list(capabilities, 41);
    size_t i;
    json_t *item;
    json_array_foreach(capabilities, i, item)
        assert_true(config_capability_number(json_string_value(item)) >= 0);
    json_t *cgroup = json_object_get(section, "cgroup");
    ASSERT_MEMBERS(cgroup, "v1", "v2", "systemd", "systemdUser", "rdma");
    static const char *const switches[] = {"apparmor", "selinux", "intelRdt"};
    for (size_t at = 0; at < sizeof switches / sizeof *switches; at++)
        assert_true(
            json_is_true(json_object_get(json_object_get(section, switches[at]), "enabled")));
    json_t *extensions = json_object_get(section, "mountExtensions");
    assert_true(json_is_true(json_object_get(json_object_get(extensions, "idmap"), "enabled")));
    json_decref(document);
}

static void seccomp_is_complete(void **state)
{
    (void)state;
    json_t *document = make_document();
    json_t *seccomp = json_object_get(json_object_get(document, "linux"), "seccomp");
    ASSERT_MEMBERS(seccomp, "enabled", "actions", "operators", "archs", "knownFlags",
                   "supportedFlags");
    assert_true(json_is_true(json_object_get(seccomp, "enabled")));
    assert_list(json_object_get(seccomp, "actions"), 9);
    assert_list(json_object_get(seccomp, "operators"), 7);
    assert_list(json_object_get(seccomp, "archs"), 19);
    json_t *known = json_object_get(seccomp, "knownFlags");
    json_t *supported = json_object_get(seccomp, "supportedFlags"), *flag;
    assert_list(known, 4);
    assert_list(supported, 0);
    size_t i;
    json_array_foreach(supported, i, flag) assert_true(list_has(known, json_string_value(flag)));
    json_decref(document);
}

static void the_version_of_libseccomp_is_told(void **state)
{
    (void)state;
    char version[64];
    if (seccomp_library_version(version, sizeof version, NULL) < 0)
        skip();
    json_t *document = make_document();
    json_t *annotations = json_object_get(document, "annotations");
    assert_string_equal(
        json_string_value(json_object_get(annotations, "io.github.seccomp.libseccomp.version")),
        version);
    unsigned int major, minor, micro;
    assert_int_equal(sscanf(version, "%u.%u.%u", &major, &minor, &micro), 3);
    assert_true(major >= 2);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_top_level_is_complete),
        cmocka_unit_test(the_linux_section_is_complete),
        cmocka_unit_test(seccomp_is_complete),
        cmocka_unit_test(the_version_of_libseccomp_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
