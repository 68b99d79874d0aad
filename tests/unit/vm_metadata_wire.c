/* vm/device/metadata_wire and metadata_tcp: segments made by hand, at times made by hand, and the
 * kernel's own TCP as a client through a tap in a network namespace of the test's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "vm/device/metadata_tcp.h"
#include "vm/device/net.h"
#include "vm_driver.h"
#include "vm_net_socket.h"

#define ADDRESS 0xa9fea9feu /* 169.254.169.254 */

static struct tcp tcp;
static int64_t now;
static const struct tcp_peer peer = {{2, 0, 0, 0, 0, 1}, {169, 254, 0, 1}};

/* Answers each line: with a number, by so many bytes; "bye" closes. */
static char *answer_line(void *context, const char *request, size_t size, size_t *taken,
                         size_t *response_size, bool *close)
{
    const char *end = memchr(request, '\n', size);
    (void)context;
    if (!end)
        return NULL;
    *taken = (size_t)(end - request) + 1;
    *response_size = (size_t)strtoul(request, NULL, 10);
    *close = strncmp(request, "bye", 3) == 0;
    char *response = memory_allocate(1, *response_size + 1);
    for (size_t i = 0; i < *response_size; i++)
        response[i] = (char)(i * 5 + i / 253);
    return response;
}

static int open_tcp(void **state)
{
    (void)state;
    tcp = (struct tcp){.answerer = {.answer = answer_line}};
    now = 1000000;
    return 0;
}

static int close_tcp(void **state)
{
    (void)state;
    tcp_forget(&tcp);
    assert_int_equal(tcp.metrics.connections_created, tcp.metrics.connections_destroyed);
    return 0;
}

/* ---- a guest whose segments are made by hand ---- */

struct guest {
    uint16_t port;
    uint32_t next, received; /* of its own bytes; and what it acknowledges */
    uint16_t window;
};

static void send_segment(struct guest *guest, uint8_t flags, const void *payload, size_t size)
{
    const struct tcp_segment segment = {.guest_port = guest->port,
                                        .service_port = TCP_SERVICE_PORT,
                                        .sequence = guest->next,
                                        .acknowledgement = guest->received,
                                        .window = guest->window,
                                        .segment_size = flags & TCP_SYN ? 1000 : 0,
                                        .flags = flags,
                                        .payload = payload,
                                        .size = size};
    tcp_take(&tcp, &peer, &segment, now);
    guest->next += (uint32_t)size + !!(flags & (TCP_SYN | TCP_FIN));
}

static struct tcp_segment receive_segment(void)
{
    struct tcp_segment segment;
    struct tcp_peer to;
    assert_true(tcp_next(&tcp, &to, &segment, now));
    assert_memory_equal(&to, &peer, sizeof peer);
    return segment;
}

static void assert_silence(void)
{
    struct tcp_segment segment;
    struct tcp_peer to;
    assert_false(tcp_next(&tcp, &to, &segment, now));
}

static struct guest connect_guest(uint16_t port)
{
    struct guest guest = {.port = port, .next = 0xfffffff0u, .window = 5000};
    send_segment(&guest, TCP_SYN, NULL, 0);
    struct tcp_segment segment = receive_segment();
    assert_int_equal(segment.flags, TCP_SYN | TCP_ACK);
    assert_int_equal(segment.acknowledgement, guest.next);
    assert_int_equal(segment.segment_size, TCP_PAYLOAD_MAX);
    assert_int_equal(segment.guest_port, port);
    guest.received = segment.sequence + 1;
    send_segment(&guest, TCP_ACK, NULL, 0);
    assert_silence();
    return guest;
}

