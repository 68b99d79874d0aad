/* The persistent memory device (virtio 1.2, 5.19): a file in the guest's physical memory. */
#ifndef HULL_VM_VIRTIO_PMEM_H
#define HULL_VM_VIRTIO_PMEM_H

#include "vm/device/rate_limiter.h"
#include "vm/device/virtio_device.h"

#define VIRTIO_PMEM_ALIGNMENT (2ull << 20) /* of address and size */

struct virtio_pmem_settings {
    const char *path;
    bool read_only;
    uint64_t address; /* in the guest's physical memory; a multiple of VIRTIO_PMEM_ALIGNMENT */
    struct rate_limiter_settings rate; /* of flushes: of bytes each has the whole file's */
};

struct virtio_pmem_counters {
    uint64_t flush_count, failed_count; /* requests */
    uint64_t invalid_count;             /* of a kind that isn't known */
    uint64_t queue_events;              /* notifications of the driver */
    uint64_t rate_events;               /* ends of waiting for the rate limiter */
};

/* How much of the guest's address space a file takes: its size, rounded up. What the guest writes
 * behind the file's end is lost. */
int virtio_pmem_measure(const char *path, uint64_t *size, struct error *err);

/* Maps the file, adds it to the guest's memory, and makes a device that the caller opens with
 * virtio_device_open(). virtio_device_close() unmaps it: then no vcpu runs any more, and nothing
 * else looks at guest memory but guest_memory_release(). */
struct virtio_device *virtio_pmem_create(const char *id,
                                         const struct virtio_pmem_settings *settings,
                                         struct guest_memory *memory, struct loop *loop,
                                         struct error *err);

const struct virtio_pmem_counters *virtio_pmem_counters(const struct virtio_device *device);
/* How often flushes had to wait for the rate limiter. */
uint64_t virtio_pmem_throttled(const struct virtio_device *device);

#endif
