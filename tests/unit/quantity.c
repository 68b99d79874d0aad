/* base/quantity: sizes, durations and numbers as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/quantity.h"

struct sample {
    const char *text;
    int64_t value; /* REFUSED: none */
};
#define REFUSED INT64_MIN

static void assert_samples(const struct sample *samples, size_t count,
                           bool (*read)(const char *text, int64_t *out))
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = REFUSED;
        if (read(samples[i].text, &value) != (samples[i].value != REFUSED) ||
            value != samples[i].value)
            fail_msg("'%s' gives %lld", samples[i].text, (long long)value);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct sample samples[] = {{"0", 0},
                                            {"100", 100},
                                            {"100b", 100},
                                            {"1k", 1024},
                                            {"1K", 1024},
                                            {"1kb", 1024},
                                            {"1KiB", 1024},
                                            {"512m", 536870912},
                                            {"1.5g", 1610612736},
                                            {"1 MB", 1048576},
                                            {"2t", 2199023255552},
                                            {".5k", 512},
                                            {"", REFUSED},
                                            {"k", REFUSED},
                                            {"1x", REFUSED},
                                            {"-1", REFUSED},
                                            {"1kk", REFUSED},
                                            {"1.2.3", REFUSED},
                                            {"9999999p", REFUSED},
                                            {"1mi", REFUSED}};
    assert_samples(samples, sizeof samples / sizeof *samples, quantity_read_size);
}

static void durations(void **state)
{
    (void)state;
    static const struct sample samples[] = {{"0", 0},
                                            {"30s", 30000000000},
                                            {"1m30s", 90000000000},
                                            {"1.5h", 5400000000000},
                                            {"100ms", 100000000},
                                            {"5us", 5000},
                                            {"5\xc2\xb5s", 5000},
                                            {"7ns", 7},
                                            {"-2s", -2000000000},
                                            {"+1s", 1000000000},
                                            {"", REFUSED},
                                            {"5", REFUSED},
                                            {"s", REFUSED},
                                            {"1d", REFUSED},
                                            {"1s2", REFUSED},
                                            {"999999999h", REFUSED}};
    assert_samples(samples, sizeof samples / sizeof *samples, quantity_read_duration);
}

static void decimals(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"1", 1000000000},         {"1.5", 1500000000}, {".25", 250000000}, {"0.000000001", 1},
        {"0.0000000001", REFUSED}, {"x", REFUSED},      {"", REFUSED},      {"-1", REFUSED}};
    assert_samples(samples, sizeof samples / sizeof *samples, quantity_read_billionths);
}

static void integers(void **state)
{
    (void)state;
    int64_t value;
    assert_true(quantity_read_integer("-5", -5, 5, &value) && value == -5);
    assert_true(quantity_read_integer("+5", -5, 5, &value) && value == 5);
    assert_false(quantity_read_integer("6", -5, 5, &value));
    assert_false(quantity_read_integer("", -5, 5, &value));
    assert_false(quantity_read_integer("5x", -5, 5, &value));
    assert_false(quantity_read_integer(" 5", -5, 5, &value));
    assert_false(quantity_read_integer("99999999999999999999", 0, INT64_MAX, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(durations),
        cmocka_unit_test(decimals),
        cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
