#include "vm/device/metadata_wire.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/device/metadata_tcp.h"

/* Frames: Ethernet's header, IPv4's (RFC 791), TCP's (RFC 9293, 3.1); or ARP (RFC 826). */
#define ETHERNET_SIZE 14
#define IP_SIZE 20
#define TCP_SIZE 20
#define ARP_SIZE 28
#define TYPE_IP 0x0800
#define TYPE_ARP 0x0806
#define PROTOCOL_TCP 6

/* Locally administered. */
static const uint8_t service_mac[6] = {0x06, 0x01, 0x23, 0x45, 0x67, 0x01};

struct metadata_wire {
    uint8_t address[4];
    struct tcp tcp;
    bool arp_is_asked; /* and is yet to be answered */
    struct tcp_peer arp_peer;
    struct loop *loop;
    struct loop_timer timer;
    void (*ready)(void *context);
    void *context;
};

static uint16_t read16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t read32(const uint8_t *bytes)
{
    return (uint32_t)read16(bytes) << 16 | read16(bytes + 2);
}

static void write16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static void write32(uint8_t *bytes, uint32_t value)
{
    write16(bytes, (uint16_t)(value >> 16));
    write16(bytes + 2, (uint16_t)value);
}

/* Sets the timer to what TCP has to do by itself next. */
static void schedule(struct metadata_wire *wire)
{
    if (!wire->loop)
        return;
    int64_t wait = tcp_turn(&wire->tcp, loop_now());
    if (wait < 0)
        loop_timer_cancel(wire->loop, &wire->timer);
    else
        loop_timer_set(wire->loop, &wire->timer, wait);
}

static void on_timer(struct loop_timer *timer)
{
    struct metadata_wire *wire = loop_owner(timer, struct metadata_wire, timer);
    schedule(wire);
    wire->ready(wire->context);
}

struct metadata_wire *metadata_wire_create(struct in_addr address,
                                           const struct metadata_answerer *answerer)
{
    struct metadata_wire *wire = memory_allocate(1, sizeof *wire);
    memcpy(wire->address, &address, sizeof wire->address);
    wire->tcp.answerer = *answerer;
    wire->timer.expired = on_timer;
    return wire;
}

void metadata_wire_reset(struct metadata_wire *wire)
{
    tcp_forget(&wire->tcp);
    wire->arp_is_asked = false;
    if (wire->loop)
        loop_timer_cancel(wire->loop, &wire->timer);
}

void metadata_wire_release(struct metadata_wire *wire)
{
    metadata_wire_reset(wire);
    free(wire);
}

void metadata_wire_attach(struct metadata_wire *wire, struct loop *loop,
                          void (*ready)(void *context), void *context)
{
    wire->loop = loop;
    wire->ready = ready;
    wire->context = context;
}

void metadata_wire_set_address(struct metadata_wire *wire, struct in_addr address)
{
    if (memcmp(wire->address, &address, sizeof wire->address) != 0)
        metadata_wire_reset(wire);
    memcpy(wire->address, &address, sizeof wire->address);
}

const struct metadata_wire_metrics *metadata_wire_metrics(const struct metadata_wire *wire)
{
    return &wire->tcp.metrics;
}

/* ---- from the guest ---- */

/* An ARP packet for IPv4 on Ethernet that asks for our address. */
static bool is_arp(const struct metadata_wire *wire, const uint8_t *frame, size_t size)
{
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    const uint8_t *arp = frame + ETHERNET_SIZE;
    return size >= ETHERNET_SIZE + ARP_SIZE && read16(frame + 12) == TYPE_ARP &&
           memcmp(arp, request, sizeof request) == 0 && memcmp(arp + 24, wire->address, 4) == 0;
}

bool metadata_wire_is_for(const struct metadata_wire *wire, const uint8_t *frame, size_t size)
{
    if (size >= ETHERNET_SIZE + IP_SIZE && read16(frame + 12) == TYPE_IP)
        return memcmp(frame + ETHERNET_SIZE + 16, wire->address, 4) == 0;
    return is_arp(wire, frame, size);
}

/* The segment size that a SYN's options name, or 0. */
static uint16_t read_segment_size(const uint8_t *options, size_t size)
{
    for (size_t at = 0; at < size;) {
        if (options[at] == 0)
            break;
        if (options[at] == 1) {
            at++;
            continue;
        }
        size_t length = at + 1 < size ? options[at + 1] : 0;
        if (length < 2 || length > size - at)
            break;
        if (options[at] == 2 && length == 4)
            return read16(options + at + 2);
        at += length;
    }
    return 0;
}

/* Reads the TCP segment in an IPv4 packet; false if it isn't one. Checksums are not looked at: a
 * guest with checksum offload hasn't made any, and nothing between it and us changes a bit. */
