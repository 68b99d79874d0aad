/* registry_pull() and what it is made of; inside the module. */
#ifndef HULL_IMAGE_REGISTRY_PULL_H
#define HULL_IMAGE_REGISTRY_PULL_H

#include "image/registry.h"

int registry_client_pull(struct image_store *store, const char *name,
                         const struct registry_pull_options *options, struct image *image,
                         struct error *err);

#endif
