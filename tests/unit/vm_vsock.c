/* vm/device/virtio_vsock: a guest's driver on one side, programs with Unix sockets on the other. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/device/virtio_vsock.h"
#include "vm/device/vsock.h"
#include "vm/log.h"
#include "vm_driver.h"

#define GUEST 42u
#define GUEST_PORT 1024u
#define FIRST_HOST_PORT (1u << 30)
#define CREDIT 16384u
/* Where the guest has its buffers. */
#define RX_SIZE 8192u
#define RX_BUFFERS 12u
#define RX_AT DRIVER_BUFFERS
#define TX_AT (DRIVER_BUFFERS + 0x80000u)

static struct driver driver;
static char directory[64], path[100];
static uint32_t guest_received; /* what the guest's program has read, of the one connection */

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

static void give_buffer(uint16_t index)
{
    const struct driver_part part = {RX_AT + index * RX_SIZE, RX_SIZE, true};
    driver_add(&driver, VSOCK_RX, index, &part, 1);
}

static void give_buffers(void)
{
    for (uint16_t i = 0; i < RX_BUFFERS; i++)
        give_buffer(i);
    driver_notify(&driver, VSOCK_RX);
}

static int open_device(void **state)
{
    (void)state;
    struct error err = {0};
    const char *parent = getenv("HULL_TEST_DIRECTORY");
    snprintf(directory, sizeof directory, "%.40s/vsock-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/v", directory);
    struct virtio_device *device = virtio_vsock_create("vsock0", GUEST, path, &err);
    assert_non_null(device);
    driver_open(&driver, device, ~0ull);
    guest_received = 0;
    give_buffers();
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rmdir(directory), 0);
    return 0;
}

/* ---- the guest ---- */

static struct vsock_header packet(unsigned operation, uint32_t host_port, uint32_t guest_port)
{
    return (struct vsock_header){.source_cid = GUEST,
                                 .destination_cid = VSOCK_CID_HOST,
                                 .source_port = guest_port,
                                 .destination_port = host_port,
                                 .type = VSOCK_TYPE_STREAM,
                                 .operation = (uint16_t)operation,
                                 .allocated = CREDIT,
                                 .forwarded = guest_received};
}

/* Sends a packet in two parts, which a header may straddle. */
static void guest_sends(const struct vsock_header *header, const void *payload, uint32_t size)
{
    uint32_t head, written;
    uint32_t total = (uint32_t)sizeof *header + size, first = total < 20 ? total : 20;
    const struct driver_part parts[2] = {{TX_AT, first, false},
                                         {TX_AT + 0x10000, total - first, false}};
    uint8_t bytes[sizeof *header];
    memcpy(bytes, header, sizeof bytes);
    memcpy(driver_at(&driver, TX_AT), bytes, 20);
    memcpy(driver_at(&driver, TX_AT + 0x10000), bytes + 20, sizeof bytes - 20);
    if (size > 0)
        memcpy((uint8_t *)driver_at(&driver, TX_AT + 0x10000) + sizeof bytes - 20, payload, size);
    driver_add(&driver, VSOCK_TX, 0, parts, 2);
    driver_notify(&driver, VSOCK_TX);
    assert_true(driver_take(&driver, VSOCK_TX, &head, &written));
    assert_int_equal(written, 0);
}

static void guest_says(unsigned operation, uint32_t host_port, uint32_t guest_port)
{
    struct vsock_header header = packet(operation, host_port, guest_port);
    guest_sends(&header, NULL, 0);
}

static void guest_shuts(unsigned flags, uint32_t host_port, uint32_t guest_port)
{
    struct vsock_header header = packet(VSOCK_SHUTDOWN, host_port, guest_port);
    header.flags = flags;
    guest_sends(&header, NULL, 0);
}

/* Bytes of a payload that the test can recognise. */
static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

