/* What the verbs share that look at what the engine keeps. */
#ifndef HULL_CLI_ENGINE_VERB_H
#define HULL_CLI_ENGINE_VERB_H

#include "cli/container_verb.h"

/* Opens the engine, acts, and closes it; a failure ends the program with docker's 1, unless
 * exit_status was set. */
int engine_verb_run(struct cli_context *context,
                    int (*act)(struct cli_context *context, struct engine *engine,
                               struct error *err),
                    struct error *err);

/* Says an error and goes on: the program will end with 1. */
void engine_verb_report(struct cli_context *context, const struct error *err);

/* The first 12 digits of an id, or all of it. */
struct engine_verb_id {
    char text[ENGINE_ID_SIZE];
};
struct engine_verb_id engine_verb_show_id(const char *id, bool whole);

#endif
