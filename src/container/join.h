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

/* Makes a process there. Returns its pid in the runtime and 0 in it. channel and cgroup as in
 * namespaces_clone(); cgroup is used only if the user namespace is not among them. The child has
 * still to call join_enter(). */
pid_t join_clone(int pidfd, uint64_t flags, const int channel[2], int cgroup, struct error *err);

/* In the child: the namespaces that a process can join itself. */
int join_enter(int pidfd, uint64_t flags, struct error *err);

#endif