static void guest_sends_data(uint32_t host_port, uint32_t guest_port, uint64_t at, uint32_t size)
{
    static uint8_t bytes[65536];
    struct vsock_header header = packet(VSOCK_DATA, host_port, guest_port);
    header.length = size;
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = pattern(at + i);
    guest_sends(&header, bytes, size);
}

/* The next packet for the guest, and its payload in a buffer that is given back. */
static bool guest_receives(struct vsock_header *header, uint8_t *payload)
{
    uint32_t head, written;
    if (!driver_take(&driver, VSOCK_RX, &head, &written))
        return false;
    uint8_t *bytes = driver_at(&driver, RX_AT + head * RX_SIZE);
    memcpy(header, bytes, sizeof *header);
    assert_int_equal(written, sizeof *header + header->length);
    assert_int_equal(header->source_cid, VSOCK_CID_HOST);
    assert_int_equal(header->destination_cid, GUEST);
    if (payload)
        memcpy(payload, bytes + sizeof *header, header->length);
    give_buffer((uint16_t)head);
    driver_notify(&driver, VSOCK_RX);
    return true;
}

static void assert_guest_hears(unsigned operation, uint32_t host_port, uint32_t guest_port,
                               unsigned flags)
{
    struct vsock_header header;
    driver_turn(&driver, 0);
    assert_true(guest_receives(&header, NULL));
    assert_int_equal(header.operation, operation);
    assert_int_equal(header.source_port, host_port);
    assert_int_equal(header.destination_port, guest_port);
    assert_int_equal(header.type, VSOCK_TYPE_STREAM);
    assert_int_equal(header.flags, flags);
}

static void assert_guest_hears_nothing(void)
{
    struct vsock_header header;
    driver_turn(&driver, 0);
    assert_false(guest_receives(&header, NULL));
}

/* ---- the host ---- */

static struct sockaddr_un address_of(const char *suffix)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s%s", path, suffix);
    return address;
}

static int host_connects(const char *greeting)
{
    struct sockaddr_un address = address_of("");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, greeting, strlen(greeting)), strlen(greeting));
    driver_turn(&driver, 0);
    return fd;
}

static int host_listens(const char *suffix)
{
    struct sockaddr_un address = address_of(suffix);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4096), 0);
    return fd;
}

static void assert_host_reads(int fd, const char *text)
{
    char got[100] = "";
    driver_turn(&driver, 0);
    assert_int_equal(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), strlen(text));
    assert_string_equal(got, text);
}

static void assert_host_reads_end(int fd)
{
    char byte;
    driver_turn(&driver, 0);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

/* A connection from a host program to GUEST_PORT, from the first port. */
static int establish(void)
{
    int fd = host_connects("CONNECT 1024\n");
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT, GUEST_PORT, 0);
    guest_says(VSOCK_RESPONSE, FIRST_HOST_PORT, GUEST_PORT);
    assert_host_reads(fd, "OK 1073741824\n");
    return fd;
}

/* ---- connections ---- */

static void a_host_program_reaches_the_guest(void **state)
{
    (void)state;
    struct vsock_header header;
    uint8_t payload[RX_SIZE];
    int fd = establish();
    assert_int_equal(write(fd, "hello", 5), 5);
    driver_turn(&driver, 0);
    assert_true(guest_receives(&header, payload));
    assert_int_equal(header.operation, VSOCK_DATA);
    assert_int_equal(header.length, 5);
    assert_int_equal(header.allocated, VSOCK_BUFFER_SIZE);
    assert_memory_equal(payload, "hello", 5);
    header = packet(VSOCK_DATA, FIRST_HOST_PORT, GUEST_PORT);
    header.length = 6;
    guest_sends(&header, "answer", 6);
    assert_host_reads(fd, "answer");
    close(fd);
}

