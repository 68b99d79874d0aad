#include <endian.h>
#include <string.h>

#include "vm/device/metadata_wire.h"
#include "vm/device/net.h"

#define PACKETS_AT_A_TIME 64 /* then others have their turn */
#define FRAME_HEADER 18      /* Ethernet's, with a VLAN tag */

static bool is_mergeable(const struct net *net)
{
    return virtio_device_has(&net->device, NET_MERGEABLE);
}

void net_drop_window(struct net *net)
{
    net->part_count = net->buffer_count = 0;
    net->room = net->held = 0;
}

/* Adds the buffer in net->chain to the window: false if there is no place. */
static bool add_buffer(struct net *net)
{
    const struct virtqueue_chain *chain = &net->chain;
    if (net->part_count + chain->writable_count > NET_WINDOW_PARTS ||
        net->buffer_count == VIRTQUEUE_SIZE_MAX)
        return false;
    memcpy(net->parts + net->part_count, chain->writable,
           chain->writable_count * sizeof *net->parts);
    net->part_count += chain->writable_count;
    net->buffers[net->buffer_count++] = (struct net_buffer){
        chain->head, (uint16_t)chain->writable_count, (uint32_t)chain->writable_size};
    net->room += chain->writable_size;
    return true;
}

/* How much room the window should have: for what comes next, or for the packet that waits. */
static uint64_t wanted_room(const struct net *net)
{
    if (!is_mergeable(net))
        return 1; /* one buffer, whatever its size */
    if (net->held > 0)
        return net->held;
    return net->offloads & NET_GUEST_SEGMENTS
               ? NET_PACKET_MAX
               : NET_HEADER_SIZE + FRAME_HEADER + (net->config.mtu ? net->config.mtu : 1500u);
}

/* Fills the window: 1 if there is anything in it, 0 if not, and the driver will notify, -1 if it
 * broke the rules. */
static int gather(struct net *net)
{
    struct virtqueue *queue = &net->device.queues[NET_RX];
    while (net->room < wanted_room(net)) {
        int status = virtqueue_pop(queue, &net->chain);
        if (status == 0 && virtqueue_want_notifications(queue, true))
            status = virtqueue_pop(queue, &net->chain);
        if (status == 0)
            break;
        if (status < 0 || net->chain.readable_count > 0 ||
            net->chain.writable_size < NET_HEADER_SIZE || net->chain.writable_size > UINT32_MAX)
            return -1;
        if (!add_buffer(net)) {
            virtqueue_unpop(queue);
            if (net->buffer_count == 0)
                return -1; /* in more pieces than any packet has */
            break;
        }
    }
    return net->buffer_count > 0;
}

/* Fills the held packet in; false if there is none. */
static bool read_packet(struct net *net)
{
    ssize_t got;
    net->parts[net->part_count] = (struct iovec){net->spill, sizeof net->spill};
    uint8_t frame[NET_HEADER_SIZE + METADATA_FRAME_MAX] = {0};
    size_t size = net->metadata ? metadata_wire_next(net->metadata, frame + NET_HEADER_SIZE) : 0;
    if (size > 0)
        got = (ssize_t)virtqueue_copy_to(net->parts, net->part_count + 1, 0, frame,
                                         NET_HEADER_SIZE + size);
    else
        got = net->backend->operations->receive(net->backend, net->parts, net->part_count + 1);
    if (got < 0)
        net->metrics.rx_failures++;
    if (got <= NET_HEADER_SIZE)
        return false;
    net->held = (uint64_t)got;
    net->read_room = net->room;
    net->held_paid = false;
    return true;
}

/* Whether all of the held packet lies in the window; what it can't ever is dropped. */
static bool fit_packet(struct net *net)
{
    if (net->held > net->room) {
        bool is_last = !is_mergeable(net) || net->buffer_count >= net->device.queues[NET_RX].size ||
                       net->part_count == NET_WINDOW_PARTS;
        if (!is_last) {
            net->metrics.rx_no_buffers++;
            return false;
        }
        net->metrics.rx_dropped++;
        net->held = 0;
    } else if (net->held > net->read_room) {
        virtqueue_copy_to(net->parts, net->part_count, net->read_room, net->spill,
                          net->held - net->read_room);
    }
    return true;
}

/* Gives the held packet to the driver, in as many buffers as it takes. */
static void push_packet(struct net *net)
{
    struct virtqueue_used used[VIRTQUEUE_SIZE_MAX];
    uint64_t left = net->held;
    unsigned count = 0, parts = 0;
    for (; left > 0; count++) {
        const struct net_buffer *buffer = &net->buffers[count];
        uint32_t written = left < buffer->size ? (uint32_t)left : buffer->size;
        used[count] = (struct virtqueue_used){buffer->head, written};
        left -= written;
        parts += buffer->parts;
        net->room -= buffer->size;
    }
    uint16_t buffers = htole16((uint16_t)count);
    virtqueue_copy_to(net->parts, net->part_count, offsetof(struct net_header, buffers), &buffers,
                      sizeof buffers);
    if (!(net->offloads & NET_GUEST_CSUM)) /* a tap tells what it knows unasked (5.1.6.4.1) */
        virtqueue_copy_to(net->parts, net->part_count, offsetof(struct net_header, flags),
                          &(uint8_t){0}, 1);
    virtqueue_push_all(&net->device.queues[NET_RX], used, count);
    net->metrics.rx_packets++;
    net->metrics.rx_bytes += net->held;
    net->held = 0;
    net->part_count -= parts;
    memmove(net->parts, net->parts + parts, net->part_count * sizeof *net->parts);
    net->buffer_count -= count;
    memmove(net->buffers, net->buffers + count, net->buffer_count * sizeof *net->buffers);
}

/* Receives a packet: 1, 0 if there is none or it has to wait, -1 if the driver broke the rules. */
static int receive_one(struct net *net)
{
    int status = gather(net);
    if (status <= 0)
        return status;
    if (net->held == 0 && !read_packet(net))
        return 0;
    if (net->held > net->room && (status = gather(net)) < 0)
        return status;
    if (!net->held_paid && !rate_limiter_take(&net->rx_limiter, net->held))
        return 0;
    net->held_paid = true;
    if (!fit_packet(net))
        return 0;
    if (net->held > 0)
        push_packet(net);
    return 1;
}

void net_receive(struct net *net)
{
    unsigned budget = PACKETS_AT_A_TIME;
    int status = 1;
    if (!net_is_working(net) || !(net->config.status & NET_LINK_UP))
        return;
    while (budget > 0 && (status = receive_one(net)) > 0)
        budget--;
    if (budget < PACKETS_AT_A_TIME)
        virtio_device_interrupt(&net->device, NET_RX);
    if (status < 0) {
        net_drop_window(net);
        virtio_device_break(&net->device, "gave a malformed receive buffer");
    } else if (budget == 0) {
        virtio_device_notify(&net->device, NET_RX);
    }
}
