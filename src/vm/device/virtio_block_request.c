#include "vm/device/virtio_block_request.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "vm/device/disk_file.h"
#include "vm/log.h"

/* Types and answers (5.2.6). */
enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_ZEROES = 13
};
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPPORTED = 2 };

#define SEGMENT_UNMAP 1u
#define TRANSFER_MAX (1ull << 30) /* bytes; what a reset may have to wait for */

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct segment {
    uint64_t sector;
    uint32_t sectors, flags;
};

struct block_request {
    struct disk_request disk; /* the one under way */
    struct virtio_block *block;
    uint16_t queue, head;
    uint32_t type;
    uint32_t read; /* bytes that the driver gets */
    bool synced;   /* a write's flush is under way, or needs none */
    uint8_t *status;
    uint64_t size, started; /* in bytes; us */
    unsigned segment_count, next_segment;
    struct segment *segments; /* behind the parts */
    struct iovec parts[];
};

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool read_header(const struct virtqueue_chain *chain, struct header *header)
{
    if (virtqueue_copy_from(chain->readable, chain->readable_count, 0, header, sizeof *header) !=
        sizeof *header)
        return false;
    header->type = le32toh(header->type);
    header->sector = le64toh(header->sector);
    return true;
}

uint64_t block_request_bytes(const struct virtio_block *block)
{
    const struct virtqueue_chain *chain = &block->chain;
    struct header header;
    if (!read_header(chain, &header))
        return 0;
    if (header.type == TYPE_OUT)
        return chain->readable_size - sizeof header;
    return header.type == TYPE_IN && chain->writable_size > 0 ? chain->writable_size - 1 : 0;
}

/* Writes the answer and gives the chain back, if there still is somebody who waits for it. */
static void answer(struct block_request *request, uint8_t status)
{
    struct virtio_block *block = request->block;
    struct virtio_device *device = &block->device;
    if (device->active && !(device->status & VIRTIO_STATUS_NEEDS_RESET)) {
        *request->status = status;
        virtqueue_push(&device->queues[request->queue], request->head,
                       status == STATUS_OK ? request->read + 1 : 1);
        block->queues_used |= 1u << request->queue;
    }
    block->in_flight--;
    free(request);
}

static void note_time(struct virtio_block_time *time, uint64_t started)
{
    uint64_t passed = now_us() - started;
    if (time->least == 0 || passed < time->least)
        time->least = passed;
    if (passed > time->most)
        time->most = passed;
    time->sum += passed;
}

static void count_success(const struct block_request *request)
{
    struct virtio_block_counters *counters = &request->block->counters;
    if (request->type == TYPE_IN) {
        counters->read_count++;
        counters->read_bytes += request->size;
        note_time(&counters->read_time, request->started);
    } else if (request->type == TYPE_OUT) {
        counters->write_count++;
        counters->write_bytes += request->size;
        note_time(&counters->write_time, request->started);
    }
    counters->flush_count += request->type == TYPE_FLUSH;
    counters->discard_count += request->type == TYPE_DISCARD;
    counters->write_zeroes_count += request->type == TYPE_ZEROES;
}

static void fail(struct block_request *request)
{
    request->block->counters.failed_count++;
    answer(request, STATUS_IOERR);
}

static void refuse(struct block_request *request)
{
    request->block->counters.invalid_count++;
    answer(request, STATUS_UNSUPPORTED);
}

/* Whether a write is only done when it is on the disk (5.2.6.2): the driver can't flush, or has
 * switched the cache off. */
static bool writes_through(const struct virtio_block *block)
{
    if (block->unsafe_cache)
        return false;
    if (virtio_device_has(&block->device, BLOCK_F_CONFIG_WCE))
        return !block->config.writeback;
    return !virtio_device_has(&block->device, BLOCK_F_FLUSH);
}

static void submit_segment(struct block_request *request)
{
    const struct segment *segment = &request->segments[request->next_segment++];
    request->disk.offset = segment->sector * BLOCK_SECTOR;
    request->disk.size = (uint64_t)segment->sectors * BLOCK_SECTOR;
    request->disk.unmap = segment->flags & SEGMENT_UNMAP;
    disk_submit(request->block->disk, &request->disk);
}

static void on_done(struct disk_request *disk_request)
{
    struct block_request *request = (struct block_request *)disk_request;
    struct virtio_block *block = request->block;
    if (disk_request->error) {
        vm_log(VM_LOG_DEBUG, "block", "%s: a request at byte %llu failed: %s", block->device.id,
               (unsigned long long)disk_request->offset, strerror(disk_request->error));
        fail(request);
    } else if (!block->device.active) {
        answer(request, STATUS_IOERR); /* to nobody: a reset waits for this */
    } else if (request->next_segment < request->segment_count) {
        submit_segment(request);
        disk_kick(block->disk);
    } else if (!request->synced) {
        request->synced = true;
        disk_request->operation = DISK_FLUSH;
        disk_submit(block->disk, disk_request);
        disk_kick(block->disk);
    } else {
        count_success(request);
        answer(request, STATUS_OK);
    }
}

static bool is_on_disk(const struct virtio_block *block, uint64_t sector, uint64_t sectors)
{
    uint64_t capacity = block->disk->size / BLOCK_SECTOR;
    return sector <= capacity && sectors <= capacity - sector;
}

