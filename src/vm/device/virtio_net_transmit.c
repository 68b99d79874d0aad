#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vm/device/metadata_wire.h"
#include "vm/device/net.h"
#include "vm/device/parts.h"

#define PACKETS_AT_A_TIME 256 /* then others have their turn */
#define BATCH 32              /* given back at once */
#define FRAME_MIN 14          /* an Ethernet header */

enum { NEEDS_CHECKSUM = 1 };
enum { SEGMENTS_NONE, SEGMENTS_TCP4 = 1, SEGMENTS_UDP = 3, SEGMENTS_TCP6 = 4, SEGMENTS_UDP_L4 = 5 };
#define SEGMENTS_ECN 0x80

/* Whether the driver may have packets cut like this (5.1.6.2.1). */
static bool may_segment(const struct net *net, uint8_t segmentation)
{
    uint64_t feature = 0;
    switch (segmentation & ~SEGMENTS_ECN) {
    case SEGMENTS_TCP4:
        feature = NET_HOST_TSO4;
        break;
    case SEGMENTS_TCP6:
        feature = NET_HOST_TSO6;
        break;
    case SEGMENTS_UDP:
        feature = NET_HOST_UFO;
        break;
    case SEGMENTS_UDP_L4:
        feature = NET_HOST_USO;
        break;
    }
    if (segmentation & SEGMENTS_ECN)
        feature |= NET_HOST_ECN;
    return feature && virtio_device_has(&net->device, feature);
}

/* Whether the header makes sense for a frame of size bytes. Makes it what the back end may see. */
static bool check_header(const struct net *net, struct net_header *header, uint64_t size)
{
    header->flags &= NEEDS_CHECKSUM; /* others are for what is received */
    header->buffers = 0;
    if (header->flags) {
        uint32_t end = (uint32_t)le16toh(header->checksum_start) + le16toh(header->checksum_offset);
        if (!virtio_device_has(&net->device, NET_CSUM) || end + 2 > size)
            return false;
    }
    if (header->segmentation == SEGMENTS_NONE) {
        header->header_length = header->segment_size = 0;
        return true;
    }
    return header->flags && header->segment_size != 0 && le16toh(header->header_length) <= size &&
           may_segment(net, header->segmentation);
}

/* Gives a frame to the metadata service, if it is for that. */
static bool give_to_metadata(struct net *net, const uint8_t *start, uint64_t look, uint64_t size)
{
    uint8_t frame[METADATA_TAKE_MAX];
    if (!net->metadata || !metadata_wire_is_for(net->metadata, start, look))
        return false;
    if (size <= sizeof frame) {
        virtqueue_copy_from(net->chain.readable, net->chain.readable_count, NET_HEADER_SIZE, frame,
                            size);
        metadata_wire_take(net->metadata, frame, size);
        net->metadata_took = true;
    }
    return true;
}

/* Sends the packet in net->chain; false if it has to wait. */
static bool send_packet(struct net *net)
{
    const struct virtqueue_chain *chain = &net->chain;
    uint64_t size = chain->readable_size - NET_HEADER_SIZE;
    struct net_header header;
    uint8_t start[METADATA_LOOK];
    if (chain->writable_count > 0 || chain->readable_size < NET_HEADER_SIZE + FRAME_MIN ||
        chain->readable_size > NET_PACKET_MAX) {
        net->metrics.tx_malformed++;
        return true;
    }
    virtqueue_copy_from(chain->readable, chain->readable_count, 0, &header, sizeof header);
    uint64_t look = virtqueue_copy_from(chain->readable, chain->readable_count, NET_HEADER_SIZE,
                                        start, sizeof start);
    if (!check_header(net, &header, size)) {
        net->metrics.tx_malformed++;
        return true;
    }
    if (give_to_metadata(net, start, look, size))
        return true;
    if (!rate_limiter_take(&net->tx_limiter, chain->readable_size))
        return false;
    struct iovec parts[VIRTQUEUE_PARTS_MAX + 1] = {{&header, sizeof header}};
    unsigned count =
        1 + parts_slice(chain->readable, chain->readable_count, NET_HEADER_SIZE, size, parts + 1);
    if (net->backend->operations->send(net->backend, parts, count) == 0) {
        net->metrics.tx_packets++;
        net->metrics.tx_bytes += chain->readable_size;
        if (virtio_device_has(&net->device, NET_MAC) && memcmp(start + 6, net->config.mac, 6) != 0)
            net->metrics.tx_spoofed_mac++;
    } else if (errno == EAGAIN) {
        rate_limiter_give_back(&net->tx_limiter, chain->readable_size, 1);
        net->tx_blocked = true;
        return false;
    } else {
        net->metrics.tx_failures++;
    }
    return true;
}

/* Takes at most BATCH packets from the queue: how many, and *status as of virtqueue_pop(). */
static unsigned send_batch(struct net *net, int *status)
{
    struct virtqueue *queue = &net->device.queues[NET_TX];
    struct virtqueue_used used[BATCH];
    unsigned count = 0;
    while (count < BATCH && (*status = virtqueue_pop(queue, &net->chain)) > 0) {
        if (!send_packet(net)) {
            virtqueue_unpop(queue);
            break;
        }
        used[count++] = (struct virtqueue_used){net->chain.head, 0};
    }
    if (count > 0)
        virtqueue_push_all(queue, used, count);
    return count;
}

static bool has_to_wait(const struct net *net)
{
    return net->tx_blocked || rate_limiter_is_waiting(&net->tx_limiter);
}

void net_transmit(struct net *net)
{
    struct virtqueue *queue = &net->device.queues[NET_TX];
    unsigned done = 0, sent = 0;
    int status = 1;
    if (!net_is_working(net) || !(net->config.status & NET_LINK_UP) || has_to_wait(net))
        return;
    virtqueue_want_notifications(queue, false);
    while (done < PACKETS_AT_A_TIME) {
        unsigned count = send_batch(net, &status);
        sent += count;
        done += 1 + count; /* looking costs, too */
        if (status < 0 || has_to_wait(net) ||
            (status == 0 && !virtqueue_want_notifications(queue, true)))
            break;
    }
    if (sent > 0)
        virtio_device_interrupt(&net->device, NET_TX);
    if (status < 0)
        virtio_device_break(&net->device, "put a malformed request into the transmit queue");
    else if (done >= PACKETS_AT_A_TIME)
        virtio_device_notify(&net->device, NET_TX);
    if (net->metadata_took) {
        net->metadata_took = false;
        net_receive(net); /* the answers */
    }
}
