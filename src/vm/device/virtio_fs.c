#include "vm/device/virtio_fs.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/device/fs_server.h"
#include "vm/log.h"

/* The configuration space (5.11.4). */
struct __attribute__((packed)) config {
    char tag[VIRTIO_FS_TAG_MAX]; /* padded with zeros */
    uint32_t request_queues;
};

struct fs;

struct call {
    struct loop_source source; /* an eventfd that the server writes */
    struct fs *fs;
};

struct fs {
    struct virtio_device device;
    struct config config;
    int control, process; /* -1 once the server is gone */
    struct loop_source reports;
    struct call calls[FS_QUEUES];
};

static void watch(struct fs *fs, bool server_runs)
{
    struct loop *loop = fs->device.loop;
    for (unsigned i = 0; i < FS_QUEUES; i++) {
        /* While it runs notifications are the server's to read. */
        loop_watch(loop, &fs->device.notifications[i].source, server_runs ? 0 : EPOLLIN);
        loop_watch(loop, &fs->calls[i].source, server_runs ? EPOLLIN : 0);
    }
    loop_watch(loop, &fs->reports, server_runs ? EPOLLIN : 0);
}

static void end_server(struct fs *fs)
{
    if (fs->control < 0)
        return;
    loop_watch(fs->device.loop, &fs->reports, 0);
    fs_server_end(fs->control, fs->process);
    fs->control = fs->process = -1;
}

static void on_call(struct loop_source *source, uint32_t events)
{
    struct call *call = loop_owner(source, struct call, source);
    struct fs *fs = call->fs;
    eventfd_t count;
    (void)events;
    /* The server has asked whether the driver wants it. */
    if (eventfd_read(source->fd, &count) == 0 && fs->device.active)
        fs->device.transport_operations->interrupt_queue(fs->device.transport,
                                                         (unsigned)(call - fs->calls));
}

static void on_report(struct loop_source *source, uint32_t events)
{
    struct fs *fs = loop_owner(source, struct fs, reports);
    struct fs_report report;
    (void)events;
    int status = fs_server_hear(fs->control, &report);
    if (status < 0) {
        end_server(fs);
        vm_log(VM_LOG_ERROR, "fs", "%s: the server of the share has ended", fs->device.id);
        fs->device.status |= VIRTIO_STATUS_NEEDS_RESET;
        virtio_device_config_changed(&fs->device);
    } else if (status > 0 && report.type == FS_REPORT_BROKEN) {
        virtio_device_break(&fs->device, "%s", report.text);
    }
}

/* The regions that other processes can map. Buffers in others are malformed requests. */
static unsigned add_regions(const struct guest_memory *memory, struct fs_order *order,
                            int *descriptors)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *region = &memory->regions[i];
        unsigned at = order->region_count;
        if (region->fd < 0)
            continue;
        order->regions[at].address = region->address;
        order->regions[at].size = region->size;
        order->regions[at].offset = region->offset;
        order->regions[at].read_only = region->read_only;
        descriptors[at] = region->fd;
        order->region_count++;
    }
    return order->region_count;
}

static int activate(struct virtio_device *device, struct error *err)
{
    struct fs *fs = (struct fs *)device;
    struct fs_order order = {.type = FS_ORDER_START,
                             .event_index = virtio_device_has(device, VIRTIO_F_EVENT_IDX)};
    int descriptors[FS_DESCRIPTORS_MAX];
    if (fs->control < 0)
        return error_set(err, 0, "the server of the share has ended");
    unsigned count = add_regions(device->memory, &order, descriptors);
    if (count == 0)
        return error_set(err, 0, "guest memory isn't shared with the server of the share");
    for (unsigned i = 0; i < FS_QUEUES; i++) {
        const struct virtqueue *queue = &device->queues[i];
        order.queues[i].table = queue->table;
        order.queues[i].available = queue->available;
        order.queues[i].used = queue->used;
        order.queues[i].size = queue->size;
        order.queues[i].ready = queue->ready;
        descriptors[count + i] = device->notifications[i].source.fd;
        descriptors[count + FS_QUEUES + i] = fs->calls[i].source.fd;
    }
    if (fs_server_order(fs->control, &order, descriptors, count + 2 * FS_QUEUES, FS_REPORT_STARTED,
                        err) < 0)
        return -1;
    watch(fs, true);
    return 0;
}

/* Afterwards the server touches guest memory no more, or is no more. */
static void reset(struct virtio_device *device)
{
    struct fs *fs = (struct fs *)device;
    struct error err = {0};
    struct fs_order order = {.type = FS_ORDER_STOP};
    eventfd_t count;
    watch(fs, false);
    if (fs->control >= 0 &&
        fs_server_order(fs->control, &order, NULL, 0, FS_REPORT_STOPPED, &err) < 0) {
        vm_log(VM_LOG_ERROR, "fs", "%s: %s", device->id, err.text);
        end_server(fs);
    }
    for (unsigned i = 0; i < FS_QUEUES; i++)
        eventfd_read(fs->calls[i].source.fd, &count);
}

static void notified(struct virtio_device *device, unsigned queue)
{
    (void)device, (void)queue; /* the server reads notifications itself */
}

static void close_calls(struct fs *fs)
{
    for (unsigned i = 0; i < FS_QUEUES; i++) {
        if (fs->calls[i].source.fd >= 0)
            close(fs->calls[i].source.fd);
    }
}

static void release(struct virtio_device *device)
{
    struct fs *fs = (struct fs *)device;
    end_server(fs);
    close_calls(fs);
    free(fs);
}

static const struct virtio_operations operations = {.type = VIRTIO_FS,
                                                    .name = "fs",
                                                    .activate = activate,
                                                    .reset = reset,
                                                    .notified = notified,
                                                    .release = release};

static int make_calls(struct fs *fs, struct error *err)
{
    bool failed = false;
    for (unsigned i = 0; i < FS_QUEUES; i++) {
        fs->calls[i] = (struct call){
            .source = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_call}, .fs = fs};
        failed = failed || fs->calls[i].source.fd < 0;
    }
    return failed ? error_set(err, errno, "can't make an eventfd") : 0;
}

struct virtio_device *virtio_fs_create(const char *id, const struct virtio_fs_options *options,
                                       struct error *err)
{
    size_t length = strlen(options->tag);
    if (length == 0 || length > VIRTIO_FS_TAG_MAX) {
        error_set(err, 0, "the share's tag '%s' must have 1 to %d bytes", options->tag,
                  VIRTIO_FS_TAG_MAX);
        return NULL;
    }
    struct fs *fs = memory_allocate(1, sizeof *fs);
    if (make_calls(fs, err) < 0 || fs_server_start(options, &fs->control, &fs->process, err) < 0) {
        close_calls(fs);
        free(fs);
        return NULL;
    }
    fs->reports = (struct loop_source){.fd = fs->control, .ready = on_report};
    memcpy(fs->config.tag, options->tag, length);
    fs->config.request_queues = htole32(1);
    fs->device = (struct virtio_device){.operations = &operations,
                                        .id = id,
                                        .queue_count = FS_QUEUES,
                                        .config = &fs->config,
                                        .config_size = sizeof fs->config};
    return &fs->device;
}
