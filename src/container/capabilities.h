/* The five capability sets of a process (capabilities(7)). */
#ifndef HULL_CONTAINER_CAPABILITIES_H
#define HULL_CONTAINER_CAPABILITIES_H

#include "base/error.h"
#include "oci/config.h"

/* Drops from the bounding set of the calling thread everything not in keep. Needs CAP_SETPCAP,
 * so it comes before the change of user. */
int capabilities_drop_bounding(uint64_t keep, struct error *err);

/* Sets effective, permitted, inheritable and, last, ambient. keep_permitted (bits) stay permitted
 * and effective for now: what the caller still needs before exec. */
int capabilities_set(const struct config_capabilities *capabilities, uint64_t keep_permitted,
                     struct error *err);

#endif
