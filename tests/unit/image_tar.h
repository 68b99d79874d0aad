/* Tar archives as an attacker writes them, header by header: what no tar program would make. */
#ifndef HULL_TESTS_UNIT_IMAGE_TAR_H
#define HULL_TESTS_UNIT_IMAGE_TAR_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/memory.h"

struct tar {
    char *bytes;
    size_t length;
};

struct tar_entry {
    const char *name;  /* ustar's field ends after 100 bytes: use tar_pax() or tar_long() */
    char type;         /* 0: a file */
    unsigned int mode; /* 0: 0644 */
    unsigned int uid, gid, major, minor;
    long long mtime;
    const char *link, *data;
    size_t length;  /* of data; 0: strlen */
    long long size; /* that the header says; 0: as long as data is */
};

static inline void tar_append(struct tar *tar, const void *bytes, size_t length)
{
    tar->bytes = memory_resize(tar->bytes, tar->length + length + 1, 1);
    memcpy(tar->bytes + tar->length, bytes, length);
    tar->length += length;
}

/* Octal where it fits, else GNU's base 256. */
static inline void tar_number(char *field, size_t width, long long value)
{
    if (value >= 0 && (width >= 22 || value < 1ll << (3 * (width - 1)))) {
        snprintf(field, width, "%0*llo", (int)width - 1, (unsigned long long)value);
        return;
    }
    for (size_t i = width; i-- > 0; value >>= 8)
        field[i] = (char)value;
    field[0] = (char)(value < 0 ? 0xff : (field[0] | 0x80));
}

static inline void tar_field(char field[100], const char *text)
{
    size_t length = strlen(text);
    memcpy(field, text, length < 100 ? length : 100);
}

static inline void tar_add(struct tar *tar, const struct tar_entry *entry)
{
    char header[512] = {0};
    size_t length = entry->length ? entry->length : entry->data ? strlen(entry->data) : 0;
    unsigned int sum = 0;
    tar_field(header, entry->name);
    tar_number(header + 100, 8, entry->mode ? entry->mode : 0644);
    tar_number(header + 108, 8, entry->uid);
    tar_number(header + 116, 8, entry->gid);
    tar_number(header + 124, 12, entry->size ? entry->size : (long long)length);
    tar_number(header + 136, 12, entry->mtime);
    memset(header + 148, ' ', 8);
    header[156] = entry->type ? entry->type : '0';
    if (entry->link)
        tar_field(header + 157, entry->link);
    memcpy(header + 257, "ustar\00000", 8);
    tar_number(header + 329, 8, entry->major);
    tar_number(header + 337, 8, entry->minor);
    for (size_t i = 0; i < sizeof header; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    tar_append(tar, header, sizeof header);
    if (length) {
        static const char padding[512];
        tar_append(tar, entry->data, length);
        tar_append(tar, padding, (512 - length % 512) % 512);
    }
}

#define TAR_ADD(tar, ...) tar_add(tar, &(struct tar_entry){__VA_ARGS__})

/* A pax header for the next entry: one record, whose value may have any bytes. */
static inline void tar_pax_bytes(struct tar *tar, const char *key, const void *value, size_t length)
{
    char digits[32];
    size_t rest = strlen(key) + length + 3, total = rest + 1;
    while (rest + (size_t)snprintf(digits, sizeof digits, "%zu", total) != total)
        total = rest + strlen(digits);
    char *record = memory_allocate(1, total + 1);
    int start = snprintf(record, total + 1, "%zu %s=", total, key);
    memcpy(record + start, value, length);
    record[total - 1] = '\n';
    TAR_ADD(tar, "pax", .type = 'x', .data = record, .length = total);
    free(record);
}

static inline void tar_pax(struct tar *tar, const char *key, const char *value)
{
    tar_pax_bytes(tar, key, value, strlen(value));
}

/* GNU's long name ('L') or long link ('K') of the next entry. */
static inline void tar_long(struct tar *tar, char type, const char *text)
{
    TAR_ADD(tar, "././@LongLink", .type = type, .data = text, .length = strlen(text) + 1);
}

static inline void tar_end(struct tar *tar)
{
    static const char zeros[1024];
    tar_append(tar, zeros, sizeof zeros);
}

static inline void tar_release(struct tar *tar)
{
    free(tar->bytes);
    *tar = (struct tar){0};
}
#define scope_tar __attribute__((cleanup(tar_release)))

/* The same bytes, compressed. */
static inline struct tar tar_gzip(const struct tar *tar)
{
    z_stream stream = {0};
    deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    size_t room = deflateBound(&stream, tar->length);
    struct tar packed = {.bytes = memory_allocate(1, room)};
    stream.next_in = (unsigned char *)tar->bytes;
    stream.avail_in = (unsigned int)tar->length;
    stream.next_out = (unsigned char *)packed.bytes;
    stream.avail_out = (unsigned int)room;
    deflate(&stream, Z_FINISH);
    packed.length = room - stream.avail_out;
    deflateEnd(&stream);
    return packed;
}

static inline struct tar tar_zstd(const struct tar *tar)
{
    size_t room = ZSTD_compressBound(tar->length);
    struct tar packed = {.bytes = memory_allocate(1, room)};
    packed.length = ZSTD_compress(packed.bytes, room, tar->bytes, tar->length, 3);
    return packed;
}

#endif
