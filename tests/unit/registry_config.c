/* image/registry_config: registries.json, its defaults, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/registry_config.h"

static char path[] = "registries-XXXXXX";

/* Loads a file with this text; the status. */
static int load(const char *text, struct registry_config *config, struct error *err)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    setenv("HULL_REGISTRIES", path, 1);
    return registry_config_load(config, err);
}

static void an_empty_object_means_the_defaults(void **state)
{
    (void)state;
    scope_registry_config struct registry_config config;
    struct error err = {0};
    assert_int_equal(load("{}", &config, &err), 0);
    assert_int_equal(config.search_count, 1);
    assert_string_equal(config.search[0], "docker.io");
    assert_int_equal(config.attempts, 5);
    assert_int_equal(config.parallel, 3);
    assert_null(registry_config_find(&config, "docker.io"));
}

static void every_key_is_read(void **state)
{
    (void)state;
    scope_registry_config struct registry_config config;
    struct error err = {0};
    assert_int_equal(load("{\"search\": [\"a.example\", \"b.example:5000\"],"
                          " \"certificates\": [\"/certificates\"],"
                          " \"registries\": {\"a.example\": {\"mirrors\": [\"m1\", \"m2\"]},"
                          "                  \"b.example:5000\": {\"insecure\": true}},"
                          " \"attempts\": 7, \"delaySeconds\": 0.25, \"connectSeconds\": 8,"
                          " \"stallSeconds\": 9, \"parallel\": 10}",
                          &config, &err),
                     0);
    assert_int_equal(config.search_count, 2);
    assert_string_equal(config.search[1], "b.example:5000");
    assert_int_equal(config.certificate_count, 1);
    assert_string_equal(config.certificates[0], "/certificates");
    const struct registry_config_host *host = registry_config_find(&config, "a.example");
    assert_non_null(host);
    assert_false(host->insecure);
    assert_int_equal(host->mirror_count, 2);
    assert_string_equal(host->mirrors[1], "m2");
    assert_true(registry_config_find(&config, "b.example:5000")->insecure);
    assert_null(registry_config_find(&config, "b.example"));
    assert_int_equal(config.attempts, 7);
    assert_true(config.delay_seconds == 0.25);
    assert_int_equal(config.connect_seconds, 8);
    assert_int_equal(config.stall_seconds, 9);
    assert_int_equal(config.parallel, 10);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"{", "line 1"},
        {"[]", "not an object"},
        {"{\"serach\": []}", "'serach'"},
        {"{\"search\": \"docker.io\"}", "'search'"},
        {"{\"search\": [\"\"]}", "'search'"},
        {"{\"certificates\": [1]}", "'certificates'"},
        {"{\"registries\": []}", "'registries'"},
        {"{\"registries\": {\"a\": true}}", "'a'"},
        {"{\"registries\": {\"a\": {\"insecure\": 1}}}", "'insecure'"},
        {"{\"registries\": {\"a\": {\"mirrors\": {}}}}", "'mirrors'"},
        {"{\"attempts\": 0}", "'attempts'"},
        {"{\"attempts\": 1, \"attempts\": 2}", "line 1"},
        {"{\"delaySeconds\": -1}", "'delaySeconds'"},
        {"{\"connectSeconds\": \"5\"}", "'connectSeconds'"},
        {"{\"stallSeconds\": 1e99}", "'stallSeconds'"},
        {"{\"parallel\": 33}", "'parallel'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scope_registry_config struct registry_config config;
        struct error err = {0};
        assert_int_equal(load(cases[i].text, &config, &err), -1);
        assert_non_null(strstr(err.text, path));
        if (!strstr(err.text, cases[i].expected))
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void a_file_that_was_named_must_exist(void **state)
{
    (void)state;
    scope_registry_config struct registry_config config;
    struct error err = {0};
    setenv("HULL_REGISTRIES", "registries-that-are-not", 1);
    assert_int_equal(registry_config_load(&config, &err), -1);
    assert_non_null(strstr(err.text, "registries-that-are-not"));
}

static void loopback_is_recognized(void **state)
{
    (void)state;
    static const char *const mine[] = {"localhost",    "LocalHost:5000", "127.0.0.1",
                                       "127.1.2.3:80", "[::1]",          "[::1]:5000"};
    static const char *const others[] = {"",          "docker.io",  "localhost.example",
                                         "128.0.0.1", "[fe80::1]",  "[::1",
                                         "127.1",     "10.0.0.1:80"};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        assert_true(registry_host_is_loopback(mine[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (registry_host_is_loopback(others[i]))
            fail_msg("%s", others[i]);
    char endless[1024];
    memset(endless, '1', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_false(registry_host_is_loopback(endless));
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_object_means_the_defaults),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_file_that_was_named_must_exist),
        cmocka_unit_test(loopback_is_recognized),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
