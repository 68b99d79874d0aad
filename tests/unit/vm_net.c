/* vm/device/virtio_net: a guest's driver on one side; on the other a socket for the network, or a
 * tap in a network namespace of the test's own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/device/net.h"
#include "vm/log.h"
#include "vm_driver.h"
#include "vm_net_socket.h"

#define RX_SIZE 2048u
#define RX_BUFFERS 14u
#define RX_AT DRIVER_BUFFERS
#define TX_AT (DRIVER_BUFFERS + 0x80000u)
#define CONTROL_AT (DRIVER_BUFFERS + 0x100000u)

static struct driver driver;
static int network; /* the other end of the device's socket */
static struct virtio_net_settings settings;

static const uint8_t mac[6] = {6, 0, 0xac, 0x10, 0, 1};

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

/* ---- the guest ---- */

static void give_buffer(uint16_t index)
{
    const struct driver_part part = {RX_AT + index * RX_SIZE, RX_SIZE, true};
    driver_add(&driver, NET_RX, index, &part, 1);
}

static void give_buffers(unsigned count)
{
    for (uint16_t i = 0; i < count; i++)
        give_buffer(i);
    driver_notify(&driver, NET_RX);
}

/* Takes a packet that came, from its buffers: its size, or 0. The buffers are not given back. */
static uint32_t guest_receives(struct net_header *header, uint8_t *packet)
{
    uint32_t head, written, size = 0;
    if (!driver_take(&driver, NET_RX, &head, &written))
        return 0;
    memcpy(header, driver_at(&driver, RX_AT + head * RX_SIZE), sizeof *header);
    for (unsigned i = 0; i < header->buffers; i++) {
        if (i > 0)
            assert_true(driver_take(&driver, NET_RX, &head, &written));
        assert_in_range(written, 1, RX_SIZE);
        memcpy(packet + size, driver_at(&driver, RX_AT + head * RX_SIZE), written);
        size += written;
    }
    return size;
}

/* Puts a packet, header and frame, into the queue without telling. */
static void guest_queues(uint16_t slot, const void *packet, uint32_t size)
{
    uint32_t first = size < 17 ? size : 17; /* the header in a part with the frame's beginning */
    uint64_t at = TX_AT + slot * 0x2000u;
    const struct driver_part parts[2] = {{at, first, false}, {at + 0x1000, size - first, false}};
    memcpy(driver_at(&driver, at), packet, first);
    memcpy(driver_at(&driver, at + 0x1000), (const uint8_t *)packet + first, size - first);
    driver_add(&driver, NET_TX, slot, parts, size > first ? 2 : 1);
}

static void guest_sends(const void *packet, uint32_t size)
{
    uint32_t head, written;
    guest_queues(0, packet, size);
    driver_notify(&driver, NET_TX);
    assert_true(driver_take(&driver, NET_TX, &head, &written));
    assert_int_equal(written, 0);
}

/* A packet whose frame is a pattern. */
static uint32_t make_packet(uint8_t *packet, uint32_t frame_size, uint8_t seed)
{
    memset(packet, 0, NET_HEADER_SIZE);
    for (uint32_t i = 0; i < frame_size; i++)
        packet[NET_HEADER_SIZE + i] = (uint8_t)(seed + i * 3 + i / 256);
    memcpy(packet + NET_HEADER_SIZE + 6, mac, 6);
    return NET_HEADER_SIZE + frame_size;
}

static uint8_t control(const void *command, uint32_t size)
{
    uint32_t head, written;
    const struct driver_part parts[2] = {{CONTROL_AT, size, false}, {CONTROL_AT + 4096, 1, true}};
    memcpy(driver_at(&driver, CONTROL_AT), command, size);
    *(uint8_t *)driver_at(&driver, CONTROL_AT + 4096) = 77;
    driver_add(&driver, NET_CONTROLS, 0, parts, 2);
    driver_notify(&driver, NET_CONTROLS);
    assert_true(driver_take(&driver, NET_CONTROLS, &head, &written));
    assert_int_equal(written, 1);
    return *(uint8_t *)driver_at(&driver, CONTROL_AT + 4096);
}

