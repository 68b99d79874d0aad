/* SHA-256 of what streams by, from OpenSSL, which is loaded when it is needed: linking it would
 * cost every start of the program. */
#ifndef HULL_IMAGE_DIGEST_H
#define HULL_IMAGE_DIGEST_H

#include <stddef.h>

#include "image/image.h"

struct digest {
    void *context; /* EVP_MD_CTX */
};

/* Begins a sum; digest_finish() or digest_release() ends it. Without OpenSSL this ends the
 * program: nothing can be done without it. */
void digest_begin(struct digest *digest);
void digest_update(struct digest *digest, const void *bytes, size_t count);
/* Writes "sha256:…" and releases. */
void digest_finish(struct digest *digest, char text[IMAGE_DIGEST_SIZE]);
void digest_release(struct digest *digest); /* a zeroed one is borne */
#define scope_digest __attribute__((cleanup(digest_release)))

/* Of bytes that are all there; the first few documents without OpenSSL. */
void digest_compute(const void *bytes, size_t count, char text[IMAGE_DIGEST_SIZE]);

/* The 64 digits of a valid digest. */
static inline const char *digest_hex(const char *digest)
{
    return digest + sizeof "sha256:" - 1;
}

#endif
