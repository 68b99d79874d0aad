/* What the verbs about containers share. */
#ifndef HULL_CLI_CONTAINER_VERB_H
#define HULL_CLI_CONTAINER_VERB_H

#include "cli/verb.h"
#include "engine/engine.h"

/* Opens the engine below the context's directories. */
int container_verb_open(struct cli_context *context, struct engine **engine, struct error *err);

/* Acts on each container that the arguments name, and prints the argument where that succeeded
 * unless act has printed itself (prints_itself). What fails is reported, the rest is done
 * nevertheless, and the program ends with 1. */
struct container_verb_each {
    int (*act)(struct cli_context *context, struct engine *engine,
               const struct engine_container *container, void *argument, struct error *err);
    void *argument;
    bool prints_itself;
    bool bears_absence; /* that there is no such container is only said */
};
int container_verb_each(struct cli_context *context, const struct container_verb_each *each,
                        struct error *err);

/* Opens the engine, finds the container that the first argument names, and acts; a failure ends
 * the program with docker's 1. */
int container_verb_one(struct cli_context *context,
                       int (*act)(struct cli_context *context, struct engine *engine,
                                  const struct engine_container *container, struct error *err),
                       struct error *err);

/* The value of --time or --timeout (seconds) as milliseconds, INT_MIN if it wasn't given; and that
 * of --signal, 0 if it wasn't. */
int container_verb_timeout(const struct cli_context *context, const char *flag, int *milliseconds,
                           struct error *err);
int container_verb_signal(const struct cli_context *context, const char *flag, int *signal,
                          struct error *err);

/* A foreground `run`, `start` or `attach`: passes data between the terminal and the container until
 * that ends or the user detaches. */
struct container_session {
    int flags; /* MONITOR_ATTACH_* */
    /* With it it was started to be held, and begins once we are attached; or NULL. */
    struct engine_start *held;
    bool pass_signals;
    const char *detach_keys; /* NULL: the default */
};
/* *exit_status is what the program should end with; 0 after detaching. */
int container_session_run(struct engine *engine, const struct engine_container *container,
                          const struct container_session *session, int *exit_status,
                          struct error *err);
/* The terminal's size for struct engine_start; 0 where there is none. */
void container_session_size(unsigned short *rows, unsigned short *columns);

#endif
