/* Unpacking a layer while it arrives: one thread follows the file of the download, and
 * decompresses; another one hashes the uncompressed stream and writes the files. Between them is a
 * ring of pieces. Neither is waited for before image_unpack_commit(). */
#include "image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "image/archive.h"
#include "image/decompress.h"
#include "image/store.h"

#define PIECES 8
#define PIECE_SIZE (256u << 10)
#define BYTES_DEFAULT (64ll << 30)

struct image_unpack {
    struct image_store *store;
    struct image_lease *lease;
    char chain_id[IMAGE_DIGEST_SIZE], diff_id[IMAGE_DIGEST_SIZE]; /* "": not known yet */
    struct image_limits limits;
    const struct image_progress *progress;
    char *item;
    char place[64]; /* below the store: "unpack/LEASE.N" */
    int directory;
    bool started, running; /* the threads were; they weren't waited for */
    pthread_t decompressing, writing;

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t changed;
    int source; /* the file that is followed */
    int64_t available, used;
    bool ended;   /* nothing more is added to it */
    bool stopped; /* one of the threads has failed, or the caller gave up */
    struct error error;
    char *pieces[PIECES];
    size_t lengths[PIECES];
    unsigned int filled, emptied; /* pieces so far */
    bool last;                    /* no piece comes after those filled */
    enum image_compression compression;

    /* The writing thread's. */
    struct digest digest;
    bool holding; /* it uses the piece `emptied` */
    struct archive_extract_result result;
};

static void lock(struct image_unpack *unpack)
{
    pthread_mutex_lock(&unpack->mutex);
}

static void unlock_and_tell(struct image_unpack *unpack)
{
    pthread_cond_broadcast(&unpack->changed);
    pthread_mutex_unlock(&unpack->mutex);
}

/* The first error counts. */
static void stop(struct image_unpack *unpack, const struct error *err)
{
    lock(unpack);
    if (!unpack->stopped)
        unpack->error = *err;
    unpack->stopped = true;
    unlock_and_tell(unpack);
}

/* ---- The decompressing thread ---- */

static ssize_t read_source(void *context, void *bytes, size_t count, struct error *err)
{
    struct image_unpack *unpack = context;
    lock(unpack);
    while (unpack->used == unpack->available && !unpack->ended && !unpack->stopped)
        pthread_cond_wait(&unpack->changed, &unpack->mutex);
    int64_t left = unpack->available - unpack->used;
    bool stopped = unpack->stopped;
    pthread_mutex_unlock(&unpack->mutex);
    if (stopped)
        return error_set(err, 0, "stopped");
    if ((uint64_t)count > (uint64_t)left)
        count = (size_t)left;
    ssize_t got = 0;
    while (count > 0 && (got = pread(unpack->source, bytes, count, unpack->used)) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "can't read the compressed layer");
    if (count > 0 && got == 0)
        return error_set(err, 0, "the compressed layer was truncated while it was read");
    lock(unpack);
    unpack->used += got;
    bool ended = unpack->ended;
    int64_t total = unpack->available;
    pthread_mutex_unlock(&unpack->mutex);
    if (ended)
        image_progress_update(unpack->progress, unpack->item, IMAGE_PROGRESS_UNPACKING,
                              unpack->used, total);
    return got;
}

/* The next piece to fill, or NULL when it is to stop. */
static char *take_empty(struct image_unpack *unpack)
{
    lock(unpack);
    while (unpack->filled - unpack->emptied == PIECES && !unpack->stopped)
        pthread_cond_wait(&unpack->changed, &unpack->mutex);
    char **piece = unpack->stopped ? NULL : &unpack->pieces[unpack->filled % PIECES];
    pthread_mutex_unlock(&unpack->mutex);
    if (piece && !*piece)
        *piece = memory_allocate(1, PIECE_SIZE);
    return piece ? *piece : NULL;
}

