#include "vm/image/kernel_image.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/archive_library.h"

/* Boot protocol: offsets of the setup header's fields in the file. */
#define SETUP_SECTS 0x1f1
#define BOOT_FLAG 0x1fe
#define HEADER_MAGIC 0x202
#define PROTOCOL_VERSION 0x206
#define KERNEL_VERSION 0x20e
#define XLOADFLAGS 0x236
#define PAYLOAD_OFFSET 0x248
#define PAYLOAD_LENGTH 0x24c
#define HEADER_END 0x268

#define SECTOR 512u
#define SETUP_SECTS_DEFAULT 4 /* what 0 means */
#define PROTOCOL_PAYLOAD 0x0208
#define PROTOCOL_XLOADFLAGS 0x020c
#define XLF_KERNEL_64 1
#define MAGIC_SIZE 6
#define LENGTH_SIZE 4 /* the payload's last bytes are its length when it is unpacked */
#define SEGMENTS_MAX 128
#define BLOCK (64u << 10)
#define BANNER "Linux version "

static const struct {
    enum kernel_format format;
    unsigned char magic[MAGIC_SIZE];
    unsigned int length;
} magics[] = {
    {KERNEL_BZIMAGE_GZIP, {0x1f, 0x8b, 8}, 3},
    {KERNEL_BZIMAGE_XZ, {0xfd, '7', 'z', 'X', 'Z', 0}, 6},
    {KERNEL_BZIMAGE_LZ4, {0x02, 0x21, 0x4c, 0x18}, 4}, /* the legacy frame format */
    {KERNEL_BZIMAGE_ZSTD, {0x28, 0xb5, 0x2f, 0xfd}, 4},
    {KERNEL_BZIMAGE_ELF, {0x7f, 'E', 'L', 'F'}, 4},
};

static uint16_t read_16(const unsigned char *header, unsigned int offset)
{
    uint16_t value;
    memcpy(&value, header + offset, sizeof value);
    return le16toh(value);
}

static uint32_t read_32(const unsigned char *header, unsigned int offset)
{
    uint32_t value;
    memcpy(&value, header + offset, sizeof value);
    return le32toh(value);
}

