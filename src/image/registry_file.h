/* A file that a user names by its URL, over the registry client's HTTP. */
#ifndef HULL_IMAGE_REGISTRY_FILE_H
#define HULL_IMAGE_REGISTRY_FILE_H

#include "image/registry.h"

/* As registry_fetch_file(). */
int registry_client_fetch_file(const char *url, int fd, int64_t limit,
                               const struct image_progress *progress, struct error *err);

#endif
