/* The layers of an image from a registry: several at a time, each downloaded and unpacked side by
 * side, and put into their places in their order. */
#ifndef HULL_IMAGE_REGISTRY_LAYERS_H
#define HULL_IMAGE_REGISTRY_LAYERS_H

#include "image/image.h"
#include "image/registry_session.h"

struct registry_layers {
    struct image_store *store;
    struct image_lease *lease;
    struct registry_session *session;
    const struct image_descriptor *layers;
    const char (*diff_ids)[IMAGE_DIGEST_SIZE];
    size_t count;
    const struct image_progress *progress; /* may be NULL */
};

/* When it returns 0 all blobs are in the store and all layers unpacked, held by the lease. The
 * first failure ends the rest; what came of the blobs is kept to go on with. */
int registry_layers_get(const struct registry_layers *layers, struct error *err);

#endif