static void what_follows_the_greeting_is_data(void **state)
{
    (void)state;
    struct vsock_header header;
    uint8_t payload[RX_SIZE];
    int fd = host_connects("CONN");
    assert_guest_hears_nothing();
    assert_int_equal(write(fd, "ECT 77\nat once", 14), 14);
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT, 77, 0);
    assert_guest_hears_nothing();
    guest_says(VSOCK_RESPONSE, FIRST_HOST_PORT, 77);
    assert_host_reads(fd, "OK 1073741824\n");
    assert_true(guest_receives(&header, payload));
    assert_int_equal(header.length, 7);
    assert_memory_equal(payload, "at once", 7);
    close(fd);
}

static void greetings_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const greetings[] = {"CONNECT\n",
                                            "CONNECT \n",
                                            "CONNECT x\n",
                                            "CONNECT -1\n",
                                            "CONNECT 1 2\n",
                                            "connect 1\n",
                                            "CONNECT 4294967296\n",
                                            "CONNECT 000000000000000000000000000001\n",
                                            "GET / HTTP/1.1\r\n",
                                            "\n"};
    for (size_t i = 0; i < sizeof greetings / sizeof *greetings; i++) {
        int fd = host_connects(greetings[i]);
        char byte;
        assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
        close(fd);
    }
    int gone = host_connects("CONNECT 1");
    close(gone);
    assert_guest_hears_nothing();
    assert_int_equal(((struct vsock *)driver.device)->count, 0);
    assert_int_equal(virtio_vsock_metrics(driver.device)->connections_refused, 11);
}

static void the_guest_can_refuse(void **state)
{
    (void)state;
    int fd = host_connects("CONNECT 5\n");
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT, 5, 0);
    guest_says(VSOCK_RESET, FIRST_HOST_PORT, 5);
    assert_host_reads_end(fd);
    close(fd);
    assert_guest_hears_nothing();
}

static void a_host_program_may_give_up(void **state)
{
    (void)state;
    int fd = host_connects("CONNECT 5\n");
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT, 5, 0);
    close(fd);
    assert_guest_hears(VSOCK_RESET, FIRST_HOST_PORT, 5, 0);
}

static void each_connection_has_a_port(void **state)
{
    (void)state;
    int first = establish();
    int second = host_connects("CONNECT 1024\n");
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT + 1, GUEST_PORT, 0);
    guest_says(VSOCK_RESPONSE, FIRST_HOST_PORT + 1, GUEST_PORT);
    assert_host_reads(second, "OK 1073741825\n");
    guest_sends_data(FIRST_HOST_PORT + 1, GUEST_PORT, 0, 3);
    char bytes[4];
    assert_int_equal(recv(first, bytes, sizeof bytes, MSG_DONTWAIT), -1);
    assert_int_equal(recv(second, bytes, sizeof bytes, MSG_DONTWAIT), 3);
    close(first);
    close(second);
}

