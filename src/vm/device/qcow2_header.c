#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

#define L1_SIZE_MAX (32u << 20)            /* bytes; as in QEMU */
#define REFCOUNT_TABLE_SIZE_MAX (8u << 20) /* bytes; as in QEMU */
#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21
#define BACKING_NAME_MAX 1023
#define VERSION_2_HEADER_SIZE 72
#define EXTENSIONS_MAX 64

/* Incompatible features. */
#define INCOMPATIBLE_DIRTY 1u
#define INCOMPATIBLE_CORRUPT 2u
#define INCOMPATIBLE_EXTERNAL_DATA 4u
#define INCOMPATIBLE_COMPRESSION 8u
#define INCOMPATIBLE_EXTENDED_L2 16u
#define INCOMPATIBLE_KNOWN (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT | INCOMPATIBLE_COMPRESSION)

#define EXTENSION_END 0u
#define EXTENSION_BACKING_FORMAT 0xe2792acau

struct header {
    uint32_t magic, version;
    uint64_t backing_offset;
    uint32_t backing_size, cluster_bits;
    uint64_t size;
    uint32_t encryption, l1_size;
    uint64_t l1_offset, refcount_table_offset;
    uint32_t refcount_table_clusters, snapshot_count;
    uint64_t snapshots_offset;
    /* Of version 3: */
    uint64_t incompatible, compatible, autoclear;
    uint32_t refcount_order, header_size;
    uint8_t compression, padding[7];
};
_Static_assert(sizeof(struct header) == 112, "the header as it is in the file");

static int read_header(const struct qcow2 *image, struct header *header, struct error *err)
{
    *header = (struct header){0};
    int error =
        disk_file_read_parts_or_zeros(image->fd, &(struct iovec){header, sizeof *header}, 1, 0);
    if (error)
        return error_set(err, error, "can't read image %s", image->path);
    header->magic = be32toh(header->magic);
    header->version = be32toh(header->version);
    header->backing_offset = be64toh(header->backing_offset);
    header->backing_size = be32toh(header->backing_size);
    header->cluster_bits = be32toh(header->cluster_bits);
    header->size = be64toh(header->size);
    header->encryption = be32toh(header->encryption);
    header->l1_size = be32toh(header->l1_size);
    header->l1_offset = be64toh(header->l1_offset);
    header->refcount_table_offset = be64toh(header->refcount_table_offset);
    header->refcount_table_clusters = be32toh(header->refcount_table_clusters);
    header->incompatible = be64toh(header->incompatible);
    header->autoclear = be64toh(header->autoclear);
    header->refcount_order = be32toh(header->refcount_order);
    header->header_size = be32toh(header->header_size);
    if (header->magic != QCOW2_MAGIC)
        return error_set(err, 0, "%s isn't a qcow2 image", image->path);
    if (header->version != 2 && header->version != 3)
        return error_set(err, 0, "image %s is of version %u of qcow2; known are 2 and 3",
                         image->path, header->version);
    if (header->version == 2) {
        header->incompatible = header->autoclear = 0;
        header->refcount_order = 4;
        header->header_size = VERSION_2_HEADER_SIZE;
        header->compression = 0;
    } else if (header->header_size < 112) {
        header->compression = 0;
    }
    return 0;
}

static int check_features(const struct qcow2 *image, const struct header *header, struct error *err)
{
    if (header->encryption)
        return error_set(err, 0, "image %s is encrypted, which isn't supported", image->path);
    if (header->incompatible & INCOMPATIBLE_EXTERNAL_DATA)
        return error_set(err, 0, "image %s keeps its data in another file, which isn't supported",
                         image->path);
    if (header->incompatible & INCOMPATIBLE_EXTENDED_L2)
        return error_set(err, 0, "image %s has subclusters (extended_l2), which aren't supported",
                         image->path);
    if (header->incompatible & ~(uint64_t)INCOMPATIBLE_KNOWN)
        return error_set(err, 0, "image %s needs features that aren't known (%#llx)", image->path,
                         (unsigned long long)header->incompatible);
    if ((header->incompatible & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT)) && !image->read_only)
        return error_set(err, 0,
                         "image %s wasn't closed or is damaged: repair it (qemu-img check -r all), "
                         "or use it read-only",
                         image->path);
    if (header->compression > 1 ||
        (header->compression == 1) != !!(header->incompatible & INCOMPATIBLE_COMPRESSION))
        return error_set(err, 0, "image %s is compressed in a way that isn't known", image->path);
    return 0;
}

