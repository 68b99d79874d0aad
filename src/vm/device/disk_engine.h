/* File I/O that doesn't wait: by io_uring, or by threads where the kernel or a filter refuses that
 * (or the caller does). Ends are told on the loop's thread. */
#ifndef HULL_VM_DISK_ENGINE_H
#define HULL_VM_DISK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/loop.h"
#include "vm/device/worker_pool.h"

enum disk_io_operation {
    DISK_IO_READ,
    DISK_IO_WRITE,
    DISK_IO_SYNC, /* fdatasync: what was written by operations that are done is on the disk */
    DISK_IO_DISCARD,
    DISK_IO_ZERO,
    DISK_IO_ZERO_UNMAP,
};

/* One operation; its memory stays the caller's, from the start until done() was called. */
struct disk_io {
    enum disk_io_operation operation;
    int fd;
    uint64_t offset, size;
    struct iovec *parts; /* of reads and writes; changed on the way */
    unsigned part_count;
    void (*done)(struct disk_io *io, int error); /* an errno value, or 0 */
    /* The engine's. */
    int error;
    struct disk_io *next;
    struct worker_job job;
};

struct disk_engine;

/* batch_done(context) is called after one or more done() functions, on the loop's thread or within
 * disk_engine_kick() or disk_engine_drain(). */
struct disk_engine *disk_engine_open(struct loop *loop, bool use_uring,
                                     void (*batch_done)(void *context), void *context,
                                     struct error *err);
/* Drains first. NULL is borne. */
void disk_engine_close(struct disk_engine *engine);
bool disk_engine_uses_uring(const struct disk_engine *engine);

/* Starts an operation, at the latest with the next disk_engine_kick(). Never calls done(). */
void disk_engine_start(struct disk_engine *engine, struct disk_io *io);
void disk_engine_kick(struct disk_engine *engine);
/* Returns when all operations are done, and none touches its parts any more. */
void disk_engine_drain(struct disk_engine *engine);

#endif
