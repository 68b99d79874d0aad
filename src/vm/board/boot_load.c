/* Kernels and initrds into guest memory. Files are hostile: every number in them is checked. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/board/boot.h"
#include "vm/board/layout.h"

#define PVH_NOTE_TYPE 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PROGRAM_HEADERS_MAX 64
#define NOTES_SIZE_MAX 65536

static int read_at(int fd, uint64_t offset, void *bytes, uint64_t size, const char *name,
                   struct error *err)
{
    for (uint64_t done = 0; done < size;) {
        ssize_t got = pread(fd, (uint8_t *)bytes + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, errno, "can't read %s", name);
        if (got == 0)
            return error_set(err, 0, "%s ends before the %llu bytes at %llu that it promises", name,
                             (unsigned long long)size, (unsigned long long)offset);
        done += (uint64_t)got;
    }
    return 0;
}

/* Reads a part of the file to a guest's address; room bytes there must be RAM above 1 MiB. */
static int load(struct guest_memory *memory, int fd, uint64_t offset, uint64_t size,
                uint64_t address, uint64_t room, const char *name, struct error *err)
{
    uint8_t *host = room >= size ? guest_memory_at(memory, address, room) : NULL;
    if (!host || address < LAYOUT_HIGH_RAM)
        return error_set(err, 0,
                         "kernel %s wants %llu bytes at %#llx, where the guest has no memory for "
                         "them (give it more)",
                         name, (unsigned long long)room, (unsigned long long)address);
    return read_at(fd, offset, host, size, name, err);
}

/* ---- bzImage ---- */

static int load_bzimage(struct boot *boot, struct guest_memory *memory, int fd, uint64_t file_size,
                        const char *name, struct error *err)
{
    const struct setup_header *header = &boot->header;
    if (read_at(fd, 0x1f1, &boot->header, sizeof boot->header, name, err) < 0)
        return -1;
    if (header->version < 0x020c || !(header->xloadflags & XLF_KERNEL_64))
        return error_set(err, 0, "kernel %s has no 64-bit entry (boot protocol %u.%u)", name,
                         header->version >> 8, header->version & 0xff);
    uint64_t start = ((header->setup_sects ? header->setup_sects : 4) + 1) * 512ull;
    if (start >= file_size)
        return error_set(err, 0, "kernel %s ends before its protected-mode part", name);
    uint64_t address = header->relocatable_kernel ? header->pref_address : header->code32_start;
    uint64_t size = file_size - start, room = header->init_size > size ? header->init_size : size;
    if (load(memory, fd, start, size, address, room, name, err) < 0)
        return -1;
    boot->protocol = BOOT_LINUX_64;
    boot->entry = address + 0x200;
    boot->kernel_end = address + room;
    boot->initrd_limit = header->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G
                             ? UINT64_MAX
                             : header->initrd_addr_max + 1ull;
    return 0;
}

/* ---- ELF ---- */

/* The 32-bit entry that a note of "Xen" names, or 0. */
static uint64_t find_pvh_entry(const uint8_t *notes, size_t size)
{
    size_t at = 0;
    while (size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        size_t name = (note.n_namesz + 3ull) & ~3ull, description = (note.n_descsz + 3ull) & ~3ull;
        if (name > size - at || description > size - at - name)
            return 0;
        if (note.n_type == PVH_NOTE_TYPE && note.n_namesz == 4 &&
            memcmp(notes + at, "Xen", 4) == 0 && note.n_descsz >= 4) {
            uint64_t entry = 0;
            memcpy(&entry, notes + at + name, note.n_descsz < 8 ? 4 : 8);
            return entry;
        }
        at += name + description;
    }
    return 0;
}

static int read_notes(int fd, const Elf64_Phdr *segment, uint64_t *entry, const char *name,
                      struct error *err)
{
    scope_free uint8_t *notes = NULL;
    if (segment->p_filesz > NOTES_SIZE_MAX || *entry != 0)
        return 0;
    notes = memory_allocate(1, segment->p_filesz + 1);
    if (read_at(fd, segment->p_offset, notes, segment->p_filesz, name, err) < 0)
        return -1;
    *entry = find_pvh_entry(notes, segment->p_filesz);
    return 0;
}

