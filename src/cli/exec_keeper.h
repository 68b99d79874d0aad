/* `exec --detach`, and `exec` at a terminal, which one may detach from. */
#ifndef HULL_CLI_EXEC_KEEPER_H
#define HULL_CLI_EXEC_KEEPER_H

#include "cli/container_verb.h"

/* The process that is to be started, as engine_exec_describe(). */
typedef json_t *exec_description(struct cli_context *context, struct engine *engine,
                                 const struct engine_container *container, struct error *err);

/* Starts the process in the container that the first argument names, by another process, which
 * opens the engine itself. That stays in the background after the user has detached (or at once,
 * with --detach), waits for the program's end, and tells of it by an event. */
int exec_keeper_run(struct cli_context *context, exec_description *describe, struct error *err);

#endif
