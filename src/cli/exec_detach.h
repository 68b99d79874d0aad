/* `exec --detach`. */
#ifndef HULL_CLI_EXEC_DETACH_H
#define HULL_CLI_EXEC_DETACH_H

#include "cli/container_verb.h"

/* The process that is to be started, as engine_exec_describe(). */
typedef json_t *exec_description(struct cli_context *context, struct engine *engine,
                                 const struct engine_container *container, struct error *err);

/* Starts the process in the container that the first argument names, and leaves another in the
 * background that waits for its end and tells of it by an event. It opens the engine itself. */
int exec_detach(struct cli_context *context, exec_description *describe, struct error *err);

#endif
