/* vm/board and the devices of every board: the bus, ACPI tables, serial port, keyboard controller,
 * clock, power, and PCI's configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/board/acpi.h"
#include "vm/board/bus.h"
#include "vm/board/layout.h"
#include "vm/device/pci.h"
#include "vm/device/power.h"
#include "vm/device/rtc.h"
#include "vm/device/serial.h"

/* Lines as a board with nothing behind them. */
struct lines {
    struct interrupts interrupts;
    unsigned raised[LAYOUT_IRQ_LINES];
    bool level[LAYOUT_IRQ_LINES];
};

static void set_line(struct interrupts *interrupts, unsigned line, bool level)
{
    struct lines *lines = (struct lines *)interrupts;
    lines->raised[line] += level && !lines->level[line];
    lines->level[line] = level;
}

static void send_message(struct interrupts *interrupts, uint64_t address, uint32_t data)
{
    (void)interrupts, (void)address, (void)data;
}

static const struct interrupts_operations lines_operations = {set_line, send_message};
static struct lines lines;
static struct loop loop;

static int open_board(void **state)
{
    (void)state;
    lines = (struct lines){.interrupts = {&lines_operations}};
    assert_int_equal(loop_open(&loop, NULL), 0);
    return 0;
}

static int close_board(void **state)
{
    (void)state;
    loop_close(&loop);
    return 0;
}

static void turn(int milliseconds)
{
    struct epoll_event event;
    while (epoll_wait(loop.epoll, &event, 1, milliseconds) == 1) {
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
}

/* ---- The bus ---- */

static uint64_t last_offset, last_value;

static uint64_t read_offset(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)size;
    return offset;
}

static void note_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device, (void)size;
    last_offset = offset;
    last_value = value;
}

static const struct bus_operations noting = {read_offset, note_write};

static void accesses_find_their_device(void **state)
{
    struct bus bus = {0};
    int one, two;
    (void)state;
    assert_int_equal(bus_add(&bus, 0x100, 16, &noting, &one, NULL), 0);
    assert_int_equal(bus_add(&bus, 0x200, 16, &noting, &two, NULL), 0);
    assert_int_equal(bus_read(&bus, 0x104, 4), 4);
    assert_int_equal(bus_read(&bus, 0x20f, 1), 15);
    bus_write(&bus, 0x208, 2, 0x1234);
    assert_int_equal(last_offset, 8);
    assert_int_equal(last_value, 0x1234);
    /* Where nobody is, and half outside: all ones. */
    assert_int_equal(bus_read(&bus, 0x110, 1), 0xff);
    assert_int_equal(bus_read(&bus, 0x0, 2), 0xffff);
    assert_int_equal(bus_read(&bus, 0x10e, 4), 0xffffffff);
    assert_true(bus_read(&bus, UINT64_MAX, 8) == UINT64_MAX);
    bus_remove(&bus, 0x100, &two); /* not its own */
    assert_int_equal(bus_read(&bus, 0x104, 4), 4);
    bus_remove(&bus, 0x100, &one);
    assert_int_equal(bus_read(&bus, 0x104, 1), 0xff);
    assert_int_equal(bus_read(&bus, 0x204, 1), 4);
}

static void ranges_cannot_overlap(void **state)
{
    struct bus bus = {0};
    (void)state;
    assert_int_equal(bus_add(&bus, 0x100, 16, &noting, NULL, NULL), 0);
    assert_int_equal(bus_add(&bus, 0x10f, 1, &noting, NULL, NULL), -1);
    assert_int_equal(bus_add(&bus, 0xff, 2, &noting, NULL, NULL), -1);
    assert_int_equal(bus_add(&bus, 0x80, 0x200, &noting, NULL, NULL), -1);
    assert_int_equal(bus_add(&bus, 0x300, 0, &noting, NULL, NULL), -1);
    assert_int_equal(bus_add(&bus, UINT64_MAX, 2, &noting, NULL, NULL), -1);
    assert_int_equal(bus_add(&bus, 0x110, 1, &noting, NULL, NULL), 0);
    assert_int_equal(bus_add(&bus, UINT64_MAX - 1, 2, &noting, NULL, NULL), 0);
    assert_int_equal(bus_read(&bus, UINT64_MAX, 1), 1);
}

