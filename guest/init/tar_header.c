/* Headers of tar archives (POSIX.1-2001, pax interchange format): written with a pax header in
 * front only where the old one can't hold something, read as pax, ustar and GNU tar write them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "copy.h"

#define EXTENSION_LIMIT (1U << 20) /* bytes of a pax header or a long name */
#define ATTRIBUTE_LIMIT 256
#define ATTRIBUTE_PREFIX "SCHILY.xattr."

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a block");

void tar_entry_release(struct tar_entry *entry)
{
    free(entry->path);
    free(entry->link);
    for (size_t i = 0; i < entry->attribute_count; i++) {
        free(entry->attributes[i].name);
        free(entry->attributes[i].value);
    }
    free(entry->attributes);
    *entry = (struct tar_entry){0};
}

void tar_entry_add_attribute(struct tar_entry *entry, const char *name, const void *value,
                             size_t length)
{
    if (entry->attribute_count >= ATTRIBUTE_LIMIT)
        return;
    entry->attributes =
        memory_resize(entry->attributes, entry->attribute_count + 1, sizeof *entry->attributes);
    struct tar_attribute *attribute = &entry->attributes[entry->attribute_count++];
    attribute->name = memory_copy_string(name);
    attribute->value = memory_allocate(1, length + 1);
    memcpy(attribute->value, value, length);
    attribute->length = length;
}

static unsigned int sum_of(const struct header *header)
{
    const unsigned char *bytes = (const void *)header;
    const size_t from = offsetof(struct header, checksum), to = from + sizeof header->checksum;
    unsigned int sum = 0;
    for (size_t i = 0; i < sizeof *header; i++)
        sum += i >= from && i < to ? ' ' : bytes[i];
    return sum;
}

/* ---- writing ---- */

