/* A qcow2 image as a disk. What can be read and written in place, by tables in memory, goes
 * straight to the engine; threads do the rest, and wait for what reading and writing tables takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk.h"
#include "vm/device/qcow2.h"
#include "vm/log.h"

#define SECTOR 512
#define BLOCK_MAX 4096
#define THREADS_MAX 4

struct qcow2_disk {
    struct disk disk;
    struct qcow2 *image;
    struct worker_pool *pool;
    struct disk_engine *engine;
    bool draining;
    char *path;
};

static void run(struct worker_job *job)
{
    struct disk_request *request = loop_owner(job, struct disk_request, job);
    struct qcow2 *image = ((struct qcow2_disk *)request->disk)->image;
    uint64_t offset = request->offset, size = request->size;
    switch (request->operation) {
    case DISK_READ:
        request->error = qcow2_read(image, request->parts, request->part_count, offset, size);
        break;
    case DISK_WRITE:
        request->error = qcow2_write(image, request->parts, request->part_count, offset, size);
        break;
    case DISK_FLUSH:
        request->error = qcow2_flush(image);
        break;
    case DISK_DISCARD:
        request->error = qcow2_discard(image, offset, size);
        break;
    case DISK_WRITE_ZEROES:
        request->error = qcow2_write_zeros(image, offset, size, request->unmap);
        break;
    }
}

static void on_done(struct worker_job *job)
{
    struct disk_request *request = loop_owner(job, struct disk_request, job);
    disk_request_done(request, request->error);
}

static void on_direct_done(struct disk_io *io, int error)
{
    struct disk_request *request = loop_owner(io, struct disk_request, io);
    qcow2_end_direct(((struct qcow2_disk *)request->disk)->image);
    disk_request_done(request, error);
}

/* Without threads, if that can be. Not while the disk is drained: a flush on a thread, which that
 * waits for, might wait for this. */
static bool submit_direct(struct qcow2_disk *qcow2, struct disk_request *request)
{
    bool write = request->operation == DISK_WRITE;
    uint64_t place;
    int fd;
    if (qcow2->draining || (!write && request->operation != DISK_READ) ||
        !qcow2_begin_direct(qcow2->image, request->offset, request->size, write, &fd, &place))
        return false;
    request->io = (struct disk_io){.operation = write ? DISK_IO_WRITE : DISK_IO_READ,
                                   .fd = fd,
                                   .offset = place,
                                   .size = request->size,
                                   .parts = request->parts,
                                   .part_count = request->part_count,
                                   .done = on_direct_done};
    disk_engine_start(qcow2->engine, &request->io);
    return true;
}

static void qcow2_disk_submit(struct disk *disk, struct disk_request *request)
{
    if (submit_direct((struct qcow2_disk *)disk, request))
        return;
    request->job = (struct worker_job){.run = run, .done = on_done};
    worker_pool_submit(((struct qcow2_disk *)disk)->pool, &request->job);
}

static void qcow2_disk_kick(struct disk *disk)
{
    disk_engine_kick(((struct qcow2_disk *)disk)->engine);
}

static void qcow2_disk_drain(struct disk *disk)
{
    struct qcow2_disk *qcow2 = (struct qcow2_disk *)disk;
    qcow2->draining = true;
    disk_engine_drain(qcow2->engine); /* what jobs may wait for */
    worker_pool_drain(qcow2->pool);
    qcow2->draining = false;
}

static void qcow2_disk_close(struct disk *disk)
{
    struct qcow2_disk *qcow2 = (struct qcow2_disk *)disk;
    disk_engine_close(qcow2->engine);
    worker_pool_close(qcow2->pool);
    int error = qcow2_close(qcow2->image);
    if (error)
        vm_log(VM_LOG_ERROR, "block", "can't write image %s at its end: %s", qcow2->path,
               strerror(error));
    free(qcow2->path);
    free(qcow2);
}

static const struct disk_operations operations = {.name = "qcow2",
                                                  .submit = qcow2_disk_submit,
                                                  .kick = qcow2_disk_kick,
                                                  .drain = qcow2_disk_drain,
                                                  .close = qcow2_disk_close};

struct disk *disk_open_qcow2(const char *path, const struct disk_settings *settings,
                             struct loop *loop, struct error *err)
{
    struct stat status;
    struct qcow2 *image;
    int mode = settings->read_only ? O_RDONLY : O_RDWR;
    scope_close int fd = open(path, mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0) {
        error_set(err, errno, "can't open image %s", path);
        return NULL;
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        error_set(err, 0, "image %s is neither a file nor a block device", path);
        return NULL;
    }
    if (qcow2_open(&image, scope_take_fd(&fd), path, settings, err) < 0)
        return NULL;
    struct qcow2_disk *qcow2 = memory_allocate(1, sizeof *qcow2);
    uint32_t cluster = qcow2_cluster_size(image);
    qcow2->disk = (struct disk){.operations = &operations,
                                .size = qcow2_size(image) - qcow2_size(image) % SECTOR,
                                .read_only = settings->read_only,
                                .can_discard = !settings->read_only,
                                .block_size = cluster < BLOCK_MAX ? cluster : BLOCK_MAX,
                                .discard_size = cluster};
    qcow2->image = image;
    qcow2->path = memory_copy_string(path);
    qcow2->pool = worker_pool_open(loop, THREADS_MAX, disk_batch_done, &qcow2->disk, err);
    if (qcow2->pool && worker_pool_reserve(qcow2->pool, err) == 0)
        qcow2->engine =
            disk_engine_open(loop, !settings->threads, disk_batch_done, &qcow2->disk, err);
    if (!qcow2->engine) {
        qcow2_disk_close(&qcow2->disk);
        return NULL;
    }
    return &qcow2->disk;
}
