/* vm/board/local_apic: against the Intel SDM, volume 3A, chapter 11. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/board/layout.h"
#include "vm/board/local_apic.h"

#define ID 0x20
#define TASK_PRIORITY 0x80
#define PRIORITY 0xa0
#define END 0xb0
#define LOGICAL_ID 0xd0
#define FORMAT 0xe0
#define SPURIOUS 0xf0
#define IN_SERVICE 0x100
#define LEVEL_TRIGGERED 0x180
#define REQUESTED 0x200
#define ERROR 0x280
#define COMMAND 0x300
#define COMMAND_HIGH 0x310
#define TIMER 0x320
#define LINT0 0x350
#define LINT1 0x360
#define LVT_ERROR_OFFSET 0x370
#define INITIAL 0x380
#define COUNT 0x390
#define DIVIDE 0x3e0

#define MSR_BASE 0x1b
#define MSR_DEADLINE 0x6e0
#define MSR(offset) (0x800 + (offset) / 16)
#define TSC_FREQUENCY 2000000000ull

static uint64_t time_now, tsc_now;
static struct interrupt_message sent;
static unsigned sent_count, ended_count, raised_count;
static uint8_t ended;
static enum interrupt_delivery raised;

static void send(struct local_apic *apic, const struct interrupt_message *message)
{
    (void)apic;
    sent = *message;
    sent_count++;
}

static void end_level(struct local_apic *apic, uint8_t vector)
{
    (void)apic;
    ended = vector;
    ended_count++;
}

static void raise_event(struct local_apic *apic, enum interrupt_delivery delivery)
{
    (void)apic;
    raised = delivery;
    raised_count++;
}

static uint64_t now(const struct local_apic *apic)
{
    (void)apic;
    return time_now;
}

static uint64_t read_tsc(const struct local_apic *apic)
{
    (void)apic;
    return tsc_now;
}

static const struct local_apic_operations operations = {send, end_level, raise_event, now,
                                                        read_tsc};
static struct local_apic apic;

static void write(uint32_t offset, uint32_t value)
{
    local_apic_write(&apic, offset, 4, value);
}

static uint32_t read(uint32_t offset)
{
    return (uint32_t)local_apic_read(&apic, offset, 4);
}

/* The second processor's, open for interrupts. */
static int open_apic(void **state)
{
    (void)state;
    time_now = tsc_now = 1000000;
    sent_count = ended_count = raised_count = 0;
    apic = (struct local_apic){.operations = &operations, .id = 1, .tsc_frequency = TSC_FREQUENCY};
    local_apic_initialize(&apic);
    write(SPURIOUS, 0x1ff);
    return 0;
}

static void enable_x2(void)
{
    assert_true(local_apic_write_msr(&apic, MSR_BASE, apic.base | APIC_BASE_X2));
}

/* ---- Registers ---- */

static void it_begins_closed_and_masked(void **state)
{
    (void)state;
    apic = (struct local_apic){.operations = &operations, .id = 3};
    local_apic_initialize(&apic);
    assert_int_equal(read(ID), 3u << 24);
    assert_int_equal(read(SPURIOUS), 0xff);
    assert_int_equal(read(FORMAT), 0xffffffff);
    for (uint32_t entry = TIMER; entry <= LVT_ERROR_OFFSET; entry += 16)
        assert_int_equal(read(entry), 0x10000);
    assert_false(local_apic_accept(&apic, 0x40, false));
    assert_false(local_apic_passes_external(&apic));
    write(TIMER, 0x40); /* 11.4.7.2: while it is closed, the mask can't be taken away */
    assert_int_equal(read(TIMER), 0x10040);
    uint64_t base;
    assert_true(local_apic_read_msr(&apic, MSR_BASE, &base));
    assert_true(base == (LAYOUT_LOCAL_APIC | 0x800));
}

static void the_first_is_wired_to_the_pic(void **state)
{
    (void)state;
    apic = (struct local_apic){.operations = &operations, .id = 0};
    local_apic_initialize(&apic);
    assert_true(apic.base & APIC_BASE_BOOT);
    assert_true(local_apic_passes_external(&apic));
    local_apic_reset(&apic);
    assert_false(local_apic_passes_external(&apic));
}