static void the_guest_reaches_a_host_program(void **state)
{
    (void)state;
    int listener = host_listens("_52");
    guest_says(VSOCK_REQUEST, 52, 1234);
    assert_guest_hears(VSOCK_RESPONSE, 52, 1234, 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    guest_sends_data(52, 1234, 0, 100);
    uint8_t bytes[200];
    assert_int_equal(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT), 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(bytes[i], pattern(i));
    close(fd);
    close(listener);
    unlink(address_of("_52").sun_path);
    assert_guest_hears(VSOCK_SHUTDOWN, 52, 1234, VSOCK_NEITHER);
    guest_says(VSOCK_RESET, 52, 1234);
    assert_int_equal(((struct vsock *)driver.device)->count, 0);
}

static void where_nobody_listens_the_guest_is_refused(void **state)
{
    (void)state;
    guest_says(VSOCK_REQUEST, 53, 1234);
    assert_guest_hears(VSOCK_RESET, 53, 1234, 0);
    assert_int_equal(virtio_vsock_metrics(driver.device)->connections_refused, 1);
}

/* ---- many bytes ---- */

static void the_host_sends_what_the_guest_has_credit_for(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    static uint8_t payload[RX_SIZE], chunk[65536];
    struct vsock_header header;
    uint32_t written = 0, read = 0;
    int fd = establish();
    while (read < SIZE) {
        size_t size = SIZE - written < sizeof chunk ? SIZE - written : sizeof chunk;
        for (size_t i = 0; i < size; i++)
            chunk[i] = pattern(written + i);
        ssize_t sent = size ? send(fd, chunk, size, MSG_DONTWAIT) : 0;
        written += sent > 0 ? (uint32_t)sent : 0;
        driver_turn(&driver, 0);
        uint32_t before = read;
        while (guest_receives(&header, payload)) {
            for (uint32_t i = 0; i < header.length; i++)
                assert_int_equal(payload[i], pattern(read + i));
            read += header.length;
            assert_in_range(read - guest_received, 0, CREDIT);
        }
        assert_true(read > before);
        if (written > 2 * CREDIT) /* with none left it is used up to the last byte */
            assert_true(read == SIZE || read - guest_received == CREDIT);
        guest_received = read;
        guest_says(VSOCK_CREDIT_UPDATE, FIRST_HOST_PORT, GUEST_PORT);
    }
    assert_int_equal(virtio_vsock_metrics(driver.device)->received_bytes, SIZE);
    close(fd);
}

static void the_guest_sends_what_the_host_has_credit_for(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    static uint8_t bytes[65536];
    struct vsock_header header;
    uint32_t sent = 0, told = 0, read = 0;
    bool was_out = false;
    int fd = establish();
    while (read < SIZE) {
        uint32_t credit = VSOCK_BUFFER_SIZE - (sent - told);
        uint32_t size = credit < 30000 ? credit : 30000;
        size = size < SIZE - sent ? size : SIZE - sent;
        if (size > 0) {
            guest_sends_data(FIRST_HOST_PORT, GUEST_PORT, sent, size);
            sent += size;
        } else {
            /* The host's program reads slowly. */
            was_out = true;
            ssize_t got = recv(fd, bytes, 20000, MSG_DONTWAIT);
            assert_true(got > 0);
            for (ssize_t i = 0; i < got; i++)
                assert_int_equal(bytes[i], pattern(read + (uint64_t)i));
            read += (uint32_t)got;
            driver_turn(&driver, 0);
        }
        while (guest_receives(&header, NULL)) {
            assert_int_equal(header.operation, VSOCK_CREDIT_UPDATE);
            told = header.forwarded;
        }
    }
    assert_true(was_out);
    close(fd);
}

static void more_than_the_credit_resets(void **state)
{
    (void)state;
    struct vsock_header header;
    bool is_reset = false;
    int fd = establish();
    /* The socket has a buffer of its own, which is filled first. */
    for (uint64_t at = 0; at < 8 << 20 && !is_reset; at += 60000) {
        guest_sends_data(FIRST_HOST_PORT, GUEST_PORT, at, 60000);
        while (guest_receives(&header, NULL))
            is_reset = is_reset || header.operation == VSOCK_RESET;
    }
    assert_true(is_reset);
    assert_int_equal(((struct vsock *)driver.device)->count, 0);
    close(fd);
}

static void a_guest_without_buffers_is_waited_for(void **state)
{
    (void)state;
    struct vsock_header header;
    uint32_t head, written, count = 0, packets = 0;
    int fd = establish();
    char *bytes = calloc(1, CREDIT);
    /* All buffers are used up. */
    for (unsigned i = 0; i < RX_BUFFERS; i++) {
        assert_int_equal(write(fd, bytes, 10), 10);
        driver_turn(&driver, 0);
    }
    assert_int_equal(write(fd, bytes, 1000), 1000);
    driver_turn(&driver, 0);
    while (driver_take(&driver, VSOCK_RX, &head, &written))
        packets++;
    assert_int_equal(packets, RX_BUFFERS);
    give_buffers();
    while (guest_receives(&header, NULL))
        count += header.length;
    assert_int_equal(count, 1000);
    close(fd);
    free(bytes);
}

/* ---- ends ---- */

static void the_host_can_end_its_half(void **state)
{
    (void)state;
    int fd = establish();
    shutdown(fd, SHUT_WR);
    assert_guest_hears(VSOCK_SHUTDOWN, FIRST_HOST_PORT, GUEST_PORT, VSOCK_NO_SEND);
    guest_sends_data(FIRST_HOST_PORT, GUEST_PORT, 0, 5);
    char bytes[10];
    assert_int_equal(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT), 5);
    assert_guest_hears_nothing();
    guest_shuts(VSOCK_NEITHER, FIRST_HOST_PORT, GUEST_PORT);
    assert_guest_hears(VSOCK_RESET, FIRST_HOST_PORT, GUEST_PORT, 0);
    assert_host_reads_end(fd);
    close(fd);
}

