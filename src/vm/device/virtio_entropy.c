#include "vm/device/virtio_entropy.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/memory.h"

/* A request may ask for as much as it likes; it gets at most this (a device may write
 * less, 5.4.6.1), so that no guest keeps the monitor busy with one request. */
#define BYTES_MAX 65536

struct entropy {
    struct virtio_device device;
    struct virtqueue_chain chain;
};

/* Fills the first bytes of the writable parts; returns their number. */
static uint32_t fill(const struct virtqueue_chain *chain)
{
    uint32_t done = 0;
    for (unsigned i = 0; i < chain->writable_count && done < BYTES_MAX; i++) {
        size_t size = chain->writable[i].iov_len;
        size = size < BYTES_MAX - done ? size : BYTES_MAX - done;
        ssize_t got = getrandom(chain->writable[i].iov_base, size, 0);
        if (got <= 0)
            break;
        done += (uint32_t)got;
    }
    return done;
}

static void notified(struct virtio_device *device, unsigned index)
{
    struct entropy *entropy = (struct entropy *)device;
    struct virtqueue *queue = &device->queues[index];
    int status;
    while ((status = virtqueue_pop(queue, &entropy->chain)) > 0)
        virtqueue_push(queue, entropy->chain.head, fill(&entropy->chain));
    virtio_device_interrupt(device, index);
    if (status < 0)
        virtio_device_break(device, "put a malformed request into its queue");
}

static void release(struct virtio_device *device)
{
    free(device);
}

static const struct virtio_operations operations = {
    .type = VIRTIO_ENTROPY, .name = "entropy", .notified = notified, .release = release};

struct virtio_device *virtio_entropy_create(const char *id)
{
    struct entropy *entropy = memory_allocate(1, sizeof *entropy);
    entropy->device = (struct virtio_device){.operations = &operations, .id = id, .queue_count = 1};
    return &entropy->device;
}
