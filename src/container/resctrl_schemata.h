/* The text of resctrl's `schemata`: lines "RESOURCE:DOMAIN=VALUE;DOMAIN=VALUE…". */
#ifndef HULL_CONTAINER_RESCTRL_SCHEMATA_H
#define HULL_CONTAINER_RESCTRL_SCHEMATA_H

#include "base/error.h"
#include "oci/config.h"

/* The configured lines in the order that the specification demands: l3CacheSchema, memBwSchema,
 * schemata. "" if there are none. The caller frees it. */
char *resctrl_schemata_join(const struct config_intel_rdt *rdt);

/* Fails unless present, as read from the kernel, has the value of every domain that wanted names.
 * Present pads with spaces and zeros; values are compared as numbers. */
int resctrl_schemata_include(const char *present, const char *wanted, struct error *err);

#endif