/* ---- ACPI ---- */

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;
    while (size-- > 0)
        total = (uint8_t)(total + *bytes++);
    return total;
}

static void tables_are_whole(void **state)
{
    struct guest_memory memory = {0};
    const struct acpi_virtio virtio[] = {{0xfeb00000, 10}, {0xfeb01000, 11}};
    const struct acpi_board board = {.vcpus = 32,
                                     .virtio = virtio,
                                     .virtio_count = 2,
                                     .has_pci = true,
                                     .has_keyboard = true,
                                     .has_generation = true,
                                     .has_pvpanic = true,
                                     .hotplug_address = 1ull << 33,
                                     .hotplug_size = 1ull << 30,
                                     .low_ram = 1u << 21};
    static const char *const wanted[] = {"FACP", "APIC", "MCFG", "SRAT"};
    uint64_t root;
    uint32_t size;
    (void)state;
    assert_int_equal(guest_memory_add(&memory, 0, 2u << 20, false, false, NULL), 0);
    uint64_t address = acpi_write(&board, &memory, NULL);
    assert_true(address >= 0xe0000 && address < 0x100000 && address % 16 == 0);
    const uint8_t *pointer = guest_memory_at(&memory, address, 36);
    assert_memory_equal(pointer, "RSD PTR ", 8);
    assert_int_equal(sum(pointer, 20), 0);
    assert_int_equal(sum(pointer, 36), 0);
    memcpy(&root, pointer + 24, 8);
    const uint8_t *table = guest_memory_at(&memory, root, 36 + sizeof wanted / sizeof *wanted * 8);
    assert_memory_equal(table, "XSDT", 4);
    memcpy(&size, table + 4, 4);
    assert_int_equal(size, 36 + sizeof wanted / sizeof *wanted * 8);
    for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        uint64_t where, definition;
        memcpy(&where, table + 36 + 8 * i, 8);
        const uint8_t *found = guest_memory_at(&memory, where, 8);
        assert_memory_equal(found, wanted[i], 4);
        memcpy(&size, found + 4, 4);
        assert_int_equal(sum(found, size), 0);
        if (i > 0)
            continue;
        assert_int_equal(size, 276);
        memcpy(&definition, found + 140, 8);
        found = guest_memory_at(&memory, definition, 36);
        assert_memory_equal(found, "DSDT", 4);
        memcpy(&size, found + 4, 4);
        assert_int_equal(sum(found, size), 0);
    }
    guest_memory_release(&memory);
}

/* ---- Serial port ---- */

static void serial_sends_lines(void **state)
{
    int pipes[2];
    char text[64] = "";
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    struct serial *serial = serial_create(&loop, &lines.interrupts, 4, pipes[1], -1);
    const struct bus_operations *port = &serial_bus_operations;
    for (const char *at = "hello\n"; *at; at++) {
        assert_int_equal(port->read(serial, 5, 1) & 0x20, 0x20);
        port->write(serial, 0, 1, (uint8_t)*at);
    }
    assert_int_equal(read(pipes[0], text, sizeof text), 6);
    assert_string_equal(text, "hello\n");
    port->write(serial, 0, 1, '$'); /* a prompt comes, too: at the latest when the port goes */
    serial_destroy(serial);
    assert_int_equal(read(pipes[0], text, sizeof text), 1);
    close(pipes[0]);
    close(pipes[1]);
}

