#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

#define FREES_MAX                                                                                  \
    8192 /* runs of clusters that wait to be free, before a flush is made for them                 \
          */
#define ZEROS_SIZE 65536

/* One cluster's part of a write. */
struct piece {
    uint64_t cluster, in_cluster, size;
    const struct iovec *parts;
    unsigned count;
    struct qcow2_mapping old;
    uint64_t host;
    bool fresh; /* the file was never written at host: it reads as zeros */
};

/* With the lock held. */
static void wait_until_idle(struct qcow2 *image, uint64_t cluster)
{
    for (unsigned i = 0; i < image->busy_count;) {
        if (image->busy[i++] == cluster) {
            pthread_cond_wait(&image->changed, &image->lock);
            i = 0;
        }
    }
}

static void end_busy(struct qcow2 *image, uint64_t cluster)
{
    for (unsigned i = 0; i < image->busy_count; i++) {
        if (image->busy[i] == cluster) {
            image->busy[i] = image->busy[--image->busy_count];
            break;
        }
    }
    pthread_cond_broadcast(&image->changed);
}

/* With the lock held: frees what waits for it if that is much. */
static int limit_frees(struct qcow2 *image)
{
    return image->free_count > FREES_MAX ? qcow2_flush_locked(image) : 0;
}

static bool reads_as_zeros(const struct qcow2 *image, const struct piece *piece)
{
    uint64_t offset = piece->cluster << image->cluster_bits;
    return piece->old.kind == QCOW2_ZEROED ||
           (piece->old.kind == QCOW2_UNALLOCATED &&
            (!qcow2_has_backing(image) || offset >= image->backing_size));
}

/* Writes a new cluster: the piece, and around it what the cluster read as before. */
static int write_cluster(struct qcow2 *image, const struct piece *piece)
{
    uint64_t offset = piece->cluster << image->cluster_bits;
    uint64_t tail = piece->in_cluster + piece->size;
    scope_free struct iovec *parts = memory_allocate(piece->count + 2, sizeof *parts);
    scope_free uint8_t *before = NULL;
    unsigned count = 0;
    bool around =
        piece->size < image->cluster_size && !(piece->fresh && reads_as_zeros(image, piece));
    if (around) {
        before = memory_allocate(image->cluster_size, 1);
        struct iovec whole = {before, image->cluster_size};
        int error = qcow2_read_mapping(image, &piece->old, &whole, 1, offset, image->cluster_size);
        if (error)
            return error;
    }
    if (around && piece->in_cluster > 0)
        parts[count++] = (struct iovec){before, piece->in_cluster};
    memcpy(parts + count, piece->parts, piece->count * sizeof *parts);
    count += piece->count;
    if (around && tail < image->cluster_size)
        parts[count++] = (struct iovec){before + tail, image->cluster_size - tail};
    return disk_file_write_parts(image->fd, parts, count,
                                 piece->host + (around ? 0 : piece->in_cluster));
}

/* With the lock held: something was written up to end in the file. */
static void note_size(struct qcow2 *image, uint64_t end)
{
    if (end > image->file_size)
        image->file_size = end;
}

/* With the lock held, which is let go of while the data is written. The cluster is found by others
 * as it was until it is written. */
static int allocate_piece(struct qcow2 *image, struct piece *piece)
{
    bool reused = piece->old.kind == QCOW2_ZEROED && piece->old.copied;
    int error = image->failed;
    piece->host = piece->old.host;
    if (reused && qcow2_is_metadata(image, piece->host))
        return EIO;
    if (!error && !reused)
        error = qcow2_allocate(image, &piece->host, &piece->fresh);
    if (error)
        return error;
    image->busy[image->busy_count++] = piece->cluster;
    pthread_mutex_unlock(&image->lock);
    error = write_cluster(image, piece);
    pthread_mutex_lock(&image->lock);
    if (!error) {
        note_size(image, piece->host + piece->in_cluster + piece->size);
        error = qcow2_set_entry(image, piece->cluster, piece->host | QCOW2_COPIED);
    }
    if (error && !reused)
        qcow2_free_later(image, piece->host, image->cluster_size, false);
    if (!error && !reused)
        qcow2_release(image, &piece->old, false);
    end_busy(image, piece->cluster);
    return error;
}

