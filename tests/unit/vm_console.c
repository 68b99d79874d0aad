/* vm/device/virtio_console: what goes in comes out, however slow either side is; several ports, and
 * what the two sides tell each other about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/device/virtio_console_internal.h"
#include "vm/log.h"
#include "vm_driver.h"

static struct driver driver;
static int outside[3]; /* our ends of the ports' sockets */

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

static struct virtio_console_port make_port(unsigned index, const char *name)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    outside[index] = pair[0];
    return (struct virtio_console_port){
        .name = name, .is_console = index == 0, .in = pair[1], .out = pair[1]};
}

static int open_one(void **state)
{
    (void)state;
    struct virtio_console_port port = make_port(0, NULL);
    driver_open(&driver, virtio_console_create("console", &port, 1, false), ~0ull);
    return 0;
}

static int open_three(void **state)
{
    (void)state;
    struct virtio_console_port ports[] = {make_port(0, NULL), make_port(1, "org.agent"),
                                          make_port(2, "log")};
    driver_open(&driver, virtio_console_create("console", ports, 3, false), ~0ull);
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    for (unsigned i = 0; i < 3; i++) {
        if (outside[i] > 0)
            close(outside[i]);
        outside[i] = 0;
    }
    return 0;
}

static void add(unsigned queue, uint16_t first, uint64_t address, uint32_t size, bool writable)
{
    driver_add(&driver, queue, first, &(struct driver_part){address, size, writable}, 1);
}

static void assert_read(int fd, const char *wanted)
{
    char text[256] = "";
    assert_int_equal(read(fd, text, sizeof text - 1), (ssize_t)strlen(wanted));
    assert_string_equal(text, wanted);
}

static void output_comes_out(void **state)
{
    (void)state;
    uint32_t head, written;
    const struct driver_part parts[] = {{DRIVER_BUFFERS, 6, false},
                                        {DRIVER_BUFFERS + 4096, 7, false}};
    memcpy(driver_at(&driver, DRIVER_BUFFERS), "Hello ", 6);
    memcpy(driver_at(&driver, DRIVER_BUFFERS + 4096), "outside", 7);
    for (unsigned i = 0; i < 3; i++) {
        driver_add(&driver, 1, 4, parts, 2);
        driver_notify(&driver, 1);
        assert_read(outside[0], "Hello outside");
        assert_true(driver_take(&driver, 1, &head, &written));
        assert_int_equal(head, 4);
        assert_int_equal(written, 0);
    }
}

static void input_waits_for_the_guest(void **state)
{
    (void)state;
    uint32_t head, written;
    assert_int_equal(write(outside[0], "typed", 5), 5);
    driver_turn(&driver, 0);
    assert_int_equal(driver.queue_interrupts[0], 0);
    add(0, 2, DRIVER_BUFFERS, 3, true);
    add(0, 3, DRIVER_BUFFERS + 16, 64, true);
    driver_notify(&driver, 0);
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(head, 2);
    assert_int_equal(written, 3);
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(written, 2);
    assert_memory_equal(driver_at(&driver, DRIVER_BUFFERS), "typ", 3);
    assert_memory_equal(driver_at(&driver, DRIVER_BUFFERS + 16), "ed", 2);
    /* And the other way round: the buffer waits for input. */
    add(0, 4, DRIVER_BUFFERS + 32, 64, true);
    driver_notify(&driver, 0);
    assert_false(driver_take(&driver, 0, &head, &written));
    assert_int_equal(write(outside[0], "more", 4), 4);
    driver_turn(&driver, 0);
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(written, 4);
}

/* The byte at a place of the stream. */
static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

