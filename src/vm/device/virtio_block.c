#include "vm/device/virtio_block.h"

#include <endian.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/device/virtio_block_request.h"

#define QUEUE_SIZE 256
#define IN_FLIGHT_MAX 128
#define REQUESTS_AT_ONCE 64 /* before other devices have their turn */

static void send_interrupts(struct virtio_block *block)
{
    uint32_t queues = block->queues_used;
    block->queues_used = 0;
    for (unsigned i = 0; queues; i++, queues >>= 1) {
        if (queues & 1)
            virtio_device_interrupt(&block->device, i);
    }
}

static bool is_working(const struct virtio_block *block)
{
    return block->device.active && !(block->device.status & VIRTIO_STATUS_NEEDS_RESET);
}

/* Starts requests while there are any and more may be in flight. Returns 0 when there are no more,
 * 1 when there may be, and -1 if the driver broke the rules. */
static int start_requests(struct virtio_block *block, unsigned index, unsigned *budget)
{
    struct virtqueue *queue = &block->device.queues[index];
    while (*budget > 0) {
        if (block->in_flight >= IN_FLIGHT_MAX) {
            block->counters.busy_events++;
            return 1;
        }
        int status = virtqueue_pop(queue, &block->chain);
        if (status <= 0)
            return status;
        if (!rate_limiter_take(&block->limiter, block_request_bytes(block))) {
            virtqueue_unpop(queue);
            return 1;
        }
        if (!block_request_start(block, index))
            return -1;
        (*budget)--;
    }
    return 1;
}

/* Handles a queue until it is empty, or has to wait for requests in flight or the rate limiter:
 * then it is noted in queues_waiting. */
static void process_queue(struct virtio_block *block, unsigned index)
{
    struct virtqueue *queue = &block->device.queues[index];
    unsigned budget = REQUESTS_AT_ONCE;
    block->queues_waiting &= ~(1u << index);
    block->processing = true;
    for (;;) {
        virtqueue_want_notifications(queue, false);
        int status = start_requests(block, index, &budget);
        disk_kick(block->disk);
        send_interrupts(block);
        if (status < 0) {
            virtio_device_break(&block->device, "put a malformed request into its queue");
            break;
        }
        if (status == 0 && !virtqueue_want_notifications(queue, true))
            break;
        if (budget == 0) {
            virtio_device_notify(&block->device, index); /* to come back to it */
            break;
        }
        if (block->in_flight >= IN_FLIGHT_MAX || rate_limiter_is_waiting(&block->limiter)) {
            block->queues_waiting |= 1u << index;
            break;
        }
    }
    block->processing = false;
}

static void process_waiting(struct virtio_block *block)
{
    for (unsigned i = 0; i < block->device.queue_count && is_working(block); i++) {
        if (block->queues_waiting & (1u << i))
            process_queue(block, i);
    }
}

static void on_batch_done(struct disk *disk)
{
    struct virtio_block *block = disk->owner;
    if (block->processing)
        return; /* who does that sends interrupts and goes on */
    if (is_working(block))
        send_interrupts(block);
    if (block->in_flight < IN_FLIGHT_MAX && !rate_limiter_is_waiting(&block->limiter))
        process_waiting(block);
}

static void on_refilled(struct rate_limiter *limiter)
{
    struct virtio_block *block = loop_owner(limiter, struct virtio_block, limiter);
    block->counters.rate_events++;
    process_waiting(block);
}

static void notified(struct virtio_device *device, unsigned index)
{
    struct virtio_block *block = (struct virtio_block *)device;
    block->counters.queue_events++;
    block->counters.no_request += !virtqueue_has_request(&device->queues[index]);
    if (rate_limiter_is_waiting(&block->limiter))
        block->queues_waiting |= 1u << index;
    else
        process_queue(block, index);
}

static void write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size)
{
    struct virtio_block *block = (struct virtio_block *)device;
    /* Only writeback may be written (5.2.4). */
    if (offset == offsetof(struct block_config, writeback) && size == 1 &&
        virtio_device_has(device, BLOCK_F_CONFIG_WCE))
        block->config.writeback = *(const uint8_t *)bytes ? 1 : 0;
}

static void reset(struct virtio_device *device)
{
    struct virtio_block *block = (struct virtio_block *)device;
    block->processing = true;
    disk_drain(block->disk);
    block->processing = false;
    block->queues_used = block->queues_waiting = 0;
    block->config.writeback = !block->unsafe_cache;
    rate_limiter_close(&block->limiter);
}

static void release(struct virtio_device *device)
{
    struct virtio_block *block = (struct virtio_block *)device;
    rate_limiter_close(&block->limiter);
    disk_close(block->disk);
    free(block);
}

