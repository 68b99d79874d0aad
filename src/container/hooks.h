/* Hooks: programs of the host's that take part in a container's life (config.md, "POSIX-platform
 * Hooks"). */
#ifndef HULL_CONTAINER_HOOKS_H
#define HULL_CONTAINER_HOOKS_H

#include <jansson.h>

#include "base/error.h"
#include "base/warning.h"
#include "oci/config.h"

/* Runs the hooks of this kind in order, each with the state on its standard input. Stops at the
 * first that fails or outlives its timeout (it is killed, with its process group). What it wrote
 * on its standard error goes into the error. */
int hooks_run(const struct config *config, enum config_hook_kind kind, const json_t *state,
              struct error *err);

/* Runs all of them; one that fails is a warning. */
void hooks_run_all(const struct config *config, enum config_hook_kind kind, const json_t *state,
                   const struct warnings *warnings);

#endif
