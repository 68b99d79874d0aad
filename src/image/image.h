/* Images: a content-addressed store, and what goes in and out of it.
 *
 * The store (ROOT/images) is an OCI image layout, so that other programs read it:
 *
 *     oci-layout, index.json     the layout; index.json names every image (see image_add_manifest)
 *     blobs/sha256/HEX           manifests, configurations, compressed layers; never changed
 *     ingest/HEX                 blobs that are being written, or whose writing was broken off
 *     layers/NAME/               unpacked layers, each whole or absent, as overlayfs wants them
 *     layer-info/NAME.json       what each is: chain id, diff id, size
 *     derived/NAME.SUFFIX        files made of unpacked layers, see image_derive()
 *     unpack/                    layers that are being unpacked
 *     leases/                    what may not be collected, a file for each owner
 *     reserve                    room to write index.json on a full disk
 *     lock                       flock: shared to add, exclusive to collect or to change index.json
 *
 * Whatever is written is held by a lease first, and only what neither index.json nor a lease holds
 * is collected, under the exclusive lock; so a collection can't race a pull. What a killed process
 * left (a lease whose owner is gone, a partial blob, half a layer) is removed by image_prune() and
 * by the first image_store_open() after a reboot.
 *
 * Digests are texts, "sha256:" and 64 lower-case hexadecimal digits. Times are seconds since 1970,
 * sizes bytes. A store handle and a process's lease may be used by several threads at a time (they
 * hold nothing that changes), each struct image_ingest and image_unpack by one. None of the
 * functions waits long but image_unpack_wait(), image_unpack_commit(), image_layers(), and
 * image_ingest_begin() where another process writes the same blob. */
#ifndef HULL_IMAGE_IMAGE_H
#define HULL_IMAGE_IMAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/warning.h"
#include "image/platform.h"
#include "image/reference.h"

#define IMAGE_DIGEST_SIZE 72            /* with the NUL */
#define IMAGE_MANIFEST_LIMIT (4u << 20) /* the most that a manifest or an index may have */
#define IMAGE_CONFIG_LIMIT (8u << 20)
#define IMAGE_LAYERS_MAX 500 /* overlayfs' limit; docker's is 127 */

#define IMAGE_TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define IMAGE_TYPE_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define IMAGE_TYPE_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define IMAGE_TYPE_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define IMAGE_TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define IMAGE_TYPE_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define IMAGE_TYPE_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define IMAGE_TYPE_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"

struct image_store;

/* Opens ROOT/images, which is made if it is missing (its parent too). */
int image_store_open(struct image_store **store, const char *directory, struct error *err);
void image_store_close(struct image_store *store); /* NULL is borne */
static inline void image_store_close_scope(struct image_store **store)
{
    image_store_close(*store);
}
#define scope_image_store __attribute__((cleanup(image_store_close_scope)))

/* Where the store is, absolute; and a descriptor of it that stays the store's. */
const char *image_store_directory(const struct image_store *store);
int image_store_descriptor(const struct image_store *store);
/* A file without a name on the store's file system; limit receives how much it may hold: 64 GiB,
 * and less than is free. */
int image_store_scratch(struct image_store *store, int64_t *limit, struct error *err);
/* Who hears what isn't a failure, such as a device that a rootless user couldn't make. */
void image_store_set_warnings(struct image_store *store, const struct warnings *warnings);

/* ---- Progress ---- */

enum image_progress_phase {
    IMAGE_PROGRESS_WAITING,
    IMAGE_PROGRESS_DOWNLOADING,
    IMAGE_PROGRESS_UPLOADING,
    IMAGE_PROGRESS_VERIFYING,
    IMAGE_PROGRESS_UNPACKING,
    IMAGE_PROGRESS_LOADING,
    IMAGE_PROGRESS_RETRYING,
    IMAGE_PROGRESS_EXISTS,  /* the rest are ends */
    IMAGE_PROGRESS_MOUNTED, /* from another repository of the registry that is pushed to */
    IMAGE_PROGRESS_COMPLETE,
    IMAGE_PROGRESS_FAILED,
};

