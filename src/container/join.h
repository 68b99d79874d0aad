/* A new process in the namespaces of a running container: what exec needs of namespaces. */
#ifndef HULL_CONTAINER_JOIN_H
#define HULL_CONTAINER_JOIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"

/* The CLONE_NEW… flags of the namespaces in which the process behind pidfd differs from us, among
 * those that the configuration lists. */
uint64_t join_flags(const struct config_linux *config);

struct join {
    int pidfd;      /* of a process of the container's */
    uint64_t flags; /* from join_flags() */
    bool staged;    /* a process between: join_is_staged() */
    int preserved;  /* descriptors 3 … 3+preserved-1 are the program's */
};

/* With a user namespace, the privileges for the other namespaces are those that one has in it. And
 * where somebody inside may look into every process (CAP_SYS_PTRACE), the new one must not have
 * the host's root and descriptors even for a moment. Both take a process between, half a
 * millisecond; others go without. container: the configuration of the running container. */
bool join_is_staged(uint64_t flags, const struct config *container);

/* Makes a process there. Returns its pid in the runtime and 0 in it. channel and cgroup as in
 * namespaces_clone(); cgroup is used only if there is no process between. The child has still to
 * call join_enter(). */
pid_t join_clone(const struct join *join, const int channel[2], int cgroup, struct error *err);

/* In the child: the namespaces that a process can join itself. */
int join_enter(const struct join *join, struct error *err);

#endif
