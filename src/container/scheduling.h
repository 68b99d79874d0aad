/* process.scheduler (sched_setattr(2)) and process.ioPriority (ioprio_set(2)). */
#ifndef HULL_CONTAINER_SCHEDULING_H
#define HULL_CONTAINER_SCHEDULING_H

#include "base/error.h"
#include "oci/config.h"

/* Applies what the configuration gives to the calling thread; its program and their children
 * inherit it. Real-time policies, negative niceness and the real-time I/O class need capabilities
 * (CAP_SYS_NICE, CAP_SYS_ADMIN), so it comes before those are dropped. */
int scheduling_apply(const struct config_process *process, struct error *err);

#endif
