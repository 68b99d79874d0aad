/* A machine without KVM, for a debugger's tests: its processors execute one-byte instructions, with
 * the breakpoints and steps that an engine must have. */
#ifndef HULL_TEST_VM_GDB_MACHINE_H
#define HULL_TEST_VM_GDB_MACHINE_H

#include "vm/cpu/engine.h"

/* Linear addresses from here on are physical ones from 0; below is what isn't mapped. */
#define TOY_LINEAR 0xffff888000000000ull
#define TOY_UNMAPPED (TOY_LINEAR + 0x5000) /* but this page, neither */

/* What processors do: go on (0x90), begin again at the linear address 0x1000 (0xeb), store rax into
 * the byte at rbx (0x88), end the machine (0xf4), take an exception of the guest's own at an int3
 * (0xcc). */
enum { TOY_NEXT = 0x90, TOY_AGAIN = 0xeb, TOY_STORE = 0x88, TOY_END = 0xf4, TOY_INT3 = 0xcc };
#define TOY_START (TOY_LINEAR + 0x1000)

struct toy_vcpu {
    struct vcpu vcpu;
    struct vcpu_registers registers;
    struct vcpu_debug debug;
    struct vcpu_debug_event event;
    unsigned passed;   /* exceptions of the guest's own */
    uint64_t executed; /* instructions */
    bool is_kicked, is_running, passes_next;
};

/* Has the form that machine_open() wants. Its memory must have been mapped for it to run. */
struct engine *toy_engine_open(const struct engine_options *options, struct engine_board *board,
                               struct error *err);
/* Executes one instruction: VCPU_INTERRUPTED where it was nothing special. */
enum vcpu_exit toy_execute(struct toy_vcpu *toy);
struct toy_vcpu *toy_of(struct vcpu *vcpu);
/* How often time was made to stand, and to go on. */
void toy_engine_pauses(const struct engine *engine, unsigned *pauses, unsigned *resumes);

#endif
