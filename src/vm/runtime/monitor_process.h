/* The process of a machine's monitor, hull-vmm: its start, what it says, its end. */
#ifndef HULL_VM_RUNTIME_MONITOR_PROCESS_H
#define HULL_VM_RUNTIME_MONITOR_PROCESS_H

#include "vm/runtime/bundle.h"

#include "base/loop.h"

#define MONITOR_TAIL_SIZE 4096

struct monitor_process {
    struct loop *loop;
    pid_t pid;                        /* 0: it doesn't run */
    char *api;                        /* its API's socket */
    struct loop_source words;         /* its console and errors */
    char tail[MONITOR_TAIL_SIZE + 1]; /* the last of them */
    size_t tail_length;
};

/* Starts it in the bundle's jail. It is killed when the calling thread ends. */
int monitor_process_start(struct monitor_process *monitor, struct loop *loop,
                          const struct bundle *bundle, struct error *err);
/* After its end, status as of wait(2): why, for people. */
int monitor_process_explain(struct monitor_process *monitor, int status, struct error *err);
/* Stops the guest's processors, or lets them go on: returns when that is done. */
int monitor_process_pause(const struct monitor_process *monitor, bool pauses, struct error *err);
void monitor_process_kill(const struct monitor_process *monitor);

#endif
