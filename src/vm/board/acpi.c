#include "vm/board/acpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/board/aml.h"
#include "vm/board/layout.h"

#define packed __attribute__((packed))

struct packed header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision;
    char creator[4];
    uint32_t creator_revision;
};

/* A table being put together; where it will lie is known when it is finished. */
struct table {
    uint8_t *bytes;
    size_t size;
};

struct writer {
    struct guest_memory *memory;
    uint64_t next; /* guest address of the next table */
    bool is_full;
};

static uint8_t checksum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    while (size-- > 0)
        sum = (uint8_t)(sum + *bytes++);
    return (uint8_t)-sum;
}

static void append(struct table *table, const void *bytes, size_t size)
{
    table->bytes = memory_resize(table->bytes, table->size + size, 1);
    memcpy(table->bytes + table->size, bytes, size);
    table->size += size;
}

static struct table begin(const char *signature, uint8_t revision)
{
    struct table table = {0};
    struct header header = {.revision = revision, .oem_revision = 1, .creator_revision = 1};
    memcpy(header.signature, signature, 4);
    memcpy(header.oem, "HULL  ", 6);
    memcpy(header.oem_table, "HULLVMM ", 8);
    memcpy(header.creator, "HULL", 4);
    append(&table, &header, sizeof header);
    return table;
}

static uint64_t put(struct writer *writer, const void *bytes, size_t size)
{
    uint64_t address = writer->next;
    if (address + size > LAYOUT_ACPI_END ||
        !guest_memory_write(writer->memory, address, bytes, size))
        writer->is_full = true;
    writer->next = (address + size + 15) & ~15ull;
    return address;
}

static uint64_t finish(struct writer *writer, struct table *table)
{
    struct header *header = (struct header *)(void *)table->bytes;
    header->length = (uint32_t)table->size;
    header->checksum = checksum(table->bytes, table->size);
    uint64_t address = put(writer, table->bytes, table->size);
    free(table->bytes);
    return address;
}

/* ---- The definition block ---- */

static void describe_pc_devices(struct aml *aml, const struct acpi_board *board)
{
    aml_open_device(aml, "COM1");
    aml_name_eisa(aml, "_HID", "PNP0501");
    aml_name_integer(aml, "_UID", 0);
    aml_open_resources(aml);
    aml_ports(aml, LAYOUT_SERIAL, 8);
    aml_interrupt(aml, LAYOUT_IRQ_SERIAL, true);
    aml_close_resources(aml);
    aml_close(aml);

    if (board->has_keyboard) {
        aml_open_device(aml, "PS2_");
        aml_name_eisa(aml, "_HID", "PNP0303");
        aml_open_resources(aml);
        aml_ports(aml, LAYOUT_I8042, 1);
        aml_ports(aml, LAYOUT_I8042_COMMAND, 1);
        aml_interrupt(aml, LAYOUT_IRQ_KEYBOARD, true);
        aml_close_resources(aml);
        aml_close(aml);
    }

    aml_open_device(aml, "RTC_");
    aml_name_eisa(aml, "_HID", "PNP0B00");
    aml_open_resources(aml);
    aml_ports(aml, LAYOUT_RTC, 2);
    aml_interrupt(aml, LAYOUT_IRQ_RTC, true);
    aml_close_resources(aml);
    aml_close(aml);

    if (board->has_pvpanic) {
        aml_open_device(aml, "PVPN");
        aml_name_string(aml, "_HID", "QEMU0001");
        aml_name_integer(aml, "_STA", 15);
        aml_open_resources(aml);
        aml_ports(aml, LAYOUT_PVPANIC, 1);
        aml_close_resources(aml);
        aml_close(aml);
    }
}

static void describe_virtio(struct aml *aml, const struct acpi_board *board)
{
    for (unsigned i = 0; i < board->virtio_count; i++) {
        char name[8];
        snprintf(name, sizeof name, "VR%02X", i & 0xff);
        aml_open_device(aml, name);
        aml_name_string(aml, "_HID", "LNRO0005");
        aml_name_integer(aml, "_UID", i);
        aml_name_integer(aml, "_CCA", 1);
        aml_open_resources(aml);
        aml_memory(aml, board->virtio[i].address, 0x1000);
        aml_interrupt(aml, board->virtio[i].line, true);
        aml_close_resources(aml);
        aml_close(aml);
    }
}

/* The VM's generation (Microsoft's "Virtual Machine Generation ID"), and the event device (5.6.9)
 * that says when it changed: its method gets the interrupt's number. */