/* A reader that lets the socket fill up holds the guest back; every byte comes once, in order. */
static void a_slow_reader_loses_nothing(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, ROUNDS = 3 };
    static uint8_t bytes[65536];
    uint32_t head, written;
    size_t received = 0;
    uint8_t *source = driver_at(&driver, DRIVER_BUFFERS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < SIZE; i++)
            source[i] = pattern(round * (size_t)SIZE + i);
        add(1, 0, DRIVER_BUFFERS, SIZE, false);
        driver_notify(&driver, 1);
        assert_false(driver_take(&driver, 1, &head, &written)); /* the socket holds less */
        while (received < (round + 1) * (size_t)SIZE) {
            ssize_t count = read(outside[0], bytes, sizeof bytes);
            assert_true(count > 0);
            for (ssize_t i = 0; i < count; i++)
                assert_int_equal(bytes[i], pattern(received + (size_t)i));
            received += (size_t)count;
            driver_turn(&driver, 0);
        }
        assert_true(driver_take(&driver, 1, &head, &written));
    }
    assert_int_equal(read(outside[0], bytes, 1), -1);
}

static void output_without_a_reader_is_dropped(void **state)
{
    (void)state;
    uint32_t head, written;
    close(outside[0]);
    outside[0] = 0;
    for (unsigned i = 0; i < 4; i++) {
        add(1, 0, DRIVER_BUFFERS, 10, false);
        driver_notify(&driver, 1);
        assert_true(driver_take(&driver, 1, &head, &written));
    }
    add(0, 0, DRIVER_BUFFERS, 10, true);
    driver_notify(&driver, 0);
    assert_false(driver_take(&driver, 0, &head, &written));
    /* Somebody else comes. */
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    outside[0] = pair[0];
    virtio_console_attach(driver.device, 0, pair[1], pair[1]);
    assert_int_equal(write(outside[0], "again", 5), 5);
    driver_turn(&driver, 0);
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(written, 5);
}

static void files_and_dev_null_serve_too(void **state)
{
    (void)state;
    char path[] = "/tmp/hull-console-XXXXXX", text[64] = "";
    uint32_t head, written;
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    int out = virtio_console_open_private(file, O_WRONLY), null = open("/dev/null", O_RDONLY);
    int in = virtio_console_open_private(null, O_RDONLY);
    assert_true(out >= 0 && in >= 0 && null >= 0);
    virtio_console_attach(driver.device, 0, in, out);
    memcpy(driver_at(&driver, DRIVER_BUFFERS), "to a file", 9);
    add(1, 0, DRIVER_BUFFERS, 9, false);
    driver_notify(&driver, 1);
    assert_true(driver_take(&driver, 1, &head, &written));
    assert_int_equal(pread(file, text, sizeof text - 1, 0), 9);
    assert_string_equal(text, "to a file");
    add(0, 0, DRIVER_BUFFERS, 9, true);
    driver_notify(&driver, 0); /* the end of file: nothing, and no spinning */
    assert_false(driver_take(&driver, 0, &head, &written));
    close(file);
    close(null);
}

