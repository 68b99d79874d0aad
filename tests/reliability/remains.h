/* What a container may not leave on the machine. */
#ifndef HULL_TESTS_RELIABILITY_REMAINS_H
#define HULL_TESTS_RELIABILITY_REMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct place {
    const char *directory; /* where bundles, state and all else of the test are */
    const char *root;      /* hull-oci's --root */
    const char *pids;      /* where pid files go */
    const char *id;        /* of the container; its cgroup is /ID */
};

/* Orphans become our children from now on, so that a process that is left can't be missed. */
void remains_adopt(void);

/* Waits at most milliseconds for a child's end, or kills it; *status is as waitpid's. Meanwhile
 * others are reaped: a pid namespace doesn't end before all of its processes are. A child that was
 * reaped already has ended. */
bool remains_wait(pid_t pid, int milliseconds, int *status);

/* Waits at most milliseconds until nothing is left; else says what is, one line, in text. */
bool remains_none(const struct place *place, int milliseconds, char *text, size_t size);

/* Removes it by force, so that the next case can begin. */
void remains_scrub(const struct place *place);

#endif