static void the_guest_can_end_its_half(void **state)
{
    (void)state;
    struct vsock_header header;
    int fd = establish();
    guest_shuts(VSOCK_NO_SEND, FIRST_HOST_PORT, GUEST_PORT);
    assert_host_reads_end(fd);
    assert_int_equal(write(fd, "more", 4), 4);
    driver_turn(&driver, 0);
    assert_true(guest_receives(&header, NULL));
    assert_int_equal(header.operation, VSOCK_DATA);
    assert_int_equal(header.length, 4);
    close(fd);
    assert_guest_hears(VSOCK_SHUTDOWN, FIRST_HOST_PORT, GUEST_PORT, VSOCK_NEITHER);
}

static void the_guest_can_end_its_reading(void **state)
{
    (void)state;
    int fd = establish();
    guest_shuts(VSOCK_NO_RECEIVE, FIRST_HOST_PORT, GUEST_PORT);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    guest_sends_data(FIRST_HOST_PORT, GUEST_PORT, 0, 5);
    char bytes[10];
    assert_int_equal(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT), 5);
    close(fd);
}

static void what_the_host_sent_before_it_closed_arrives(void **state)
{
    (void)state;
    struct vsock_header header;
    uint32_t count = 0;
    char *bytes = calloc(1, 3 * CREDIT);
    int fd = establish();
    assert_int_equal(write(fd, bytes, 3 * CREDIT), 3 * CREDIT);
    close(fd);
    do {
        driver_turn(&driver, 0);
        assert_true(guest_receives(&header, NULL));
        count += header.length;
        guest_received = count;
        if (header.operation == VSOCK_CREDIT_REQUEST)
            guest_says(VSOCK_CREDIT_UPDATE, FIRST_HOST_PORT, GUEST_PORT);
    } while (header.operation != VSOCK_SHUTDOWN || header.flags != VSOCK_NEITHER);
    assert_int_equal(count, 3 * CREDIT);
    free(bytes);
}

static void what_the_guest_sent_before_it_closed_arrives(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    uint64_t sent = 0, read = 0;
    int fd = establish();
    struct vsock *vsock = (struct vsock *)driver.device;
    while (vsock->connections[0]->ring_used == 0) {
        guest_sends_data(FIRST_HOST_PORT, GUEST_PORT, sent, 50000);
        sent += 50000;
    }
    struct vsock_header header;
    while (guest_receives(&header, NULL))
        ;
    guest_shuts(VSOCK_NEITHER, FIRST_HOST_PORT, GUEST_PORT);
    assert_guest_hears(VSOCK_RESET, FIRST_HOST_PORT, GUEST_PORT, 0);
    assert_int_equal(vsock->count, 1);
    for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;
         driver_turn(&driver, 0)) {
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(bytes[i], pattern(read + (uint64_t)i));
        read += (uint64_t)got;
    }
    assert_int_equal(read, sent);
    assert_host_reads_end(fd);
    assert_int_equal(vsock->count, 0);
    close(fd);
}

