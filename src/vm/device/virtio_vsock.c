#include "vm/device/virtio_vsock.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/device/parts.h"
#include "vm/device/vsock.h"

#define PACKETS_AT_A_TIME 128 /* then others have their turn */
#define FEATURE_STREAM 1ull
#define EVENT_TRANSPORT_RESET 0u

static struct vsock *vsock_of(struct virtio_device *device)
{
    return (struct vsock *)device;
}

static bool is_working(const struct vsock *vsock)
{
    return vsock->device.active && !(vsock->device.status & VIRTIO_STATUS_NEEDS_RESET);
}

static void drop_connections(struct vsock *vsock)
{
    while (vsock->count > 0)
        vsock_connection_free(vsock->connections[vsock->count - 1]);
    vsock->reset_count = 0;
    vsock->packets_wait = false;
}

/* The driver broke the rules: all ends until it resets the device. */
static void fail(struct vsock *vsock, const char *what)
{
    vsock_listen(vsock, false);
    drop_connections(vsock);
    virtio_device_break(&vsock->device, "%s", what);
}

void vsock_refuse(struct vsock *vsock, const struct vsock_header *header)
{
    unsigned at = (vsock->reset_first + vsock->reset_count) % VSOCK_RESETS_MAX;
    if (header->operation == VSOCK_RESET || vsock->reset_count == VSOCK_RESETS_MAX)
        return;
    vsock->resets[at] = (struct vsock_header){.source_cid = header->destination_cid,
                                              .source_port = header->destination_port,
                                              .destination_port = header->source_port,
                                              .type = header->type,
                                              .operation = VSOCK_RESET};
    vsock->reset_count++;
}

static void compose(struct vsock_header *wire, const struct vsock_header *header)
{
    *wire = (struct vsock_header){.source_cid = htole64(header->source_cid),
                                  .destination_cid = htole64(header->destination_cid),
                                  .source_port = htole32(header->source_port),
                                  .destination_port = htole32(header->destination_port),
                                  .length = htole32(header->length),
                                  .type = htole16(header->type),
                                  .operation = htole16(header->operation),
                                  .flags = htole32(header->flags),
                                  .allocated = htole32(header->allocated),
                                  .forwarded = htole32(header->forwarded)};
}

static void parse(struct vsock_header *header, const struct vsock_header *wire)
{
    *header = (struct vsock_header){.source_cid = le64toh(wire->source_cid),
                                    .destination_cid = le64toh(wire->destination_cid),
                                    .source_port = le32toh(wire->source_port),
                                    .destination_port = le32toh(wire->destination_port),
                                    .length = le32toh(wire->length),
                                    .type = le16toh(wire->type),
                                    .operation = le16toh(wire->operation),
                                    .flags = le32toh(wire->flags),
                                    .allocated = le32toh(wire->allocated),
                                    .forwarded = le32toh(wire->forwarded)};
}

/* Lets the first in line fill the buffer; false if it had nothing to say. It goes to the line's end
 * if there is more. */
static bool take_turn(struct vsock *vsock, struct vsock_header *header, const struct iovec *payload,
                      unsigned count)
{
    struct vsock_connection *connection = vsock->line_first;
    bool says = vsock_connection_say(connection, header, payload, count);
    header->source_cid = VSOCK_CID_HOST;
    header->source_port = connection->host_port;
    header->destination_port = connection->guest_port;
    header->type = VSOCK_TYPE_STREAM;
    vsock->line_first = connection->next_in_line;
    if (!vsock->line_first)
        vsock->line_last = NULL;
    connection->in_line = false;
    if (header->operation == VSOCK_RESET)
        vsock_connection_free(connection);
    else if (connection->pending)
        vsock_connection_pend(connection, 0);
    else
        vsock_connection_watch(connection);
    return says;
}

/* Fills the buffer in vsock->chain with a packet: how many bytes, or 0. */
static uint32_t fill(struct vsock *vsock)
{
    const struct virtqueue_chain *chain = &vsock->chain;
    struct vsock_header header, wire;
    if (vsock->reset_count > 0) {
        header = vsock->resets[vsock->reset_first];
        vsock->reset_first = (vsock->reset_first + 1) % VSOCK_RESETS_MAX;
        vsock->reset_count--;
    } else {
        struct iovec payload[VIRTQUEUE_PARTS_MAX];
        unsigned count = parts_slice(chain->writable, chain->writable_count, sizeof wire,
                                     VSOCK_PACKET_SIZE, payload);
        if (!take_turn(vsock, &header, payload, count))
            return 0;
    }
    header.destination_cid = vsock->config.guest_cid;
    compose(&wire, &header);
    virtqueue_copy_to(chain->writable, chain->writable_count, 0, &wire, sizeof wire);
    vsock->metrics.received_packets++;
    return (uint32_t)sizeof wire + header.length;
}

