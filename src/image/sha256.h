/* SHA-256 without a library, for the few documents that every start of the program reads: loading
 * OpenSSL takes 2 ms, longer than all else that `hull images` does. */
#ifndef HULL_IMAGE_SHA256_H
#define HULL_IMAGE_SHA256_H

#include <stddef.h>

#define SHA256_SIZE 32

void sha256(const void *bytes, size_t count, unsigned char sum[SHA256_SIZE]);

#endif