static int load_elf(struct boot *boot, struct guest_memory *memory, int fd, const char *name,
                    struct error *err)
{
    Elf64_Ehdr header;
    Elf64_Phdr segments[PROGRAM_HEADERS_MAX];
    uint64_t pvh = 0;
    if (read_at(fd, 0, &header, sizeof header, name, err) < 0)
        return -1;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64)
        return error_set(err, 0, "kernel %s is no 64-bit x86 program", name);
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
        header.e_phnum > PROGRAM_HEADERS_MAX)
        return error_set(err, 0, "kernel %s has a malformed program header table", name);
    if (read_at(fd, header.e_phoff, segments, header.e_phnum * sizeof *segments, name, err) < 0)
        return -1;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];
        if (segment->p_type == PT_NOTE && read_notes(fd, segment, &pvh, name, err) < 0)
            return -1;
        if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
            continue;
        if (load(memory, fd, segment->p_offset, segment->p_filesz, segment->p_paddr,
                 segment->p_memsz, name, err) < 0)
            return -1;
        if (segment->p_paddr + segment->p_memsz > boot->kernel_end)
            boot->kernel_end = segment->p_paddr + segment->p_memsz;
    }
    if (boot->kernel_end == 0)
        return error_set(err, 0, "kernel %s has nothing to load", name);
    boot->protocol = pvh ? BOOT_PVH : BOOT_LINUX_64;
    boot->entry = pvh ? pvh : header.e_entry;
    boot->initrd_limit = LAYOUT_4_GIB;
    if (!guest_memory_at(memory, boot->entry, 1))
        return error_set(err, 0, "kernel %s begins at %#llx, which is no memory of the guest", name,
                         (unsigned long long)boot->entry);
    return 0;
}

int boot_load_kernel(struct boot *boot, struct guest_memory *memory, int fd, const char *name,
                     struct error *err)
{
    struct stat status;
    uint8_t magic[0x206] = {0};
    *boot = (struct boot){0};
    if (fstat(fd, &status) < 0)
        return error_set(err, errno, "can't read kernel %s", name);
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < sizeof magic)
        return error_set(err, 0, "kernel %s is no file of a kernel's size", name);
    if (read_at(fd, 0, magic, sizeof magic, name, err) < 0)
        return -1;
    if (memcmp(magic, ELFMAG, SELFMAG) == 0)
        return load_elf(boot, memory, fd, name, err);
    if (memcmp(magic + 0x202, "HdrS", 4) == 0)
        return load_bzimage(boot, memory, fd, (uint64_t)status.st_size, name, err);
    return error_set(err, 0, "kernel %s is neither a bzImage nor an ELF file", name);
}

int boot_load_initrd(struct boot *boot, struct guest_memory *memory, int fd, const char *name,
                     struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(err, errno, "can't read initrd %s", name);
    uint64_t size = (uint64_t)status.st_size;
    if (!S_ISREG(status.st_mode) || size == 0)
        return error_set(err, 0, "initrd %s is no file, or empty", name);
    /* As high as it can be in the RAM below 4 GiB, away from where the kernel unpacks itself. */
    const struct guest_region *low = &memory->regions[0];
    uint64_t end = low->address + low->size;
    end = end < boot->initrd_limit ? end : boot->initrd_limit;
    uint64_t address = size < end ? (end - size) & ~(uint64_t)(GUEST_PAGE_SIZE - 1) : 0;
    if (address < boot->kernel_end)
        return error_set(err, 0,
                         "initrd %s of %llu bytes doesn't fit into the guest's memory beside the "
                         "kernel (give it more)",
                         name, (unsigned long long)size);
    boot->initrd = address;
    boot->initrd_size = size;
    return read_at(fd, 0, guest_memory_at(memory, address, size), size, name, err);
}
