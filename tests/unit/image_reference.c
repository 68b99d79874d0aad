/* image/reference, image/platform, image/manifest: names, platforms and documents from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/image.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX

static void names_are_read_as_docker_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical, *familiar;
    } cases[] = {
        {"busybox", "docker.io/library/busybox:latest", "busybox:latest"},
        {"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
        {"someone/thing", "docker.io/someone/thing:latest", "someone/thing:latest"},
        {"docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
        {"index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
        {"docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
        {"library/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
        {"library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"},
        {"localhost/x", "localhost/x:latest", "localhost/x:latest"},
        {"localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"},
        {"[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"},
        {"quay.io/a/b_c/d__e/f--g.h", "quay.io/a/b_c/d__e/f--g.h:latest",
         "quay.io/a/b_c/d__e/f--g.h:latest"},
        {"a:5/b", "a:5/b:latest", "a:5/b:latest"},
        {"docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"},
        {"docker.io/localhost/c", "docker.io/localhost/c:latest", "docker.io/localhost/c:latest"},
        {"docker.io/library/a.b", "docker.io/library/a.b:latest", "a.b:latest"},
        {"Host/b", "Host/b:latest", "Host/b:latest"},
        {"x:T.a_g-9", "docker.io/library/x:T.a_g-9", "x:T.a_g-9"},
        {"x@" DIGEST, "docker.io/library/x@" DIGEST, "x@" DIGEST},
        {"x:1@" DIGEST, "docker.io/library/x:1@" DIGEST, "x:1@" DIGEST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reference reference;
        struct error err = {0};
        char text[REFERENCE_TEXT_SIZE];
        if (reference_parse(cases[i].text, &reference, &err) < 0)
            fail_msg("%s", err.text);
        reference_default_tag(&reference);
        assert_string_equal(reference_format(&reference, text), cases[i].canonical);
        assert_string_equal(reference_format_familiar(&reference, text), cases[i].familiar);
        /* What is written is read as the same. */
        struct reference again;
        assert_int_equal(reference_parse(cases[i].familiar, &again, &err), 0);
        assert_string_equal(reference_format(&again, text), cases[i].canonical);
    }
}

static void what_is_no_name_is_refused_with_a_reason(void **state)
{
    (void)state;
    char long_tag[200] = "x:", long_path[300], too_long[2000];
    memset(long_tag + 2, 't', 129);
    memset(long_path, 'p', 256);
    long_path[256] = '\0';
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    const char *const names[] = {"",
                                 "Busybox",
                                 "a b",
                                 "/a",
                                 "a/",
                                 "a//b",
                                 "-a",
                                 "a-",
                                 "a..b",
                                 "a___b",
                                 "_a",
                                 "a.",
                                 ":tag",
                                 "a:",
                                 "a:-x",
                                 "a:b:c",
                                 "a@x",
                                 "a@sha256:12",
                                 "a@" HEX,
                                 HEX,
                                 "a@sha512:" HEX,
                                 "a:t\n",
                                 "../etc",
                                 "a/../b",
                                 "a:b/c:d e",
                                 "[::1/x",
                                 "[x]/y",
                                 "a..b/c",
                                 "-a.b/c",
                                 "a.b-/c",
                                 "a.b:/c",
                                 "a.b:123456/c",
                                 "a.b:12x/c",
                                 "\xff",
                                 "a\xc3\xa9",
                                 long_tag,
                                 long_path,
                                 too_long,
                                 "a@" DIGEST "0",
                                 "a@" DIGEST "@" DIGEST,
                                 "@" DIGEST};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct reference reference;
        struct error err = {0};
        if (reference_parse(names[i], &reference, &err) == 0)
            fail_msg("'%s' was taken for a name", names[i]);
        assert_non_null(strstr(err.text, "invalid image name"));
    }
}

