/* Child processes: those that the monitor executes, and those that it adopts as their subreaper
 * (the container's first process, probes of its health). */
#ifndef HULL_MONITOR_CHILDREN_H
#define HULL_MONITOR_CHILDREN_H

#include <sys/types.h>

#include "base/error.h"

struct child {
    pid_t pid;                                      /* 0: not running */
    void (*ended)(struct child *child, int status); /* status: of wait(2); pid is 0 by then */
    struct child *next;
};

/* Processes that ended before anybody knew what they were: a few. */
#define CHILDREN_EARLY 16

struct children {
    struct child *first;
    struct {
        pid_t pid;
        int status;
    } early[CHILDREN_EARLY];
    size_t early_next;
};

/* Executes argv (ends with NULL; a path, or a name that PATH finds) with these standard streams
 * (-1: /dev/null) and nothing else open. namespace: a mount namespace to join first, or -1. */
int children_spawn(struct children *children, struct child *child, const char *const *argv,
                   const int streams[3], int namespace, struct error *err);

/* Waits, too, for a process that became our child when its parent ended. If it has ended already,
 * child->ended() is called at once. */
void children_adopt(struct children *children, struct child *child, pid_t pid);

/* No longer interested in its end. */
void children_forget(struct children *children, struct child *child);

/* After SIGCHLD: reaps all that have ended. */
void children_reap(struct children *children);

#endif
