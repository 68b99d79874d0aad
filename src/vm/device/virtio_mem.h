/* The memory device (virtio 1.2, 5.15): memory above RAM that the guest plugs and unplugs block by
 * block, as it is asked to. All functions are called under the board's lock. */
#ifndef HULL_VM_VIRTIO_MEM_H
#define HULL_VM_VIRTIO_MEM_H

#include "vm/device/virtio_device.h"

#define VIRTIO_MEM_BLOCK_MIN (2ull << 20)

/* Sizes in bytes. When the driver becomes ready, the region is there as guest memory
 * (guest_memory_add(), but after the kernel was told what RAM it has); the engine doesn't map it:
 * that is what expose does, slot by slot. */
struct virtio_mem_options {
    uint64_t address;    /* of the region; a multiple of slot_size, or Linux can't use all of it */
    uint64_t total_size; /* of the region; a multiple of slot_size */
    uint64_t
        block_size;     /* what is plugged at least; a power of two, VIRTIO_MEM_BLOCK_MIN or more */
    uint64_t slot_size; /* what the processors see or don't; a multiple of block_size */
    /* Lets the guest's processors see a slot, or not: of none they do at first. NULL: they always
     * see all of the region. */
    int (*expose)(void *context, uint64_t address, uint64_t size, bool exposed, struct error *err);
    void *context;
};

struct virtio_mem_status {
    uint64_t total_size, block_size, slot_size, requested_size, plugged_size;
};

/* NULL with the error if the sizes don't go together. */
struct virtio_device *virtio_mem_create(const char *id, const struct virtio_mem_options *options,
                                        struct error *err);

/* Asks the guest to have this much plugged: a multiple of the block size. How far it gets is its
 * own decision, and told by the status. */
int virtio_mem_request(struct virtio_device *device, uint64_t size, struct error *err);
void virtio_mem_status(const struct virtio_device *device, struct virtio_mem_status *status);

#endif