/* Receives the answer's next segment, in order. */
static struct tcp_segment receive_data(struct guest *guest, size_t at, size_t size)
{
    struct tcp_segment segment = receive_segment();
    assert_int_equal(segment.sequence, guest->received);
    assert_int_equal(segment.size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(segment.payload[i], (uint8_t)((at + i) * 5 + (at + i) / 253));
    guest->received += (uint32_t)size;
    return segment;
}

static void requests_are_answered(void **state)
{
    (void)state;
    struct guest guest = connect_guest(1);
    for (unsigned i = 0; i < 3; i++) { /* around the sequence numbers' end */
        send_segment(&guest, TCP_ACK, "2500\n", 5);
        struct tcp_segment segment = receive_data(&guest, 0, 1000);
        assert_int_equal(segment.acknowledgement, guest.next);
        receive_data(&guest, 1000, 1000);
        segment = receive_data(&guest, 2000, 500);
        assert_true(segment.flags & TCP_PSH);
        assert_silence();
        send_segment(&guest, TCP_ACK, NULL, 0);
        assert_silence();
    }
}

static void a_request_may_come_in_pieces(void **state)
{
    (void)state;
    struct guest guest = connect_guest(1);
    send_segment(&guest, TCP_ACK, "1", 1);
    assert_int_equal(receive_segment().acknowledgement, guest.next);
    guest.next--; /* again, with more */
    send_segment(&guest, TCP_ACK, "10", 2);
    assert_int_equal(receive_segment().acknowledgement, guest.next);
    guest.next++; /* a hole */
    send_segment(&guest, TCP_ACK, "\n", 1);
    assert_int_equal(receive_segment().acknowledgement, guest.next - 2);
    guest.next -= 2;
    send_segment(&guest, TCP_ACK, "\n5\n", 3);
    receive_data(&guest, 0, 10);
    send_segment(&guest, TCP_ACK, NULL, 0);
    receive_data(&guest, 0, 5);
    assert_silence();
}

static void what_is_lost_comes_again(void **state)
{
    (void)state;
    struct guest guest = connect_guest(1);
    send_segment(&guest, TCP_ACK, "3000\n", 5);
    receive_data(&guest, 0, 1000);
    receive_segment();
    receive_segment();
    send_segment(&guest, TCP_ACK, NULL, 0); /* the first has arrived */
    assert_silence();
    int64_t wait = tcp_turn(&tcp, now);
    assert_true(wait > 0);
    assert_silence();
    now += wait;
    tcp_turn(&tcp, now);
    receive_data(&guest, 1000, 1000);
    /* It had the others after all: an acknowledgement of more than was sent again. */
    guest.received += 1000;
    send_segment(&guest, TCP_ACK, "7\n", 2);
    receive_data(&guest, 0, 7);
    assert_silence();
}

static void a_guest_that_is_gone_is_given_up(void **state)
{
    (void)state;
    struct guest guest = connect_guest(1);
    unsigned sent = 0;
    send_segment(&guest, TCP_ACK, "10\n", 3);
    for (;;) {
        struct tcp_segment segment = receive_segment();
        if (segment.flags & TCP_RST)
            break;
        assert_true(++sent < 20);
        int64_t wait = tcp_turn(&tcp, now);
        assert_true(wait >= 0);
        now += wait;
        tcp_turn(&tcp, now);
    }
    assert_int_equal(tcp.metrics.connections_destroyed, 1);
    assert_int_equal(tcp_turn(&tcp, now), -1);
}

static void the_window_is_kept(void **state)
{
    (void)state;
    struct guest guest = connect_guest(1);
    guest.window = 1500;
    send_segment(&guest, TCP_ACK, "3000\n", 5);
    receive_data(&guest, 0, 1000);
    receive_data(&guest, 1000, 500);
    assert_silence();
    guest.window = 0;
    send_segment(&guest, TCP_ACK, NULL, 0);
    assert_silence();
    now += tcp_turn(&tcp, now); /* a probe */
    tcp_turn(&tcp, now);
    struct tcp_segment probe = receive_segment();
    assert_int_equal(probe.size, 1);
    guest.window = 9000;
    send_segment(&guest, TCP_ACK, NULL, 0);
    now += tcp_turn(&tcp, now);
    tcp_turn(&tcp, now);
    guest.received = probe.sequence;
    receive_data(&guest, 1500, 1000);
}

static void both_sides_can_close(void **state)
{
    (void)state;
    struct guest guest = connect_guest(1);
    send_segment(&guest, TCP_ACK | TCP_FIN, "4\n", 2); /* the guest first */
    assert_int_equal(receive_data(&guest, 0, 4).acknowledgement, guest.next);
    send_segment(&guest, TCP_ACK, NULL, 0);
    assert_true(receive_segment().flags & TCP_FIN);
    guest.received++;
    send_segment(&guest, TCP_ACK, NULL, 0);
    assert_int_equal(tcp.metrics.connections_destroyed, 1);

    guest = connect_guest(2);
    send_segment(&guest, TCP_ACK, "bye\n", 4); /* the service first */
    assert_true(receive_segment().flags & TCP_FIN);
    guest.received++;
    send_segment(&guest, TCP_ACK, NULL, 0);
    assert_silence();
    send_segment(&guest, TCP_ACK | TCP_FIN, NULL, 0);
    assert_int_equal(receive_segment().acknowledgement, guest.next);
    assert_int_equal(tcp.metrics.connections_destroyed, 2);
}

static void an_unfinished_request_is_closed(void **state)
{
    (void)state;
    static char bytes[TCP_REQUEST_MAX];
    struct guest guest = connect_guest(1);
    send_segment(&guest, TCP_ACK | TCP_FIN, "12", 2);
    assert_true(receive_segment().flags & TCP_FIN);
    guest = connect_guest(2);
    memset(bytes, 'x', sizeof bytes);
    send_segment(&guest, TCP_ACK, bytes, sizeof bytes);
    struct tcp_segment segment = receive_segment();
    assert_int_equal(segment.window, 0);
    assert_true(segment.flags & TCP_FIN);
}

static void only_a_fitting_reset_resets(void **state)
{
    (void)state;
    struct guest guest = connect_guest(1);
    guest.next += 5;
    send_segment(&guest, TCP_RST, NULL, 0);
    assert_int_equal(tcp.metrics.connections_destroyed, 0);
    guest.next -= 5;
    send_segment(&guest, TCP_RST, NULL, 0);
    assert_int_equal(tcp.metrics.connections_destroyed, 1);
    assert_silence();
}

static void segments_of_no_connection_are_reset(void **state)
{
    (void)state;
    struct guest guest = {.port = 9, .next = 100, .received = 777};
    send_segment(&guest, TCP_ACK, "x", 1);
    struct tcp_segment segment = receive_segment();
    assert_int_equal(segment.flags, TCP_RST);
    assert_int_equal(segment.sequence, 777);
    send_segment(&guest, TCP_FIN, NULL, 0);
    segment = receive_segment();
    assert_int_equal(segment.flags, TCP_RST | TCP_ACK);
    assert_int_equal(segment.acknowledgement, 102);
    send_segment(&guest, TCP_RST, NULL, 0);
    assert_silence();
    for (unsigned i = 0; i < 100; i++) /* bounded */
        send_segment(&guest, TCP_ACK, NULL, 0);
    for (unsigned i = 0; i < TCP_RESETS_MAX; i++)
        receive_segment();
    assert_silence();
}

static void other_ports_are_refused(void **state)
{
    (void)state;
    const struct tcp_segment segment = {
        .guest_port = 5, .service_port = 22, .sequence = 9, .flags = TCP_SYN};
    tcp_take(&tcp, &peer, &segment, now);
    struct tcp_segment answer = receive_segment();
    assert_int_equal(answer.flags, TCP_RST | TCP_ACK);
    assert_int_equal(answer.service_port, 22);
    assert_int_equal(tcp.metrics.connections_created, 0);
}

static void the_oldest_of_too_many_goes(void **state)
{
    (void)state;
    struct guest guests[TCP_CONNECTIONS_MAX];
    for (uint16_t i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        guests[i] = connect_guest((uint16_t)(100 + i));
        now++;
    }
    send_segment(&guests[0], TCP_ACK, "1\n", 2); /* it isn't the oldest any more */
    receive_data(&guests[0], 0, 1);
    struct guest more = {.port = 1, .window = 100};
    send_segment(&more, TCP_SYN, NULL, 0);
    struct tcp_segment segment = receive_segment();
    assert_true(segment.flags & TCP_RST);
    assert_int_equal(segment.guest_port, 101);
    assert_int_equal(receive_segment().flags, TCP_SYN | TCP_ACK);
    assert_int_equal(tcp.metrics.connections_created - tcp.metrics.connections_destroyed,
                     TCP_CONNECTIONS_MAX);
}

static void a_lost_greeting_comes_again(void **state)
{
    (void)state;
    struct guest guest = {.port = 1, .next = 50, .window = 1000};
    send_segment(&guest, TCP_SYN, NULL, 0);
    uint32_t first = receive_segment().sequence;
    guest.next--;
    send_segment(&guest, TCP_SYN, NULL, 0);
    assert_int_equal(receive_segment().sequence, first);
    guest.next = 5000; /* another connection with the same port */
    send_segment(&guest, TCP_SYN, NULL, 0);
    assert_int_equal(receive_segment().acknowledgement, 5001);
    guest.received = first + 99; /* an answer to nothing */
    send_segment(&guest, TCP_ACK, NULL, 0);
    assert_true(receive_segment().flags & TCP_RST);
}

static void rubbish_is_borne(void **state)
{
    (void)state;
    uint32_t random = 7;
    struct guest guest = connect_guest(1);
    for (unsigned i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        struct tcp_segment segment = {.guest_port = (uint16_t)(random >> 8 & 63),
                                      .service_port = TCP_SERVICE_PORT,
                                      .sequence = guest.next + (random >> 20 & 31) - 8,
                                      .acknowledgement = guest.received + (random >> 15 & 15) - 4,
                                      .window = (uint16_t)(random >> 3),
                                      .flags = (uint8_t)(random >> 24 & 31),
                                      .payload = (const uint8_t *)"99\nbye\n4",
                                      .size = random >> 29};
        struct tcp_peer to;
        tcp_take(&tcp, &peer, &segment, now);
        for (unsigned count = random & 3; count > 0; count--)
            tcp_next(&tcp, &to, &segment, now);
        now += random & 255;
        tcp_turn(&tcp, now);
    }
}

/* ---- frames ---- */

static struct in_addr service_address(void)
{
    return (struct in_addr){htonl(ADDRESS)};
}

static size_t make_arp(uint8_t *frame)
{
    static const uint8_t bytes[42] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0,   1,   8,   6,
                                      0,   1,   8,   0,   6,   4,   0, 1, 2, 0, 0,   0,   0,   1,
                                      169, 254, 0,   1,   0,   0,   0, 0, 0, 0, 169, 254, 169, 254};
    memcpy(frame, bytes, sizeof bytes);
    return sizeof bytes;
}

