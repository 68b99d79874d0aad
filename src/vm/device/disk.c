#include "vm/device/disk.h"

#include <errno.h>

#include "vm/device/disk_file.h"

/* An errno value, or 0 if the request is one that the disk can try. */
static int check(const struct disk *disk, const struct disk_request *request)
{
    if (request->operation != DISK_READ && disk->read_only && request->operation != DISK_FLUSH)
        return EROFS;
    if (request->operation == DISK_FLUSH)
        return 0;
    if (request->offset > disk->size || request->size > disk->size - request->offset)
        return EINVAL;
    if (request->operation != DISK_READ && request->operation != DISK_WRITE)
        return 0;
    if (request->part_count > DISK_PARTS_MAX ||
        disk_parts_size(request->parts, request->part_count) != request->size)
        return EINVAL;
    return 0;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
    int error = check(disk, request);
    request->disk = disk;
    if (error || (request->size == 0 && request->operation != DISK_FLUSH))
        disk_request_done(request, error);
    else
        disk->operations->submit(disk, request);
}

void disk_kick(struct disk *disk)
{
    if (disk->operations->kick)
        disk->operations->kick(disk);
}

void disk_drain(struct disk *disk)
{
    disk->operations->drain(disk);
}

void disk_close(struct disk *disk)
{
    if (!disk)
        return;
    disk_drain(disk);
    disk->operations->close(disk);
}

void disk_batch_done(void *context)
{
    struct disk *disk = context;
    if (disk->batch_done)
        disk->batch_done(disk);
}