static void serial_output_is_limited(void **state)
{
    int pipes[2];
    char text[64] = "";
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    struct serial *serial = serial_create(&loop, &lines.interrupts, 4, pipes[1], -1);
    serial_limit(serial, &(struct rate_bucket_settings){.size = 4, .refill_time = 600000});
    for (const char *at = "hello\n"; *at; at++)
        serial_bus_operations.write(serial, 0, 1, (uint8_t)*at);
    assert_int_equal(serial_counters(serial)->written, 4);
    assert_int_equal(serial_counters(serial)->dropped, 2);
    serial_destroy(serial);
    assert_int_equal(read(pipes[0], text, sizeof text), 4);
    assert_string_equal(text, "hell");
    close(pipes[0]);
    close(pipes[1]);
}

static void serial_receives(void **state)
{
    int pipes[2];
    char bytes[200];
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    struct serial *serial = serial_create(&loop, &lines.interrupts, 4, -1, pipes[0]);
    const struct bus_operations *port = &serial_bus_operations;
    port->write(serial, 1, 1, 1); /* interrupts for received bytes, let through by OUT2 */
    port->write(serial, 4, 1, 8);
    assert_int_equal(write(pipes[1], bytes, sizeof bytes), sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        turn(0);
        assert_true(lines.level[4]);
        assert_int_equal(port->read(serial, 2, 1) & 15, 4);
        assert_int_equal(port->read(serial, 5, 1) & 1, 1);
        assert_int_equal(port->read(serial, 0, 1), (uint8_t)bytes[i]);
    }
    assert_false(lines.level[4]);
    close(pipes[1]); /* the end of input is not a byte, and doesn't keep the loop busy */
    turn(0);
    assert_int_equal(port->read(serial, 5, 1) & 1, 0);
    serial_destroy(serial);
    close(pipes[0]);
}

static void serial_loops_back(void **state)
{
    (void)state;
    struct serial *serial = serial_create(&loop, &lines.interrupts, 4, -1, -1);
    const struct bus_operations *port = &serial_bus_operations;
    port->write(serial, 4, 1, 0x1a); /* as Linux's driver looks whether there is a port */
    assert_int_equal(port->read(serial, 6, 1) & 0xf0, 0x90);
    port->write(serial, 0, 1, 'x');
    assert_int_equal(port->read(serial, 0, 1), 'x');
    serial_destroy(serial);
}

/* ---- Keyboard controller and power ---- */

static enum power_event last_event;
static unsigned events;

static void note_event(struct power_listener *listener, enum power_event event)
{
    (void)listener;
    last_event = event;
    events++;
}

static void the_guest_ends_itself(void **state)
{
    struct power_listener listener = {note_event};
    (void)state;
    events = 0;
    power_bus_operations.write(&listener, 0, 1, 5 << 2); /* the type alone does nothing */
    power_bus_operations.write(&listener, 0, 1, 0x20 | 3 << 2);
    assert_int_equal(events, 0);
    power_bus_operations.write(&listener, 0, 1, 0x20 | 5 << 2);
    assert_int_equal(events, 1);
    assert_int_equal(last_event, POWER_OFF);
    struct i8042 *i8042 = i8042_create(&lines.interrupts, 1, &listener);
    i8042_command_operations.write(i8042, 0, 1, 0xfe);
    assert_int_equal(events, 2);
    assert_int_equal(last_event, POWER_RESET);
    i8042_destroy(i8042);
}

