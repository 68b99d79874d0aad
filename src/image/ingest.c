/* Blobs that are being written: ingest/HEX under its expected digest, so that a broken-off download
 * goes on; ingest/LEASE.N where the digest isn't known before. The writer has the file locked. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"
#include "image/unpack.h"

#define HASH_CHUNK (1u << 20)

struct image_ingest {
    struct image_store *store;
    struct image_lease *lease;
    struct image_unpack *unpack; /* follows the file; may be NULL */
    int fd;
    char name[64];                    /* below the store: "ingest/…" */
    char expected[IMAGE_DIGEST_SIZE]; /* "" where it isn't known */
    int64_t size;                     /* -1: not known */
    int64_t offset;
    bool unusable; /* what is there must not be gone on from */
    struct digest digest;
};

static int fail(const struct image_ingest *ingest, int code, const char *what, struct error *err)
{
    const char *hint = code == ENOSPC || code == EDQUOT
                           ? " (make room, 'hull system prune' removes what isn't used)"
                           : "";
    error_set(err, code, "blob %.19s: %s", *ingest->expected ? ingest->expected : "(new)", what);
    size_t length = strlen(err ? err->text : "");
    if (err && *hint)
        snprintf(err->text + length, sizeof err->text - length, "%s", hint);
    return -1;
}

static void free_ingest(struct image_ingest *ingest)
{
    digest_release(&ingest->digest);
    if (ingest->fd >= 0)
        close(ingest->fd);
    free(ingest);
}

/* Opens and locks the file. 1: somebody else has it locked; ingest->fd is open then, too. 2:
 * between the two it was removed, or moved into its place, where nothing may be written any more.
 */
