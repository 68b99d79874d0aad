/* A disk behind a block device: one table of operations for raw files, qcow2 images, and disks made
 * of several files. Everything is asynchronous and runs on the loop's thread (or under its lock).
 */
#ifndef HULL_VM_DISK_H
#define HULL_VM_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/loop.h"
#include "vm/device/disk_engine.h"
#include "vm/device/worker_pool.h"

#define DISK_PARTS_MAX 1024 /* of one request; IOV_MAX */

enum disk_operation {
    DISK_READ,
    DISK_WRITE,
    DISK_FLUSH, /* whatever was written by requests that are done survives a power cut */
    DISK_DISCARD,
    DISK_WRITE_ZEROES,
};

/* Its memory, and what it points to, stay the caller's until done() was called. */
struct disk_request {
    enum disk_operation operation;
    bool unmap;            /* DISK_WRITE_ZEROES: room may be given back */
    uint64_t offset, size; /* in bytes, but for DISK_FLUSH */
    struct iovec *parts;   /* of reads and writes; size bytes; the array is changed on the way */
    unsigned part_count;
    void (*done)(struct disk_request *request); /* may free the request */
    int error;                                  /* set then: an errno value, or 0 */
    /* The disk's. */
    struct disk *disk;
    struct disk_io io;
    struct worker_job job;
};

struct disk_operations {
    const char *name;
    void (*submit)(struct disk *disk, struct disk_request *request);
    /* Begins what was submitted. NULL: submit() does. */
    void (*kick)(struct disk *disk);
    void (*drain)(struct disk *disk);
    void (*close)(struct disk *disk); /* it is drained */
};

struct disk {
    const struct disk_operations *operations;
    uint64_t size; /* in bytes */
    bool read_only;
    bool can_discard;      /* and write zeros without writing them */
    uint32_t block_size;   /* what is best to be read and written at once; a power of two to 4096 */
    uint32_t discard_size; /* what can be given back at least; a power of two */
    /* Set by who uses the disk, both may be NULL: called after one or more done() functions. */
    void (*batch_done)(struct disk *disk);
    void *owner;
};

/* Starts a request. One that doesn't lie on the disk, or writes to a read-only one, fails. done()
 * may be called from here. */
void disk_submit(struct disk *disk, struct disk_request *request);
/* To be called after one or more disk_submit(). */
void disk_kick(struct disk *disk);
/* Returns when all requests are done, and nothing touches their parts any more. */
void disk_drain(struct disk *disk);
/* Drains first; what an image keeps in memory is written. NULL is borne. */
void disk_close(struct disk *disk);

/* For back ends: ends a request. */
static inline void disk_request_done(struct disk_request *request, int error)
{
    request->error = error;
    request->done(request);
}
/* For back ends: what they give to disk_engine_open() and worker_pool_open(), with the disk. */
void disk_batch_done(void *disk);

struct disk_settings {
    bool read_only;
    bool threads; /* not io_uring: Firecracker's io_engine "Sync" */
    /* Whether what an image names as its backing file is followed: not at all (an error), only if
     * it lies in or below the image's own directory, or wherever it is. */
    enum disk_backing { DISK_BACKING_NONE, DISK_BACKING_BENEATH, DISK_BACKING_ANY } backing;
};

/* A file or block device as it is. */
struct disk *disk_open_raw(const char *path, const struct disk_settings *settings,
                           struct loop *loop, struct error *err);
/* An image of QEMU's format, version 2 or 3. */
struct disk *disk_open_qcow2(const char *path, const struct disk_settings *settings,
                             struct loop *loop, struct error *err);

#endif