static void *decompress(void *argument)
{
    struct image_unpack *unpack = argument;
    struct error err = {0};
    struct decompressor *decompressor = decompressor_new(read_source, unpack, &unpack->limits);
    ssize_t count = 1;
    char *piece;
    while (count > 0 && (piece = take_empty(unpack))) {
        count = decompressor_read(decompressor, piece, PIECE_SIZE, &err);
        if (count < 0) {
            stop(unpack, &err);
            break;
        }
        lock(unpack);
        if (count > 0) {
            unpack->lengths[unpack->filled % PIECES] = (size_t)count;
            unpack->filled++;
        }
        unpack->last = count == 0;
        unlock_and_tell(unpack);
    }
    unpack->compression = decompressor_kind(decompressor);
    decompressor_free(decompressor);
    return NULL;
}

/* ---- The writing thread ---- */

static ssize_t next_piece(void *context, const void **bytes, struct error *err)
{
    struct image_unpack *unpack = context;
    lock(unpack);
    if (unpack->holding)
        unpack->emptied++;
    unpack->holding = false;
    pthread_cond_broadcast(&unpack->changed);
    while (unpack->filled == unpack->emptied && !unpack->last && !unpack->stopped)
        pthread_cond_wait(&unpack->changed, &unpack->mutex);
    bool stopped = unpack->stopped;
    size_t length = 0;
    if (!stopped && unpack->filled != unpack->emptied) {
        *bytes = unpack->pieces[unpack->emptied % PIECES];
        length = unpack->lengths[unpack->emptied % PIECES];
        unpack->holding = true;
    }
    pthread_mutex_unlock(&unpack->mutex);
    if (stopped)
        return error_set(err, 0, "stopped");
    if (length > 0)
        digest_update(&unpack->digest, *bytes, length);
    return (ssize_t)length;
}

static void *write_files(void *argument)
{
    struct image_unpack *unpack = argument;
    struct error err = {0};
    const void *rest;
    ssize_t count = 0;
    const struct archive_extract_options options = {
        .layer = true,
        .user_xattrs = store_uses_user_xattrs(),
        .owners = geteuid() == 0,
        .limits = unpack->limits,
        .warnings = unpack->store->warnings,
    };
    unshare(CLONE_FS); /* a umask of its own */
    int status =
        archive_extract(unpack->directory, next_piece, unpack, &options, &unpack->result, &err);
    /* What follows the archive's end belongs to the stream that the diff id is of. */
    while (status == 0 && (count = next_piece(unpack, &rest, &err)) > 0)
        ;
    if (status < 0 || count < 0)
        stop(unpack, &err);
    return NULL;
}

/* ---- Those who feed it ---- */

static int start(struct image_unpack *unpack, struct error *err)
{
    int code = pthread_create(&unpack->decompressing, NULL, decompress, unpack);
    if (code)
        return error_set(err, code, "can't make a thread");
    code = pthread_create(&unpack->writing, NULL, write_files, unpack);
    if (code) {
        struct error reason = {0};
        error_set(&reason, code, "can't make a thread");
        stop(unpack, &reason);
        pthread_join(unpack->decompressing, NULL);
        return error_set(err, code, "can't make a thread");
    }
    unpack->started = unpack->running = true;
    return 0;
}

int unpack_follow(struct image_unpack *unpack, int fd, int64_t available, struct error *err)
{
    unpack->source = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (unpack->source < 0)
        return error_set(err, errno, "can't follow the download");
    unpack->available = available;
    return start(unpack, err);
}

void unpack_advance(struct image_unpack *unpack, int64_t available)
{
    lock(unpack);
    if (available > unpack->available)
        unpack->available = available;
    unlock_and_tell(unpack);
}

void unpack_end(struct image_unpack *unpack, bool whole)
{
    if (!whole) {
        struct error err = {0};
        error_set(&err, 0, "its download was broken off");
        stop(unpack, &err);
        return;
    }
    lock(unpack);
    unpack->ended = true;
    unlock_and_tell(unpack);
}

int image_unpack_blob(struct image_unpack *unpack, const char *digest, struct error *err)
{
    int64_t size;
    scope_close int fd = image_blob_open(unpack->store, digest, &size, err);
    if (fd < 0)
        return -1;
    unpack->ended = true;
    return unpack_follow(unpack, fd, size, err);
}

/* ---- Beginning and end ---- */