/* Writes what can be written at once from offset on: *run bytes. */
static int write_run(struct qcow2 *image, const struct iovec *parts, unsigned count, uint64_t done,
                     uint64_t offset, uint64_t size, struct iovec *slice, uint64_t *run)
{
    struct piece piece = {.cluster = offset >> image->cluster_bits,
                          .in_cluster = offset % image->cluster_size,
                          .parts = slice};
    int error = limit_frees(image);
    qcow2_enter(image);
    wait_until_idle(image, piece.cluster);
    if (!error)
        error = image->failed ? image->failed
                              : qcow2_find_run(image, offset, size, true, &piece.old, run);
    if (!error && *run > 0) {
        pthread_mutex_unlock(&image->lock);
        unsigned used = disk_parts_slice(parts, count, done, *run, slice);
        error = disk_file_write_parts(image->fd, slice, used, piece.old.host + piece.in_cluster);
        pthread_mutex_lock(&image->lock);
        if (!error)
            note_size(image, piece.old.host + piece.in_cluster + *run);
    } else if (!error) {
        *run = image->cluster_size - piece.in_cluster;
        *run = *run < size ? *run : size;
        piece.size = *run;
        piece.count = disk_parts_slice(parts, count, done, *run, slice);
        error = allocate_piece(image, &piece);
    }
    qcow2_leave(image);
    return error;
}

int qcow2_write(struct qcow2 *image, const struct iovec *parts, unsigned count, uint64_t offset,
                uint64_t size)
{
    scope_free struct iovec *slice = memory_allocate(count + 1, sizeof *slice);
    int error = 0;
    pthread_mutex_lock(&image->lock);
    for (uint64_t done = 0, run = 0; done < size && !error; done += run)
        error = write_run(image, parts, count, done, offset + done, size - done, slice, &run);
    pthread_mutex_unlock(&image->lock);
    return error;
}

/* Writes zeros as bytes: part of a cluster, or where the format has no other way. */
static int write_zero_bytes(struct qcow2 *image, uint64_t offset, uint64_t size)
{
    static uint8_t zeros[ZEROS_SIZE]; /* only read */
    struct qcow2_mapping mapping;
    pthread_mutex_lock(&image->lock);
    int error = qcow2_map(image, offset >> image->cluster_bits, &mapping);
    pthread_mutex_unlock(&image->lock);
    if (error || mapping.kind == QCOW2_ZEROED ||
        (mapping.kind == QCOW2_UNALLOCATED && !qcow2_has_backing(image)))
        return error;
    while (size > 0 && !error) {
        struct iovec part = {zeros, size < ZEROS_SIZE ? size : ZEROS_SIZE};
        error = qcow2_write(image, &part, 1, offset, part.iov_len);
        offset += part.iov_len;
        size -= part.iov_len;
    }
    return error;
}

enum erasure { DISCARD, ZERO, ZERO_UNMAP };

/* With the lock held: makes a cluster one of zeros, or gives it back. ENOTSUP where the format has
 * no way for that. */
static int erase_cluster(struct qcow2 *image, uint64_t cluster, enum erasure erasure)
{
    struct qcow2_mapping old;
    wait_until_idle(image, cluster);
    int error = image->failed ? image->failed : qcow2_map(image, cluster, &old);
    if (error)
        return error;
    bool keep = erasure == ZERO && image->version >= 3 && old.host && old.copied;
    uint64_t entry = 0;
    if (keep)
        entry = old.host | QCOW2_COPIED | QCOW2_ZERO;
    else if (qcow2_has_backing(image) && image->version >= 3)
        entry = QCOW2_ZERO; /* what the backing file has must not come back */
    else if (qcow2_has_backing(image))
        return erasure == DISCARD ? 0 : ENOTSUP;
    if (entry == old.entry)
        return 0;
    error = qcow2_set_entry(image, cluster, entry);
    if (!error && !keep)
        qcow2_release(image, &old, true);
    return error;
}

static int erase(struct qcow2 *image, uint64_t offset, uint64_t size, enum erasure erasure)
{
    uint64_t end = offset + size, at = offset;
    int error = 0;
    while (at < end && !error) {
        uint64_t cluster = at >> image->cluster_bits;
        uint64_t next = (cluster + 1) << image->cluster_bits;
        /* The last cluster is whole where the image ends. */
        bool whole = at % image->cluster_size == 0 && (end >= next || end == image->size);
        next = next < end ? next : end;
        if (whole) {
            pthread_mutex_lock(&image->lock);
            error = limit_frees(image);
            if (!error)
                error = erase_cluster(image, cluster, erasure);
            pthread_mutex_unlock(&image->lock);
        }
        if ((!whole && erasure != DISCARD) || (whole && error == ENOTSUP))
            error = write_zero_bytes(image, at, next - at);
        at = next;
    }
    return error;
}

int qcow2_write_zeros(struct qcow2 *image, uint64_t offset, uint64_t size, bool unmap)
{
    return erase(image, offset, size, unmap ? ZERO_UNMAP : ZERO);
}

int qcow2_discard(struct qcow2 *image, uint64_t offset, uint64_t size)
{
    return erase(image, offset, size, DISCARD);
}
