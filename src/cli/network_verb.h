/* What the verbs about networks share. */
#ifndef HULL_CLI_NETWORK_VERB_H
#define HULL_CLI_NETWORK_VERB_H

#include "cli/verb.h"
#include "engine/engine.h"
#include "network/network.h"

/* Opens the engine and its networks, acts, and closes; a failure ends the program with docker's 1.
 */
int network_verb_run(struct cli_context *context,
                     int (*act)(struct cli_context *context, struct engine *engine,
                                struct networks *networks, struct error *err),
                     struct error *err);

/* Acts on each argument: all that can be done is, what fails is reported, and the last error is
 * what the verb ends with. */
int network_verb_each(struct cli_context *context, struct networks *networks,
                      int (*act)(struct cli_context *context, struct networks *networks,
                                 const char *name, void *argument, struct error *err),
                      void *argument, struct error *err);

#endif
