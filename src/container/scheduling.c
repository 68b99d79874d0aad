#include "container/scheduling.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The first version of the kernel's struct sched_attr (SCHED_ATTR_SIZE_VER0), which every kernel
 * takes. <linux/sched/types.h> has it, but can't be included beside <sched.h>. */
struct scheduling_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};
_Static_assert(sizeof(struct scheduling_attributes) == 48, "as in the kernel");

static int apply_scheduler(const struct config_scheduler *scheduler, struct error *err)
{
    struct scheduling_attributes attributes = {
        .size = sizeof attributes,
        .policy = scheduler->policy,
        .flags = scheduler->flags,
        .nice = scheduler->nice,
        .priority = scheduler->priority,
        .runtime = scheduler->runtime,
        .deadline = scheduler->deadline,
        .period = scheduler->period,
    };
    if (syscall(SYS_sched_setattr, 0, &attributes, 0) < 0)
        return error_set(err, errno,
                         "can't apply process.scheduler (policy %u, nice %d, priority %u)",
                         scheduler->policy, scheduler->nice, scheduler->priority);
    return 0;
}

/* The specification speaks of the process group. The calling process may still be in its
 * starter's, whose priority is none of our business; everything in the container's own group will
 * descend from the calling thread. */
static int apply_io_priority(int class, int priority, struct error *err)
{
    int value = IOPRIO_PRIO_VALUE(class, priority);
    if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) < 0)
        return error_set(err, errno, "can't apply process.ioPriority (class %d, priority %d)",
                         class, priority);
    return 0;
}

int scheduling_apply(const struct config_process *process, struct error *err)
{
    if (process->scheduler && apply_scheduler(process->scheduler, err) < 0)
        return -1;
    if (process->has_io_priority &&
        apply_io_priority(process->io_priority_class, process->io_priority, err) < 0)
        return -1;
    return 0;
}
