/* Streams that may be compressed with gzip or zstd, which is seen from their first bytes; with
 * bounds, as their authors aren't trusted. */
#ifndef HULL_IMAGE_DECOMPRESS_H
#define HULL_IMAGE_DECOMPRESS_H

#include <sys/types.h>

#include "image/image.h"

struct decompressor;

/* read gives up to count bytes of the stream: their number, 0 at the end, -1 with the error. */
struct decompressor *decompressor_new(ssize_t (*read)(void *context, void *bytes, size_t count,
                                                      struct error *err),
                                      void *context, const struct image_limits *limits);
void decompressor_free(struct decompressor *decompressor); /* NULL is borne */
/* Fills bytes: count of them but at the end of the stream; 0 there. -1: failed, or a bound was
 * passed. */
ssize_t decompressor_read(struct decompressor *decompressor, void *bytes, size_t count,
                          struct error *err);
/* Known after the first read. */
enum image_compression decompressor_kind(const struct decompressor *decompressor);

#endif
