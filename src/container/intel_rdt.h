/* linux.intelRdt in a container's life: what resctrl.h does, recorded and undone with the rest. */
#ifndef HULL_CONTAINER_INTEL_RDT_H
#define HULL_CONTAINER_INTEL_RDT_H

#include <jansson.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"

/* What create is going to do, for the record's header; NULL with an error. */
json_t *intel_rdt_plan(const struct config_intel_rdt *rdt, const char *id, struct error *err);

/* The following take the record's header, and do nothing if it holds no plan. */
int intel_rdt_create(const json_t *header, const struct config_intel_rdt *rdt, struct error *err);
int intel_rdt_add_process(const json_t *header, pid_t pid, struct error *err);
int intel_rdt_remove(const json_t *header, struct error *err);

/* New schemata for `update`; either may be NULL. Fails if some are given and there is no plan. */
int intel_rdt_update(const json_t *header, const char *l3_cache_schema, const char *mem_bw_schema,
                     struct error *err);

#endif
