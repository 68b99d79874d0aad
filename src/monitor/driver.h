/* Calls of the runtime, hull-oci, each in a process of its own. */
#ifndef HULL_MONITOR_DRIVER_H
#define HULL_MONITOR_DRIVER_H

#include <stdbool.h>

#include "monitor/children.h"
#include "monitor/monitor.h"

struct driver_call {
    /* Filled by the owner. */
    const struct monitor_config *config;
    const char *directory; /* the run directory */
    const char *log;       /* file in it, for the runtime's error */
    struct children *children;
    int lock; /* which the runtime keeps, too, until it has ended; or -1 */
    void (*done)(struct driver_call *call, const struct error *err); /* err NULL: it succeeded */

    struct child child;
    bool was_killed; /* by a signal: set before done() is called */
};

/* Calls the runtime with a verb and its arguments, which end with NULL. done() follows in any case,
 * later (or at once if no process could be made). One call at a time. */
void driver_start(struct driver_call *call, const char *const *arguments, const int streams[3]);
bool driver_is_busy(const struct driver_call *call);

/* Docker's exit code for what the runtime couldn't start: 127, 126, 125. */
int driver_exit_code(const struct error *err);

#endif
