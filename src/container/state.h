/* The state of a container as the specification shows it (runtime.md, "State"). */
#ifndef HULL_CONTAINER_STATE_H
#define HULL_CONTAINER_STATE_H

#include <jansson.h>

#include "container/record.h"

/* The status word of record, "paused" included. */
const char *state_status(const struct record *record);

/* What hooks and seccomp agents are told. pid 0 leaves it out, as for a stopped container.
 * header is the record's. The caller owns the object. */
json_t *state_document(const json_t *header, const char *status, pid_t pid);

/* What the verbs state and list print: the above with rootfs, created and owner. */
json_t *state_describe(const struct record *record);

#endif
