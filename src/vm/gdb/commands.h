/* A conversation with a debugger: packets in, what they ask for done to a target, packets out.
 * All-stop: while processors run there is nothing to ask, but to stop. */
#ifndef HULL_VM_GDB_COMMANDS_H
#define HULL_VM_GDB_COMMANDS_H

#include "vm/gdb/packet.h"
#include "vm/gdb/target.h"

struct gdb_session {
    struct gdb_target *target;
    struct gdb_packets packets;
    char *description;         /* of the registers, once it is asked for */
    unsigned selected;         /* the vcpu that Hg chose, for registers and memory */
    unsigned resumed;          /* the one that Hc chose, for c and s */
    bool resumes_one;          /* c and s are for that one only */
    bool knows_breakpoints[2]; /* the client understands swbreak, hwbreak in a stop's reason */
    bool is_running;           /* it waits for a stop */
    bool is_over;              /* it said that it leaves: D, k */
    struct gdb_stop stop;      /* the last one */
    char reply[GDB_PACKET_SIZE + 1];
    uint8_t bytes[GDB_PACKET_SIZE];
};

/* The target's processors stand. */
void gdb_session_open(struct gdb_session *session, struct gdb_target *target);
void gdb_session_close(struct gdb_session *session);

/* Takes bytes of the client, up to the end of one packet; how many. To be called only while the
 * output is empty: so nobody makes it grow. */
size_t gdb_session_take(struct gdb_session *session, const uint8_t *bytes, size_t count);
/* The processors stand, after they ran. */
void gdb_session_stopped(struct gdb_session *session, const struct gdb_stop *stop);
/* The machine has ended: by itself, with a status, or by a fault. */
void gdb_session_ended(struct gdb_session *session, bool is_fault);

#endif
