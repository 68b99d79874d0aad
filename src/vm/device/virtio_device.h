/* A virtio device behind whatever transport (virtio 1.2, chapters 2 and 5): a table of operations,
 * the features and queues, and the rules that all devices share.
 *
 * All of it runs under the board's lock: registers are touched by vcpu threads that hold it, queues
 * are handled by the loop's thread, which holds it but while it waits. So an operation never runs
 * beside another one. A device with threads or processes of its own stops them in reset(). */
#ifndef HULL_VM_VIRTIO_DEVICE_H
#define HULL_VM_VIRTIO_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "vm/device/virtqueue.h"

#define VIRTIO_QUEUES_MAX 8

/* Device types (5). */
enum virtio_type {
    VIRTIO_NET = 1,
    VIRTIO_BLOCK = 2,
    VIRTIO_CONSOLE = 3,
    VIRTIO_ENTROPY = 4,
    VIRTIO_BALLOON = 5,
    VIRTIO_VSOCK = 19,
    VIRTIO_MEM = 24,
    VIRTIO_FS = 26,
    VIRTIO_PMEM = 27,
};

/* Features of all devices (6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_F_ACCESS_PLATFORM (1ull << 33)

/* Device status (2.1). */
#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER 2
#define VIRTIO_STATUS_DRIVER_OK 4
#define VIRTIO_STATUS_FEATURES_OK 8
#define VIRTIO_STATUS_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED 128

struct virtio_device;

struct virtio_operations {
    enum virtio_type type;
    const char *name; /* for messages: "block" */
    /* Reads or writes the configuration space of config_size bytes; offset + size lies within it.
     * Either may be NULL: then config (below) is what is read, and writes go nowhere. */
    void (*read_config)(struct virtio_device *device, unsigned offset, void *bytes, unsigned size);
    void (*write_config)(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size);
    /* The driver is ready: features are settled and queues configured. May be NULL. Fails when
     * the device can't work so; it then needs a reset. */
    int (*activate)(struct virtio_device *device, struct error *err);
    /* Drop all requests and go back to the beginning: afterwards nothing touches guest memory on
     * behalf of this device. May be NULL. */
    void (*reset)(struct virtio_device *device);
    /* The driver notified a queue; on the loop's thread, the device being active. */
    void (*notified)(struct virtio_device *device, unsigned queue);
    /* Takes the device away at the VM's end; it is reset already. */
    void (*release)(struct virtio_device *device);
};

/* How a transport tells the driver. */
struct virtio_transport_operations {
    /* A queue has used buffers. */
    void (*interrupt_queue)(void *transport, unsigned queue);
    /* The configuration changed, or the device needs a reset. */
    void (*interrupt_config)(void *transport);
};

struct virtio_notification {
    struct loop_source source; /* an eventfd */
    struct virtio_device *device;
};

struct virtio_device {
    const struct virtio_operations *operations;
    const char *id;    /* what people called it: "rootfs", "eth0"; outlives the device */
    uint64_t features; /* offered; VIRTIO_F_VERSION_1, INDIRECT_DESC and EVENT_IDX are added */
    uint64_t driver_features;
    unsigned queue_count;
    struct virtqueue queues[VIRTIO_QUEUES_MAX]; /* size_max set by the device; 0 counts as 256 */
    void *config;
    unsigned config_size;

    /* Set by virtio_device_open(). */
    struct guest_memory *memory;
    struct loop *loop;
    uint8_t status;
    uint32_t config_generation;
    bool active;
    uint64_t malformed; /* how often a driver broke the rules, for metrics */
    const struct virtio_transport_operations *transport_operations;
    void *transport;
    struct virtio_notification notifications[VIRTIO_QUEUES_MAX]; /* one a queue */
};

/* Prepares a device whose own fields are set: makes its eventfds and watches them. */
int virtio_device_open(struct virtio_device *device, struct guest_memory *memory, struct loop *loop,
                       struct error *err);
/* Resets, and releases with operations->release. */
void virtio_device_close(struct virtio_device *device);

static inline bool virtio_device_has(const struct virtio_device *device, uint64_t feature)
{
    return (device->driver_features & feature) == feature;
}

/* Interrupts for what was pushed to a queue, if the driver wants it. */
void virtio_device_interrupt(struct virtio_device *device, unsigned queue);
/* The configuration changed: a new generation, and an interrupt. */
void virtio_device_config_changed(struct virtio_device *device);
/* The driver broke the rules: no queue is looked at any more until it resets the device. Says so in
 * the log, once between resets. */
void virtio_device_break(struct virtio_device *device, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For transports. */
void virtio_device_set_status(struct virtio_device *device, uint8_t status);
void virtio_device_read_config(struct virtio_device *device, unsigned offset, void *bytes,
                               unsigned size);
void virtio_device_write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                                unsigned size);
/* The driver notified a queue: what an engine without ioeventfds calls from any thread. */
void virtio_device_notify(struct virtio_device *device, unsigned queue);

#endif