/* Something long is under way. update is called as often as one likes, from any thread (it locks);
 * it returns soon. item names one line: 12 hexadecimal digits of a layer's digest. total is 0 where
 * it isn't known. src/cli/progress.h draws on a terminal. */
struct image_progress {
    void (*update)(const struct image_progress *progress, const char *item,
                   enum image_progress_phase phase, int64_t done, int64_t total);
};

/* Borne with NULL. */
void image_progress_update(const struct image_progress *progress, const char *item,
                           enum image_progress_phase phase, int64_t done, int64_t total);

/* ---- Images ---- */

/* A blob as a manifest describes it (OCI image-spec, descriptor). */
struct image_descriptor {
    char media_type[128];
    char digest[IMAGE_DIGEST_SIZE];
    int64_t size;
    char **urls; /* of a foreign layer, ends with NULL; or NULL */
};

struct image {
    char id[IMAGE_DIGEST_SIZE]; /* the digest of the configuration, as docker's image id */
    char manifest_digest[IMAGE_DIGEST_SIZE];
    char media_type[128];                 /* of the manifest */
    char index_digest[IMAGE_DIGEST_SIZE]; /* image/members.h: what it was loaded with, or "" */
    char **names; /* canonical, with tag, sorted; none: the image is dangling */
    size_t name_count;
    char **digests; /* "docker.io/library/busybox@sha256:…" as pulled or pushed (RepoDigests) */
    size_t digest_count;
    json_t *manifest, *config;
    struct image_descriptor *layers;     /* bottom first, as in the manifest */
    char (*diff_ids)[IMAGE_DIGEST_SIZE]; /* layer_count of them, bottom first */
    size_t layer_count;
    int64_t created; /* 0: the configuration doesn't say */
    int64_t size;    /* of the unpacked layers; where one isn't unpacked its compressed size */
    struct platform platform;
};

/* Zeroes it too; a zeroed image is borne. */
void image_release(struct image *image);
#define scope_image __attribute__((cleanup(image_release)))

/* Finds an image by "name", "name:tag", "name@digest", "name:tag@digest", an id with or without
 * "sha256:", or the first digits of one. 1: found; 0: it isn't there; -1: failed, or several ids
 * begin like that. Short names are looked for at docker.io. */
int image_find(struct image_store *store, const char *text, struct image *image, struct error *err);

struct image_list {
    struct image *images; /* the youngest first */
    size_t count;
};
/* All images: one element an id, with all its names. A manifest that can't be read is told to the
 * store's warnings and passed over. */
int image_list(struct image_store *store, struct image_list *list, struct error *err);
void image_list_release(struct image_list *list);
#define scope_image_list __attribute__((cleanup(image_list_release)))

/* Gives the image another name. A name that another image had goes over to this one. */
int image_tag(struct image_store *store, const struct image *image,
              const struct reference *reference, struct error *err);

/* Notes that an image without a name is one of those of an index, which is in the store. Names that
 * are given to an image with an index_digest keep that. */
int image_note_index(struct image_store *store, const struct image *image, const char *index_digest,
                     struct error *err);

/* Notes under which digest a registry knows the image, "repository@sha256:…" (after a push). */
int image_note_digest(struct image_store *store, const struct image *image,
                      const struct reference *reference, struct error *err);

/* What image_remove() did: "Untagged: busybox:latest", "Deleted: sha256:…". */
struct image_removal {
    char **untagged; /* familiar names */
    size_t untagged_count;
    char **deleted; /* digests: ids of images, and of layers (chain ids) */
    size_t deleted_count;
    int64_t reclaimed; /* bytes */
};
void image_removal_release(struct image_removal *removal);
#define scope_image_removal __attribute__((cleanup(image_removal_release)))

