#include "vm/board/aml.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* 20.3 */
enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_EXTENDED = 0x5b,
    OP_ARG0 = 0x68,
    OP_NOTIFY = 0x86,
    OP_LEQUAL = 0x93,
    OP_IF = 0xa0,
    EXTENDED_DEVICE = 0x82,
};

/* Package lengths are always written in their four-byte form: two bits of count, 28 of length. */
#define LENGTH_SIZE 4

static void put(struct aml *aml, const void *bytes, size_t size)
{
    if (aml->size + size > aml->room) {
        aml->room = (aml->size + size) * 2;
        aml->bytes = memory_resize(aml->bytes, aml->room, 1);
    }
    memcpy(aml->bytes + aml->size, bytes, size);
    aml->size += size;
}

static void put_byte(struct aml *aml, uint8_t byte)
{
    put(aml, &byte, 1);
}

static void put_name(struct aml *aml, const char *name)
{
    put(aml, name, strlen(name));
}

static void put_integer(struct aml *aml, uint64_t value)
{
    if (value <= 1) {
        put_byte(aml, (uint8_t)value);
        return;
    }
    unsigned size = value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : value <= UINT32_MAX ? 4 : 8;
    put_byte(aml, size == 1 ? OP_BYTE : size == 2 ? OP_WORD : size == 4 ? OP_DWORD : OP_QWORD);
    put(aml, &value, size);
}

static void open_package(struct aml *aml)
{
    static const uint8_t later[LENGTH_SIZE];
    aml->open[aml->depth++] = aml->size;
    put(aml, later, sizeof later);
}

void aml_close(struct aml *aml)
{
    size_t start = aml->open[--aml->depth], length = aml->size - start;
    uint8_t *at = aml->bytes + start;
    at[0] = (uint8_t)(3 << 6 | (length & 15));
    at[1] = (uint8_t)(length >> 4);
    at[2] = (uint8_t)(length >> 12);
    at[3] = (uint8_t)(length >> 20);
}

void aml_release(struct aml *aml)
{
    free(aml->bytes);
}

void aml_open_scope(struct aml *aml, const char *path)
{
    put_byte(aml, OP_SCOPE);
    open_package(aml);
    put_name(aml, path);
}

void aml_open_device(struct aml *aml, const char *name)
{
    put_byte(aml, OP_EXTENDED);
    put_byte(aml, EXTENDED_DEVICE);
    open_package(aml);
    put_name(aml, name);
}

void aml_open_method(struct aml *aml, const char *name, unsigned arguments)
{
    put_byte(aml, OP_METHOD);
    open_package(aml);
    put_name(aml, name);
    put_byte(aml, (uint8_t)(arguments | 8)); /* serialized */
}

static void begin_name(struct aml *aml, const char *name)
{
    put_byte(aml, OP_NAME);
    put_name(aml, name);
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
    begin_name(aml, name);
    put_integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *name, const char *value)
{
    begin_name(aml, name);
    put_byte(aml, OP_STRING);
    put(aml, value, strlen(value) + 1);
}

/* 19.3.4: three letters of five bits and four hexadecimal digits, the first letter first. */
void aml_name_eisa(struct aml *aml, const char *name, const char *id)
{
    uint32_t digits = (uint32_t)strtoul(id + 3, NULL, 16);
    uint8_t packed[5] = {OP_DWORD, (uint8_t)((id[0] - 0x40) << 2 | (id[1] - 0x40) >> 3),
                         (uint8_t)((id[1] - 0x40) << 5 | (id[2] - 0x40)), (uint8_t)(digits >> 8),
                         (uint8_t)digits};
    begin_name(aml, name);
    put(aml, packed, sizeof packed);
}

void aml_name_package(struct aml *aml, const char *name, const uint64_t *values, unsigned count)
{
    begin_name(aml, name);
    put_byte(aml, OP_PACKAGE);
    open_package(aml);
    put_byte(aml, (uint8_t)count);
    for (unsigned i = 0; i < count; i++)
        put_integer(aml, values[i]);
    aml_close(aml);
}

void aml_name_buffer(struct aml *aml, const char *name, const void *bytes, size_t size)
{
    begin_name(aml, name);
    put_byte(aml, OP_BUFFER);
    open_package(aml);
    put_integer(aml, size);
    put(aml, bytes, size);
    aml_close(aml);
}

void aml_notify_if(struct aml *aml, uint64_t value, const char *device, uint64_t code)
{
    put_byte(aml, OP_IF);
    open_package(aml);
    put_byte(aml, OP_LEQUAL);
    put_byte(aml, OP_ARG0);
    put_integer(aml, value);
    put_byte(aml, OP_NOTIFY);
    put_name(aml, device);
    put_integer(aml, code);
    aml_close(aml);
}

/* The buffer's own size is an integer in front of its bytes: always of two bytes, filled in when it
 * is closed. */
void aml_open_resources(struct aml *aml)
{
    static const uint8_t size_later[3] = {OP_WORD};
    begin_name(aml, "_CRS");
    put_byte(aml, OP_BUFFER);
    open_package(aml);
    put(aml, size_later, sizeof size_later);
}

void aml_close_resources(struct aml *aml)
{
    static const uint8_t end[2] = {0x79}; /* with checksum 0: none (6.4.2.9) */
    put(aml, end, sizeof end);
    size_t at = aml->open[aml->depth - 1] + LENGTH_SIZE + 1;
    uint16_t size = (uint16_t)(aml->size - at - 2);
    memcpy(aml->bytes + at, &size, sizeof size);
    aml_close(aml);
}

/* 6.4.2.5 */
void aml_ports(struct aml *aml, uint16_t base, uint8_t size)
{
    uint8_t low = (uint8_t)base, high = (uint8_t)(base >> 8);
    const uint8_t descriptor[] = {0x47, 1, low, high, low, high, 1, size};
    put(aml, descriptor, sizeof descriptor);
}

/* 6.4.3.4 */
void aml_memory(struct aml *aml, uint32_t base, uint32_t size)
{
    static const uint8_t head[] = {0x86, 9, 0, 1};
    put(aml, head, sizeof head);
    put(aml, &base, sizeof base);
    put(aml, &size, sizeof size);
}

/* 6.4.3.6 */
void aml_interrupt(struct aml *aml, uint32_t line, bool edge)
{
    const uint8_t head[] = {0x89, 6, 0, edge ? 3 : 1, 1}; /* consumer, active high, exclusive */
    put(aml, head, sizeof head);
    put(aml, &line, sizeof line);
}

/* 6.4.3.5.3 and 6.4.3.5.1: what a bridge passes on, fixed at both ends. */
static void put_word_window(struct aml *aml, uint8_t type, uint8_t flags, uint16_t first,
                            uint16_t last)
{
    const uint8_t head[] = {0x88, 13, 0, type, 0x0c, flags};
    const uint16_t words[] = {0, first, last, 0, (uint16_t)(last - first + 1)};
    put(aml, head, sizeof head);
    put(aml, words, sizeof words);
}

void aml_bus_range(struct aml *aml, uint16_t first, uint16_t last)
{
    put_word_window(aml, 2, 0, first, last);
}

void aml_port_window(struct aml *aml, uint16_t first, uint16_t last)
{
    put_word_window(aml, 1, 3, first, last);
}

void aml_memory_window(struct aml *aml, uint64_t first, uint64_t last)
{
    static const uint8_t head[] = {0x8a, 43, 0, 0, 0x0c, 1}; /* not cacheable, read and write */
    const uint64_t words[] = {0, first, last, 0, last - first + 1};
    put(aml, head, sizeof head);
    put(aml, words, sizeof words);
}