/* ---- the network ---- */

static void network_sends(uint32_t frame_size, uint8_t seed)
{
    static uint8_t packet[NET_PACKET_MAX];
    uint32_t size = make_packet(packet, frame_size, seed);
    assert_int_equal(send(network, packet, size, 0), size);
    driver_turn(&driver, 0);
}

static void assert_guest_receives(uint32_t frame_size, uint8_t seed)
{
    static uint8_t packet[NET_PACKET_MAX], wanted[NET_PACKET_MAX];
    struct net_header header;
    uint32_t size = make_packet(wanted, frame_size, seed);
    assert_int_equal(guest_receives(&header, packet), size);
    assert_memory_equal(packet + NET_HEADER_SIZE, wanted + NET_HEADER_SIZE, frame_size);
    assert_int_equal(header.buffers, (size + RX_SIZE - 1) / RX_SIZE);
    assert_int_equal(header.flags, 0);
}

static void assert_network_receives(const void *packet, uint32_t size)
{
    static uint8_t got[NET_PACKET_MAX];
    assert_int_equal(recv(network, got, sizeof got, MSG_DONTWAIT), size);
    assert_memory_equal(got, packet, size);
}

static void assert_network_receives_nothing(void)
{
    uint8_t byte;
    assert_int_equal(recv(network, &byte, 1, MSG_DONTWAIT), -1);
}

static void finish(struct loop_timer *timer)
{
    (void)timer;
    driver.loop.done = true;
}

/* Lets the loop's timers run for so long. */
static void pass(int milliseconds)
{
    struct loop_timer timer = {.expired = finish};
    loop_timer_set(&driver.loop, &timer, milliseconds);
    driver.loop.done = false;
    loop_run(&driver.loop);
}

/* ---- devices ---- */

static void open_with(struct net_backend *backend, uint64_t features)
{
    /* The device needs the loop before the driver has opened it; its address is the same. */
    struct virtio_device *device = virtio_net_create("eth0", backend, &settings, &driver.loop);
    driver_open(&driver, device, features);
}

static void open_socket(uint64_t features)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    network = fds[1];
    open_with(net_socket_open(fds[0]), features);
}

static int open_plain(void **state)
{
    (void)state;
    settings = (struct virtio_net_settings){.has_mac = true};
    memcpy(settings.mac, mac, 6);
    open_socket(NET_MAC | NET_CONTROL | NET_STATUS);
    return 0;
}

static int open_full(void **state)
{
    (void)state;
    settings = (struct virtio_net_settings){.has_mac = true, .mtu = 9000};
    memcpy(settings.mac, mac, 6);
    open_socket(~0ull);
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    driver_close(&driver);
    if (network >= 0)
        close(network);
    network = -1;
    return 0;
}

/* ---- configuration ---- */

static void the_configuration_is_told(void **state)
{
    (void)state;
    struct net_config config;
    assert_int_equal(driver.device->config_size, 12);
    virtio_device_read_config(driver.device, 0, &config, sizeof config);
    assert_memory_equal(config.mac, mac, 6);
    assert_int_equal(config.status, 1);
    assert_int_equal(config.mtu, 9000);
    uint64_t wanted = NET_MAC | NET_MTU | NET_STATUS | NET_MERGEABLE | NET_CONTROL | NET_CSUM |
                      NET_HOST_TSO4 | NET_GUEST_TSO6 | NET_CONTROL_GUEST_OFFLOADS;
    assert_int_equal(driver.device->features & wanted, wanted);
    assert_int_equal(driver.device->features & (NET_HOST_UFO | NET_HOST_USO), 0);
}

