/* Points in time as people and files write them. */
#include "base/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define SECOND TIMESTAMP_SECOND

static void reads_rfc3339(void **state)
{
    static const struct {
        const char *text;
        int64_t time;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01.5Z", SECOND + SECOND / 2},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T23:30:00-00:30", 0},
        {"2026-11-21T12:40:00.123456789Z", 1795264800 * SECOND + 123456789},
        {"2024-02-29t23:59:60z", 1709251200 * SECOND},
        {"0001-01-01T00:00:00Z", INT64_MIN},
        {"9999-01-01T00:00:00Z", INT64_MAX},
    };
    static const char *const wrong[] = {
        "",
        "now",
        "2026-11-21",
        "2026-11-21T12:40:00",
        "2026-11-21T12:40Z",
        "2026-13-21T12:40:00Z",
        "2026-11-21T24:40:00Z",
        "2026-11-21T12:40:00.Z",
        "2026-11-21T12:40:00.1234567890Z",
        "2026-11-21T12:40:00+1:00",
        "2026-11-21T12:40:00Z ",
        "2026-11-21 12:40:00Z",
    };
    int64_t time;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(timestamp_read(cases[i].text, &time));
        assert_int_equal(time, cases[i].time);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(timestamp_read(wrong[i], &time));
}

static void reads_what_people_type(void **state)
{
    const int64_t now = 1795264800 * SECOND;
    static const struct {
        const char *text;
        int64_t time;
    } cases[] = {
        {"10m", 1795264200 * SECOND},
        {"1h30m", 1795259400 * SECOND},
        {"0s", 1795264800 * SECOND},
        {"1700000000", 1700000000 * SECOND},
        {"1700000000.25", 1700000000 * SECOND + SECOND / 4},
        {"2026-11-21", 1795219200 * SECOND - 3600 * SECOND},
        {"2026-11-21T12", (1795219200 + 11 * 3600) * SECOND},
        {"2026-11-21T12:40", (1795219200 + 11 * 3600 + 2400) * SECOND},
        {"2026-11-21T12:40:07.5", (1795219200 + 11 * 3600 + 2407) * SECOND + SECOND / 2},
        {"2026-11-21T12:40Z", 1795264800 * SECOND},
    };
    static const char *const wrong[] = {"", "x", "-5", "99999999999999", "5 m", "2026-11", "1.x"};
    int64_t time;
    struct error err;
    (void)state;
    setenv("TZ", "UTC-1", 1); /* an hour east of Greenwich */
    tzset();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(timestamp_read_argument(cases[i].text, now, &time, &err), 0);
        assert_int_equal(time, cases[i].time);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(timestamp_read_argument(wrong[i], now, &time, &err), -1);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    setenv("TZ", "UTC+2:30", 1); /* west */
    tzset();
    int64_t time = 1795264800 * SECOND + 42;
    assert_string_equal(timestamp_format(time, false).text, "2026-11-21T12:40:00.000000042Z");
    assert_string_equal(timestamp_format(time, true).text, "2026-11-21T10:10:00.000000042-02:30");
    assert_string_equal(timestamp_format(-1, false).text, "1969-12-31T23:59:59.999999999Z");
    int64_t again;
    assert_true(timestamp_read(timestamp_format(time, true).text, &again));
    assert_int_equal(again, time);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rfc3339),
        cmocka_unit_test(reads_what_people_type),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
