/* A split virtqueue as the device sees it (virtio 1.2, section 2.7), over memory that the guest
 * writes at any moment: every index, length and link is read once and checked. */
#ifndef HULL_VM_VIRTQUEUE_H
#define HULL_VM_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vm/memory/guest_memory.h"

#define VIRTQUEUE_SIZE_MAX 1024
#define VIRTQUEUE_PARTS_MAX 1024 /* of one request */

/* Set by the transport while the driver configures the queue. */
struct virtqueue {
    const struct guest_memory *memory;
    uint16_t size_max; /* what the device offers: a power of two */
    uint16_t size;     /* what the driver chose */
    bool ready;
    bool event_index;                   /* VIRTIO_F_EVENT_IDX was negotiated */
    uint64_t table, available, used;    /* guest addresses of the three parts */
    uint16_t next_available, next_used; /* running counts, modulo 65536 */
    uint16_t signalled_used;            /* next_used at the last look at used_event */
    bool signalled_valid;
    bool is_quiet;                                    /* by virtqueue_want_notifications() */
    uint8_t *table_host, *available_host, *used_host; /* the same, set by virtqueue_start() */
};

/* A request of the driver: first readable parts, then writable ones, as pointers into guest memory
 * that were checked and stay valid until the VM ends. */
struct virtqueue_chain {
    uint16_t head;
    unsigned readable_count, writable_count;
    uint64_t readable_size, writable_size; /* bytes */
    struct iovec *readable, *writable;     /* in parts, one behind the other */
    struct iovec parts[VIRTQUEUE_PARTS_MAX];
};

/* Makes a configured queue ready; false if its size is none, or its parts don't lie in guest memory
 * or are not aligned. */
bool virtqueue_start(struct virtqueue *queue);
/* Forgets all that the driver configured. */
void virtqueue_reset(struct virtqueue *queue);

/* Takes the next request: 1 if there was one, 0 if there is none (then the driver notifies of the
 * next one, unless the device doesn't want that), -1 if the driver broke the rules (a loop, an
 * index or address out of range, a readable part behind a writable one): the device needs a reset
 * then. */
int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);
/* Makes the request popped last the next one again. */
void virtqueue_unpop(struct virtqueue *queue);

/* Gives a request back, with written bytes in its writable parts. */
void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);
/* Gives count requests back at once (for mergeable receive buffers): the driver sees all or none.
 */
struct virtqueue_used {
    uint16_t head;
    uint32_t written;
};
void virtqueue_push_all(struct virtqueue *queue, const struct virtqueue_used *used, unsigned count);

/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtqueue_should_interrupt(struct virtqueue *queue);
/* Asks the driver to notify, or not to, when it adds requests. After switching on, returns whether
 * there are requests already that the driver may not notify about. */
bool virtqueue_want_notifications(struct virtqueue *queue, bool on);
/* Whether a request is waiting. */
bool virtqueue_has_request(const struct virtqueue *queue);

/* Copies between bytes and the parts, from offset in them on; returns how many bytes were copied.
 */
uint64_t virtqueue_copy_from(const struct iovec *parts, unsigned count, uint64_t offset,
                             void *bytes, uint64_t size);
uint64_t virtqueue_copy_to(const struct iovec *parts, unsigned count, uint64_t offset,
                           const void *bytes, uint64_t size);

#endif
