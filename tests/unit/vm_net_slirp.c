/* vm/device/net_slirp: the user-mode network, as a guest without a kernel sees it: frames made and
 * read by hand, and programs on the host's loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/device/net.h"
#include "vm/device/net_slirp.h"
#include "vm_driver.h"

#define RX_SIZE 2048u
#define RX_BUFFERS 15u
#define RX_AT DRIVER_BUFFERS
#define TX_AT (DRIVER_BUFFERS + 0x80000u)

static struct driver driver;
static const uint8_t mac[6] = {6, 1, 2, 3, 4, 5};
static const uint8_t guest_address[4] = {10, 0, 2, 15}, host_address[4] = {10, 0, 2, 2};
static uint8_t host_mac[6];

static void open_with(const struct net_slirp_settings *settings)
{
    struct error err = {0};
    const struct virtio_net_settings device = {.has_mac = true, .mac = {6, 1, 2, 3, 4, 5}};
    struct net_backend *backend = net_slirp_open(settings, &err);
    if (!backend)
        fail_msg("%s", err.text);
    /* The driver opens the loop before anything watches it. */
    struct virtio_device *made = virtio_net_create("eth0", backend, &device, &driver.loop);
    driver_open(&driver, made, ~0ull);
    for (uint16_t i = 0; i < RX_BUFFERS; i++)
        driver_add(&driver, NET_RX, i, &(struct driver_part){RX_AT + i * RX_SIZE, RX_SIZE, true},
                   1);
    driver_notify(&driver, NET_RX);
}

/* ---- the guest ---- */

static void send_frame(const void *frame, uint32_t size)
{
    uint32_t head, written;
    memset(driver_at(&driver, TX_AT), 0, NET_HEADER_SIZE);
    memcpy((uint8_t *)driver_at(&driver, TX_AT) + NET_HEADER_SIZE, frame, size);
    driver_add(&driver, NET_TX, 0, &(struct driver_part){TX_AT, NET_HEADER_SIZE + size, false}, 1);
    driver_notify(&driver, NET_TX);
    assert_true(driver_take(&driver, NET_TX, &head, &written));
}

static void finish(struct loop_timer *timer)
{
    (void)timer;
    driver.loop.done = true;
}

/* Turns the loop, with its timers, for so long. */
static void pass(int milliseconds)
{
    struct loop_timer timer = {.expired = finish};
    loop_timer_set(&driver.loop, &timer, milliseconds);
    driver.loop.done = false;
    loop_run(&driver.loop);
}

static void answer_arp(const uint8_t *request);

/* The next frame of this kind of Ethernet, which must come within some seconds: its size. */
static uint32_t receive_frame(uint16_t type, uint8_t *frame)
{
    for (unsigned tries = 0; tries < 2000; tries++) {
        uint32_t head, written;
        while (driver_take(&driver, NET_RX, &head, &written)) {
            const uint8_t *bytes = driver_at(&driver, RX_AT + head * RX_SIZE);
            uint32_t size = written - NET_HEADER_SIZE;
            memcpy(frame, bytes + NET_HEADER_SIZE, size);
            driver_add(&driver, NET_RX, (uint16_t)head,
                       &(struct driver_part){RX_AT + head * RX_SIZE, RX_SIZE, true}, 1);
            driver_notify(&driver, NET_RX);
            if (size >= 14 && (frame[12] << 8 | frame[13]) == type)
                return size;
            if (size >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 1)
                answer_arp(frame);
        }
        pass(5);
    }
    fail_msg("no frame of type %#x came", type);
    return 0;
}

static void make_ethernet(uint8_t *frame, const uint8_t *to, uint16_t type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, mac, 6);
    frame[12] = (uint8_t)(type >> 8), frame[13] = (uint8_t)type;
}

static void make_arp(uint8_t *frame, uint8_t operation, const uint8_t *to, const uint8_t *address)
{
    static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
    make_ethernet(frame, to ? to : broadcast, 0x0806);
    memcpy(frame + 14, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, operation}, 8);
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, guest_address, 4);
    memcpy(frame + 32, to ? to : (const uint8_t[6]){0}, 6);
    memcpy(frame + 38, address, 4);
}

static void answer_arp(const uint8_t *request)
{
    uint8_t frame[60] = {0};
    make_arp(frame, 2, request + 6, request + 28);
    send_frame(frame, sizeof frame);
}