static bool read_segment(const uint8_t *ip, size_t size, struct tcp_segment *segment)
{
    size_t header = (size_t)(ip[0] & 15) * 4, total = read16(ip + 2);
    if (ip[0] >> 4 != 4 || header < IP_SIZE || total > size || total < header + TCP_SIZE ||
        (read16(ip + 6) & 0x3fff) || ip[9] != PROTOCOL_TCP) /* 0x3fff: a fragment */
        return false;
    const uint8_t *tcp = ip + header;
    size_t offset = (size_t)(tcp[12] >> 4) * 4;
    if (offset < TCP_SIZE || offset > total - header)
        return false;
    *segment = (struct tcp_segment){.guest_port = read16(tcp),
                                    .service_port = read16(tcp + 2),
                                    .sequence = read32(tcp + 4),
                                    .acknowledgement = read32(tcp + 8),
                                    .flags = tcp[13],
                                    .window = read16(tcp + 14),
                                    .payload = tcp + offset,
                                    .size = total - header - offset};
    if (segment->flags & TCP_SYN)
        segment->segment_size = read_segment_size(tcp + TCP_SIZE, offset - TCP_SIZE);
    return true;
}

void metadata_wire_take(struct metadata_wire *wire, const uint8_t *frame, size_t size)
{
    struct tcp_peer peer;
    struct tcp_segment segment;
    memcpy(peer.mac, frame + 6, sizeof peer.mac);
    wire->tcp.metrics.rx_bytes += size;
    if (is_arp(wire, frame, size)) {
        memcpy(peer.address, frame + ETHERNET_SIZE + 14, sizeof peer.address);
        wire->arp_peer = peer;
        wire->arp_is_asked = true;
    } else if (size >= ETHERNET_SIZE + IP_SIZE &&
               read_segment(frame + ETHERNET_SIZE, size - ETHERNET_SIZE, &segment)) {
        memcpy(peer.address, frame + ETHERNET_SIZE + 12, sizeof peer.address);
        tcp_take(&wire->tcp, &peer, &segment, loop_now());
        schedule(wire);
    } else {
        wire->tcp.metrics.rx_bad++;
        return;
    }
    wire->tcp.metrics.rx_accepted++;
}

/* ---- to the guest ---- */

static uint32_t add_up(const uint8_t *bytes, size_t size, uint32_t sum)
{
    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    return sum;
}

/* RFC 1071. */
static uint16_t checksum(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void write_ethernet(uint8_t *frame, const struct tcp_peer *peer, uint16_t type)
{
    memcpy(frame, peer->mac, sizeof peer->mac);
    memcpy(frame + 6, service_mac, sizeof service_mac);
    write16(frame + 12, type);
}

static size_t write_arp(const struct metadata_wire *wire, uint8_t *frame)
{
    static const uint8_t reply[8] = {0, 1, 8, 0, 6, 4, 0, 2};
    uint8_t *arp = frame + ETHERNET_SIZE;
    write_ethernet(frame, &wire->arp_peer, TYPE_ARP);
    memcpy(arp, reply, sizeof reply);
    memcpy(arp + 8, service_mac, 6);
    memcpy(arp + 14, wire->address, 4);
    memcpy(arp + 18, wire->arp_peer.mac, 6);
    memcpy(arp + 24, wire->arp_peer.address, 4);
    return ETHERNET_SIZE + ARP_SIZE;
}

static size_t write_segment(const struct metadata_wire *wire, uint8_t *frame,
                            const struct tcp_peer *peer, const struct tcp_segment *segment)
{
    uint8_t *ip = frame + ETHERNET_SIZE, *tcp = ip + IP_SIZE;
    size_t options = segment->segment_size ? 4 : 0, length = TCP_SIZE + options + segment->size;
    write_ethernet(frame, peer, TYPE_IP);
    memset(ip, 0, IP_SIZE + TCP_SIZE);
    ip[0] = 0x45;
    write16(ip + 2, (uint16_t)(IP_SIZE + length));
    write16(ip + 6, 0x4000); /* don't fragment */
    ip[8] = 64;
    ip[9] = PROTOCOL_TCP;
    memcpy(ip + 12, wire->address, 4);
    memcpy(ip + 16, peer->address, 4);
    write16(ip + 10, checksum(add_up(ip, IP_SIZE, 0)));

    write16(tcp, segment->service_port);
    write16(tcp + 2, segment->guest_port);
    write32(tcp + 4, segment->sequence);
    write32(tcp + 8, segment->acknowledgement);
    tcp[12] = (uint8_t)((TCP_SIZE + options) / 4 << 4);
    tcp[13] = segment->flags;
    write16(tcp + 14, segment->window);
    if (options) {
        write16(tcp + TCP_SIZE, 0x0204);
        write16(tcp + TCP_SIZE + 2, segment->segment_size);
    }
    if (segment->size > 0)
        memcpy(tcp + TCP_SIZE + options, segment->payload, segment->size);
    uint32_t sum = add_up(ip + 12, 8, (uint32_t)(PROTOCOL_TCP + length)); /* the pseudo-header */
    write16(tcp + 16, checksum(add_up(tcp, length, sum)));
    return ETHERNET_SIZE + IP_SIZE + length;
}

size_t metadata_wire_next(struct metadata_wire *wire, uint8_t *frame)
{
    struct tcp_peer peer;
    struct tcp_segment segment;
    size_t size = 0;
    if (wire->arp_is_asked) {
        wire->arp_is_asked = false;
        size = write_arp(wire, frame);
    } else if (tcp_next(&wire->tcp, &peer, &segment, loop_now())) {
        size = write_segment(wire, frame, &peer, &segment);
        schedule(wire);
    }
    wire->tcp.metrics.tx_frames += size > 0;
    wire->tcp.metrics.tx_bytes += size;
    return size;
}
