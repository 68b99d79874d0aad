/* Session keyrings (keyrings(7)). */
#ifndef HULL_CONTAINER_KEYRING_H
#define HULL_CONTAINER_KEYRING_H

#include "base/error.h"

/* Joins the session keyring of container id, making it if it is new: else the container could
 * read the keys of who started it. Hosts without keyrings, or with no room for more, are fine. */
int keyring_join(const char *id, struct error *err);

#endif