static void describe_generation(struct aml *aml, const struct acpi_board *board)
{
    const uint64_t address[] = {board->generation & UINT32_MAX, board->generation >> 32};
    aml_open_device(aml, "VGEN");
    aml_name_string(aml, "_HID", "HULLVGEN");
    aml_name_string(aml, "_CID", "VM_Gen_Counter");
    aml_name_string(aml, "_DDN", "VM_Gen_Counter");
    aml_name_package(aml, "ADDR", address, 2);
    aml_close(aml);

    aml_open_device(aml, "GED_");
    aml_name_string(aml, "_HID", "ACPI0013");
    aml_open_resources(aml);
    aml_interrupt(aml, LAYOUT_IRQ_EVENTS, true);
    aml_close_resources(aml);
    aml_open_method(aml, "_EVT", 1);
    aml_notify_if(aml, LAYOUT_IRQ_EVENTS, "VGEN", 0x80);
    aml_close(aml);
    aml_close(aml);
}

static void describe_pci(struct aml *aml, const struct acpi_board *board)
{
    aml_open_device(aml, "PC00");
    aml_name_eisa(aml, "_HID", "PNP0A08");
    aml_name_eisa(aml, "_CID", "PNP0A03");
    aml_name_integer(aml, "_SEG", 0);
    aml_name_integer(aml, "_UID", 0);
    aml_name_integer(aml, "_CCA", 1);
    aml_open_resources(aml);
    aml_bus_range(aml, 0, 0);
    aml_ports(aml, LAYOUT_PCI_ADDRESS, 8);
    aml_memory_window(aml, LAYOUT_PCI_WINDOW, LAYOUT_PCI_WINDOW_END - 1);
    if (board->pci_window_end > board->pci_window)
        aml_memory_window(aml, board->pci_window, board->pci_window_end - 1);
    aml_close_resources(aml);
    aml_close(aml);

    /* Without it kernels don't trust the ECAM. */
    aml_open_device(aml, "MBRD");
    aml_name_eisa(aml, "_HID", "PNP0C02");
    aml_open_resources(aml);
    aml_memory(aml, LAYOUT_PCI_CONFIG, LAYOUT_PCI_CONFIG_END - LAYOUT_PCI_CONFIG);
    aml_close_resources(aml);
    aml_close(aml);
}

static uint64_t write_definition(struct writer *writer, const struct acpi_board *board)
{
    static const uint64_t sleep_off[] = {5, 0, 0, 0};
    struct table table = begin("DSDT", 2);
    struct aml aml = {0};
    aml_name_package(&aml, "_S5_", sleep_off, 4);
    aml_open_scope(&aml, "\\_SB_");
    describe_pc_devices(&aml, board);
    describe_virtio(&aml, board);
    if (board->has_generation)
        describe_generation(&aml, board);
    if (board->has_pci)
        describe_pci(&aml, board);
    aml_close(&aml);
    append(&table, aml.bytes, aml.size);
    aml_release(&aml);
    return finish(writer, &table);
}

/* ---- The other tables ---- */

/* 5.2.3.2 */
struct packed address {
    uint8_t space, width, offset, access;
    uint64_t address;
};
#define BYTE_PORT(port) ((struct address){1, 8, 0, 1, (port)})

/* 5.2.9. Only what a hardware-reduced board has is not 0. */
static uint64_t write_fixed(struct writer *writer, const struct acpi_board *board,
                            uint64_t definition)
{
    struct table table = begin("FACP", 6);
    uint8_t body[276 - sizeof(struct header)] = {0};
    const struct address reset = BYTE_PORT(LAYOUT_I8042 + 4),
                         sleep_control = BYTE_PORT(LAYOUT_POWER),
                         sleep_status = BYTE_PORT(LAYOUT_POWER + 1);
    const uint32_t flags = 1u << 20 | 1u << 10; /* HW_REDUCED_ACPI, RESET_REG_SUP */
    const uint16_t boot_flags = (board->has_keyboard ? 1 << 1 : 0) | 1 << 2; /* an i8042; no VGA */
    memcpy(body + (109 - 36), &boot_flags, sizeof boot_flags);
    memcpy(body + (112 - 36), &flags, sizeof flags);
    memcpy(body + (116 - 36), &reset, sizeof reset);
    body[128 - 36] = 0xfe; /* the reset register's value */
    body[131 - 36] = 5;    /* minor version: 6.5 */
    memcpy(body + (140 - 36), &definition, sizeof definition);
    memcpy(body + (244 - 36), &sleep_control, sizeof sleep_control);
    memcpy(body + (256 - 36), &sleep_status, sizeof sleep_status);
    memcpy(body + (268 - 36), "HULLVMM ", 8);
    append(&table, body, sizeof body);
    return finish(writer, &table);
}

