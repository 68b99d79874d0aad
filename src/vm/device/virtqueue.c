#include "vm/device/virtqueue.h"

#include <endian.h>
#include <string.h>

/* A descriptor (2.7.5). */
struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
enum { DESCRIPTOR_NEXT = 1, DESCRIPTOR_WRITE = 2, DESCRIPTOR_INDIRECT = 4 };

#define AVAILABLE_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

/* Offsets in the available ring (2.7.6) and the used ring (2.7.8): flags, index, ring, event. */
static uint16_t *available_word(const struct virtqueue *queue, unsigned word)
{
    return (uint16_t *)(void *)(queue->available_host + 2 * word);
}

static uint16_t *used_event(const struct virtqueue *queue)
{
    return available_word(queue, 2u + queue->size);
}

static uint16_t *used_word(const struct virtqueue *queue, unsigned word)
{
    return (uint16_t *)(void *)(queue->used_host + 2 * word);
}

static uint16_t *available_event(const struct virtqueue *queue)
{
    return (uint16_t *)(void *)(queue->used_host + 4 + 8 * queue->size);
}

static uint16_t load(const uint16_t *word)
{
    return le16toh(__atomic_load_n(word, __ATOMIC_ACQUIRE));
}

static void store(uint16_t *word, uint16_t value)
{
    __atomic_store_n(word, htole16(value), __ATOMIC_RELEASE);
}

bool virtqueue_start(struct virtqueue *queue)
{
    if (queue->size == 0 || queue->size > queue->size_max || (queue->size & (queue->size - 1)) ||
        queue->table % 16 || queue->available % 2 || queue->used % 4)
        return false;
    queue->table_host = guest_memory_at(queue->memory, queue->table, 16ull * queue->size);
    queue->available_host =
        guest_memory_at(queue->memory, queue->available, 6 + 2ull * queue->size);
    uint64_t used_size = 6 + 8ull * queue->size, writable = used_size;
    queue->used_host = guest_memory_at_most(queue->memory, queue->used, &writable, true);
    if (writable < used_size)
        return false;
    queue->ready = queue->table_host && queue->available_host && queue->used_host;
    return queue->ready;
}

void virtqueue_reset(struct virtqueue *queue)
{
    *queue = (struct virtqueue){
        .memory = queue->memory, .size_max = queue->size_max, .size = queue->size_max};
}

/* Adds a part of a request, which may lie in several regions of memory, to *parts. */
static bool add_part(const struct virtqueue *queue, const struct descriptor *descriptor,
                     struct iovec *parts, unsigned *count)
{
    uint64_t address = descriptor->address, left = descriptor->length;
    while (left > 0) {
        uint64_t piece = left;
        void *host = guest_memory_at_most(queue->memory, address, &piece,
                                          descriptor->flags & DESCRIPTOR_WRITE);
        if (!host || *count == VIRTQUEUE_PARTS_MAX)
            return false;
        parts[(*count)++] = (struct iovec){host, piece};
        address += piece;
        left -= piece;
    }
    return true;
}

/* Walks the descriptors of a request, in the order of the chain, and calls for each that is a
 * part. False if the driver broke the rules (2.7.5.1, 2.7.5.3.1), or the call said so. */
static bool walk(const struct virtqueue *queue, uint16_t head,
                 bool (*visit)(const struct virtqueue *queue, const struct descriptor *descriptor,
                               void *context),
                 void *context)
{
    const uint8_t *table = queue->table_host;
    unsigned size = queue->size, index = head, seen = 0;
    bool indirect = false;
    for (;;) {
        struct descriptor descriptor;
        if (index >= size || ++seen > VIRTQUEUE_PARTS_MAX)
            return false;
        memcpy(&descriptor, table + 16 * (size_t)index, sizeof descriptor);
        /* The guest may write the table meanwhile: only the copy counts. */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        descriptor = (struct descriptor){le64toh(descriptor.address), le32toh(descriptor.length),
                                         le16toh(descriptor.flags), le16toh(descriptor.next)};
        if (descriptor.flags & DESCRIPTOR_INDIRECT) {
            size = descriptor.length / 16;
            if (indirect || (descriptor.flags & DESCRIPTOR_NEXT) || descriptor.length % 16 ||
                size == 0 || size > VIRTQUEUE_PARTS_MAX)
                return false;
            table = guest_memory_at(queue->memory, descriptor.address, descriptor.length);
            if (!table)
                return false;
            indirect = true;
            index = 0;
            continue;
        }
        if (!visit(queue, &descriptor, context))
            return false;
        if (!(descriptor.flags & DESCRIPTOR_NEXT))
            return true;
        index = descriptor.next;
    }
}

