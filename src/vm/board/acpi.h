/* The ACPI tables that describe the board (ACPI 6.5): hardware-reduced, so without the chip set
 * that a PC has beside. */
#ifndef HULL_VM_ACPI_H
#define HULL_VM_ACPI_H

#include "base/error.h"
#include "vm/memory/guest_memory.h"

struct acpi_virtio {
    uint32_t address; /* of its registers: a page */
    uint32_t line;
};

struct acpi_board {
    unsigned vcpus;
    const struct acpi_virtio *virtio; /* the devices on virtio-mmio */
    unsigned virtio_count;
    bool has_pci;
    uint64_t pci_window, pci_window_end; /* of 64-bit BARs; 0: none */
    bool has_keyboard;                   /* that somebody can press a key of */
    bool has_generation, has_pvpanic;
    uint64_t generation;                    /* guest address of the generation id */
    uint64_t hotplug_address, hotplug_size; /* where memory may come to; size 0: none */
    uint64_t low_ram, high_ram;             /* bytes below and above 4 GiB */
};

/* Writes the tables into guest memory; returns the address of their root (the RSDP), or 0. */
uint64_t acpi_write(const struct acpi_board *board, struct guest_memory *memory, struct error *err);

#endif