/* Those that wait for the guest's buffers needn't be told that their sockets can be read. */
static void watch_line(struct vsock *vsock)
{
    for (struct vsock_connection *at = vsock->line_first; at; at = at->next_in_line)
        vsock_connection_watch(at);
}

void vsock_deliver(struct vsock *vsock)
{
    struct virtqueue *queue = &vsock->device.queues[VSOCK_RX];
    unsigned budget = PACKETS_AT_A_TIME;
    int status = 1;
    bool pushed = false;
    if (!is_working(vsock))
        return;
    while (vsock->reset_count > 0 || vsock->line_first) {
        if (budget-- == 0) {
            virtio_device_notify(&vsock->device, VSOCK_RX);
            break;
        }
        status = virtqueue_pop(queue, &vsock->chain);
        if (status == 0 && virtqueue_want_notifications(queue, true))
            continue;
        if (status == 0)
            break;
        if (status > 0 && (vsock->chain.readable_count > 0 ||
                           vsock->chain.writable_size <= sizeof(struct vsock_header)))
            status = -1;
        if (status < 0)
            break;
        uint32_t size = fill(vsock);
        if (size == 0) {
            virtqueue_unpop(queue);
            continue;
        }
        virtqueue_push(queue, vsock->chain.head, size);
        pushed = true;
    }
    if (pushed)
        virtio_device_interrupt(&vsock->device, VSOCK_RX);
    if (status < 0) {
        fail(vsock, "gave a buffer that no packet fits in");
        return;
    }
    watch_line(vsock);
    if (vsock->packets_wait && vsock->reset_count < VSOCK_RESETS_MAX) {
        vsock->packets_wait = false;
        virtio_device_notify(&vsock->device, VSOCK_TX);
    }
}

/* The guest wants to connect. */
static void request(struct vsock *vsock, const struct vsock_header *header)
{
    int fd = vsock_dial(vsock, header->destination_port);
    struct vsock_connection *connection =
        fd < 0 ? NULL : vsock_connection_add(vsock, fd, VSOCK_ESTABLISHED);
    if (!connection) {
        vsock->metrics.connections_refused += fd < 0;
        vsock_refuse(vsock, header);
        return;
    }
    vsock_connection_name(connection, header->destination_port, header->source_port);
    connection->guest_allocated = header->allocated;
    connection->guest_forwarded = header->forwarded;
    vsock_connection_pend(connection, VSOCK_PENDING_RESPONSE);
    vsock_connection_watch(connection);
}

/* A packet from the guest, which lies in vsock->chain; false if it isn't even one. */
static bool take_packet(struct vsock *vsock)
{
    const struct virtqueue_chain *chain = &vsock->chain;
    struct vsock_header wire, header;
    struct iovec payload[VIRTQUEUE_PARTS_MAX];
    if (chain->writable_count > 0 || virtqueue_copy_from(chain->readable, chain->readable_count, 0,
                                                         &wire, sizeof wire) < sizeof wire)
        return false;
    parse(&header, &wire);
    vsock->metrics.sent_packets++;
    if (header.source_cid != vsock->config.guest_cid) {
        vsock->metrics.dropped_packets++; /* whoever it says it is can't be answered */
        return true;
    }
    struct vsock_connection *connection =
        vsock_connection_find(vsock, header.destination_port, header.source_port);
    if (header.destination_cid != VSOCK_CID_HOST || header.type != VSOCK_TYPE_STREAM) {
        vsock_refuse(vsock, &header); /* 5.10.6.4.1, 5.10.6.2.1 */
    } else if (header.length > chain->readable_size - sizeof wire) {
        if (connection)
            vsock_connection_reset(connection);
        else
            vsock_refuse(vsock, &header);
    } else if (connection) {
        unsigned count = parts_slice(chain->readable, chain->readable_count, sizeof wire,
                                     header.length, payload);
        vsock_connection_take(connection, &header, payload, count);
    } else if (header.operation == VSOCK_REQUEST) {
        request(vsock, &header);
    } else {
        vsock_refuse(vsock, &header);
    }
    return true;
}

