#include "image/registry_recompress.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/compose.h"
#include "image/decompress.h"

#define PIECE (256u << 10)
#define GZIP_LEVEL 6
#define ZSTD_LEVEL 3

struct recompression {
    int fd;
    int64_t came, size; /* of the blob that is read */
    const struct image_progress *progress;
    const char *item;
    struct image_ingest *ingest;
    int64_t written;
    enum image_compression compression;
    z_stream gzip;
    ZSTD_CCtx *zstd;
    char input[PIECE], output[PIECE];
};

static ssize_t read_blob(void *context, void *bytes, size_t count, struct error *err)
{
    struct recompression *work = context;
    ssize_t got;
    do
        got = read(work->fd, bytes, count);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_set(err, errno, "can't read the layer");
    work->came += got;
    image_progress_update(work->progress, work->item, IMAGE_PROGRESS_LOADING, work->came,
                          work->size);
    return got;
}

static int write_out(struct recompression *work, size_t count, struct error *err)
{
    work->written += (int64_t)count;
    return count ? image_ingest_write(work->ingest, work->output, count, err) : 0;
}

static int gzip_some(struct recompression *work, size_t count, bool last, struct error *err)
{
    work->gzip.next_in = (unsigned char *)work->input;
    work->gzip.avail_in = (unsigned int)count;
    do {
        work->gzip.next_out = (unsigned char *)work->output;
        work->gzip.avail_out = PIECE;
        deflate(&work->gzip, last ? Z_FINISH : Z_NO_FLUSH);
        if (write_out(work, PIECE - work->gzip.avail_out, err) < 0)
            return -1;
    } while (work->gzip.avail_out == 0);
    return 0;
}

static int zstd_some(struct recompression *work, size_t count, bool last, struct error *err)
{
    ZSTD_inBuffer in = {work->input, count, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {work->output, PIECE, 0};
        left = ZSTD_compressStream2(work->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return error_set(err, 0, "can't compress: %s", ZSTD_getErrorName(left));
        if (write_out(work, out.pos, err) < 0)
            return -1;
    } while (last ? left > 0 : in.pos < in.size);
    return 0;
}

static int compress_all(struct recompression *work, struct decompressor *decompressor,
                        struct error *err)
{
    ssize_t count;
    do {
        count = decompressor_read(decompressor, work->input, PIECE, err);
        if (count < 0)
            return -1;
        int status = work->compression == IMAGE_COMPRESSION_GZIP
                         ? gzip_some(work, (size_t)count, count == 0, err)
                         : zstd_some(work, (size_t)count, count == 0, err);
        if (status < 0)
            return -1;
    } while (count > 0);
    return 0;
}

/* The compression that the blob has, from its first bytes. */
static enum image_compression find_kind(int fd, struct error *err)
{
    unsigned char magic[4] = {0};
    if (pread(fd, magic, sizeof magic, 0) < 0)
        error_set(err, errno, "can't read the layer");
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        return IMAGE_COMPRESSION_GZIP;
    return memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? IMAGE_COMPRESSION_ZSTD
                                                     : IMAGE_COMPRESSION_NONE;
}

static int recompress(struct image_store *store, struct image_lease *lease,
                      struct recompression *work, struct image_descriptor *layer, struct error *err)
{
    char digest[IMAGE_DIGEST_SIZE];
    bool gzip = work->compression == IMAGE_COMPRESSION_GZIP;
    if (gzip &&
        deflateInit2(&work->gzip, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return error_set(err, 0, "can't begin to compress");
    if (!gzip && !(work->zstd = ZSTD_createCCtx()))
        return error_set(err, 0, "can't begin to compress");
    if (!gzip) {
        ZSTD_CCtx_setParameter(work->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
        ZSTD_CCtx_setParameter(work->zstd, ZSTD_c_checksumFlag, 1);
    }
    struct decompressor *decompressor = decompressor_new(read_blob, work, NULL);
    int status = image_ingest_begin(store, lease, NULL, -1, NULL, &work->ingest, err);
    if (status == 0)
        status = compress_all(work, decompressor, err);
    if (status < 0)
        image_ingest_abort(work->ingest, false);
    else
        status = image_ingest_commit(work->ingest, digest, err);
    decompressor_free(decompressor);
    if (gzip)
        deflateEnd(&work->gzip);
    ZSTD_freeCCtx(work->zstd);
    if (status == 0) {
        strcpy(layer->digest, digest);
        layer->size = work->written;
    }
    return status;
}

int registry_recompress(struct image_store *store, struct image_lease *lease,
                        struct image_descriptor *layer, enum image_compression compression,
                        const struct image_progress *progress, const char *item, struct error *err)
{
    int64_t size;
    struct error unread = {0};
    scope_close int fd = image_blob_open(store, layer->digest, &size, err);
    if (fd < 0)
        return -1;
    enum image_compression kind = find_kind(fd, &unread);
    if (*unread.text)
        return error_set(err, 0, "layer %.19s: %s", layer->digest, unread.text);
    if (kind != compression) {
        scope_free struct recompression *work = memory_allocate(1, sizeof *work);
        work->fd = fd;
        work->size = size;
        work->progress = progress;
        work->item = item;
        work->compression = compression;
        if (recompress(store, lease, work, layer, err) < 0)
            return error_wrap(err, "layer %.19s", layer->digest);
    }
    snprintf(layer->media_type, sizeof layer->media_type, "%s", compose_layer_type(compression));
    return 0;
}