/* Exactly count bytes. */
static bool read_at(int fd, void *bytes, size_t count, uint64_t offset)
{
    for (size_t done = 0; done < count;) {
        ssize_t got =
            pread(fd, (char *)bytes + done, count - done, (off_t)(offset + (uint64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Up to the first character that no version has. */
static void copy_version(char *version, const char *text, size_t length)
{
    size_t end = 0;
    while (end < length && end < KERNEL_VERSION_SIZE - 1 && text[end] &&
           strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-", text[end]))
        end++;
    memcpy(version, text, end);
    version[end] = '\0';
}

/* ---- ELF ---- */

static int refuse_elf(const char *name, const char *why, struct error *err)
{
    return error_set(err, 0, "%s isn't a kernel for x86-64: %s", name, why);
}

static int check_segments(int fd, const char *name, const Elf64_Ehdr *header, uint64_t size,
                          struct error *err)
{
    bool loads = false;
    for (unsigned int i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        if (!read_at(fd, &segment, sizeof segment, header->e_phoff + i * sizeof segment))
            return refuse_elf(name, "its program headers are cut off", err);
        if (segment.p_type == PT_INTERP)
            return refuse_elf(name, "it is a program", err);
        if (segment.p_type != PT_LOAD)
            continue;
        if (segment.p_offset > size || segment.p_filesz > size - segment.p_offset ||
            segment.p_filesz > segment.p_memsz || segment.p_memsz > KERNEL_UNPACKED_MAX)
            return refuse_elf(name, "a segment isn't within the file", err);
        loads = true;
    }
    return loads ? 0 : refuse_elf(name, "nothing of it is to be loaded", err);
}

static int check_elf(int fd, const char *name, uint64_t size, struct error *err)
{
    Elf64_Ehdr header;
    if (!read_at(fd, &header, sizeof header, 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return refuse_elf(name, "it has no ELF header", err);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64)
        return refuse_elf(name, "it is for another processor", err);
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return refuse_elf(name, "its ELF file isn't executable", err);
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
        header.e_phnum > SEGMENTS_MAX || header.e_phoff > size ||
        header.e_phnum * sizeof(Elf64_Phdr) > size - header.e_phoff)
        return refuse_elf(name, "its program headers aren't within the file", err);
    return check_segments(fd, name, &header, size, err);
}

/* An ELF file's version is where the kernel prints it from (init/version.c, linux_banner). */
static void find_version(int fd, uint64_t size, char *version)
{
    const size_t overlap = strlen(BANNER) + KERNEL_VERSION_SIZE;
    scope_free char *block = memory_allocate(1, BLOCK);
    for (uint64_t at = 0; at < size; at += BLOCK - overlap) {
        size_t count = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        if (!read_at(fd, block, count, at))
            return;
        const char *banner = memmem(block, count, BANNER, strlen(BANNER));
        if (!banner)
            continue;
        const char *text = banner + strlen(BANNER);
        copy_version(version, text, (size_t)(block + count - text));
        /* One that the block cuts off is whole in the next one. */
        if (count < BLOCK || (size_t)(banner - block) < BLOCK - overlap)
            return;
    }
}

static int read_elf(int fd, const char *name, struct kernel_image *image, uint64_t size,
                    struct error *err)
{
    image->format = KERNEL_ELF;
    image->payload_length = image->unpacked_length = size;
    if (check_elf(fd, name, size, err) < 0)
        return -1;
    find_version(fd, size, image->version);
    return 0;
}

/* ---- bzImage ---- */

static int read_payload(int fd, const char *name, struct kernel_image *image, struct error *err)
{
    unsigned char magic[MAGIC_SIZE], length[LENGTH_SIZE];
    if (image->payload_length < MAGIC_SIZE + LENGTH_SIZE ||
        !read_at(fd, magic, sizeof magic, image->payload) ||
        !read_at(fd, length, sizeof length, image->payload + image->payload_length - LENGTH_SIZE))
        return error_set(err, 0, "%s is damaged: its compressed kernel is cut off", name);
    unsigned int i = 0;
    while (i < sizeof magics / sizeof *magics &&
           memcmp(magic, magics[i].magic, magics[i].length) != 0)
        i++;
    if (i == sizeof magics / sizeof *magics)
        return error_set(err, 0,
                         "%s is compressed with a method that hull doesn't know (gzip, xz, lz4, "
                         "zstd)",
                         name);
    image->format = magics[i].format;
    image->unpacked_length =
        image->format == KERNEL_BZIMAGE_ELF ? image->payload_length : read_32(length, 0);
    /* gzip's own format ends with the length, too; behind the others the kernel's build puts it. */
    if (image->format != KERNEL_BZIMAGE_GZIP && image->format != KERNEL_BZIMAGE_ELF)
        image->payload_length -= LENGTH_SIZE;
    if (image->unpacked_length > KERNEL_UNPACKED_MAX)
        return error_set(err, 0, "%s has an unpacked kernel of %llu bytes; the most is %u", name,
                         (unsigned long long)image->unpacked_length, KERNEL_UNPACKED_MAX);
    return 0;
}

static int read_bzimage(int fd, const char *name, const unsigned char *header,
                        struct kernel_image *image, uint64_t size, struct error *err)
{
    uint16_t protocol = read_16(header, PROTOCOL_VERSION);
    if (protocol < PROTOCOL_PAYLOAD)
        return error_set(err, 0, "%s is too old: boot protocol %u.%02u, at least 2.08 is needed",
                         name, protocol >> 8, protocol & 0xff);
    if (protocol >= PROTOCOL_XLOADFLAGS && !(read_16(header, XLOADFLAGS) & XLF_KERNEL_64))
        return error_set(err, 0, "%s is a 32-bit kernel; one for x86-64 is needed", name);
    unsigned int setup = header[SETUP_SECTS] ? header[SETUP_SECTS] : SETUP_SECTS_DEFAULT;
    uint64_t code = (setup + 1) * SECTOR;
    image->payload = code + read_32(header, PAYLOAD_OFFSET);
    image->payload_length = read_32(header, PAYLOAD_LENGTH);
    if (image->payload > size || image->payload_length > size - image->payload)
        return error_set(err, 0, "%s is damaged: its compressed kernel isn't within the file",
                         name);
    unsigned int version = read_16(header, KERNEL_VERSION);
    char text[KERNEL_VERSION_SIZE] = "";
    if (version && read_at(fd, text, sizeof text - 1, SECTOR + version))
        copy_version(image->version, text, sizeof text - 1);
    return read_payload(fd, name, image, err);
}

int kernel_image_read(int fd, const char *name, struct kernel_image *image, struct error *err)
{
    unsigned char header[HEADER_END];
    struct stat status;
    *image = (struct kernel_image){0};
    if (fstat(fd, &status) < 0)
        return error_set(err, errno, "can't read %s", name);
    if (!S_ISREG(status.st_mode) || status.st_size > KERNEL_FILE_MAX)
        return error_set(err, 0, "%s isn't a kernel: not a file of at most %u bytes", name,
                         KERNEL_FILE_MAX);
    uint64_t size = (uint64_t)status.st_size;
    if (!read_at(fd, header, sizeof header, 0))
        return error_set(err, 0, "%s isn't a kernel: it is too short", name);
    if (memcmp(header, ELFMAG, SELFMAG) == 0)
        return read_elf(fd, name, image, size, err);
    if (read_16(header, BOOT_FLAG) == 0xaa55 && memcmp(header + HEADER_MAGIC, "HdrS", 4) == 0)
        return read_bzimage(fd, name, header, image, size, err);
    return error_set(err, 0, "%s isn't a kernel: neither a bzImage nor an ELF file", name);
}

/* ---- Unpacking ---- */

struct source {
    const struct archive_library *library;
    int fd;
    uint64_t at, end;
    char *block;
};

static la_ssize_t give_block(struct archive *archive, void *context, const void **bytes)
{
    struct source *source = context;
    size_t count = source->end - source->at < BLOCK ? (size_t)(source->end - source->at) : BLOCK;
    if (!read_at(source->fd, source->block, count, source->at)) {
        source->library->archive_set_error(archive, EIO, "the file is cut off");
        return -1;
    }
    source->at += count;
    *bytes = source->block;
    return (la_ssize_t)count;
}

static int copy_payload(struct source *source, int out, struct error *err)
{
    while (source->at < source->end) {
        size_t count =
            source->end - source->at < BLOCK ? (size_t)(source->end - source->at) : BLOCK;
        if (!read_at(source->fd, source->block, count, source->at))
            return error_set(err, 0, "the file is cut off");
        if (file_write_all(out, source->block, count) < 0)
            return error_set(err, errno, "can't write it");
        source->at += count;
    }
    return 0;
}

/* The one method that the payload's beginning is of: libarchive would undo any number of them, one
 * within the other. */
static int choose_method(const struct archive_library *library, struct archive *archive,
                         enum kernel_format format)
{
    switch (format) {
    case KERNEL_BZIMAGE_GZIP:
        return library->archive_read_support_filter_gzip(archive);
    case KERNEL_BZIMAGE_LZ4:
        return library->archive_read_support_filter_lz4(archive);
    case KERNEL_BZIMAGE_XZ:
        return library->archive_read_support_filter_xz(archive);
    case KERNEL_BZIMAGE_ZSTD:
        return library->archive_read_support_filter_zstd(archive);
    case KERNEL_ELF:
    case KERNEL_BZIMAGE_ELF:
        break;
    }
    return ARCHIVE_FATAL;
}

static int write_unpacked(const struct archive_library *library, struct archive *archive,
                          uint64_t length, int out, struct error *err)
{
    uint64_t written = 0;
    const void *bytes;
    size_t count;
    la_int64_t offset;
    int result;
    while ((result = library->archive_read_data_block(archive, &bytes, &count, &offset)) ==
           ARCHIVE_OK) {
        if (count > length - written)
            return error_set(err, 0, "it is longer than the %llu bytes that it says",
                             (unsigned long long)length);
        if (file_write_all(out, bytes, count) < 0)
            return error_set(err, errno, "can't write it");
        written += count;
    }
    if (result != ARCHIVE_EOF)
        return error_set(err, 0, "%s", library->archive_error_string(archive));
    if (written != length)
        return error_set(err, 0, "it has %llu bytes, and says %llu", (unsigned long long)written,
                         (unsigned long long)length);
    return 0;
}

static int decompress(struct source *source, const struct kernel_image *image, int out,
                      struct error *err)
{
    const struct archive_library *library = archive_library_load(err);
    if (!library)
        return -1;
    source->library = library;
    struct archive *archive = library->archive_read_new();
    struct archive_entry *entry;
    int status = 0;
    if (!archive || library->archive_read_support_format_raw(archive) != ARCHIVE_OK ||
        choose_method(library, archive, image->format) != ARCHIVE_OK)
        status = error_set(err, 0, "libarchive was built without this method of compression");
    else if (library->archive_read_open(archive, source, NULL, give_block, NULL) != ARCHIVE_OK ||
             library->archive_read_next_header(archive, &entry) != ARCHIVE_OK)
        status = error_set(err, 0, "%s", library->archive_error_string(archive));
    else
        status = write_unpacked(library, archive, image->unpacked_length, out, err);
    if (archive)
        library->archive_read_free(archive);
    return status;
}

/* ---- What isn't worth loading ---- */

/* How many bytes of a range are left without the zeros at its end. */
static bool measure_content(int fd, char *block, uint64_t start, uint64_t *length)
{
    while (*length > 0) {
        size_t count = *length < BLOCK ? (size_t)*length : BLOCK;
        if (!read_at(fd, block, count, start + *length - count))
            return false;
        while (count > 0 && block[count - 1] == 0) {
            count--;
            --*length;
        }
        if (count > 0)
            return true;
    }
    return true;
}

/* A quarter of what Linux has to load is the zeros of its .bss. A guest's memory is zeros from the
 * beginning: segments in the file end where those begin, which ELF has a length of its own for. */
static int shorten_segments(int fd, char *block, struct error *err)
{
    Elf64_Ehdr header;
    if (!read_at(fd, &header, sizeof header, 0))
        return error_set(err, errno, "can't read it again");
    for (unsigned int i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        off_t place = (off_t)(header.e_phoff + i * sizeof segment);
        if (!read_at(fd, &segment, sizeof segment, (uint64_t)place))
            return error_set(err, errno, "can't read it again");
        if (segment.p_type != PT_LOAD)
            continue;
        if (!measure_content(fd, block, segment.p_offset, &segment.p_filesz) ||
            pwrite(fd, &segment, sizeof segment, place) != sizeof segment)
            return error_set(err, errno, "can't shorten its segments");
    }
    return 0;
}

int kernel_image_unpack(int fd, const char *name, const struct kernel_image *image, int out,
                        struct error *err)
{
    scope_free char *block = memory_allocate(1, BLOCK);
    struct source source = {.fd = fd,
                            .at = image->payload,
                            .end = image->payload + image->payload_length,
                            .block = block};
    bool plain = image->format == KERNEL_ELF || image->format == KERNEL_BZIMAGE_ELF;
    int status = plain ? copy_payload(&source, out, err) : decompress(&source, image, out, err);
    if (status < 0)
        return error_wrap(err, "can't unpack %s", name);
    if (check_elf(out, name, image->unpacked_length, err) < 0)
        return -1;
    return shorten_segments(out, block, err) < 0 ? error_wrap(err, "can't unpack %s", name) : 0;
}
