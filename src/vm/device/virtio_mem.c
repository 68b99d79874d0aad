/* What is unplugged holds nothing: its pages go back to the host, and once all blocks of a slot are
 * unplugged the processors don't see it any more, so that a guest can't use what it was asked to
 * give back. Within a slot that is partly plugged it could (as with Firecracker); the process's
 * memory limit stands behind that. */
#include "vm/device/virtio_mem.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/log.h"
#include "vm/memory/guest_discard.h"

#define UNPLUGGED_INACCESSIBLE (1ull << 1) /* a feature (5.15.3) */

/* Linux adds memory in pieces of 128 MiB or more, aligned: it gets some more places for blocks than
 * it is asked to plug. */
#define USABLE_MORE (256ull << 20)
#define TURN_MAX 64 /* requests before others get a turn */

/* Requests and responses (5.15.6.1). */
enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { PLUGGED, UNPLUGGED, MIXED };

struct request {
    uint16_t type, padding[3];
    uint64_t address;
    uint16_t blocks, padding_too[3];
};

struct response {
    uint16_t type, padding[3];
    uint16_t state;
};

/* The configuration space (5.15.4). */
struct config {
    uint64_t block_size;
    uint16_t node, padding[3];
    uint64_t address, region_size, usable_size, plugged_size, requested_size;
};

struct mem {
    struct virtio_device device;
    struct virtio_mem_options options;
    struct config config; /* little-endian, as the guest sees it */
    uint64_t usable_size, plugged_size, requested_size;
    uint8_t *plugged;        /* a byte for each block */
    uint32_t *slots_plugged; /* how many of each slot's blocks */
    struct virtqueue_chain chain;
};

static void update_config(struct mem *mem)
{
    mem->config.usable_size = htole64(mem->usable_size);
    mem->config.plugged_size = htole64(mem->plugged_size);
    mem->config.requested_size = htole64(mem->requested_size);
}

static uint64_t usable_for(const struct mem *mem, uint64_t requested)
{
    uint64_t wanted = requested + USABLE_MORE;
    return wanted < mem->options.total_size ? wanted : mem->options.total_size;
}

static bool expose(struct mem *mem, uint64_t slot, bool exposed)
{
    const struct virtio_mem_options *options = &mem->options;
    struct error err = {0};
    if (!options->expose ||
        options->expose(options->context, options->address + slot * options->slot_size,
                        options->slot_size, exposed, &err) == 0)
        return true;
    vm_log(VM_LOG_WARNING, "mem", "%s: %s", mem->device.id, err.text);
    return false;
}

/* False if the processors can't be made to see the block. */
static bool plug(struct mem *mem, uint64_t block)
{
    uint64_t slot = block * mem->options.block_size / mem->options.slot_size;
    if (mem->slots_plugged[slot] == 0 && !expose(mem, slot, true))
        return false;
    mem->slots_plugged[slot]++;
    mem->plugged[block] = 1;
    mem->plugged_size += mem->options.block_size;
    return true;
}

static void unplug(struct mem *mem, uint64_t block)
{
    const struct virtio_mem_options *options = &mem->options;
    uint64_t slot = block * options->block_size / options->slot_size;
    mem->plugged[block] = 0;
    mem->plugged_size -= options->block_size;
    if (--mem->slots_plugged[slot] == 0)
        expose(mem, slot, false);
    const void *host = guest_memory_at(
        mem->device.memory, options->address + block * options->block_size, options->block_size);
    guest_memory_discard(mem->device.memory, host, options->block_size, GUEST_PAGE_SIZE);
}

/* The blocks of a request, [*first, *end), if they are usable ones. */
static bool find_blocks(const struct mem *mem, const struct request *request, uint64_t *first,
                        uint64_t *end)
{
    uint64_t size = mem->options.block_size, offset = le64toh(request->address);
    uint16_t count = le16toh(request->blocks);
    if (offset < mem->options.address || count == 0)
        return false;
    offset -= mem->options.address;
    if (offset % size || offset >= mem->usable_size || count > (mem->usable_size - offset) / size)
        return false;
    *first = offset / size;
    *end = *first + count;
    return true;
}

