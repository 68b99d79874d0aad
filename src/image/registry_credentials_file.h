/* Docker's config.json as a file: found, read, and replaced under a lock. */
#ifndef HULL_IMAGE_REGISTRY_CREDENTIALS_FILE_H
#define HULL_IMAGE_REGISTRY_CREDENTIALS_FILE_H

#include <jansson.h>

#include "base/error.h"

/* $DOCKER_CONFIG/config.json, or that in ~/.docker; the caller frees. NULL if there is no home. */
char *registry_credentials_path(struct error *err);

/* The file's object; an empty one if there is no such file. NULL on error. */
json_t *registry_credentials_read(const char *path, struct error *err);

/* Makes the directory if need be, and locks it against other writers until the descriptor returned
 * is closed. */
int registry_credentials_lock(const char *path, struct error *err);

/* Replaces the file by the object: atomically, mode 0600, and behind a symbolic link if path is
 * one. */
int registry_credentials_write(const char *path, const json_t *object, struct error *err);

#endif
