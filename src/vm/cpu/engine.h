/* A processor engine: what executes the guest's instructions. The board and the devices know only
 * this; behind it stands KVM (cpu/kvm) or whatever else runs x86-64 code. */
#ifndef HULL_VM_ENGINE_H
#define HULL_VM_ENGINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "vm/board/interrupts.h"
#include "vm/memory/guest_memory.h"

#define ENGINE_VCPUS_MAX 32

/* What a guest's access outside of its memory comes to. Called by vcpu threads, without any lock.
 */
enum engine_space { ENGINE_PORT, ENGINE_MEMORY };
struct engine_board {
    uint64_t (*read)(struct engine_board *board, enum engine_space space, uint64_t address,
                     unsigned size);
    void (*write)(struct engine_board *board, enum engine_space space, uint64_t address,
                  unsigned size, uint64_t value);
};

/* An address to which a guest writes to tell a device something, and nothing else. */
struct engine_doorbell {
    enum engine_space space;
    uint64_t address;
    unsigned size;  /* of the write, in bytes; 0: any */
    bool has_value; /* only a write of value, which size must then give */
    uint64_t value;
    int eventfd;
};

/* A segment register (Intel SDM 3A, 3.4.5), unpacked. */
struct vcpu_segment {
    uint64_t base;
    uint32_t limit; /* in bytes, whatever the granularity */
    uint16_t selector;
    uint8_t type, dpl;
    bool present, is_long, is_32bit, granular, system, unusable; /* system: not code or data */
};

struct vcpu_registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
    struct vcpu_segment cs, ds, es, fs, gs, ss, tr, ldt;
    struct {
        uint64_t base;
        uint16_t limit;
    } gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
};

struct cpuid_leaf {
    uint32_t function, index;
    bool has_index; /* the leaf depends on ECX */
    uint32_t eax, ebx, ecx, edx;
};
#define CPUID_LEAVES_MAX 256
struct cpuid {
    unsigned count;
    struct cpuid_leaf leaves[CPUID_LEAVES_MAX];
};

/* A model-specific register. */
struct vcpu_msr {
    uint32_t index;
    uint64_t value;
};

enum vcpu_exit {
    VCPU_INTERRUPTED, /* by vcpu_kick(), or it had nothing to do */
    VCPU_SHUTDOWN,    /* a triple fault */
    VCPU_RESET,       /* the guest asked for one in a way that only the engine sees */
    VCPU_DEBUG,       /* a breakpoint or a single step: get_debug_event() tells */
    VCPU_FAILED,      /* the engine can't go on; *err says why */
};

#define VCPU_HARDWARE_BREAKPOINTS 4
struct vcpu_debug {
    bool single_step, breakpoints; /* int3 goes to the monitor, not the guest */
    uint64_t hardware[4];          /* addresses of hardware breakpoints; 0: none */
    uint8_t kind[4];               /* 0 execute, 1 write, 3 access; Intel SDM 3B, 17.2.4 */
    uint8_t length[4];             /* 1, 2, 4 or 8 bytes */
};

/* Why run() returned VCPU_DEBUG. */
struct vcpu_debug_event {
    uint64_t address;   /* linear, of the instruction that is next; at an int3: of that */
    bool is_breakpoint; /* an int3, which has had no effect */
    uint64_t status;    /* else as DR6 says: */
    bool is_step;       /* an instruction was executed */
    uint8_t hardware;   /* bit n: hardware[n] was hit; execution before the instruction, data
                           after it */
};

struct engine;
struct vcpu;
struct controllers;

