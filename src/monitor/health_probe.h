/* Runs a container's health check, again and again, inside of it. */
#ifndef HULL_MONITOR_HEALTH_PROBE_H
#define HULL_MONITOR_HEALTH_PROBE_H

#include "base/loop.h"
#include "monitor/driver.h"
#include "monitor/health.h"

struct health_probe {
    /* Filled by the owner. */
    struct loop *loop;
    struct driver_call call; /* of hull-oci exec, without done */
    void (*changed)(struct health_probe *probe, bool state_changed); /* after each check */

    struct health health;
    bool active; /* between begin and end */
    bool paused;
    int64_t began, check_began; /* ms of the loop's clock */
    struct loop_timer timer;    /* until the next check, or until this one takes too long */
    struct loop_source output;
    struct child process;
    struct health_result result; /* of the running check */
    size_t output_length;
    bool truncated, timed_out, exited;
};

/* The container runs. Nothing if it has no check. */
void health_probe_begin(struct health_probe *probe, const struct monitor_health *settings);
/* It has ended, or is about to. A check that is running doesn't count any more. */
void health_probe_end(struct health_probe *probe);
/* Nothing is checked while it is paused. */
void health_probe_pause(struct health_probe *probe, bool paused);

#endif
