#include "vm/device/virtio_pci.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define VENDOR 0x1af4
#define ID_FIRST 0x1040 /* and the device's type */

/* Where things lie in the device's one region. */
#define REGION_SIZE 0x8000
#define REGION_COMMON 0x0000
#define REGION_ISR 0x1000
#define REGION_CONFIG 0x2000
#define REGION_NOTIFY 0x3000
#define REGION_VECTORS 0x4000
#define REGION_PENDING 0x5000
#define REGION_PART 0x1000
#define NOTIFY_STEP 4 /* bytes from a queue's doorbell to the next */

/* 4.1.4: kinds of capabilities. */
enum { PART_COMMON = 1, PART_NOTIFY, PART_ISR, PART_CONFIG, PART_ACCESS };
#define CAPABILITY_VENDOR 0x09
#define CAPABILITY_MSIX 0x11
#define MSIX_ENABLE 0x8000
#define MSIX_MASK_ALL 0x4000
#define VECTOR_MASKED 1
#define NO_VECTOR 0xffff

/* 4.1.4.3 */
enum {
    DEVICE_FEATURES_SELECT = 0x00,
    DEVICE_FEATURES = 0x04,
    DRIVER_FEATURES_SELECT = 0x08,
    DRIVER_FEATURES = 0x0c,
    CONFIG_VECTOR = 0x10,
    QUEUE_COUNT = 0x12,
    STATUS = 0x14,
    CONFIG_GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFFSET = 0x1e,
    QUEUE_TABLE = 0x20,
    QUEUE_AVAILABLE = 0x28,
    QUEUE_USED = 0x30,
    QUEUE_NOTIFY_DATA = 0x38,
    QUEUE_RESET = 0x3a,
};

struct vector {
    uint32_t address_low, address_high, data, control;
};

struct virtio_pci {
    struct pci_device pci; /* first: its operations get it */
    struct virtio_device *device;
    struct engine *engine;
    unsigned msix, access; /* offsets of capabilities */
    uint32_t features_select, driver_features_select;
    uint16_t queue_select, config_vector, queue_vectors[VIRTIO_QUEUES_MAX];
    uint8_t isr;
    struct vector vectors[VIRTIO_QUEUES_MAX + 1];
    uint64_t pending; /* a bit for each vector */
    unsigned vector_count;
    bool has_doorbell[VIRTIO_QUEUES_MAX];
};

/* ---- Interrupts: MSI-X (PCI 3.0, 6.8.2) ---- */

static bool is_masked(const struct virtio_pci *transport, unsigned vector)
{
    return (pci_get(transport->pci.config + transport->msix + 2, 2) & MSIX_MASK_ALL) ||
           (transport->vectors[vector].control & VECTOR_MASKED);
}

static void send_vector(struct virtio_pci *transport, unsigned vector)
{
    if (vector >= transport->vector_count ||
        !(pci_get(transport->pci.config + transport->msix + 2, 2) & MSIX_ENABLE))
        return;
    if (is_masked(transport, vector)) {
        transport->pending |= 1ull << vector;
        return;
    }
    const struct vector *entry = &transport->vectors[vector];
    interrupts_send_message(transport->engine->interrupts,
                            (uint64_t)entry->address_high << 32 | entry->address_low, entry->data);
}

/* Delivers what waited for a vector that may be open now. */
static void send_pending(struct virtio_pci *transport)
{
    for (unsigned i = 0; i < transport->vector_count; i++) {
        if ((transport->pending >> i & 1) && !is_masked(transport, i)) {
            transport->pending &= ~(1ull << i);
            send_vector(transport, i);
        }
    }
}

static void interrupt_queue(void *context, unsigned queue)
{
    struct virtio_pci *transport = context;
    transport->isr |= 1;
    send_vector(transport, transport->queue_vectors[queue]);
}

static void interrupt_config(void *context)
{
    struct virtio_pci *transport = context;
    transport->isr |= 2;
    send_vector(transport, transport->config_vector);
}

static const struct virtio_transport_operations transport_operations = {interrupt_queue,
                                                                        interrupt_config};

