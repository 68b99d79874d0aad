#include "monitor/restart.h"

#define FIRST_DELAY_MS 100
#define MAX_DELAY_MS 60000
#define SETTLED_MS 10000 /* who has run so long begins with the first delay again */

bool restart_is_wanted(const struct monitor_restart *policy, int exit_code, bool stopped_by_user,
                       int count)
{
    if (stopped_by_user)
        return false;
    switch (policy->kind) {
    case MONITOR_RESTART_ALWAYS:
    case MONITOR_RESTART_UNLESS_STOPPED:
        return true;
    case MONITOR_RESTART_ON_FAILURE:
        return exit_code != 0 &&
               (policy->maximum_retry_count == 0 || count < policy->maximum_retry_count);
    default:
        return false;
    }
}

int64_t restart_after_exit(struct restart_state *state, const struct monitor_restart *policy,
                           int exit_code, bool stopped_by_user, int64_t ran)
{
    if (ran >= SETTLED_MS)
        state->delay = 0;
    if (!restart_is_wanted(policy, exit_code, stopped_by_user, state->count))
        return -1;
    state->delay = state->delay == 0 ? FIRST_DELAY_MS : state->delay * 2;
    if (state->delay > MAX_DELAY_MS)
        state->delay = MAX_DELAY_MS;
    state->count++;
    return state->delay;
}
