#include "vm/device/virtio_net.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/device/metadata_wire.h"
#include "vm/device/net.h"

void net_watch(struct net *net)
{
    bool is_on = net_is_working(net) && (net->config.status & NET_LINK_UP);
    if (!net->is_attached)
        return;
    net->backend->operations->watch(net->backend, is_on && net->buffer_count > 0 && net->held == 0,
                                    is_on && net->tx_blocked);
}

static void on_backend_ready(struct net_backend *backend, bool receive, bool send)
{
    struct net *net = backend->device;
    if (send) {
        net->tx_blocked = false;
        net_transmit(net);
    }
    if (receive)
        net_receive(net);
    net_watch(net);
}

static void on_rx_refilled(struct rate_limiter *limiter)
{
    struct net *net = loop_owner(limiter, struct net, rx_limiter);
    net_receive(net);
    net_watch(net);
}

static void on_tx_refilled(struct rate_limiter *limiter)
{
    struct net *net = loop_owner(limiter, struct net, tx_limiter);
    net_transmit(net);
    net_watch(net);
}

static void on_metadata_ready(void *context)
{
    struct net *net = context;
    net_receive(net);
    net_watch(net);
}

static void notified(struct virtio_device *device, unsigned queue)
{
    struct net *net = net_of(device);
    if (queue == NET_RX) {
        virtqueue_want_notifications(&device->queues[NET_RX], false);
        net_receive(net);
    } else if (queue == NET_TX) {
        net_transmit(net);
    } else {
        net_control(net);
    }
    net_watch(net);
}

static int activate(struct virtio_device *device, struct error *err)
{
    struct net *net = net_of(device);
    net->offloads = device->driver_features & NET_GUEST_OFFLOADS;
    if (!net->is_attached) {
        net->is_attached = true;
        if (net->backend->operations->attach)
            net->backend->operations->attach(net->backend, device->loop);
        if (net->metadata)
            metadata_wire_attach(net->metadata, device->loop, on_metadata_ready, net);
    }
    if (net->backend->operations->set_offloads)
        return net->backend->operations->set_offloads(net->backend, net->offloads, err);
    return 0;
}

static void reset(struct virtio_device *device)
{
    struct net *net = net_of(device);
    net->tx_blocked = false;
    net_drop_window(net);
    net_watch(net);
    rate_limiter_close(&net->rx_limiter);
    rate_limiter_close(&net->tx_limiter);
    if (net->metadata)
        metadata_wire_reset(net->metadata);
    memcpy(net->config.mac, net->first_mac, sizeof net->config.mac);
}

static void release(struct virtio_device *device)
{
    struct net *net = net_of(device);
    rate_limiter_close(&net->rx_limiter);
    rate_limiter_close(&net->tx_limiter);
    net->backend->operations->release(net->backend);
    if (net->metadata)
        metadata_wire_release(net->metadata);
    free(net);
}

static const struct virtio_operations operations = {.type = VIRTIO_NET,
                                                    .name = "net",
                                                    .activate = activate,
                                                    .reset = reset,
                                                    .notified = notified,
                                                    .release = release};

struct virtio_device *virtio_net_create(const char *id, struct net_backend *backend,
                                        const struct virtio_net_settings *settings,
                                        struct loop *loop)
{
    struct net *net = memory_allocate(1, sizeof *net);
    uint64_t features = backend->features | NET_MERGEABLE | NET_STATUS | NET_CONTROL |
                        NET_CONTROL_RX | NET_CONTROL_RX_EXTRA | NET_CONTROL_MAC;
    if (backend->features & NET_GUEST_CSUM)
        features |= NET_CONTROL_GUEST_OFFLOADS;
    if (settings->has_mac)
        features |= NET_MAC;
    if (settings->mtu > 0)
        features |= NET_MTU;
    net->device = (struct virtio_device){.operations = &operations,
                                         .id = id,
                                         .features = features,
                                         .queue_count = NET_QUEUES,
                                         .queues[NET_CONTROLS].size_max = 64,
                                         .config = &net->config,
                                         .config_size = sizeof net->config};
    memcpy(net->first_mac, settings->mac, sizeof net->first_mac);
    net->config =
        (struct net_config){.status = NET_LINK_UP, .queue_pairs = 1, .mtu = settings->mtu};
    memcpy(net->config.mac, settings->mac, sizeof net->config.mac);
    net->backend = backend;
    backend->device = net;
    backend->ready = on_backend_ready;
    net->metadata = settings->metadata;
    rate_limiter_open(&net->rx_limiter, loop, &settings->rx, on_rx_refilled);
    rate_limiter_open(&net->tx_limiter, loop, &settings->tx, on_tx_refilled);
    return &net->device;
}

void virtio_net_update_limits(struct virtio_device *device,
                              const struct rate_bucket_settings *rx_bandwidth,
                              const struct rate_bucket_settings *rx_operations,
                              const struct rate_bucket_settings *tx_bandwidth,
                              const struct rate_bucket_settings *tx_operations)
{
    struct net *net = net_of(device);
    rate_limiter_update(&net->rx_limiter, rx_bandwidth, rx_operations);
    rate_limiter_update(&net->tx_limiter, tx_bandwidth, tx_operations);
}

void virtio_net_set_link(struct virtio_device *device, bool up)
{
    struct net *net = net_of(device);
    uint16_t status = up ? NET_LINK_UP : 0;
    if (net->config.status == status)
        return;
    net->config.status = status;
    virtio_device_config_changed(device);
    if (up && net_is_working(net)) {
        net_transmit(net);
        net_receive(net);
    }
    net_watch(net);
}

uint64_t virtio_net_rx_throttled(const struct virtio_device *device)
{
    return ((const struct net *)device)->rx_limiter.throttled;
}

uint64_t virtio_net_tx_throttled(const struct virtio_device *device)
{
    return ((const struct net *)device)->tx_limiter.throttled;
}

const struct virtio_net_metrics *virtio_net_metrics(const struct virtio_device *device)
{
    return &((const struct net *)device)->metrics;
}
