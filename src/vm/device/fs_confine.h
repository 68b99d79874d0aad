/* What the server of a share may still do, once it has begun: nothing but act on files of its
 * directory for users of the guest. */
#ifndef HULL_VM_FS_CONFINE_H
#define HULL_VM_FS_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* The namespaces that the server is cloned into, as CLONE_ flags; it makes the others itself. */
unsigned long fs_confine_namespaces(void);

/* In those: makes the directory the root of all the process sees, read-only if asked for,
 * where no device, program or set-user-id bit means anything. user and group: who we were outside.
 * Fills the descriptors of that root, and of /proc/self/fd of a /proc that shows this process
 * alone.
 */
int fs_confine_enter(int directory, bool read_only, uid_t user, gid_t group, int *root, int *proc,
                     struct error *err);
/* Gives up all capabilities but those over files, and all system calls but those that serving
 * takes; one that isn't among them ends the process. */
int fs_confine_lock(struct error *err);

#endif
