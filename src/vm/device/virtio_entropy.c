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
    struct rate_limiter limiter;
    struct virtio_entropy_counters counters;
};

/* What a request gets at most. */
static uint32_t most(const struct virtqueue_chain *chain)
{
    return chain->writable_size < BYTES_MAX ? (uint32_t)chain->writable_size : BYTES_MAX;
}

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

static uint32_t answer(struct entropy *entropy)
{
    uint32_t wanted = most(&entropy->chain), done = fill(&entropy->chain);
    entropy->counters.requests++;
    entropy->counters.bytes += done;
    entropy->counters.failures += done < wanted;
    return done;
}

static void process(struct entropy *entropy)
{
    struct virtqueue *queue = &entropy->device.queues[0];
    int status;
    while ((status = virtqueue_pop(queue, &entropy->chain)) > 0) {
        if (!rate_limiter_take(&entropy->limiter, most(&entropy->chain))) {
            virtqueue_unpop(queue);
            break;
        }
        virtqueue_push(queue, entropy->chain.head, answer(entropy));
    }
    virtio_device_interrupt(&entropy->device, 0);
    if (status < 0)
        virtio_device_break(&entropy->device, "put a malformed request into its queue");
}

static void on_refilled(struct rate_limiter *limiter)
{
    struct entropy *entropy = loop_owner(limiter, struct entropy, limiter);
    entropy->counters.rate_events++;
    process(entropy);
}

static void notified(struct virtio_device *device, unsigned index)
{
    struct entropy *entropy = (struct entropy *)device;
    (void)index;
    if (!rate_limiter_is_waiting(&entropy->limiter))
        process(entropy);
}

static void reset(struct virtio_device *device)
{
    rate_limiter_close(&((struct entropy *)device)->limiter);
}

static void release(struct virtio_device *device)
{
    reset(device);
    free(device);
}

static const struct virtio_operations operations = {.type = VIRTIO_ENTROPY,
                                                    .name = "entropy",
                                                    .reset = reset,
                                                    .notified = notified,
                                                    .release = release};

struct virtio_device *
virtio_entropy_create(const char *id, const struct rate_limiter_settings *rate, struct loop *loop)
{
    struct entropy *entropy = memory_allocate(1, sizeof *entropy);
    entropy->device = (struct virtio_device){.operations = &operations, .id = id, .queue_count = 1};
    rate_limiter_open(&entropy->limiter, loop, rate, on_refilled);
    return &entropy->device;
}

struct virtio_entropy_counters virtio_entropy_counters(const struct virtio_device *device)
{
    const struct entropy *entropy = (const struct entropy *)device;
    struct virtio_entropy_counters counters = entropy->counters;
    counters.throttled = entropy->limiter.throttled;
    return counters;
}
