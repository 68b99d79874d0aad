#include "vm/device/virtio_mmio.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* 4.2.2 */
enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SELECT = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SELECT = 0x024,
    QUEUE_SELECT = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_TABLE = 0x080, /* each of the three in two halves */
    QUEUE_AVAILABLE = 0x090,
    QUEUE_USED = 0x0a0,
    SHARED_LENGTH = 0x0b0,
    SHARED_BASE = 0x0b8,
    CONFIG_GENERATION = 0x0fc,
    CONFIG = 0x100,
};
#define MAGIC_VALUE 0x74726976 /* "virt" */
#define VENDOR_VALUE 0x4c4c5548

#define INTERRUPT_QUEUE 1u
#define INTERRUPT_CONFIG 2u

struct virtio_mmio {
    struct virtio_device *device;
    struct bus *bus;
    struct engine *engine;
    uint64_t address;
    unsigned line;
    uint32_t features_select, driver_features_select, queue_select, interrupt_status;
    bool has_doorbell[VIRTIO_QUEUES_MAX];
};

static void interrupt(struct virtio_mmio *transport, uint32_t reason)
{
    __atomic_fetch_or(&transport->interrupt_status, reason, __ATOMIC_SEQ_CST);
    interrupts_set_line(transport->engine->interrupts, transport->line, true);
    interrupts_set_line(transport->engine->interrupts, transport->line, false);
}

static void interrupt_queue(void *transport, unsigned queue)
{
    (void)queue;
    interrupt(transport, INTERRUPT_QUEUE);
}

static void interrupt_config(void *transport)
{
    interrupt(transport, INTERRUPT_CONFIG);
}

static const struct virtio_transport_operations transport_operations = {interrupt_queue,
                                                                        interrupt_config};

static struct virtqueue *selected(struct virtio_mmio *transport)
{
    return transport->queue_select < transport->device->queue_count
               ? &transport->device->queues[transport->queue_select]
               : NULL;
}

static uint32_t half(uint64_t value, uint32_t select)
{
    return select == 0 ? (uint32_t)value : select == 1 ? (uint32_t)(value >> 32) : 0;
}

static void set_half(uint64_t *value, bool high, uint32_t part)
{
    *value = high ? (*value & UINT32_MAX) | (uint64_t)part << 32
                  : (*value & ~(uint64_t)UINT32_MAX) | part;
}

static uint64_t read_register(struct virtio_mmio *transport, uint64_t offset)
{
    struct virtio_device *device = transport->device;
    const struct virtqueue *queue = selected(transport);
    switch (offset) {
    case MAGIC:
        return MAGIC_VALUE;
    case VERSION:
        return 2;
    case DEVICE_ID:
        return device->operations->type;
    case VENDOR_ID:
        return VENDOR_VALUE;
    case DEVICE_FEATURES:
        return half(device->features, transport->features_select);
    case QUEUE_SIZE_MAX:
        return queue ? queue->size_max : 0;
    case QUEUE_READY:
        return queue && queue->ready;
    case INTERRUPT_STATUS:
        return __atomic_load_n(&transport->interrupt_status, __ATOMIC_SEQ_CST);
    case STATUS:
        return device->status;
    case SHARED_LENGTH:
    case SHARED_LENGTH + 4:
    case SHARED_BASE:
    case SHARED_BASE + 4:
        return UINT32_MAX; /* no such region */
    case CONFIG_GENERATION:
        return device->config_generation;
    default:
        return 0;
    }
}

/* The driver may describe a queue only while it is not ready and the device doesn't work (4.2.3.2).
 */
static void write_queue(struct virtio_mmio *transport, uint64_t offset, uint32_t value)
{
    struct virtqueue *queue = selected(transport);
    if (!queue || (transport->device->status & VIRTIO_STATUS_DRIVER_OK))
        return;
    if (offset == QUEUE_READY) {
        if (value == 0)
            virtqueue_reset(queue);
        else if (!queue->ready && !virtqueue_start(queue))
            virtio_device_break(transport->device, "put queue %u where no memory is",
                                transport->queue_select);
        return;
    }
    if (queue->ready)
        return;
    switch (offset) {
    case QUEUE_SIZE:
        queue->size = (uint16_t)(value > queue->size_max ? 0 : value);
        break;
    case QUEUE_TABLE:
    case QUEUE_TABLE + 4:
        set_half(&queue->table, offset & 4, value);
        break;
    case QUEUE_AVAILABLE:
    case QUEUE_AVAILABLE + 4:
        set_half(&queue->available, offset & 4, value);
        break;
    case QUEUE_USED:
    case QUEUE_USED + 4:
        set_half(&queue->used, offset & 4, value);
        break;
    default:
        break;
    }
}

