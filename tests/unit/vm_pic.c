/* vm/board/pic: against Intel's data sheet of the 8259A, and a PC's wiring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/board/pic.h"

static struct pic pic;

static void write(uint16_t port, uint8_t value)
{
    pic_write(&pic, port, value);
}

/* As kernels do it: vectors 30h and 38h, no automatic end, nothing masked. */
static void set_up(uint8_t icw4)
{
    static const uint16_t ports[] = {PIC_FIRST, PIC_SECOND};
    for (unsigned i = 0; i < 2; i++) {
        write(ports[i], 0x11);
        write(ports[i] + 1, (uint8_t)(0x30 + 8 * i));
        write(ports[i] + 1, i == 0 ? 4 : 2);
        write(ports[i] + 1, icw4);
        write(ports[i] + 1, 0);
    }
}

static int power_on(void **state)
{
    (void)state;
    pic_initialize(&pic);
    set_up(1);
    return 0;
}

static void pulse(unsigned line)
{
    pic_set_line(&pic, line, true);
    pic_set_line(&pic, line, false);
}

static uint8_t in_service(uint16_t port)
{
    write(port, 0x0b);
    return pic_read(&pic, port);
}

static uint8_t requested(uint16_t port)
{
    write(port, 0x0a);
    return pic_read(&pic, port);
}

static void it_begins_masked(void **state)
{
    (void)state;
    pic_initialize(&pic);
    pulse(4);
    assert_false(pic_is_asking(&pic));
    assert_int_equal(pic_read(&pic, PIC_FIRST + 1), 0xff);
}

static void an_edge_is_kept_and_served(void **state)
{
    (void)state;
    pulse(4);
    assert_true(pic_is_asking(&pic));
    assert_int_equal(requested(PIC_FIRST), 0x10);
    assert_int_equal(pic_acknowledge(&pic), 0x34);
    assert_false(pic_is_asking(&pic));
    assert_int_equal(in_service(PIC_FIRST), 0x10);
    assert_int_equal(requested(PIC_FIRST), 0);
    pulse(5); /* less urgent: waits */
    assert_false(pic_is_asking(&pic));
    pulse(1); /* more */
    assert_int_equal(pic_acknowledge(&pic), 0x31);
    write(PIC_FIRST, 0x20); /* ends the most urgent */
    assert_int_equal(in_service(PIC_FIRST), 0x10);
    write(PIC_FIRST, 0x64); /* and this one */
    assert_int_equal(in_service(PIC_FIRST), 0);
    assert_int_equal(pic_acknowledge(&pic), 0x35);
}

static void masks_hold_back(void **state)
{
    (void)state;
    write(PIC_FIRST + 1, 0x10);
    pulse(4);
    assert_false(pic_is_asking(&pic));
    write(PIC_FIRST + 1, 0);
    assert_true(pic_is_asking(&pic)); /* it was kept */
    write(PIC_FIRST, 0x11);           /* setting up forgets it */
    assert_int_equal(pic_read(&pic, PIC_FIRST), 0);
}

static void the_second_comes_through_line_2(void **state)
{
    (void)state;
    pulse(12);
    assert_int_equal(requested(PIC_FIRST), 4);
    assert_int_equal(pic_acknowledge(&pic), 0x3c);
    assert_int_equal(in_service(PIC_FIRST), 4);
    assert_int_equal(in_service(PIC_SECOND), 0x10);
    pulse(8); /* more urgent there, but line 2 is in service */
    assert_false(pic_is_asking(&pic));
    pulse(1);
    assert_int_equal(pic_acknowledge(&pic), 0x31);
    write(PIC_FIRST, 0x20);
    write(PIC_FIRST, 0x20);
    assert_int_equal(pic_acknowledge(&pic), 0x38);
    write(PIC_SECOND, 0x20);
    write(PIC_SECOND, 0x20);
    write(PIC_FIRST, 0x20);
    assert_int_equal(in_service(PIC_FIRST) | in_service(PIC_SECOND), 0);
    assert_false(pic_is_asking(&pic));
    pulse(2); /* nobody else has that line */
    assert_false(pic_is_asking(&pic));
}

static void the_special_nest_lets_the_second_through(void **state)
{
    (void)state;
    set_up(0x11);
    pulse(12);
    assert_int_equal(pic_acknowledge(&pic), 0x3c);
    pulse(8);
    assert_true(pic_is_asking(&pic));
    assert_int_equal(pic_acknowledge(&pic), 0x38);
}

