#include "vm/board/bus.h"

#include <string.h>

/* How many ranges start at or below address. */
static unsigned count_below(const struct bus *bus, uint64_t address)
{
    unsigned low = 0, high = bus->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (bus->ranges[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct bus_operations *operations,
            void *device, struct error *err)
{
    unsigned at = count_below(bus, base);
    if (size == 0 || base + size - 1 < base)
        return error_set(err, 0, "no device can have %llu bytes of registers at %#llx",
                         (unsigned long long)size, (unsigned long long)base);
    if ((at > 0 && base - bus->ranges[at - 1].base < bus->ranges[at - 1].size) ||
        (at < bus->count && bus->ranges[at].base - base < size))
        return error_set(err, 0, "registers at %#llx overlap another device's",
                         (unsigned long long)base);
    if (bus->count == BUS_RANGES_MAX)
        return error_set(err, 0, "the board has no room for more registers");
    memmove(bus->ranges + at + 1, bus->ranges + at, (bus->count - at) * sizeof *bus->ranges);
    bus->ranges[at] = (struct bus_range){base, size, operations, device};
    bus->count++;
    return 0;
}

void bus_remove(struct bus *bus, uint64_t base, void *device)
{
    unsigned at = count_below(bus, base);
    if (at == 0 || bus->ranges[at - 1].base != base || bus->ranges[at - 1].device != device)
        return;
    bus->count--;
    memmove(bus->ranges + at - 1, bus->ranges + at, (bus->count - at + 1) * sizeof *bus->ranges);
}

/* The range that holds all size bytes at address, or NULL. */
static const struct bus_range *find(const struct bus *bus, uint64_t address, unsigned size)
{
    unsigned at = count_below(bus, address);
    if (at == 0)
        return NULL;
    const struct bus_range *range = &bus->ranges[at - 1];
    uint64_t offset = address - range->base;
    return offset < range->size && size <= range->size - offset ? range : NULL;
}

uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size)
{
    const struct bus_range *range = find(bus, address, size);
    uint64_t all_ones = size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
    if (!range)
        return all_ones;
    return range->operations->read(range->device, address - range->base, size) & all_ones;
}

void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_range *range = find(bus, address, size);
    if (range)
        range->operations->write(range->device, address - range->base, size, value);
}
