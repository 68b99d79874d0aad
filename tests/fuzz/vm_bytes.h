/* What fuzz targets read their decisions from: bytes, and zeros behind them. */
#ifndef HULL_FUZZ_VM_BYTES_H
#define HULL_FUZZ_VM_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *next;
    size_t left;
};

static inline uint64_t bytes_take(struct bytes *bytes, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count && bytes->left > 0; i++, bytes->left--)
        value |= (uint64_t)*bytes->next++ << 8 * i;
    return value;
}

#endif
