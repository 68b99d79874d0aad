/* How an ingest feeds the unpacking of a layer (see image_unpack_begin()). */
#ifndef HULL_IMAGE_UNPACK_H
#define HULL_IMAGE_UNPACK_H

#include "image/image.h"

/* image_unpack_begin() for a layer whose diff id isn't known before it is unpacked. */
int unpack_begin_unknown(struct image_store *store, struct image_lease *lease,
                         const struct image_limits *limits, struct image_unpack **unpack,
                         struct error *err);
/* image_unpack_commit() that tells the diff id found, and how the layer was compressed. */
int unpack_commit_unknown(struct image_unpack *unpack, const char (*parents)[IMAGE_DIGEST_SIZE],
                          size_t parent_count, char diff_id[IMAGE_DIGEST_SIZE],
                          enum image_compression *compression, struct error *err);

/* The bytes are those of the file fd (it is duplicated), of which available are there; starts the
 * threads. */
int unpack_follow(struct image_unpack *unpack, int fd, int64_t available, struct error *err);
/* There are more now. */
void unpack_advance(struct image_unpack *unpack, int64_t available);
/* There will be no more: they were verified, or were broken off. */
void unpack_end(struct image_unpack *unpack, bool whole);

#endif
