/* virtio over memory-mapped registers (virtio 1.2, 4.2), version 2. */
#ifndef HULL_VM_VIRTIO_MMIO_H
#define HULL_VM_VIRTIO_MMIO_H

#include "vm/board/bus.h"
#include "vm/cpu/engine.h"
#include "vm/device/virtio_device.h"

#define VIRTIO_MMIO_SIZE 0x1000

struct virtio_mmio;

/* Puts an opened device on the bus at address, with an edge-triggered interrupt line. The transport
 * is given back with virtio_mmio_destroy(), the device is not. NULL after an error. */
struct virtio_mmio *virtio_mmio_create(struct virtio_device *device, struct bus *bus,
                                       struct engine *engine, uint64_t address, unsigned line,
                                       struct error *err);
void virtio_mmio_destroy(struct virtio_mmio *transport);

#endif