static void a_reset_of_the_device_ends_all(void **state)
{
    (void)state;
    int fd = establish();
    int greeting = host_connects("CONN");
    virtio_device_set_status(driver.device, 0);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
    assert_true(recv(greeting, &byte, 1, MSG_DONTWAIT) <= 0);
    close(fd);
    close(greeting);
    driver_start(&driver, ~0ull);
    give_buffers();
    fd = host_connects("CONNECT 9\n");
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT + 1, 9, 0);
    close(fd);
}

static void a_transport_reset_is_told(void **state)
{
    (void)state;
    uint32_t head, written, event;
    int fd = establish();
    memset(driver_at(&driver, TX_AT), 0xff, 64);
    const struct driver_part part = {TX_AT, 8, true};
    virtio_vsock_transport_reset(driver.device); /* there is no buffer for it yet */
    assert_host_reads_end(fd);
    driver_add(&driver, VSOCK_EVENTS, 0, &part, 1);
    driver_notify(&driver, VSOCK_EVENTS);
    assert_true(driver_take(&driver, VSOCK_EVENTS, &head, &written));
    assert_int_equal(written, 4);
    memcpy(&event, driver_at(&driver, TX_AT), 4);
    assert_int_equal(event, 0);
    driver_add(&driver, VSOCK_EVENTS, 0, &part, 1);
    driver_notify(&driver, VSOCK_EVENTS);
    assert_false(driver_take(&driver, VSOCK_EVENTS, &head, &written));
    virtio_vsock_transport_reset(driver.device);
    assert_true(driver_take(&driver, VSOCK_EVENTS, &head, &written));
    close(fd);
}

/* ---- hostile guests ---- */

static void packets_of_no_connection_are_reset(void **state)
{
    (void)state;
    static const unsigned operations[] = {
        0, VSOCK_RESPONSE, VSOCK_SHUTDOWN, VSOCK_DATA, VSOCK_CREDIT_UPDATE, VSOCK_CREDIT_REQUEST,
        8, 65535};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        guest_says(operations[i], 7, 8);
        assert_guest_hears(VSOCK_RESET, 7, 8, 0);
    }
    guest_says(VSOCK_RESET, 7, 8);
    assert_guest_hears_nothing();
}

static void other_addresses_and_types_are_refused(void **state)
{
    (void)state;
    struct vsock_header header = packet(VSOCK_REQUEST, 7, 8), answer;
    header.source_cid = GUEST + 1;
    guest_sends(&header, NULL, 0);
    assert_guest_hears_nothing();
    assert_int_equal(virtio_vsock_metrics(driver.device)->dropped_packets, 1);
    header = packet(VSOCK_REQUEST, 7, 8);
    header.type = 2;
    guest_sends(&header, NULL, 0);
    assert_true(guest_receives(&answer, NULL));
    assert_int_equal(answer.operation, VSOCK_RESET);
    assert_int_equal(answer.type, 2);
}

/* On an established connection each of these ends it. */
static void nonsense_resets_the_connection(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        uint32_t port = FIRST_HOST_PORT + i;
        int fd = host_connects("CONNECT 1024\n");
        assert_guest_hears(VSOCK_REQUEST, port, GUEST_PORT, 0);
        if (i == 5) { /* not even answered */
            guest_sends_data(port, GUEST_PORT, 0, 10);
            assert_guest_hears(VSOCK_RESET, port, GUEST_PORT, 0);
            assert_host_reads_end(fd);
            close(fd);
            break;
        }
        guest_says(VSOCK_RESPONSE, port, GUEST_PORT);
        struct vsock_header header = packet(i == 0   ? VSOCK_RESPONSE
                                            : i == 1 ? VSOCK_REQUEST
                                            : i == 2 ? 99
                                            : i == 3 ? VSOCK_SHUTDOWN
                                                     : VSOCK_DATA,
                                            port, GUEST_PORT);
        header.flags = i == 3 ? 4 : 0;
        header.length = i == 4 ? 100 : 0; /* longer than its packet */
        guest_sends(&header, "x", 1);
        assert_guest_hears(VSOCK_RESET, port, GUEST_PORT, 0);
        char text[32];
        assert_true(recv(fd, text, sizeof text, MSG_DONTWAIT) > 0); /* "OK" */
        assert_host_reads_end(fd);
        close(fd);
    }
}

