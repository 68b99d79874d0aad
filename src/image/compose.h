/* Composing the documents of an image that is made here: of commit, import, load and the default
 * image. */
#ifndef HULL_IMAGE_COMPOSE_H
#define HULL_IMAGE_COMPOSE_H

#include "image/archive.h"
#include "image/store.h"

/* A layer's media type in OCI's names, by its compression; and the OCI name of a docker one. */
const char *compose_layer_type(enum image_compression compression);
const char *compose_oci_type(const char *media_type);

/* The descriptor of a layer of an image that is made. */
json_t *compose_layer(const char *media_type, const char *digest, int64_t size);

/* A layer that is being made: a tar that is written into the store and unpacked at the same time.
 */
struct compose_tar;
int compose_tar_begin(struct image_store *store, struct image_lease *lease, bool compress,
                      const struct image_limits *limits, struct compose_tar **tar,
                      struct error *err);
/* An archive_take; context is the struct compose_tar. */
int compose_tar_take(void *context, const void *bytes, size_t count, struct error *err);
/* On top of parents; frees tar also when it fails. *layer is its descriptor. */
int compose_tar_commit(struct compose_tar *tar, const char (*parents)[IMAGE_DIGEST_SIZE],
                       size_t parent_count, char diff_id[IMAGE_DIGEST_SIZE], json_t **layer,
                       struct error *err);
void compose_tar_abort(struct compose_tar *tar); /* NULL is borne */

/* Writes configuration (an object with everything) and a manifest with these layers, and enters the
 * image. Takes neither. */
int compose_image(struct image_store *store, struct image_lease *lease, const json_t *config,
                  const json_t *layers, const struct reference *reference, struct image *image,
                  struct error *err);

#endif
