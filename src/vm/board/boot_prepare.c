/* What a kernel is entered with: its parameters, page tables, and the first processor's registers.
 */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/board/boot.h"
#include "vm/board/layout.h"

#define CR0_PE 1u
#define CR0_ET 16u
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define PAGE_PRESENT 1u
#define PAGE_WRITABLE 2u
#define PAGE_LARGE (1u << 7)
#define E820_RAM 1
#define E820_RESERVED 2
#define LOADER_UNDEFINED 0xff

/* Xen's public/arch-x86/hvm/start_info.h. */
struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp, map;
    uint32_t map_entries, reserved;
};
#define START_INFO_MAGIC 0x336ec578
struct start_module {
    uint64_t address, size, command_line, reserved;
};
struct start_range {
    uint64_t address, size;
    uint32_t type, reserved;
};

static int write_start_info(const struct boot *boot, struct guest_memory *memory,
                            const struct boot_range *ranges, unsigned count, uint64_t rsdp,
                            struct error *err)
{
    struct {
        struct start_info info;
        struct start_module initrd;
        struct start_range map[32];
    } start = {.info = {.magic = START_INFO_MAGIC,
                        .version = 1,
                        .command_line = LAYOUT_COMMAND_LINE,
                        .rsdp = rsdp,
                        .map = LAYOUT_START_INFO + offsetof(__typeof__(start), map),
                        .map_entries = count}};
    if (boot->initrd_size > 0) {
        start.info.module_count = 1;
        start.info.modules = LAYOUT_START_INFO + offsetof(__typeof__(start), initrd);
        start.initrd = (struct start_module){.address = boot->initrd, .size = boot->initrd_size};
    }
    if (count > sizeof start.map / sizeof *start.map)
        return error_set(err, 0, "too many pieces of memory for a kernel");
    for (unsigned i = 0; i < count; i++)
        start.map[i] = (struct start_range){.address = ranges[i].address,
                                            .size = ranges[i].size,
                                            .type = ranges[i].usable ? E820_RAM : E820_RESERVED};
    return guest_memory_write(memory, LAYOUT_START_INFO, &start, sizeof start)
               ? 0
               : error_set(err, 0, "the guest has no memory for a kernel's parameters");
}

static int write_zero_page(const struct boot *boot, struct guest_memory *memory,
                           const struct boot_range *ranges, unsigned count, uint64_t rsdp,
                           struct error *err)
{
    scope_free struct boot_params *parameters = memory_allocate(1, sizeof *parameters);
    if (count > E820_MAX_ENTRIES_ZEROPAGE)
        return error_set(err, 0, "too many pieces of memory for a kernel");
    parameters->hdr = boot->header;
    if (boot->header.version == 0) { /* an ELF file has no header of its own */
        parameters->hdr.boot_flag = 0xaa55;
        parameters->hdr.header = 0x53726448;
        parameters->hdr.kernel_alignment = 0x1000000;
    }
    parameters->hdr.type_of_loader = LOADER_UNDEFINED;
    parameters->hdr.cmd_line_ptr = LAYOUT_COMMAND_LINE;
    parameters->hdr.cmdline_size = LAYOUT_COMMAND_LINE_SIZE - 1;
    parameters->hdr.ramdisk_image = (uint32_t)boot->initrd;
    parameters->hdr.ramdisk_size = (uint32_t)boot->initrd_size;
    parameters->ext_ramdisk_image = (uint32_t)(boot->initrd >> 32);
    parameters->ext_ramdisk_size = (uint32_t)(boot->initrd_size >> 32);
    parameters->acpi_rsdp_addr = rsdp;
    parameters->e820_entries = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        parameters->e820_table[i].addr = ranges[i].address;
        parameters->e820_table[i].size = ranges[i].size;
        parameters->e820_table[i].type = ranges[i].usable ? E820_RAM : E820_RESERVED;
    }
    return guest_memory_write(memory, LAYOUT_ZERO_PAGE, parameters, sizeof *parameters)
               ? 0
               : error_set(err, 0, "the guest has no memory for a kernel's parameters");
}

