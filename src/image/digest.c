#include "image/digest.h"

#include <dlfcn.h>
#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/sha256.h"

#define LIBRARY_NAME "libcrypto.so.3"

/* Filled once for the process, by whoever hashes first. */
static struct {
    EVP_MD_CTX *(*context_new)(void);
    void (*context_free)(EVP_MD_CTX *context);
    const EVP_MD *(*sha256)(void);
    int (*init)(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine);
    int (*update)(EVP_MD_CTX *context, const void *bytes, size_t count);
    int (*final)(EVP_MD_CTX *context, unsigned char *sum, unsigned int *length);
} library;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;
/* Bytes that this process may hash without the library before it is loaded: it is several times as
 * fast. */
static atomic_long allowance = 256 << 10;

static void give_up(const char *reason)
{
    fprintf(stderr, "hull: can't compute SHA-256 with OpenSSL (install libssl3): %s\n", reason);
    exit(125);
}

static void *find(void *handle, const char *name)
{
    void *function = dlsym(handle, name);
    if (!function)
        give_up(name);
    return function;
}

static void load_library(void)
{
    void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        give_up(dlerror());
    *(void **)&library.context_new = find(handle, "EVP_MD_CTX_new");
    *(void **)&library.context_free = find(handle, "EVP_MD_CTX_free");
    *(void **)&library.sha256 = find(handle, "EVP_sha256");
    *(void **)&library.init = find(handle, "EVP_DigestInit_ex");
    *(void **)&library.update = find(handle, "EVP_DigestUpdate");
    *(void **)&library.final = find(handle, "EVP_DigestFinal_ex");
}

void digest_begin(struct digest *digest)
{
    pthread_once(&library_once, load_library);
    atomic_store(&allowance, 0);
    digest->context = library.context_new();
    if (!digest->context || library.init(digest->context, library.sha256(), NULL) != 1)
        give_up("EVP_DigestInit_ex failed");
}

void digest_update(struct digest *digest, const void *bytes, size_t count)
{
    if (library.update(digest->context, bytes, count) != 1)
        give_up("EVP_DigestUpdate failed");
}

static void print(const unsigned char sum[SHA256_SIZE], char text[IMAGE_DIGEST_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *to = stpcpy(text, "sha256:");
    for (unsigned int i = 0; i < SHA256_SIZE; i++) {
        *to++ = digits[sum[i] >> 4];
        *to++ = digits[sum[i] & 15];
    }
    *to = '\0';
}

void digest_finish(struct digest *digest, char text[IMAGE_DIGEST_SIZE])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (library.final(digest->context, sum, &length) != 1 || length != SHA256_SIZE)
        give_up("EVP_DigestFinal_ex failed");
    digest_release(digest);
    print(sum, text);
}

void digest_release(struct digest *digest)
{
    if (digest->context)
        library.context_free(digest->context);
    digest->context = NULL;
}

void digest_compute(const void *bytes, size_t count, char text[IMAGE_DIGEST_SIZE])
{
    if (count < LONG_MAX && atomic_fetch_sub(&allowance, (long)count) >= (long)count) {
        unsigned char sum[SHA256_SIZE];
        sha256(bytes, count, sum);
        print(sum, text);
        return;
    }
    struct digest digest;
    digest_begin(&digest);
    digest_update(&digest, bytes, count);
    digest_finish(&digest, text);
}

void image_chain_id(const char (*diff_ids)[IMAGE_DIGEST_SIZE], size_t count,
                    char chain_id[IMAGE_DIGEST_SIZE])
{
    char text[2 * IMAGE_DIGEST_SIZE];
    snprintf(chain_id, IMAGE_DIGEST_SIZE, "%s", count ? diff_ids[0] : "");
    for (size_t i = 1; i < count; i++) {
        int length = snprintf(text, sizeof text, "%s %s", chain_id, diff_ids[i]);
        digest_compute(text, (size_t)length, chain_id);
    }
}