static void write_register(struct virtio_mmio *transport, uint64_t offset, uint32_t value)
{
    struct virtio_device *device = transport->device;
    switch (offset) {
    case DEVICE_FEATURES_SELECT:
        transport->features_select = value;
        break;
    case DRIVER_FEATURES:
        if (transport->driver_features_select < 2 && !(device->status & VIRTIO_STATUS_FEATURES_OK))
            set_half(&device->driver_features, transport->driver_features_select, value);
        break;
    case DRIVER_FEATURES_SELECT:
        transport->driver_features_select = value;
        break;
    case QUEUE_SELECT:
        transport->queue_select = value;
        break;
    case QUEUE_NOTIFY:
        virtio_device_notify(device, value & UINT16_MAX);
        break;
    case INTERRUPT_ACK:
        __atomic_fetch_and(&transport->interrupt_status, ~value, __ATOMIC_SEQ_CST);
        break;
    case STATUS:
        virtio_device_set_status(device, (uint8_t)value);
        if (value == 0)
            __atomic_store_n(&transport->interrupt_status, 0, __ATOMIC_SEQ_CST);
        break;
    default:
        write_queue(transport, offset, value);
    }
}

static uint64_t read_bus(void *context, uint64_t offset, unsigned size)
{
    struct virtio_mmio *transport = context;
    uint64_t value = 0;
    if (offset >= CONFIG)
        virtio_device_read_config(transport->device, (unsigned)offset - CONFIG, &value, size);
    else if (size == 4) /* all others are 32 bits wide, and nothing else (4.2.2.2) */
        value = read_register(transport, offset);
    return value;
}

static void write_bus(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_mmio *transport = context;
    if (offset >= CONFIG)
        virtio_device_write_config(transport->device, (unsigned)offset - CONFIG, &value, size);
    else if (size == 4)
        write_register(transport, offset, (uint32_t)value);
}

static const struct bus_operations bus_operations = {read_bus, write_bus};

static struct engine_doorbell doorbell_of(const struct virtio_mmio *transport, unsigned queue)
{
    return (struct engine_doorbell){.space = ENGINE_MEMORY,
                                    .address = transport->address + QUEUE_NOTIFY,
                                    .size = 4,
                                    .has_value = true,
                                    .value = queue,
                                    .eventfd = transport->device->notifications[queue].source.fd};
}

struct virtio_mmio *virtio_mmio_create(struct virtio_device *device, struct bus *bus,
                                       struct engine *engine, uint64_t address, unsigned line,
                                       struct error *err)
{
    struct virtio_mmio *transport = memory_allocate(1, sizeof *transport);
    *transport = (struct virtio_mmio){
        .device = device, .bus = bus, .engine = engine, .address = address, .line = line};
    if (bus_add(bus, address, VIRTIO_MMIO_SIZE, &bus_operations, transport, err) < 0) {
        free(transport);
        return NULL;
    }
    device->transport_operations = &transport_operations;
    device->transport = transport;
    /* Where the engine has no doorbells, QUEUE_NOTIFY's write does the same. */
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct engine_doorbell doorbell = doorbell_of(transport, i);
        transport->has_doorbell[i] = engine->operations->add_doorbell(engine, &doorbell) == 0;
    }
    return transport;
}

void virtio_mmio_destroy(struct virtio_mmio *transport)
{
    for (unsigned i = 0; i < transport->device->queue_count; i++) {
        struct engine_doorbell doorbell = doorbell_of(transport, i);
        if (transport->has_doorbell[i])
            transport->engine->operations->remove_doorbell(transport->engine, &doorbell);
    }
    bus_remove(transport->bus, transport->address, transport);
    free(transport);
}