static void accesses_of_odd_sizes_and_places(void **state)
{
    (void)state;
    write(LOGICAL_ID, 0x12ffffff);
    assert_int_equal(read(LOGICAL_ID), 0x12000000);
    assert_int_equal(local_apic_read(&apic, LOGICAL_ID + 3, 1), 0x12);
    assert_int_equal(local_apic_read(&apic, LOGICAL_ID + 4, 4), 0);
    local_apic_write(&apic, LOGICAL_ID, 1, 0);
    local_apic_write(&apic, LOGICAL_ID + 4, 4, 0);
    assert_int_equal(read(LOGICAL_ID), 0x12000000);
}

static void an_unknown_register_is_an_error(void **state)
{
    (void)state;
    write(LVT_ERROR_OFFSET, 0x31);
    assert_int_equal(read(0x40), 0);
    assert_int_equal(read(ERROR), 0); /* a write comes before it shows */
    write(ERROR, 0);
    assert_int_equal(read(ERROR), 0x80);
    write(ERROR, 0);
    assert_int_equal(read(ERROR), 0);
    assert_int_equal(local_apic_pending(&apic), 0x31);
}

/* ---- Priorities and service: 11.8 ---- */

static void the_highest_comes_first_and_ends_first(void **state)
{
    (void)state;
    assert_true(local_apic_accept(&apic, 0x31, false));
    assert_true(local_apic_accept(&apic, 0x62, false));
    assert_int_equal(read(REQUESTED + 0x10), 1u << 0x11);
    assert_int_equal(local_apic_acknowledge(&apic), 0x62);
    assert_int_equal(read(IN_SERVICE + 0x30), 4);
    assert_int_equal(read(REQUESTED + 0x30), 0);
    assert_int_equal(read(PRIORITY), 0x60);
    assert_int_equal(local_apic_pending(&apic), -1);
    local_apic_accept(&apic, 0x6f, false); /* of the same class: waits */
    assert_int_equal(local_apic_acknowledge(&apic), -1);
    local_apic_accept(&apic, 0x70, false);
    assert_int_equal(local_apic_acknowledge(&apic), 0x70);
    write(END, 0);
    assert_int_equal(read(PRIORITY), 0x60);
    write(END, 0);
    assert_int_equal(local_apic_acknowledge(&apic), 0x6f);
    write(END, 0);
    assert_int_equal(local_apic_acknowledge(&apic), 0x31);
    write(END, 0);
    write(END, 0); /* of nothing */
    assert_int_equal(ended_count, 0);
}

static void the_task_priority_holds_back(void **state)
{
    (void)state;
    local_apic_accept(&apic, 0x41, false);
    write(TASK_PRIORITY, 0x42);
    assert_int_equal(local_apic_pending(&apic), -1);
    assert_int_equal(read(PRIORITY), 0x42);
    write(TASK_PRIORITY, 0x3f);
    assert_int_equal(local_apic_pending(&apic), 0x41);
}

static void the_end_of_a_level_is_told(void **state)
{
    (void)state;
    local_apic_accept(&apic, 0x51, true);
    assert_int_equal(read(LEVEL_TRIGGERED + 0x20), 1u << 0x11);
    local_apic_acknowledge(&apic);
    write(END, 0);
    assert_int_equal(ended_count, 1);
    assert_int_equal(ended, 0x51);
    local_apic_accept(&apic, 0x51, false);
    assert_int_equal(read(LEVEL_TRIGGERED + 0x20), 0);
    local_apic_acknowledge(&apic);
    write(END, 0);
    assert_int_equal(ended_count, 1);
}

