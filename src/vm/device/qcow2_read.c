#include <errno.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

void qcow2_enter(struct qcow2 *image)
{
    while (image->closed)
        pthread_cond_wait(&image->changed, &image->lock);
    image->users++;
}

void qcow2_leave(struct qcow2 *image)
{
    if (--image->users == 0 && image->closed)
        pthread_cond_broadcast(&image->changed);
}

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

/* With the lock held: how many of size bytes from offset on can be read at once. */
static int find_run(struct qcow2 *image, uint64_t offset, uint64_t size,
                    struct qcow2_mapping *mapping, uint64_t *run)
{
    uint64_t cluster = offset >> image->cluster_bits;
    int error = qcow2_map(image, cluster, mapping);
    *run = image->cluster_size - offset % image->cluster_size;
    for (uint64_t i = 1; *run < size && !error && mapping->kind != QCOW2_PACKED; i++) {
        struct qcow2_mapping next;
        if (qcow2_map(image, cluster + i, &next) || next.kind != mapping->kind ||
            (next.kind == QCOW2_DATA && next.host != mapping->host + (i << image->cluster_bits)))
            break;
        *run += image->cluster_size;
    }
    *run = *run < size ? *run : size;
    return error;
}

int qcow2_read(struct qcow2 *image, const struct iovec *parts, unsigned count, uint64_t offset,
               uint64_t size)
{
    scope_free struct iovec *slice = memory_allocate(count + 1, sizeof *slice);
    for (uint64_t done = 0, run; done < size; done += run) {
        struct qcow2_mapping mapping;
        pthread_mutex_lock(&image->lock);
        qcow2_enter(image);
        int error = find_run(image, offset + done, size - done, &mapping, &run);
        pthread_mutex_unlock(&image->lock);
        unsigned used = disk_parts_slice(parts, count, done, run, slice);
        if (!error)
            error = qcow2_read_mapping(image, &mapping, slice, used, offset + done, run);
        pthread_mutex_lock(&image->lock);
        qcow2_leave(image);
        pthread_mutex_unlock(&image->lock);
        if (error)
            return error;
    }
    return 0;
}
