/* The board's PCI bus (PCI Local Bus 3.0; PCI Express Base 5.0, 7.2.2): one bus of up to 32 devices
 * of one function, whose configuration is reached through ports and through memory (ECAM). A device
 * describes itself by its configuration bytes, and by which of them a driver may write. */
#ifndef HULL_VM_PCI_H
#define HULL_VM_PCI_H

#include "vm/board/bus.h"

#define PCI_DEVICES_MAX 32
#define PCI_CONFIG_SIZE 256

struct pci_bus;
struct pci_device;

/* A region of registers that the driver places: a 64-bit BAR. */
struct pci_region {
    uint64_t size; /* a power of two of at least 4096; 0: none */
    uint64_t address;
    bool is_on_bus;
    const struct bus_operations *operations; /* their device is the pci_device */
};

struct pci_device {
    uint8_t config[PCI_CONFIG_SIZE], writable[PCI_CONFIG_SIZE]; /* a mask for each byte */
    unsigned config_end, last_capability;                       /* offsets; 0 before there is one */
    struct pci_region region;                                   /* BAR 0 and 1 */
    /* A driver wrote size bytes at offset, which config holds already; may be NULL. */
    void (*config_written)(struct pci_device *device, unsigned offset, unsigned size);
    /* The region moved to an address, or left (0); may be NULL. */
    void (*region_moved)(struct pci_device *device, uint64_t address);
    struct pci_bus *bus;
    unsigned slot;
};

/* Puts the bus with its host bridge on the board's ports and memory. */
struct pci_bus *pci_bus_create(struct bus *ports, struct bus *memory, struct error *err);
void pci_bus_destroy(struct pci_bus *bus);

/* Fills in what all devices have in their header. class_code: base, sub, interface. */
void pci_device_describe(struct pci_device *device, uint16_t vendor, uint16_t id,
                         uint32_t class_code, uint16_t subsystem);
/* Adds a capability of size bytes, its first two being filled in; returns its offset. */
unsigned pci_device_add_capability(struct pci_device *device, uint8_t id, unsigned size);
/* Puts the device into the next free slot and its region into the 32-bit window. */
int pci_bus_add(struct pci_bus *bus, struct pci_device *device, struct error *err);
void pci_bus_remove(struct pci_bus *bus, struct pci_device *device);

/* Little-endian numbers in a configuration. */
void pci_put(uint8_t *at, uint32_t value, unsigned size);
uint32_t pci_get(const uint8_t *at, unsigned size);

#endif