static void a_private_descriptor_leaves_the_shared_one_as_it_was(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int mine = virtio_console_open_private(ends[1], O_WRONLY);
    assert_true(mine >= 0);
    assert_true(fcntl(mine, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
    close(mine);
    close(ends[0]);
    close(ends[1]);
}

static void sizes_go_through_the_configuration(void **state)
{
    (void)state;
    struct console_config config;
    virtio_console_resize(driver.device, 0, 132, 43);
    assert_int_equal(driver.config_interrupts, 1);
    virtio_device_read_config(driver.device, 0, &config, sizeof config);
    assert_int_equal(config.columns, 132);
    assert_int_equal(config.rows, 43);
    assert_int_equal(config.ports_max, 1);
}

static void an_emergency_byte_is_written(void **state)
{
    (void)state;
    uint32_t byte = '!';
    virtio_device_set_status(driver.device, 0);
    virtio_device_write_config(driver.device, offsetof(struct console_config, emergency_write),
                               &byte, sizeof byte);
    assert_read(outside[0], "!");
    virtio_device_write_config(driver.device, 0, &byte, sizeof byte);
    assert_int_equal(read(outside[0], &byte, 1), -1);
}

static void a_reset_forgets_what_was_being_written(void **state)
{
    (void)state;
    add(1, 0, DRIVER_BUFFERS, 1 << 20, false);
    driver_notify(&driver, 1);
    virtio_device_set_status(driver.device, 0);
    static uint8_t bytes[1 << 20];
    ssize_t count;
    while ((count = read(outside[0], bytes, sizeof bytes)) > 0)
        driver_turn(&driver, 0);
    driver_start(&driver, 0);
    output_comes_out(NULL);
}

static void a_malformed_request_breaks_the_device(void **state)
{
    (void)state;
    add(1, 0, DRIVER_MEMORY_SIZE, 10, false);
    driver_notify(&driver, 1);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

/* An empty buffer for input is given back, not filled. */
static void buffers_of_the_wrong_direction_are_given_back(void **state)
{
    (void)state;
    uint32_t head, written;
    assert_int_equal(write(outside[0], "x", 1), 1);
    add(0, 0, DRIVER_BUFFERS, 10, false);
    add(0, 1, DRIVER_BUFFERS, 10, true);
    driver_notify(&driver, 0);
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(written, 0);
    assert_true(driver_take(&driver, 0, &head, &written));
    assert_int_equal(written, 1);
}

/* Says something about a port. */
static void tell(uint32_t port, uint16_t event, uint16_t value)
{
    uint32_t head, written;
    struct console_message message = {port, event, value};
    memcpy(driver_at(&driver, DRIVER_BUFFERS + 65536), &message, sizeof message);
    add(3, 15, DRIVER_BUFFERS + 65536, sizeof message, false);
    driver_notify(&driver, 3);
    assert_true(driver_take(&driver, 3, &head, &written));
}

/* Buffers for what the device says, and what it says. */
static void give_control_buffers(void)
{
    for (uint16_t i = 0; i < DRIVER_QUEUE_SIZE; i++)
        add(2, i, DRIVER_BUFFERS + i * 128u, 128, true);
    driver_notify(&driver, 2);
}

static const uint8_t *assert_told(uint32_t port, uint16_t event, uint16_t value, uint32_t size)
{
    uint32_t head, written;
    struct console_message message;
    assert_true(driver_take(&driver, 2, &head, &written));
    const uint8_t *bytes = driver_at(&driver, DRIVER_BUFFERS + head * 128u);
    memcpy(&message, bytes, sizeof message);
    assert_int_equal(message.port, port);
    assert_int_equal(message.event, event);
    assert_int_equal(message.value, value);
    assert_int_equal(written, sizeof message + size);
    return bytes + sizeof message;
}

static void ports_are_introduced_by_name(void **state)
{
    (void)state;
    uint32_t head, written;
    virtio_console_resize(driver.device, 0, 80, 25);
    give_control_buffers();
    tell(UINT32_MAX, CONSOLE_DEVICE_READY, 1);
    for (uint32_t i = 0; i < 3; i++)
        assert_told(i, CONSOLE_PORT_ADD, 1, 0);
    assert_false(driver_take(&driver, 2, &head, &written));
    tell(0, CONSOLE_PORT_READY, 1);
    assert_told(0, CONSOLE_CONSOLE_PORT, 1, 0);
    const uint8_t *size = assert_told(0, CONSOLE_RESIZE, 1, 4);
    assert_memory_equal(size, ((uint8_t[]){80, 0, 25, 0}), 4);
    assert_told(0, CONSOLE_PORT_OPEN, 1, 0);
    tell(1, CONSOLE_PORT_READY, 1);
    const uint8_t *name = assert_told(1, CONSOLE_PORT_NAME, 1, 9);
    assert_memory_equal(name, "org.agent", 9);
    assert_told(1, CONSOLE_PORT_OPEN, 1, 0);
    assert_false(driver_take(&driver, 2, &head, &written));
}

/* Input for a port that nobody in the guest has open stays outside. */
static void input_waits_until_the_port_is_open(void **state)
{
    (void)state;
    uint32_t head, written;
    assert_int_equal(write(outside[2], "entry", 5), 5);
    add(6, 0, DRIVER_BUFFERS, 64, true);
    driver_notify(&driver, 6);
    assert_false(driver_take(&driver, 6, &head, &written));
    tell(2, CONSOLE_PORT_OPEN, 1);
    assert_true(driver_take(&driver, 6, &head, &written));
    assert_int_equal(written, 5);
    memcpy(driver_at(&driver, DRIVER_BUFFERS), "answer", 6);
    add(7, 0, DRIVER_BUFFERS, 6, false);
    driver_notify(&driver, 7);
    assert_read(outside[2], "answer");
    tell(2, CONSOLE_PORT_OPEN, 0);
    add(6, 0, DRIVER_BUFFERS, 64, true);
    assert_int_equal(write(outside[2], "later", 5), 5);
    driver_notify(&driver, 6);
    assert_false(driver_take(&driver, 6, &head, &written));
}

static void the_guest_hears_who_is_there(void **state)
{
    (void)state;
    give_control_buffers();
    tell(1, CONSOLE_PORT_READY, 1);
    assert_told(1, CONSOLE_PORT_NAME, 1, 9);
    assert_told(1, CONSOLE_PORT_OPEN, 1, 0);
    virtio_console_attach(driver.device, 1, -1, -1);
    assert_told(1, CONSOLE_PORT_OPEN, 0, 0);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    close(outside[1]);
    outside[1] = pair[0];
    virtio_console_attach(driver.device, 1, pair[1], pair[1]);
    assert_told(1, CONSOLE_PORT_OPEN, 1, 0);
    /* A peer that goes away by itself is noticed at the first attempt. */
    close(outside[1]);
    outside[1] = 0;
    tell(1, CONSOLE_PORT_OPEN, 1);
    add(4, 0, DRIVER_BUFFERS + 65536, 64, true);
    driver_notify(&driver, 4);
    add(5, 0, DRIVER_BUFFERS + 65536, 64, false);
    driver_notify(&driver, 5);
    assert_told(1, CONSOLE_PORT_OPEN, 0, 0);
}

static void odd_messages_are_ignored(void **state)
{
    (void)state;
    uint32_t head, written;
    give_control_buffers();
    tell(3, CONSOLE_PORT_READY, 1);
    tell(UINT32_MAX, CONSOLE_PORT_OPEN, 1);
    tell(0, 99, 1);
    add(3, 0, DRIVER_BUFFERS + 65536, 3, false);
    driver_notify(&driver, 3);
    assert_int_equal(driver.device->malformed, 4);
    assert_false(driver_take(&driver, 2, &head, &written));
    assert_false(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

#define with(setup, test) cmocka_unit_test_setup_teardown(test, setup, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with(open_one, output_comes_out),
        with(open_one, input_waits_for_the_guest),
        with(open_one, a_slow_reader_loses_nothing),
        with(open_one, output_without_a_reader_is_dropped),
        with(open_one, files_and_dev_null_serve_too),
        with(open_one, a_private_descriptor_leaves_the_shared_one_as_it_was),
        with(open_one, sizes_go_through_the_configuration),
        with(open_one, an_emergency_byte_is_written),
        with(open_one, a_reset_forgets_what_was_being_written),
        with(open_one, a_malformed_request_breaks_the_device),
        with(open_one, buffers_of_the_wrong_direction_are_given_back),
        with(open_three, ports_are_introduced_by_name),
        with(open_three, input_waits_until_the_port_is_open),
        with(open_three, the_guest_hears_who_is_there),
        with(open_three, odd_messages_are_ignored),
    };
    signal(SIGPIPE, SIG_IGN);
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
