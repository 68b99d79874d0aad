/* Taking requests until there are none, from a driver that may have been promised not to need to
 * notify. */
#ifndef HULL_VM_VIRTQUEUE_NEXT_H
#define HULL_VM_VIRTQUEUE_NEXT_H

#include "vm/device/virtqueue.h"

/* As virtqueue_pop(); when it returns 0, the driver was asked to notify about the next request:
 * with VIRTIO_F_EVENT_IDX it would not without being asked each time (virtio 1.2, 2.7.10.1). */
static inline int virtqueue_next(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    int status;
    do
        status = virtqueue_pop(queue, chain);
    while (status == 0 && virtqueue_want_notifications(queue, true));
    return status;
}

#endif
