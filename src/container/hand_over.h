/* hull-oci is two programs from the same sources. The one that callers execute is linked
 * statically (with musl): it starts in a quarter of the time and needs a third of the memory of a
 * dynamic one, and it does all that most containers need. What takes the distribution's shared
 * libraries (compiling a seccomp profile that isn't in the cache, systemd's bus) is the other's:
 * the static program executes it in its own place, with the same arguments, which begins anew. */
#ifndef HULL_CONTAINER_HAND_OVER_H
#define HULL_CONTAINER_HAND_OVER_H

#include "base/error.h"

/* Called once by main, before the arguments are read: those to hand over. argv is borrowed. */
void hand_over_prepare(char **argv);

/* Goes on only in the program with the shared libraries: there it returns 0. The other doesn't
 * return but with -1, if the program can't be executed. Must be called before anything is made or
 * printed; descriptors that were opened since the start are closed by the exec. need is for
 * the error: what shared libraries are needed for. */
int hand_over(const char *need, struct error *err);

#endif
