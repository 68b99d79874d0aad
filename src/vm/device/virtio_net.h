/* The network device (virtio 1.2, 5.1): one pair of queues and a control queue, in front of a back
 * end (net_backend.h). Offered: checksum and segmentation offload as far as the back end has them,
 * mergeable receive buffers, the MAC address, the MTU, the link's state, and of the control
 * commands those of the receive mode, the MAC address and the offloads. */
#ifndef HULL_VM_VIRTIO_NET_H
#define HULL_VM_VIRTIO_NET_H

#include "vm/device/net_backend.h"
#include "vm/device/rate_limiter.h"
#include "vm/device/virtio_device.h"

/* Counts since the device was made, of bytes with their headers. */
struct virtio_net_metrics {
    uint64_t rx_bytes, rx_packets;
    uint64_t rx_dropped;    /* too big for the guest's buffers */
    uint64_t rx_failures;   /* of the back end */
    uint64_t rx_no_buffers; /* how often the guest had none for what came */
    uint64_t tx_bytes, tx_packets;
    uint64_t tx_malformed;   /* frames or headers that the driver may not send */
    uint64_t tx_failures;    /* that the back end refused */
    uint64_t tx_spoofed_mac; /* sent, but from another address than the device's */
    uint64_t control_failures;
};

struct metadata_wire;

struct virtio_net_settings {
    bool has_mac; /* else the guest chooses one */
    uint8_t mac[6];
    uint16_t mtu; /* told to the guest; 0: it isn't */
    struct rate_limiter_settings rx, tx;
    /* Answers for the metadata service's address (metadata_wire.h), or NULL; the device's then. */
    struct metadata_wire *metadata;
};

/* Makes a device that the caller opens with virtio_device_open(); virtio_device_close() frees it
 * and the back end. */
struct virtio_device *virtio_net_create(const char *id, struct net_backend *backend,
                                        const struct virtio_net_settings *settings,
                                        struct loop *loop);

/* New limits while it runs; NULL keeps a bucket as it is. */
void virtio_net_update_limits(struct virtio_device *device,
                              const struct rate_bucket_settings *rx_bandwidth,
                              const struct rate_bucket_settings *rx_operations,
                              const struct rate_bucket_settings *tx_bandwidth,
                              const struct rate_bucket_settings *tx_operations);

/* The link goes up, as it is at first, or down. While it is down nothing is sent or received. */
void virtio_net_set_link(struct virtio_device *device, bool up);

/* How often a limit held a packet back. */
uint64_t virtio_net_rx_throttled(const struct virtio_device *device);
uint64_t virtio_net_tx_throttled(const struct virtio_device *device);
const struct virtio_net_metrics *virtio_net_metrics(const struct virtio_device *device);

#endif
