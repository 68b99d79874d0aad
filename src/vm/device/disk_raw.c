#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk.h"

#define SECTOR 512
#define BLOCK_MAX 4096 /* guests' file systems make their blocks no smaller than they are told */

struct raw {
    struct disk disk;
    struct disk_engine *engine;
    int fd;
};

static void on_done(struct disk_io *io, int error)
{
    disk_request_done(loop_owner(io, struct disk_request, io), error);
}

static enum disk_io_operation translate(const struct disk_request *request)
{
    switch (request->operation) {
    case DISK_READ:
        return DISK_IO_READ;
    case DISK_WRITE:
        return DISK_IO_WRITE;
    case DISK_FLUSH:
        return DISK_IO_SYNC;
    case DISK_DISCARD:
        return DISK_IO_DISCARD;
    case DISK_WRITE_ZEROES:
        break;
    }
    return request->unmap ? DISK_IO_ZERO_UNMAP : DISK_IO_ZERO;
}

static void raw_submit(struct disk *disk, struct disk_request *request)
{
    struct raw *raw = (struct raw *)disk;
    request->io = (struct disk_io){.operation = translate(request),
                                   .fd = raw->fd,
                                   .offset = request->offset,
                                   .size = request->size,
                                   .parts = request->parts,
                                   .part_count = request->part_count,
                                   .done = on_done};
    disk_engine_start(raw->engine, &request->io);
}

static void raw_kick(struct disk *disk)
{
    disk_engine_kick(((struct raw *)disk)->engine);
}

static void raw_drain(struct disk *disk)
{
    disk_engine_drain(((struct raw *)disk)->engine);
}

static void raw_close(struct disk *disk)
{
    struct raw *raw = (struct raw *)disk;
    disk_engine_close(raw->engine);
    close(raw->fd);
    free(raw);
}

static const struct disk_operations operations = {
    .name = "raw", .submit = raw_submit, .kick = raw_kick, .drain = raw_drain, .close = raw_close};

/* The size of a file or block device in whole sectors, and its best block size. */
static int measure(int fd, const char *path, struct disk *disk, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(err, errno, "can't look at disk %s", path);
    disk->size = (uint64_t)status.st_size;
    disk->block_size = status.st_blksize >= SECTOR ? (uint32_t)status.st_blksize : SECTOR;
    if (S_ISBLK(status.st_mode)) {
        unsigned block_size = SECTOR;
        if (ioctl(fd, BLKGETSIZE64, &disk->size) < 0)
            return error_set(err, errno, "can't get the size of block device %s", path);
        if (ioctl(fd, BLKPBSZGET, &block_size) == 0)
            disk->block_size = block_size;
    } else if (!S_ISREG(status.st_mode)) {
        return error_set(err, 0, "disk %s is neither a file nor a block device", path);
    }
    if (disk->block_size & (disk->block_size - 1))
        disk->block_size = SECTOR;
    disk->discard_size = disk->block_size;
    if (disk->block_size > BLOCK_MAX)
        disk->block_size = BLOCK_MAX;
    disk->size -= disk->size % SECTOR;
    return 0;
}

struct disk *disk_open_raw(const char *path, const struct disk_settings *settings,
                           struct loop *loop, struct error *err)
{
    int mode = settings->read_only ? O_RDONLY : O_RDWR;
    /* O_NONBLOCK: not to hang on a FIFO, which then is refused. */
    scope_close int fd = open(path, mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    scope_free struct raw *raw = memory_allocate(1, sizeof *raw);
    raw->disk = (struct disk){.operations = &operations,
                              .read_only = settings->read_only,
                              .can_discard = !settings->read_only};
    if (fd < 0) {
        error_set(err, errno, "can't open disk %s", path);
        return NULL;
    }
    if (measure(fd, path, &raw->disk, err) < 0)
        return NULL;
    raw->engine = disk_engine_open(loop, !settings->threads, disk_batch_done, &raw->disk, err);
    if (!raw->engine)
        return NULL;
    raw->fd = scope_take_fd(&fd);
    return &scope_take_pointer(raw)->disk;
}