static void the_link_goes_down_and_up(void **state)
{
    (void)state;
    uint8_t packet[200];
    uint32_t size = make_packet(packet, 100, 1), head, written;
    struct net_header header;
    uint16_t status;
    give_buffers(4);
    virtio_net_set_link(driver.device, false);
    assert_int_equal(driver.config_interrupts, 1);
    virtio_device_read_config(driver.device, 6, &status, 2);
    assert_int_equal(status, 0);
    network_sends(100, 2);
    assert_int_equal(guest_receives(&header, packet), 0);
    guest_queues(0, packet, size);
    driver_notify(&driver, NET_TX);
    assert_network_receives_nothing();
    virtio_net_set_link(driver.device, true);
    driver_turn(&driver, 0);
    assert_int_equal(driver.config_interrupts, 2);
    assert_network_receives(packet, size);
    assert_true(driver_take(&driver, NET_TX, &head, &written));
    assert_guest_receives(100, 2);
}

/* ---- sending ---- */

static void frames_are_sent(void **state)
{
    (void)state;
    static uint8_t packet[NET_PACKET_MAX];
    for (uint32_t size = 14; size < 3000; size += 100) {
        uint32_t whole = make_packet(packet, size, (uint8_t)size);
        guest_sends(packet, whole);
        assert_network_receives(packet, whole);
    }
    assert_int_equal(virtio_net_metrics(driver.device)->tx_packets, 30);
    assert_int_equal(virtio_net_metrics(driver.device)->tx_malformed, 0);
    assert_int_equal(virtio_net_metrics(driver.device)->tx_spoofed_mac, 0);
    packet[NET_HEADER_SIZE + 6]++;
    guest_sends(packet, 100);
    assert_int_equal(virtio_net_metrics(driver.device)->tx_spoofed_mac, 1);
}

static void a_batch_is_one_interrupt(void **state)
{
    (void)state;
    uint8_t packet[200];
    uint32_t size = make_packet(packet, 100, 1), head, written;
    uint16_t *available = driver_at(&driver, 0x1000 + NET_TX * 0x1000 + 16 * DRIVER_QUEUE_SIZE);
    guest_queues(0, packet, size);
    driver_notify(&driver, NET_TX);
    unsigned before = driver.queue_interrupts[NET_TX];
    available[2 + DRIVER_QUEUE_SIZE] = 5; /* wanted after the sixth */
    for (uint16_t i = 0; i < 4; i++)
        guest_queues((uint16_t)(2 * i), packet, size);
    driver_notify(&driver, NET_TX);
    assert_int_equal(driver.queue_interrupts[NET_TX], before);
    for (uint16_t i = 0; i < 4; i++)
        guest_queues((uint16_t)(2 * i), packet, size);
    driver_notify(&driver, NET_TX);
    assert_int_equal(driver.queue_interrupts[NET_TX], before + 1);
    for (unsigned i = 0; i < 9; i++) {
        assert_true(driver_take(&driver, NET_TX, &head, &written));
        assert_network_receives(packet, size);
    }
}

static void a_full_network_is_waited_for(void **state)
{
    (void)state;
    static uint8_t packet[1600];
    uint32_t head, written, sent = 0, received = 0;
    while (driver_take(&driver, NET_TX, &head, &written) || sent == 0 ||
           !((struct net *)driver.device)->tx_blocked) {
        guest_queues(0, packet, make_packet(packet, 1500, (uint8_t)sent++));
        driver_notify(&driver, NET_TX);
        assert_true(sent < 100000);
    }
    for (uint32_t size; received < sent; received++) {
        size = make_packet(packet, 1500, (uint8_t)received);
        assert_network_receives(packet, size);
        driver_turn(&driver, 0);
    }
    assert_true(driver_take(&driver, NET_TX, &head, &written));
    assert_int_equal(virtio_net_metrics(driver.device)->tx_packets, sent);
}

struct bad_header {
    uint8_t flags, segmentation;
    uint16_t header_length, segment_size, checksum_start, checksum_offset;
};