static void vectors_below_16_are_errors(void **state)
{
    (void)state;
    assert_false(local_apic_accept(&apic, 15, false));
    write(ERROR, 0);
    assert_int_equal(read(ERROR), 0x40);
    write(COMMAND, 15);
    assert_int_equal(sent_count, 0);
    write(ERROR, 0);
    assert_int_equal(read(ERROR), 0x20);
    write(LVT_ERROR_OFFSET, 3); /* an error whose interrupt is one too */
    read(0x40);
    write(ERROR, 0);
    assert_int_equal(read(ERROR), 0xc0);
}

/* ---- Destinations ---- */

static bool is_addressed(uint32_t destination, bool is_logical, bool is_wide)
{
    const struct interrupt_message message = {
        .destination = destination, .is_logical = is_logical, .is_wide = is_wide};
    return local_apic_is_addressed(&apic, &message);
}

static void destinations_of_an_xapic(void **state)
{
    (void)state;
    assert_true(is_addressed(1, false, false));
    assert_false(is_addressed(2, false, false));
    assert_true(is_addressed(0xff, false, false));
    write(LOGICAL_ID, 0x42000000); /* the flat model: a bit each */
    assert_true(is_addressed(0x02, true, false));
    assert_true(is_addressed(0xc0, true, false));
    assert_false(is_addressed(0x81, true, false));
    write(FORMAT, 0x0fffffff); /* cluster 4, its second processor */
    assert_true(is_addressed(0x42, true, false));
    assert_true(is_addressed(0x4f, true, false));
    assert_false(is_addressed(0x02, true, false));
    assert_false(is_addressed(0x41, true, false));
    assert_true(is_addressed(0xff, true, false));
    assert_true(local_apic_write_msr(&apic, MSR_BASE, LAYOUT_LOCAL_APIC));
    assert_false(is_addressed(0xff, false, false));
}

static void an_xapic_can_have_another_id(void **state)
{
    (void)state;
    write(ID, 0x55ffffff);
    assert_int_equal(read(ID), 0x55000000);
    assert_true(is_addressed(0x55, false, false));
    assert_false(is_addressed(1, false, false));
    local_apic_reset(&apic);
    assert_int_equal(read(ID), 0x55000000);
    uint64_t value;
    enable_x2(); /* whose id is the processor's own */
    assert_true(local_apic_read_msr(&apic, MSR(ID), &value) && value == 1);
    assert_true(is_addressed(1, false, true));
    assert_true(local_apic_write_msr(&apic, MSR_BASE, LAYOUT_LOCAL_APIC));
    assert_true(local_apic_write_msr(&apic, MSR_BASE, LAYOUT_LOCAL_APIC | 0x800));
    assert_int_equal(read(ID), 1u << 24);
}

static void destinations_of_an_x2apic(void **state)
{
    (void)state;
    uint64_t value;
    apic.id = 0x12;
    enable_x2();
    assert_true(local_apic_read_msr(&apic, MSR(LOGICAL_ID), &value));
    assert_true(value == (1u << 16 | 1u << 2)); /* 11.12.10.2 */
    assert_true(local_apic_read_msr(&apic, MSR(ID), &value) && value == 0x12);
    assert_true(is_addressed(0x12, false, true));
    assert_false(is_addressed(0xff, false, true));
    assert_true(is_addressed(0xff, false, false));
    assert_true(is_addressed(UINT32_MAX, false, true));
    assert_true(is_addressed(1 << 16 | 0xffff, true, true));
    assert_false(is_addressed(0xffff, true, true));
}

static void commands_become_messages(void **state)
{
    (void)state;
    write(COMMAND_HIGH, 0x03000000);
    assert_int_equal(sent_count, 0);
    write(COMMAND, 0x4841);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent.destination, 3);
    assert_true(sent.is_logical);
    assert_false(sent.is_wide);
    assert_int_equal(sent.vector, 0x41);
    assert_int_equal(sent.delivery, DELIVERY_FIXED);
    assert_int_equal(read(COMMAND), 0x4841);
    assert_int_equal(read(COMMAND_HIGH), 0x03000000);
    write(COMMAND, 0xc0041);
    assert_int_equal(sent.shorthand, TO_OTHERS);
    write(COMMAND, 0x4610);
    assert_int_equal(sent.delivery, DELIVERY_STARTUP);
    assert_int_equal(sent.vector, 0x10);
    write(COMMAND, 0xc500);
    assert_int_equal(sent.delivery, DELIVERY_INIT);
    assert_int_equal(sent_count, 4);
    write(COMMAND, 0x8500); /* "INIT level de-assert" */
    assert_int_equal(sent_count, 4);
}

