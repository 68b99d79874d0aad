/* The block device (virtio 1.2, 5.2) over whatever disk. */
#ifndef HULL_VM_VIRTIO_BLOCK_H
#define HULL_VM_VIRTIO_BLOCK_H

#include "vm/device/disk.h"
#include "vm/device/rate_limiter.h"
#include "vm/device/virtio_device.h"

#define VIRTIO_BLOCK_SERIAL_SIZE 20

struct virtio_block_settings {
    const char *serial; /* what GET_ID answers, cut to 20 bytes; NULL: the device's id */
    /* Firecracker's cache_type "Unsafe": no flush is offered, and one that comes all the same does
     * nothing. Else "Writeback": an acknowledged flush is on the disk. */
    bool unsafe_cache;
    unsigned queues; /* 1 to VIRTIO_QUEUES_MAX; 0 counts as 1 */
    struct rate_limiter_settings rate;
};

/* What happened, for metrics; read under the board's lock. */
struct virtio_block_time { /* of requests, in us */
    uint64_t least, most, sum;
};
struct virtio_block_counters {
    uint64_t read_bytes, read_count, write_bytes, write_count; /* that succeeded */
    uint64_t flush_count, discard_count, write_zeroes_count;
    uint64_t failed_count;  /* answered with an I/O error */
    uint64_t invalid_count; /* of a kind or shape that isn't supported */
    uint64_t queue_events;  /* notifications of the driver */
    uint64_t no_request;    /* of them without a request */
    uint64_t busy_events;   /* as many requests were in flight as may be */
    uint64_t rate_events;   /* the rate limiter let requests go on */
    uint64_t updates;       /* another disk, or another size */
    struct virtio_block_time read_time, write_time;
};

/* Makes a device over the disk, which it owns from now on, for the caller to open with
 * virtio_device_open(); virtio_device_close() frees both. */
struct virtio_device *virtio_block_create(const char *id, struct disk *disk,
                                          const struct virtio_block_settings *settings,
                                          struct loop *loop);

/* Another disk (or the same file, opened again because its size changed) in its place while the
 * driver works: what is in flight is finished on the old one, which is closed. It must be writable
 * if the old one was, and read-only if that was. After an error the new one stays the caller's. */
int virtio_block_replace_disk(struct virtio_device *device, struct disk *disk, struct error *err);
/* Other limits; NULL keeps the bucket as it is. */
void virtio_block_limit(struct virtio_device *device, const struct rate_bucket_settings *bandwidth,
                        const struct rate_bucket_settings *operations);

const struct virtio_block_counters *virtio_block_counters(const struct virtio_device *device);
/* How often the rate limiter held a request back. */
uint64_t virtio_block_throttled(const struct virtio_device *device);
/* Requests that are being worked on. */
unsigned virtio_block_in_flight(const struct virtio_device *device);

#endif