static void frames_for_others_are_left_alone(void **state)
{
    (void)state;
    const struct metadata_answerer answerer = {.answer = answer_line};
    struct metadata_wire *wire = metadata_wire_create(service_address(), &answerer);
    uint8_t frame[METADATA_FRAME_MAX] = {0};
    size_t size = make_arp(frame);
    assert_true(metadata_wire_is_for(wire, frame, size));
    for (size_t shorter = 0; shorter < size; shorter++)
        assert_false(metadata_wire_is_for(wire, frame, shorter));
    frame[41]++;
    assert_false(metadata_wire_is_for(wire, frame, size));
    frame[41]--;
    frame[21] = 2; /* a reply */
    assert_false(metadata_wire_is_for(wire, frame, size));
    memset(frame, 0, sizeof frame);
    frame[12] = 8;
    frame[14] = 0x45;
    memcpy(frame + 30, (uint8_t[]){169, 254, 169, 254}, 4);
    assert_true(metadata_wire_is_for(wire, frame, 34));
    assert_false(metadata_wire_is_for(wire, frame, 33));
    metadata_wire_take(wire, frame, 34); /* but it isn't TCP */
    assert_int_equal(metadata_wire_metrics(wire)->rx_bad, 1);
    assert_int_equal(metadata_wire_next(wire, frame), 0);
    metadata_wire_set_address(wire, (struct in_addr){htonl(0xa9fe0102u)});
    make_arp(frame);
    assert_false(metadata_wire_is_for(wire, frame, size));
    metadata_wire_release(wire);
}

