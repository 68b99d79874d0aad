/* Who reads or writes clusters of the file without the image's lock, and what waits for them. */
#include "vm/device/qcow2_image.h"

/* With both locks held; lets go of both while the gate is closed. */
static void wait_until_open(struct qcow2 *image)
{
    while (image->closed) {
        pthread_mutex_unlock(&image->lock);
        while (image->closed)
            pthread_cond_wait(&image->gate_changed, &image->gate_lock);
        pthread_mutex_unlock(&image->gate_lock);
        pthread_mutex_lock(&image->lock);
        pthread_mutex_lock(&image->gate_lock);
    }
}

void qcow2_enter(struct qcow2 *image)
{
    pthread_mutex_lock(&image->gate_lock);
    wait_until_open(image);
    image->users++;
    pthread_mutex_unlock(&image->gate_lock);
}

void qcow2_leave(struct qcow2 *image)
{
    pthread_mutex_lock(&image->gate_lock);
    if (--image->users == 0)
        pthread_cond_broadcast(&image->gate_changed);
    pthread_mutex_unlock(&image->gate_lock);
}

void qcow2_close_gate(struct qcow2 *image)
{
    pthread_mutex_lock(&image->gate_lock);
    wait_until_open(image);
    image->closed = true;
    pthread_mutex_unlock(&image->lock);
    while (image->users > 0)
        pthread_cond_wait(&image->gate_changed, &image->gate_lock);
    pthread_mutex_unlock(&image->gate_lock);
    pthread_mutex_lock(&image->lock);
}

void qcow2_open_gate(struct qcow2 *image)
{
    pthread_mutex_lock(&image->gate_lock);
    image->closed = false;
    pthread_cond_broadcast(&image->gate_changed);
    pthread_mutex_unlock(&image->gate_lock);
}

/* Whether the L2 tables of a range are in memory. */
static bool is_cached(const struct qcow2 *image, uint64_t offset, uint64_t size)
{
    uint64_t span = image->l2_entries << image->cluster_bits;
    for (uint64_t i = offset / span; i <= (offset + size - 1) / span; i++) {
        uint64_t table = image->l1[i] & QCOW2_OFFSET_MASK;
        if (!table || !qcow2_cache_has(&image->l2_cache, table))
            return false;
    }
    return true;
}

/* With the lock held. */
static bool find_direct(struct qcow2 *image, uint64_t offset, uint64_t size, bool to_write,
                        uint64_t *place)
{
    struct qcow2_mapping mapping;
    uint64_t run;
    if ((to_write && image->failed) || !is_cached(image, offset, size) ||
        qcow2_find_run(image, offset, size, to_write, &mapping, &run) ||
        mapping.kind != QCOW2_DATA || run < size)
        return false;
    *place = mapping.host + offset % image->cluster_size;
    return *place + size <= image->file_size;
}

bool qcow2_begin_direct(struct qcow2 *image, uint64_t offset, uint64_t size, bool to_write, int *fd,
                        uint64_t *place)
{
    if (size == 0 || pthread_mutex_trylock(&image->lock) != 0)
        return false;
    bool found = find_direct(image, offset, size, to_write, place);
    if (found) {
        pthread_mutex_lock(&image->gate_lock);
        found = !image->closed;
        image->users += found;
        pthread_mutex_unlock(&image->gate_lock);
    }
    pthread_mutex_unlock(&image->lock);
    *fd = image->fd;
    return found;
}

void qcow2_end_direct(struct qcow2 *image)
{
    qcow2_leave(image);
}