/* docker's rules. By a name: that name goes, and the image with its last one. By an id: all names
 * go; several in different repositories only with force. What a container holds (a lease) is an
 * error that names the container; with force a stopped container's image only loses its names, and
 * its blobs and layers stay until the lease ends. *removal is added to. */
int image_remove(struct image_store *store, const char *text, bool force,
                 struct image_removal *removal, struct error *err);

/* Which images image_prune() may remove; those held by a container's lease never are. */
struct image_prune_options {
    bool all;                                                       /* also those with a name */
    bool (*wanted)(const struct image *image, const void *context); /* a filter; NULL: all */
    const void *context;
};
/* Removes dangling (or all unused) images, and whatever nothing holds: blobs, layers, partial blobs
 * and half-unpacked layers of processes that are gone. options NULL: only the latter. */
int image_prune(struct image_store *store, const struct image_prune_options *options,
                struct image_removal *removal, struct error *err);

struct image_history_entry {
    char id[IMAGE_DIGEST_SIZE]; /* "" where docker says <missing> */
    int64_t created;
    const char *created_by, *comment; /* parts of the image's config; never NULL */
    int64_t size;                     /* of the unpacked layer; 0 for an empty one */
};
/* The youngest step first. *entries is an array that the caller frees. */
int image_history(struct image_store *store, const struct image *image,
                  struct image_history_entry **entries, size_t *count, struct error *err);

/* ---- Leases ---- */

/* A lease of a running process: ends with image_lease_end() or with the process. Everything that
 * is ingested or unpacked under it stays until then. Begin it before the first blob is asked for,
 * end it after image_add_manifest(). */
struct image_lease;
int image_lease_begin(struct image_store *store, struct image_lease **lease, struct error *err);
void image_lease_end(struct image_lease *lease); /* NULL is borne */
static inline void image_lease_end_scope(struct image_lease **lease)
{
    image_lease_end(*lease);
}
#define scope_image_lease __attribute__((cleanup(image_lease_end_scope)))

/* A lease that outlives the process: owner (a container's id: letters, digits, _ - .) holds the
 * image, its layers and its configuration until it is released. Taking it again replaces what it
 * held; releasing one that isn't there is not an error. label is for people: the name of the
 * container, which errors of image_remove() show. */
int image_lease_take(struct image_store *store, const char *owner, const char *label,
                     const struct image *image, struct error *err);
int image_lease_release(struct image_store *store, const char *owner, struct error *err);

/* image_find() of the image that the owner's lease holds, also when it was removed by force and is
 * in no list any more. */
int image_find_held(struct image_store *store, const char *owner, const char *id,
                    struct image *image, struct error *err);

struct image_lease_holder {
    char *owner, *label;
    char image[IMAGE_DIGEST_SIZE]; /* id */
};
/* Every lease of image_lease_take(): *holders is an array that image_lease_holders_free() frees. */
int image_lease_list(struct image_store *store, struct image_lease_holder **holders, size_t *count,
                     struct error *err);
void image_lease_holders_free(struct image_lease_holder *holders, size_t count);

/* ---- Blobs ---- */

/* Whether the blob is in the store (1) or not (0), or -1. If it is, the lease holds it from now on.
 * size is what it must have, or -1. */
int image_blob_have(struct image_store *store, struct image_lease *lease, const char *digest,
                    int64_t size, struct error *err);
/* Opens a blob for reading; its size in *size unless that is NULL. -1 if it isn't there. */
int image_blob_open(struct image_store *store, const char *digest, int64_t *size,
                    struct error *err);
/* Reads a small blob (a manifest, a configuration) of at most limit bytes, ends it with a NUL and
 * verifies its digest; the caller frees it. */
char *image_blob_read(struct image_store *store, const char *digest, size_t limit, size_t *length,
                      struct error *err);
/* Adds a small blob that is in memory; its digest is computed (and compared with expected unless
 * that is NULL) and returned in digest unless that is NULL. Held by the lease. */
int image_blob_add(struct image_store *store, struct image_lease *lease, const void *bytes,
                   size_t length, const char *expected, char digest[IMAGE_DIGEST_SIZE],
                   struct error *err);

