/* vm/board/pit: against Intel's data sheet of the 8254, and a PC's port 61h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/board/pit.h"

static struct pit pit;
static uint64_t now;

static int power_on(void **state)
{
    (void)state;
    pit_initialize(&pit);
    now = 12345678;
    return 0;
}

static void write(uint16_t port, uint8_t value)
{
    pit_write(&pit, port, value, now);
}

static uint8_t read(uint16_t port)
{
    return pit_read(&pit, port, now);
}

/* Time goes on by so many ticks of 838 ns. */
static void tick(uint64_t ticks)
{
    now += (ticks * 1000000000 + PIT_FREQUENCY - 1) / PIT_FREQUENCY;
}

static void load(unsigned channel, uint8_t command, uint16_t count)
{
    write(0x43, (uint8_t)(channel << 6 | 0x30 | command));
    write((uint16_t)(0x40 + channel), (uint8_t)count);
    write((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t read_count(unsigned channel)
{
    uint8_t low = read((uint16_t)(0x40 + channel));
    return (uint16_t)(low | read((uint16_t)(0x40 + channel)) << 8);
}

static bool has_output(void)
{
    return read(0x61) & 0x20;
}

/* ---- Channel 0 interrupts ---- */

static void it_interrupts_once(void **state)
{
    (void)state;
    assert_true(pit_deadline(&pit) == PIT_NO_DEADLINE);
    load(0, 0 << 1, 1193); /* a millisecond */
    assert_true(pit_deadline(&pit) > now + 999000 && pit_deadline(&pit) < now + 1001000);
    assert_false(pit_expire(&pit, now + 999000));
    tick(1193);
    assert_true(pit_expire(&pit, now));
    assert_false(pit_expire(&pit, now + 100000000));
    assert_true(pit_deadline(&pit) == PIT_NO_DEADLINE);
    load(0, 4 << 1, 1193);
    assert_true(pit_deadline(&pit) < now + 1001000);
}

static void it_interrupts_periodically(void **state)
{
    (void)state;
    load(0, 2 << 1, 11932); /* a hundredth of a second */
    uint64_t start = now;
    for (unsigned i = 1; i <= 100; i++) {
        now = pit_deadline(&pit);
        assert_true(pit_expire(&pit, now));
        assert_false(pit_expire(&pit, now));
    }
    assert_true(now - start > 999990000 && now - start < 1000030000); /* without drift */
    now += 55000000;                                                  /* five missed ones are one */
    assert_true(pit_expire(&pit, now));
    assert_false(pit_expire(&pit, now));
    assert_true(pit_deadline(&pit) <= now + 10001000);
    load(0, 3 << 1, 11932);
    assert_true(pit_deadline(&pit) <= now + 10001000);
    write(0x43, 0x30); /* a new mode stops it until there is a count */
    assert_true(pit_deadline(&pit) == PIT_NO_DEADLINE);
}

static void a_short_period_does_not_keep_the_host_busy(void **state)
{
    (void)state;
    load(0, 2 << 1, 1);
    tick(2);
    assert_true(pit_expire(&pit, now));
    assert_true(pit_deadline(&pit) > now + 10000);
}

static void zero_is_the_longest(void **state)
{
    (void)state;
    load(0, 2 << 1, 0);
    assert_true(pit_deadline(&pit) > now + 54900000 && pit_deadline(&pit) < now + 55000000);
}

/* ---- Counts ---- */

static void counts_go_down(void **state)
{
    (void)state;
    load(1, 2 << 1, 1000);
    assert_int_equal(read_count(1), 1000);
    tick(300);
    assert_int_equal(read_count(1), 700);
    tick(800);
    assert_int_equal(read_count(1), 900); /* round again */
    load(1, 3 << 1, 1000);
    tick(100);
    assert_int_equal(read_count(1), 800); /* by two */
    tick(500);
    assert_int_equal(read_count(1), 800);
    load(1, 0 << 1, 1000);
    tick(1001);
    assert_int_equal(read_count(1), 0xffff); /* goes on */
}

static void decimal_counts(void **state)
{
    (void)state;
    load(1, 2 << 1 | 1, 0x1000);
    tick(1);
    assert_int_equal(read_count(1), 0x999);
    load(1, 2 << 1 | 1, 0);
    tick(2);
    assert_int_equal(read_count(1), 0x9998);
    load(1, 2 << 1 | 1, 0xffff); /* no decimal number: any, but none that breaks it */
    tick(99);
    read_count(1);
}

static void one_byte_counts(void **state)
{
    (void)state;
    write(0x43, 0x54); /* channel 1, low byte, mode 2 */
    write(0x41, 200);
    tick(50);
    assert_int_equal(read(0x41), 150);
    assert_int_equal(read(0x41), 150);
    write(0x43, 0x64); /* high byte */
    write(0x41, 2);
    tick(255);
    assert_int_equal(read(0x41), 1);
}

static void a_latched_count_stays(void **state)
{
    (void)state;
    load(1, 2 << 1, 1000);
    tick(100);
    write(0x43, 0x40);
    tick(100);
    write(0x43, 0x40); /* the first one holds until it is read */
    assert_int_equal(read_count(1), 900);
    assert_int_equal(read_count(1), 800);
}

static void reading_back(void **state)
{
    (void)state;
    load(1, 2 << 1, 1000);
    tick(100);
    write(0x43, 0xc4);                  /* status and count of channel 1 */
    assert_int_equal(read(0x41), 0xb4); /* output high, both bytes, mode 2 */
    tick(100);
    assert_int_equal(read_count(1), 900);
    write(0x43, 0x70);
    write(0x43, 0xe4); /* status alone, before there is a count */
    assert_int_equal(read(0x41), 0x70);
}

/* ---- The speaker's channel, as kernels measure their processor with it ---- */

static void a_gate_and_an_output(void **state)
{
    (void)state;
    write(0x61, (uint8_t)((read(0x61) & ~2) | 1));
    load(2, 0 << 1, 11932);
    assert_false(has_output());
    tick(11931);
    assert_false(has_output());
    tick(1);
    assert_true(has_output());
    assert_int_equal(read(0x61) & 3, 1);
    write(0x61, 3);
    assert_int_equal(read(0x61) & 3, 3);
}

static void the_gate_holds_the_count(void **state)
{
    (void)state;
    write(0x61, 1);
    load(2, 0 << 1, 1000);
    tick(400);
    write(0x61, 0);
    tick(5000);
    assert_false(has_output());
    assert_int_equal(read_count(2), 600);
    write(0x61, 1);
    tick(599);
    assert_false(has_output());
    tick(2);
    assert_true(has_output());
}

static void the_gate_starts_one_shots_and_squares(void **state)
{
    (void)state;
    load(2, 1 << 1, 1000); /* hardware's one-shot: only the gate starts it */
    tick(2000);
    write(0x61, 1);
    assert_false(has_output());
    tick(1000);
    assert_true(has_output());
    write(0x61, 0);
    write(0x61, 1);
    assert_false(has_output());

    load(2, 3 << 1, 1000);
    tick(250);
    assert_true(has_output());
    tick(500);
    assert_false(has_output());
    write(0x61, 0);
    assert_true(has_output());
}

static void memory_is_refreshed(void **state)
{
    (void)state;
    bool before = read(0x61) & 0x10;
    now += 15085;
    assert_true((read(0x61) & 0x10) != (before ? 0x10 : 0));
}

#define TEST(function) cmocka_unit_test_setup(function, power_on)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_interrupts_once),
        TEST(it_interrupts_periodically),
        TEST(a_short_period_does_not_keep_the_host_busy),
        TEST(zero_is_the_longest),
        TEST(counts_go_down),
        TEST(decimal_counts),
        TEST(one_byte_counts),
        TEST(a_latched_count_stays),
        TEST(reading_back),
        TEST(a_gate_and_an_output),
        TEST(the_gate_holds_the_count),
        TEST(the_gate_starts_one_shots_and_squares),
        TEST(memory_is_refreshed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