static void levels_last(void **state)
{
    (void)state;
    write(PIC_TRIGGER, 0xff);
    write(PIC_TRIGGER + 1, 0x04);
    assert_int_equal(pic_read(&pic, PIC_TRIGGER), 0xf8); /* not timer, keyboard, cascade */
    assert_int_equal(pic_read(&pic, PIC_TRIGGER + 1), 0x04);
    pic_set_line(&pic, 10, true);
    assert_int_equal(pic_acknowledge(&pic), 0x3a);
    write(PIC_SECOND, 0x20);
    write(PIC_FIRST, 0x20);
    assert_int_equal(pic_acknowledge(&pic), 0x3a);
    write(PIC_SECOND, 0x20);
    write(PIC_FIRST, 0x20);
    pic_set_line(&pic, 10, false);
    assert_false(pic_is_asking(&pic));
}

static void what_goes_before_the_answer_is_spurious(void **state)
{
    (void)state;
    write(PIC_TRIGGER, 0x20);
    pic_set_line(&pic, 5, true);
    pic_set_line(&pic, 5, false);
    assert_int_equal(pic_acknowledge(&pic), 0x37);
    assert_int_equal(in_service(PIC_FIRST), 0);
}

static void it_ends_by_itself(void **state)
{
    (void)state;
    set_up(3);
    pulse(4);
    assert_int_equal(pic_acknowledge(&pic), 0x34);
    assert_int_equal(in_service(PIC_FIRST), 0);
    pulse(9);
    assert_int_equal(pic_acknowledge(&pic), 0x39);
    assert_int_equal(in_service(PIC_FIRST) | in_service(PIC_SECOND), 0);
}

static void priorities_rotate(void **state)
{
    (void)state;
    write(PIC_FIRST, 0xc3); /* 3 is the least urgent: 4 comes first */
    pulse(0);
    pulse(4);
    assert_int_equal(pic_acknowledge(&pic), 0x34);
    write(PIC_FIRST, 0xa0); /* its end makes it the last */
    pulse(4);
    assert_int_equal(pic_acknowledge(&pic), 0x30);
    write(PIC_FIRST, 0xe0); /* also for this one, by its number: 1 is first */
    pulse(0);
    assert_int_equal(pic_acknowledge(&pic), 0x34);
    write(PIC_FIRST, 0x20);
    set_up(3);
    write(PIC_FIRST, 0x80); /* each time it ends by itself */
    pulse(5);
    assert_int_equal(pic_acknowledge(&pic), 0x35);
    pulse(5);
    pulse(7);
    assert_int_equal(pic_acknowledge(&pic), 0x37);
}

static void the_special_mask_lets_less_urgent_ones_in(void **state)
{
    (void)state;
    pulse(1);
    pic_acknowledge(&pic);
    pulse(4);
    assert_false(pic_is_asking(&pic));
    write(PIC_FIRST + 1, 0x02);
    write(PIC_FIRST, 0x68);
    assert_int_equal(pic_acknowledge(&pic), 0x34);
    write(PIC_FIRST, 0x48);
    pulse(5);
    assert_false(pic_is_asking(&pic));
}

static void it_can_be_asked(void **state)
{
    (void)state;
    write(PIC_FIRST, 0x0c);
    assert_int_equal(pic_read(&pic, PIC_FIRST), 0);
    pulse(6);
    write(PIC_FIRST, 0x0c);
    assert_int_equal(pic_read(&pic, PIC_FIRST), 0x86);
    assert_int_equal(in_service(PIC_FIRST), 0x40);
}

static void one_alone_needs_fewer_words(void **state)
{
    (void)state;
    write(PIC_FIRST, 0x12); /* single, no ICW4 */
    write(PIC_FIRST + 1, 0x40);
    write(PIC_FIRST + 1, 0xef); /* the mask already */
    assert_int_equal(pic_read(&pic, PIC_FIRST + 1), 0xef);
    pulse(4);
    assert_int_equal(pic_acknowledge(&pic), 0x44);
}

#define TEST(function) cmocka_unit_test_setup(function, power_on)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_begins_masked),
        TEST(an_edge_is_kept_and_served),
        TEST(masks_hold_back),
        TEST(the_second_comes_through_line_2),
        TEST(the_special_nest_lets_the_second_through),
        TEST(levels_last),
        TEST(what_goes_before_the_answer_is_spurious),
        TEST(it_ends_by_itself),
        TEST(priorities_rotate),
        TEST(the_special_mask_lets_less_urgent_ones_in),
        TEST(it_can_be_asked),
        TEST(one_alone_needs_fewer_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
