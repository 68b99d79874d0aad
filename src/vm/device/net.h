/* What the files of the network device share.
 *
 * Receiving: buffers of the guest are taken from the queue ahead into a window, so that a back end
 * reads each packet straight into them, with one system call and no copy, however many buffers it
 * takes. Behind the window lies a spill area for what doesn't fit: a packet whose end is there
 * waits for more buffers, or is dropped if it can't ever fit. Sending: a request's header is copied
 * and checked, the frame goes from the guest's memory to the back end as it lies there. */
#ifndef HULL_VM_NET_H
#define HULL_VM_NET_H

#include "vm/device/virtio_net.h"

enum { NET_RX, NET_TX, NET_CONTROLS, NET_QUEUES };

#define NET_WINDOW_PARTS 1000 /* with the spill area no more than a readv(2) takes */

struct net_buffer {
    uint16_t head;
    uint16_t parts;
    uint32_t size; /* bytes */
};

/* The configuration space (5.1.4). */
struct net_config {
    uint8_t mac[6];
    uint16_t status, queue_pairs, mtu;
} __attribute__((packed));

#define NET_LINK_UP 1

struct net {
    struct virtio_device device;
    struct net_config config;
    uint8_t first_mac[6]; /* before the driver set another one */
    struct net_backend *backend;
    bool is_attached; /* the back end has the loop: since the driver was ready the first time */
    struct metadata_wire *metadata;
    bool metadata_took;           /* frames, and may have answers */
    struct virtqueue_chain chain; /* of the request at hand */
    struct virtio_net_metrics metrics;

    struct rate_limiter tx_limiter;
    bool tx_blocked; /* the back end takes nothing at the moment */

    struct rate_limiter rx_limiter;
    uint64_t offloads; /* NET_GUEST_OFFLOADS that are on */
    /* The window: buffers, first to last, and their parts. */
    struct iovec parts[NET_WINDOW_PARTS + 1]; /* and the spill area */
    unsigned part_count;
    struct net_buffer buffers[VIRTQUEUE_SIZE_MAX];
    unsigned buffer_count;
    uint64_t room; /* bytes of all buffers */
    /* A packet that lies in the window already, and behind read_room bytes of it in the spill area;
     * its size is 0 when there is none. */
    uint64_t held, read_room;
    bool held_paid; /* the limiter let it pass */
    uint8_t spill[NET_PACKET_MAX];
};

static inline struct net *net_of(struct virtio_device *device)
{
    return (struct net *)device;
}

static inline bool net_is_working(const struct net *net)
{
    return net->device.active && !(net->device.status & VIRTIO_STATUS_NEEDS_RESET);
}

/* virtio_net.c: has the back end watched for what matters now. */
void net_watch(struct net *net);

/* virtio_net_receive.c */
void net_receive(struct net *net);
/* Forgets the window: the queue is being reset. */
void net_drop_window(struct net *net);

/* virtio_net_transmit.c */
void net_transmit(struct net *net);

/* virtio_net_control.c */
void net_control(struct net *net);

#endif
