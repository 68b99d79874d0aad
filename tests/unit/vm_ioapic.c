/* vm/board/ioapic: against Intel's data sheet of the 82093AA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/board/ioapic.h"

#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE 0x4000u

static struct interrupt_message sent;
static unsigned sent_count;
static bool is_taken;

static bool send(struct ioapic *ioapic, const struct interrupt_message *message)
{
    (void)ioapic;
    sent = *message;
    sent_count++;
    return is_taken;
}

static const struct ioapic_operations operations = {send};
static struct ioapic ioapic;

static int power_on(void **state)
{
    (void)state;
    ioapic = (struct ioapic){.operations = &operations};
    ioapic_initialize(&ioapic);
    sent_count = 0;
    is_taken = true;
    return 0;
}

static uint32_t read(uint32_t index)
{
    ioapic_write(&ioapic, 0, index);
    return ioapic_read(&ioapic, 0x10);
}

static void write(uint32_t index, uint32_t value)
{
    ioapic_write(&ioapic, 0, index);
    ioapic_write(&ioapic, 0x10, value);
}

static void write_entry(unsigned line, uint32_t high, uint32_t low)
{
    write(0x11 + 2 * line, high);
    write(0x10 + 2 * line, low);
}

static void registers(void **state)
{
    (void)state;
    assert_int_equal(read(1), 0x170020); /* 24 lines */
    for (unsigned line = 0; line < 24; line++)
        assert_int_equal(read(0x10 + 2 * line), MASKED);
    write(0, 0xff000000);
    assert_int_equal(read(0), 0x0f000000);
    assert_int_equal(read(2), 0x0f000000);
    write(0x10, 0xffffffff);
    assert_int_equal(read(0x10), 0x1afff); /* not what is read-only */
    write(0x11, 0xffffffff);
    assert_int_equal(read(0x11), 0xff000000);
    assert_int_equal(read(0x40), 0); /* behind the last line */
    write(0x40, 1);
    assert_int_equal(read(0x0f), 0);
    assert_int_equal(ioapic_read(&ioapic, 0x20), 0);
    assert_int_equal(ioapic_read(&ioapic, 0), 0x0f);
}

static void an_edge_is_one_message(void **state)
{
    (void)state;
    write_entry(4, 0x02000000, 0x31);
    ioapic_set_line(&ioapic, 4, true);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent.vector, 0x31);
    assert_int_equal(sent.destination, 2);
    assert_false(sent.is_logical || sent.is_level || sent.is_wide);
    ioapic_set_line(&ioapic, 4, true);
    assert_int_equal(sent_count, 1);
    ioapic_set_line(&ioapic, 4, false);
    ioapic_set_line(&ioapic, 4, true); /* nobody has to end the one before */
    assert_int_equal(sent_count, 2);
    ioapic_set_line(&ioapic, 24, true); /* isn't there */
    assert_int_equal(sent_count, 2);
}

static void an_edge_at_a_masked_line_is_lost(void **state)
{
    (void)state;
    write_entry(4, 0, 0x31 | MASKED);
    ioapic_set_line(&ioapic, 4, true);
    write(0x18, 0x31);
    assert_int_equal(sent_count, 0);
}

static void a_level_waits_for_its_end(void **state)
{
    (void)state;
    write_entry(10, 0x03000000, 0x51 | LEVEL | 0x900); /* lowest priority, logical */
    ioapic_set_line(&ioapic, 10, true);
    assert_int_equal(sent_count, 1);
    assert_true(sent.is_level && sent.is_logical);
    assert_int_equal(sent.delivery, DELIVERY_LOWEST);
    assert_int_equal(read(0x24), 0x51 | LEVEL | 0x900 | REMOTE);
    ioapic_set_line(&ioapic, 10, false);
    ioapic_set_line(&ioapic, 10, true);
    assert_int_equal(sent_count, 1);
    ioapic_end_interrupt(&ioapic, 0x52); /* another's */
    assert_int_equal(sent_count, 1);
    ioapic_end_interrupt(&ioapic, 0x51); /* it lasts */
    assert_int_equal(sent_count, 2);
    ioapic_set_line(&ioapic, 10, false);
    ioapic_write(&ioapic, 0x40, 0x51); /* the register that does the same */
    assert_int_equal(read(0x24), 0x51 | LEVEL | 0x900);
    assert_int_equal(sent_count, 2);
}

static void a_level_waits_for_the_mask(void **state)
{
    (void)state;
    write_entry(10, 0, 0x51 | LEVEL | MASKED);
    ioapic_set_line(&ioapic, 10, true);
    assert_int_equal(sent_count, 0);
    write(0x24, 0x51 | LEVEL);
    assert_int_equal(sent_count, 1);
}

static void a_level_that_nobody_took_is_not_out(void **state)
{
    (void)state;
    is_taken = false;
    write_entry(10, 0, 0x51 | LEVEL);
    ioapic_set_line(&ioapic, 10, true);
    assert_int_equal(sent_count, 1);
    assert_int_equal(read(0x24), 0x51 | LEVEL);
}

static void an_edge_for_a_moment_ends_a_level(void **state)
{
    (void)state;
    write_entry(10, 0, 0x51 | LEVEL);
    ioapic_set_line(&ioapic, 10, true);
    ioapic_set_line(&ioapic, 10, false);
    assert_int_equal(read(0x24), 0x51 | LEVEL | REMOTE);
    write(0x24, 0x51 | MASKED);
    write(0x24, 0x51 | LEVEL);
    assert_int_equal(read(0x24), 0x51 | LEVEL);
}

#define TEST(function) cmocka_unit_test_setup(function, power_on)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers),
        TEST(an_edge_is_one_message),
        TEST(an_edge_at_a_masked_line_is_lost),
        TEST(a_level_waits_for_its_end),
        TEST(a_level_waits_for_the_mask),
        TEST(a_level_that_nobody_took_is_not_out),
        TEST(an_edge_for_a_moment_ends_a_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
