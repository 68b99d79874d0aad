/* How often each cluster of the file is used. Counts only go up from 0 to 1 here (a cluster is
 * allocated), and down by one (something no longer refers to it). */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

#define SCAN_MAX (64ull << 20)     /* clusters that are looked at for one that is free */
#define TABLE_SIZE_MAX (8u << 20)  /* bytes of the refcount table, as in QEMU */
#define FILE_SIZE_MAX (1ull << 55) /* what an L2 entry can refer to */

static uint64_t entries_of_block(const struct qcow2 *image)
{
    return (image->cluster_size * 8) >> image->refcount_order;
}

static uint64_t get_entry(const struct qcow2 *image, const uint8_t *bytes, uint64_t index)
{
    unsigned order = image->refcount_order;
    uint64_t value = 0;
    if (order < 3) {
        unsigned shift = (unsigned)(index << order) & 7;
        return (bytes[(index << order) / 8] >> shift) & ((1u << (1u << order)) - 1);
    }
    size_t size = (size_t)1 << (order - 3);
    memcpy((uint8_t *)&value + sizeof value - size, bytes + index * size, size);
    return be64toh(value);
}

static void set_entry(const struct qcow2 *image, uint8_t *bytes, uint64_t index, uint64_t value)
{
    unsigned order = image->refcount_order;
    if (order < 3) {
        unsigned shift = (unsigned)(index << order) & 7, mask = (1u << (1u << order)) - 1;
        uint8_t *byte = &bytes[(index << order) / 8];
        *byte = (uint8_t)((*byte & ~(mask << shift)) | (((unsigned)value & mask) << shift));
        return;
    }
    size_t size = (size_t)1 << (order - 3);
    value = htobe64(value);
    memcpy(bytes + index * size, (uint8_t *)&value + sizeof value - size, size);
}

bool qcow2_is_metadata(const struct qcow2 *image, uint64_t offset)
{
    uint64_t end = offset + image->cluster_size;
    uint64_t refcount_size = image->refcount_table_count * sizeof *image->refcount_table;
    if (offset < image->cluster_size ||
        (offset < image->l1_offset + image->l1_count * sizeof *image->l1 &&
         end > image->l1_offset) ||
        (offset < image->refcount_table_offset + refcount_size &&
         end > image->refcount_table_offset))
        return true;
    for (uint32_t i = 0; i < image->l1_count; i++) {
        if ((image->l1[i] & QCOW2_OFFSET_MASK) == offset)
            return true;
    }
    for (uint32_t i = 0; i < image->refcount_table_count; i++) {
        if ((image->refcount_table[i] & QCOW2_OFFSET_MASK) == offset)
            return true;
    }
    return false;
}

/* The block that counts a cluster; *table is NULL if there is none. */
static int find_block(struct qcow2 *image, uint64_t cluster, struct qcow2_table **table)
{
    uint64_t index = cluster / entries_of_block(image);
    *table = NULL;
    if (index >= image->refcount_table_count)
        return 0;
    uint64_t offset = image->refcount_table[index] & QCOW2_OFFSET_MASK;
    if (offset == 0)
        return 0;
    if (offset % image->cluster_size)
        return EIO;
    return qcow2_cache_get(image, &image->refcount_cache, offset, table);
}

int qcow2_get_refcount(struct qcow2 *image, uint64_t cluster, uint64_t *count)
{
    struct qcow2_table *table;
    int error = find_block(image, cluster, &table);
    *count =
        table && !error ? get_entry(image, table->bytes, cluster % entries_of_block(image)) : 0;
    return error;
}

static void note_written(struct qcow2 *image, uint64_t offset)
{
    if (offset + image->cluster_size > image->file_end)
        image->file_end = offset + image->cluster_size;
}

/* Adds a block for the clusters that the index-th entry of the table stands for. As nothing counts
 * those yet all of them are free: it takes the first that no table is in, and counts itself. */
static int add_block(struct qcow2 *image, uint64_t index)
{
    struct qcow2_table *table;
    uint64_t first = index * entries_of_block(image), place = 0;
    while (place < entries_of_block(image) &&
           qcow2_is_metadata(image, (first + place) << image->cluster_bits))
        place++;
    if (place == entries_of_block(image))
        return EIO;
    uint64_t offset = (first + place) << image->cluster_bits;
    int error = qcow2_cache_add(image, &image->refcount_cache, offset, &table);
    if (error)
        return error;
    set_entry(image, table->bytes, place, 1);
    note_written(image, offset);
    image->refcount_table[index] = offset;
    if (image->refcount_dirty_first == image->refcount_dirty_end) {
        image->refcount_dirty_first = (uint32_t)index;
        image->refcount_dirty_end = (uint32_t)index + 1;
    }
    if (index < image->refcount_dirty_first)
        image->refcount_dirty_first = (uint32_t)index;
    if (index >= image->refcount_dirty_end)
        image->refcount_dirty_end = (uint32_t)index + 1;
    return 0;
}

static int set_refcount(struct qcow2 *image, uint64_t cluster, uint64_t count)
{
    struct qcow2_table *table;
    int error = find_block(image, cluster, &table);
    if (error || !table)
        return error ? error : EIO;
    set_entry(image, table->bytes, cluster % entries_of_block(image), count);
    table->dirty = true;
    return 0;
}

/* Writes the new table, and then where it is, in one sector of the header. */
static int switch_table(struct qcow2 *image)
{
    uint64_t bytes = image->refcount_table_count * sizeof(uint64_t);
    uint8_t place[12];
    uint64_t offset = htobe64(image->refcount_table_offset);
    uint32_t clusters = htobe32((uint32_t)(bytes >> image->cluster_bits));
    image->refcount_dirty_first = 0;
    image->refcount_dirty_end = image->refcount_table_count;
    int error = qcow2_write_refcounts(image);
    if (error || (error = qcow2_sync(image)))
        return error;
    memcpy(place, &offset, 8);
    memcpy(place + 8, &clusters, 4);
    error = disk_file_write(image->fd, place, sizeof place, 48);
    return error ? error : qcow2_sync(image);
}

