/* vm/board/boot: kernels and initrds as files have them, and as attackers write them. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/board/boot.h"
#include "vm/board/layout.h"

#define MEMORY_SIZE (32u << 20)

static struct guest_memory memory;
static struct boot boot;
static struct error err;

static int open_memory(void **state)
{
    (void)state;
    err = (struct error){0};
    return guest_memory_add(&memory, 0, MEMORY_SIZE, false, false, NULL);
}

static int close_memory(void **state)
{
    (void)state;
    guest_memory_release(&memory);
    return 0;
}

static int file_of(const void *bytes, size_t size)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    return fd;
}

static int load(const void *bytes, size_t size)
{
    int fd = file_of(bytes, size);
    int status = boot_load_kernel(&boot, &memory, fd, "KERNEL", &err);
    close(fd);
    return status;
}

/* ---- bzImage ---- */

#define SETUP_SIZE 1024 /* the boot sector and one more */
struct image {
    uint8_t bytes[SETUP_SIZE + 4096];
};

static struct image good_image(void)
{
    struct image image;
    struct setup_header header = {.setup_sects = 1,
                                  .boot_flag = 0xaa55,
                                  .header = 0x53726448,
                                  .version = 0x020f,
                                  .xloadflags = XLF_KERNEL_64,
                                  .relocatable_kernel = 1,
                                  .pref_address = 0x1000000,
                                  .init_size = 0x100000,
                                  .initrd_addr_max = 0x7fffffff,
                                  .cmdline_size = 255};
    memset(&image, 0, sizeof image);
    memcpy(image.bytes + 0x1f1, &header, sizeof header);
    memset(image.bytes + SETUP_SIZE, 0x90, 4096);
    return image;
}

static void change(struct image *image, size_t member, uint64_t value, size_t size)
{
    memcpy(image->bytes + 0x1f1 + member, &value, size);
}
#define CHANGE(image, member, value)                                                               \
    change(image, offsetof(struct setup_header, member), value,                                    \
           sizeof(((struct setup_header *)0)->member))

static void a_bzimage_is_loaded_where_it_wants(void **state)
{
    struct image image = good_image();
    struct vcpu_registers registers;
    const struct boot_range ranges[] = {{0, 0x9fc00, true}, {0x9fc00, 0x60400, false}};
    (void)state;
    assert_int_equal(load(&image, sizeof image), 0);
    assert_int_equal(boot.protocol, BOOT_LINUX_64);
    assert_int_equal(boot.entry, 0x1000200);
    assert_int_equal(*(uint8_t *)guest_memory_at(&memory, 0x1000000 + 4095, 1), 0x90);
    assert_int_equal(
        boot_prepare(&boot, &memory, "console=ttyS0", ranges, 2, 0xe0000, &registers, &err), 0);
    assert_int_equal(registers.rip, 0x1000200);
    const struct boot_params *parameters = guest_memory_at(&memory, registers.rsi, 4096);
    assert_int_equal(parameters->e820_entries, 2);
    assert_int_equal(parameters->e820_table[1].type, 2);
    assert_int_equal(parameters->acpi_rsdp_addr, 0xe0000);
    assert_string_equal(guest_memory_at(&memory, parameters->hdr.cmd_line_ptr, 14),
                        "console=ttyS0");
    /* Its page tables map what it is in. */
    uint64_t entry = 0, table = registers.cr3;
    const unsigned indices[] = {0, 0, (unsigned)(registers.rip >> 21)};
    for (unsigned level = 0; level < 3; level++) {
        assert_true(guest_memory_read(&memory, table + 8 * indices[level], &entry, 8));
        assert_int_equal(entry & 1, 1);
        table = entry & ~0xfffull;
    }
    assert_int_equal(table, 0x1000000);
}

static void a_command_line_has_an_end(void **state)
{
    struct image image = good_image();
    struct vcpu_registers registers;
    char line[300];
    (void)state;
    memset(line, 'x', sizeof line);
    line[256] = '\0';
    assert_int_equal(load(&image, sizeof image), 0);
    assert_int_equal(boot_prepare(&boot, &memory, line, NULL, 0, 0, &registers, &err), -1);
    assert_non_null(strstr(err.text, "256 bytes; it takes 255"));
    line[255] = '\0';
    assert_int_equal(boot_prepare(&boot, &memory, line, NULL, 0, 0, &registers, &err), 0);
}

static void odd_bzimages_are_refused(void **state)
{
    struct image image = good_image();
    (void)state;
    CHANGE(&image, version, 0x020b);
    assert_int_equal(load(&image, sizeof image), -1);
    assert_non_null(strstr(err.text, "64-bit entry"));
    image = good_image();
    CHANGE(&image, xloadflags, 0);
    assert_int_equal(load(&image, sizeof image), -1);
    image = good_image();
    CHANGE(&image, setup_sects, 64);
    assert_int_equal(load(&image, sizeof image), -1);
    assert_non_null(strstr(err.text, "ends before"));
    image = good_image();
    CHANGE(&image, init_size, 0xffffffff);
    assert_int_equal(load(&image, sizeof image), -1);
    assert_non_null(strstr(err.text, "no memory"));
    image = good_image();
    CHANGE(&image, pref_address, UINT64_MAX - 100);
    assert_int_equal(load(&image, sizeof image), -1);
    image = good_image();
    CHANGE(&image, pref_address, 0x1000); /* over what the monitor writes itself */
    assert_int_equal(load(&image, sizeof image), -1);
    image = good_image();
    assert_int_equal(load(&image, 300), -1);
    assert_int_equal(load("", 0), -1);
    image.bytes[0x202] = 'X';
    assert_int_equal(load(&image, sizeof image), -1);
    assert_non_null(strstr(err.text, "neither"));
}

