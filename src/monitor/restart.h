/* When a container is begun again: docker's rules. */
#ifndef HULL_MONITOR_RESTART_H
#define HULL_MONITOR_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/monitor.h"

struct restart_state {
    int count;     /* restarts so far */
    int64_t delay; /* ms, the last one's; 0: there was none */
};

/* The container has ended with this code after running so many ms. Returns how many ms to wait
 * before it is begun again, or -1: not at all. */
int64_t restart_after_exit(struct restart_state *state, const struct monitor_restart *policy,
                           int exit_code, bool stopped_by_user, int64_t ran);

/* Whether the policy asks for another start of a container that ended with its monitor or with the
 * machine. */
bool restart_is_wanted(const struct monitor_restart *policy, int exit_code, bool stopped_by_user,
                       int count);

#endif