static int check_sizes(struct qcow2 *image, const struct header *header, struct error *err)
{
    if (header->cluster_bits < CLUSTER_BITS_MIN || header->cluster_bits > CLUSTER_BITS_MAX)
        return error_set(err, 0, "image %s has clusters of 2^%u bytes", image->path,
                         header->cluster_bits);
    if (header->refcount_order > 6)
        return error_set(err, 0, "image %s has refcounts of 2^%u bits", image->path,
                         header->refcount_order);
    image->version = header->version;
    image->cluster_bits = header->cluster_bits;
    image->cluster_size = 1ull << header->cluster_bits;
    image->l2_entries = image->cluster_size / sizeof(uint64_t);
    image->refcount_order = header->refcount_order;
    image->size = header->size;
    image->zstd = header->compression == 1;
    if (header->header_size < (header->version == 2 ? VERSION_2_HEADER_SIZE : 104) ||
        header->header_size > image->cluster_size || header->header_size % 8)
        return error_set(err, 0, "image %s has a header of %u bytes", image->path,
                         header->header_size);
    uint64_t span = image->cluster_size * image->l2_entries;
    uint64_t needed = header->size / span + (header->size % span > 0);
    if (header->size > INT64_MAX - span || needed > header->l1_size ||
        needed > L1_SIZE_MAX / sizeof(uint64_t))
        return error_set(err, 0, "image %s has an L1 table that is too small or large for its size",
                         image->path);
    image->l1_count = (uint32_t)needed;
    return 0;
}

/* Whether size bytes at offset are a table's place: aligned, behind the header, in the file. */
static bool is_place(const struct qcow2 *image, uint64_t offset, uint64_t size)
{
    return offset % image->cluster_size == 0 && offset >= image->cluster_size &&
           offset <= image->file_end && size <= image->file_end - offset;
}

