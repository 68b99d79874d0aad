/* A guest's virtio driver for tests of devices: guest memory of its own, a device set up as a
 * driver does it, requests put into queues, and answers taken out. */
#ifndef HULL_TESTS_VM_DRIVER_H
#define HULL_TESTS_VM_DRIVER_H

#include <stdint.h>

#include "base/loop.h"
#include "vm/device/virtio_device.h"

#define DRIVER_MEMORY_SIZE (4u << 20)
/* Addresses from here on are the test's own; the queues lie below. */
#define DRIVER_BUFFERS 0x100000u
#define DRIVER_QUEUE_SIZE 16

struct driver_part {
    uint64_t address; /* in guest memory */
    uint32_t size;
    bool writable;
};

struct driver {
    struct guest_memory memory;
    struct loop loop;
    struct virtio_device *device;
    unsigned queue_interrupts[VIRTIO_QUEUES_MAX], config_interrupts;
    uint16_t added[VIRTIO_QUEUES_MAX], taken[VIRTIO_QUEUES_MAX];
};

/* Opens the device and takes it to DRIVER_OK with all queues, and with those of the features that
 * it offers. */
void driver_open(struct driver *driver, struct virtio_device *device, uint64_t features);
/* The same again, after a reset of the device. */
void driver_start(struct driver *driver, uint64_t features);
void driver_close(struct driver *driver);

void *driver_at(struct driver *driver, uint64_t address);
/* Puts a request into the queue's descriptors from first on, without telling the device. */
void driver_add(struct driver *driver, unsigned queue, uint16_t first,
                const struct driver_part *parts, unsigned count);
/* Notifies the queue, and turns the loop until nothing is ready. */
void driver_notify(struct driver *driver, unsigned queue);
/* Turns the loop until nothing has been ready for so many milliseconds. */
void driver_turn(struct driver *driver, int milliseconds);
/* Takes the next used request: true, its first descriptor and the number of bytes written. */
bool driver_take(struct driver *driver, unsigned queue, uint32_t *head, uint32_t *written);

#endif
