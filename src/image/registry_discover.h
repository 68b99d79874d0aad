/* What a registry tells about an image without pulling it; inside the module. */
#ifndef HULL_IMAGE_REGISTRY_DISCOVER_H
#define HULL_IMAGE_REGISTRY_DISCOVER_H

#include "image/registry.h"

int registry_client_referrers(const char *name, const struct registry_referrers_options *options,
                              struct referrers *referrers, struct error *err);

#endif
