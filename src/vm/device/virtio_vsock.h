/* The socket device (virtio 1.2, 5.10): stream connections between the guest and Unix sockets of
 * the host, by Firecracker's convention:
 * - a host program connects to the socket PATH and writes "CONNECT PORT\n" to reach what listens
 *   on PORT in the guest; "OK HOSTPORT\n" comes back once the guest accepted. The connection is
 *   closed if it didn't.
 * - what the guest connects to, port P of CID 2, is the socket PATH_P that a host program listens
 *   on; the guest's connection is refused if none does. */
#ifndef HULL_VM_VIRTIO_VSOCK_H
#define HULL_VM_VIRTIO_VSOCK_H

#include "vm/device/virtio_device.h"

/* Counts since the device was made; "received" is what the guest receives. */
struct virtio_vsock_metrics {
    uint64_t received_bytes, received_packets;
    uint64_t sent_bytes, sent_packets;
    uint64_t dropped_packets; /* of the guest, that weren't even worth a reset */
    uint64_t connections_added, connections_removed;
    uint64_t connections_refused; /* of either side */
    uint64_t connections_reset; /* by this side: the guest broke the rules, or the host's end did */
    uint64_t read_failures, write_failures; /* on the host's sockets */
};

/* Makes a device that the caller opens with virtio_device_open(); virtio_device_close() frees it
 * and removes the socket. The guest's CID is at least 3; path is bound here and must not exist. */
struct virtio_device *virtio_vsock_create(const char *id, uint64_t guest_cid, const char *path,
                                          struct error *err);

/* Ends all connections and tells the guest to forget them, too: after a move or a restore, when the
 * other ends are gone (5.10.6.7). */
void virtio_vsock_transport_reset(struct virtio_device *device);

const struct virtio_vsock_metrics *virtio_vsock_metrics(const struct virtio_device *device);

#endif