static void choose_limits(struct image_unpack *unpack, const struct image_limits *limits)
{
    unpack->limits = limits ? *limits : (struct image_limits){0};
    if (!unpack->limits.bytes)
        unpack->limits.bytes = BYTES_DEFAULT;
    int64_t most = store_room(unpack->store);
    if (most < unpack->limits.bytes)
        unpack->limits.bytes = most;
}

/* 1: the layer is there. */
static int claim(struct image_unpack *unpack, struct error *err)
{
    scope_close int held = store_lock(unpack->store, STORE_LOCK_SHARED, err);
    if (held < 0 || store_lease_hold(unpack->lease, "layer", unpack->chain_id, err) < 0)
        return -1;
    return store_layer_exists(unpack->store, unpack->chain_id);
}

static int make_place(struct image_unpack *unpack, struct error *err)
{
    struct image_store *store = unpack->store;
    snprintf(unpack->place, sizeof unpack->place, "unpack/%s.%u", unpack->lease->name,
             unpack->lease->serial++);
    if (mkdirat(store->fd, unpack->place, 0755) < 0)
        return error_set(err, errno, "can't make the layer's directory");
    unpack->directory = openat(store->fd, unpack->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (unpack->directory < 0 || fchmod(unpack->directory, 0755) < 0)
        return error_set(err, errno, "can't open the layer's directory");
    return 0;
}

static void free_unpack(struct image_unpack *unpack)
{
    digest_release(&unpack->digest);
    archive_extract_result_release(&unpack->result);
    if (unpack->source >= 0)
        close(unpack->source);
    if (unpack->directory >= 0)
        close(unpack->directory);
    for (int i = 0; i < PIECES; i++)
        free(unpack->pieces[i]);
    pthread_mutex_destroy(&unpack->mutex);
    pthread_cond_destroy(&unpack->changed);
    free(unpack->item);
    free(unpack);
}

static int begin(struct image_store *store, struct image_lease *lease, const char *chain_id,
                 const char *diff_id, const struct image_limits *limits,
                 struct image_unpack **result, struct error *err)
{
    struct image_unpack *unpack = memory_allocate(1, sizeof *unpack);
    *result = NULL;
    unpack->store = store;
    unpack->lease = lease;
    unpack->source = unpack->directory = -1;
    strcpy(unpack->chain_id, chain_id);
    strcpy(unpack->diff_id, diff_id);
    pthread_mutex_init(&unpack->mutex, NULL);
    pthread_cond_init(&unpack->changed, NULL);
    choose_limits(unpack, limits);
    int status = *chain_id ? claim(unpack, err) : 0;
    if (status == 0)
        status = make_place(unpack, err);
    if (status != 0) {
        free_unpack(unpack);
        return status;
    }
    digest_begin(&unpack->digest);
    *result = unpack;
    return 0;
}

int image_unpack_begin(struct image_store *store, struct image_lease *lease, const char *chain_id,
                       const char *diff_id, const struct image_limits *limits,
                       const struct image_progress *progress, const char *item,
                       struct image_unpack **unpack, struct error *err)
{
    *unpack = NULL;
    if (!reference_is_digest(chain_id) || !reference_is_digest(diff_id))
        return error_set(err, 0, "'%.100s' is not a sha256 digest", diff_id);
    int status = begin(store, lease, chain_id, diff_id, limits, unpack, err);
    if (status == 0) {
        (*unpack)->progress = progress;
        (*unpack)->item = item ? memory_copy_string(item) : NULL;
    }
    return status;
}

int unpack_begin_unknown(struct image_store *store, struct image_lease *lease,
                         const struct image_limits *limits, struct image_unpack **unpack,
                         struct error *err)
{
    return begin(store, lease, "", "", limits, unpack, err);
}

static void wait_for_threads(struct image_unpack *unpack)
{
    if (!unpack->running)
        return;
    pthread_join(unpack->decompressing, NULL);
    pthread_join(unpack->writing, NULL);
    unpack->running = false;
}

int image_unpack_status(struct image_unpack *unpack, struct error *err)
{
    lock(unpack);
    bool failed = unpack->stopped;
    if (failed && err)
        *err = unpack->error;
    pthread_mutex_unlock(&unpack->mutex);
    if (failed && *unpack->diff_id)
        error_wrap(err, "layer %.19s", unpack->diff_id);
    return failed ? -1 : 0;
}

int image_unpack_wait(struct image_unpack *unpack, struct error *err)
{
    if (!unpack->started)
        return error_set(err, 0, "layer %.19s: nothing was given to unpack", unpack->diff_id);
    wait_for_threads(unpack);
    return image_unpack_status(unpack, err);
}

static int verify(struct image_unpack *unpack, struct error *err)
{
    if (image_unpack_wait(unpack, err) < 0)
        return -1;
    char found[IMAGE_DIGEST_SIZE];
    digest_finish(&unpack->digest, found);
    if (!*unpack->diff_id)
        strcpy(unpack->diff_id, found);
    if (strcmp(found, unpack->diff_id) != 0)
        return error_set(err, 0,
                         "layer %.19s: unpacked its digest is %s instead of %s (the image's "
                         "configuration isn't that of its layers)",
                         unpack->diff_id, found, unpack->diff_id);
    return 0;
}

static void name_chain(struct image_unpack *unpack, const char (*parents)[IMAGE_DIGEST_SIZE],
                       size_t parent_count)
{
    char(*chain)[IMAGE_DIGEST_SIZE] = memory_allocate(parent_count + 1, sizeof *chain);
    if (parent_count)
        memcpy(chain, parents, parent_count * sizeof *chain);
    strcpy(chain[parent_count], unpack->diff_id);
    image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])chain, parent_count + 1, unpack->chain_id);
    free(chain);
}