/* The frame has 100 bytes. */
static void headers_are_checked(void **state)
{
    (void)state;
    static const struct bad_header bad[] = {
        {1, 0, 0, 0, 90, 9},                                /* checksum behind the end */
        {1, 0, 0, 0, 65535, 65535}, {0, 1, 54, 1000, 0, 0}, /* segments without a checksum */
        {1, 1, 54, 0, 34, 16},                              /* of no size */
        {1, 1, 101, 1000, 34, 16},                          /* headers behind the end */
        {1, 3, 54, 1000, 34, 16},                           /* not offered */
        {1, 5, 54, 1000, 34, 16},   {1, 2, 54, 1000, 34, 16},   {1, 0x81, 54, 1000, 34, 16},
        {1, 0x80, 0, 0, 34, 16},    {1, 255, 54, 1000, 34, 16},
    };
    uint8_t packet[200];
    uint32_t size = make_packet(packet, 100, 1);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(packet, &bad[i], sizeof bad[i]);
        guest_sends(packet, size);
        assert_network_receives_nothing();
        assert_int_equal(virtio_net_metrics(driver.device)->tx_malformed, i + 1);
    }
    struct net_header good = {1, 1, 54, 1000, 34, 16, 0};
    memcpy(packet, &good, sizeof good);
    guest_sends(packet, size);
    assert_network_receives(packet, size);
}

static void offloads_that_were_not_agreed_on_are_refused(void **state)
{
    (void)state;
    uint8_t packet[200];
    uint32_t size = make_packet(packet, 100, 1);
    struct net_header header = {1, 0, 0, 0, 34, 16, 0};
    memcpy(packet, &header, sizeof header);
    guest_sends(packet, size);
    header.segmentation = 1;
    memcpy(packet, &header, sizeof header);
    guest_sends(packet, size);
    assert_network_receives_nothing();
    assert_int_equal(virtio_net_metrics(driver.device)->tx_malformed, 2);
}

