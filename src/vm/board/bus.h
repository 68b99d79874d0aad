/* The board's two address spaces, ports and memory-mapped registers, and who answers in them. All
 * of it under the board's lock (vm.h). */
#ifndef HULL_VM_BUS_H
#define HULL_VM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* A device's registers: offset counts from the start of its range, size is 1, 2, 4 or 8 bytes and
 * lies within the range. Called under the board's lock. */
struct bus_operations {
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct bus_range {
    uint64_t base, size;
    const struct bus_operations *operations;
    void *device;
};

#define BUS_RANGES_MAX 256

struct bus {
    struct bus_range ranges[BUS_RANGES_MAX]; /* sorted by base, disjoint */
    unsigned count;
};

/* Adds a range; fails if it overlaps another one, or there are too many. */
int bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct bus_operations *operations,
            void *device, struct error *err);
/* Removes the range that starts at base, if it is device's. */
void bus_remove(struct bus *bus, uint64_t base, void *device);

/* What a guest reads where nobody answers is all ones; what it writes there goes nowhere. */
uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size);
void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value);

#endif
