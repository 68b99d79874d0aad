/* What the runtime does for a process that is setting itself up inside a container: shared by
 * create, run, start and exec. */
#ifndef HULL_CONTAINER_ATTEND_H
#define HULL_CONTAINER_ATTEND_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"

/* Fetches descriptor number `listener` of process pid, its seccomp listener, gives it to the
 * agent that the configuration names, and tells the process to go on. header: the record's. */
int attend_listener(int channel, pid_t pid, int listener, const struct config *config,
                    const json_t *header, struct error *err);

/* Was our child ended by a signal (without taking its status away)? */
bool attend_was_killed(pid_t pid);

#endif