static void frames_of_no_size_are_refused(void **state)
{
    (void)state;
    uint8_t packet[64] = {0};
    const struct driver_part writable[] = {{TX_AT, 64, false}, {TX_AT + 4096, 64, true}};
    const struct driver_part huge[] = {{TX_AT, NET_PACKET_MAX + 1, false}};
    for (uint32_t size = 1; size < NET_HEADER_SIZE + 14; size++)
        guest_sends(packet, size);
    driver_add(&driver, NET_TX, 0, writable, 2);
    driver_add(&driver, NET_TX, 2, huge, 1);
    driver_notify(&driver, NET_TX);
    assert_network_receives_nothing();
    assert_int_equal(virtio_net_metrics(driver.device)->tx_malformed, NET_HEADER_SIZE + 13 + 2);
    assert_false(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

/* ---- receiving ---- */

static void frames_are_received(void **state)
{
    (void)state;
    for (uint32_t size = 14; size < RX_SIZE - NET_HEADER_SIZE; size += 113) {
        give_buffer(3);
        driver_notify(&driver, NET_RX);
        network_sends(size, (uint8_t)size);
        assert_guest_receives(size, (uint8_t)size);
    }
}

static void a_frame_takes_several_buffers(void **state)
{
    (void)state;
    give_buffers(RX_BUFFERS);
    network_sends(9000, 3);
    network_sends(60, 4);
    network_sends(RX_SIZE - NET_HEADER_SIZE, 5); /* exactly one */
    network_sends(RX_SIZE - NET_HEADER_SIZE + 1, 6);
    assert_guest_receives(9000, 3);
    assert_guest_receives(60, 4);
    assert_guest_receives(RX_SIZE - NET_HEADER_SIZE, 5);
    assert_guest_receives(RX_SIZE - NET_HEADER_SIZE + 1, 6);
    assert_int_equal(virtio_net_metrics(driver.device)->rx_packets, 4);
    assert_int_equal(driver.queue_interrupts[NET_RX], 1); /* the driver wants the first only */
}

static void what_came_is_kept_until_there_are_buffers(void **state)
{
    (void)state;
    static uint8_t packet[NET_PACKET_MAX];
    struct net_header header;
    network_sends(100, 1);
    network_sends(9000, 2);
    network_sends(200, 3);
    give_buffers(1);
    assert_guest_receives(100, 1);
    give_buffers(2); /* of the five that it takes */
    assert_int_equal(guest_receives(&header, packet), 0);
    for (uint16_t i = 2; i < 5; i++)
        give_buffer(i);
    driver_notify(&driver, NET_RX);
    assert_guest_receives(9000, 2);
    give_buffer(9);
    driver_notify(&driver, NET_RX);
    assert_guest_receives(200, 3);
    assert_int_equal(virtio_net_metrics(driver.device)->rx_dropped, 0);
    assert_int_equal(virtio_net_metrics(driver.device)->rx_no_buffers, 1);
}

static void what_never_fits_is_dropped(void **state)
{
    (void)state;
    give_buffers(3);
    network_sends(RX_SIZE, 1);
    network_sends(60, 2);
    assert_guest_receives(60, 2);
    network_sends(9000, 3);
    assert_int_equal(virtio_net_metrics(driver.device)->rx_dropped, 2);
}

static void what_the_whole_queue_has_no_room_for_is_dropped(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < DRIVER_QUEUE_SIZE; i++)
        give_buffer(i);
    driver_notify(&driver, NET_RX);
    network_sends(DRIVER_QUEUE_SIZE * RX_SIZE, 1);
    network_sends(60, 2);
    assert_guest_receives(60, 2);
    assert_int_equal(virtio_net_metrics(driver.device)->rx_dropped, 1);
}

static void the_flags_of_a_frame_are_passed_on(void **state)
{
    (void)state;
    uint8_t packet[200], got[RX_SIZE];
    struct net_header header = {1, 4, 74, 1400, 34, 16, 0}, received;
    uint32_t size = make_packet(packet, 100, 1);
    memcpy(packet, &header, sizeof header);
    give_buffers(2);
    assert_int_equal(send(network, packet, size, 0), size);
    driver_turn(&driver, 0);
    assert_int_equal(guest_receives(&received, got), size);
    header.buffers = 1;
    assert_memory_equal(&received, &header, sizeof header);
}

static void a_closed_network_is_borne(void **state)
{
    (void)state;
    give_buffers(2);
    close(network);
    network = -1;
    driver_turn(&driver, 0);
    assert_int_equal(virtio_net_metrics(driver.device)->rx_failures, 1);
    uint8_t packet[200];
    guest_sends(packet, make_packet(packet, 100, 1));
    assert_int_equal(virtio_net_metrics(driver.device)->tx_failures, 1);
}

static void assert_breaks_receiving(const struct driver_part *parts, unsigned count)
{
    driver_add(&driver, NET_RX, 0, parts, count);
    driver_notify(&driver, NET_RX);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
    virtio_device_set_status(driver.device, 0);
    driver_start(&driver, NET_MAC);
    frames_are_received(NULL);
}

static void malformed_buffers_break(void **state)
{
    (void)state;
    const struct driver_part small = {RX_AT, NET_HEADER_SIZE - 1, true};
    const struct driver_part readable[] = {{RX_AT, 64, false}, {RX_AT + 4096, 4096, true}};
    const struct driver_part outside = {DRIVER_MEMORY_SIZE - 100, 2000, true};
    assert_breaks_receiving(&small, 1);
    assert_breaks_receiving(readable, 2);
    assert_breaks_receiving(&outside, 1);
}

static void a_reset_forgets_buffers(void **state)
{
    (void)state;
    static uint8_t packet[NET_PACKET_MAX];
    struct net_header header;
    give_buffers(3);
    network_sends(9000, 1); /* waits in them */
    virtio_device_set_status(driver.device, 0);
    memset(driver_at(&driver, RX_AT), 0xee, 3 * RX_SIZE);
    network_sends(100, 2);
    driver_start(&driver, ~0ull);
    driver_turn(&driver, 0);
    assert_int_equal(guest_receives(&header, packet), 0);
    give_buffers(1);
    assert_guest_receives(100, 2);
}

/* ---- limits ---- */

static void sending_is_limited(void **state)
{
    (void)state;
    uint8_t packet[200];
    uint32_t size = make_packet(packet, 100, 1), head, written;
    const struct rate_bucket_settings two = {.size = 2, .refill_time = 600000}, none = {0};
    virtio_net_update_limits(driver.device, NULL, NULL, NULL, &two);
    for (uint16_t i = 0; i < 5; i++)
        guest_queues((uint16_t)(2 * i), packet, size);
    driver_notify(&driver, NET_TX);
    assert_network_receives(packet, size);
    assert_network_receives(packet, size);
    assert_network_receives_nothing();
    assert_true(virtio_net_tx_throttled(driver.device) > 0);
    driver_notify(&driver, NET_TX);
    assert_network_receives_nothing();
    virtio_net_update_limits(driver.device, NULL, NULL, NULL, &none);
    pass(10);
    for (unsigned i = 0; i < 3; i++)
        assert_network_receives(packet, size);
    for (unsigned i = 0; i < 5; i++)
        assert_true(driver_take(&driver, NET_TX, &head, &written));
}

static void receiving_is_limited(void **state)
{
    (void)state;
    static uint8_t packet[NET_PACKET_MAX];
    struct net_header header;
    const struct rate_bucket_settings bytes = {.size = 2000, .refill_time = 600000}, none = {0};
    virtio_net_update_limits(driver.device, &bytes, NULL, NULL, NULL);
    give_buffers(8);
    for (uint8_t i = 0; i < 4; i++)
        network_sends(900, i);
    assert_guest_receives(900, 0);
    assert_guest_receives(900, 1);
    assert_int_equal(guest_receives(&header, packet), 0);
    assert_true(virtio_net_rx_throttled(driver.device) > 0);
    virtio_net_update_limits(driver.device, &none, NULL, NULL, NULL);
    pass(10);
    assert_guest_receives(900, 2);
    assert_guest_receives(900, 3);
}

/* ---- control ---- */

static void modes_are_accepted(void **state)
{
    (void)state;
    for (uint8_t command = 0; command < 6; command++)
        assert_int_equal(control((uint8_t[]){0, command, 1}, 3), 0);
    assert_int_equal(control((uint8_t[]){0, 6, 1}, 3), 1);
    assert_int_equal(control((uint8_t[]){0, 0, 2}, 3), 1);
    assert_int_equal(control((uint8_t[]){0, 0}, 2), 1);
    assert_int_equal(control((uint8_t[]){0}, 1), 1);
    assert_int_equal(control((uint8_t[]){9, 0, 0}, 3), 1);
    assert_int_equal(virtio_net_metrics(driver.device)->control_failures, 5);
}

static void an_address_can_be_set(void **state)
{
    (void)state;
    struct net_config config;
    const uint8_t other[] = {1, 1, 2, 3, 4, 5, 6, 7}, group[] = {1, 1, 3, 3, 4, 5, 6, 7};
    assert_int_equal(control(other, sizeof other), 0);
    virtio_device_read_config(driver.device, 0, &config, sizeof config);
    assert_memory_equal(config.mac, other + 2, 6);
    assert_int_equal(control(group, sizeof group), 1);
    assert_int_equal(control(other, sizeof other - 1), 1);
    virtio_device_set_status(driver.device, 0);
    virtio_device_read_config(driver.device, 0, &config, sizeof config);
    assert_memory_equal(config.mac, mac, 6);
    driver_start(&driver, ~0ull);
}

static void tables_of_addresses_are_read(void **state)
{
    (void)state;
    uint8_t table[2 + 4 + 6 + 4 + 12] = {1, 0, 1};
    table[2 + 4 + 6] = 2;
    assert_int_equal(control(table, sizeof table), 0);
    assert_int_equal(control(table, sizeof table - 1), 1);
    memset(table + 2, 0xff, 4); /* four thousand million of them */
    assert_int_equal(control(table, sizeof table), 1);
}

static void offloads_can_be_set(void **state)
{
    (void)state;
    uint8_t command[10] = {5, 0};
    uint64_t offloads = NET_GUEST_CSUM | NET_GUEST_TSO4;
    memcpy(command + 2, &offloads, 8);
    assert_int_equal(control(command, sizeof command), 0);
    assert_int_equal(((struct net *)driver.device)->offloads, offloads);
    offloads |= NET_GUEST_UFO; /* not agreed on */
    memcpy(command + 2, &offloads, 8);
    assert_int_equal(control(command, sizeof command), 1);
}

static void a_command_without_room_for_an_answer_breaks(void **state)
{
    (void)state;
    const struct driver_part part = {CONTROL_AT, 3, false};
    driver_add(&driver, NET_CONTROLS, 0, &part, 1);
    driver_notify(&driver, NET_CONTROLS);
    assert_true(driver.device->status & VIRTIO_STATUS_NEEDS_RESET);
}

/* ---- taps ---- */

/* A network namespace of our own, for the whole process; false if that can't be had. */
static bool enter_namespace(void)
{
    static int entered = -1;
    if (entered < 0) {
        entered = access("/dev/net/tun", R_OK | W_OK) == 0 && unshare(CLONE_NEWNET) == 0;
        int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) { /* so that the kernel sends nothing by itself */
            assert_int_equal(write(fd, "1", 1), 1);
            close(fd);
        }
    }
    return entered;
}

