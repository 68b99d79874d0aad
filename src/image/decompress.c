#include "image/decompress.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/memory.h"
#include "base/scope.h"

#define INPUT_SIZE (256u << 10)
#define RATIO_GRACE (64ll << 20) /* streams this small may have any ratio */
#define RATIO_DEFAULT 1200
#define BYTES_DEFAULT (64ll << 30)

struct decompressor {
    ssize_t (*read)(void *context, void *bytes, size_t count, struct error *err);
    void *context;
    enum image_compression kind;
    bool known;         /* kind is */
    bool at_end;        /* of the compressed stream */
    bool in_member;     /* a gzip member, or a zstd frame, has begun and not ended */
    int64_t came, gone; /* bytes read and given */
    int64_t most_bytes;
    int ratio;
    z_stream gzip;
    ZSTD_DStream *zstd;
    unsigned char *input;
    size_t start, end; /* what of input isn't used yet */
};

struct decompressor *decompressor_new(ssize_t (*read)(void *context, void *bytes, size_t count,
                                                      struct error *err),
                                      void *context, const struct image_limits *limits)
{
    struct decompressor *decompressor = memory_allocate(1, sizeof *decompressor);
    decompressor->read = read;
    decompressor->context = context;
    decompressor->input = memory_allocate(1, INPUT_SIZE);
    decompressor->most_bytes = limits && limits->bytes ? limits->bytes : BYTES_DEFAULT;
    decompressor->ratio = limits && limits->ratio ? limits->ratio : RATIO_DEFAULT;
    return decompressor;
}

void decompressor_free(struct decompressor *decompressor)
{
    if (!decompressor)
        return;
    if (decompressor->known && decompressor->kind == IMAGE_COMPRESSION_GZIP)
        inflateEnd(&decompressor->gzip);
    ZSTD_freeDStream(decompressor->zstd);
    free(decompressor->input);
    free(decompressor);
}

enum image_compression decompressor_kind(const struct decompressor *decompressor)
{
    return decompressor->kind;
}

/* Reads more input behind what is left of it. */
static int fill(struct decompressor *decompressor, struct error *err)
{
    size_t left = decompressor->end - decompressor->start;
    memmove(decompressor->input, decompressor->input + decompressor->start, left);
    decompressor->start = 0;
    decompressor->end = left;
    ssize_t count = decompressor->read(decompressor->context, decompressor->input + left,
                                       INPUT_SIZE - left, err);
    if (count < 0)
        return -1;
    decompressor->end += (size_t)count;
    decompressor->came += count;
    decompressor->at_end = count == 0;
    return 0;
}

/* RFC 1952 and RFC 8878: the magic numbers. */
static int recognise(struct decompressor *decompressor, struct error *err)
{
    while (decompressor->end - decompressor->start < 4 && !decompressor->at_end)
        if (fill(decompressor, err) < 0)
            return -1;
    const unsigned char *magic = decompressor->input + decompressor->start;
    size_t count = decompressor->end - decompressor->start;
    decompressor->kind = IMAGE_COMPRESSION_NONE;
    if (count >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
        decompressor->kind = IMAGE_COMPRESSION_GZIP;
        if (inflateInit2(&decompressor->gzip, 15 + 16) != Z_OK)
            return error_set(err, 0, "can't begin to decompress");
    } else if (count >= 4 && memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0) {
        decompressor->kind = IMAGE_COMPRESSION_ZSTD;
        decompressor->zstd = ZSTD_createDStream();
        if (!decompressor->zstd)
            return error_set(err, 0, "can't begin to decompress");
    } else if (count >= 3 && (memcmp(magic, "BZh", 3) == 0 || memcmp(magic,
                                                                     "\xfd"
                                                                     "7zX",
                                                                     4) == 0)) {
        return error_set(err, 0,
                         "it is compressed with bzip2 or xz, and images may only be with "
                         "gzip or zstd (decompress it first)");
    }
    decompressor->known = true;
    return 0;
}

