/* vm/image/kernel_image: kernels are taken for what they are, and what only looks like one is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "vm/image/kernel_image.h"

#define PAYLOAD 2560 /* behind four sectors of setup, and the first of it */
#define ROOM (256 << 10)
#define BANNER "Linux version 6.1.7-test+ (somebody@somewhere)"

struct file {
    unsigned char bytes[ROOM];
    size_t length;
};

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

/* One segment with the kernel's banner in it, behind the first block that is searched. */
static size_t make_elf(unsigned char *bytes)
{
    const size_t size = 100000;
    memset(bytes, 0, size);
    Elf64_Ehdr header = {.e_type = ET_EXEC,
                         .e_machine = EM_X86_64,
                         .e_version = EV_CURRENT,
                         .e_entry = 0x1000000,
                         .e_phoff = sizeof header,
                         .e_ehsize = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = 1};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    const Elf64_Phdr segment = {.p_type = PT_LOAD,
                                .p_offset = 4096,
                                .p_paddr = 0x1000000,
                                .p_filesz = size - 4096,
                                .p_memsz = size};
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, &segment, sizeof segment);
    strcpy((char *)bytes + 65530, BANNER);
    return size;
}

static size_t compress_gzip(unsigned char *out, const unsigned char *bytes, size_t length)
{
    z_stream stream = {.next_in = (unsigned char *)bytes,
                       .avail_in = (unsigned int)length,
                       .next_out = out,
                       .avail_out = ROOM - PAYLOAD};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static size_t compress_zstd(unsigned char *out, const unsigned char *bytes, size_t length)
{
    size_t count = ZSTD_compress(out, ROOM - PAYLOAD - 4, bytes, length, 3);
    assert_false(ZSTD_isError(count));
    put(out + count, length, 4);
    return count + 4;
}

/* The legacy frame format, with one block that has literals alone. */
static size_t compress_lz4(unsigned char *out, const unsigned char *bytes, size_t length)
{
    unsigned char *at = out + 8;
    *at++ = 0xf0;
    size_t left = length - 15;
    for (; left >= 255; left -= 255)
        *at++ = 255;
    *at++ = (unsigned char)left;
    memcpy(at, bytes, length);
    at += length;
    put(out, 0x184c2102, 4);
    put(out + 4, (uint64_t)(at - out - 8), 4);
    put(at, length, 4);
    return (size_t)(at - out) + 4;
}

static size_t compress_none(unsigned char *out, const unsigned char *bytes, size_t length)
{
    memcpy(out, bytes, length);
    return length;
}

static void make_bzimage(struct file *file,
                         size_t (*compress)(unsigned char *, const unsigned char *, size_t))
{
    static unsigned char elf[ROOM];
    memset(file, 0, sizeof *file);
    size_t length = compress(file->bytes + PAYLOAD, elf, make_elf(elf));
    file->bytes[0x1f1] = 4;
    put(file->bytes + 0x1fe, 0xaa55, 2);
    memcpy(file->bytes + 0x202, "HdrS", 4);
    put(file->bytes + 0x206, 0x20f, 2);
    put(file->bytes + 0x20e, 0x300, 2);
    put(file->bytes + 0x236, 1, 2);
    put(file->bytes + 0x248, 0, 4);
    put(file->bytes + 0x24c, length, 4);
    strcpy((char *)file->bytes + 0x500, "6.1.7-test+ (somebody) #1");
    file->length = PAYLOAD + length;
}

static int open_bytes(const void *bytes, size_t length)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    return fd;
}

static int read_and_unpack(const struct file *file, struct kernel_image *image, int out,
                           struct error *err)
{
    int fd = open_bytes(file->bytes, file->length);
    int status = kernel_image_read(fd, "k", image, err);
    if (status == 0)
        status = kernel_image_unpack(fd, "k", image, out, err);
    close(fd);
    return status;
}

