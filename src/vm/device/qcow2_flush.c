/* The order in which tables reach the disk.
 *
 * 1. Refcount blocks: clusters are counted before anything refers to them.
 *    New blocks are on the disk before the refcount table refers to them.
 * 2. fdatasync: with it the data of new clusters is on the disk, too.
 * 3. L2 tables, which refer to clusters counted in 1. New ones are on the disk (fdatasync) before
 *    the L1 table refers to them.
 * 4. fdatasync: now a flush is done, and nothing on the disk refers to clusters that were freed.
 * 5. Those are counted down, may be used again and their room be given back. This is written when
 *    it is: late, it costs room and no more.
 *
 * A crash between two steps leaves clusters counted that nothing refers to: leaks, which
 * "qemu-img check -r leaks" finds. Tables stay in memory between flushes; when there is no room for
 * another one steps 1 to 3 are done earlier. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

int qcow2_sync(struct qcow2 *image)
{
    if (image->failed)
        return image->failed;
    /* After a failure the kernel forgets what wasn't written: a later success means nothing. */
    if (fdatasync(image->fd) < 0)
        image->failed = errno ? errno : EIO;
    return image->failed;
}

/* Writes entries of a table of offsets. */
static int write_entries(struct qcow2 *image, uint64_t offset, const uint64_t *entries,
                         uint32_t first, uint32_t end)
{
    scope_free uint64_t *bytes = memory_allocate(end - first + 1, sizeof *bytes);
    for (uint32_t i = first; i < end; i++)
        bytes[i - first] = htobe64(entries[i]);
    return disk_file_write(image->fd, bytes, (end - first) * sizeof *bytes,
                           offset + first * sizeof *bytes);
}

int qcow2_write_refcounts(struct qcow2 *image)
{
    int error = qcow2_cache_write(image, &image->refcount_cache);
    if (error || image->refcount_dirty_first == image->refcount_dirty_end)
        return error;
    if ((error = qcow2_sync(image)))
        return error;
    error = write_entries(image, image->refcount_table_offset, image->refcount_table,
                          image->refcount_dirty_first, image->refcount_dirty_end);
    if (!error)
        image->refcount_dirty_first = image->refcount_dirty_end = 0;
    return error;
}

int qcow2_write_tables(struct qcow2 *image)
{
    bool l1_dirty = image->l1_dirty_first != image->l1_dirty_end;
    int error = qcow2_write_refcounts(image);
    if (error || (!qcow2_cache_is_dirty(&image->l2_cache) && !l1_dirty))
        return error;
    if ((error = qcow2_sync(image)) || (error = qcow2_cache_write(image, &image->l2_cache)))
        return error;
    if (!l1_dirty)
        return 0;
    if ((error = qcow2_sync(image)))
        return error;
    error = write_entries(image, image->l1_offset, image->l1, image->l1_dirty_first,
                          image->l1_dirty_end);
    if (!error)
        image->l1_dirty_first = image->l1_dirty_end = 0;
    return error;
}

int qcow2_flush_locked(struct qcow2 *image)
{
    bool frees = image->free_count > 0;
    if (frees)
        qcow2_close_gate(image); /* who reads or writes a cluster that is free now ends */
    int error = qcow2_write_tables(image);
    if (!error)
        error = qcow2_sync(image);
    if (frees && !error && !(error = qcow2_free_now(image)))
        error = qcow2_write_refcounts(image);
    if (frees)
        qcow2_open_gate(image);
    return error;
}

int qcow2_flush(struct qcow2 *image)
{
    int error;
    if (image->read_only)
        return 0;
    pthread_mutex_lock(&image->lock);
    if (image->failed || image->free_count > 0 || qcow2_cache_is_dirty(&image->refcount_cache) ||
        qcow2_cache_is_dirty(&image->l2_cache) || image->l1_dirty_first != image->l1_dirty_end) {
        error = qcow2_flush_locked(image);
        pthread_mutex_unlock(&image->lock);
        return error;
    }
    pthread_mutex_unlock(&image->lock);
    /* Only data: others go on meanwhile. */
    if (fdatasync(image->fd) == 0)
        return 0;
    error = errno ? errno : EIO;
    pthread_mutex_lock(&image->lock);
    image->failed = error;
    pthread_mutex_unlock(&image->lock);
    return error;
}