/* A blob that is written as it arrives. */
struct image_ingest;
struct image_unpack;

/* Begins. digest and size are what a manifest says; digest NULL: not known before the end, size -1:
 * not known. If a broken-off download of the same digest is there, it goes on after that; see
 * image_ingest_offset(). If another process is just writing the same blob, waits for its end, and
 * then the blob may be there: returns 1 with *ingest NULL (held by the lease).
 * unpack, unless NULL, reads all bytes from the file as they arrive, those of the partial blob
 * first; it stays the caller's, and must be ended (committed or aborted) after this ingest is. */
int image_ingest_begin(struct image_store *store, struct image_lease *lease, const char *digest,
                       int64_t size, struct image_unpack *unpack, struct image_ingest **ingest,
                       struct error *err);
/* How many bytes are there already: ask for "Range: bytes=OFFSET-". They are part of the digest. */
int64_t image_ingest_offset(const struct image_ingest *ingest);
/* Forgets all that is there and begins at 0, for a server that knows no ranges. An unpack goes on
 * where it was: the same bytes are expected again. */
int image_ingest_restart(struct image_ingest *ingest, struct error *err);
/* More than size bytes is an error at once, and so is a full disk. */
int image_ingest_write(struct image_ingest *ingest, const void *bytes, size_t count,
                       struct error *err);
/* Verifies size and digest, moves the blob into place, and frees ingest. digest (unless NULL)
 * receives the digest. A blob that doesn't match is removed, and is an error that says both
 * digests. Frees ingest also when it fails. */
int image_ingest_commit(struct image_ingest *ingest, char digest[IMAGE_DIGEST_SIZE],
                        struct error *err);
/* Gives up and frees ingest (NULL is borne). keep: a later image_ingest_begin() may go on from here
 * (after a broken connection); without it nothing is left. Blobs without an expected digest are
 * never kept. */
void image_ingest_abort(struct image_ingest *ingest, bool keep);

/* ---- Layers ---- */

enum image_compression {
    IMAGE_COMPRESSION_NONE,
    IMAGE_COMPRESSION_GZIP,
    IMAGE_COMPRESSION_ZSTD,
};

/* Bounds of what an archive may make. Zero: the default. */
struct image_limits {
    int64_t bytes;   /* of all files, and of the uncompressed stream: default 64 GiB, and never more
                        than what is free on the file system less a reserve */
    int64_t entries; /* default 8 million */
    int ratio;       /* uncompressed : compressed, after the first 64 MiB; default 1200, which gzip
                        (at most 1032) can't exceed; zstd can */
};

/* Begins to unpack a layer. The bytes come from an ingest, whose file it follows as it grows (give
 * it to image_ingest_begin()), or from a blob that is there (image_unpack_blob()); the compression
 * is seen from the first of them. Threads of its own decompress, hash and write, so that neither
 * image_ingest_write() waits for them nor a bound of memory is needed. diff_id is the digest that
 * the uncompressed stream must have. Returns 1 and *unpack NULL if the layer with this chain id is
 * there already (held by the lease then). progress and item (see struct image_progress) may be
 * NULL. */
int image_unpack_begin(struct image_store *store, struct image_lease *lease, const char *chain_id,
                       const char *diff_id, const struct image_limits *limits,
                       const struct image_progress *progress, const char *item,
                       struct image_unpack **unpack, struct error *err);
/* Takes the bytes from a blob of the store. */
int image_unpack_blob(struct image_unpack *unpack, const char *digest, struct error *err);
/* Waits for the end, verifies the diff id, and moves the layer into its place. Where the bytes come
 * from an ingest, call it after image_ingest_commit(); if that failed, or was aborted, this fails.
 * The layers below must be in their places: directories that the archive uses without describing
 * them get their attributes from there. parents are their diff ids, bottom first (parent_count of
 * them; the chain id given at the beginning is that of parents and diff_id). Frees unpack, also
 * when it fails; then nothing is left. */