static uint64_t read_vectors(struct virtio_pci *transport, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    if (offset + size <= transport->vector_count * sizeof(struct vector))
        memcpy(&value, (const uint8_t *)transport->vectors + offset, size);
    return value;
}

static void write_vectors(struct virtio_pci *transport, uint64_t offset, unsigned size,
                          uint64_t value)
{
    if (size < 4 || offset % 4 || offset + size > transport->vector_count * sizeof(struct vector))
        return;
    memcpy((uint8_t *)transport->vectors + offset, &value, size);
    send_pending(transport);
}

/* ---- The common configuration ---- */

static struct virtqueue *selected(struct virtio_pci *transport)
{
    return transport->queue_select < transport->device->queue_count
               ? &transport->device->queues[transport->queue_select]
               : NULL;
}

static uint64_t *queue_address(struct virtqueue *queue, uint64_t offset)
{
    return offset < QUEUE_AVAILABLE ? &queue->table
           : offset < QUEUE_USED    ? &queue->available
                                    : &queue->used;
}

static uint64_t read_queue(struct virtio_pci *transport, uint64_t offset, unsigned size)
{
    struct virtqueue *queue = selected(transport);
    if (!queue)
        return offset == QUEUE_VECTOR ? NO_VECTOR : 0;
    switch (offset) {
    case QUEUE_SIZE:
        return queue->size;
    case QUEUE_VECTOR:
        return transport->queue_vectors[transport->queue_select];
    case QUEUE_ENABLE:
        return queue->ready;
    case QUEUE_NOTIFY_OFFSET:
    case QUEUE_NOTIFY_DATA:
        return transport->queue_select;
    case QUEUE_RESET:
        return 0;
    default:
        if (offset < QUEUE_TABLE || offset + size > QUEUE_NOTIFY_DATA)
            return 0;
        return *queue_address(queue, offset) >> (8 * (offset % 8));
    }
}

static uint64_t read_common(struct virtio_pci *transport, uint64_t offset, unsigned size)
{
    struct virtio_device *device = transport->device;
    switch (offset) {
    case DEVICE_FEATURES_SELECT:
        return transport->features_select;
    case DEVICE_FEATURES:
        return transport->features_select < 2
                   ? device->features >> (32 * transport->features_select)
                   : 0;
    case DRIVER_FEATURES_SELECT:
        return transport->driver_features_select;
    case DRIVER_FEATURES:
        return transport->driver_features_select < 2
                   ? device->driver_features >> (32 * transport->driver_features_select)
                   : 0;
    case CONFIG_VECTOR:
        return transport->config_vector;
    case QUEUE_COUNT:
        return device->queue_count;
    case STATUS:
        return device->status;
    case CONFIG_GENERATION:
        return device->config_generation;
    case QUEUE_SELECT:
        return transport->queue_select;
    default:
        return read_queue(transport, offset, size);
    }
}

/* The driver may describe a queue only while it is not enabled and the device doesn't work
 * (4.1.4.3.2). */
static void write_queue(struct virtio_pci *transport, uint64_t offset, unsigned size,
                        uint64_t value)
{
    struct virtqueue *queue = selected(transport);
    if (!queue)
        return;
    if (offset == QUEUE_VECTOR) {
        transport->queue_vectors[transport->queue_select] =
            value < transport->vector_count ? (uint16_t)value : NO_VECTOR;
        return;
    }
    if (queue->ready || (transport->device->status & VIRTIO_STATUS_DRIVER_OK))
        return;
    if (offset == QUEUE_SIZE) {
        queue->size = (uint16_t)(value > queue->size_max ? 0 : value);
    } else if (offset == QUEUE_ENABLE) {
        if (value == 1 && !virtqueue_start(queue))
            virtio_device_break(transport->device, "put queue %u where no memory is",
                                transport->queue_select);
    } else if (offset >= QUEUE_TABLE && offset + size <= QUEUE_NOTIFY_DATA && offset % 4 == 0 &&
               (size == 4 || (size == 8 && offset % 8 == 0))) {
        memcpy((uint8_t *)queue_address(queue, offset) + offset % 8, &value, size);
    }
}