/* A socket that sees and sends the tap's frames from the kernel's side. */
static int open_kernel_side(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    assert_true(fd >= 0);
    strcpy(request.ifr_name, name);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
    request.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    assert_int_equal(ioctl(fd, SIOCGIFINDEX, &request), 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = request.ifr_ifindex};
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void a_tap_carries_frames(void **state)
{
    (void)state;
    static uint8_t packet[NET_PACKET_MAX], got[NET_PACKET_MAX];
    struct net_header header;
    struct error err = {0};
    if (!enter_namespace())
        skip();
    struct net_backend *backend = net_tap_open("hulltap0", -1, &err);
    assert_non_null(backend);
    assert_int_equal(backend->features & (NET_CSUM | NET_GUEST_TSO4), NET_CSUM | NET_GUEST_TSO4);
    settings = (struct virtio_net_settings){.has_mac = true};
    memcpy(settings.mac, mac, 6);
    open_with(backend, ~0ull);
    network = open_kernel_side("hulltap0");
    give_buffers(RX_BUFFERS);

    uint32_t size = make_packet(packet, 1000, 7);
    packet[NET_HEADER_SIZE + 12] = 0x88, packet[NET_HEADER_SIZE + 13] = 0xb5; /* experimental */
    guest_sends(packet, size);
    assert_int_equal(recv(network, got, sizeof got, MSG_DONTWAIT), 1000);
    assert_memory_equal(got, packet + NET_HEADER_SIZE, 1000);

    for (uint32_t frame = 60; frame <= 1500; frame += 480) {
        assert_int_equal(send(network, packet + NET_HEADER_SIZE, frame, 0), frame);
        driver_turn(&driver, 0);
        assert_int_equal(guest_receives(&header, got), NET_HEADER_SIZE + frame);
        assert_memory_equal(got + NET_HEADER_SIZE, packet + NET_HEADER_SIZE, frame);
        assert_int_equal(header.buffers, 1);
        assert_int_equal(header.segmentation, 0);
    }
    driver_close(&driver);
    close(network);
    network = -1;
    assert_int_equal(if_nametoindex("hulltap0"), 0);
}

/* A frame of TCP that is cut behind the guest: the kernel gets it whole. */
static void a_tap_takes_large_segments(void **state)
{
    (void)state;
    static uint8_t packet[NET_PACKET_MAX], got[NET_PACKET_MAX];
    struct error err = {0};
    if (!enter_namespace())
        skip();
    struct net_backend *backend = net_tap_open("hulltap1", -1, &err);
    assert_non_null(backend);
    settings = (struct virtio_net_settings){0};
    open_with(backend, ~0ull);
    network = open_kernel_side("hulltap1");
    uint32_t size = make_packet(packet, 14 + 20 + 20 + 4000, 7);
    uint8_t *frame = packet + NET_HEADER_SIZE;
    memcpy(frame + 12, "\x08\0\x45\0\x0f\xf8\0\0\0\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02", 22);
    frame[14 + 20 + 12] = 0x50; /* no options */
    struct net_header header = {1, 1, 54, 1460, 34, 16, 0};
    memcpy(packet, &header, sizeof header);
    guest_sends(packet, size);
    assert_int_equal(virtio_net_metrics(driver.device)->tx_packets, 1);
    assert_int_equal(recv(network, got, sizeof got, MSG_DONTWAIT), size - NET_HEADER_SIZE);
    driver_close(&driver);
    close(network);
    network = -1;
}

static void a_tap_is_taken_from_a_descriptor(void **state)
{
    (void)state;
    struct error err = {0};
    struct ifreq request = {.ifr_name = "hulltap2", .ifr_flags = IFF_TAP | IFF_NO_PI};
    if (!enter_namespace())
        skip();
    int fd = open("/dev/net/tun", O_RDWR);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    assert_null(net_tap_open("net", fd, &err)); /* which closes it */
    assert_non_null(strstr(err.text, "IFF_VNET_HDR"));
    assert_null(net_tap_open("net", open("/dev/null", O_RDWR), &err));
    fd = open("/dev/net/tun", O_RDWR);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    struct net_backend *backend = net_tap_open("net", fd, &err);
    assert_non_null(backend);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_null(net_tap_open("hulltap2", -1, &err));
    assert_int_equal(err.code, EBUSY);
    backend->operations->release(backend);
    assert_null(net_tap_open("much-too-long-a-name", -1, &err));
    assert_null(net_tap_open("", -1, &err));
}

#define plain(test) cmocka_unit_test_setup_teardown(test, open_plain, close_device)
#define full(test) cmocka_unit_test_setup_teardown(test, open_full, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        full(the_configuration_is_told),
        plain(the_link_goes_down_and_up),
        plain(frames_are_sent),
        full(frames_are_sent),
        full(a_batch_is_one_interrupt),
        plain(a_full_network_is_waited_for),
        full(headers_are_checked),
        plain(offloads_that_were_not_agreed_on_are_refused),
        full(frames_of_no_size_are_refused),
        plain(frames_are_received),
        full(frames_are_received),
        full(a_frame_takes_several_buffers),
        full(what_came_is_kept_until_there_are_buffers),
        plain(what_never_fits_is_dropped),
        full(what_the_whole_queue_has_no_room_for_is_dropped),
        full(the_flags_of_a_frame_are_passed_on),
        full(a_closed_network_is_borne),
        plain(malformed_buffers_break),
        full(a_reset_forgets_buffers),
        plain(sending_is_limited),
        full(receiving_is_limited),
        full(modes_are_accepted),
        full(an_address_can_be_set),
        full(tables_of_addresses_are_read),
        full(offloads_can_be_set),
        full(a_command_without_room_for_an_answer_breaks),
        cmocka_unit_test(a_tap_carries_frames),
        cmocka_unit_test(a_tap_takes_large_segments),
        cmocka_unit_test(a_tap_is_taken_from_a_descriptor),
    };
    vm_log_set_sink(quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
