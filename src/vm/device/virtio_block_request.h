/* Requests of the block device, private to it: from a chain of the driver to one or more requests
 * to the disk, and back. */
#ifndef HULL_VM_VIRTIO_BLOCK_REQUEST_H
#define HULL_VM_VIRTIO_BLOCK_REQUEST_H

#include "vm/device/virtio_block.h"

#define BLOCK_SECTOR 512
#define BLOCK_SEGMENTS_MAX 16              /* of a discard request */
#define BLOCK_RANGE_SECTORS_MAX (2u << 20) /* of one of its segments: 1 GiB */

/* Features (5.2.3). */
#define BLOCK_F_SEG_MAX (1ull << 2)
#define BLOCK_F_RO (1ull << 5)
#define BLOCK_F_BLK_SIZE (1ull << 6)
#define BLOCK_F_FLUSH (1ull << 9)
#define BLOCK_F_TOPOLOGY (1ull << 10)
#define BLOCK_F_CONFIG_WCE (1ull << 11)
#define BLOCK_F_MQ (1ull << 12)
#define BLOCK_F_DISCARD (1ull << 13)
#define BLOCK_F_WRITE_ZEROES (1ull << 14)

/* The configuration space (5.2.4), little-endian. */
struct block_config {
    uint64_t capacity; /* sectors */
    uint32_t size_max, seg_max;
    uint8_t geometry[4];
    uint32_t block_size;
    uint8_t physical_block_exponent, alignment_offset;
    uint16_t least_io;
    uint32_t best_io;
    uint8_t writeback, unused0;
    uint16_t queue_count;
    uint32_t discard_sectors_max, discard_segments_max, discard_alignment;
    uint32_t zeroes_sectors_max, zeroes_segments_max;
    uint8_t zeroes_may_unmap, unused1[3];
};

struct virtio_block {
    struct virtio_device device;
    struct disk *disk;
    struct rate_limiter limiter;
    struct block_config config;
    char serial[VIRTIO_BLOCK_SERIAL_SIZE];
    bool unsafe_cache;
    bool processing; /* queues are being looked at, or must not be now */
    unsigned in_flight;
    uint32_t queues_used;    /* a bit for each queue with an interrupt to be sent */
    uint32_t queues_waiting; /* and for each that may have requests nobody was notified of */
    struct virtio_block_counters counters;
    struct virtqueue_chain chain;
};

/* The bytes that a request in block->chain transfers, for the rate limiter. */
uint64_t block_request_bytes(const struct virtio_block *block);
/* Starts the request in block->chain; false if it has no header or no room for a status: the driver
 * broke the rules. It may be done already when this returns. */
bool block_request_start(struct virtio_block *block, unsigned queue);

#endif