static int inflate_some(struct decompressor *decompressor, void *bytes, size_t *count,
                        struct error *err)
{
    z_stream *gzip = &decompressor->gzip;
    gzip->next_in = decompressor->input + decompressor->start;
    gzip->avail_in = (unsigned int)(decompressor->end - decompressor->start);
    gzip->next_out = bytes;
    gzip->avail_out = (unsigned int)*count;
    if (!decompressor->in_member && inflateReset(gzip) != Z_OK)
        return error_set(err, 0, "can't begin to decompress");
    decompressor->in_member = true;
    int result = inflate(gzip, Z_NO_FLUSH);
    decompressor->start = decompressor->end - gzip->avail_in;
    *count -= gzip->avail_out;
    if (result == Z_STREAM_END)
        decompressor->in_member = false;
    else if (result != Z_OK && result != Z_BUF_ERROR)
        return error_set(err, 0, "its gzip stream is damaged: %s", gzip->msg ? gzip->msg : "?");
    return 0;
}

static int unzstd_some(struct decompressor *decompressor, void *bytes, size_t *count,
                       struct error *err)
{
    ZSTD_inBuffer in = {decompressor->input, decompressor->end, decompressor->start};
    ZSTD_outBuffer out = {bytes, *count, 0};
    size_t result = ZSTD_decompressStream(decompressor->zstd, &out, &in);
    if (ZSTD_isError(result))
        return error_set(err, 0, "its zstd stream is damaged: %s", ZSTD_getErrorName(result));
    decompressor->start = in.pos;
    decompressor->in_member = result != 0;
    *count = out.pos;
    return 0;
}

static int copy_some(struct decompressor *decompressor, void *bytes, size_t *count)
{
    size_t have = decompressor->end - decompressor->start;
    *count = *count < have ? *count : have;
    memcpy(bytes, decompressor->input + decompressor->start, *count);
    decompressor->start += *count;
    return 0;
}

static int check_bounds(const struct decompressor *decompressor, struct error *err)
{
    if (decompressor->gone > decompressor->most_bytes)
        return error_set(err, 0,
                         "unpacked it has more than the %lld MiB that are allowed or free (is it a "
                         "bomb?)",
                         (long long)(decompressor->most_bytes >> 20));
    if (decompressor->gone > RATIO_GRACE &&
        decompressor->gone / decompressor->ratio > decompressor->came)
        return error_set(err, 0, "unpacked it is more than %d times as large: a bomb",
                         decompressor->ratio);
    return 0;
}

/* Some bytes, or 0 at the end. */
static int read_some(struct decompressor *decompressor, char *bytes, size_t *count,
                     struct error *err)
{
    size_t room = *count;
    for (;;) {
        if (decompressor->start == decompressor->end && !decompressor->at_end &&
            fill(decompressor, err) < 0)
            return -1;
        bool empty = decompressor->start == decompressor->end;
        if (empty && !decompressor->in_member) {
            *count = 0;
            return 0;
        }
        *count = room;
        int result = decompressor->kind == IMAGE_COMPRESSION_GZIP
                         ? inflate_some(decompressor, bytes, count, err)
                     : decompressor->kind == IMAGE_COMPRESSION_ZSTD
                         ? unzstd_some(decompressor, bytes, count, err)
                         : copy_some(decompressor, bytes, count);
        if (result < 0 || *count > 0)
            return result;
        if (empty && decompressor->in_member)
            return error_set(err, 0, "its compressed stream ends too early");
    }
}

ssize_t decompressor_read(struct decompressor *decompressor, void *bytes, size_t count,
                          struct error *err)
{
    size_t done = 0;
    if (!decompressor->known && recognise(decompressor, err) < 0)
        return -1;
    while (done < count) {
        size_t some = count - done;
        if (read_some(decompressor, (char *)bytes + done, &some, err) < 0)
            return -1;
        if (some == 0)
            break;
        done += some;
        decompressor->gone += (int64_t)some;
        if (check_bounds(decompressor, err) < 0)
            return -1;
    }
    return (ssize_t)done;
}
