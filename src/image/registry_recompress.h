/* An image's layers compressed in another way, for a push that asks for it. */
#ifndef HULL_IMAGE_REGISTRY_RECOMPRESS_H
#define HULL_IMAGE_REGISTRY_RECOMPRESS_H

#include "image/image.h"

/* Writes a layer's blob compressed with gzip or zstd into the store, held by the lease, and changes
 * *layer (digest, size, media type of OCI) to it. One that is compressed like that already only
 * gets OCI's media type. */
int registry_recompress(struct image_store *store, struct image_lease *lease,
                        struct image_descriptor *layer, enum image_compression compression,
                        const struct image_progress *progress, const char *item, struct error *err);

#endif
