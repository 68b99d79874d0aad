#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/qcow2_image.h"

#define L2_CACHE_SIZE (2u << 20) /* bytes; at least two tables */
#define REFCOUNT_CACHE_SIZE (512u << 10)
#define SCANNED_CLUSTERS_MAX (16ull << 20) /* larger files are only written behind their end */

static unsigned tables_of(const struct qcow2 *image, uint64_t size)
{
    uint64_t count = size / image->cluster_size;
    return count < 2 ? 2 : count > 64 ? 64 : (unsigned)count;
}

static void release(struct qcow2 *image)
{
    if (image->backing)
        release(image->backing);
    if (image->backing_fd >= 0)
        close(image->backing_fd);
    qcow2_cache_close(&image->l2_cache);
    qcow2_cache_close(&image->refcount_cache);
    pthread_mutex_destroy(&image->lock);
    pthread_cond_destroy(&image->changed);
    pthread_mutex_destroy(&image->gate_lock);
    pthread_cond_destroy(&image->gate_changed);
    pthread_mutex_destroy(&image->compressed_lock);
    free(image->compressed_bytes);
    free(image->frees);
    free(image->l1);
    free(image->refcount_table);
    free(image->path);
    close(image->fd);
    free(image);
}

int qcow2_open_at_depth(struct qcow2 **result, int fd, const char *path,
                        const struct disk_settings *settings, unsigned depth, struct error *err)
{
    scope_free char *backing = NULL;
    scope_free char *format = NULL;
    struct qcow2 *image = memory_allocate(1, sizeof *image);
    *image = (struct qcow2){.fd = fd,
                            .path = memory_copy_string(path),
                            .read_only = settings->read_only,
                            .backing_fd = -1,
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER,
                            .gate_lock = PTHREAD_MUTEX_INITIALIZER,
                            .gate_changed = PTHREAD_COND_INITIALIZER,
                            .compressed_lock = PTHREAD_MUTEX_INITIALIZER};
    *result = NULL;
    if (qcow2_read_header(image, &backing, &format, err) < 0 ||
        (backing && qcow2_open_backing(image, backing, format, settings, depth, err) < 0)) {
        release(image);
        return -1;
    }
    qcow2_cache_open(&image->l2_cache, tables_of(image, L2_CACHE_SIZE));
    if (!image->read_only)
        qcow2_cache_open(&image->refcount_cache, tables_of(image, REFCOUNT_CACHE_SIZE));
    image->file_size = image->file_end;
    image->file_end = (image->file_end + image->cluster_size - 1) & ~(image->cluster_size - 1);
    uint64_t clusters = image->file_end >> image->cluster_bits;
    image->next_free = clusters > SCANNED_CLUSTERS_MAX ? clusters : 0;
    *result = image;
    return 0;
}

int qcow2_open(struct qcow2 **image, int fd, const char *path, const struct disk_settings *settings,
               struct error *err)
{
    return qcow2_open_at_depth(image, fd, path, settings, 0, err);
}

int qcow2_close(struct qcow2 *image)
{
    if (!image)
        return 0;
    int error = qcow2_flush(image);
    release(image);
    return error;
}

uint64_t qcow2_size(const struct qcow2 *image)
{
    return image->size;
}

uint32_t qcow2_cluster_size(const struct qcow2 *image)
{
    return (uint32_t)image->cluster_size;
}
