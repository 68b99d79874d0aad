/* image/registry_helper: programs that keep credentials, and those that misbehave. */
#include <errno.h>

#include "image/registry_helper.h"
#include "registry_credentials_fixture.h"

static char *run_script(const char *text, int seconds, struct error *err)
{
    scope_free char *script = memory_format("#!/bin/sh\n%s\n", text);
    fixture_write("docker-credential-script", script, 0755);
    return registry_helper_run("script", "get", "registry.example", seconds, err);
}

static void a_helper_gets_its_verb_and_input(void **state)
{
    (void)state;
    struct error err = {0};
    char *output = run_script("printf '%s/%s' \"$1\" \"$(cat)\"", 20, &err);
    assert_non_null(output);
    assert_string_equal(output, "get/registry.example");
    registry_secret_free(output);
}

static void a_helper_may_leave_its_input(void **state)
{
    (void)state;
    struct error err = {0};
    char *output = run_script("exec <&-; echo done", 20, &err);
    assert_non_null(output);
    assert_string_equal(output, "done\n");
    registry_secret_free(output);
}

static void a_child_that_keeps_the_pipe_open_is_not_waited_for(void **state)
{
    (void)state;
    struct error err = {0};
    scope_free char *script =
        memory_format("sleep 100 & echo $! >'%s/child'; echo answer", fixture_directory);
    char *output = run_script(script, 20, &err);
    scope_free char *end = memory_format("kill $(cat '%s/child')", fixture_directory);
    assert_int_equal(system(end), 0);
    assert_non_null(output);
    assert_string_equal(output, "answer\n");
    registry_secret_free(output);
}

static void what_a_failing_helper_says_is_told(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(run_script("printf 'the \\033[1mkeychain is locked\\nmore'; exit 3", 20, &err));
    assert_int_equal(err.code, 0);
    assert_non_null(strstr(err.text, "status 3: the ?[1mkeychain is locked"));
    assert_null(strstr(err.text, "more"));
}

static void having_none_is_told_apart(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(run_script("echo 'credentials not found in native keychain'; exit 1", 20, &err));
    assert_int_equal(err.code, ENODATA);
}

static void a_helper_that_hangs_is_ended(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(run_script("exec sleep 100", 1, &err));
    assert_int_equal(err.code, ETIMEDOUT);
}

static void a_helper_that_talks_without_end_is_ended(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(run_script("exec cat /dev/zero", 20, &err));
    assert_int_equal(err.code, EFBIG);
}

static void a_helper_that_is_killed_is_no_answer(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(run_script("kill -9 $$", 20, &err));
    assert_non_null(strstr(err.text, "signal 9"));
}

static void a_helper_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(registry_helper_run("absent", "get", "x", 20, &err));
    assert_int_equal(err.code, ENOENT);
    assert_non_null(strstr(err.text, "docker-credential-absent"));
    assert_null(registry_helper_run("../../bin/sh", "get", "x", 20, &err));
    assert_non_null(strstr(err.text, "no name"));
    assert_null(registry_helper_run("", "get", "x", 20, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_helper_gets_its_verb_and_input),
        cmocka_unit_test(a_helper_may_leave_its_input),
        cmocka_unit_test(a_child_that_keeps_the_pipe_open_is_not_waited_for),
        cmocka_unit_test(what_a_failing_helper_says_is_told),
        cmocka_unit_test(having_none_is_told_apart),
        cmocka_unit_test(a_helper_that_hangs_is_ended),
        cmocka_unit_test(a_helper_that_talks_without_end_is_ended),
        cmocka_unit_test(a_helper_that_is_killed_is_no_answer),
        cmocka_unit_test(a_helper_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, fixture_make, fixture_remove);
}