static void short_names_are_looked_for_in_order(void **state)
{
    (void)state;
    static const char *const domains[] = {"docker.io", "localhost:5000", NULL};
    static const char *const aliases[] = {"tool", "quay.io/org/tool", NULL};
    const struct reference_search search = {.domains = domains, .aliases = aliases};
    struct reference *candidates;
    size_t count;
    char text[REFERENCE_TEXT_SIZE];
    assert_int_equal(reference_candidates("x:1", &search, &candidates, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_string_equal(reference_format(&candidates[0], text), "docker.io/library/x:1");
    assert_string_equal(reference_format(&candidates[1], text), "localhost:5000/x:1");
    free(candidates);
    assert_int_equal(reference_candidates("tool:2@" DIGEST, &search, &candidates, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(reference_format(&candidates[0], text), "quay.io/org/tool:2@" DIGEST);
    free(candidates);
    assert_int_equal(reference_candidates("h.x/y", &search, &candidates, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(reference_format(&candidates[0], text), "h.x/y:latest");
    free(candidates);
    assert_int_equal(reference_candidates("Bad", &search, &candidates, &count, NULL), -1);
    assert_null(candidates);
}

static void platforms_have_many_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *normal;
    } cases[] = {
        {"linux/amd64", "linux/amd64"},
        {"x86_64", "linux/amd64"},
        {"linux/arm64/v8", "linux/arm64"},
        {"aarch64", "linux/arm64"},
        {"linux/arm", "linux/arm/v7"},
        {"linux/arm/6", "linux/arm/v6"},
        {"armhf", "linux/arm/v7"},
        {"armel", "linux/arm/v6"},
        {"i686", "linux/386"},
        {"linux/riscv64", "linux/riscv64"},
        {"Linux/AMD64", "linux/amd64"},
        {"windows/amd64", "windows/amd64"},
    };
    struct platform platform;
    char text[PLATFORM_TEXT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(platform_parse(cases[i].text, &platform, NULL), 0);
        assert_string_equal(platform_format(&platform, text), cases[i].normal);
    }
    static const char *const bad[] = {"",
                                      "/",
                                      "linux/",
                                      "linux//x",
                                      "a/b/c/d",
                                      "a b",
                                      "linux/amd64/",
                                      "l\xff/x",
                                      "linux/amd6\n",
                                      "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(platform_parse(bad[i], &platform, NULL), -1);
}

/* Chooses of an index by platform; gives the name that the element has. */
static const char *choose(const char *wanted, const char *index, struct error *err)
{
    struct platform platform;
    static char chosen[32];
    json_t *manifests = json_loads(index, 0, NULL);
    assert_non_null(manifests);
    assert_int_equal(platform_parse(wanted, &platform, err), 0);
    json_t *element = platform_select(manifests, &platform, err);
    const char *name = json_string_value(json_object_get(element, "n"));
    snprintf(chosen, sizeof chosen, "%s", element ? name : "none");
    json_decref(manifests);
    return chosen;
}

static void the_fitting_manifest_of_an_index_is_chosen(void **state)
{
    (void)state;
    struct error err = {0};
#define P(n, os, arch, variant)                                                                    \
    "{\"n\":\"" n "\",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch                    \
    "\",\"variant\":\"" variant "\"}}"
    static const char index[] =
        "[" P("amd", "linux", "amd64", "") "," P("v5", "linux", "arm", "v5") "," P(
            "v7", "linux", "arm", "v7") "," P("v6", "linux", "arm", "v6") "," P("arm", "linux",
                                                                                "arm64", "v8") "]";
    assert_string_equal(choose("linux/amd64", index, &err), "amd");
    assert_string_equal(choose("linux/arm64", index, &err), "arm");
    assert_string_equal(choose("linux/arm/v7", index, &err), "v7");
    assert_string_equal(choose("linux/arm/v6", index, &err), "v6");
    /* An older processor doesn't run what is newer; a newer one runs the newest that it can. */
    assert_string_equal(choose("linux/arm/v5", index, &err), "v5");
    assert_string_equal(choose("linux/arm/v8", index, &err), "v7");
    assert_string_equal(choose("linux/s390x", index, &err), "none");
    assert_non_null(strstr(err.text, "linux/s390x"));
    assert_non_null(strstr(err.text, "linux/amd64"));
    assert_string_equal(choose("windows/amd64", index, &err), "none");
    /* One without a platform is meant for all; attestations are for none. */
    assert_string_equal(choose("linux/amd64", "[{\"n\":\"only\"}]", &err), "only");
    assert_string_equal(choose("linux/amd64", "[{\"n\":\"a\"},{\"n\":\"b\"}]", &err), "none");
    assert_string_equal(choose("linux/amd64", "[" P("x", "unknown", "unknown", "") "]", &err),
                        "none");
    assert_string_equal(choose("linux/amd64", "[]", &err), "none");
    assert_string_equal(choose("linux/amd64", "[1,\"x\",null,{\"platform\":3}]", &err), "none");
#undef P
}

#define CONFIG "\"config\":{\"mediaType\":\"t\",\"digest\":\"" DIGEST "\",\"size\":3}"
#define LAYER "{\"mediaType\":\"l\",\"digest\":\"" DIGEST "\",\"size\":7}"

static void manifests_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER ",{\"mediaType\":\"f\",\"digest\":"
        "\"" DIGEST "\",\"size\":0,\"urls\":[\"http://a/b\",\"c\"]}]}";
    struct image_descriptor config, *layers;
    size_t count;
    struct error err = {0};
    assert_int_equal(image_manifest_parse(text, strlen(text), &config, &layers, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_string_equal(config.digest, DIGEST);
    assert_int_equal(config.size, 3);
    assert_int_equal(layers[0].size, 7);
    assert_string_equal(layers[1].urls[1], "c");
    assert_null(layers[1].urls[2]);
    image_descriptors_free(layers, count);
}

static void manifests_that_lie_or_are_no_such_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "isn't valid"},
        {"[]", "isn't a JSON object"},
        {"{\"schemaVersion\":2,\"schemaVersion\":2}", "isn't valid"},
        {"{\"schemaVersion\":1}", "schema 1"},
        {"{\"schemaVersion\":2,\"manifests\":[]}", "index"},
        {"{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE_OCI_INDEX "\"}", "index"},
        {"{\"schemaVersion\":2}", "digest"},
        {"{\"schemaVersion\":2," CONFIG "}", "layers"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":{}}", "layers"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[3]}", "digest"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER ",{\"digest\":\"../../x\"}]}",
         "digest"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" DIGEST "\",\"size\":-1}]}",
         "size"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" DIGEST "\",\"size\":1e3}]}",
         "size"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" DIGEST
         "\",\"size\":1,\"urls\":[1]}]}",
         "URL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image_descriptor config, *layers = NULL;
        size_t count = 0;
        struct error err = {0};
        assert_int_equal(image_manifest_parse(cases[i].text, strlen(cases[i].text), &config,
                                              &layers, &count, &err),
                         -1);
        if (!strstr(err.text, cases[i].reason))
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_null(layers);
        assert_int_equal(count, 0); /* or whoever releases an image would go through none of them */
    }
    /* More layers than overlayfs mounts. */
    char *many = memory_copy_string("{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER);
    for (int i = 0; i < IMAGE_LAYERS_MAX; i++) {
        char *more = memory_format("%s,%s", many, LAYER);
        free(many);
        many = more;
    }
    scope_free char *whole = memory_format("%s]}", many);
    free(many);
    struct image_descriptor config, *layers;
    size_t count;
    struct error err = {0};
    assert_int_equal(image_manifest_parse(whole, strlen(whole), &config, &layers, &count, &err),
                     -1);
    assert_non_null(strstr(err.text, "too many"));
}

static void diff_ids_are_digests(void **state)
{
    (void)state;
    char(*ids)[IMAGE_DIGEST_SIZE];
    size_t count;
    static const char good[] = "{\"rootfs\":{\"diff_ids\":[\"" DIGEST "\",\"" DIGEST "\"]}}";
    assert_int_equal(image_config_diff_ids(good, strlen(good), &ids, &count, NULL), 0);
    assert_int_equal(count, 2);
    char chain[IMAGE_DIGEST_SIZE];
    image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])ids, 1, chain);
    assert_string_equal(chain, DIGEST);
    image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])ids, 2, chain);
    /* printf '%s %s' DIGEST DIGEST | sha256sum */
    assert_string_equal(chain,
                        "sha256:ccdf9b58ee7087c8f4415f1c3e98945bf64a4cd9920de109ec94d64947636830");
    free(ids);
    static const char *const bad[] = {"{\"rootfs\":{\"diff_ids\":[1]}}",
                                      "{\"rootfs\":{\"diff_ids\":[\"x\"]}}", "[", "\"x\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(image_config_diff_ids(bad[i], strlen(bad[i]), &ids, &count, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_as_docker_reads_them),
        cmocka_unit_test(what_is_no_name_is_refused_with_a_reason),
        cmocka_unit_test(short_names_are_looked_for_in_order),
        cmocka_unit_test(platforms_have_many_names),
        cmocka_unit_test(the_fitting_manifest_of_an_index_is_chosen),
        cmocka_unit_test(manifests_are_read),
        cmocka_unit_test(manifests_that_lie_or_are_no_such_are_refused),
        cmocka_unit_test(diff_ids_are_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