static void put_octal(char *field, size_t size, uint64_t value)
{
    field[size - 1] = '\0';
    for (size_t i = size - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
}

static uint64_t most(size_t size) /* of an octal field */
{
    return (UINT64_C(1) << (3 * (size - 1))) - 1;
}

/* "LENGTH key=value\n", where LENGTH counts itself. */
static void add_record(char **text, size_t *used, const char *key, const void *value, size_t length)
{
    size_t rest = strlen(key) + length + 3, digits = 1;
    for (size_t limit = 10; rest + digits >= limit; limit *= 10)
        digits++;
    size_t total = rest + digits;
    *text = memory_resize(*text, *used + total + 1, 1);
    int head = sprintf(*text + *used, "%zu %s=", total, key);
    memcpy(*text + *used + head, value, length);
    (*text)[*used + total - 1] = '\n';
    *used += total;
}

static void add_number(char **text, size_t *used, const char *key, uint64_t value)
{
    char number[24];
    int length = snprintf(number, sizeof number, "%llu", (unsigned long long)value);
    add_record(text, used, key, number, (size_t)length);
}

static char *make_records(const struct tar_entry *entry, size_t *used)
{
    char *text = NULL, time[48];
    if (strlen(entry->path) > sizeof((struct header *)0)->name)
        add_record(&text, used, "path", entry->path, strlen(entry->path));
    if (entry->link && strlen(entry->link) > sizeof((struct header *)0)->link)
        add_record(&text, used, "linkpath", entry->link, strlen(entry->link));
    if (entry->size > most(12))
        add_number(&text, used, "size", entry->size);
    if (entry->uid > most(8))
        add_number(&text, used, "uid", entry->uid);
    if (entry->gid > most(8))
        add_number(&text, used, "gid", entry->gid);
    if (entry->mtime.tv_nsec || entry->mtime.tv_sec < 0) {
        int length = snprintf(time, sizeof time, "%lld.%09ld", (long long)entry->mtime.tv_sec,
                              entry->mtime.tv_nsec);
        add_record(&text, used, "mtime", time, (size_t)length);
    }
    for (size_t i = 0; i < entry->attribute_count; i++) {
        scope_free char *key = memory_format(ATTRIBUTE_PREFIX "%s", entry->attributes[i].name);
        add_record(&text, used, key, entry->attributes[i].value, entry->attributes[i].length);
    }
    return text;
}

static int write_block(struct copy_output *output, const struct tar_entry *entry, struct error *err)
{
    struct header header = {.type = entry->type, .magic = "ustar", .version = {'0', '0'}};
    memcpy(header.name, entry->path, strnlen(entry->path, sizeof header.name));
    if (entry->link)
        memcpy(header.link, entry->link, strnlen(entry->link, sizeof header.link));
    put_octal(header.mode, sizeof header.mode, entry->mode);
    put_octal(header.uid, sizeof header.uid, entry->uid);
    put_octal(header.gid, sizeof header.gid, entry->gid);
    put_octal(header.size, sizeof header.size, entry->size);
    put_octal(header.mtime, sizeof header.mtime,
              entry->mtime.tv_sec > 0 ? (uint64_t)entry->mtime.tv_sec : 0);
    put_octal(header.major, sizeof header.major, entry->major);
    put_octal(header.minor, sizeof header.minor, entry->minor);
    put_octal(header.checksum, 7, sum_of(&header));
    header.checksum[7] = ' ';
    return copy_write(output, &header, sizeof header, err);
}

static int write_padding(struct copy_output *output, uint64_t size, struct error *err)
{
    static const char zeros[TAR_BLOCK];
    return copy_write(output, zeros, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, err);
}

int tar_write_header(struct copy_output *output, const struct tar_entry *entry, struct error *err)
{
    size_t used = 0;
    scope_free char *records = make_records(entry, &used);
    if (used > 0) {
        struct tar_entry extension = {
            .type = 'x', .path = (char *)"pax", .size = used, .mode = 0644};
        if (write_block(output, &extension, err) < 0 ||
            copy_write(output, records, used, err) < 0 || write_padding(output, used, err) < 0)
            return -1;
    }
    return write_block(output, entry, err);
}

/* ---- reading ---- */

/* Octal, or, with the highest bit set, a big-endian number (GNU tar). */
static uint64_t get_number(const char *field, size_t size)
{
    uint64_t value = 0;
    size_t i = 0;
    if ((unsigned char)field[0] & 0x80) {
        for (i = size > 8 ? size - 8 : 1; i < size; i++)
            value = value << 8 | (unsigned char)field[i];
        return value;
    }
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    return value;
}

static char *get_text(const char *field, size_t size)
{
    return memory_format("%.*s", (int)strnlen(field, size), field);
}

static void replace(char **slot, char *text)
{
    free(*slot);
    *slot = text;
}

/* What extension headers say about the entry that follows. */
struct extension {
    struct tar_entry entry;
    bool has_size, has_uid, has_gid, has_mtime;
};

static void take_time(struct extension *extension, const char *value)
{
    char *rest, *end;
    extension->entry.mtime.tv_sec = strtoll(value, &rest, 10);
    long nanoseconds = 0, unit = 100000000;
    if (*rest == '.') {
        for (end = rest + 1; *end >= '0' && *end <= '9' && unit > 0; end++, unit /= 10)
            nanoseconds += (*end - '0') * unit;
    }
    extension->entry.mtime.tv_nsec = nanoseconds;
    extension->has_mtime = true;
}

static void take_record(struct extension *extension, const char *key, char *value, size_t length)
{
    struct tar_entry *entry = &extension->entry;
    if (strcmp(key, "path") == 0) {
        replace(&entry->path, memory_copy_string(value));
    } else if (strcmp(key, "linkpath") == 0) {
        replace(&entry->link, memory_copy_string(value));
    } else if (strcmp(key, "size") == 0) {
        entry->size = strtoull(value, NULL, 10);
        extension->has_size = true;
    } else if (strcmp(key, "uid") == 0) {
        entry->uid = (uint32_t)strtoul(value, NULL, 10);
        extension->has_uid = true;
    } else if (strcmp(key, "gid") == 0) {
        entry->gid = (uint32_t)strtoul(value, NULL, 10);
        extension->has_gid = true;
    } else if (strcmp(key, "mtime") == 0) {
        take_time(extension, value);
    } else if (strncmp(key, ATTRIBUTE_PREFIX, strlen(ATTRIBUTE_PREFIX)) == 0) {
        tar_entry_add_attribute(entry, key + strlen(ATTRIBUTE_PREFIX), value, length);
    }
}

static int take_records(struct extension *extension, char *text, size_t size, struct error *err)
{
    while (size > 0) {
        char *rest;
        unsigned long length = strtoul(text, &rest, 10);
        char *end = text + length, *equals;
        if (length == 0 || length > size || *rest != ' ' || rest >= end || end[-1] != '\n' ||
            !(equals = memchr(rest, '=', (size_t)(end - rest))))
            return error_set(err, EINVAL, "the archive has a damaged pax header");
        *equals = end[-1] = '\0';
        take_record(extension, rest + 1, equals + 1, (size_t)(end - 1 - (equals + 1)));
        text = end;
        size -= length;
    }
    return 0;
}

static int read_extension(struct copy_input *input, char type, uint64_t size,
                          struct extension *extension, struct error *err)
{
    char padding[TAR_BLOCK];
    if (size > EXTENSION_LIMIT)
        return error_set(err, E2BIG, "the archive has a header of %llu bytes",
                         (unsigned long long)size);
    scope_free char *text = memory_allocate(1, size + 1);
    if (copy_read(input, text, size, err) < 0 ||
        copy_read(input, padding, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, err) < 0)
        return -1;
    if (type == 'L')
        replace(&extension->entry.path, memory_copy_string(text));
    else if (type == 'K')
        replace(&extension->entry.link, memory_copy_string(text));
    return type == 'x' ? take_records(extension, text, size, err) : 0;
}

static void fill_entry(struct tar_entry *entry, const struct header *header,
                       struct extension *extension)
{
    struct tar_entry *said = &extension->entry;
    *entry = *said; /* path, link and attributes, which are the entry's from here */
    *said = (struct tar_entry){0};
    entry->type = header->type == '\0' || header->type == '7' ? '0' : header->type;
    if (!entry->path && header->prefix[0] && memcmp(header->magic, "ustar", 6) == 0)
        entry->path = memory_format("%.*s/%.*s", (int)strnlen(header->prefix, 155), header->prefix,
                                    (int)strnlen(header->name, 100), header->name);
    if (!entry->path)
        entry->path = get_text(header->name, sizeof header->name);
    if (!entry->link)
        entry->link = get_text(header->link, sizeof header->link);
    if (!extension->has_size)
        entry->size = get_number(header->size, sizeof header->size);
    if (!extension->has_uid)
        entry->uid = (uint32_t)get_number(header->uid, sizeof header->uid);
    if (!extension->has_gid)
        entry->gid = (uint32_t)get_number(header->gid, sizeof header->gid);
    if (!extension->has_mtime)
        entry->mtime.tv_sec = (time_t)get_number(header->mtime, sizeof header->mtime);
    entry->mode = (mode_t)get_number(header->mode, sizeof header->mode) & 07777;
    entry->major = (unsigned int)get_number(header->major, sizeof header->major);
    entry->minor = (unsigned int)get_number(header->minor, sizeof header->minor);
}

int tar_read_header(struct copy_input *input, struct tar_entry *entry, struct error *err)
{
    static const struct header empty;
    struct extension extension = {0};
    struct header header;
    int result;
    *entry = (struct tar_entry){0};
    for (;;) {
        result = copy_read(input, &header, sizeof header, err);
        if (result < 0 || memcmp(&header, &empty, sizeof header) == 0)
            break;
        if (get_number(header.checksum, sizeof header.checksum) != sum_of(&header)) {
            result = error_set(err, EINVAL, "the archive is no tar archive, or damaged");
            break;
        }
        result = 1;
        if (!strchr("xgLK", header.type) || header.type == '\0')
            break;
        result = read_extension(input, header.type, get_number(header.size, sizeof header.size),
                                &extension, err);
        if (result < 0)
            break;
    }
    if (result == 1)
        fill_entry(entry, &header, &extension);
    tar_entry_release(&extension.entry);
    return result;
}
