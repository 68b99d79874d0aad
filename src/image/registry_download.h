/* One blob from a registry into the store: resumed after what is there of it, again and again as
 * long as it gets on, verified as it comes, and unpacked meanwhile. */
#ifndef HULL_IMAGE_REGISTRY_DOWNLOAD_H
#define HULL_IMAGE_REGISTRY_DOWNLOAD_H

#include "image/image.h"
#include "image/registry_session.h"

struct registry_download {
    struct image_store *store;
    struct image_lease *lease;
    struct registry_session *session;
    struct registry_http *http;
    const struct image_descriptor *descriptor;
    struct image_unpack *unpack; /* is given the bytes; may be NULL */
    const struct image_progress *progress;
    const char *item;
    bool resumed; /* set: it went on from what an earlier download had left */
    bool damaged; /* set: what came, or had been left, isn't what the digest or unpack expects */
};

/* When it returns 0 the blob is in the store, held by the lease, and unpack (if there is one) has
 * all that it needs. */
int registry_download(struct registry_download *download, struct error *err);

#endif
