/* Where things lie in the guest's physical address space and among its ports.
 *
 *   0          RAM; below 1 MiB: boot data, then the ACPI tables
 *   LOW_END    at most: where low RAM ends, and the 1 GiB hole for devices begins
 *   4 GiB      RAM that found no room below, then memory for hot-plug, then 64-bit PCI windows
 */
#ifndef HULL_VM_LAYOUT_H
#define HULL_VM_LAYOUT_H

#define LAYOUT_GDT 0x500
#define LAYOUT_START_INFO 0x6000 /* PVH's, with what it points to */
#define LAYOUT_ZERO_PAGE 0x7000  /* struct boot_params */
#define LAYOUT_BOOT_STACK 0x8ff0
#define LAYOUT_PAGE_TABLES 0x9000 /* six pages: identity-map the first 4 GiB */
#define LAYOUT_COMMAND_LINE 0x20000
#define LAYOUT_COMMAND_LINE_SIZE 0x10000 /* with its NUL */
#define LAYOUT_LOW_RAM_END 0x9fc00       /* then as on a PC: data of the BIOS, the VGA, ROMs */
#define LAYOUT_GENERATION 0xdf000        /* the 16 bytes of the VM generation id */
#define LAYOUT_ACPI 0xe0000
#define LAYOUT_ACPI_END 0x100000
#define LAYOUT_HIGH_RAM 0x100000

#define LAYOUT_LOW_END 0xc0000000ull
#define LAYOUT_PCI_WINDOW 0xc0000000ull /* of 32-bit BARs */
#define LAYOUT_PCI_WINDOW_END 0xe0000000ull
#define LAYOUT_PCI_CONFIG 0xe0000000ull /* the ECAM of bus 0: 1 MiB */
#define LAYOUT_PCI_CONFIG_END 0xe0100000ull
#define LAYOUT_VIRTIO_MMIO 0xfeb00000ull /* a page each */
#define LAYOUT_IOAPIC 0xfec00000ull
#define LAYOUT_LOCAL_APIC 0xfee00000ull
#define LAYOUT_4_GIB 0x100000000ull

/* Ports. */
#define LAYOUT_SERIAL 0x3f8
#define LAYOUT_I8042 0x60
#define LAYOUT_I8042_COMMAND 0x64
#define LAYOUT_RTC 0x70
#define LAYOUT_BOOT_TIMER 0x80 /* the POST code of a PC: "init has begun" is reported with it */
#define LAYOUT_PVPANIC 0x505
#define LAYOUT_POWER 0x600 /* ACPI's sleep control and status registers */
#define LAYOUT_PCI_ADDRESS 0xcf8

/* Lines of the IOAPIC. */
#define LAYOUT_IRQ_KEYBOARD 1
#define LAYOUT_IRQ_SERIAL 4
#define LAYOUT_IRQ_RTC 8
#define LAYOUT_IRQ_EVENTS 9 /* the ACPI event device's */
#define LAYOUT_IRQ_FIRST 10 /* virtio-mmio devices' from here on, then 5 to 7 */
#define LAYOUT_IRQ_LINES 24

#endif
