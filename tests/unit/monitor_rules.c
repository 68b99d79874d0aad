/* The monitor's rules: restart policies, the state of health, detach keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "monitor/health.h"
#include "monitor/restart.h"

static void test_delays_double_up_to_a_minute(void **unused)
{
    (void)unused;
    struct restart_state state = {0};
    struct monitor_restart always = {.kind = MONITOR_RESTART_ALWAYS};
    int64_t expected[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(restart_after_exit(&state, &always, 0, false, 9999), expected[i]);
    assert_int_equal(state.count, 12);
    /* Who has run ten seconds has settled. */
    assert_int_equal(restart_after_exit(&state, &always, 0, false, 10000), 100);
    assert_int_equal(restart_after_exit(&state, &always, 0, false, 0), 200);
}

static void test_policies(void **unused)
{
    (void)unused;
    static const struct {
        struct monitor_restart policy;
        int exit_code;
        bool stopped;
        int count;
        bool wanted;
    } cases[] = {
        {{MONITOR_RESTART_NO, 0}, 1, false, 0, false},
        {{MONITOR_RESTART_ALWAYS, 0}, 0, false, 1000, true},
        {{MONITOR_RESTART_ALWAYS, 0}, 1, true, 0, false},
        {{MONITOR_RESTART_UNLESS_STOPPED, 0}, 0, false, 0, true},
        {{MONITOR_RESTART_UNLESS_STOPPED, 0}, 0, true, 0, false},
        {{MONITOR_RESTART_ON_FAILURE, 0}, 0, false, 0, false},
        {{MONITOR_RESTART_ON_FAILURE, 0}, 137, false, 1000, true},
        {{MONITOR_RESTART_ON_FAILURE, 2}, 1, false, 1, true},
        {{MONITOR_RESTART_ON_FAILURE, 2}, 1, false, 2, false},
        {{MONITOR_RESTART_ON_FAILURE, 2}, 1, true, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(restart_is_wanted(&cases[i].policy, cases[i].exit_code, cases[i].stopped,
                                           cases[i].count),
                         cases[i].wanted);
}

static void test_policy_text(void **unused)
{
    (void)unused;
    struct error err;
    struct monitor_restart policy;
    assert_int_equal(monitor_restart_parse(&policy, "on-failure:5", &err), 0);
    assert_int_equal(policy.kind, MONITOR_RESTART_ON_FAILURE);
    assert_int_equal(policy.maximum_retry_count, 5);
    assert_int_equal(monitor_restart_parse(&policy, "", &err), 0);
    assert_int_equal(policy.kind, MONITOR_RESTART_NO);
    assert_string_equal(monitor_restart_name(MONITOR_RESTART_UNLESS_STOPPED), "unless-stopped");
    static const char *const wrong[] = {"sometimes",     "on-failure:", "on-failure:x",
                                        "on-failure:-1", "always:3",    "on-failure:99999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(monitor_restart_parse(&policy, wrong[i], &err), -1);
        assert_non_null(strstr(err.text, wrong[i]));
    }
}

static bool record(struct health *health, int exit_code, int64_t ran)
{
    struct health_result result = {.exit_code = exit_code, .output = memory_copy_string("said")};
    strcpy(result.start, "S");
    strcpy(result.end, "E");
    return health_record(health, &result, ran);
}

static void test_health_changes_after_retries(void **unused)
{
    (void)unused;
    struct health health = {0};
    health_begin(&health, &(struct monitor_health){.retries = 2});
    assert_int_equal(health.state, HEALTH_STARTING);
    assert_false(record(&health, 1, 0));
    assert_true(record(&health, -1, 0));
    assert_int_equal(health.state, HEALTH_UNHEALTHY);
    assert_false(record(&health, 2, 0));
    assert_int_equal(health.failing_streak, 3);
    assert_true(record(&health, 0, 0));
    assert_int_equal(health.failing_streak, 0);
    assert_false(record(&health, 1, 0));
    assert_int_equal(health.state, HEALTH_HEALTHY);
    /* The last five. */
    assert_false(record(&health, 0, 0));
    json_t *shown = health_describe(&health);
    assert_int_equal(json_array_size(json_object_get(shown, "Log")), 5);
    assert_string_equal(json_string_value(json_object_get(shown, "Status")), "healthy");
    const json_t *last = json_array_get(json_object_get(shown, "Log"), 4);
    assert_int_equal(json_integer_value(json_object_get(last, "ExitCode")), 0);
    assert_string_equal(json_string_value(json_object_get(last, "Output")), "said");
    json_decref(shown);
    health_release(&health);
}

static void test_health_is_patient_in_the_start_period(void **unused)
{
    (void)unused;
    struct health health = {0};
    health_begin(&health, &(struct monitor_health){.start_period = 10000000000,
                                                   .start_interval = 1000000000,
                                                   .interval = 20000000000,
                                                   .retries = 1});
    assert_int_equal(health_delay(&health, 0), 1000);
    assert_int_equal(health_delay(&health, 10000), 20000);
    assert_false(record(&health, 1, 9999));
    assert_int_equal(health.failing_streak, 0);
    /* Once it was well it has started, whatever the clock says. */
    assert_true(record(&health, 0, 3000));
    assert_int_equal(health_delay(&health, 0), 20000);
    assert_true(record(&health, 1, 4000));
    assert_int_equal(health.state, HEALTH_UNHEALTHY);
    health_release(&health);
}

static void test_health_defaults_are_docker_s(void **unused)
{
    (void)unused;
    struct health health = {0};
    health_begin(&health, &(struct monitor_health){0});
    assert_int_equal(health.settings.interval, 30000);
    assert_int_equal(health.settings.timeout, 30000);
    assert_int_equal(health.settings.start_interval, 5000);
    assert_int_equal(health.settings.retries, 3);
    struct health_result result = {.exit_code = 1, .output = memory_copy_string("\xff!")};
    health_record(&health, &result, 0);
    json_t *shown = health_describe(&health);
    assert_non_null(shown);
    json_decref(shown);
    health_release(&health);
}

static void test_detach_keys(void **unused)
{
    (void)unused;
    unsigned char keys[4];
    struct error err;
    assert_int_equal(monitor_parse_keys("ctrl-p,ctrl-q", keys, 4, &err), 2);
    assert_memory_equal(keys, "\x10\x11", 2);
    assert_int_equal(monitor_parse_keys("a,ctrl-[,ctrl-_,ctrl-@", keys, 4, &err), 4);
    assert_memory_equal(keys, "a\x1b\x1f\0", 4);
    assert_int_equal(monitor_parse_keys("", keys, 4, &err), 0);
    static const char *const wrong[] = {",", "a,", "ctrl-", "ctrl-A", "ctrl-1", "ab", "a,b,c,d,e"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(monitor_parse_keys(wrong[i], keys, 4, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays_double_up_to_a_minute),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_policy_text),
        cmocka_unit_test(test_health_changes_after_retries),
        cmocka_unit_test(test_health_is_patient_in_the_start_period),
        cmocka_unit_test(test_health_defaults_are_docker_s),
        cmocka_unit_test(test_detach_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