/* 5.2.12 */
static uint64_t write_interrupts(struct writer *writer, const struct acpi_board *board)
{
    struct table table = begin("APIC", 6);
    const uint32_t head[] = {LAYOUT_LOCAL_APIC, 1}; /* there are PICs as well */
    append(&table, head, sizeof head);
    for (unsigned i = 0; i < board->vcpus; i++) {
        const uint8_t local[] = {0, 8, (uint8_t)i, (uint8_t)i, 1, 0, 0, 0};
        append(&table, local, sizeof local);
    }
    struct packed {
        uint8_t type, length, id, reserved;
        uint32_t address, first_line;
    } ioapic = {1, 12, 0, 0, LAYOUT_IOAPIC, 0};
    append(&table, &ioapic, sizeof ioapic);
    const uint8_t timer[] = {2, 10, 0, 0, 2, 0, 0, 0, 0, 0}; /* the PIT's line is 2 */
    append(&table, timer, sizeof timer);
    const uint8_t nmi[] = {4, 6, 0xff, 0, 0, 1}; /* at LINT1 of all */
    append(&table, nmi, sizeof nmi);
    return finish(writer, &table);
}

/* PCI Firmware Specification 3.3, 4.1.2 */
static uint64_t write_pci_config(struct writer *writer)
{
    struct table table = begin("MCFG", 1);
    const struct packed {
        uint64_t reserved, address;
        uint16_t segment;
        uint8_t first_bus, last_bus;
        uint32_t reserved2;
    } body = {.address = LAYOUT_PCI_CONFIG};
    append(&table, &body, sizeof body);
    return finish(writer, &table);
}

/* 5.2.16: what tells a kernel how far up memory may come. */
static uint64_t write_affinity(struct writer *writer, const struct acpi_board *board)
{
    struct table table = begin("SRAT", 3);
    const struct packed {
        uint32_t one;
        uint64_t reserved;
    } head = {1, 0};
    append(&table, &head, sizeof head);
    const struct {
        uint64_t address, size;
        uint32_t flags; /* enabled, hot-pluggable */
    } ranges[] = {{0, board->low_ram, 1},
                  {LAYOUT_4_GIB, board->high_ram, 1},
                  {board->hotplug_address, board->hotplug_size, 3}};
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const struct packed {
            uint8_t type, length;
            uint32_t domain;
            uint16_t reserved;
            uint64_t address, size;
            uint32_t reserved2, flags;
            uint64_t reserved3;
        } body = {.type = 1,
                  .length = 40,
                  .address = ranges[i].address,
                  .size = ranges[i].size,
                  .flags = ranges[i].flags};
        if (ranges[i].size > 0)
            append(&table, &body, sizeof body);
    }
    for (unsigned i = 0; i < board->vcpus; i++) {
        const uint8_t local[16] = {0, 16, 0, (uint8_t)i, 1};
        append(&table, local, sizeof local);
    }
    return finish(writer, &table);
}

uint64_t acpi_write(const struct acpi_board *board, struct guest_memory *memory, struct error *err)
{
    struct writer writer = {.memory = memory, .next = LAYOUT_ACPI + 64};
    uint64_t tables[5];
    unsigned count = 0;
    tables[count++] = write_fixed(&writer, board, write_definition(&writer, board));
    tables[count++] = write_interrupts(&writer, board);
    if (board->has_pci)
        tables[count++] = write_pci_config(&writer);
    if (board->hotplug_size > 0)
        tables[count++] = write_affinity(&writer, board);
    struct table root = begin("XSDT", 1);
    append(&root, tables, count * sizeof *tables);
    /* 5.2.5.3 */
    struct packed {
        char signature[8];
        uint8_t checksum;
        char oem[6];
        uint8_t revision;
        uint32_t rsdt, length;
        uint64_t xsdt;
        uint8_t extended_checksum, reserved[3];
    } pointer = {.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
                 .oem = {'H', 'U', 'L', 'L', ' ', ' '},
                 .revision = 2,
                 .length = sizeof pointer,
                 .xsdt = finish(&writer, &root)};
    pointer.checksum = checksum((const uint8_t *)&pointer, 20);
    pointer.extended_checksum = checksum((const uint8_t *)&pointer, sizeof pointer);
    /* The root lies where a kernel without a hint looks for it. */
    writer.next = LAYOUT_ACPI;
    put(&writer, &pointer, sizeof pointer);
    if (writer.is_full) {
        error_set(err, 0, "the board's ACPI tables don't fit into the guest's memory");
        return 0;
    }
    return LAYOUT_ACPI;
}
