/* Blobs that are whole: looking, opening, reading, adding small ones. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

static int check_digest(const char *digest, struct error *err)
{
    if (!reference_is_digest(digest))
        return error_set(err, 0, "'%.100s' is not a sha256 digest", digest);
    return 0;
}

int image_blob_have(struct image_store *store, struct image_lease *lease, const char *digest,
                    int64_t size, struct error *err)
{
    if (check_digest(digest, err) < 0)
        return -1;
    scope_close int lock = store_lock(store, STORE_LOCK_SHARED, err);
    if (lock < 0)
        return -1;
    struct stat status;
    if (fstatat(store->fd, store_blob_path(digest).text, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0
                               : error_set(err, errno, "image store %s: can't look at blob %s",
                                           store->directory, digest);
    if (size >= 0 && status.st_size != size)
        return 0;
    if (lease && store_lease_hold(lease, "blob", digest, err) < 0)
        return -1;
    return 1;
}

int image_blob_open(struct image_store *store, const char *digest, int64_t *size, struct error *err)
{
    if (check_digest(digest, err) < 0)
        return -1;
    scope_close int fd =
        openat(store->fd, store_blob_path(digest).text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno, "blob %s isn't in the image store (pull the image again)",
                         digest);
    if (size)
        *size = status.st_size;
    return scope_take_fd(&fd);
}

char *image_blob_read(struct image_store *store, const char *digest, size_t limit, size_t *length,
                      struct error *err)
{
    size_t count;
    scope_close int fd = image_blob_open(store, digest, NULL, err);
    if (fd < 0)
        return NULL;
    scope_free char *bytes = file_read_all_fd(fd, digest, limit, &count, err);
    if (!bytes)
        return NULL;
    char found[IMAGE_DIGEST_SIZE];
    digest_compute(bytes, count, found);
    if (strcmp(found, digest) != 0) {
        error_set(err, 0,
                  "blob %s is damaged: its digest is %s (remove the image and pull it "
                  "again)",
                  digest, found);
        return NULL;
    }
    if (length)
        *length = count;
    return scope_take_pointer(bytes);
}

int image_blob_add(struct image_store *store, struct image_lease *lease, const void *bytes,
                   size_t length, const char *expected, char digest[IMAGE_DIGEST_SIZE],
                   struct error *err)
{
    char found[IMAGE_DIGEST_SIZE];
    digest_compute(bytes, length, found);
    if (expected && strcmp(found, expected) != 0)
        return error_set(err, 0, "the digest is %s instead of %s", found, expected);
    if (digest)
        strcpy(digest, found);
    scope_close int lock = store_lock(store, STORE_LOCK_SHARED, err);
    if (lock < 0 || store_lease_hold(lease, "blob", found, err) < 0)
        return -1;
    struct store_path path = store_blob_path(found);
    struct stat status;
    if (fstatat(store->fd, path.text, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_size == (off_t)length)
        return 0;
    return store_replace_file(store, path.text, bytes, length, false, err);
}
