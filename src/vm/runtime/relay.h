/* A process in a guest whose streams, signals and end are those of the process that relays: for
 * the container's first process the machine's keeper, for others a process of `exec`. */
#ifndef HULL_VM_RUNTIME_RELAY_H
#define HULL_VM_RUNTIME_RELAY_H

#include "vm/agent/agent.h"
#include "vm/runtime/descriptor.h"

struct relay_output {
    struct descriptor to;
    char *bytes; /* that the guest has sent and `to` hasn't taken */
    size_t begin, length;
    bool has_ended;
};

struct relay {
    struct loop *loop;
    struct descriptor from;
    struct relay_output outputs[2];
    bool has_terminal, input_ended;
    struct agent_process *process; /* NULL: not started, or ended */
    int status;                    /* once it has ended and all output is out */
    bool has_ended;
    /* The owner's. started(): err NULL: it runs. Otherwise it couldn't be started, and finished()
     * isn't called. finished(): status as a shell's. */
    void (*started)(struct relay *relay, const struct error *err);
    void (*finished)(struct relay *relay, const struct error *lost);
};

/* Our standard streams become the process's; with a terminal, input is its slave, and nothing is
 * written but to it. started and finished are set by the owner. */
void relay_open(struct relay *relay, struct loop *loop, bool has_terminal);
/* For agent_process_start() and agent_process_exec(), with the relay as context; what they return
 * is to be put into relay->process. */
extern const struct agent_process_events relay_events;
/* Passes the size of our terminal on. */
void relay_resize(struct relay *relay);
void relay_signal(struct relay *relay, int number);

#endif