static bool gather(const struct virtqueue *queue, const struct descriptor *descriptor,
                   void *context)
{
    struct virtqueue_chain *chain = context;
    unsigned count = chain->readable_count + chain->writable_count, before = count;
    bool writable = descriptor->flags & DESCRIPTOR_WRITE;
    if (!writable && chain->writable_count > 0)
        return false;
    if (!add_part(queue, descriptor, chain->parts, &count))
        return false;
    if (writable) {
        chain->writable_count += count - before;
        chain->writable_size += descriptor->length;
    } else {
        chain->readable_count += count - before;
        chain->readable_size += descriptor->length;
    }
    return true;
}

static uint16_t count_waiting(const struct virtqueue *queue)
{
    return (uint16_t)(load(available_word(queue, 1)) - queue->next_available);
}

bool virtqueue_has_request(const struct virtqueue *queue)
{
    return queue->ready && count_waiting(queue) > 0;
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    if (!queue->ready)
        return 0;
    uint16_t waiting = count_waiting(queue);
    if (waiting == 0 && queue->event_index && !queue->is_quiet) {
        /* A driver notifies of the request of this number alone (2.7.10), and may have just added
         * it. */
        store(available_event(queue), queue->next_available);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        waiting = count_waiting(queue);
    }
    if (waiting == 0)
        return 0;
    if (waiting > queue->size)
        return -1;
    chain->head = load(available_word(queue, 2u + queue->next_available % queue->size));
    chain->readable_count = chain->writable_count = 0;
    chain->readable_size = chain->writable_size = 0;
    if (!walk(queue, chain->head, gather, chain))
        return -1;
    chain->readable = chain->parts;
    chain->writable = chain->parts + chain->readable_count;
    queue->next_available++;
    return 1;
}

void virtqueue_unpop(struct virtqueue *queue)
{
    queue->next_available--;
}

static bool note_written(const struct virtqueue *queue, const struct descriptor *descriptor,
                         void *context)
{
    (void)context;
    if (descriptor->flags & DESCRIPTOR_WRITE)
        guest_memory_note_write(queue->memory, descriptor->address, descriptor->length);
    return true;
}

void virtqueue_push_all(struct virtqueue *queue, const struct virtqueue_used *used, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t element[2] = {htole32(used[i].head), htole32(used[i].written)};
        unsigned slot = (queue->next_used + i) % queue->size;
        memcpy(queue->used_host + 4 + 8 * slot, element, sizeof element);
        if (guest_memory_is_watched(queue->memory))
            walk(queue, used[i].head, note_written, NULL);
    }
    queue->next_used = (uint16_t)(queue->next_used + count);
    store(used_word(queue, 1), queue->next_used);
    if (guest_memory_is_watched(queue->memory))
        guest_memory_note_write(queue->memory, queue->used, 6 + 8ull * queue->size);
}

void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
    virtqueue_push_all(queue, &(struct virtqueue_used){head, written}, 1);
}

bool virtqueue_should_interrupt(struct virtqueue *queue)
{
    uint16_t before = queue->signalled_used, now = queue->next_used;
    bool valid = queue->signalled_valid;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was used is seen before the wish is read */
    if (!queue->event_index)
        return !(load(available_word(queue, 0)) & AVAILABLE_NO_INTERRUPT);
    queue->signalled_used = now;
    queue->signalled_valid = true;
    /* Whether the event lies in what was used since the last look (2.7.10). */
    return !valid || (uint16_t)(now - load(used_event(queue)) - 1) < (uint16_t)(now - before);
}

bool virtqueue_want_notifications(struct virtqueue *queue, bool on)
{
    if (!queue->ready)
        return false;
    queue->is_quiet = !on;
    if (!queue->event_index)
        store(used_word(queue, 0), on ? 0 : USED_NO_NOTIFY);
    else if (on)
        store(available_event(queue), queue->next_available);
    if (!on)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return virtqueue_has_request(queue);
}

/* Walks the bytes of parts from offset on: copies between them and bytes. */
static uint64_t copy(const struct iovec *parts, unsigned count, uint64_t offset, uint8_t *to_bytes,
                     const uint8_t *from_bytes, uint64_t size)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < count && done < size; i++) {
        if (offset >= parts[i].iov_len) {
            offset -= parts[i].iov_len;
            continue;
        }
        uint64_t piece = parts[i].iov_len - offset;
        piece = piece < size - done ? piece : size - done;
        uint8_t *host = (uint8_t *)parts[i].iov_base + offset;
        if (to_bytes)
            memcpy(to_bytes + done, host, piece);
        else
            memcpy(host, from_bytes + done, piece);
        done += piece;
        offset = 0;
    }
    return done;
}

uint64_t virtqueue_copy_from(const struct iovec *parts, unsigned count, uint64_t offset,
                             void *bytes, uint64_t size)
{
    return copy(parts, count, offset, bytes, NULL, size);
}

uint64_t virtqueue_copy_to(const struct iovec *parts, unsigned count, uint64_t offset,
                           const void *bytes, uint64_t size)
{
    return copy(parts, count, offset, NULL, bytes, size);
}
