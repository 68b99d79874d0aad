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

/* While somebody expects to adopt: processes that ended before they were known. */
#define CHILDREN_EARLY 16

struct children {
    struct child *first;
    int expecting;
    struct {
        pid_t pid;
        int status;
    } early[CHILDREN_EARLY];
    size_t early_next;
};

struct child_setup {
    int streams[3];      /* its standard streams; -1: /dev/null */
    int mount_namespace; /* to join first, or -1; then: */
    int root;            /* the root directory there, which may be a chroot's */
    int kept;            /* one more descriptor that stays open, or -1; no other does */
};

/* Executes argv (ends with NULL; a path, or a name that PATH finds). */
int children_spawn(struct children *children, struct child *child, const char *const *argv,
                   const struct child_setup *setup, struct error *err);

/* A process is being made that will be adopted, whose end may come first. Later: it was adopted, or
 * there is none. Without this, the end of an unknown process is forgotten: its number may be
 * another's soon. */
void children_expect(struct children *children);
void children_expect_no_more(struct children *children);

/* Waits, too, for a process that became our child when its parent ended. If it has ended already,
 * child->ended() is called at once. */
void children_adopt(struct children *children, struct child *child, pid_t pid);

/* No longer interested in its end. */
void children_forget(struct children *children, struct child *child);

/* After SIGCHLD: reaps all that have ended. */
void children_reap(struct children *children);

#endif
