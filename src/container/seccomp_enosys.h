/* The stub in front of a filter that answers ENOSYS to system calls newer than the profile.
 *
 * A profile lists the system calls that its author knew. One that the kernel got later falls to
 * the default action, mostly EPERM. But a C library learns that a kernel is too old for a call by
 * ENOSYS alone, and then falls back to the older one (clone3 to clone, faccessat2 to faccessat,
 * statx to stat); EPERM it takes for the answer. So a new C library in the container fails under
 * an old profile. Therefore a system call whose number is above every number that the profile
 * names (for the architecture in question) is answered with ENOSYS before the filter sees it: to
 * the program, the kernel looks as old as the profile. runc does the same, so images rely on it.
 *
 * No stub is made where the default action lets calls through (ALLOW, LOG), leaves them to a
 * tracer that can emulate new ones (TRACE), or is ENOSYS anyway. A number that isn't above the
 * profile's highest, but in a gap below it, is left to the filter. */
#ifndef HULL_CONTAINER_SECCOMP_ENOSYS_H
#define HULL_CONTAINER_SECCOMP_ENOSYS_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "container/seccomp_library.h"
#include "oci/config.h"

/* The room that seccomp_enosys_build() needs, in instructions. */
#define SECCOMP_ENOSYS_ROOM(architecture_count) (2 + 8 * (architecture_count))

/* Writes the stub for the filter's architectures (libseccomp's tokens, the native one included)
 * and returns the number of its instructions. Behind it the filter goes on as if it were alone. */
size_t seccomp_enosys_build(const struct seccomp_library *library,
                            const struct config_seccomp *seccomp, const uint32_t *architectures,
                            size_t architecture_count, struct sock_filter *stub);

#endif
