/* What the runtime does, from outside, to a new process of a container before that may go on. */
#ifndef HULL_CONTAINER_ADMIT_H
#define HULL_CONTAINER_ADMIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "container/attend.h"
#include "container/cgroup.h"
#include "oci/config.h"

struct admission {
    const struct config_process *process;
    const struct cgroup *cgroup; /* whose v1 part, at least, the process has still to enter */
    bool enters_v2;              /* ... and the v2 part: it wasn't born into it */
    bool user_namespace; /* its limits are set from outside: inside it couldn't raise them */
    const char *pid_file, *pidfd_socket; /* for the client, or NULL */
};

/* Sets what has to be set from outside, tells the client, and sends the process CHANNEL_GO with the
 * descriptors by which it enters its cgroups. */
int admit(const struct attendance *attendance, const struct admission *admission,
          struct error *err);

/* The other side of it: the process waits until the runtime has recorded it, written its mappings
 * and made its cgroups, and enters them. If the runtime died, it is to die too, before anything of
 * its own outlives it. outer_pid, which may be NULL, is its id as the runtime sees it. */
int admit_await(int channel, pid_t *outer_pid, struct error *err);

/* Before anything else is opened: are the descriptors that are to be passed on, from 3, open? */
int admit_check_descriptors(int count, struct error *err);

#endif