int image_unpack_commit(struct image_unpack *unpack, const char (*parents)[IMAGE_DIGEST_SIZE],
                        size_t parent_count, struct error *err);
/* Waits until all is unpacked, or until that failed: what image_unpack_commit() does first. For who
 * unpacks several layers side by side and commits them in their order. */
int image_unpack_wait(struct image_unpack *unpack, struct error *err);
/* Whether it has failed already, so that a download needn't go on: -1 with the error, or 0. */
int image_unpack_status(struct image_unpack *unpack, struct error *err);
void image_unpack_abort(struct image_unpack *unpack); /* stops, removes, frees; NULL is borne */

/* The chain id of layers 0 … count - 1 (OCI image-spec, config, "Layer ChainID"). */
void image_chain_id(const char (*diff_ids)[IMAGE_DIGEST_SIZE], size_t count,
                    char chain_id[IMAGE_DIGEST_SIZE]);

/* The directories of overlayfs for an image; without those that an opaque root above hides. */
struct image_layers {
    char **directories; /* absolute, the top layer first */
    char *base;         /* they all are in this directory … */
    char **names; /* … under these names of 24 letters, so that 120 fit in mount options that
                     are relative to it */
    size_t count;
    bool user_xattrs; /* opaque directories are marked by user.overlay.*: mount with userxattr */
};
/* Unpacks what is missing. The caller holds a lease of the image (image_lease_take), or else a
 * collection may remove them. An image without layers has count 0. */
int image_layers(struct image_store *store, const struct image *image, struct image_layers *layers,
                 struct error *err);
void image_layers_release(struct image_layers *layers);
#define scope_image_layers __attribute__((cleanup(image_layers_release)))

/* What makes a file of an unpacked layer. */
struct image_derivation {
    const char *suffix; /* of the files' names; what is made differently has another one */
    /* Makes the file, which isn't there yet, of the layer in directory, which has about size bytes.
     * name are the 24 hexadecimal digits that the layer is called by. What it left is removed when
     * it fails. */
    int (*make)(const char *name, const char *directory, int64_t size, const char *file,
                struct error *err);
};
struct image_derived {
    char **files; /* absolute, that of the top layer first; ends with NULL */
    size_t count;
    bool user_xattrs; /* as of struct image_layers */
};
/* A file for each of image_layers(): those that are missing are made, by one process at a time.
 * They live as long as their layers; the caller holds a lease of the image. */
int image_derive(struct image_store *store, const struct image *image,
                 const struct image_derivation *derivation, struct image_derived *derived,
                 struct error *err);
void image_derived_release(struct image_derived *derived); /* zeroes it; a zeroed one is borne */
#define scope_image_derived __attribute__((cleanup(image_derived_release)))

/* ---- Adding images ---- */

/* Adds an image whose blobs are all in the store, held by the lease: parses and checks the manifest
 * and the configuration, makes sure that everything is on the disk (syncfs), and then enters it in
 * index.json. bytes are the manifest as it came, media_type its type ("" to take it from the
 * manifest). reference may be NULL (dangling). With a tag, the tag moves here from the image that
 * had it. repository_digest, unless NULL, is the digest under which the registry knows it (that of
 * the index, if one was asked for), noted as "repository@digest". image may be NULL. */
int image_add_manifest(struct image_store *store, struct image_lease *lease, const void *bytes,
                       size_t length, const char *media_type, const struct reference *reference,
                       const char *repository_digest, struct image *image, struct error *err);

/* Parses a manifest without looking into the store: config descriptor and layers. Layers are an
 * array of *count that the caller frees with image_descriptors_free(). An index is an error. */
int image_manifest_parse(const void *bytes, size_t length, struct image_descriptor *config,
                         struct image_descriptor **layers, size_t *count, struct error *err);
