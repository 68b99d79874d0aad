/* What a debugger works on: processors that stand, guest memory by linear addresses, breakpoints.
 * It belongs to one thread, or to who holds the machine's lock. */
#ifndef HULL_VM_GDB_TARGET_H
#define HULL_VM_GDB_TARGET_H

#include "vm/cpu/engine.h"

#define GDB_BREAKPOINTS_MAX 1024

/* By the numbers of the packets Z0 to Z4. */
enum gdb_point {
    GDB_POINT_SOFTWARE,
    GDB_POINT_HARDWARE,
    GDB_POINT_WRITE,
    GDB_POINT_READ, /* x86 has no such thing: it stops at writes, too */
    GDB_POINT_ACCESS,
};

struct gdb_stop {
    enum {
        GDB_STOP_NONE,
        GDB_STOP_ATTACHED, /* nothing happened, the debugger came */
        GDB_STOP_INTERRUPT,
        GDB_STOP_STEP,
        GDB_STOP_POINT,
    } reason;
    unsigned vcpu;
    enum gdb_point point;
    uint64_t address; /* of the point */
};

/* An int3 in guest memory. */
struct gdb_breakpoint {
    uint64_t linear, physical;
    uint8_t original; /* what the guest believes is there */
};

/* One debug register. A point may need several. */
struct gdb_register_point {
    bool is_used;
    enum gdb_point point;
    uint64_t address, length;             /* as the debugger asked for */
    uint64_t piece_address, piece_length; /* what this register watches of it */
};

struct gdb_target;
struct gdb_target_operations {
    /* Lets go the processors whose bit is set, and keeps the others. */
    void (*run)(struct gdb_target *target, uint32_t vcpus);
    /* Has all of them stop, soon. */
    void (*stop)(struct gdb_target *target);
    /* Ends the machine. */
    void (*kill)(struct gdb_target *target);
};

struct gdb_target {
    const struct gdb_target_operations *operations;
    const struct guest_memory *memory;
    struct vcpu *vcpus[ENGINE_VCPUS_MAX];
    unsigned vcpu_count;
    struct gdb_breakpoint *breakpoints;
    unsigned breakpoint_count;
    struct gdb_register_point registers[VCPU_HARDWARE_BREAKPOINTS];
    uint32_t stepping;                         /* a bit for each vcpu */
    struct gdb_stop pending[ENGINE_VCPUS_MAX]; /* what happened and wasn't told yet */
};

/* Puts back what breakpoints replaced, and turns all debugging of the processors off. */
void gdb_target_clear(struct gdb_target *target);

/* Reads at most count bytes by the linear addresses of a processor that stands: how many there are
 * in front of what is no memory. The guest's own bytes, not breakpoints. */
size_t gdb_target_read(const struct gdb_target *target, unsigned vcpu, uint64_t address,
                       uint8_t *bytes, size_t count);
/* All of them or, where something is no memory that can be written, none: false. */
bool gdb_target_write(struct gdb_target *target, unsigned vcpu, uint64_t address,
                      const uint8_t *bytes, size_t count);

/* Setting a point twice is setting it once, and removing what isn't there no error. Return 0 or an
 * errno value: EFAULT for what is no memory, ENOSPC where there are too many. */
int gdb_target_set_point(struct gdb_target *target, unsigned vcpu, enum gdb_point point,
                         uint64_t address, uint64_t length);
int gdb_target_remove_point(struct gdb_target *target, enum gdb_point point, uint64_t address,
                            uint64_t length);

/* What a processor's run() returned VCPU_DEBUG for: true, and pending says so, if it is the
 * debugger's; else the guest gets it. On the processor's thread. */
bool gdb_target_happened(struct gdb_target *target, struct vcpu *vcpu);
/* Takes an event that is pending and should be told, or returns false. */
bool gdb_target_take_pending(struct gdb_target *target, struct gdb_stop *stop);

/* Makes processors go on: those in run, of which those in step for one instruction. Returns true if
 * they do; false if a watchpoint of before is still to be told: *stop is it. */
bool gdb_target_run(struct gdb_target *target, uint32_t run, uint32_t step, struct gdb_stop *stop);

#endif
