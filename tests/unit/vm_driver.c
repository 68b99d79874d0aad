#include "vm_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

/* Each queue has a page: descriptors, then the available ring, then the used ring. */
static uint64_t table_of(unsigned queue)
{
    return 0x1000 + queue * 0x1000u;
}
static uint64_t available_of(unsigned queue)
{
    return table_of(queue) + 16 * DRIVER_QUEUE_SIZE;
}
static uint64_t used_of(unsigned queue)
{
    return table_of(queue) + 0x800;
}

void *driver_at(struct driver *driver, uint64_t address)
{
    void *host = guest_memory_at(&driver->memory, address, 1);
    assert_non_null(host);
    return host;
}

static void interrupt_queue(void *transport, unsigned queue)
{
    ((struct driver *)transport)->queue_interrupts[queue]++;
}

static void interrupt_config(void *transport)
{
    ((struct driver *)transport)->config_interrupts++;
}

static const struct virtio_transport_operations operations = {interrupt_queue, interrupt_config};

void driver_open(struct driver *driver, struct virtio_device *device, uint64_t features)
{
    struct error err = {0};
    *driver = (struct driver){.device = device};
    assert_int_equal(loop_open(&driver->loop, &err), 0);
    assert_int_equal(guest_memory_add(&driver->memory, 0, DRIVER_MEMORY_SIZE, false, false, &err),
                     0);
    assert_int_equal(virtio_device_open(device, &driver->memory, &driver->loop, &err), 0);
    device->transport_operations = &operations;
    device->transport = driver;
    driver_start(driver, features);
}

void driver_start(struct driver *driver, uint64_t features)
{
    struct virtio_device *device = driver->device;
    memset(driver->added, 0, sizeof driver->added);
    memset(driver->taken, 0, sizeof driver->taken);
    memset(driver_at(driver, table_of(0)), 0, VIRTIO_QUEUES_MAX * 0x1000);
    virtio_device_set_status(device, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    device->driver_features = device->features & (features | VIRTIO_F_VERSION_1);
    virtio_device_set_status(device, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                         VIRTIO_STATUS_FEATURES_OK);
    assert_true(device->status & VIRTIO_STATUS_FEATURES_OK);
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct virtqueue *queue = &device->queues[i];
        queue->size = DRIVER_QUEUE_SIZE;
        queue->table = table_of(i);
        queue->available = available_of(i);
        queue->used = used_of(i);
        assert_true(virtqueue_start(queue));
    }
    virtio_device_set_status(device, device->status | VIRTIO_STATUS_DRIVER_OK);
    assert_true(device->active);
}

void driver_close(struct driver *driver)
{
    virtio_device_close(driver->device);
    guest_memory_release(&driver->memory);
    loop_close(&driver->loop);
}

void driver_add(struct driver *driver, unsigned queue, uint16_t first,
                const struct driver_part *parts, unsigned count)
{
    uint8_t *table = driver_at(driver, table_of(queue));
    uint16_t *available = driver_at(driver, available_of(queue));
    for (unsigned i = 0; i < count; i++) {
        uint16_t flags = (uint16_t)((i + 1 < count ? 1 : 0) | (parts[i].writable ? 2 : 0));
        uint16_t next = (uint16_t)(first + i + 1);
        uint8_t *descriptor = table + 16 * (first + i);
        memcpy(descriptor, &parts[i].address, 8);
        memcpy(descriptor + 8, &parts[i].size, 4);
        memcpy(descriptor + 12, &flags, 2);
        memcpy(descriptor + 14, &next, 2);
    }
    available[2 + driver->added[queue] % DRIVER_QUEUE_SIZE] = first;
    driver->added[queue]++;
    __atomic_store_n(&available[1], driver->added[queue], __ATOMIC_RELEASE);
}

void driver_turn(struct driver *driver, int milliseconds)
{
    struct epoll_event event;
    while (epoll_wait(driver->loop.epoll, &event, 1, milliseconds) == 1) {
        struct loop_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
}

void driver_notify(struct driver *driver, unsigned queue)
{
    virtio_device_notify(driver->device, queue);
    driver_turn(driver, 0);
}

bool driver_take(struct driver *driver, unsigned queue, uint32_t *head, uint32_t *written)
{
    uint8_t *used = driver_at(driver, used_of(queue));
    uint16_t index;
    memcpy(&index, used + 2, 2);
    if (index == driver->taken[queue])
        return false;
    uint8_t *element = used + 4 + 8 * (driver->taken[queue] % DRIVER_QUEUE_SIZE);
    memcpy(head, element, 4);
    memcpy(written, element + 4, 4);
    driver->taken[queue]++;
    return true;
}
