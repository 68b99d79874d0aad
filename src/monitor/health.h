/* The state of a container's health, as docker defines it; health_probe.h runs the checks. */
#ifndef HULL_MONITOR_HEALTH_H
#define HULL_MONITOR_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/monitor.h"

#define HEALTH_RESULTS 5
#define HEALTH_OUTPUT 4096

enum health_state { HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct health_result {
    char start[40], end[40];
    int exit_code; /* 0 healthy, -1 timeout or not executed, else unhealthy */
    char *output;
};

struct health {
    struct monitor_health settings; /* durations in ms here, defaults applied */
    enum health_state state;
    int failing_streak;
    bool has_started; /* a check has succeeded: the start period is over */
    struct health_result results[HEALTH_RESULTS]; /* the oldest first */
    int count;
};

/* Takes settings (nanoseconds) over and begins with "starting". */
void health_begin(struct health *health, const struct monitor_health *settings);
/* When to check next, ms from now, if the container has been running for so many ms. */
int64_t health_delay(const struct health *health, int64_t ran);
/* Counts a result; its output becomes health's. ran: when the check was started. True if the state
 * has changed. */
bool health_record(struct health *health, const struct health_result *result, int64_t ran);
/* Docker's State.Health. */
json_t *health_describe(const struct health *health);
const char *health_state_name(enum health_state state);
void health_release(struct health *health);

#endif
