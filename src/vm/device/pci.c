#include "vm/device/pci.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/board/layout.h"

enum {
    VENDOR = 0x00,
    ID = 0x02,
    COMMAND = 0x04,
    STATUS = 0x06,
    REVISION = 0x08,
    BAR0 = 0x10,
    BAR1 = 0x14,
    SUBSYSTEM_VENDOR = 0x2c,
    SUBSYSTEM = 0x2e,
    CAPABILITIES = 0x34,
    INTERRUPT_LINE = 0x3c,
    HEADER_END = 0x40,
};
#define COMMAND_MEMORY 2
#define COMMAND_MASTER 4
#define COMMAND_NO_INTX 0x400
#define STATUS_CAPABILITIES 0x10
#define BAR_64 4

#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_ID 0x0008
#define CLASS_HOST_BRIDGE 0x060000

#define ADDRESS_ENABLE 0x80000000u

struct pci_bus {
    struct bus *ports, *memory;
    struct pci_device *devices[PCI_DEVICES_MAX];
    struct pci_device bridge;
    uint32_t address; /* what was written to the address port */
    uint64_t next_region;
};

void pci_put(uint8_t *at, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

uint32_t pci_get(const uint8_t *at, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)at[i] << (8 * i);
    return value;
}

void pci_device_describe(struct pci_device *device, uint16_t vendor, uint16_t id,
                         uint32_t class_code, uint16_t subsystem)
{
    uint8_t *config = device->config;
    pci_put(config + VENDOR, vendor, 2);
    pci_put(config + ID, id, 2);
    pci_put(config + REVISION, class_code << 8 | 1, 4);
    pci_put(config + SUBSYSTEM_VENDOR, vendor, 2);
    pci_put(config + SUBSYSTEM, subsystem, 2);
    pci_put(device->writable + COMMAND, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX, 2);
    device->writable[INTERRUPT_LINE] = 0xff;
}

unsigned pci_device_add_capability(struct pci_device *device, uint8_t id, unsigned size)
{
    unsigned link = device->last_capability ? device->last_capability + 1 : CAPABILITIES;
    unsigned at = device->config_end ? device->config_end : HEADER_END;
    if (at + size > PCI_CONFIG_SIZE)
        abort(); /* a device of ours that asks for too much */
    device->config[link] = (uint8_t)at;
    device->config[at] = id;
    device->config[STATUS] |= STATUS_CAPABILITIES;
    device->last_capability = at;
    device->config_end = (at + size + 3) & ~3u;
    return at;
}

static void take_from_bus(struct pci_device *device)
{
    struct pci_region *region = &device->region;
    if (!region->is_on_bus)
        return;
    if (device->region_moved)
        device->region_moved(device, 0);
    bus_remove(device->bus->memory, region->address, device);
    region->is_on_bus = false;
}

/* Puts the region where the driver wants it, if it decodes memory and nobody else is there. */
static void place_region(struct pci_device *device)
{
    struct pci_region *region = &device->region;
    uint64_t address = (uint64_t)pci_get(device->config + BAR1, 4) << 32 |
                       (pci_get(device->config + BAR0, 4) & ~15u);
    bool wanted = region->size > 0 && (device->config[COMMAND] & COMMAND_MEMORY);
    if (wanted && region->is_on_bus && address == region->address)
        return;
    take_from_bus(device);
    if (!wanted ||
        bus_add(device->bus->memory, address, region->size, region->operations, device, NULL) < 0)
        return;
    region->address = address;
    region->is_on_bus = true;
    if (device->region_moved)
        device->region_moved(device, address);
}

static uint32_t read_config(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size)
{
    const struct pci_device *device = slot < PCI_DEVICES_MAX ? bus->devices[slot] : NULL;
    if (!device)
        return UINT32_MAX;
    return offset + size <= PCI_CONFIG_SIZE ? pci_get(device->config + offset, size) : 0;
}

static void write_config(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size,
                         uint32_t value)
{
    struct pci_device *device = slot < PCI_DEVICES_MAX ? bus->devices[slot] : NULL;
    if (!device || offset + size > PCI_CONFIG_SIZE)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = device->writable[offset + i], byte = (uint8_t)(value >> (8 * i));
        device->config[offset + i] =
            (uint8_t)((device->config[offset + i] & ~mask) | (byte & mask));
    }
    if (offset < BAR1 + 4 && offset + size > COMMAND)
        place_region(device);
    if (device->config_written)
        device->config_written(device, offset, size);
}