static void the_keyboard_answers(void **state)
{
    struct power_listener listener = {note_event};
    (void)state;
    struct i8042 *i8042 = i8042_create(&lines.interrupts, 1, &listener);
    const struct bus_operations *data = &i8042_data_operations,
                                *command = &i8042_command_operations;
    command->write(i8042, 0, 1, 0xaa);
    assert_int_equal(command->read(i8042, 0, 1) & 1, 1);
    assert_int_equal(data->read(i8042, 0, 1), 0x55);
    assert_int_equal(command->read(i8042, 0, 1) & 1, 0);
    data->write(i8042, 0, 1, 0xf2);
    assert_int_equal(data->read(i8042, 0, 1), 0xfa);
    assert_int_equal(data->read(i8042, 0, 1), 0xab);
    assert_int_equal(data->read(i8042, 0, 1), 0x83);
    unsigned before = lines.raised[1];
    i8042_press_ctrl_alt_delete(i8042);
    assert_true(lines.raised[1] > before);
    assert_int_equal(data->read(i8042, 0, 1), 0x1d);
    for (unsigned i = 0; i < 1000; i++) /* answers that nobody reads take no more room */
        data->write(i8042, 0, 1, 0xff);
    unsigned count = 0;
    while (command->read(i8042, 0, 1) & 1) {
        data->read(i8042, 0, 1);
        count++;
    }
    assert_true(count <= 32);
    i8042_destroy(i8042);
}

/* ---- Clock ---- */

static uint8_t clock_register(struct rtc *rtc, uint8_t index)
{
    rtc_bus_operations.write(rtc, 0, 1, index);
    return (uint8_t)rtc_bus_operations.read(rtc, 1, 1);
}

static void set_clock_register(struct rtc *rtc, uint8_t index, uint8_t value)
{
    rtc_bus_operations.write(rtc, 0, 1, index);
    rtc_bus_operations.write(rtc, 1, 1, value);
}

static int decimal(uint8_t bcd)
{
    return (bcd >> 4) * 10 + (bcd & 15);
}

static time_t clock_time(struct rtc *rtc)
{
    struct tm parts = {.tm_sec = decimal(clock_register(rtc, 0)),
                       .tm_min = decimal(clock_register(rtc, 2)),
                       .tm_hour = decimal(clock_register(rtc, 4)),
                       .tm_mday = decimal(clock_register(rtc, 7)),
                       .tm_mon = decimal(clock_register(rtc, 8)) - 1,
                       .tm_year = decimal(clock_register(rtc, 9)) +
                                  (decimal(clock_register(rtc, 0x32)) - 19) * 100};
    return timegm(&parts);
}

static void the_clock_shows_the_time(void **state)
{
    (void)state;
    struct rtc *rtc = rtc_create(&loop, &lines.interrupts, 8);
    assert_int_equal(clock_register(rtc, 13), 0x80);
    assert_int_equal(clock_register(rtc, 10) & 0x80, 0);
    int64_t difference = clock_time(rtc) - time(NULL);
    assert_true(difference >= -1 && difference <= 1);
    set_clock_register(rtc, 9, 0x30); /* 2030 */
    assert_int_equal(clock_register(rtc, 9), 0x30);
    set_clock_register(rtc, 0x40, 0xab);
    assert_int_equal(clock_register(rtc, 0x40), 0xab);
    rtc_destroy(rtc);
}

static void the_clock_has_an_alarm(void **state)
{
    (void)state;
    struct rtc *rtc = rtc_create(&loop, &lines.interrupts, 8);
    set_clock_register(rtc, 1, 0xff); /* any second, minute and hour */
    set_clock_register(rtc, 3, 0xff);
    set_clock_register(rtc, 5, 0xff);
    set_clock_register(rtc, 11, 0x22);
    assert_non_null(loop.timers);
    struct loop_timer *timer = loop.timers;
    loop_timer_cancel(&loop, timer);
    timer->expired(timer);
    assert_int_equal(lines.raised[8], 1);
    assert_int_equal(clock_register(rtc, 12) & 0xa0, 0xa0);
    assert_int_equal(clock_register(rtc, 12), 0); /* reading took it */
    set_clock_register(rtc, 11, 0x02);
    assert_null(loop.timers);
    rtc_destroy(rtc);
}

/* ---- PCI ---- */

static uint32_t read_pci(struct bus *ports, unsigned slot, unsigned offset)
{
    bus_write(ports, 0xcf8, 4, 0x80000000u | slot << 11 | offset);
    return (uint32_t)bus_read(ports, 0xcfc, 4);
}

