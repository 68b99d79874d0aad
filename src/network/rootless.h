/* Networks of users other than root: rootless.c says how. */
#ifndef HULL_NETWORK_ROOTLESS_H
#define HULL_NETWORK_ROOTLESS_H

#include "network/network_internal.h"

/* Where a container asks for names if the host's own server is at a loopback address; pasta passes
 * that on. */
#define ROOTLESS_RESOLVER "169.254.1.1"

/* Refuses what only root can have. */
int rootless_check(const struct network_request *request, struct error *err);
/* Starts the container's pasta, and records it. */
int rootless_start(struct networks *networks, struct container_record *container,
                   struct error *err);

#endif