/* ---- The two ways to a configuration ---- */

/* PCI 3.0, 3.2.2.3.2: an address at the first four ports, then data at the others. Only functions 0
 * of bus 0 are there. */
static bool selected(const struct pci_bus *bus, uint64_t offset, unsigned *slot, unsigned *at)
{
    *slot = bus->address >> 11 & 31;
    *at = (bus->address & 0xfc) + (unsigned)(offset - 4);
    return (bus->address & ADDRESS_ENABLE) && (bus->address & 0xff0700) == 0;
}

static uint64_t read_ports(void *context, uint64_t offset, unsigned size)
{
    struct pci_bus *bus = context;
    unsigned slot, at;
    if (offset < 4)
        return offset == 0 && size == 4 ? bus->address : UINT32_MAX;
    return size <= 4 && selected(bus, offset, &slot, &at) ? read_config(bus, slot, at, size)
                                                          : UINT32_MAX;
}

static void write_ports(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bus *bus = context;
    unsigned slot, at;
    if (offset == 0 && size == 4)
        bus->address = (uint32_t)value;
    else if (offset >= 4 && size <= 4 && selected(bus, offset, &slot, &at))
        write_config(bus, slot, at, size, (uint32_t)value);
}

static const struct bus_operations port_operations = {read_ports, write_ports};

static uint64_t read_memory(void *context, uint64_t offset, unsigned size)
{
    bool is_function_0 = (offset >> 12 & 7) == 0;
    return is_function_0 && size <= 4
               ? read_config(context, (unsigned)(offset >> 15), offset & 0xfff, size)
               : UINT64_MAX;
}

static void write_memory(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    if ((offset >> 12 & 7) == 0 && size <= 4)
        write_config(context, (unsigned)(offset >> 15), offset & 0xfff, size, (uint32_t)value);
}

static const struct bus_operations memory_operations = {read_memory, write_memory};

/* ---- The bus ---- */

struct pci_bus *pci_bus_create(struct bus *ports, struct bus *memory, struct error *err)
{
    struct pci_bus *bus = memory_allocate(1, sizeof *bus);
    *bus = (struct pci_bus){.ports = ports, .memory = memory, .next_region = LAYOUT_PCI_WINDOW};
    if (bus_add(ports, LAYOUT_PCI_ADDRESS, 8, &port_operations, bus, err) < 0) {
        free(bus);
        return NULL;
    }
    if (bus_add(memory, LAYOUT_PCI_CONFIG, LAYOUT_PCI_CONFIG_END - LAYOUT_PCI_CONFIG,
                &memory_operations, bus, err) < 0) {
        bus_remove(ports, LAYOUT_PCI_ADDRESS, bus);
        free(bus);
        return NULL;
    }
    pci_device_describe(&bus->bridge, BRIDGE_VENDOR, BRIDGE_ID, CLASS_HOST_BRIDGE, 0);
    pci_bus_add(bus, &bus->bridge, NULL);
    return bus;
}

void pci_bus_destroy(struct pci_bus *bus)
{
    bus_remove(bus->ports, LAYOUT_PCI_ADDRESS, bus);
    bus_remove(bus->memory, LAYOUT_PCI_CONFIG, bus);
    free(bus);
}

int pci_bus_add(struct pci_bus *bus, struct pci_device *device, struct error *err)
{
    unsigned slot = 0;
    struct pci_region *region = &device->region;
    while (slot < PCI_DEVICES_MAX && bus->devices[slot])
        slot++;
    if (slot == PCI_DEVICES_MAX)
        return error_set(err, 0, "the PCI bus has no slot left (it has %d)", PCI_DEVICES_MAX);
    if (region->size > 0) {
        uint64_t address = (bus->next_region + region->size - 1) & ~(region->size - 1);
        if (address + region->size > LAYOUT_PCI_WINDOW_END)
            return error_set(err, 0, "the PCI bus has no room left for registers");
        bus->next_region = address + region->size;
        pci_put(device->config + BAR0, (uint32_t)address | BAR_64, 4);
        pci_put(device->writable + BAR0, (uint32_t) ~(region->size - 1), 4);
        pci_put(device->writable + BAR1, UINT32_MAX, 4);
    }
    device->bus = bus;
    device->slot = slot;
    bus->devices[slot] = device;
    return 0;
}

void pci_bus_remove(struct pci_bus *bus, struct pci_device *device)
{
    take_from_bus(device);
    bus->devices[device->slot] = NULL;
}