static void data_after_its_end_resets(void **state)
{
    (void)state;
    int fd = establish();
    guest_shuts(VSOCK_NO_SEND, FIRST_HOST_PORT, GUEST_PORT);
    guest_sends_data(FIRST_HOST_PORT, GUEST_PORT, 0, 1);
    assert_guest_hears(VSOCK_RESET, FIRST_HOST_PORT, GUEST_PORT, 0);
    close(fd);
}

/* Answers wait where the guest has no buffers, but not without bound: then its packets wait. */
static void answers_are_bounded(void **state)
{
    (void)state;
    uint32_t head, written;
    struct vsock *vsock = (struct vsock *)driver.device;
    struct vsock_header header = packet(VSOCK_DATA, 1, 2);
    const struct driver_part part = {TX_AT, sizeof header, false};
    memcpy(driver_at(&driver, TX_AT), &header, sizeof header);
    unsigned taken = 0, added = 0;
    for (unsigned i = 0; i < RX_BUFFERS + VSOCK_RESETS_MAX + 8; i++) {
        driver_add(&driver, VSOCK_TX, (uint16_t)(i % DRIVER_QUEUE_SIZE), &part, 1);
        added++;
        driver_notify(&driver, VSOCK_TX);
        while (driver_take(&driver, VSOCK_TX, &head, &written))
            taken++;
    }
    assert_int_equal(vsock->reset_count, VSOCK_RESETS_MAX);
    assert_int_equal(taken, RX_BUFFERS + VSOCK_RESETS_MAX);
    unsigned heard = 0;
    while (guest_receives(&header, NULL)) {
        assert_int_equal(header.operation, VSOCK_RESET);
        heard++;
    }
    assert_int_equal(heard, added);
    while (driver_take(&driver, VSOCK_TX, &head, &written))
        taken++;
    assert_int_equal(taken, added);
}

static void connections_are_bounded(void **state)
{
    (void)state;
    struct rlimit limit;
    struct vsock_header header;
    unsigned accepted = 0, refused = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 4 * VSOCK_CONNECTIONS_MAX)
        skip();
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int listener = host_listens("_60");
    for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX + 10; i++) {
        guest_says(VSOCK_REQUEST, 60, i);
        while (guest_receives(&header, NULL)) {
            accepted += header.operation == VSOCK_RESPONSE;
            refused += header.operation == VSOCK_RESET;
        }
    }
    assert_int_equal(accepted, VSOCK_CONNECTIONS_MAX);
    assert_int_equal(refused, 10);
    /* A host's program waits until there is room. */
    int fd = host_connects("CONNECT 1024\n");
    assert_guest_hears_nothing();
    guest_says(VSOCK_RESET, 60, 0);
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT, GUEST_PORT, 0);
    close(fd);
    close(listener);
    unlink(address_of("_60").sun_path);
}

/* Such requests break the device, which closes what it had; a reset mends it. */
static void assert_breaks(unsigned queue, const struct driver_part *parts, unsigned count)
{
    int fd = establish();
    if (queue == VSOCK_RX)
        for (uint32_t head, written, i = 0; i < RX_BUFFERS; i++) { /* use up the good ones */
            guest_says(VSOCK_DATA, 1, 2);
            driver_take(&driver, VSOCK_RX, &head, &written);
        }
    driver_add(&driver, queue, 0, parts, count);
    driver_notify(&driver, queue);
    if (queue == VSOCK_RX)
        guest_says(VSOCK_DATA, 1, 2);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    assert_host_reads_end(fd);
    close(fd);
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, ~0ull);
    give_buffers();
    fd = host_connects("CONNECT 9\n");
    assert_guest_hears(VSOCK_REQUEST, FIRST_HOST_PORT + 1, 9, 0);
    close(fd);
}

