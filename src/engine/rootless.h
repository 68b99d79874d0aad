/* Users other than root: hull becomes root of a user namespace of theirs first.
 *
 * All their commands share one user and one mount namespace: what one mounts another sees, and one
 * may look into what another has started. A small process, the keeper, holds them as long as the
 * user is logged in; RUN_ROOT/namespace has its process id and start time. */
#ifndef HULL_ENGINE_ROOTLESS_H
#define HULL_ENGINE_ROOTLESS_H

#include <stdbool.h>

#include "base/error.h"

/* Enters the user's namespaces, which are made if they aren't there: with the user as root, and the
 * ids of /etc/subuid and /etc/subgid, if there are any, as the other users. run_root is made, and
 * must be the user's own. Nothing happens for root. */
int rootless_enter(const char *run_root, struct error *err);

/* Whether hull isn't the host's root. */
bool rootless_is_active(void);

#endif
