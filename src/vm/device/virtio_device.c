#include "vm/device/virtio_device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vm/log.h"

#define QUEUE_SIZE 256

static bool is_working(const struct virtio_device *device)
{
    return device->active && !(device->status & VIRTIO_STATUS_NEEDS_RESET);
}

static void on_notified(struct loop_source *source, uint32_t events)
{
    struct virtio_notification *notification =
        loop_owner(source, struct virtio_notification, source);
    struct virtio_device *device = notification->device;
    uint64_t count;
    (void)events;
    if (read(source->fd, &count, sizeof count) < 0 && errno == EAGAIN)
        return;
    if (is_working(device))
        device->operations->notified(device, (unsigned)(notification - device->notifications));
}

int virtio_device_open(struct virtio_device *device, struct guest_memory *memory, struct loop *loop,
                       struct error *err)
{
    device->memory = memory;
    device->loop = loop;
    device->features |= VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct virtio_notification *notification = &device->notifications[i];
        device->queues[i].memory = memory;
        if (device->queues[i].size_max == 0)
            device->queues[i].size_max = QUEUE_SIZE;
        virtqueue_reset(&device->queues[i]);
        notification->device = device;
        notification->source = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                                    .ready = on_notified};
        if (notification->source.fd < 0) {
            error_set(err, errno, "can't make an eventfd for device %s", device->id);
            while (i-- > 0) {
                loop_watch(loop, &device->notifications[i].source, 0);
                close(device->notifications[i].source.fd);
            }
            return -1;
        }
        loop_watch(loop, &notification->source, EPOLLIN);
    }
    return 0;
}

static void reset(struct virtio_device *device)
{
    bool was_active = device->active;
    device->active = false;
    if (was_active && device->operations->reset)
        device->operations->reset(device);
    for (unsigned i = 0; i < device->queue_count; i++)
        virtqueue_reset(&device->queues[i]);
    device->driver_features = 0;
    device->status = 0;
}

void virtio_device_close(struct virtio_device *device)
{
    reset(device);
    for (unsigned i = 0; i < device->queue_count; i++) {
        loop_watch(device->loop, &device->notifications[i].source, 0);
        close(device->notifications[i].source.fd);
    }
    device->operations->release(device);
}

void virtio_device_interrupt(struct virtio_device *device, unsigned queue)
{
    if (virtqueue_should_interrupt(&device->queues[queue]))
        device->transport_operations->interrupt_queue(device->transport, queue);
}

void virtio_device_config_changed(struct virtio_device *device)
{
    device->config_generation++;
    if (device->status & VIRTIO_STATUS_DRIVER_OK)
        device->transport_operations->interrupt_config(device->transport);
}

void virtio_device_break(struct virtio_device *device, const char *format, ...)
{
    char text[200];
    va_list args;
    if (device->status & VIRTIO_STATUS_NEEDS_RESET)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vm_log(VM_LOG_WARNING, device->operations->name,
           "%s: the guest's driver %s; the device waits for a reset", device->id, text);
    device->malformed++;
    device->status |= VIRTIO_STATUS_NEEDS_RESET;
    virtio_device_config_changed(device);
}

/* The driver is done with its set-up (3.1.1, step 8). */
static void activate(struct virtio_device *device)
{
    struct error err = {0};
    for (unsigned i = 0; i < device->queue_count; i++)
        device->queues[i].event_index = virtio_device_has(device, VIRTIO_F_EVENT_IDX);
    device->active = true;
    if (device->operations->activate && device->operations->activate(device, &err) < 0) {
        vm_log(VM_LOG_ERROR, device->operations->name, "%s: %s", device->id, err.text);
        device->status |= VIRTIO_STATUS_NEEDS_RESET;
        virtio_device_config_changed(device);
    }
    /* Some drivers notify before they are ready, and that was not listened to. */
    for (unsigned i = 0; i < device->queue_count; i++) {
        if (virtqueue_has_request(&device->queues[i]))
            virtio_device_notify(device, i);
    }
}

void virtio_device_set_status(struct virtio_device *device, uint8_t status)
{
    uint8_t added = status & (uint8_t)~device->status;
    if (status == 0) {
        reset(device);
        return;
    }
    if (added & VIRTIO_STATUS_FEATURES_OK) {
        /* Refused by not keeping the bit (3.1.1, step 6). */
        if ((device->driver_features & ~device->features) ||
            !virtio_device_has(device, VIRTIO_F_VERSION_1))
            added &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
    }
    added &= (uint8_t)~VIRTIO_STATUS_NEEDS_RESET; /* the device's alone */
    if ((added & VIRTIO_STATUS_DRIVER_OK) &&
        !((device->status | added) & VIRTIO_STATUS_FEATURES_OK))
        added &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    device->status |= added; /* bits are only taken away by a reset (2.1.1) */
    if (added & VIRTIO_STATUS_DRIVER_OK)
        activate(device);
}

void virtio_device_read_config(struct virtio_device *device, unsigned offset, void *bytes,
                               unsigned size)
{
    if (offset > device->config_size || size > device->config_size - offset)
        memset(bytes, 0, size);
    else if (device->operations->read_config)
        device->operations->read_config(device, offset, bytes, size);
    else
        memcpy(bytes, (const uint8_t *)device->config + offset, size);
}

void virtio_device_write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                                unsigned size)
{
    if (offset <= device->config_size && size <= device->config_size - offset &&
        device->operations->write_config)
        device->operations->write_config(device, offset, bytes, size);
}

void virtio_device_notify(struct virtio_device *device, unsigned queue)
{
    uint64_t one = 1;
    if (queue < device->queue_count &&
        write(device->notifications[queue].source.fd, &one, sizeof one) < 0) {
        /* The counter is full: a notification is waiting already. */
    }
}
