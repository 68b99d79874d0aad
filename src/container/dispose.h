/* The end of a container: everything that was made for it goes, the record last. */
#ifndef HULL_CONTAINER_DISPOSE_H
#define HULL_CONTAINER_DISPOSE_H

#include "base/error.h"
#include "base/warning.h"
#include "container/cgroup.h"
#include "container/record.h"
#include "oci/config.h"

/* Kills what is left of the container, removes its cgroups and its class of service, runs the
 * poststop hooks (config may be NULL) and removes the record, which the caller has locked. The
 * order is one that can be begun again after any step. A hook that fails is a warning (runtime.md,
 * "Lifecycle", 13). */
int dispose(struct record *record, const struct cgroup *cgroup, const struct config *config,
            const struct warnings *warnings, struct error *err);

#endif