static int open_file(struct image_ingest *ingest, struct error *err)
{
    struct stat status, there;
    ingest->fd =
        openat(ingest->store->fd, ingest->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (ingest->fd < 0)
        return fail(ingest, errno, "can't write it into the image store", err);
    if (flock(ingest->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 1 : fail(ingest, errno, "can't lock it", err);
    if (fstat(ingest->fd, &status) < 0)
        return fail(ingest, errno, "can't look at it", err);
    bool moved = fstatat(ingest->store->fd, ingest->name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
                 there.st_ino != status.st_ino || there.st_dev != status.st_dev;
    return moved ? 2 : 0;
}

/* Between our caller's look for the blob and our file's making another may have brought the blob:
 * 1, and the file goes. */
static int see_whether_late(struct image_ingest *ingest, struct error *err)
{
    int have = image_blob_have(ingest->store, ingest->lease, ingest->expected, ingest->size, err);
    if (have == 1)
        unlinkat(ingest->store->fd, ingest->name, 0);
    return have;
}

/* Gets the file for itself. 1: the blob has become whole meanwhile. */
static int claim_file(struct image_ingest *ingest, struct error *err)
{
    for (;;) {
        int opened;
        {
            scope_close int lock = store_lock(ingest->store, STORE_LOCK_SHARED, err);
            if (lock < 0)
                return -1;
            if (*ingest->expected &&
                store_lease_hold(ingest->lease, "blob", ingest->expected, err) < 0)
                return -1;
            opened = open_file(ingest, err);
        }
        if (opened < 0 || (opened == 0 && !*ingest->expected))
            return opened;
        if (opened == 0)
            return see_whether_late(ingest, err);
        if (opened == 1 && file_lock(ingest->fd, LOCK_EX) < 0)
            return fail(ingest, errno, "can't lock it", err);
        close(ingest->fd);
        ingest->fd = -1;
        int have =
            image_blob_have(ingest->store, ingest->lease, ingest->expected, ingest->size, err);
        if (have != 0)
            return have;
    }
}

/* Hashes what an earlier download left. */
static int hash_partial(struct image_ingest *ingest, struct error *err)
{
    scope_free char *bytes = memory_allocate(1, HASH_CHUNK);
    for (;;) {
        ssize_t count = pread(ingest->fd, bytes, HASH_CHUNK, ingest->offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail(ingest, errno, "can't read what is there of it", err);
        if (count == 0)
            break;
        digest_update(&ingest->digest, bytes, (size_t)count);
        ingest->offset += count;
    }
    if (ingest->size >= 0 && ingest->offset > ingest->size)
        return image_ingest_restart(ingest, err);
    if (lseek(ingest->fd, ingest->offset, SEEK_SET) < 0)
        return fail(ingest, errno, "can't write it", err);
    return 0;
}

int image_ingest_begin(struct image_store *store, struct image_lease *lease, const char *digest,
                       int64_t size, struct image_unpack *unpack, struct image_ingest **result,
                       struct error *err)
{
    *result = NULL;
    if (digest && !reference_is_digest(digest))
        return error_set(err, 0, "'%.100s' is not a sha256 digest", digest);
    struct image_ingest *ingest = memory_allocate(1, sizeof *ingest);
    *ingest = (struct image_ingest){.store = store, .lease = lease, .fd = -1, .size = size};
    if (digest) {
        strcpy(ingest->expected, digest);
        snprintf(ingest->name, sizeof ingest->name, "ingest/%.40s", digest_hex(digest));
    } else {
        snprintf(ingest->name, sizeof ingest->name, "ingest/%s.%u", lease->name, lease->serial++);
    }
    int claimed = claim_file(ingest, err);
    if (claimed != 0) {
        free_ingest(ingest);
        if (claimed == 1 && unpack)
            return image_unpack_blob(unpack, digest, err) < 0 ? -1 : 1;
        return claimed;
    }
    digest_begin(&ingest->digest);
    if (hash_partial(ingest, err) < 0 ||
        (unpack && unpack_follow(unpack, ingest->fd, ingest->offset, err) < 0)) {
        image_ingest_abort(ingest, false);
        return -1;
    }
    ingest->unpack = unpack;
    *result = ingest;
    return 0;
}

int64_t image_ingest_offset(const struct image_ingest *ingest)
{
    return ingest->offset;
}

int image_ingest_restart(struct image_ingest *ingest, struct error *err)
{
    digest_release(&ingest->digest);
    digest_begin(&ingest->digest);
    ingest->offset = 0;
    /* An unpack may still be reading what is there: the same bytes come in their place. */
    if ((!ingest->unpack && ftruncate(ingest->fd, 0) < 0) || lseek(ingest->fd, 0, SEEK_SET) < 0)
        return fail(ingest, errno, "can't write it", err);
    return 0;
}

int image_ingest_write(struct image_ingest *ingest, const void *bytes, size_t count,
                       struct error *err)
{
    if (ingest->size >= 0 && (uint64_t)count > (uint64_t)(ingest->size - ingest->offset)) {
        ingest->unusable = true;
        return error_set(err, 0, "blob %.19s: more than the %lld bytes came that the manifest says",
                         ingest->expected, (long long)ingest->size);
    }
    if (file_write_all(ingest->fd, bytes, count) < 0) {
        ingest->unusable = true;
        return fail(ingest, errno, "can't write it into the image store", err);
    }
    digest_update(&ingest->digest, bytes, count);
    ingest->offset += (int64_t)count;
    if (ingest->unpack)
        unpack_advance(ingest->unpack, ingest->offset);
    return 0;
}

static int verify(struct image_ingest *ingest, char found[IMAGE_DIGEST_SIZE], struct error *err)
{
    digest_finish(&ingest->digest, found);
    if (ingest->size >= 0 && ingest->offset != ingest->size)
        return error_set(err, 0, "blob %.19s: %lld bytes came instead of %lld", ingest->expected,
                         (long long)ingest->offset, (long long)ingest->size);
    if (*ingest->expected && strcmp(found, ingest->expected) != 0)
        return error_set(err, 0,
                         "the digest of what came is %s instead of %s (it was damaged on its way, "
                         "or the registry is not to be trusted)",
                         found, ingest->expected);
    return 0;
}

static int move_into_place(struct image_ingest *ingest, const char *digest, struct error *err)
{
    scope_close int lock = store_lock(ingest->store, STORE_LOCK_SHARED, err);
    if (lock < 0 || store_lease_hold(ingest->lease, "blob", digest, err) < 0)
        return -1;
    if (renameat(ingest->store->fd, ingest->name, ingest->store->fd, store_blob_path(digest).text) <
        0)
        return fail(ingest, errno, "can't move it into its place", err);
    return 0;
}

int image_ingest_commit(struct image_ingest *ingest, char digest[IMAGE_DIGEST_SIZE],
                        struct error *err)
{
    char found[IMAGE_DIGEST_SIZE];
    if (verify(ingest, found, err) < 0 || move_into_place(ingest, found, err) < 0) {
        image_ingest_abort(ingest, false);
        return -1;
    }
    if (digest)
        strcpy(digest, found);
    if (ingest->unpack)
        unpack_end(ingest->unpack, true);
    free_ingest(ingest);
    return 0;
}

void image_ingest_abort(struct image_ingest *ingest, bool keep)
{
    if (!ingest)
        return;
    if (!keep || ingest->unusable || !*ingest->expected || ingest->offset == 0 ||
        ftruncate(ingest->fd, ingest->offset) < 0)
        unlinkat(ingest->store->fd, ingest->name, 0);
    if (ingest->unpack)
        unpack_end(ingest->unpack, false);
    free_ingest(ingest);
}