static void malformed_packets_are_dropped(void **state)
{
    (void)state;
    const struct metadata_answerer answerer = {.answer = answer_line};
    struct metadata_wire *wire = metadata_wire_create(service_address(), &answerer);
    uint8_t good[58] = {[12] = 8,    [14] = 0x45,    [17] = 44, [23] = 6, [35] = 9, [37] = 80,
                        [46] = 0x60, [47] = TCP_SYN, [54] = 2,  [55] = 4, [56] = 1, [57] = 0};
    static const struct {
        unsigned at;
        uint8_t value;
    } bad[] = {{14, 0x65}, {14, 0x44}, {14, 0x4f}, {17, 45},   {16, 1},    {17, 39},
               {20, 0x20}, {21, 1},    {23, 17},   {46, 0x40}, {46, 0x70}, {46, 0xf0}};
    uint8_t frame[METADATA_FRAME_MAX];
    memcpy(good + 30, (uint8_t[]){169, 254, 169, 254}, 4);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(frame, good, sizeof good);
        frame[bad[i].at] = bad[i].value;
        metadata_wire_take(wire, frame, sizeof good);
        assert_int_equal(metadata_wire_metrics(wire)->rx_bad, i + 1);
    }
    for (uint8_t length = 0; length < 8; length++) { /* options that end anywhere */
        memcpy(frame, good, sizeof good);
        frame[55] = length;
        metadata_wire_take(wire, frame, sizeof good);
    }
    assert_int_equal(metadata_wire_metrics(wire)->connections_created, 1);
    metadata_wire_release(wire);
}

