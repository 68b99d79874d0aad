#include "vm/device/power.h"

#define SLEEP_ENABLE 0x20
#define SLEEP_TYPE_OFF 5

static uint64_t read_port(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return 0;
}

static void write_port(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct power_listener *listener = device;
    (void)size;
    if (offset == 0 && (value & SLEEP_ENABLE) && (value >> 2 & 7) == SLEEP_TYPE_OFF)
        listener->happened(listener, POWER_OFF);
}

const struct bus_operations power_bus_operations = {read_port, write_port};

#define PANICKED 1 /* and what a guest may do about it is its own business */
#define CRASH_LOADED 2

static uint64_t read_panic(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return PANICKED | CRASH_LOADED; /* the events that are understood */
}

static void write_panic(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct power_listener *listener = device;
    (void)offset, (void)size;
    if (value & (PANICKED | CRASH_LOADED))
        listener->happened(listener, POWER_PANIC);
}

const struct bus_operations pvpanic_bus_operations = {read_panic, write_panic};