/* ---- x2APIC ---- */

static void modes_change_only_in_order(void **state)
{
    (void)state;
    const uint64_t off = LAYOUT_LOCAL_APIC, on = off | 0x800, x2 = off | 0xc00;
    assert_false(local_apic_write_msr(&apic, MSR_BASE, off | 0x400));
    assert_false(local_apic_write_msr(&apic, MSR_BASE, on | 1));
    assert_true(local_apic_write_msr(&apic, MSR_BASE, x2));
    assert_false(local_apic_write_msr(&apic, MSR_BASE, on));
    local_apic_accept(&apic, 0x41, false);
    assert_true(local_apic_write_msr(&apic, MSR_BASE, off));
    assert_int_equal(local_apic_pending(&apic), -1);
    assert_false(local_apic_write_msr(&apic, MSR_BASE, x2));
    assert_true(local_apic_write_msr(&apic, MSR_BASE, on));
    assert_int_equal(read(SPURIOUS), 0xff);
    assert_int_equal(read(REQUESTED + 0x20), 0);
}

static void x2_registers_are_strict(void **state)
{
    (void)state;
    uint64_t value;
    assert_false(local_apic_read_msr(&apic, MSR(TASK_PRIORITY), &value)); /* not in that mode */
    enable_x2();
    assert_true(local_apic_write_msr(&apic, MSR(TASK_PRIORITY), 0x20));
    assert_true(local_apic_read_msr(&apic, MSR(PRIORITY), &value) && value == 0x20);
    assert_false(local_apic_write_msr(&apic, MSR(TASK_PRIORITY), 0x100));
    assert_false(local_apic_write_msr(&apic, MSR(END), 1));
    assert_false(local_apic_read_msr(&apic, MSR(END), &value));
    assert_false(local_apic_write_msr(&apic, MSR(ID), 0));
    assert_false(local_apic_write_msr(&apic, MSR(LOGICAL_ID), 0));
    assert_false(local_apic_read_msr(&apic, MSR(FORMAT), &value));
    assert_false(local_apic_read_msr(&apic, MSR(COMMAND_HIGH), &value));
    assert_false(local_apic_write_msr(&apic, MSR(TIMER), 0x100000));
    assert_false(local_apic_write_msr(&apic, MSR(INITIAL), 1ull << 32));
    assert_false(local_apic_read_msr(&apic, 0x8ff, &value));
    assert_true(local_apic_write_msr(&apic, MSR(COMMAND), 0x1234500000041ull));
    assert_true(sent.is_wide);
    assert_int_equal(sent.destination, 0x12345);
    assert_true(local_apic_read_msr(&apic, MSR(COMMAND), &value));
    assert_true(value == 0x1234500000041ull);
    assert_true(local_apic_write_msr(&apic, 0x83f, 0x51)); /* to itself */
    assert_int_equal(local_apic_acknowledge(&apic), 0x51);
    assert_true(local_apic_write_msr(&apic, MSR(END), 0));
    assert_int_equal(read(PRIORITY), 0x20);
}

/* ---- Local interrupts ---- */

