/* The inside of image_load(): what was found in an archive. */
#ifndef HULL_IMAGE_LOAD_H
#define HULL_IMAGE_LOAD_H

#include "image/store.h"

struct load {
    struct image_store *store;
    struct image_lease *lease;
    const struct image_load_options *options;
    json_t *blobs;         /* path → {"digest", "size"}: what went into the store */
    json_t *documents;     /* path → text: small files that didn't */
    json_t *links;         /* path → path */
    size_t loaded;         /* images */
    struct store_set used; /* blobs that they need */
};

/* Reads the archive: fills the three maps. */
int load_read(struct load *load, int fd, struct error *err);
/* The small file at path, wherever it went, with its NUL; the caller frees. NULL with the error. */
char *load_document(struct load *load, const char *path, size_t *length, struct error *err);
/* The blob at path, through links; NULL if there is none. */
const json_t *load_blob(struct load *load, const char *path);

#endif
