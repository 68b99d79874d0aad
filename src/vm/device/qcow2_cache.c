#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

void qcow2_cache_open(struct qcow2_cache *cache, unsigned count)
{
    *cache = (struct qcow2_cache){.count = count,
                                  .tables = memory_allocate(count, sizeof *cache->tables)};
}

void qcow2_cache_close(struct qcow2_cache *cache)
{
    for (unsigned i = 0; i < cache->count; i++)
        free(cache->tables[i].bytes);
    free(cache->tables);
    *cache = (struct qcow2_cache){0};
}

static struct qcow2_table *find(struct qcow2_cache *cache, uint64_t offset)
{
    for (unsigned i = 0; i < cache->count; i++) {
        if (cache->tables[i].offset == offset)
            return &cache->tables[i];
    }
    return NULL;
}

/* The table that wasn't used for longest, free for another one. */
static int make_room(struct qcow2 *image, struct qcow2_cache *cache, struct qcow2_table **table)
{
    struct qcow2_table *oldest = &cache->tables[0];
    for (unsigned i = 1; i < cache->count; i++) {
        if (cache->tables[i].used < oldest->used)
            oldest = &cache->tables[i];
    }
    if (oldest->offset && oldest->dirty) {
        /* Never alone: others may have to be on the disk before it. */
        int error =
            cache == &image->l2_cache ? qcow2_write_tables(image) : qcow2_write_refcounts(image);
        if (error)
            return error;
    }
    if (!oldest->bytes)
        oldest->bytes = memory_allocate(image->cluster_size, 1);
    oldest->offset = 0;
    oldest->used = ++cache->ticks;
    *table = oldest;
    return 0;
}

int qcow2_cache_get(struct qcow2 *image, struct qcow2_cache *cache, uint64_t offset,
                    struct qcow2_table **table)
{
    *table = find(cache, offset);
    if (*table) {
        (*table)->used = ++cache->ticks;
        return 0;
    }
    int error = make_room(image, cache, table);
    if (error)
        return error;
    error = disk_file_read(image->fd, (*table)->bytes, image->cluster_size, offset);
    if (error)
        return error;
    (*table)->offset = offset;
    (*table)->dirty = false;
    return 0;
}

int qcow2_cache_add(struct qcow2 *image, struct qcow2_cache *cache, uint64_t offset,
                    struct qcow2_table **table)
{
    qcow2_cache_forget(cache, offset);
    int error = make_room(image, cache, table);
    if (error)
        return error;
    memset((*table)->bytes, 0, image->cluster_size);
    (*table)->offset = offset;
    (*table)->dirty = true;
    return 0;
}

void qcow2_cache_forget(struct qcow2_cache *cache, uint64_t offset)
{
    struct qcow2_table *table = find(cache, offset);
    if (table) {
        table->offset = 0;
        table->dirty = false;
        table->used = 0;
    }
}

bool qcow2_cache_has(const struct qcow2_cache *cache, uint64_t offset)
{
    for (unsigned i = 0; i < cache->count; i++) {
        if (cache->tables[i].offset == offset)
            return true;
    }
    return false;
}

bool qcow2_cache_is_dirty(const struct qcow2_cache *cache)
{
    for (unsigned i = 0; i < cache->count; i++) {
        if (cache->tables[i].offset && cache->tables[i].dirty)
            return true;
    }
    return false;
}

int qcow2_cache_write(struct qcow2 *image, struct qcow2_cache *cache)
{
    for (unsigned i = 0; i < cache->count; i++) {
        struct qcow2_table *table = &cache->tables[i];
        if (!table->offset || !table->dirty)
            continue;
        int error = disk_file_write(image->fd, table->bytes, image->cluster_size, table->offset);
        if (error)
            return error;
        table->dirty = false;
    }
    return 0;
}
