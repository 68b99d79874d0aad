/* A hostile guest made of bytes, for fuzz targets of virtio devices: it fills its memory, makes
 * requests that are well-formed or not, notifies, writes the configuration and resets. */
#ifndef HULL_FUZZ_VM_GUEST_H
#define HULL_FUZZ_VM_GUEST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "vm/device/virtio_device.h"
#include "vm/log.h"

#define GUEST_MEMORY (1u << 20)
#define GUEST_QUEUE_SIZE 16
#define GUEST_RINGS 0x1000u /* a page for each queue */
#define GUEST_BUFFERS 0x10000u

struct guest {
    struct guest_memory memory;
    struct loop loop;
    struct virtio_device *device;
    uint16_t added[VIRTIO_QUEUES_MAX];
    uint64_t interrupts;
    const uint8_t *bytes; /* that are left */
    size_t size;
};

static uint32_t guest_take(struct guest *guest, unsigned count)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        value = value << 8 | (guest->size > 0 ? *guest->bytes : 0);
        guest->bytes += guest->size > 0;
        guest->size -= guest->size > 0;
    }
    return value;
}

static void guest_interrupt(void *transport, unsigned queue)
{
    (void)queue;
    ((struct guest *)transport)->interrupts++;
}

static void guest_interrupt_config(void *transport)
{
    ((struct guest *)transport)->interrupts++;
}

static void guest_log(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

static void guest_start(struct guest *guest, uint64_t features)
{
    struct virtio_device *device = guest->device;
    virtio_device_set_status(device, 0);
    memset(guest->added, 0, sizeof guest->added);
    memset(guest_memory_at(&guest->memory, GUEST_RINGS, 1), 0, VIRTIO_QUEUES_MAX * 0x1000);
    device->driver_features = (features & device->features) | VIRTIO_F_VERSION_1;
    virtio_device_set_status(device, VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct virtqueue *queue = &device->queues[i];
        queue->size = GUEST_QUEUE_SIZE;
        queue->table = GUEST_RINGS + i * 0x1000u;
        queue->available = queue->table + 0x200;
        queue->used = queue->table + 0x400;
        virtqueue_start(queue);
    }
    virtio_device_set_status(device, device->status | VIRTIO_STATUS_DRIVER_OK);
}

/* Opens the device in a guest that will do what the bytes say. */
static inline void guest_open(struct guest *guest, struct virtio_device *device, bool shared,
                              const uint8_t *bytes, size_t size)
{
    static const struct virtio_transport_operations operations = {guest_interrupt,
                                                                  guest_interrupt_config};
    *guest = (struct guest){.device = device, .bytes = bytes, .size = size};
    vm_log_set_sink(guest_log);
    if (loop_open(&guest->loop, NULL) < 0 ||
        guest_memory_add(&guest->memory, 0, GUEST_MEMORY, shared, false, NULL) < 0 ||
        virtio_device_open(device, &guest->memory, &guest->loop, NULL) < 0)
        abort();
    device->transport_operations = &operations;
    device->transport = guest;
    guest_start(guest, ~0ull);
}

static inline void guest_close(struct guest *guest)
{
    virtio_device_close(guest->device);
    guest_memory_release(&guest->memory);
    loop_close(&guest->loop);
}

static void guest_turn(struct guest *guest)
{
    struct epoll_event event;
    for (unsigned i = 0; i < 64 && epoll_wait(guest->loop.epoll, &event, 1, 0) == 1; i++) {
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
}

/* A request of up to four parts whose flags, places and lengths the bytes choose. */
static void guest_add(struct guest *guest, unsigned queue)
{
    uint8_t *ring = guest_memory_at(&guest->memory, GUEST_RINGS + queue * 0x1000u, 0x1000);
    unsigned first = guest_take(guest, 1) % GUEST_QUEUE_SIZE, count = guest_take(guest, 1) % 4 + 1;
    for (unsigned i = 0; i < count; i++) {
        uint32_t shape = guest_take(guest, 1);
        uint64_t address = shape & 0x80 ? (uint64_t)guest_take(guest, 4) << 2
                                        : GUEST_BUFFERS + 8 * guest_take(guest, 1);
        uint32_t length = shape & 0x40 ? guest_take(guest, 4) : guest_take(guest, 1);
        uint16_t flags = (uint16_t)((i + 1 < count) | (shape & 2) | (shape & 0x3c ? 0 : shape & 4));
        uint16_t next = (uint16_t)((first + i + 1) % GUEST_QUEUE_SIZE);
        uint8_t *descriptor = ring + 16 * ((first + i) % GUEST_QUEUE_SIZE);
        memcpy(descriptor, &address, 8);
        memcpy(descriptor + 8, &length, 4);
        memcpy(descriptor + 12, &flags, 2);
        memcpy(descriptor + 14, &next, 2);
    }
    uint16_t *available = (uint16_t *)(void *)(ring + 0x200);
    available[2 + guest->added[queue] % GUEST_QUEUE_SIZE] = (uint16_t)first;
    available[1] = ++guest->added[queue];
}

/* Puts the next bytes somewhere into memory. */
static void guest_fill(struct guest *guest, uint64_t address)
{
    uint8_t bytes[256];
    unsigned count = guest_take(guest, 1);
    count = count < guest->size ? count : (unsigned)guest->size;
    memcpy(bytes, guest->bytes, count);
    guest->bytes += count;
    guest->size -= count;
    guest_memory_write(&guest->memory, address, bytes, count);
}

/* Does the next thing; outside is what may happen on the host's side. False at the end. */
static inline bool guest_step(struct guest *guest,
                              void (*outside)(struct guest *guest, void *context), void *context)
{
    struct virtio_device *device = guest->device;
    uint32_t what = guest_take(guest, 1), offset, value;
    if (guest->size == 0)
        return false;
    unsigned queue = (what >> 4) % device->queue_count;
    switch (what & 15) {
    case 0:
        guest_start(guest, guest_take(guest, 4));
        break;
    case 1:
        offset = guest_take(guest, 1) % (device->config_size + 4);
        value = guest_take(guest, 4);
        virtio_device_write_config(device, offset, &value, 4);
        virtio_device_read_config(device, offset, &value, 4);
        break;
    case 2:
        guest_fill(guest, GUEST_RINGS + guest_take(guest, 2) % 0x8000);
        break;
    case 3:
    case 4:
    case 5:
        guest_fill(guest, GUEST_BUFFERS + 8 * guest_take(guest, 1));
        break;
    case 6:
    case 7:
        outside(guest, context);
        break;
    case 8:
    case 9:
    case 10:
        guest_add(guest, queue);
        break;
    default:
        guest_add(guest, queue);
        virtio_device_notify(device, queue);
        guest_turn(guest);
    }
    return true;
}

#endif
