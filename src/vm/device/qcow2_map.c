/* From clusters of the guest to clusters of the file. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vm/device/qcow2_image.h"

/* The L2 table for a cluster; *table is NULL if there is none. */
static int find_table(struct qcow2 *image, uint64_t cluster, struct qcow2_table **table)
{
    uint64_t index = cluster / image->l2_entries;
    *table = NULL;
    if (index >= image->l1_count)
        return EIO;
    uint64_t offset = image->l1[index] & QCOW2_OFFSET_MASK;
    if (offset == 0)
        return 0;
    if (offset % image->cluster_size)
        return EIO;
    return qcow2_cache_get(image, &image->l2_cache, offset, table);
}

int qcow2_map(struct qcow2 *image, uint64_t cluster, struct qcow2_mapping *mapping)
{
    struct qcow2_table *table;
    uint64_t entry;
    *mapping = (struct qcow2_mapping){.kind = QCOW2_UNALLOCATED};
    int error = find_table(image, cluster, &table);
    if (error || !table)
        return error;
    memcpy(&entry, table->bytes + cluster % image->l2_entries * sizeof entry, sizeof entry);
    entry = be64toh(entry);
    mapping->entry = entry;
    if (entry & QCOW2_COMPRESSED) {
        mapping->kind = QCOW2_PACKED;
        return 0;
    }
    mapping->host = entry & QCOW2_OFFSET_MASK;
    mapping->copied = mapping->host && (entry & QCOW2_COPIED);
    if (mapping->host % image->cluster_size)
        return EIO;
    if (image->version >= 3 && (entry & QCOW2_ZERO))
        mapping->kind = QCOW2_ZEROED;
    else if (mapping->host)
        mapping->kind = QCOW2_DATA;
    return 0;
}

/* Gives the cluster an L2 table that is this image's alone: a new one, or a copy of one that a
 * snapshot shares. */
static int own_table(struct qcow2 *image, uint64_t cluster, struct qcow2_table **table)
{
    uint64_t index = cluster / image->l2_entries, offset;
    struct qcow2_table *old;
    bool fresh;
    int error = find_table(image, cluster, &old);
    *table = old;
    if (error || (old && (image->l1[index] & QCOW2_COPIED)))
        return error;
    if ((error = qcow2_allocate(image, &offset, &fresh)))
        return error;
    error = find_table(image, cluster, &old); /* allocating may have used the cache */
    if (error || (error = qcow2_cache_add(image, &image->l2_cache, offset, table))) {
        qcow2_free_later(image, offset, image->cluster_size, false);
        return error;
    }
    if (old) {
        memcpy((*table)->bytes, old->bytes, image->cluster_size);
        qcow2_free_later(image, image->l1[index] & QCOW2_OFFSET_MASK, image->cluster_size, false);
    }
    image->l1[index] = offset | QCOW2_COPIED;
    if (image->l1_dirty_first == image->l1_dirty_end) {
        image->l1_dirty_first = (uint32_t)index;
        image->l1_dirty_end = (uint32_t)index + 1;
    }
    if (index < image->l1_dirty_first)
        image->l1_dirty_first = (uint32_t)index;
    if (index >= image->l1_dirty_end)
        image->l1_dirty_end = (uint32_t)index + 1;
    return 0;
}

int qcow2_set_entry(struct qcow2 *image, uint64_t cluster, uint64_t entry)
{
    struct qcow2_table *table;
    int error = own_table(image, cluster, &table);
    if (error)
        return error;
    entry = htobe64(entry);
    memcpy(table->bytes + cluster % image->l2_entries * sizeof entry, &entry, sizeof entry);
    table->dirty = true;
    return 0;
}

void qcow2_release(struct qcow2 *image, const struct qcow2_mapping *mapping, bool punch)
{
    uint64_t offset = mapping->host, size = image->cluster_size;
    if (mapping->kind == QCOW2_PACKED)
        qcow2_compressed_range(image, mapping->entry, &offset, &size);
    if (offset)
        qcow2_free_later(image, offset, size, punch && mapping->kind != QCOW2_PACKED);
}
