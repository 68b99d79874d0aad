#include <errno.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

int qcow2_read_mapping(struct qcow2 *image, const struct qcow2_mapping *mapping,
                       const struct iovec *parts, unsigned count, uint64_t offset, uint64_t size)
{
    uint64_t in_cluster = offset % image->cluster_size;
    switch (mapping->kind) {
    case QCOW2_UNALLOCATED:
        return qcow2_read_backing(image, parts, count, offset, size);
    case QCOW2_ZEROED:
        disk_parts_clear(parts, count);
        return 0;
    case QCOW2_PACKED:
        return qcow2_read_compressed(image, mapping->entry, in_cluster, parts, count);
    case QCOW2_DATA:
        break;
    }
    scope_free struct iovec *slice = memory_allocate(count + 1, sizeof *slice);
    unsigned used = disk_parts_slice(parts, count, 0, size, slice);
    /* The last cluster of a file needn't be whole. */
    return disk_file_read_parts_or_zeros(image->fd, slice, used, mapping->host + in_cluster);
}

int qcow2_read(struct qcow2 *image, const struct iovec *parts, unsigned count, uint64_t offset,
               uint64_t size)
{
    scope_free struct iovec *slice = memory_allocate(count + 1, sizeof *slice);
    for (uint64_t done = 0, run; done < size; done += run) {
        struct qcow2_mapping mapping;
        pthread_mutex_lock(&image->lock);
        qcow2_enter(image);
        int error = qcow2_find_run(image, offset + done, size - done, false, &mapping, &run);
        pthread_mutex_unlock(&image->lock);
        unsigned used = disk_parts_slice(parts, count, done, run, slice);
        if (!error)
            error = qcow2_read_mapping(image, &mapping, slice, used, offset + done, run);
        qcow2_leave(image);
        if (error)
            return error;
    }
    return 0;
}