static void a_packet_without_a_header_breaks(void **state)
{
    (void)state;
    const struct driver_part part = {TX_AT, sizeof(struct vsock_header) - 1, false};
    assert_breaks(VSOCK_TX, &part, 1);
}

static void a_writable_packet_breaks(void **state)
{
    (void)state;
    const struct driver_part parts[] = {{TX_AT, 64, false}, {TX_AT, 64, true}};
    assert_breaks(VSOCK_TX, parts, 2);
}

static void a_buffer_without_room_breaks(void **state)
{
    (void)state;
    const struct driver_part part = {RX_AT, sizeof(struct vsock_header), true};
    assert_breaks(VSOCK_RX, &part, 1);
}

static void a_buffer_out_of_memory_breaks(void **state)
{
    (void)state;
    const struct driver_part part = {DRIVER_MEMORY_SIZE - 16, 4096, true};
    assert_breaks(VSOCK_RX, &part, 1);
}

/* ---- what can't be made ---- */

static void settings_are_checked(void **state)
{
    (void)state;
    struct error err = {0};
    char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_null(virtio_vsock_create("v", 2, "/tmp/never", &err));
    assert_non_null(strstr(err.text, "CID"));
    assert_null(virtio_vsock_create("v", UINT32_MAX, "/tmp/never", &err));
    assert_null(virtio_vsock_create("v", 3, long_path, &err));
    assert_non_null(strstr(err.text, "too long"));
    assert_null(virtio_vsock_create("v", 3, "/nonexistent/directory/socket", &err));
    assert_int_equal(err.code, ENOENT);
}

static void a_socket_that_is_there_is_not_taken(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(virtio_vsock_create("v", 3, path, &err));
    assert_int_equal(err.code, EADDRINUSE);
    uint64_t cid;
    virtio_device_read_config(driver.device, 0, &cid, sizeof cid);
    assert_int_equal(cid, GUEST);
}

#define with_device(test) cmocka_unit_test_setup_teardown(test, open_device, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_device(a_host_program_reaches_the_guest),
        with_device(what_follows_the_greeting_is_data),
        with_device(greetings_that_are_none_are_refused),
        with_device(the_guest_can_refuse),
        with_device(a_host_program_may_give_up),
        with_device(each_connection_has_a_port),
        with_device(the_guest_reaches_a_host_program),
        with_device(where_nobody_listens_the_guest_is_refused),
        with_device(the_host_sends_what_the_guest_has_credit_for),
        with_device(the_guest_sends_what_the_host_has_credit_for),
        with_device(more_than_the_credit_resets),
        with_device(a_guest_without_buffers_is_waited_for),
        with_device(the_host_can_end_its_half),
        with_device(the_guest_can_end_its_half),
        with_device(the_guest_can_end_its_reading),
        with_device(what_the_host_sent_before_it_closed_arrives),
        with_device(what_the_guest_sent_before_it_closed_arrives),
        with_device(a_reset_of_the_device_ends_all),
        with_device(a_transport_reset_is_told),
        with_device(packets_of_no_connection_are_reset),
        with_device(other_addresses_and_types_are_refused),
        with_device(nonsense_resets_the_connection),
        with_device(data_after_its_end_resets),
        with_device(answers_are_bounded),
        with_device(connections_are_bounded),
        with_device(a_packet_without_a_header_breaks),
        with_device(a_writable_packet_breaks),
        with_device(a_buffer_without_room_breaks),
        with_device(a_buffer_out_of_memory_breaks),
        with_device(a_socket_that_is_there_is_not_taken),
        cmocka_unit_test(settings_are_checked),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
