/* A disk's layout as JSON, and back. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/image/disk_layout.h"

#define EXTENTS_MAX (DISK_PARTITIONS_MAX + 16)
#define BYTES_MAX (64u << 10) /* of one extent: more than any table has */
#define SIZE_LIMIT ((json_int_t)1 << 61)

static char *to_digits(const unsigned char *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    char *text = memory_allocate(2 * length + 1, 1);
    for (size_t i = 0; i < length; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return text;
}

static int read_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* length bytes of exactly so many digits; NULL if they aren't. */
static unsigned char *from_digits(const char *text, size_t length)
{
    if (strlen(text) != 2 * length)
        return NULL;
    unsigned char *bytes = memory_allocate(length, 1);
    for (size_t i = 0; i < length; i++) {
        int high = read_digit(text[2 * i]), low = read_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            free(bytes);
            return NULL;
        }
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return bytes;
}

json_t *disk_layout_describe(const struct disk_layout *layout)
{
    json_t *extents = json_array();
    for (size_t i = 0; i < layout->count; i++) {
        const struct disk_extent *extent = &layout->extents[i];
        char *digits = extent->path ? NULL : to_digits(extent->bytes, extent->length);
        json_array_append_new(
            extents, json_pack("{s:I, s:I, s:s}", "offset", (json_int_t)extent->offset, "length",
                               (json_int_t)extent->length, extent->path ? "path" : "bytes",
                               extent->path ? extent->path : digits));
        free(digits);
    }
    return json_pack("{s:I, s:o}", "size", (json_int_t)layout->size, "extents", extents);
}

static int parse_extent(struct disk_layout *layout, const json_t *description, struct error *err)
{
    struct disk_extent *extent = &layout->extents[layout->count];
    json_t *offset = json_object_get(description, "offset");
    json_t *length = json_object_get(description, "length");
    const char *path = json_string_value(json_object_get(description, "path"));
    const char *bytes = json_string_value(json_object_get(description, "bytes"));
    uint64_t end = 0;
    if (layout->count > 0)
        end = extent[-1].offset + extent[-1].length;
    *extent = (struct disk_extent){.offset = (uint64_t)json_integer_value(offset),
                                   .length = (uint64_t)json_integer_value(length)};
    if (!json_is_integer(offset) || !json_is_integer(length) || json_integer_value(offset) < 0 ||
        json_integer_value(length) <= 0 || extent->offset < end || extent->offset > layout->size ||
        extent->length > layout->size - extent->offset)
        return error_set(err, 0, "extent %zu isn't within the disk, behind the one before it",
                         layout->count);
    if (!path == !bytes)
        return error_set(err, 0, "extent %zu needs either path or bytes", layout->count);
    if (path && *path != '/')
        return error_set(err, 0, "extent %zu: '%.200s' isn't an absolute path", layout->count,
                         path);
    if (bytes &&
        (extent->length > BYTES_MAX || !(extent->bytes = from_digits(bytes, extent->length))))
        return error_set(err, 0, "extent %zu: these aren't its bytes in hexadecimal digits",
                         layout->count);
    extent->path = path ? memory_copy_string(path) : NULL;
    layout->count++;
    return 0;
}

int disk_layout_parse(struct disk_layout *layout, const json_t *description, struct error *err)
{
    json_t *size = json_object_get(description, "size");
    json_t *extents = json_object_get(description, "extents"), *extent;
    size_t i;
    *layout = (struct disk_layout){0};
    if (!json_is_integer(size) || json_integer_value(size) <= 0 ||
        json_integer_value(size) > SIZE_LIMIT || json_integer_value(size) % DISK_SECTOR)
        return error_set(err, 0, "a disk's size must be a multiple of %d", DISK_SECTOR);
    if (!json_is_array(extents) || json_array_size(extents) > EXTENTS_MAX)
        return error_set(err, 0, "a disk has an array of at most %d extents", EXTENTS_MAX);
    layout->size = (uint64_t)json_integer_value(size);
    layout->extents = memory_allocate(json_array_size(extents) + 1, sizeof *layout->extents);
    json_array_foreach(extents, i, extent)
    {
        if (parse_extent(layout, extent, err) < 0) {
            disk_layout_release(layout);
            return -1;
        }
    }
    return 0;
}