/* Through the network device: what is for the service never reaches the network. */
static void the_device_asks_the_service(void **state)
{
    (void)state;
    enum { RX_AT = DRIVER_BUFFERS, TX_AT = DRIVER_BUFFERS + 0x10000 };
    static struct driver driver;
    const struct metadata_answerer answerer = {.answer = answer_line};
    const struct virtio_net_settings settings = {
        .metadata = metadata_wire_create(service_address(), &answerer)};
    int fds[2];
    uint32_t head, written;
    uint8_t bytes[100];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    driver_open(&driver,
                virtio_net_create("eth0", net_socket_open(fds[0]), &settings, &driver.loop), ~0ull);
    const struct driver_part tx = {TX_AT, NET_HEADER_SIZE + 42, false};
    const struct driver_part rx = {RX_AT, 2048, true};
    uint8_t *frame = (uint8_t *)driver_at(&driver, TX_AT) + NET_HEADER_SIZE;
    make_arp(frame);
    driver_add(&driver, NET_TX, 0, &tx, 1);
    driver_notify(&driver, NET_TX);
    assert_true(driver_take(&driver, NET_TX, &head, &written));
    assert_int_equal(recv(fds[1], bytes, sizeof bytes, MSG_DONTWAIT), -1);
    driver_add(&driver, NET_RX, 0, &rx, 1); /* the answer has waited for a buffer */
    driver_notify(&driver, NET_RX);
    assert_true(driver_take(&driver, NET_RX, &head, &written));
    assert_int_equal(written, NET_HEADER_SIZE + 42);
    const uint8_t *reply = (uint8_t *)driver_at(&driver, RX_AT) + NET_HEADER_SIZE;
    assert_memory_equal(reply, frame + 6, 6);
    assert_int_equal(reply[21], 2);
    assert_memory_equal(reply + 28, frame + 38, 4);
    frame[41]++;
    driver_add(&driver, NET_TX, 0, &tx, 1);
    driver_notify(&driver, NET_TX);
    assert_int_equal(recv(fds[1], bytes, sizeof bytes, MSG_DONTWAIT), NET_HEADER_SIZE + 42);
    driver_close(&driver);
    close(fds[1]);
}

/* ---- the kernel as a client ---- */

static int tap = -1;
static struct metadata_wire *kernel_wire;

static void ignore(void *context)
{
    (void)context;
}

static void pump(void)
{
    uint8_t frame[METADATA_TAKE_MAX];
    ssize_t got;
    size_t size;
    while ((got = read(tap, frame, sizeof frame)) > 0) {
        if (metadata_wire_is_for(kernel_wire, frame, (size_t)got))
            metadata_wire_take(kernel_wire, frame, (size_t)got);
    }
    while ((size = metadata_wire_next(kernel_wire, frame)) > 0)
        assert_int_equal(write(tap, frame, size), size);
}