static uint64_t count_plugged(const struct mem *mem, uint64_t first, uint64_t end)
{
    uint64_t count = 0;
    for (uint64_t block = first; block < end; block++)
        count += mem->plugged[block];
    return count;
}

static uint16_t plug_blocks(struct mem *mem, uint64_t first, uint64_t end)
{
    if (count_plugged(mem, first, end) > 0)
        return ERROR;
    if (mem->plugged_size > mem->requested_size ||
        (end - first) * mem->options.block_size > mem->requested_size - mem->plugged_size)
        return NACK;
    for (uint64_t block = first; block < end; block++) {
        if (plug(mem, block))
            continue;
        while (block-- > first)
            unplug(mem, block);
        return BUSY; /* it tries again later */
    }
    return ACK;
}

static uint16_t unplug_blocks(struct mem *mem, uint64_t first, uint64_t end)
{
    if (count_plugged(mem, first, end) != end - first)
        return ERROR;
    for (uint64_t block = first; block < end; block++)
        unplug(mem, block);
    return ACK;
}

static uint16_t unplug_all(struct mem *mem)
{
    for (uint64_t block = 0; block < mem->options.total_size / mem->options.block_size; block++) {
        if (mem->plugged[block])
            unplug(mem, block);
    }
    mem->usable_size = usable_for(mem, mem->requested_size);
    return ACK;
}

static uint16_t answer(struct mem *mem, const struct request *request, uint16_t *state)
{
    unsigned type = le16toh(request->type);
    uint64_t first, end;
    *state = 0;
    if (type == UNPLUG_ALL)
        return unplug_all(mem);
    if (type > STATE || !find_blocks(mem, request, &first, &end))
        return ERROR;
    if (type == PLUG)
        return plug_blocks(mem, first, end);
    if (type == UNPLUG)
        return unplug_blocks(mem, first, end);
    uint64_t plugged = count_plugged(mem, first, end);
    *state = plugged == end - first ? PLUGGED : plugged == 0 ? UNPLUGGED : MIXED;
    return ACK;
}

/* False if the request is no request, or has no room for an answer. */
static bool serve(struct mem *mem, uint32_t *written)
{
    const struct virtqueue_chain *chain = &mem->chain;
    struct request request;
    struct response response = {0};
    const uint32_t size = offsetof(struct response, state) + sizeof response.state;
    if (virtqueue_copy_from(chain->readable, chain->readable_count, 0, &request, sizeof request) !=
            sizeof request ||
        chain->writable_size < size)
        return false;
    uint16_t state, type = answer(mem, &request, &state);
    response.type = htole16(type);
    response.state = htole16(state);
    update_config(mem);
    *written =
        (uint32_t)virtqueue_copy_to(chain->writable, chain->writable_count, 0, &response, size);
    return true;
}

static void notified(struct virtio_device *device, unsigned index)
{
    struct mem *mem = (struct mem *)device;
    struct virtqueue *queue = &device->queues[index];
    const uint16_t before = queue->next_used;
    bool obeys = true;
    int status = 0;
    for (unsigned turn = 0; obeys; turn++) {
        uint32_t written = 0;
        if (turn == TURN_MAX) {
            virtio_device_notify(device, index);
            break;
        }
        status = virtqueue_pop(queue, &mem->chain);
        if (status <= 0)
            break;
        obeys = serve(mem, &written);
        virtqueue_push(queue, mem->chain.head, written);
    }
    if (queue->next_used != before)
        virtio_device_interrupt(device, index);
    if (status < 0 || !obeys)
        virtio_device_break(device, "put a malformed request into its queue");
}

