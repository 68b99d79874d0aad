/* Hexadecimal digits, as the protocol writes bytes and numbers. */
#ifndef HULL_VM_GDB_HEX_H
#define HULL_VM_GDB_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The digit's value, or -1. */
static inline int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* Two digits a byte, without an end; returns where they end. */
static inline char *hex_write(char *at, const void *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = ((const uint8_t *)bytes)[i];
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 15];
    }
    return at;
}

/* Reads count bytes; false if text hasn't so many pairs of digits. */
static inline bool hex_read(const char *text, void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        ((uint8_t *)bytes)[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Reads a number of 1 to 16 digits, and moves *text behind it. */
static inline bool hex_read_number(const char **text, uint64_t *number)
{
    unsigned count = 0;
    *number = 0;
    for (; hex_digit(**text) >= 0 && count <= 16; ++*text, count++)
        *number = *number << 4 | (uint64_t)hex_digit(**text);
    return count >= 1 && count <= 16;
}

#endif