static bool open_tap(void)
{
    struct ifreq request = {.ifr_name = "hullmmds0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    if (unshare(CLONE_NEWNET) < 0)
        return false;
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0)
        return false;
    assert_int_equal(ioctl(tap, TUNSETIFF, &request), 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xa9fe0001u)};
    assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
    address->sin_addr.s_addr = htonl(0xffff0000u);
    assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &request), 0);
    request.ifr_flags = IFF_UP;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
    return true;
}

static int open_client(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = service_address(), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), -1);
    assert_int_equal(errno, EINPROGRESS);
    return fd;
}

/* Waits, moving frames, until the socket is ready. */
static void await(int fd, short events)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        struct pollfd polled[2] = {{fd, events, 0}, {tap, POLLIN, 0}};
        pump();
        poll(polled, 2, 10);
        if (polled[0].revents)
            return;
    }
    fail_msg("nothing came");
}

static void read_answer(int fd, size_t size)
{
    static uint8_t bytes[65536];
    for (size_t at = 0; at < size;) {
        await(fd, POLLIN);
        ssize_t got = read(fd, bytes, size - at < sizeof bytes ? size - at : sizeof bytes);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++, at++)
            assert_int_equal(bytes[i], (uint8_t)(at * 5 + at / 253));
    }
}

static void the_kernel_is_answered(void **state)
{
    (void)state;
    static char long_line[6000];
    struct loop loop;
    struct error err = {0};
    const struct metadata_answerer answerer = {.answer = answer_line};
    if (!open_tap())
        skip();
    assert_int_equal(loop_open(&loop, &err), 0);
    kernel_wire = metadata_wire_create(service_address(), &answerer);
    metadata_wire_attach(kernel_wire, &loop, ignore, NULL);

    int refused = open_client(81), error = 0;
    socklen_t error_size = sizeof error;
    await(refused, POLLOUT);
    getsockopt(refused, SOL_SOCKET, SO_ERROR, &error, &error_size);
    assert_int_equal(error, ECONNREFUSED);
    close(refused);

    int fd = open_client(80);
    await(fd, POLLOUT);
    assert_int_equal(write(fd, "300000\n17\n", 10), 10);
    read_answer(fd, 300000);
    read_answer(fd, 17);
    memset(long_line, ' ', sizeof long_line); /* more than a segment */
    memcpy(long_line + sizeof long_line - 4, "900\n", 4);
    assert_int_equal(write(fd, long_line, sizeof long_line), sizeof long_line);
    read_answer(fd, 900);
    assert_int_equal(write(fd, "bye\n", 4), 4);
    await(fd, POLLIN);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    close(fd);
    for (unsigned i = 0; i < 100 && metadata_wire_metrics(kernel_wire)->connections_destroyed == 0;
         i++) {
        poll(&(struct pollfd){tap, POLLIN, 0}, 1, 10);
        pump();
    }
    assert_int_equal(metadata_wire_metrics(kernel_wire)->connections_destroyed, 1);
    metadata_wire_release(kernel_wire);
    loop_close(&loop);
    close(tap);
}

#define with_tcp(test) cmocka_unit_test_setup_teardown(test, open_tcp, close_tcp)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_tcp(requests_are_answered),
        with_tcp(a_request_may_come_in_pieces),
        with_tcp(what_is_lost_comes_again),
        with_tcp(a_guest_that_is_gone_is_given_up),
        with_tcp(the_window_is_kept),
        with_tcp(both_sides_can_close),
        with_tcp(an_unfinished_request_is_closed),
        with_tcp(only_a_fitting_reset_resets),
        with_tcp(segments_of_no_connection_are_reset),
        with_tcp(other_ports_are_refused),
        with_tcp(the_oldest_of_too_many_goes),
        with_tcp(a_lost_greeting_comes_again),
        with_tcp(rubbish_is_borne),
        cmocka_unit_test(frames_for_others_are_left_alone),
        cmocka_unit_test(malformed_packets_are_dropped),
        cmocka_unit_test(the_device_asks_the_service),
        cmocka_unit_test(the_kernel_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
