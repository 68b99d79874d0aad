/* A module's bytes, and what it says about itself. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/image/modules.h"

#define MODULE_LIMIT ((size_t)64 << 20)

/* ---- compression ---- */

struct buffer {
    char *bytes;
    size_t used, room;
};

/* More room; false at the limit. */
static bool grow(struct buffer *buffer)
{
    if (buffer->room >= MODULE_LIMIT)
        return false;
    buffer->room = buffer->room ? buffer->room * 2 : 1 << 20;
    buffer->bytes = memory_resize(buffer->bytes, buffer->room, 1);
    return true;
}

static bool expand_zstd(const char *bytes, size_t length, struct buffer *out)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {bytes, length, 0};
    size_t left = 1;
    while (stream && left != 0 && !ZSTD_isError(left) && (out->used < out->room || grow(out))) {
        ZSTD_outBuffer part = {out->bytes + out->used, out->room - out->used, 0};
        left = ZSTD_decompressStream(stream, &part, &in);
        out->used += part.pos;
        if (in.pos == in.size && part.pos < part.size)
            break;
    }
    ZSTD_freeDStream(stream);
    return left == 0;
}

static bool expand_gzip(const char *bytes, size_t length, struct buffer *out)
{
    z_stream stream = {.next_in = (Bytef *)bytes, .avail_in = (uInt)length};
    int result = inflateInit2(&stream, 15 + 16);
    if (result != Z_OK)
        return false;
    while (result == Z_OK && (out->used < out->room || grow(out))) {
        stream.next_out = (Bytef *)out->bytes + out->used;
        stream.avail_out = (uInt)(out->room - out->used);
        result = inflate(&stream, Z_NO_FLUSH);
        out->used = out->room - stream.avail_out;
    }
    inflateEnd(&stream);
    return result == Z_STREAM_END;
}

/* liblzma is loaded for this: few distributions compress modules, and linking costs each start. */
static bool expand_xz(const char *bytes, size_t length, struct buffer *out)
{
    void *library = dlopen("liblzma.so.5", RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "lzma_stream_buffer_decode") : NULL;
    __typeof__(&lzma_stream_buffer_decode) decode;
    memcpy(&decode, &symbol, sizeof decode);
    bool done = false, goes_on = symbol != NULL;
    while (goes_on && !done && grow(out)) {
        uint64_t limit = (uint64_t)256 << 20;
        size_t from = 0;
        out->used = 0;
        lzma_ret result = decode(&limit, 0, NULL, (const uint8_t *)bytes, &from, length,
                                 (uint8_t *)out->bytes, &out->used, out->room);
        done = result == LZMA_OK;
        goes_on = result == LZMA_BUF_ERROR;
    }
    if (library)
        dlclose(library);
    return done;
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t length = strlen(text), count = strlen(suffix);
    return length > count && strcmp(text + length - count, suffix) == 0;
}

char *module_read(const char *directory, const char *path, size_t *length, struct error *err)
{
    bool (*expand)(const char *bytes, size_t size, struct buffer *out) =
        has_suffix(path, ".zst")  ? expand_zstd
        : has_suffix(path, ".gz") ? expand_gzip
        : has_suffix(path, ".xz") ? expand_xz
                                  : NULL;
    scope_free char *full = memory_format("%s/%s", directory, path);
    scope_free char *bytes = file_read_all(AT_FDCWD, full, MODULE_LIMIT, length, err);
    if (!bytes || !expand)
        return scope_take_pointer(bytes);
    struct buffer out = {0};
    if (expand(bytes, *length, &out)) {
        *length = out.used;
        return out.bytes;
    }
    free(out.bytes);
    error_set(err, EINVAL, "can't decompress the module %s%s", full,
              expand == expand_xz ? " (is liblzma5 installed?)" : "");
    return NULL;
}

/* ---- .modinfo ---- */

/* So many bytes at offset, or NULL. */
static const void *at(const char *contents, size_t length, uint64_t offset, uint64_t size)
{
    return offset <= length && size <= length - offset ? contents + offset : NULL;
}

/* The section by its name in a 64-bit ELF file (System V ABI, chapter 4). */
static const char *find_section(const char *contents, size_t length, const char *name, size_t *size)
{
    Elf64_Ehdr header;
    Elf64_Shdr section, names;
    const void *from = at(contents, length, 0, sizeof header);
    if (!from)
        return NULL;
    memcpy(&header, from, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_shentsize != sizeof section)
        return NULL;
    from = at(contents, length, header.e_shoff + (uint64_t)header.e_shstrndx * sizeof names,
              sizeof names);
    if (header.e_shoff > length || !from)
        return NULL;
    memcpy(&names, from, sizeof names);
    const char *text = at(contents, length, names.sh_offset, names.sh_size);
    for (uint64_t i = 0; text && i < header.e_shnum; i++) {
        from = at(contents, length, header.e_shoff + i * sizeof section, sizeof section);
        if (!from)
            return NULL;
        memcpy(&section, from, sizeof section);
        size_t wanted = strlen(name) + 1;
        if (section.sh_name >= names.sh_size || names.sh_size - section.sh_name < wanted ||
            memcmp(text + section.sh_name, name, wanted) != 0)
            continue;
        *size = section.sh_size;
        return at(contents, length, section.sh_offset, section.sh_size);
    }
    return NULL;
}

bool module_information(const char *contents, size_t length, const char *key, const char **value,
                        size_t *value_length)
{
    size_t size = 0, wanted = strlen(key);
    const char *text = find_section(contents, length, ".modinfo", &size);
    for (size_t i = 0; text && i < size;) {
        size_t count = strnlen(text + i, size - i);
        if (count > wanted && memcmp(text + i, key, wanted) == 0 && text[i + wanted] == '=') {
            *value = text + i + wanted + 1;
            *value_length = count - wanted - 1;
            return true;
        }
        i += count + 1;
    }
    return false;
}
