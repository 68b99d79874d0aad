/* Compressed clusters, which are read but never written: a write makes them ordinary ones. */
#include <errno.h>
#include <stdlib.h>

#include <zlib.h>
#include <zstd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"
#include "vm/device/virtqueue.h"

#define COMPRESSED_SECTOR 512

void qcow2_compressed_range(const struct qcow2 *image, uint64_t entry, uint64_t *offset,
                            uint64_t *size)
{
    unsigned bits = 62 - (image->cluster_bits - 8);
    uint64_t sectors = ((entry & ~(QCOW2_COMPRESSED | QCOW2_COPIED)) >> bits) + 1;
    *offset = entry & ((1ull << bits) - 1);
    *size = sectors * COMPRESSED_SECTOR - *offset % COMPRESSED_SECTOR;
}

static int inflate_cluster(uint8_t *packed, size_t packed_size, uint8_t *bytes, size_t size)
{
    z_stream stream = {.next_in = packed,
                       .avail_in = (uInt)packed_size,
                       .next_out = bytes,
                       .avail_out = (uInt)size};
    if (inflateInit2(&stream, -15) != Z_OK) /* no header */
        return ENOMEM;
    int status = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    /* What follows in the last sector is of no meaning. */
    return stream.avail_out == 0 && (status == Z_STREAM_END || status == Z_BUF_ERROR) ? 0 : EIO;
}

static int unpack_zstd(const uint8_t *packed, size_t packed_size, uint8_t *bytes, size_t size)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {packed, packed_size, 0};
    ZSTD_outBuffer out = {bytes, size, 0};
    if (!stream)
        return ENOMEM;
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27);
    while (out.pos < out.size) {
        size_t before_in = in.pos, before_out = out.pos;
        size_t status = ZSTD_decompressStream(stream, &out, &in);
        if (ZSTD_isError(status) || (in.pos == before_in && out.pos == before_out))
            break;
    }
    ZSTD_freeDStream(stream);
    return out.pos == out.size ? 0 : EIO;
}

/* Uncompresses a cluster into image->compressed_bytes. */
static int unpack(struct qcow2 *image, uint64_t entry)
{
    uint64_t offset, size;
    qcow2_compressed_range(image, entry, &offset, &size);
    scope_free uint8_t *packed = memory_allocate(size, 1);
    struct iovec part = {packed, size};
    if (!image->compressed_bytes)
        image->compressed_bytes = memory_allocate(image->cluster_size, 1);
    image->compressed_entry = 0;
    /* The last sector may lie beyond the file's end in part. */
    int error = disk_file_read_parts_or_zeros(image->fd, &part, 1, offset);
    if (!error)
        error = image->zstd
                    ? unpack_zstd(packed, size, image->compressed_bytes, image->cluster_size)
                    : inflate_cluster(packed, size, image->compressed_bytes, image->cluster_size);
    if (!error)
        image->compressed_entry = entry;
    return error;
}

int qcow2_read_compressed(struct qcow2 *image, uint64_t entry, uint64_t offset,
                          const struct iovec *parts, unsigned count)
{
    int error = 0;
    pthread_mutex_lock(&image->compressed_lock);
    if (image->compressed_entry != entry)
        error = unpack(image, entry);
    if (!error)
        virtqueue_copy_to(parts, count, 0, image->compressed_bytes + offset,
                          disk_parts_size(parts, count));
    pthread_mutex_unlock(&image->compressed_lock);
    return error;
}