static int place_layer(struct image_unpack *unpack, const char (*parents)[IMAGE_DIGEST_SIZE],
                       size_t parent_count, struct error *err)
{
    if (store_layer_inherit(unpack->store, unpack->directory, unpack->result.implicit,
                            unpack->result.implicit_count, parents, parent_count, err) < 0)
        return -1;
    int placed;
    {
        scope_close int held = store_lock(unpack->store, STORE_LOCK_SHARED, err);
        if (held < 0)
            return -1;
        bool unknown = !*unpack->chain_id;
        if (unknown)
            name_chain(unpack, parents, parent_count);
        if (unknown && store_lease_hold(unpack->lease, "layer", unpack->chain_id, err) < 0)
            return -1;
        placed = store_layer_place(unpack->store, unpack->place, unpack->chain_id, unpack->diff_id,
                                   &unpack->result, err);
    }
    return placed == 1 ? remove_tree(unpack->store->fd, unpack->place, NULL, err) : placed;
}

int image_unpack_commit(struct image_unpack *unpack, const char (*parents)[IMAGE_DIGEST_SIZE],
                        size_t parent_count, struct error *err)
{
    int status = verify(unpack, err);
    if (status == 0 && place_layer(unpack, parents, parent_count, err) < 0)
        status = error_wrap(err, "layer %.19s", unpack->diff_id);
    if (status == 0)
        free_unpack(unpack);
    else
        image_unpack_abort(unpack);
    return status;
}

int unpack_commit_unknown(struct image_unpack *unpack, const char (*parents)[IMAGE_DIGEST_SIZE],
                          size_t parent_count, char diff_id[IMAGE_DIGEST_SIZE],
                          enum image_compression *compression, struct error *err)
{
    int status = verify(unpack, err);
    if (status == 0)
        status = place_layer(unpack, parents, parent_count, err);
    strcpy(diff_id, unpack->diff_id);
    *compression = unpack->compression;
    if (status == 0)
        free_unpack(unpack);
    else
        image_unpack_abort(unpack);
    return status;
}

void image_unpack_abort(struct image_unpack *unpack)
{
    if (!unpack)
        return;
    struct error err = {0};
    error_set(&err, 0, "given up");
    stop(unpack, &err);
    wait_for_threads(unpack);
    if (remove_tree(unpack->store->fd, unpack->place, NULL, &err) < 0)
        store_warn(unpack->store, "layer %.19s: %s", unpack->diff_id, err.text);
    free_unpack(unpack);
}