/* ---- ELF ---- */

struct program {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    struct {
        Elf64_Nhdr head;
        char name[4];
        uint32_t entry;
    } note;
    uint8_t code[64];
};

static struct program good_program(void)
{
    struct program program = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_entry = 0x1000000,
                   .e_phoff = offsetof(struct program, segments),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2},
        .segments = {{.p_type = PT_LOAD,
                      .p_offset = offsetof(struct program, code),
                      .p_paddr = 0x1000000,
                      .p_filesz = 64,
                      .p_memsz = 4096},
                     {.p_type = PT_NOTE,
                      .p_offset = offsetof(struct program, note),
                      .p_filesz = sizeof program.note}},
        .note = {{4, 4, 18}, "Xen", 0x1000010}};
    memset(program.code, 0x90, sizeof program.code);
    return program;
}

static void an_elf_file_is_entered_by_its_note(void **state)
{
    struct program program = good_program();
    struct vcpu_registers registers;
    uint8_t padded[1024] = {0};
    (void)state;
    memcpy(padded, &program, sizeof program);
    assert_int_equal(load(padded, sizeof padded), 0);
    assert_int_equal(boot.protocol, BOOT_PVH);
    assert_int_equal(boot.entry, 0x1000010);
    assert_int_equal(boot.kernel_end, 0x1001000);
    assert_int_equal(boot_prepare(&boot, &memory, "a", NULL, 0, 0xe0000, &registers, &err), 0);
    assert_int_equal(registers.cr0 & 0x80000001u, 1); /* protected mode without paging */
    uint32_t magic;
    assert_true(guest_memory_read(&memory, registers.rbx, &magic, 4));
    assert_int_equal(magic, 0x336ec578);
    program.header.e_phnum = 1;
    memcpy(padded, &program, sizeof program);
    assert_int_equal(load(padded, sizeof padded), 0);
    assert_int_equal(boot.protocol, BOOT_LINUX_64);
    assert_int_equal(boot.entry, 0x1000000);
}

static void assert_refused(const struct program *program)
{
    uint8_t padded[1024] = {0};
    memcpy(padded, program, sizeof *program);
    assert_int_equal(load(padded, sizeof padded), -1);
    assert_true(err.text[0] != '\0');
}

static void odd_elf_files_are_refused(void **state)
{
    struct program program = good_program();
    (void)state;
    program.header.e_machine = EM_AARCH64;
    assert_refused(&program);
    program = good_program();
    program.header.e_phnum = UINT16_MAX;
    assert_refused(&program);
    program = good_program();
    program.header.e_phoff = UINT64_MAX - 8;
    assert_refused(&program);
    program = good_program();
    program.segments[0].p_offset = UINT64_MAX - 8;
    assert_refused(&program);
    program = good_program();
    program.segments[0].p_filesz = 8192; /* more than it has room for */
    assert_refused(&program);
    program = good_program();
    program.segments[0].p_memsz = UINT64_MAX;
    assert_refused(&program);
    program = good_program();
    program.segments[0].p_paddr = LAYOUT_ZERO_PAGE;
    assert_refused(&program);
    program = good_program();
    program.segments[0].p_type = PT_NULL;
    assert_refused(&program);
    program = good_program();
    program.note.entry = 0xf0000000;
    assert_refused(&program);
    program = good_program();
    program.note.head.n_descsz = UINT32_MAX; /* then it is no note, and the entry is the file's */
    program.header.e_entry = UINT64_MAX;
    assert_refused(&program);
}

/* ---- initrd ---- */

static void an_initrd_lies_high(void **state)
{
    struct image image = good_image();
    uint8_t bytes[5000];
    (void)state;
    memset(bytes, 0x55, sizeof bytes);
    assert_int_equal(load(&image, sizeof image), 0);
    int fd = file_of(bytes, sizeof bytes);
    assert_int_equal(boot_load_initrd(&boot, &memory, fd, "INITRD", &err), 0);
    assert_int_equal(boot.initrd, MEMORY_SIZE - 8192);
    assert_memory_equal(guest_memory_at(&memory, boot.initrd, sizeof bytes), bytes, sizeof bytes);
    boot.initrd_limit = 0x1800001;
    assert_int_equal(boot_load_initrd(&boot, &memory, fd, "INITRD", &err), 0);
    assert_int_equal(boot.initrd, 0x17fe000);
    assert_int_equal(ftruncate(fd, 20 << 20), 0); /* over the kernel */
    assert_int_equal(boot_load_initrd(&boot, &memory, fd, "INITRD", &err), -1);
    assert_non_null(strstr(err.text, "doesn't fit"));
    assert_int_equal(ftruncate(fd, 1ll << 40), 0);
    assert_int_equal(boot_load_initrd(&boot, &memory, fd, "INITRD", &err), -1);
    close(fd);
}

#define with_memory(test) cmocka_unit_test_setup_teardown(test, open_memory, close_memory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_memory(a_bzimage_is_loaded_where_it_wants),
        with_memory(a_command_line_has_an_end),
        with_memory(odd_bzimages_are_refused),
        with_memory(an_elf_file_is_entered_by_its_note),
        with_memory(odd_elf_files_are_refused),
        with_memory(an_initrd_lies_high),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
