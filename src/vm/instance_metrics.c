/* What devices count, under the names that metrics have for it. */
#include "vm/control/metrics.h"
#include "vm/device/virtio_block.h"
#include "vm/device/virtio_entropy.h"
#include "vm/device/virtio_net.h"
#include "vm/device/virtio_vsock.h"
#include "vm/instance.h"

static void assign_time(struct metric_latency *latency, const struct virtio_block_time *time)
{
    metrics_assign_latency(latency, time->least, time->most, time->sum);
}

static void collect_block(struct metrics_block *to, const struct virtio_device *device)
{
    const struct virtio_block_counters *from = virtio_block_counters(device);
    metrics_assign(&to->read_bytes, from->read_bytes);
    metrics_assign(&to->read_count, from->read_count);
    metrics_assign(&to->write_bytes, from->write_bytes);
    metrics_assign(&to->write_count, from->write_count);
    metrics_assign(&to->flush_count, from->flush_count);
    metrics_assign(&to->execute_fails, from->failed_count);
    metrics_assign(&to->invalid_reqs_count, from->invalid_count);
    metrics_assign(&to->queue_event_count, from->queue_events);
    metrics_assign(&to->no_avail_buffer, from->no_request);
    metrics_assign(&to->io_engine_throttled_events, from->busy_events);
    metrics_assign(&to->rate_limiter_event_count, from->rate_events);
    metrics_assign(&to->rate_limiter_throttled_events, virtio_block_throttled(device));
    metrics_assign(&to->update_count, from->updates);
    assign_time(&to->read_agg, &from->read_time);
    assign_time(&to->write_agg, &from->write_time);
}

static void collect_net(struct metrics_net *to, const struct virtio_device *device)
{
    const struct virtio_net_metrics *from = virtio_net_metrics(device);
    metrics_assign(&to->rx_bytes_count, from->rx_bytes);
    metrics_assign(&to->rx_packets_count, from->rx_packets);
    metrics_assign(&to->rx_count, from->rx_packets);
    metrics_assign(&to->rx_fails, from->rx_failures + from->rx_dropped);
    metrics_assign(&to->tap_read_fails, from->rx_failures);
    metrics_assign(&to->no_rx_avail_buffer, from->rx_no_buffers);
    metrics_assign(&to->tx_bytes_count, from->tx_bytes);
    metrics_assign(&to->tx_packets_count, from->tx_packets);
    metrics_assign(&to->tx_count, from->tx_packets);
    metrics_assign(&to->tx_malformed_frames, from->tx_malformed);
    metrics_assign(&to->tx_fails, from->tx_failures);
    metrics_assign(&to->tap_write_fails, from->tx_failures);
    metrics_assign(&to->tx_spoofed_mac_count, from->tx_spoofed_mac);
    metrics_assign(&to->cfg_fails, from->control_failures);
    metrics_assign(&to->rx_rate_limiter_throttled, virtio_net_rx_throttled(device));
    metrics_assign(&to->tx_rate_limiter_throttled, virtio_net_tx_throttled(device));
}

static void collect_vsock(struct metrics *metrics, const struct virtio_device *device)
{
    const struct virtio_vsock_metrics *from = virtio_vsock_metrics(device);
    struct metrics_vsock *to = &metrics_of(metrics)->vsock;
    metrics_assign(&to->rx_bytes_count, from->received_bytes);
    metrics_assign(&to->rx_packets_count, from->received_packets);
    metrics_assign(&to->tx_bytes_count, from->sent_bytes);
    metrics_assign(&to->tx_packets_count, from->sent_packets);
    metrics_assign(&to->conns_added, from->connections_added);
    metrics_assign(&to->conns_removed, from->connections_removed);
    metrics_assign(&to->conns_killed, from->connections_reset);
    metrics_assign(&to->rx_read_fails, from->read_failures);
    metrics_assign(&to->tx_write_fails, from->write_failures);
}

static void collect_entropy(struct metrics *metrics, const struct virtio_device *device)
{
    const struct virtio_entropy_counters from = virtio_entropy_counters(device);
    struct metrics_entropy *to = &metrics_of(metrics)->entropy;
    metrics_assign(&to->entropy_event_count, from.requests);
    metrics_assign(&to->entropy_bytes, from.bytes);
    metrics_assign(&to->host_rng_fails, from.failures);
    metrics_assign(&to->entropy_rate_limiter_throttled, from.throttled);
    metrics_assign(&to->rate_limiter_event_count, from.rate_events);
}

static void collect_serial(struct metrics *metrics, const struct serial *serial)
{
    const struct serial_counters *from = serial_counters(serial);
    struct metrics_uart *to = &metrics_of(metrics)->uart;
    metrics_assign(&to->write_count, from->written);
    metrics_assign(&to->read_count, from->read);
    metrics_assign(&to->rate_limiter_dropped_bytes, from->dropped);
}

void instance_collect(void *context)
{
    struct instance *instance = context;
    if (instance->is_open)
        collect_serial(instance->metrics, instance->machine.serial);
    for (unsigned i = 0; instance->is_open && i < instance->machine.device_count; i++) {
        const struct virtio_device *device = instance->machine.devices[i].device;
        void **counters = &instance->counters[i];
        switch (device->operations->type) {
        case VIRTIO_BLOCK:
            *counters = *counters ? *counters : metrics_add_block(instance->metrics, device->id);
            collect_block(*counters, device);
            break;
        case VIRTIO_NET:
            *counters = *counters ? *counters : metrics_add_net(instance->metrics, device->id);
            collect_net(*counters, device);
            break;
        case VIRTIO_VSOCK:
            collect_vsock(instance->metrics, device);
            break;
        case VIRTIO_ENTROPY:
            collect_entropy(instance->metrics, device);
            break;
        default:
            break;
        }
    }
}
