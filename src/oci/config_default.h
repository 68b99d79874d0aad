/* The configuration that `spec` writes for a new bundle. */
#ifndef HULL_OCI_CONFIG_DEFAULT_H
#define HULL_OCI_CONFIG_DEFAULT_H

#include <jansson.h>
#include <stdbool.h>

/* The same content as `runc spec`: a shell on a terminal in ./rootfs, read-only, with few
 * capabilities. Rootless: in a user namespace where root is the caller, on the host's network,
 * and without control groups. The caller gives it back with json_decref(). */
json_t *config_default_document(bool rootless);

#endif