static uint16_t checksum(const uint8_t *bytes, size_t size, uint32_t sum)
{
    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* An IPv4 header and, without a checksum, a UDP header around the payload: the frame's size. */
static uint32_t make_udp(uint8_t *frame, const uint8_t *from, const uint8_t *to, uint16_t from_port,
                         uint16_t to_port, const void *payload, uint16_t size)
{
    uint16_t total = (uint16_t)(28 + size), length = (uint16_t)(8 + size);
    uint8_t *ip = frame + 14, *udp = frame + 34;
    make_ethernet(frame, host_mac, 0x0800);
    memset(ip, 0, 28);
    ip[0] = 0x45, ip[2] = (uint8_t)(total >> 8), ip[3] = (uint8_t)total, ip[8] = 64, ip[9] = 17;
    memcpy(ip + 12, from, 4);
    memcpy(ip + 16, to, 4);
    uint16_t sum = checksum(ip, 20, 0);
    ip[10] = (uint8_t)(sum >> 8), ip[11] = (uint8_t)sum;
    udp[0] = (uint8_t)(from_port >> 8), udp[1] = (uint8_t)from_port;
    udp[2] = (uint8_t)(to_port >> 8), udp[3] = (uint8_t)to_port;
    udp[4] = (uint8_t)(length >> 8), udp[5] = (uint8_t)length;
    memcpy(udp + 8, payload, size);
    return 42u + size;
}

static void find_host(void)
{
    uint8_t frame[RX_SIZE] = {0};
    make_arp(frame, 1, NULL, host_address);
    send_frame(frame, 60);
    receive_frame(0x0806, frame);
    assert_int_equal(frame[21], 2);
    assert_memory_equal(frame + 28, host_address, 4);
    memcpy(host_mac, frame + 22, 6);
}

/* ---- tests ---- */

static void no_offloads_are_offered(void **state)
{
    (void)state;
    open_with(&(struct net_slirp_settings){0});
    assert_int_equal(driver.device->features & (NET_CSUM | NET_GUEST_CSUM | NET_HOST_TSO4), 0);
    driver_close(&driver);
}

static void dhcp_gives_an_address(void **state)
{
    (void)state;
    uint8_t frame[RX_SIZE] = {0}, message[300] = {1, 1, 6, 0, 1, 2, 3, 4};
    static const uint8_t all[4] = {255, 255, 255, 255}, none[4] = {0};
    open_with(&(struct net_slirp_settings){.hostname = "guest"});
    memcpy(message + 28, mac, 6);
    memcpy(message + 236, (uint8_t[]){99, 130, 83, 99, 53, 1, 1, 255}, 8); /* discover */
    memset(host_mac, 255, 6);
    send_frame(frame, make_udp(frame, none, all, 68, 67, message, sizeof message));
    uint32_t size = receive_frame(0x0800, frame);
    assert_true(size > 42 + 240);
    assert_int_equal(frame[42], 2); /* a reply */
    assert_memory_equal(frame + 42 + 16, guest_address, 4);
    assert_memory_equal(frame + 42 + 240, ((uint8_t[]){53, 1, 2}), 3); /* offer */
    driver_close(&driver);
}

/* A socket on the host's loopback; its port. */
static int open_host(int type, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void datagrams_go_both_ways(void **state)
{
    (void)state;
    uint16_t port;
    uint8_t frame[RX_SIZE], got[100];
    struct sockaddr_in from;
    socklen_t from_size = sizeof from;
    int fd = open_host(SOCK_DGRAM, &port);
    open_with(&(struct net_slirp_settings){.host_loopback = true});
    find_host();
    for (unsigned i = 0; i < 20; i++) {
        send_frame(frame, make_udp(frame, guest_address, host_address, 5000, port, "question", 8));
        assert_int_equal(recvfrom(fd, got, sizeof got, 0, (struct sockaddr *)&from, &from_size), 8);
        assert_memory_equal(got, "question", 8);
        assert_int_equal(sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, from_size), 6);
        uint32_t size = receive_frame(0x0800, frame);
        assert_true(size >= 48);
        assert_memory_equal(frame + 26, host_address, 4);
        assert_memory_equal(frame + 42, "answer", 6);
    }
    close(fd);
    driver_close(&driver);
}

static void the_hosts_loopback_is_out_of_reach(void **state)
{
    (void)state;
    uint16_t port;
    uint8_t frame[RX_SIZE], byte;
    int fd = open_host(SOCK_DGRAM, &port);
    open_with(&(struct net_slirp_settings){0});
    find_host();
    send_frame(frame, make_udp(frame, guest_address, host_address, 5000, port, "question", 8));
    pass(50);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    close(fd);
    driver_close(&driver);
}

static void ports_are_forwarded(void **state)
{
    (void)state;
    struct error err = {0};
    uint8_t frame[RX_SIZE];
    uint16_t port;
    int fd = open_host(SOCK_STREAM, &port);
    struct net_slirp_forward forward = {
        .host_address.s_addr = htonl(INADDR_LOOPBACK), .host_port = port, .guest_port = 80};
    const struct net_slirp_settings settings = {.forwards = &forward, .forward_count = 1};
    assert_int_equal(listen(fd, 1), 0);
    assert_null(net_slirp_open(&settings, &err)); /* it is somebody's */
    assert_non_null(strstr(err.text, "127.0.0.1"));
    close(fd);
    open_with(&settings);
    find_host();
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    uint32_t size = receive_frame(0x0800, frame);
    assert_true(size >= 54);
    assert_int_equal(frame[23], 6); /* TCP */
    assert_memory_equal(frame + 30, guest_address, 4);
    assert_int_equal(frame[36] << 8 | frame[37], 80);
    assert_int_equal(frame[47], 2); /* SYN */
    close(client);
    driver_close(&driver);
}

/* Whatever a guest sends: nothing is to be seen but that it is borne. */
static void rubbish_is_borne(void **state)
{
    (void)state;
    static uint8_t frame[RX_SIZE];
    uint32_t random = 1;
    open_with(&(struct net_slirp_settings){.is_restricted = true});
    find_host();
    for (unsigned i = 0; i < 3000; i++) {
        for (unsigned at = 0; at < 200; at++)
            frame[at] = (uint8_t)((random = random * 1103515245 + 12345) >> 16);
        make_ethernet(frame, host_mac, i % 3 == 0 ? 0x0800 : i % 3 == 1 ? 0x86dd : 0x0806);
        frame[14] = i % 3 == 0 ? 0x45 : 0x60;
        send_frame(frame, 14 + random % 180);
    }
    find_host();
    driver_close(&driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_offloads_are_offered),
        cmocka_unit_test(dhcp_gives_an_address),
        cmocka_unit_test(datagrams_go_both_ways),
        cmocka_unit_test(the_hosts_loopback_is_out_of_reach),
        cmocka_unit_test(ports_are_forwarded),
        cmocka_unit_test(rubbish_is_borne),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