static void write_pci(struct bus *ports, unsigned slot, unsigned offset, uint32_t value)
{
    bus_write(ports, 0xcf8, 4, 0x80000000u | slot << 11 | offset);
    bus_write(ports, 0xcfc, 4, value);
}

static uint64_t moved_to;

static void note_move(struct pci_device *device, uint64_t address)
{
    (void)device;
    moved_to = address;
}

static void a_driver_finds_and_moves_a_device(void **state)
{
    struct bus ports = {0}, memory = {0};
    struct pci_device device = {.region = {.size = 0x8000, .operations = &noting},
                                .region_moved = note_move};
    (void)state;
    struct pci_bus *bus = pci_bus_create(&ports, &memory, NULL);
    assert_non_null(bus);
    pci_device_describe(&device, 0x1af4, 0x1042, 0x018000, 2);
    unsigned first = pci_device_add_capability(&device, 9, 16),
             second = pci_device_add_capability(&device, 0x11, 12);
    assert_int_equal(pci_bus_add(bus, &device, NULL), 0);
    assert_int_equal(read_pci(&ports, 0, 0), 0x00081b36);
    assert_int_equal(read_pci(&ports, 1, 0), 0x10421af4);
    assert_int_equal(read_pci(&ports, 2, 0), 0xffffffff);
    assert_int_equal(bus_read(&memory, 0xe0000000 + (1 << 15), 4), 0x10421af4);
    assert_int_equal(read_pci(&ports, 1, 0x34), first);
    assert_int_equal(read_pci(&ports, 1, first) & 0xffff, second << 8 | 9);
    assert_int_equal(read_pci(&ports, 1, second) & 0xffff, 0x11);
    write_pci(&ports, 1, 0, 0); /* what no driver may write */
    assert_int_equal(read_pci(&ports, 1, 0), 0x10421af4);

    uint32_t where = read_pci(&ports, 1, 0x10);
    assert_int_equal(where & 15, 4);
    write_pci(&ports, 1, 0x10, 0xffffffff);
    assert_int_equal(read_pci(&ports, 1, 0x10), 0xffff8004); /* its size */
    write_pci(&ports, 1, 0x10, where);
    assert_int_equal(bus_read(&memory, (where & ~15u) + 4, 1), 0xff); /* not decoded yet */
    write_pci(&ports, 1, 4, 2);
    assert_int_equal(moved_to, where & ~15u);
    assert_int_equal(bus_read(&memory, (where & ~15u) + 4, 1), 4);
    write_pci(&ports, 1, 0x14, 2); /* above 4 GiB */
    assert_true(moved_to == (2ull << 32 | (where & ~15u)));
    assert_int_equal(bus_read(&memory, (where & ~15u) + 4, 1), 0xff);
    assert_int_equal(bus_read(&memory, moved_to + 5, 1), 5);
    write_pci(&ports, 1, 0x14, 0);
    write_pci(&ports, 1, 0x10, 0xe0000000); /* onto the ECAM: it is nowhere then */
    assert_int_equal(bus_read(&memory, 0xe0000000, 4), 0x00081b36);
    pci_bus_remove(bus, &device);
    assert_int_equal(read_pci(&ports, 1, 0), 0xffffffff);
    pci_bus_destroy(bus);
    assert_int_equal(ports.count + memory.count, 0);
}

#define on_board(test) cmocka_unit_test_setup_teardown(test, open_board, close_board)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accesses_find_their_device),
        cmocka_unit_test(ranges_cannot_overlap),
        cmocka_unit_test(tables_are_whole),
        on_board(serial_sends_lines),
        on_board(serial_output_is_limited),
        on_board(serial_receives),
        on_board(serial_loops_back),
        on_board(the_guest_ends_itself),
        on_board(the_keyboard_answers),
        on_board(the_clock_shows_the_time),
        on_board(the_clock_has_an_alarm),
        cmocka_unit_test(a_driver_finds_and_moves_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