struct engine_operations {
    const char *name; /* "kvm" */
    void (*close)(struct engine *engine);
    /* Adds one region of guest memory; slot counts from 0. */
    int (*map_memory)(struct engine *engine, unsigned slot, const struct guest_region *region,
                      bool log_dirty, struct error *err);
    int (*unmap_memory)(struct engine *engine, unsigned slot, struct error *err);
    /* Somebody else than a processor wrote to the guest's memory; or NULL, it is nothing to the
     * engine. Any thread. */
    void (*note_write)(struct engine *engine, uint64_t address, uint64_t size);
    /* Ors the pages of a slot that processors wrote since the last call into bitmap. */
    int (*read_dirty)(struct engine *engine, unsigned slot, uint64_t *bitmap, struct error *err);
    /* A guest's write to a doorbell makes its eventfd ready, without a call of
     * engine_board.write(). Returns 0, or -1 where the engine has no such thing: then write() is
     * called. */
    int (*add_doorbell)(struct engine *engine, const struct engine_doorbell *doorbell);
    void (*remove_doorbell)(struct engine *engine, const struct engine_doorbell *doorbell);
    /* What CPUID leaves the guest can have, with the engine's and this machine's limits. */
    int (*supported_cpuid)(struct engine *engine, struct cpuid *cpuid, struct error *err);

    struct vcpu *(*create_vcpu)(struct engine *engine, unsigned index, const struct cpuid *cpuid,
                                struct error *err);
    void (*close_vcpu)(struct vcpu *vcpu);
    /* Executes guest code on the calling thread, which is the same for all calls, until there is
     * something for the caller to do. */
    enum vcpu_exit (*run)(struct vcpu *vcpu, struct error *err);
    /* From any thread: a run() that goes on, or the next one, returns VCPU_INTERRUPTED. */
    void (*kick)(struct vcpu *vcpu);
    /* On the vcpu's thread, or while it doesn't run. */
    int (*get_registers)(struct vcpu *vcpu, struct vcpu_registers *registers, struct error *err);
    int (*set_registers)(struct vcpu *vcpu, const struct vcpu_registers *registers,
                         struct error *err);
    /* Each: -1 with the error that names a register which the engine doesn't have or refuses. */
    int (*get_msr)(struct vcpu *vcpu, struct vcpu_msr *msr, struct error *err);
    int (*set_msr)(struct vcpu *vcpu, const struct vcpu_msr *msr, struct error *err);
    int (*set_debug)(struct vcpu *vcpu, const struct vcpu_debug *debug, struct error *err);
    /* After VCPU_DEBUG, before the next run(). */
    void (*get_debug_event)(struct vcpu *vcpu, struct vcpu_debug_event *event);
    /* The event was the guest's own affair: it gets its exception in the next run(). */
    int (*pass_debug_event)(struct vcpu *vcpu, const struct vcpu_debug_event *event,
                            struct error *err);
    /* The guest's physical address of a linear one, or false. */
    bool (*translate)(struct vcpu *vcpu, uint64_t linear, uint64_t *physical);
    /* Guest time stands still between the two. */
    int (*pause)(struct engine *engine, struct error *err);
    int (*resume)(struct engine *engine, struct error *err);
};

struct engine {
    const struct engine_operations *operations;
    struct engine_board *board;
    struct interrupts *interrupts;   /* what devices use */
    struct controllers *controllers; /* the board's behind it; NULL: they are the engine's own */
};

struct vcpu {
    struct engine *engine;
    unsigned index; /* also its local APIC's id */
};

struct engine_options {
    unsigned vcpus;
    const char *device;   /* "/dev/kvm" */
    bool user_interrupts; /* the board's own interrupt controllers (board/controllers.h), also where
                             the engine has some */
};

struct engine *kvm_engine_open(const struct engine_options *options, struct engine_board *board,
                               struct error *err);
/* Guest code translated to host code, where there is no hardware for virtual machines. */
struct engine *bt_engine_open(const struct engine_options *options, struct engine_board *board,
                              struct error *err);
/* Whether KVM executes the guest's kernel mode here, rather than interpreting it: times a short
 * loop on a processor that hasn't run yet. Returns 0, or -1 with the reason. *rate is set to
 * millions of instructions a second. Takes at most a quarter of a second, and leaves the
 * processor's registers to be set. */
int kvm_engine_probe(struct vcpu *vcpu, struct guest_memory *memory, double *rate,
                     struct error *err);

#endif
