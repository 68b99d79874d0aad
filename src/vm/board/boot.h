/* Loading a Linux kernel into guest memory and entering it, without firmware: a bzImage at its
 * 64-bit entry (Documentation/arch/x86/boot.rst), an ELF file at its PVH entry (Xen's
 * public/arch-x86/hvm/start_info.h), or, without one, at its 64-bit entry. */
#ifndef HULL_VM_BOOT_H
#define HULL_VM_BOOT_H

#include <asm/bootparam.h>

#include "base/error.h"
#include "vm/cpu/engine.h"
#include "vm/memory/guest_memory.h"

enum boot_protocol { BOOT_LINUX_64, BOOT_PVH };

struct boot {
    enum boot_protocol protocol;
    uint64_t entry;      /* guest physical */
    uint64_t kernel_end; /* first byte behind what the kernel needs while it starts */
    uint64_t initrd, initrd_size;
    uint64_t initrd_limit;      /* the initrd ends at or below this */
    struct setup_header header; /* a bzImage's own; zero for ELF */
};

/* A piece of the guest's physical address space, for the kernel. */
struct boot_range {
    uint64_t address, size;
    bool usable; /* RAM; else reserved */
};

/* Each reads the file from its beginning; name is for errors. */
int boot_load_kernel(struct boot *boot, struct guest_memory *memory, int fd, const char *name,
                     struct error *err);
int boot_load_initrd(struct boot *boot, struct guest_memory *memory, int fd, const char *name,
                     struct error *err);

/* Writes what the kernel is entered with, and sets *registers for the first processor. rsdp is the
 * guest's address of the ACPI root. */
int boot_prepare(const struct boot *boot, struct guest_memory *memory, const char *command_line,
                 const struct boot_range *ranges, unsigned count, uint64_t rsdp,
                 struct vcpu_registers *registers, struct error *err);

#endif