static int activate(struct virtio_device *device, struct error *err)
{
    const struct mem *mem = (const struct mem *)device;
    if (!virtio_device_has(device, UNPLUGGED_INACCESSIBLE))
        return error_set(err, 0,
                         "the guest's driver would read memory that is not plugged "
                         "(Linux 5.17 and later don't)");
    if (!guest_memory_at(device->memory, mem->options.address, mem->options.total_size))
        return error_set(err, 0, "there is no memory to plug at %#llx",
                         (unsigned long long)mem->options.address);
    return 0;
}

static void release(struct virtio_device *device)
{
    struct mem *mem = (struct mem *)device;
    free(mem->plugged);
    free(mem->slots_plugged);
    free(mem);
}

/* Without reset: plugged memory stays so; the next driver unplugs it all, or goes on with it. */
static const struct virtio_operations operations = {.type = VIRTIO_MEM,
                                                    .name = "mem",
                                                    .activate = activate,
                                                    .notified = notified,
                                                    .release = release};

static int check_options(const struct virtio_mem_options *options, struct error *err)
{
    if (options->block_size < VIRTIO_MEM_BLOCK_MIN ||
        options->block_size & (options->block_size - 1))
        return error_set(err, 0,
                         "hot-plug memory's block size must be a power of two of %llu MiB "
                         "or more",
                         VIRTIO_MEM_BLOCK_MIN >> 20);
    if (options->slot_size < options->block_size || options->slot_size % options->block_size)
        return error_set(err, 0,
                         "hot-plug memory's slot size must be a multiple of its block size");
    if (options->total_size == 0 || options->total_size % options->slot_size)
        return error_set(err, 0,
                         "hot-plug memory's total size must be a multiple of its slot size");
    if (options->address % options->block_size ||
        options->address + options->total_size < options->address)
        return error_set(err, 0, "hot-plug memory can't be at %#llx",
                         (unsigned long long)options->address);
    return 0;
}

struct virtio_device *virtio_mem_create(const char *id, const struct virtio_mem_options *options,
                                        struct error *err)
{
    if (check_options(options, err) < 0)
        return NULL;
    struct mem *mem = memory_allocate(1, sizeof *mem);
    mem->options = *options;
    mem->plugged = memory_allocate(options->total_size / options->block_size, 1);
    mem->slots_plugged =
        memory_allocate(options->total_size / options->slot_size, sizeof *mem->slots_plugged);
    mem->usable_size = usable_for(mem, 0);
    mem->config.block_size = htole64(options->block_size);
    mem->config.address = htole64(options->address);
    mem->config.region_size = htole64(options->total_size);
    update_config(mem);
    mem->device = (struct virtio_device){.operations = &operations,
                                         .id = id,
                                         .features = UNPLUGGED_INACCESSIBLE,
                                         .queue_count = 1,
                                         .config = &mem->config,
                                         .config_size = sizeof mem->config};
    return &mem->device;
}

int virtio_mem_request(struct virtio_device *device, uint64_t size, struct error *err)
{
    struct mem *mem = (struct mem *)device;
    if (size > mem->options.total_size || size % mem->options.block_size)
        return error_set(err, 0,
                         "hot-plug memory's requested size must be a multiple of %llu MiB, and "
                         "%llu MiB at most",
                         (unsigned long long)mem->options.block_size >> 20,
                         (unsigned long long)mem->options.total_size >> 20);
    mem->requested_size = size;
    uint64_t usable = usable_for(mem, size);
    mem->usable_size = usable > mem->usable_size ? usable : mem->usable_size; /* never shrinks so */
    update_config(mem);
    virtio_device_config_changed(device);
    return 0;
}

void virtio_mem_status(const struct virtio_device *device, struct virtio_mem_status *status)
{
    const struct mem *mem = (const struct mem *)device;
    *status = (struct virtio_mem_status){.total_size = mem->options.total_size,
                                         .block_size = mem->options.block_size,
                                         .slot_size = mem->options.slot_size,
                                         .requested_size = mem->requested_size,
                                         .plugged_size = mem->plugged_size};
}