/* Takes the guest's packets, while what they are answered with can be kept. */
static void take_packets(struct vsock *vsock)
{
    struct virtqueue *queue = &vsock->device.queues[VSOCK_TX];
    unsigned budget = PACKETS_AT_A_TIME;
    int status = 0;
    bool good = true;
    virtqueue_want_notifications(queue, false);
    do {
        while (good && vsock->reset_count < VSOCK_RESETS_MAX && budget > 0 &&
               (status = virtqueue_pop(queue, &vsock->chain)) > 0) {
            good = take_packet(vsock);
            virtqueue_push(queue, vsock->chain.head, 0);
            budget--;
        }
        vsock->packets_wait = vsock->reset_count == VSOCK_RESETS_MAX;
        if (vsock->packets_wait || budget == 0)
            break;
        budget--;
    } while (good && status == 0 && virtqueue_want_notifications(queue, true));
    virtio_device_interrupt(&vsock->device, VSOCK_TX);
    if (!good || status < 0)
        fail(vsock, "sent what is no packet");
    else if (budget == 0)
        virtio_device_notify(&vsock->device, VSOCK_TX);
}

static void send_event(struct vsock *vsock)
{
    struct virtqueue *queue = &vsock->device.queues[VSOCK_EVENTS];
    uint32_t event = htole32(EVENT_TRANSPORT_RESET);
    if (!vsock->event_waits || !is_working(vsock))
        return;
    int status = virtqueue_pop(queue, &vsock->chain);
    if (status == 0 && virtqueue_want_notifications(queue, true))
        status = virtqueue_pop(queue, &vsock->chain);
    if (status > 0 && vsock->chain.writable_size >= sizeof event) {
        virtqueue_copy_to(vsock->chain.writable, vsock->chain.writable_count, 0, &event,
                          sizeof event);
        virtqueue_push(queue, vsock->chain.head, sizeof event);
        vsock->event_waits = false;
        virtio_device_interrupt(&vsock->device, VSOCK_EVENTS);
    } else if (status != 0) {
        fail(vsock, "gave a buffer that no event fits in");
    }
}

void virtio_vsock_transport_reset(struct virtio_device *device)
{
    struct vsock *vsock = vsock_of(device);
    drop_connections(vsock);
    vsock->event_waits = device->active;
    send_event(vsock);
}

static void notified(struct virtio_device *device, unsigned queue)
{
    struct vsock *vsock = vsock_of(device);
    if (queue == VSOCK_EVENTS) {
        send_event(vsock);
        return;
    }
    if (queue == VSOCK_RX) {
        virtqueue_want_notifications(&device->queues[VSOCK_RX], false);
        vsock_deliver(vsock);
    }
    if (queue == VSOCK_TX) {
        take_packets(vsock);
        vsock_deliver(vsock);
    }
}

static int activate(struct virtio_device *device, struct error *err)
{
    (void)err;
    vsock_listen(vsock_of(device), true);
    return 0;
}

static void reset(struct virtio_device *device)
{
    struct vsock *vsock = vsock_of(device);
    vsock_listen(vsock, false);
    drop_connections(vsock);
    vsock->event_waits = false;
}

static void release(struct virtio_device *device)
{
    struct vsock *vsock = vsock_of(device);
    vsock_unbind(vsock);
    free(vsock->path);
    free(vsock);
}

static const struct virtio_operations operations = {.type = VIRTIO_VSOCK,
                                                    .name = "vsock",
                                                    .activate = activate,
                                                    .reset = reset,
                                                    .notified = notified,
                                                    .release = release};

struct virtio_device *virtio_vsock_create(const char *id, uint64_t guest_cid, const char *path,
                                          struct error *err)
{
    if (guest_cid <= VSOCK_CID_HOST || guest_cid >= UINT32_MAX) {
        error_set(err, 0, "a guest's CID is from 3 to 4294967294, not %llu",
                  (unsigned long long)guest_cid);
        return NULL;
    }
    struct vsock *vsock = memory_allocate(1, sizeof *vsock);
    vsock->device = (struct virtio_device){.operations = &operations,
                                           .id = id,
                                           .features = FEATURE_STREAM,
                                           .queue_count = VSOCK_QUEUES,
                                           .config = &vsock->config,
                                           .config_size = sizeof vsock->config};
    vsock->config.guest_cid = guest_cid;
    vsock->path = memory_copy_string(path);
    if (vsock_bind(vsock, err) < 0) {
        free(vsock->path);
        free(vsock);
        return NULL;
    }
    return &vsock->device;
}

const struct virtio_vsock_metrics *virtio_vsock_metrics(const struct virtio_device *device)
{
    return &((const struct vsock *)device)->metrics;
}
