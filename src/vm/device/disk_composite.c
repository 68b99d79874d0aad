#include "vm/device/disk_composite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"

#define SECTOR 512

struct extent {
    uint64_t offset, length;
    int fd; /* of the file, from its beginning; -1: bytes */
    uint8_t *bytes;
};

struct composite {
    struct disk disk;
    struct disk_engine *engine;
    size_t count;
    struct extent *extents;
};

/* A request on its way: the pieces that are read from files. */
struct transfer {
    struct disk_request *request;
    unsigned left; /* pieces that aren't done; and one for who starts them */
    int error;
    struct iovec *parts; /* slices of the request's, of all pieces */
    struct piece {
        struct disk_io io;
        struct transfer *transfer;
    } pieces[];
};

/* The index of the first extent that ends behind offset. */
static size_t find(const struct composite *composite, uint64_t offset)
{
    size_t low = 0, high = composite->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct extent *extent = &composite->extents[middle];
        if (extent->offset + extent->length <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void finish_one(struct transfer *transfer, int error)
{
    if (error)
        transfer->error = error;
    if (--transfer->left > 0)
        return;
    struct disk_request *request = transfer->request;
    error = transfer->error;
    free(transfer->parts);
    free(transfer);
    disk_request_done(request, error);
}

static void on_done(struct disk_io *io, int error)
{
    finish_one(loop_owner(io, struct piece, io)->transfer, error);
}

/* Reads the part of an extent, or the hole before it, that is next; returns its size. slices: where
 * the piece's parts go. */
static uint64_t start_piece(struct composite *composite, struct transfer *transfer, size_t index,
                            uint64_t done, struct iovec **slices)
{
    const struct disk_request *request = transfer->request;
    const struct extent *extent = index < composite->count ? &composite->extents[index] : NULL;
    uint64_t offset = request->offset + done, size = request->size - done;
    uint64_t inner = extent && offset >= extent->offset ? offset - extent->offset : 0;
    bool hole = !extent || offset < extent->offset;
    uint64_t most = !extent ? size : hole ? extent->offset - offset : extent->length - inner;
    size = size < most ? size : most;
    unsigned count = disk_parts_slice(request->parts, request->part_count, done, size, *slices);
    if (hole) {
        disk_parts_clear(*slices, count);
    } else if (extent->fd < 0) {
        for (unsigned i = 0; i < count; inner += (*slices)[i++].iov_len)
            memcpy((*slices)[i].iov_base, extent->bytes + inner, (*slices)[i].iov_len);
    } else {
        struct piece *piece = &transfer->pieces[transfer->left - 1];
        *piece = (struct piece){.transfer = transfer,
                                .io = {.operation = DISK_IO_READ,
                                       .fd = extent->fd,
                                       .offset = inner,
                                       .size = size,
                                       .parts = *slices,
                                       .part_count = count,
                                       .done = on_done}};
        transfer->left++;
        *slices += count;
        disk_engine_start(composite->engine, &piece->io);
    }
    return size;
}

static void composite_submit(struct disk *disk, struct disk_request *request)
{
    struct composite *composite = (struct composite *)disk;
    size_t first = find(composite, request->offset);
    size_t last = find(composite, request->offset + request->size);
    size_t most = last - first + 1; /* extents that the request touches, at most */
    if (request->operation == DISK_FLUSH) {
        disk_request_done(request, 0);
        return;
    }
    struct transfer *transfer =
        memory_allocate(1, sizeof *transfer + most * sizeof *transfer->pieces);
    struct iovec *slices = memory_allocate(request->part_count + 2 * most + 1, sizeof *slices);
    *transfer = (struct transfer){.request = request, .left = 1, .parts = slices};
    for (uint64_t done = 0; done < request->size;) {
        done += start_piece(composite, transfer, first, done, &slices);
        if (first < composite->count &&
            request->offset + done >=
                composite->extents[first].offset + composite->extents[first].length)
            first++;
    }
    finish_one(transfer, 0);
}

static void composite_kick(struct disk *disk)
{
    disk_engine_kick(((struct composite *)disk)->engine);
}

static void composite_drain(struct disk *disk)
{
    disk_engine_drain(((struct composite *)disk)->engine);
}

static void composite_close(struct disk *disk)
{
    struct composite *composite = (struct composite *)disk;
    disk_engine_close(composite->engine);
    for (size_t i = 0; i < composite->count; i++) {
        struct extent *extent = &composite->extents[i];
        if (extent->fd >= 0)
            close(extent->fd);
        free(extent->bytes);
    }
    free(composite->extents);
    free(composite);
}

static const struct disk_operations operations = {.name = "composite",
                                                  .submit = composite_submit,
                                                  .kick = composite_kick,
                                                  .drain = composite_drain,
                                                  .close = composite_close};

static int open_extent(struct extent *extent, const struct disk_extent *described,
                       struct error *err)
{
    struct stat status;
    *extent = (struct extent){.offset = described->offset, .length = described->length, .fd = -1};
    if (!described->path) {
        extent->bytes = memory_allocate(described->length, 1);
        memcpy(extent->bytes, described->bytes, described->length);
        return 0;
    }
    scope_close int fd = open(described->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno, "can't open %s", described->path);
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < described->length)
        return error_set(err, 0, "%s isn't a file of %llu bytes", described->path,
                         (unsigned long long)described->length);
    extent->fd = scope_take_fd(&fd);
    return 0;
}

static int open_extents(struct composite *composite, const struct disk_layout *layout,
                        struct error *err)
{
    uint64_t end = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const struct disk_extent *described = &layout->extents[i];
        if (described->length == 0 || described->offset < end || described->offset > layout->size ||
            described->length > layout->size - described->offset)
            return error_set(
                err, 0, "extent %zu of a disk is empty, overlaps another, or lies beyond its end",
                i);
        if (open_extent(&composite->extents[composite->count], described, err) < 0)
            return -1;
        end = described->offset + described->length;
        composite->count++;
    }
    return 0;
}

struct disk *disk_open_composite(const struct disk_layout *layout,
                                 const struct disk_settings *settings, struct loop *loop,
                                 struct error *err)
{
    struct composite *composite = memory_allocate(1, sizeof *composite);
    composite->disk = (struct disk){.operations = &operations,
                                    .size = layout->size - layout->size % SECTOR,
                                    .read_only = true,
                                    .block_size = 4096,
                                    .discard_size = 4096};
    composite->extents = memory_allocate(layout->count + 1, sizeof *composite->extents);
    if (open_extents(composite, layout, err) == 0)
        composite->engine =
            disk_engine_open(loop, !settings->threads, disk_batch_done, &composite->disk, err);
    if (composite->engine)
        return &composite->disk;
    composite_close(&composite->disk);
    return NULL;
}
