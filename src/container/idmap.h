/* User namespaces: their id mappings, and namespaces made only to hold mappings for a mount. */
#ifndef HULL_CONTAINER_IDMAP_H
#define HULL_CONTAINER_IDMAP_H

#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"

/* Writes the mappings of the user namespace that pid is in. With privilege directly; without, the
 * caller's own ids directly and subordinate ones through newuidmap(1) and newgidmap(1). */
int idmap_write(pid_t pid, const struct config_id_mappings *uids,
                const struct config_id_mappings *gids, struct error *err);

/* A descriptor of a new user namespace with these mappings, for MOUNT_ATTR_IDMAP. */
int idmap_open_namespace(const struct config_id_mappings *uids,
                         const struct config_id_mappings *gids, struct error *err);

#endif
