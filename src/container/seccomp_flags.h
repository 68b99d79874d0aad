/* The flags of seccomp(2)'s SECCOMP_SET_MODE_FILTER. */
#ifndef HULL_CONTAINER_SECCOMP_FLAGS_H
#define HULL_CONTAINER_SECCOMP_FLAGS_H

#include <stdbool.h>

#include "base/error.h"
#include "oci/config.h"

/* The flags for a filter that does or doesn't notify. A flag that is unknown, or that this kernel
 * lacks, is an error. */
int seccomp_flags_translate(const struct config_seccomp *seccomp, bool notify, unsigned int *flags,
                            struct error *err);

#endif
