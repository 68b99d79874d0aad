/* How a process inside the container becomes the program: everything of config.json's `process`,
 * in the order that each step's needs dictate. Used by the container's first process and by
 * exec. All of it runs in the new process. */
#ifndef HULL_CONTAINER_PROCESS_H
#define HULL_CONTAINER_PROCESS_H

#include <stdbool.h>

#include "base/error.h"
#include "container/seccomp.h"
#include "oci/config.h"

struct process {
    const struct config_process *config;
    const struct seccomp_program *seccomp; /* NULL: none */
    bool has_personality;
    unsigned long personality;
    bool user_namespace; /* rlimits were set from outside */
    int procfs;          /* for security labels; -1 if there are none to set */
    int preserved;       /* descriptors 3 … 3+preserved-1 stay open */
    int listen_fds;      /* how many of them LISTEN_FDS announces; 0: none */
    const char *program; /* what args[0] resolved to */
    char **environment;  /* NULL-terminated */
};

/* Scheduling, limits, labels: what needs the runtime's privileges. */
int process_prepare(const struct process *process, struct error *err);

/* Finds args[0] along the process's own PATH, in the container's root, which is the root now.
 * The messages are the ones that clients look for. */
int process_find_program(struct process *process, struct error *err);

/* Environment with HOME and LISTEN_FDS. */
void process_make_environment(struct process *process);

/* Working directory, user, groups and capabilities. From here on it is the container's own. */
int process_become(const struct process *process, struct error *err);

/* Seccomp: the last step, but for startContainer hooks, which are the container's programs and so
 * confined too. channel: where a seccomp listener is announced (CHANNEL_LISTENER) and its fetching
 * acknowledged. */
int process_confine(const struct process *process, int channel, struct error *err);

/* execve; returns only when it failed. */
int process_execute(const struct process *process, struct error *err);

/* Sets the limits of another process, or of this one (pid 0). */
int process_set_rlimits(pid_t pid, const struct config_process *config, struct error *err);

#endif