void image_descriptors_free(struct image_descriptor *descriptors, size_t count);
/* Whether a media type is that of an index or a manifest list. */
bool image_type_is_index(const char *media_type);
/* Reads rootfs.diff_ids of a configuration; *diff_ids is freed by the caller. */
int image_config_diff_ids(const void *bytes, size_t length, char (**diff_ids)[IMAGE_DIGEST_SIZE],
                          size_t *count, struct error *err);

/* Applies one instruction of a Dockerfile to an image's "config": CMD, ENTRYPOINT, ENV, EXPOSE,
 * HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR. What `commit` and `import` take
 * as --change. */
int image_config_change(json_t *config, const char *instruction, struct error *err);

/* A new image from a container's changes. */
struct image_commit {
    const struct image *parent; /* NULL: none */
    const char *upper;          /* an overlay upper directory; NULL: no new layer */
    json_t *config; /* replaces "config" of the parent's configuration; NULL: as it is */
    const char *author, *comment, *created_by; /* may be NULL */
    const struct reference *reference;         /* may be NULL */
    int64_t created;                           /* 0: now */
    bool user_xattrs; /* the upper directory's overlay was mounted with userxattr */
};
int image_commit(struct image_store *store, const struct image_commit *commit, struct image *image,
                 struct error *err);

/* Makes docker.io/library/busybox:latest of the machine's busybox (busybox-static), always with the
 * same digest from the same program; needs no network. Called where that name is asked for and not
 * in the store. 1: made; 0: there is no static busybox on this machine; -1: failed. */
int image_make_default(struct image_store *store, struct image *image, struct error *err);
/* Whether a reference is the one that image_make_default() makes. */
bool image_is_default(const struct reference *reference);

/* ---- Archives ---- */

/* Reads a docker archive (manifest.json, of any docker) or an OCI archive, plain or compressed
 * with gzip or zstd. Calls loaded for each name, or once with name NULL for an image without. */
struct image_load_options {
    const struct image_progress *progress; /* may be NULL */
    struct image_limits limits;
    void (*loaded)(const struct image *image, const char *name, void *context);
    void *context;
};
int image_load(struct image_store *store, int fd, const struct image_load_options *options,
               struct error *err);

enum image_archive_format { IMAGE_ARCHIVE_DOCKER, IMAGE_ARCHIVE_OCI };
/* Writes images with the names given ("name", "id" …; a repository without a tag: all of it) into
 * one archive that docker, podman and skopeo read: an OCI layout that has docker's manifest.json
 * too. */
int image_save(struct image_store *store, const char *const *names, size_t count,
               enum image_archive_format format, int fd, struct error *err);

/* Makes a one-layer image of a tar, plain or compressed. config as in image_commit. */
struct image_import {
    json_t *config; /* {"Cmd": …} or NULL */
    const char *comment;
    const struct platform *platform;   /* NULL: this machine's */
    const struct reference *reference; /* may be NULL */
    struct image_limits limits;
};
int image_import(struct image_store *store, int fd, const struct image_import *import,
                 struct image *image, struct error *err);

/* ---- Checking ---- */

/* Removes what processes that are gone left: their leases, half-unpacked layers, documents; not the
 * blobs, whole or partial, which the next pull may go on with. Whoever adds an image does this
 * first. */
int image_store_tidy(struct image_store *store, struct error *err);

/* Verifies the whole store: every reference leads to a manifest, a configuration and all layers;
 * digests and sizes are right (unless quick); every layer directory is known; there are no partial
 * files but those of running processes. Each fault is told to report. Returns the number of faults,
 * or -1 if it couldn't look. */
int image_store_check(struct image_store *store, bool quick,
                      void (*report)(const char *fault, void *context), void *context,
                      struct error *err);

/* What `system df` wants. */
struct image_usage {
    int64_t blobs, layers; /* bytes: of all blobs, of all unpacked layers */
    int64_t reclaimable;   /* bytes of images that no container holds */
    size_t images, active; /* held by a container */
};
int image_store_usage(struct image_store *store, struct image_usage *usage, struct error *err);

#endif
