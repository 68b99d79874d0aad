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

/* Whether a cluster goes on where the one i clusters before it, of mapping first, is. */
static bool goes_on(const struct qcow2 *image, const struct qcow2_mapping *first,
                    const struct qcow2_mapping *next, uint64_t i, bool to_write)
{
    if (next->kind != first->kind || first->kind == QCOW2_PACKED)
        return false;
    if (first->kind != QCOW2_DATA)
        return true;
    return next->host == first->host + (i << image->cluster_bits) &&
           (!to_write || (next->copied && !qcow2_is_metadata(image, next->host)));
}

int qcow2_find_run(struct qcow2 *image, uint64_t offset, uint64_t size, bool to_write,
                   struct qcow2_mapping *mapping, uint64_t *run)
{
    uint64_t cluster = offset >> image->cluster_bits;
    int error = qcow2_map(image, cluster, mapping);
    *run = 0;
    if (error || (to_write && (mapping->kind != QCOW2_DATA || !mapping->copied)))
        return error;
    if (to_write && qcow2_is_metadata(image, mapping->host))
        return EIO; /* the image says that a table is the guest's */
    *run = image->cluster_size - offset % image->cluster_size;
    for (uint64_t i = 1; *run < size; i++) {
        struct qcow2_mapping next;
        if (qcow2_map(image, cluster + i, &next) || !goes_on(image, mapping, &next, i, to_write))
            break;
        *run += image->cluster_size;
    }
    *run = *run < size ? *run : size;
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