static void reset_transport(struct virtio_pci *transport)
{
    transport->isr = 0;
    transport->config_vector = NO_VECTOR;
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
        transport->queue_vectors[i] = NO_VECTOR;
}

static void write_common(struct virtio_pci *transport, uint64_t offset, unsigned size,
                         uint64_t value)
{
    struct virtio_device *device = transport->device;
    switch (offset) {
    case DEVICE_FEATURES_SELECT:
        transport->features_select = (uint32_t)value;
        break;
    case DRIVER_FEATURES_SELECT:
        transport->driver_features_select = (uint32_t)value;
        break;
    case DRIVER_FEATURES:
        if (transport->driver_features_select < 2 && size == 4 &&
            !(device->status & VIRTIO_STATUS_FEATURES_OK))
            memcpy((uint8_t *)&device->driver_features + 4 * transport->driver_features_select,
                   &value, 4);
        break;
    case CONFIG_VECTOR:
        transport->config_vector = value < transport->vector_count ? (uint16_t)value : NO_VECTOR;
        break;
    case STATUS:
        virtio_device_set_status(device, (uint8_t)value);
        if ((uint8_t)value == 0)
            reset_transport(transport);
        break;
    case QUEUE_SELECT:
        transport->queue_select = (uint16_t)value;
        break;
    default:
        write_queue(transport, offset, size, value);
    }
}

/* ---- The region ---- */

static uint64_t read_region(void *context, uint64_t offset, unsigned size)
{
    struct virtio_pci *transport = context;
    uint64_t part = offset / REGION_PART * REGION_PART, at = offset % REGION_PART, value = 0;
    switch (part) {
    case REGION_COMMON:
        return read_common(transport, at, size);
    case REGION_ISR: /* reading clears it (4.1.4.5) */
        value = transport->isr;
        transport->isr = 0;
        return value;
    case REGION_CONFIG:
        virtio_device_read_config(transport->device, (unsigned)at, &value, size);
        return value;
    case REGION_VECTORS:
        return read_vectors(transport, at, size);
    case REGION_PENDING:
        return at == 0 ? transport->pending : 0;
    default:
        return 0;
    }
}

static void write_region(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_pci *transport = context;
    uint64_t part = offset / REGION_PART * REGION_PART, at = offset % REGION_PART;
    switch (part) {
    case REGION_COMMON:
        write_common(transport, at, size, value);
        break;
    case REGION_CONFIG:
        virtio_device_write_config(transport->device, (unsigned)at, &value, size);
        break;
    case REGION_NOTIFY:
        virtio_device_notify(transport->device, (unsigned)(at / NOTIFY_STEP));
        break;
    case REGION_VECTORS:
        write_vectors(transport, at, size, value);
        break;
    default:
        break;
    }
}

static const struct bus_operations region_operations = {read_region, write_region};

/* The doorbells follow the region. */
static void region_moved(struct pci_device *pci, uint64_t address)
{
    struct virtio_pci *transport = (struct virtio_pci *)pci;
    const struct engine_operations *engine = transport->engine->operations;
    for (unsigned i = 0; i < transport->device->queue_count; i++) {
        struct engine_doorbell doorbell = {
            .space = ENGINE_MEMORY,
            .address = (address ? address : pci->region.address) + REGION_NOTIFY + i * NOTIFY_STEP,
            .eventfd = transport->device->notifications[i].source.fd};
        if (address)
            transport->has_doorbell[i] = engine->add_doorbell(transport->engine, &doorbell) == 0;
        else if (transport->has_doorbell[i])
            engine->remove_doorbell(transport->engine, &doorbell);
    }
}

/* The capability through which a driver reaches the region by configuration cycles alone
 * (4.1.4.9): an offset, a length, and four bytes of data that stand for what is there. */
