/* The inside of the image store, for the files of src/image only. */
#ifndef HULL_IMAGE_STORE_H
#define HULL_IMAGE_STORE_H

#include <stdatomic.h>

#include "image/archive.h"
#include "image/digest.h"
#include "image/image.h"

#define STORE_REF_NAME "org.opencontainers.image.ref.name"
#define STORE_DIGESTS "org.hull.image.digests" /* annotation: repository@digest, with blanks */
#define STORE_INDEX "org.hull.image.index"     /* annotation: of which index it is a manifest */
#define STORE_LAYER_NAME_SIZE 25               /* 24 digits of the chain id, and the NUL */
#define STORE_SMALL_LIMIT (16u << 20)          /* index.json and the store's own documents */

struct image_store {
    char *directory; /* absolute */
    int fd;          /* of it, O_PATH */
    const struct warnings *warnings;
};

/* Takes the store's lock: shared for who adds, exclusive for who collects or changes index.json.
 * Returns a descriptor whose closing gives it back, or -1. */
enum store_lock { STORE_LOCK_SHARED, STORE_LOCK_EXCLUSIVE };
int store_lock(struct image_store *store, enum store_lock kind, struct error *err);

void store_warn(const struct image_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Paths below the store's descriptor. */
struct store_path {
    char text[128];
};
struct store_path store_blob_path(const char *digest);
struct store_path store_layer_path(const char *chain_id);
/* What is known of a layer: fresh until the file system was synchronised after it. */
struct store_path store_layer_info_path(const char *chain_id, bool fresh);

/* Writes a file beside and renames it, under either lock; durable: it is on the disk when this
 * returns. */
int store_replace_file(struct image_store *store, const char *path, const void *bytes,
                       size_t length, bool durable, struct error *err);
/* A file that takes some room, for store_index_write(): on a full disk nothing could be removed
 * otherwise, as the index is written beside. Makes it if it is missing and there is room. */
void store_make_reserve(struct image_store *store);
/* Moves what is at path to a place of its own in unpack/, where it is removed by
 * store_empty_trash(); a missing one is borne. */
int store_move_to_trash(struct image_store *store, const char *path, struct error *err);
/* Until the descriptor (-1 is borne) is closed, what is in the trash counts as being removed. Under
 * the exclusive lock, by whoever moves something there. */
int store_hold_trash(struct image_store *store);
bool store_trash_is_held(struct image_store *store);
/* Removes what is in unpack/ and belongs to no live lease. */
int store_empty_trash(struct image_store *store, struct error *err);
/* How many bytes may be written: what is free on the file system, less a reserve. At least 1. */
int64_t store_room(const struct image_store *store);
/* Writes everything to the disk (syncfs). */
int store_synchronise(struct image_store *store, struct error *err);

/* index.json as it is: {"manifests": [...]}. NULL with the error. */
json_t *store_index_read(struct image_store *store, struct error *err);
/* Under the exclusive lock. Uses the reserve where the disk is full. */
int store_index_write(struct image_store *store, json_t *index, struct error *err);
/* An element's name, or "". */
const char *store_index_name(const json_t *element);
const char *store_index_digest(const json_t *element); /* "" if it isn't one */
json_t *store_index_find(json_t *index, const char *name);
/* Takes the name off whatever has it; the manifest stays as dangling if it was its last. */
void store_index_untag(json_t *index, const char *name);
/* Adds (or keeps) an element for the manifest; name NULL: dangling, unless it has names. */
void store_index_add(json_t *index, const json_t *descriptor, const char *name);
/* Removes every element of the manifest. */
void store_index_drop(json_t *index, const char *digest);
/* Adds "repository@digest" to every element of the manifest. */
void store_index_note_digest(json_t *index, const char *digest, const char *text);
/* Takes it off every element; whether one had it. */
bool store_index_forget_digest(json_t *index, const char *text);
/* The index (of an image for several platforms) that the manifest came with under that name; "" if
 * it came alone. */
const char *store_index_of_platforms(const json_t *element);
/* Sets it for the element of the manifest and the name (NULL: without one). */
void store_index_set_platforms(json_t *index, const char *digest, const char *name,
                               const char *platforms);

/* Reads an image from its element of the index, names and digests of all elements with the same
 * id included. */
int store_image_read(struct image_store *store, const json_t *index, const json_t *element,
                     struct image *image, struct error *err);
/* manifest: its digest, as an element of the index or a lease says. */
int store_image_read_manifest(struct image_store *store, const char *manifest, struct image *image,
                              struct error *err);

/* image_find(), for an index that was read: 1, 0 or -1; whether a name (not an id) led there. */
int store_find_element(struct image_store *store, json_t *index, const char *text,
                       const json_t **element, bool *by_name, struct error *err);
/* image_list(), for an index that was read. */
int store_index_list(struct image_store *store, const json_t *index, struct image_list *list);

/* Fills an image from its two documents; the caller releases it also after an error. Names and
 * digests, manifest_digest and media_type aren't touched (but a media_type of "" is). */
int store_image_fill(struct image_store *store, const void *manifest, size_t manifest_length,
                     const void *config, size_t config_length, struct image *image,
                     struct error *err);

/* RFC 3339; 0 for what isn't. */
int64_t store_parse_time(const char *text);
const char *store_format_time(int64_t time, char text[32]);

/* The layer's recorded size, or -1 if it isn't unpacked. */
int64_t store_layer_size(struct image_store *store, const char *chain_id);
/* All that is recorded of it ("chain_id", "diff_id", "size", "names"), or NULL. */
json_t *store_layer_info(struct image_store *store, const char *chain_id);
bool store_layer_exists(struct image_store *store, const char *chain_id);
/* Makes what is at directory (below the store) the layer; see image_unpack_commit(). Under the
 * shared lock, by whoever has a lease of it. 1: another one has come first, and directory is still
 * where it was. */
int store_layer_place(struct image_store *store, const char *directory, const char *chain_id,
                      const char *diff_id, const struct archive_extract_result *result,
                      struct error *err);
/* Directories that no entry described get the attributes that they have in the layers below. */
int store_layer_inherit(struct image_store *store, int layer, char *const *implicit,
                        size_t implicit_count, const char (*parents)[IMAGE_DIGEST_SIZE],
                        size_t parent_count, struct error *err);
/* Unpacks what is missing of an image whose blobs are there, held by the lease. */
int store_unpack_layers(struct image_store *store, struct image_lease *lease,
                        const struct image *image, const struct image_progress *progress,
                        struct error *err);
/* Whether overlayfs' attributes are user.overlay.*: trusted ones need the first user namespace. */
bool store_uses_user_xattrs(void);
/* The fresh layers of an image are on the disk now. */
void store_layers_settle(struct image_store *store, const struct image *image);
/* Brings all fresh layers onto the disk: those of whoever was killed before it did. Under the
 * exclusive lock, after a collection. */
int store_layers_settle_all(struct image_store *store, struct error *err);

/* A pull's lease. */
struct image_lease {
    struct image_store *store;
    int fd; /* the locked file */
    char name[32];
    atomic_uint serial; /* of what is made below unpack/ */
};
/* Notes that the lease holds "blob DIGEST" or "layer CHAIN-ID". Under the shared lock. */
int store_lease_hold(struct image_lease *lease, const char *kind, const char *digest,
                     struct error *err);

/* A set of digests. */
struct store_set {
    json_t *members;
};
void store_set_add(struct store_set *set, const char *digest);
bool store_set_has(const struct store_set *set, const char *digest);
/* Everything that leases hold, of blobs and of layers (chain ids). Those of processes that are gone
 * hold nothing; drop: they are removed. Under the exclusive lock. */
int store_lease_roots(struct image_store *store, bool drop, struct store_set *blobs,
                      struct store_set *layers, struct error *err);
/* What a pull's lease, by its name, holds; nothing if it has just ended. */
int store_lease_read(struct image_store *store, const char *name, struct store_set *blobs,
                     struct store_set *layers, struct error *err);
/* Whether a pull's lease, by its name, has a process. */
bool store_lease_is_alive(struct image_store *store, const char *name);

/* Removes the blobs and layers that neither index nor leases hold, and partial blobs that nobody
 * writes. Under the exclusive lock; call store_empty_trash() after giving it back. */
int store_collect(struct image_store *store, const json_t *index, bool partial,
                  struct image_removal *removal, struct error *err);

/* After something failed, or had more than was needed: collects what its lease held, so that a
 * failure for want of room leaves as much of it as there was. Whatever prevents this, the next
 * collection does it. */
void store_collect_rest(struct image_store *store);

/* Adds a line to one of the lists of a removal. */
void store_removal_add(char ***list, size_t *count, const char *text);

#endif
