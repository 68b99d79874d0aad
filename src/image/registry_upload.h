/* One blob from the store to a registry (OCI distribution specification, "Pushing blobs"). */
#ifndef HULL_IMAGE_REGISTRY_UPLOAD_H
#define HULL_IMAGE_REGISTRY_UPLOAD_H

#include "image/image.h"
#include "image/registry_session.h"

enum registry_upload_result {
    REGISTRY_UPLOAD_SENT,
    REGISTRY_UPLOAD_EXISTED,
    REGISTRY_UPLOAD_MOUNTED, /* it was in another repository there */
};

struct registry_upload {
    struct image_store *store;
    struct registry_session *session;
    struct registry_http *http;
    char digest[IMAGE_DIGEST_SIZE];
    int64_t size;
    const char *const
        *mounts; /* repositories of the same registry that may have it; ends with NULL */
    const struct image_progress *progress;
    const char *item;
    enum registry_upload_result result; /* set */
};

/* Sends what isn't there: small blobs in one request, others in chunks, gone on with where the
 * registry says it is after a broken connection. */
int registry_upload(struct registry_upload *upload, struct error *err);

#endif