/* Makes the refcount table longer: a new one, behind all clusters that the old one stands for. */
static int grow_table(struct qcow2 *image, uint64_t index)
{
    uint64_t old_count = image->refcount_table_count, old_offset = image->refcount_table_offset;
    uint64_t first = old_count * entries_of_block(image);
    uint64_t bytes = (index + 1 + index / 2) * sizeof(uint64_t);
    bytes = (bytes + image->cluster_size - 1) & ~(image->cluster_size - 1);
    uint64_t clusters = bytes >> image->cluster_bits;
    /* The table counts itself, and the blocks for that. */
    if (bytes > TABLE_SIZE_MAX || bytes / sizeof(uint64_t) <= old_count + clusters ||
        ((first + clusters) << image->cluster_bits) > FILE_SIZE_MAX)
        return EFBIG;
    int error = qcow2_write_tables(image);
    if (error)
        return error;
    image->refcount_table =
        memory_resize(image->refcount_table, bytes / sizeof(uint64_t), sizeof(uint64_t));
    memset(image->refcount_table + old_count, 0, bytes - old_count * sizeof(uint64_t));
    image->refcount_table_count = (uint32_t)(bytes / sizeof(uint64_t));
    image->refcount_table_offset = first << image->cluster_bits;
    for (uint64_t i = 0; i < clusters && !error; i++) {
        uint64_t block = (first + i) / entries_of_block(image);
        if (!image->refcount_table[block])
            error = add_block(image, block);
        if (!error)
            error = set_refcount(image, first + i, 1);
        note_written(image, (first + i) << image->cluster_bits);
    }
    if (!error)
        error = switch_table(image);
    if (error)
        image->failed = error; /* which of both tables is valid isn't known */
    else
        qcow2_free_later(image, old_offset, old_count * sizeof(uint64_t), false);
    return error;
}

/* Takes a cluster if it is free: 0, and *taken says whether. */
static int try_cluster(struct qcow2 *image, uint64_t cluster, bool *taken)
{
    uint64_t count, index = cluster / entries_of_block(image);
    int error = 0;
    *taken = false;
    if (index >= image->refcount_table_count)
        error = grow_table(image, index);
    if (!error && !(image->refcount_table[index] & QCOW2_OFFSET_MASK))
        error = add_block(image, index);
    if (error || (error = qcow2_get_refcount(image, cluster, &count)))
        return error;
    if (count > 0 || qcow2_is_metadata(image, cluster << image->cluster_bits))
        return 0;
    *taken = true;
    return set_refcount(image, cluster, 1);
}

int qcow2_allocate(struct qcow2 *image, uint64_t *offset, bool *fresh)
{
    if (image->failed)
        return image->failed;
    for (uint64_t tries = 0; tries < SCAN_MAX; tries++) {
        uint64_t cluster = image->next_free;
        bool taken;
        if ((cluster + 1) << image->cluster_bits > FILE_SIZE_MAX)
            return EFBIG;
        int error = try_cluster(image, cluster, &taken);
        if (error)
            return error;
        image->next_free = cluster + 1;
        if (!taken)
            continue;
        *offset = cluster << image->cluster_bits;
        *fresh = *offset >= image->file_end;
        note_written(image, *offset);
        return 0;
    }
    return ENOSPC;
}

void qcow2_free_later(struct qcow2 *image, uint64_t offset, uint64_t size, bool punch)
{
    uint64_t first = offset >> image->cluster_bits;
    uint64_t count = ((offset + size - 1) >> image->cluster_bits) - first + 1;
    struct qcow2_free *last = image->free_count ? &image->frees[image->free_count - 1] : NULL;
    if (last && last->punch == punch && last->first + last->count == first) {
        last->count += count;
        return;
    }
    if (image->free_count == image->free_room) {
        image->free_room = image->free_room ? image->free_room * 2 : 64;
        image->frees = memory_resize(image->frees, image->free_room, sizeof *image->frees);
    }
    image->frees[image->free_count++] = (struct qcow2_free){first, count, punch};
}

/* Counts down; punches a hole for a run of clusters that are free now. An image may have called the
 * place of a table a guest's cluster: that isn't touched. */
static int free_run(struct qcow2 *image, const struct qcow2_free *run)
{
    uint64_t hole = run->first, end = run->first + run->count;
    for (uint64_t cluster = run->first; cluster <= end; cluster++) {
        uint64_t count = 0;
        int error = 0;
        bool freed = false;
        if (cluster < end && !qcow2_is_metadata(image, cluster << image->cluster_bits)) {
            error = qcow2_get_refcount(image, cluster, &count);
            if (!error && count > 0) /* 0: an image that was damaged before */
                error = set_refcount(image, cluster, count - 1);
            freed = count == 1 && !error;
        }
        if (freed && cluster < image->next_free)
            image->next_free = cluster;
        if (freed)
            continue;
        if (run->punch && hole < cluster)
            disk_file_discard(image->fd, hole << image->cluster_bits,
                              (cluster - hole) << image->cluster_bits);
        hole = cluster + 1;
        if (error)
            return error;
    }
    return 0;
}

int qcow2_free_now(struct qcow2 *image)
{
    int error = 0;
    /* What fails stays counted, which only costs room. */
    for (size_t i = 0; i < image->free_count && !error; i++)
        error = free_run(image, &image->frees[i]);
    image->free_count = 0;
    return error;
}