static const struct virtio_operations operations = {.type = VIRTIO_BLOCK,
                                                    .name = "block",
                                                    .write_config = write_config,
                                                    .reset = reset,
                                                    .notified = notified,
                                                    .release = release};

/* What the configuration says about the disk. */
static void describe_disk(struct virtio_block *block, struct disk *disk)
{
    uint32_t sectors = disk->block_size / BLOCK_SECTOR;
    block->disk = disk;
    disk->owner = block;
    disk->batch_done = on_batch_done;
    block->config.capacity = htole64(disk->size / BLOCK_SECTOR);
    block->config.block_size = htole32(BLOCK_SECTOR);
    block->config.physical_block_exponent = (uint8_t)__builtin_ctz(sectors);
    block->config.least_io = htole16((uint16_t)sectors);
    block->config.discard_alignment = htole32(disk->discard_size / BLOCK_SECTOR);
}

struct virtio_device *virtio_block_create(const char *id, struct disk *disk,
                                          const struct virtio_block_settings *settings,
                                          struct loop *loop)
{
    struct virtio_block *block = memory_allocate(1, sizeof *block);
    const char *serial = settings->serial ? settings->serial : id;
    unsigned queues = settings->queues ? settings->queues : 1;
    queues = queues < VIRTIO_QUEUES_MAX ? queues : VIRTIO_QUEUES_MAX;
    block->device = (struct virtio_device){
        .operations = &operations,
        .id = id,
        .features = BLOCK_F_SEG_MAX | BLOCK_F_BLK_SIZE | BLOCK_F_TOPOLOGY |
                    (disk->read_only ? BLOCK_F_RO : 0) |
                    (settings->unsafe_cache ? 0 : BLOCK_F_FLUSH | BLOCK_F_CONFIG_WCE) |
                    (disk->can_discard ? BLOCK_F_DISCARD | BLOCK_F_WRITE_ZEROES : 0) |
                    (queues > 1 ? BLOCK_F_MQ : 0),
        .queue_count = queues,
        .config = &block->config,
        .config_size = offsetof(struct block_config, unused1) + sizeof block->config.unused1,
    };
    for (unsigned i = 0; i < queues; i++)
        block->device.queues[i].size_max = QUEUE_SIZE;
    block->unsafe_cache = settings->unsafe_cache;
    memcpy(block->serial, serial, strnlen(serial, sizeof block->serial));
    block->config = (struct block_config){
        .seg_max = htole32(QUEUE_SIZE - 2), /* beside header and status */
        .writeback = !settings->unsafe_cache,
        .queue_count = htole16((uint16_t)queues),
        .discard_sectors_max = htole32(BLOCK_RANGE_SECTORS_MAX),
        .discard_segments_max = htole32(BLOCK_SEGMENTS_MAX),
        .zeroes_sectors_max = htole32(BLOCK_RANGE_SECTORS_MAX),
        .zeroes_segments_max = htole32(BLOCK_SEGMENTS_MAX),
        .zeroes_may_unmap = 1,
    };
    describe_disk(block, disk);
    rate_limiter_open(&block->limiter, loop, &settings->rate, on_refilled);
    return &block->device;
}

int virtio_block_replace_disk(struct virtio_device *device, struct disk *disk, struct error *err)
{
    struct virtio_block *block = (struct virtio_block *)device;
    if (disk->read_only != block->disk->read_only)
        return error_set(err, 0, "disk %s is %s, which can't be changed while it is used",
                         device->id, block->disk->read_only ? "read-only" : "writable");
    if (!disk->can_discard && block->disk->can_discard)
        return error_set(err, 0, "disk %s can discard, which the new one can't", device->id);
    block->processing = true; /* no new requests to the old disk */
    disk_drain(block->disk);
    block->processing = false;
    disk_close(block->disk);
    describe_disk(block, disk);
    block->counters.updates++;
    virtio_device_config_changed(device);
    if (is_working(block)) {
        send_interrupts(block);
        process_waiting(block);
    }
    return 0;
}

void virtio_block_limit(struct virtio_device *device, const struct rate_bucket_settings *bandwidth,
                        const struct rate_bucket_settings *operations_limit)
{
    rate_limiter_update(&((struct virtio_block *)device)->limiter, bandwidth, operations_limit);
}

const struct virtio_block_counters *virtio_block_counters(const struct virtio_device *device)
{
    return &((const struct virtio_block *)device)->counters;
}

uint64_t virtio_block_throttled(const struct virtio_device *device)
{
    return ((const struct virtio_block *)device)->limiter.throttled;
}

unsigned virtio_block_in_flight(const struct virtio_device *device)
{
    return ((const struct virtio_block *)device)->in_flight;
}
