/* The entropy device (virtio 1.2, 5.4): random bytes for the guest. */
#ifndef HULL_VM_VIRTIO_ENTROPY_H
#define HULL_VM_VIRTIO_ENTROPY_H

#include "vm/device/rate_limiter.h"
#include "vm/device/virtio_device.h"

struct virtio_entropy_counters {
    uint64_t requests, failures, bytes; /* failures: of the host's random numbers */
    uint64_t throttled, rate_events;    /* requests that had to wait; ends of waiting */
};

/* Makes a device that the caller opens with virtio_device_open(); virtio_device_close() frees it.
 * rate: of bytes and requests; NULL: no limits. */
struct virtio_device *
virtio_entropy_create(const char *id, const struct rate_limiter_settings *rate, struct loop *loop);
struct virtio_entropy_counters virtio_entropy_counters(const struct virtio_device *device);

#endif
