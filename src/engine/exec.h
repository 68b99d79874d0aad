/* Another process in a running container. */
#ifndef HULL_ENGINE_EXEC_H
#define HULL_ENGINE_EXEC_H

#include "engine/engine.h"

struct engine_exec {
    const char *const *arguments; /* of the program, its name first */
    size_t argument_count;
    const char *const *env; /* "NAME=VALUE" */
    size_t env_count;
    const char *user, *directory; /* NULL: the container's */
    bool terminal;
    unsigned short rows, columns; /* of the terminal, or 0 */
    bool privileged;              /* with all capabilities */
};

/* The process (OCI runtime-spec, "process"): what the container's own program has, with what is
 * asked for. A new document, or NULL. */
json_t *engine_exec_describe(struct engine *engine, const struct engine_container *container,
                             const struct engine_exec *exec, struct error *err);

struct engine_exec_streams {
    int input, output, errors; /* the caller's; -1: /dev/null. Not with a terminal */
    int *terminal;             /* receives its master; NULL: the process has none */
};

/* Starts a process that was described. The caller is a subreaper (prctl(2),
 * PR_SET_CHILD_SUBREAPER): the process becomes its child. Returns its pid; or -1, *exit_code being
 * docker's then: 127 there is no such program, 126 it can't be executed, 1 for everything else
 * (the container doesn't run, is paused …). */
pid_t engine_exec_start(struct engine *engine, const struct engine_container *container,
                        const json_t *process, const struct engine_exec_streams *streams,
                        int *exit_code, struct error *err);

/* What the event of its end, exec_die, says; a new object. */
json_t *engine_exec_describe_end(const struct engine_container *container, int exit_status);

#endif