static void check_whole(size_t (*compress)(unsigned char *, const unsigned char *, size_t),
                        enum kernel_format format)
{
    static struct file file;
    static unsigned char elf[ROOM], unpacked[ROOM];
    struct kernel_image image;
    struct error err = {0};
    const size_t content = 65530 + strlen(BANNER) - 4096;
    size_t length = make_elf(elf);
    make_bzimage(&file, compress);
    int out = memfd_create("vmlinux", MFD_CLOEXEC);
    if (read_and_unpack(&file, &image, out, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(image.format, format);
    assert_string_equal(image.version, "6.1.7-test+");
    /* But for the zeros at its segment's end, which aren't to be loaded. */
    memcpy(elf + sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz), &content, sizeof content);
    assert_int_equal(pread(out, unpacked, sizeof unpacked, 0), length);
    assert_memory_equal(unpacked, elf, length);
    close(out);
}

static void test_compressions(void **state)
{
    (void)state;
    check_whole(compress_gzip, KERNEL_BZIMAGE_GZIP);
    check_whole(compress_zstd, KERNEL_BZIMAGE_ZSTD);
    check_whole(compress_lz4, KERNEL_BZIMAGE_LZ4);
    check_whole(compress_none, KERNEL_BZIMAGE_ELF);
}

static void test_elf(void **state)
{
    static struct file file;
    struct kernel_image image;
    struct error err = {0};
    (void)state;
    file.length = make_elf(file.bytes);
    int out = memfd_create("vmlinux", MFD_CLOEXEC);
    assert_int_equal(read_and_unpack(&file, &image, out, &err), 0);
    assert_int_equal(image.format, KERNEL_ELF);
    assert_string_equal(image.version, "6.1.7-test+");
    close(out);
}

/* A bzImage of which one field is changed, and what is said of it. */
static const struct {
    unsigned int offset, size;
    uint64_t value;
    const char *error;
} changes[] = {
    {0x1fe, 2, 0, "neither a bzImage nor an ELF file"},
    {0x202, 1, 'h', "neither a bzImage nor an ELF file"},
    {0x206, 2, 0x207, "boot protocol 2.07, at least 2.08 is needed"},
    {0x236, 2, 0, "is a 32-bit kernel"},
    {0x1f1, 1, 255, "isn't within the file"},
    {0x248, 4, 0xffffffff, "isn't within the file"},
    {0x248, 4, 0x7fffffff, "isn't within the file"},
    {0x24c, 4, 0xffffffff, "isn't within the file"},
    {0x24c, 4, 0, "is cut off"},
    {0x24c, 4, 9, "is cut off"},
    {0x24c, 4, 1000, "isn't within the file"},
    {0x248, 4, 4, "isn't within the file"},
    {PAYLOAD, 2, 0x5a42, "compressed with a method that hull doesn't know"},
    {PAYLOAD, 4, 0x184c2102, "can't unpack k"},
    {PAYLOAD + 20, 4, 0x12345678, "can't unpack k"},
};

static void test_damaged(void **state)
{
    static struct file file;
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct kernel_image image;
        struct error err = {0};
        make_bzimage(&file, compress_gzip);
        put(file.bytes + changes[i].offset, changes[i].value, (int)changes[i].size);
        int out = memfd_create("vmlinux", MFD_CLOEXEC);
        if (read_and_unpack(&file, &image, out, &err) != -1)
            fail_msg("change %zu wasn't noticed", i);
        if (!strstr(err.text, changes[i].error))
            fail_msg("change %zu: '%s' isn't in '%s'", i, changes[i].error, err.text);
        close(out);
    }
}

/* What it says of its length is neither exceeded nor believed. */
static void test_lengths(void **state)
{
    static struct file file;
    static size_t (*const methods[])(unsigned char *, const unsigned char *,
                                     size_t) = {compress_gzip, compress_zstd, compress_lz4};
    static const uint32_t lengths[] = {
        0, 1, 99999, 100001, KERNEL_UNPACKED_MAX, KERNEL_UNPACKED_MAX + 1, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            struct kernel_image image;
            struct error err = {0};
            make_bzimage(&file, methods[i]);
            put(file.bytes + file.length - 4, lengths[j], 4);
            int out = memfd_create("vmlinux", MFD_CLOEXEC);
            assert_int_equal(read_and_unpack(&file, &image, out, &err), -1);
            assert_true(lseek(out, 0, SEEK_END) <= 100000);
            close(out);
        }
}

/* Cut at every place that matters, it is refused, and nothing is read beyond its end. */
static void test_cut(void **state)
{
    static struct file file;
    (void)state;
    make_bzimage(&file, compress_zstd);
    const size_t whole = file.length;
    for (file.length = 0; file.length < whole; file.length += file.length < 700 ? 1 : 97) {
        struct kernel_image image;
        struct error err = {0};
        int out = memfd_create("vmlinux", MFD_CLOEXEC);
        if (read_and_unpack(&file, &image, out, &err) != -1)
            fail_msg("cut to %zu bytes it was taken", file.length);
        close(out);
    }
}

static const struct {
    size_t offset;
    unsigned int size;
    uint64_t value;
} elf_changes[] = {
    {EI_CLASS, 1, ELFCLASS32},
    {EI_DATA, 1, ELFDATA2MSB},
    {offsetof(Elf64_Ehdr, e_machine), 2, EM_AARCH64},
    {offsetof(Elf64_Ehdr, e_type), 2, ET_REL},
    {offsetof(Elf64_Ehdr, e_phentsize), 2, 32},
    {offsetof(Elf64_Ehdr, e_phnum), 2, 0},
    {offsetof(Elf64_Ehdr, e_phnum), 2, 0xffff},
    {offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX},
    {offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX - 55},
    {offsetof(Elf64_Ehdr, e_phoff), 8, 99999},
    {64 + offsetof(Elf64_Phdr, p_type), 4, PT_NOTE},
    {64 + offsetof(Elf64_Phdr, p_type), 4, PT_INTERP},
    {64 + offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX},
    {64 + offsetof(Elf64_Phdr, p_offset), 8, 100001},
    {64 + offsetof(Elf64_Phdr, p_filesz), 8, UINT64_MAX - 4095},
    {64 + offsetof(Elf64_Phdr, p_filesz), 8, 100000},
    {64 + offsetof(Elf64_Phdr, p_memsz), 8, 1},
    {64 + offsetof(Elf64_Phdr, p_memsz), 8, UINT64_MAX},
};

static void test_damaged_elf(void **state)
{
    static struct file file;
    (void)state;
    for (size_t i = 0; i < sizeof elf_changes / sizeof *elf_changes; i++) {
        struct kernel_image image;
        struct error err = {0};
        file.length = make_elf(file.bytes);
        put(file.bytes + elf_changes[i].offset, elf_changes[i].value, (int)elf_changes[i].size);
        int fd = open_bytes(file.bytes, file.length);
        if (kernel_image_read(fd, "k", &image, &err) != -1)
            fail_msg("change %zu wasn't noticed", i);
        if (!strstr(err.text, "k isn't a kernel for x86-64"))
            fail_msg("change %zu: %s", i, err.text);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compressions), cmocka_unit_test(test_elf),
        cmocka_unit_test(test_damaged),      cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_cut),          cmocka_unit_test(test_damaged_elf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
