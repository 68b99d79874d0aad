/* How an ingest feeds the unpacking of a layer (see image_unpack_begin()). */
#ifndef HULL_IMAGE_UNPACK_H
#define HULL_IMAGE_UNPACK_H

#include "image/image.h"

/* The bytes are those of the file fd (it is duplicated), of which available are there; starts the
 * threads. */
int unpack_follow(struct image_unpack *unpack, int fd, int64_t available, struct error *err);
/* There are more now. */
void unpack_advance(struct image_unpack *unpack, int64_t available);
/* There will be no more: they were verified, or were broken off. */
void unpack_end(struct image_unpack *unpack, bool whole);

#endif
