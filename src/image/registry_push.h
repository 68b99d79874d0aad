/* registry_push(), inside the module. */
#ifndef HULL_IMAGE_REGISTRY_PUSH_H
#define HULL_IMAGE_REGISTRY_PUSH_H

#include "image/registry.h"

int registry_client_push(struct image_store *store, const char *name,
                         const struct registry_push_options *options, struct error *err);

#endif
