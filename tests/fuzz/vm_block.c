/* vm/device/virtio_block: a driver that puts any bytes into its rings, at any time, and a disk that
 * answers late and in any order. Nothing outside the disk or the guest's memory is touched, and a
 * reset leaves nothing in flight. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vm/device/virtio_block.h"
#include "vm/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_SIZE 0x4000u
#define DISK_SIZE 0x8000u
#define WAITING_MAX 1024
#define QUEUES 2
#define QUEUE_SIZE 16

/* Keeps what it is asked for until the script says that it is done. */
struct memory_disk {
    struct disk disk;
    uint8_t bytes[DISK_SIZE];
    struct disk_request *waiting[WAITING_MAX];
    unsigned count;
    int error;
};

static void answer(struct memory_disk *disk, unsigned index)
{
    struct disk_request *request = disk->waiting[index];
    disk->waiting[index] = disk->waiting[--disk->count];
    uint64_t at = request->offset;
    if (request->operation != DISK_FLUSH && (at > DISK_SIZE || request->size > DISK_SIZE - at))
        abort();
    for (unsigned i = 0; request->operation <= DISK_WRITE && i < request->part_count; i++) {
        const struct iovec *part = &request->parts[i];
        if (request->operation == DISK_READ)
            memcpy(part->iov_base, disk->bytes + at, part->iov_len);
        else
            memcpy(disk->bytes + at, part->iov_base, part->iov_len);
        at += part->iov_len;
    }
    request->error = disk->error;
    request->done(request);
}

static void submit(struct disk *disk, struct disk_request *request)
{
    struct memory_disk *memory_disk = (struct memory_disk *)disk;
    if (memory_disk->count == WAITING_MAX)
        abort(); /* more in flight than may be */
    memory_disk->waiting[memory_disk->count++] = request;
}

static void drain(struct disk *disk)
{
    struct memory_disk *memory_disk = (struct memory_disk *)disk;
    while (memory_disk->count > 0)
        answer(memory_disk, 0);
    if (disk->batch_done)
        disk->batch_done(disk);
}

static void close_disk(struct disk *disk)
{
    free(disk);
}

static const struct disk_operations operations = {
    .name = "memory", .submit = submit, .drain = drain, .close = close_disk};

static void interrupt_queue(void *transport, unsigned queue)
{
    (void)transport, (void)queue;
}

static void interrupt_config(void *transport)
{
    (void)transport;
}

static const struct virtio_transport_operations transport = {interrupt_queue, interrupt_config};

static void start(struct virtio_device *device, uint64_t features)
{
    virtio_device_set_status(device, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    device->driver_features = device->features & (features | VIRTIO_F_VERSION_1);
    virtio_device_set_status(device, VIRTIO_STATUS_FEATURES_OK);
    for (unsigned i = 0; i < QUEUES; i++) {
        struct virtqueue *queue = &device->queues[i];
        queue->size = QUEUE_SIZE;
        queue->table = i * 0x400;
        queue->available = i * 0x400 + 0x100;
        queue->used = i * 0x400 + 0x200;
        virtqueue_start(queue);
    }
    virtio_device_set_status(device, device->status | VIRTIO_STATUS_DRIVER_OK);
}

static void quiet(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

/* One step of the script: what a driver, the disk or the API does. */
static void step(struct virtio_device *device, struct memory_disk *disk, uint8_t *memory,
                 const uint8_t *bytes)
{
    unsigned queue = bytes[1] % QUEUES, where = (bytes[1] | bytes[2] << 8) % MEMORY_SIZE;
    switch (bytes[0] % 8) {
    case 0:
    case 1: /* makes so many requests available, and notifies */
        memory[queue * 0x400 + 0x102] += bytes[2] % 20;
        if (device->active && !(device->status & VIRTIO_STATUS_NEEDS_RESET))
            device->operations->notified(device, queue);
        break;
    case 2: /* changes its memory while the device looks at it */
        memory[where] = bytes[3];
        break;
    case 3:
    case 4: /* the disk has done something */
        disk->error = bytes[2] % 4 == 0 ? 5 : 0;
        if (disk->count > 0) {
            answer(disk, bytes[1] % disk->count);
            if (disk->disk.batch_done)
                disk->disk.batch_done(&disk->disk);
        }
        break;
    case 5:
        virtio_device_write_config(device, bytes[1], bytes + 2, 1 + bytes[2] % 2);
        break;
    case 6:
        virtio_device_set_status(device, 0);
        if (virtio_block_in_flight(device) > 0)
            abort();
        start(device, bytes[1] | (uint64_t)bytes[2] << 8 | (uint64_t)bytes[3] << 24);
        break;
    case 7:
        virtio_block_limit(device, NULL,
                           &(struct rate_bucket_settings){bytes[1] % 4, bytes[2], bytes[3]});
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_memory memory = {0};
    struct loop loop;
    if (size < 8)
        return 0;
    size_t script = data[0] * 4u;
    unsigned choices = data[1];
    data += 2, size -= 2;
    script = script < size ? script : size;
    vm_log_set_sink(quiet);
    struct memory_disk *disk = calloc(1, sizeof *disk);
    disk->disk = (struct disk){.operations = &operations,
                               .size = DISK_SIZE,
                               .read_only = choices & 1,
                               .can_discard = choices & 2,
                               .block_size = 4096,
                               .discard_size = 4096};
    const struct virtio_block_settings settings = {.queues = QUEUES, .unsafe_cache = choices & 4};
    if (loop_open(&loop, NULL) < 0 ||
        guest_memory_add(&memory, 0, MEMORY_SIZE, false, false, NULL) < 0)
        abort();
    struct virtio_device *device = virtio_block_create("fuzz", &disk->disk, &settings, &loop);
    if (virtio_device_open(device, &memory, &loop, NULL) < 0)
        abort();
    device->transport_operations = &transport;
    uint8_t *host = guest_memory_at(&memory, 0, MEMORY_SIZE);
    size_t rest = size - script;
    memcpy(host, data + script, rest < MEMORY_SIZE ? rest : MEMORY_SIZE);
    start(device, ~((uint64_t)(choices & 8) << 26)); /* with and without EVENT_IDX */
    for (size_t i = 0; i + 4 <= script; i += 4)
        step(device, disk, host, data + i);
    virtio_device_close(device);
    guest_memory_release(&memory);
    loop_close(&loop);
    return 0;
}
