/* Hooks: programs of the host's that take part in a container's life (config.md, "POSIX-platform
 * Hooks"). */
#ifndef HULL_CONTAINER_HOOKS_H
#define HULL_CONTAINER_HOOKS_H

#include <jansson.h>

#include "base/error.h"
#include "base/warning.h"
#include "container/record.h"
#include "oci/config.h"

/* Runs the hooks of this kind in order, each with the state on its standard input. Stops at the
 * first that fails or outlives its timeout (it is killed, with its process group). What it wrote
 * on its standard error goes into the error.
 *
 * Each is recorded, so that `delete --force` can end one that hangs or has outlived the runtime;
 * record is NULL for hooks that end with the container, because they run in it. */
int hooks_run(const struct config *config, enum config_hook_kind kind, const json_t *state,
              const struct record *record, struct error *err);

/* Runs all of them; one that fails is a warning. */
void hooks_run_all(const struct config *config, enum config_hook_kind kind, const json_t *state,
                   const struct record *record, const struct warnings *warnings);

#endif