static void lines_interrupt_by_edge_and_level(void **state)
{
    (void)state;
    write(LINT0, 0x51);
    local_apic_set_line(&apic, 0, true);
    assert_int_equal(local_apic_acknowledge(&apic), 0x51);
    write(END, 0);
    local_apic_set_line(&apic, 0, true); /* no edge */
    assert_int_equal(local_apic_pending(&apic), -1);
    local_apic_set_line(&apic, 0, false);

    write(LINT0, 0x8052);
    local_apic_set_line(&apic, 0, true);
    assert_int_equal(read(LINT0), 0xc052);
    assert_int_equal(local_apic_acknowledge(&apic), 0x52);
    assert_int_equal(local_apic_pending(&apic), -1);
    write(END, 0);
    assert_int_equal(local_apic_acknowledge(&apic), 0x52); /* it is still there */
    local_apic_set_line(&apic, 0, false);
    write(END, 0);
    assert_int_equal(read(LINT0), 0x8052);
    assert_int_equal(local_apic_pending(&apic), -1);

    write(LINT1, 0x400);
    local_apic_set_line(&apic, 1, true);
    assert_int_equal(raised_count, 1);
    assert_int_equal(raised, DELIVERY_NMI);
    write(LINT0, 0x10700);
    assert_false(local_apic_passes_external(&apic));
    write(LINT0, 0x700);
    assert_true(local_apic_passes_external(&apic));
    write(SPURIOUS, 0xff); /* closing it masks */
    assert_false(local_apic_passes_external(&apic));
}

/* ---- The timer: 11.5.4. A count is a nanosecond, divided by 2 unless DIVIDE says otherwise ----
 */

static void expire(void)
{
    local_apic_run_timer(&apic);
}

static void it_counts_down_once(void **state)
{
    (void)state;
    write(TIMER, 0x41);
    write(INITIAL, 1000);
    assert_true(local_apic_deadline(&apic) == time_now + 2000);
    time_now += 500;
    assert_int_equal(read(COUNT), 750);
    expire();
    assert_int_equal(local_apic_pending(&apic), -1);
    time_now += 1500;
    expire();
    assert_int_equal(local_apic_acknowledge(&apic), 0x41);
    assert_int_equal(read(COUNT), 0);
    assert_int_equal(read(INITIAL), 1000);
    assert_true(local_apic_deadline(&apic) == APIC_NO_DEADLINE);
    write(END, 0);
    time_now += 5000;
    expire();
    assert_int_equal(local_apic_pending(&apic), -1);
    write(TIMER, 0x20041); /* nor by becoming periodic does it go on */
    assert_int_equal(read(COUNT), 0);
    write(TIMER, 0x41);
    write(INITIAL, 1000);
    write(INITIAL, 0); /* stops it */
    assert_true(local_apic_deadline(&apic) == APIC_NO_DEADLINE);
}

static void it_counts_again_and_again(void **state)
{
    (void)state;
    write(DIVIDE, 0xb); /* by 1 */
    write(TIMER, 0x20041);
    uint64_t start = time_now;
    write(INITIAL, 100000);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(local_apic_deadline(&apic) == start + i * 100000);
        time_now = start + i * 100000 + 70;
        assert_int_equal(read(COUNT), 100000 - 70);
        expire();
        assert_int_equal(local_apic_acknowledge(&apic), 0x41);
        write(END, 0);
    }
    time_now += 1000000; /* what was missed is one interrupt, and the phase stays */
    expire();
    assert_int_equal(local_apic_acknowledge(&apic), 0x41);
    assert_true(local_apic_deadline(&apic) == start + 14 * 100000);
}

static void a_short_period_does_not_keep_the_host_busy(void **state)
{
    (void)state;
    write(DIVIDE, 0xb);
    write(TIMER, 0x20041);
    write(INITIAL, 1);
    time_now += 10;
    expire();
    assert_int_equal(local_apic_pending(&apic), 0x41);
    assert_true(local_apic_deadline(&apic) >= time_now + 10000);
}

static void it_is_divided(void **state)
{
    static const struct {
        uint32_t divide, by;
    } known[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
    (void)state;
    write(TIMER, 0x41);
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        write(DIVIDE, known[i].divide);
        write(INITIAL, 100);
        assert_true(local_apic_deadline(&apic) == time_now + 100ull * known[i].by);
    }
    write(DIVIDE, 0);
    write(INITIAL, 100);
    time_now += 100;
    write(DIVIDE, 1); /* in the middle: 50 are left */
    assert_int_equal(read(COUNT), 50);
    assert_true(local_apic_deadline(&apic) == time_now + 50 * 4);
}