static int read_table(struct qcow2 *image, uint64_t offset, uint32_t count, const char *name,
                      uint64_t **table, struct error *err)
{
    uint64_t size = count * sizeof **table;
    if (!is_place(image, offset, size))
        return error_set(err, 0, "image %s has its %s table where none can be", image->path, name);
    *table = memory_allocate(count + 1, sizeof **table);
    int error = disk_file_read(image->fd, *table, size, offset);
    if (error)
        return error_set(err, error, "can't read the %s table of image %s", name, image->path);
    for (uint32_t i = 0; i < count; i++)
        (*table)[i] = be64toh((*table)[i]);
    return 0;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static bool overlaps(const struct qcow2 *image, uint64_t offset, uint64_t table, uint64_t size)
{
    return offset < table + size && offset + image->cluster_size > table;
}

/* Before anything is written: no two tables are in the same place, or a guest could write one by
 * having the other one written. */
static int check_places(struct qcow2 *image, struct error *err)
{
    uint64_t l1_size = image->l1_count * sizeof(uint64_t), count = 0;
    uint64_t refcount_size = image->refcount_table_count * sizeof(uint64_t);
    scope_free uint64_t *places =
        memory_allocate((size_t)image->l1_count + image->refcount_table_count + 1, sizeof *places);
    bool sound = image->l1_offset + l1_size <= image->refcount_table_offset ||
                 image->refcount_table_offset + refcount_size <= image->l1_offset;
    for (uint32_t i = 0; i < image->l1_count; i++)
        places[count++] = image->l1[i] & QCOW2_OFFSET_MASK;
    for (uint32_t i = 0; i < image->refcount_table_count; i++)
        places[count++] = image->refcount_table[i] & QCOW2_OFFSET_MASK;
    qsort(places, count, sizeof *places, compare_offsets);
    for (uint64_t i = 0; i < count && sound; i++) {
        uint64_t place = places[i];
        if (place == 0)
            continue;
        sound = place % image->cluster_size == 0 && (i == 0 || place != places[i - 1]) &&
                !overlaps(image, place, image->l1_offset, l1_size) &&
                !overlaps(image, place, image->refcount_table_offset, refcount_size);
    }
    return sound ? 0
                 : error_set(err, 0, "image %s has tables that overlap each other: it is damaged",
                             image->path);
}

static int read_tables(struct qcow2 *image, const struct header *header, struct error *err)
{
    image->l1_offset = header->l1_offset;
    if (image->l1_count > 0 &&
        read_table(image, header->l1_offset, image->l1_count, "L1", &image->l1, err) < 0)
        return -1;
    if (image->read_only)
        return 0;
    if (header->refcount_table_clusters == 0 ||
        header->refcount_table_clusters > REFCOUNT_TABLE_SIZE_MAX >> image->cluster_bits)
        return error_set(err, 0, "image %s has a refcount table of %u clusters", image->path,
                         header->refcount_table_clusters);
    image->refcount_table_offset = header->refcount_table_offset;
    image->refcount_table_count =
        (uint32_t)((uint64_t)header->refcount_table_clusters * image->l2_entries);
    if (read_table(image, header->refcount_table_offset, image->refcount_table_count, "refcount",
                   &image->refcount_table, err) < 0)
        return -1;
    return check_places(image, err);
}

/* Looks through the header extensions for the format of the backing file. */
static int read_extensions(struct qcow2 *image, const struct header *header, char **format,
                           struct error *err)
{
    uint64_t offset = header->header_size, end = image->cluster_size;
    if (header->backing_offset && header->backing_offset < end)
        end = header->backing_offset;
    for (unsigned i = 0; i < EXTENSIONS_MAX && offset + 8 <= end; i++) {
        uint32_t extension[2];
        if (disk_file_read(image->fd, extension, sizeof extension, offset))
            return 0; /* the file is the header alone */
        uint32_t type = be32toh(extension[0]), size = be32toh(extension[1]);
        offset += sizeof extension;
        if (type == EXTENSION_END)
            return 0;
        if (size > end - offset)
            return error_set(err, 0, "image %s has a header extension that is too long",
                             image->path);
        if (type == EXTENSION_BACKING_FORMAT && !*format && size < 32) {
            *format = memory_allocate(size + 1, 1);
            if (disk_file_read(image->fd, *format, size, offset))
                return error_set(err, 0, "can't read the header of image %s", image->path);
        }
        offset += (size + 7ull) & ~7ull;
    }
    return 0;
}

static int read_backing_name(struct qcow2 *image, const struct header *header, char **name,
                             struct error *err)
{
    if (header->backing_offset == 0 || header->backing_size == 0)
        return 0;
    if (header->backing_size > BACKING_NAME_MAX || header->backing_offset > image->cluster_size ||
        header->backing_size > image->cluster_size - header->backing_offset)
        return error_set(err, 0, "image %s has the name of its backing file out of place",
                         image->path);
    *name = memory_allocate(header->backing_size + 1, 1);
    int error = disk_file_read(image->fd, *name, header->backing_size, header->backing_offset);
    if (error || strlen(*name) != header->backing_size)
        return error_set(err, error, "image %s has an unreadable name of a backing file",
                         image->path);
    return 0;
}

/* What this program doesn't keep up, such as bitmaps of what was changed, is no longer valid. */
static int clear_features(struct qcow2 *image, const struct header *header, struct error *err)
{
    uint64_t none = 0;
    if (image->read_only || header->autoclear == 0)
        return 0;
    int error = disk_file_write(image->fd, &none, sizeof none, offsetof(struct header, autoclear));
    if (error || (error = qcow2_sync(image)))
        return error_set(err, error, "can't write the header of image %s", image->path);
    return 0;
}

int qcow2_read_header(struct qcow2 *image, char **backing, char **format, struct error *err)
{
    struct header header;
    off_t end = lseek(image->fd, 0, SEEK_END);
    *backing = *format = NULL;
    if (end < 0)
        return error_set(err, errno, "can't get the size of image %s", image->path);
    image->file_end = (uint64_t)end;
    if (read_header(image, &header, err) < 0 || check_features(image, &header, err) < 0 ||
        check_sizes(image, &header, err) < 0 || read_tables(image, &header, err) < 0 ||
        read_extensions(image, &header, format, err) < 0 ||
        read_backing_name(image, &header, backing, err) < 0)
        return -1;
    return clear_features(image, &header, err);
}