/* Identity-maps the first 4 GiB with pages of 2 MiB. */
static void write_page_tables(struct guest_memory *memory)
{
    uint64_t entry = LAYOUT_PAGE_TABLES + 0x1000 + (PAGE_PRESENT | PAGE_WRITABLE);
    guest_memory_write(memory, LAYOUT_PAGE_TABLES, &entry, sizeof entry);
    for (uint64_t gibibyte = 0; gibibyte < 4; gibibyte++) {
        uint64_t table = LAYOUT_PAGE_TABLES + 0x2000 + gibibyte * 0x1000, entries[512];
        entry = table + (PAGE_PRESENT | PAGE_WRITABLE);
        guest_memory_write(memory, LAYOUT_PAGE_TABLES + 0x1000 + gibibyte * 8, &entry,
                           sizeof entry);
        for (uint64_t i = 0; i < 512; i++)
            entries[i] = (gibibyte << 30) + (i << 21) + (PAGE_PRESENT | PAGE_WRITABLE | PAGE_LARGE);
        guest_memory_write(memory, table, entries, sizeof entries);
    }
}

static struct vcpu_segment flat(uint16_t selector, bool is_code, bool is_long)
{
    return (struct vcpu_segment){.limit = UINT32_MAX,
                                 .selector = selector,
                                 .type = is_code ? 11 : 3, /* accessed; readable or writable */
                                 .present = true,
                                 .is_long = is_long,
                                 .is_32bit = !is_long,
                                 .granular = true};
}

/* A GDT with what both protocols ask for: code at 0x10 and data at 0x18 (boot.rst, "64-bit boot
 * protocol"), for kernels that load their segments again before they have a table of their own. */
static void write_gdt(struct guest_memory *memory, bool is_long)
{
    const uint64_t table[] = {0, 0, is_long ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
                              0x00cf93000000ffff, 0x00008b0000000067};
    guest_memory_write(memory, LAYOUT_GDT, table, sizeof table);
}

int boot_prepare(const struct boot *boot, struct guest_memory *memory, const char *command_line,
                 const struct boot_range *ranges, unsigned count, uint64_t rsdp,
                 struct vcpu_registers *registers, struct error *err)
{
    bool is_long = boot->protocol == BOOT_LINUX_64;
    size_t length = strlen(command_line);
    /* 2.06: the kernel says how much it takes; an ELF file doesn't. */
    size_t most = boot->header.cmdline_size ? boot->header.cmdline_size : 2047;
    if (most > LAYOUT_COMMAND_LINE_SIZE - 1)
        most = LAYOUT_COMMAND_LINE_SIZE - 1;
    if (length > most)
        return error_set(err, 0, "the kernel's command line has %zu bytes; it takes %zu", length,
                         most);
    if (!guest_memory_write(memory, LAYOUT_COMMAND_LINE, command_line, length + 1))
        return error_set(err, 0, "the guest has no memory for a kernel's command line");
    if ((is_long ? write_zero_page : write_start_info)(boot, memory, ranges, count, rsdp, err) < 0)
        return -1;
    write_gdt(memory, is_long);
    *registers = (struct vcpu_registers){
        .rip = boot->entry,
        .rflags = 2,
        .cs = flat(0x10, true, is_long),
        .ds = flat(0x18, false, false),
        .es = flat(0x18, false, false),
        .fs = flat(0x18, false, false),
        .gs = flat(0x18, false, false),
        .ss = flat(0x18, false, false),
        .tr = {.limit = 0x67, .selector = 0x20, .type = 11, .present = true, .system = true},
        .ldt = {.unusable = true, .system = true, .type = 2},
        .gdt = {LAYOUT_GDT, 5 * 8 - 1},
        .idt = {0, 0xffff},
        .cr0 = CR0_PE | CR0_ET,
        .apic_base = LAYOUT_LOCAL_APIC | 0x900, /* on, and this is the first processor */
    };
    if (is_long) {
        write_page_tables(memory);
        registers->cr0 |= CR0_PG;
        registers->cr3 = LAYOUT_PAGE_TABLES;
        registers->cr4 = CR4_PAE;
        registers->efer = EFER_LME | EFER_LMA;
        registers->rsi = LAYOUT_ZERO_PAGE;
        registers->rsp = registers->rbp = LAYOUT_BOOT_STACK;
    } else {
        registers->rbx = LAYOUT_START_INFO;
    }
    return 0;
}
