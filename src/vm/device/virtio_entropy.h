/* The entropy device (virtio 1.2, 5.4): random bytes for the guest. */
#ifndef HULL_VM_VIRTIO_ENTROPY_H
#define HULL_VM_VIRTIO_ENTROPY_H

#include "vm/device/virtio_device.h"

/* Makes a device that the caller opens with virtio_device_open(); virtio_device_close() frees it.
 */
struct virtio_device *virtio_entropy_create(const char *id);

#endif