static void transfer(struct block_request *request, uint64_t sector)
{
    uint64_t sectors = request->size / BLOCK_SECTOR;
    if (request->size % BLOCK_SECTOR || request->size > TRANSFER_MAX ||
        !is_on_disk(request->block, sector, sectors)) {
        fail(request);
        return;
    }
    request->disk.operation = request->type == TYPE_IN ? DISK_READ : DISK_WRITE;
    request->disk.offset = sector * BLOCK_SECTOR;
    request->disk.size = request->size;
    if (request->type == TYPE_IN)
        request->read = (uint32_t)request->size;
    request->synced = request->type == TYPE_IN || !writes_through(request->block);
    disk_submit(request->block->disk, &request->disk);
}

/* The segments of a discard or write-zeroes request, which the readable parts hold (5.2.6). */
static void erase(struct block_request *request)
{
    struct virtio_block *block = request->block;
    uint64_t feature = request->type == TYPE_DISCARD ? BLOCK_F_DISCARD : BLOCK_F_WRITE_ZEROES;
    uint32_t known = request->type == TYPE_DISCARD ? 0 : SEGMENT_UNMAP;
    unsigned count = (unsigned)(request->size / sizeof(struct segment));
    if (!virtio_device_has(&block->device, feature)) {
        refuse(request);
        return;
    }
    if (request->size == 0 || request->size % sizeof(struct segment) ||
        request->size > BLOCK_SEGMENTS_MAX * sizeof(struct segment)) {
        fail(request);
        return;
    }
    virtqueue_copy_from(request->disk.parts, request->disk.part_count, 0, request->segments,
                        request->size);
    for (unsigned i = 0; i < count; i++) {
        struct segment *segment = &request->segments[i];
        *segment = (struct segment){le64toh(segment->sector), le32toh(segment->sectors),
                                    le32toh(segment->flags)};
        if (segment->flags & ~known) {
            refuse(request);
            return;
        }
        if (segment->sectors > BLOCK_RANGE_SECTORS_MAX ||
            !is_on_disk(block, segment->sector, segment->sectors)) {
            fail(request);
            return;
        }
    }
    request->disk.operation = request->type == TYPE_DISCARD ? DISK_DISCARD : DISK_WRITE_ZEROES;
    request->segment_count = count;
    request->synced = !writes_through(block);
    submit_segment(request);
}

static void get_id(struct block_request *request)
{
    struct virtio_block *block = request->block;
    request->read = (uint32_t)virtqueue_copy_to(request->disk.parts, request->disk.part_count, 0,
                                                block->serial, sizeof block->serial);
    answer(request, STATUS_OK);
}

static void dispatch(struct block_request *request, uint64_t sector)
{
    struct virtio_block *block = request->block;
    bool changes =
        request->type != TYPE_IN && request->type != TYPE_FLUSH && request->type != TYPE_GET_ID;
    switch (request->type) {
    case TYPE_IN:
    case TYPE_OUT:
    case TYPE_DISCARD:
    case TYPE_ZEROES:
        if (changes && block->disk->read_only)
            fail(request);
        else if (request->type == TYPE_IN || request->type == TYPE_OUT)
            transfer(request, sector);
        else
            erase(request);
        break;
    case TYPE_FLUSH:
        request->disk.operation = DISK_FLUSH;
        if (block->unsafe_cache)
            on_done(&request->disk);
        else
            disk_submit(block->disk, &request->disk);
        break;
    case TYPE_GET_ID:
        get_id(request);
        break;
    default:
        refuse(request);
    }
}

bool block_request_start(struct virtio_block *block, unsigned queue)
{
    const struct virtqueue_chain *chain = &block->chain;
    struct header header;
    if (chain->writable_size == 0 || !read_header(chain, &header))
        return false;
    bool to_disk =
        header.type == TYPE_OUT || header.type == TYPE_DISCARD || header.type == TYPE_ZEROES;
    unsigned most = to_disk ? chain->readable_count : chain->writable_count;
    bool segmented = header.type == TYPE_DISCARD || header.type == TYPE_ZEROES;
    size_t room = most * sizeof(struct iovec);
    struct block_request *request = memory_allocate(
        1, sizeof *request + room + (segmented ? BLOCK_SEGMENTS_MAX * sizeof(struct segment) : 0));
    const struct iovec *last = &chain->writable[chain->writable_count - 1];
    *request = (struct block_request){
        .block = block,
        .queue = (uint16_t)queue,
        .head = chain->head,
        .type = header.type,
        .synced = true,
        .status = (uint8_t *)last->iov_base + last->iov_len - 1,
        .size = to_disk ? chain->readable_size - sizeof header : chain->writable_size - 1,
        .started = now_us(),
        .segments = (struct segment *)(void *)((uint8_t *)request->parts + room),
        .disk = {.parts = request->parts, .done = on_done},
    };
    request->disk.part_count = to_disk
                                   ? disk_parts_slice(chain->readable, chain->readable_count,
                                                      sizeof header, request->size, request->parts)
                                   : disk_parts_slice(chain->writable, chain->writable_count, 0,
                                                      request->size, request->parts);
    block->in_flight++;
    dispatch(request, header.sector);
    return true;
}
