/* Where a network device's packets go to and come from. Each packet has a header of NET_HEADER_SIZE
 * bytes before its Ethernet frame: virtio's (1.2, 5.1.6), as a tap has it, too. */
#ifndef HULL_VM_NET_BACKEND_H
#define HULL_VM_NET_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/loop.h"

/* Feature bits (5.1.3). "Guest" ones are what the guest receives, "host" ones what it sends. */
#define NET_CSUM (1ull << 0)
#define NET_GUEST_CSUM (1ull << 1)
#define NET_CONTROL_GUEST_OFFLOADS (1ull << 2)
#define NET_MTU (1ull << 3)
#define NET_MAC (1ull << 5)
#define NET_GUEST_TSO4 (1ull << 7)
#define NET_GUEST_TSO6 (1ull << 8)
#define NET_GUEST_ECN (1ull << 9)
#define NET_GUEST_UFO (1ull << 10)
#define NET_HOST_TSO4 (1ull << 11)
#define NET_HOST_TSO6 (1ull << 12)
#define NET_HOST_ECN (1ull << 13)
#define NET_HOST_UFO (1ull << 14)
#define NET_MERGEABLE (1ull << 15)
#define NET_STATUS (1ull << 16)
#define NET_CONTROL (1ull << 17)
#define NET_CONTROL_RX (1ull << 18)
#define NET_CONTROL_RX_EXTRA (1ull << 20)
#define NET_CONTROL_MAC (1ull << 23)
#define NET_GUEST_USO4 (1ull << 54)
#define NET_GUEST_USO6 (1ull << 55)
#define NET_HOST_USO (1ull << 56)

#define NET_GUEST_SEGMENTS                                                                         \
    (NET_GUEST_TSO4 | NET_GUEST_TSO6 | NET_GUEST_UFO | NET_GUEST_USO4 | NET_GUEST_USO6)
#define NET_GUEST_OFFLOADS (NET_GUEST_CSUM | NET_GUEST_SEGMENTS | NET_GUEST_ECN)

#define NET_HEADER_SIZE 12
/* Of a packet with its header: 64 KiB of IP and an Ethernet header with a VLAN tag. */
#define NET_PACKET_MAX (NET_HEADER_SIZE + 65535 + 18)

struct net_header {
    uint8_t flags, segmentation;
    uint16_t header_length, segment_size, checksum_start, checksum_offset;
    uint16_t buffers; /* that a received packet takes */
} __attribute__((packed));

struct net_backend;

struct net_backend_operations {
    const char *name; /* for messages: "tap" */
    /* Before all others but set_offloads() and release(): starts to call ready(), on the loop, once
     * watch() says for what. May be NULL. */
    void (*attach)(struct net_backend *backend, struct loop *loop);
    /* What the guest agreed to receive: the NET_GUEST_OFFLOADS of features. May be NULL. */
    int (*set_offloads)(struct net_backend *backend, uint64_t features, struct error *err);
    /* Sends a packet: 0, or -1 with errno; EAGAIN: later. */
    int (*send)(struct net_backend *backend, const struct iovec *parts, unsigned count);
    /* Receives a packet into parts, which have room for NET_PACKET_MAX bytes: its size, 0 if there
     * is none, or -1 with errno. */
    ssize_t (*receive)(struct net_backend *backend, const struct iovec *parts, unsigned count);
    /* Has ready() called while a packet can be received, or one can be sent again. */
    void (*watch)(struct net_backend *backend, bool receive, bool send);
    void (*release)(struct net_backend *backend);
};

/* A backend belongs to its device. */
struct net_backend {
    const struct net_backend_operations *operations;
    uint64_t features; /* offloads it can do, of both directions */
    void *device;
    void (*ready)(struct net_backend *backend, bool receive, bool send);
};

/* A tap interface, made if there is none of that name; fd -1. Or one that was opened by others,
 * with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR: fd, which is the backend's then; name is for messages.
 */
struct net_backend *net_tap_open(const char *name, int fd, struct error *err);

#endif