static void use_access(struct virtio_pci *transport, bool is_write)
{
    uint8_t *capability = transport->pci.config + transport->access;
    uint32_t offset = pci_get(capability + 8, 4), length = pci_get(capability + 12, 4);
    if (capability[4] != 0 || (length != 1 && length != 2 && length != 4) ||
        offset > REGION_SIZE - length || offset % length)
        return;
    if (is_write)
        write_region(transport, offset, length, pci_get(capability + 16, length));
    else
        pci_put(capability + 16, (uint32_t)read_region(transport, offset, length), length);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct virtio_pci *transport = (struct virtio_pci *)pci;
    unsigned data = transport->access + 16;
    if (offset < transport->msix + 4 && offset + size > transport->msix + 2)
        send_pending(transport);
    if (offset < data + 4 && offset + size > data)
        use_access(transport, true);
    else if (offset < data && offset + size > transport->access)
        use_access(transport, false); /* what a read of the data will find */
}

static unsigned add_part(struct virtio_pci *transport, uint8_t kind, uint32_t offset, uint32_t size,
                         unsigned extra)
{
    unsigned at = pci_device_add_capability(&transport->pci, CAPABILITY_VENDOR, 16 + extra);
    uint8_t *capability = transport->pci.config + at;
    capability[2] = (uint8_t)(16 + extra);
    capability[3] = kind;
    pci_put(capability + 8, offset, 4);
    pci_put(capability + 12, size, 4);
    return at;
}

static uint32_t class_of(enum virtio_type type)
{
    return type == VIRTIO_NET                                                    ? 0x020000
           : type == VIRTIO_BLOCK                                                ? 0x018000
           : type == VIRTIO_CONSOLE                                              ? 0x078000
           : type == VIRTIO_BALLOON || type == VIRTIO_MEM || type == VIRTIO_PMEM ? 0x050000
                                                                                 : 0xff0000;
}

static void describe(struct virtio_pci *transport)
{
    struct pci_device *pci = &transport->pci;
    enum virtio_type type = transport->device->operations->type;
    pci_device_describe(pci, VENDOR, (uint16_t)(ID_FIRST + type), class_of(type), (uint16_t)type);
    add_part(transport, PART_COMMON, REGION_COMMON, 0x38, 0);
    add_part(transport, PART_ISR, REGION_ISR, 1, 0);
    if (transport->device->config_size > 0)
        add_part(transport, PART_CONFIG, REGION_CONFIG, transport->device->config_size, 0);
    unsigned notify = add_part(transport, PART_NOTIFY, REGION_NOTIFY,
                               transport->device->queue_count * NOTIFY_STEP, 4);
    pci_put(pci->config + notify + 16, NOTIFY_STEP, 4);
    transport->access = add_part(transport, PART_ACCESS, 0, 0, 4);
    pci->writable[transport->access + 4] =
        0xff; /* region, offset, length and data are the driver's */
    memset(pci->writable + transport->access + 8, 0xff, 12);
    transport->msix = pci_device_add_capability(pci, CAPABILITY_MSIX, 12);
    pci_put(pci->config + transport->msix + 2, transport->vector_count - 1, 2);
    pci_put(pci->config + transport->msix + 4, REGION_VECTORS, 4);
    pci_put(pci->config + transport->msix + 8, REGION_PENDING, 4);
    pci_put(pci->writable + transport->msix + 2, MSIX_ENABLE | MSIX_MASK_ALL, 2);
}

struct virtio_pci *virtio_pci_create(struct virtio_device *device, struct pci_bus *bus,
                                     struct engine *engine, struct error *err)
{
    struct virtio_pci *transport = memory_allocate(1, sizeof *transport);
    *transport = (struct virtio_pci){
        .pci = {.region = {.size = REGION_SIZE, .operations = &region_operations},
                .config_written = config_written,
                .region_moved = region_moved},
        .device = device,
        .engine = engine,
        .vector_count = device->queue_count + 1};
    for (unsigned i = 0; i < transport->vector_count; i++)
        transport->vectors[i].control = VECTOR_MASKED;
    reset_transport(transport);
    describe(transport);
    if (pci_bus_add(bus, &transport->pci, err) < 0) {
        free(transport);
        return NULL;
    }
    device->transport_operations = &transport_operations;
    device->transport = transport;
    return transport;
}

void virtio_pci_destroy(struct virtio_pci *transport)
{
    pci_bus_remove(transport->pci.bus, &transport->pci);
    free(transport);
}
