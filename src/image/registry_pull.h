/* registry_pull() and what it is made of; inside the module. */
#ifndef HULL_IMAGE_REGISTRY_PULL_H
#define HULL_IMAGE_REGISTRY_PULL_H

#include "image/registry.h"
#include "image/registry_config.h"

int registry_client_pull(struct image_store *store, const char *name,
                         const struct registry_pull_options *options, struct image *image,
                         struct error *err);

/* What a name may mean, in the order to try; *candidates is an array that the caller frees. A tag
 * beside a digest is left out, as the digest says all. */
int registry_candidates(const struct registry_config *config, const char *name,
                        struct reference **candidates, size_t *count, struct error *err);

#endif
