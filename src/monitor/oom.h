/* Notices when the kernel kills processes of the container for want of memory. */
#ifndef HULL_MONITOR_OOM_H
#define HULL_MONITOR_OOM_H

#include "base/loop.h"

struct oom {
    struct loop *loop;
    struct loop_source source; /* an inotify instance (cgroup v2) or an eventfd (v1); fd -1: none */
    char *path;                /* the file that counts; NULL: unknown */
    long long count;           /* as of the last look */
    void (*killed)(struct oom *oom);
};

/* Begins to watch the cgroup that process pid is in. Nothing, where that is the root. */
void oom_watch(struct oom *oom, int pid);
/* Looks, too: at the end, while the cgroup is still there. Calls killed() if there was something.
 */
void oom_check(struct oom *oom);
void oom_end(struct oom *oom);

#endif