static void what_is_masked_is_lost(void **state)
{
    (void)state;
    write(TIMER, 0x10041);
    write(INITIAL, 1000);
    assert_true(local_apic_deadline(&apic) == APIC_NO_DEADLINE);
    time_now += 3000;
    write(TIMER, 0x41);
    expire();
    assert_int_equal(local_apic_pending(&apic), -1);
}

static void a_deadline_of_the_tsc(void **state)
{
    uint64_t value;
    (void)state;
    assert_true(local_apic_write_msr(&apic, MSR_DEADLINE, tsc_now + 1)); /* not in that mode */
    assert_true(local_apic_read_msr(&apic, MSR_DEADLINE, &value) && value == 0);
    write(TIMER, 0x40041);
    write(INITIAL, 5);
    assert_int_equal(read(INITIAL), 0);
    local_apic_write_msr(&apic, MSR_DEADLINE, tsc_now + 4000);
    assert_true(local_apic_deadline(&apic) == time_now + 2001);
    time_now += 2001;
    tsc_now += 3998; /* clocks differ: it isn't time yet */
    expire();
    assert_int_equal(local_apic_pending(&apic), -1);
    assert_true(local_apic_deadline(&apic) == time_now + 2);
    time_now += 2;
    tsc_now += 2;
    expire();
    assert_int_equal(local_apic_acknowledge(&apic), 0x41);
    assert_true(local_apic_read_msr(&apic, MSR_DEADLINE, &value) && value == 0);
    write(END, 0);
    local_apic_write_msr(&apic, MSR_DEADLINE, tsc_now); /* past: at once */
    assert_int_equal(local_apic_pending(&apic), 0x41);
    local_apic_write_msr(&apic, MSR_DEADLINE, UINT64_MAX);
    assert_true(local_apic_deadline(&apic) < time_now + 4000ull * 1000000000);
    write(TIMER, 0x41); /* another mode forgets it */
    assert_true(local_apic_deadline(&apic) == APIC_NO_DEADLINE);
}

/* ---- MSI: 11.11 ---- */

static void messages_are_decoded(void **state)
{
    struct interrupt_message message;
    (void)state;
    assert_true(interrupt_message_decode(&message, 0xfee12000, 0x4061));
    assert_int_equal(message.destination, 0x12);
    assert_false(message.is_logical);
    assert_int_equal(message.vector, 0x61);
    assert_int_equal(message.delivery, DELIVERY_FIXED);
    assert_false(message.is_level);
    assert_true(interrupt_message_decode(&message, 0xfee0300c, 0xc061));
    assert_true(message.is_logical && message.is_level);
    assert_int_equal(message.delivery, DELIVERY_LOWEST);
    assert_false(interrupt_message_decode(&message, 0xfed00000, 0x61));
    assert_false(interrupt_message_decode(&message, 0x1fee00000, 0x61));
}

#define TEST(function) cmocka_unit_test_setup(function, open_apic)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_begins_closed_and_masked),
        TEST(the_first_is_wired_to_the_pic),
        TEST(accesses_of_odd_sizes_and_places),
        TEST(an_unknown_register_is_an_error),
        TEST(the_highest_comes_first_and_ends_first),
        TEST(the_task_priority_holds_back),
        TEST(the_end_of_a_level_is_told),
        TEST(vectors_below_16_are_errors),
        TEST(destinations_of_an_xapic),
        TEST(an_xapic_can_have_another_id),
        TEST(destinations_of_an_x2apic),
        TEST(commands_become_messages),
        TEST(modes_change_only_in_order),
        TEST(x2_registers_are_strict),
        TEST(lines_interrupt_by_edge_and_level),
        TEST(it_counts_down_once),
        TEST(it_counts_again_and_again),
        TEST(a_short_period_does_not_keep_the_host_busy),
        TEST(it_is_divided),
        TEST(what_is_masked_is_lost),
        TEST(a_deadline_of_the_tsc),
        TEST(messages_are_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
