/* What the runtime does for a process that is setting itself up inside a container, until it is
 * ready or executes its program: shared by create, run, start and exec. */
#ifndef HULL_CONTAINER_ATTEND_H
#define HULL_CONTAINER_ATTEND_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "container/record.h"
#include "oci/config.h"

struct attendance {
    int channel; /* to the process, or -1 */
    pid_t pid;   /* as we see it; 0 before it exists */
    pid_t init;  /* exec: the container's first process; 0: pid is */
    bool ours;   /* it is our child */
    bool waits;  /* it will say that it is ready, and wait for start */
    const struct config *config;
    const struct record *record; /* the container's; NULL for exec */
    const json_t *header;        /* of that */
    int console;                 /* connection to the client's console socket, or -1 */
    int terminal; /* result: the master of its terminal, if there is no such socket; or -1 */
};

/* Serves the process: runs the runtime's hooks, passes on its terminal and its seccomp listener.
 * 0 when it is ready (waits) or executed its program; else what it says went wrong. */
int attend(struct attendance *attendance, struct error *err);

/* Closes what is open. */
void attend_end(struct attendance *attendance);

#endif
