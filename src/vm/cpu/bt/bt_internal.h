/* The bt engine's own: a processor in software, whose code is translated (src/translate) and whose
 * rest is here.
 *
 * While run() goes on, the guest's x87 and vector state is in the host's registers. Files that are
 * compiled for general registers only (see meson.build) leave it alone as long as they call nothing
 * of the C library; whoever must first calls bt_park_vectors(). */
#ifndef HULL_VM_BT_INTERNAL_H
#define HULL_VM_BT_INTERNAL_H

#include <pthread.h>
#include <signal.h>

#include "translate/translate.h"
#include "vm/cpu/engine.h"

#define CR0_PE 1ull
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR4_TSD (1ull << 2)
#define CR4_DE (1ull << 3)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_MCE (1ull << 6)
#define CR4_PGE (1ull << 7)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP (1ull << 11)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE (1ull << 17)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define EFER_SCE 1ull
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)
#define EFER_FFXSR (1ull << 14)

#define FLAG_TF (1ull << 8)
#define FLAG_IF (1ull << 9)
#define FLAG_DF (1ull << 10)
#define FLAG_IOPL (3ull << 12)
#define FLAG_NT (1ull << 14)
#define FLAG_RF (1ull << 16)
#define FLAG_VM (1ull << 17)
#define FLAG_AC (1ull << 18)
#define FLAG_ID (1ull << 21)
/* Those that are neither arithmetic nor kept in guest_state. */
#define SYSTEM_FLAGS (FLAG_TF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_ID)

enum exception {
    EXCEPTION_DE = 0,
    EXCEPTION_DB = 1,
    EXCEPTION_BP = 3,
    EXCEPTION_OF = 4,
    EXCEPTION_BR = 5,
    EXCEPTION_UD = 6,
    EXCEPTION_NM = 7,
    EXCEPTION_DF = 8,
    EXCEPTION_TS = 10,
    EXCEPTION_NP = 11,
    EXCEPTION_SS = 12,
    EXCEPTION_GP = 13,
    EXCEPTION_PF = 14,
    EXCEPTION_MF = 16,
    EXCEPTION_AC = 17,
    EXCEPTION_XM = 19,
};

#define BT_SLOTS_MAX 128
#define BT_CODE_SIZE (64u << 20)
#define BT_VECTOR_AREA 4096

struct bt_slot {
    uint64_t address, size;
    uint8_t *host;
    bool read_only;
};

/* Pages that devices wrote to, and that may hold translated code: processors forget it before they
 * hear of anything else. */
#define BT_CODE_PAGES 65536 /* bits; pages share them */
#define BT_WRITTEN_MAX 256
struct bt_written {
    pthread_mutex_t lock;
    uint64_t has_code[BT_CODE_PAGES / 64];
    uint64_t pages[BT_WRITTEN_MAX];
    unsigned count; /* larger: all pages */
};

struct bt_engine {
    struct engine engine;
    struct cache cache;
    struct bt_slot slots[BT_SLOTS_MAX];
    uint64_t tsc_frequency;
    struct bt_written written;
    struct bt_vcpu *vcpus[ENGINE_VCPUS_MAX];
    unsigned vcpu_count;
    struct {
        uint64_t tsc, ns; /* the guest's clock was ns at tsc */
    } clock;
    uint64_t paused_at; /* ns of the guest's clock, while the machine is paused */
    bool is_paused;
};

/* Model-specific registers that are just kept. */
enum bt_msr {
    BT_MSR_STAR,
    BT_MSR_LSTAR,
    BT_MSR_CSTAR,
    BT_MSR_SFMASK,
    BT_MSR_SYSENTER_CS,
    BT_MSR_SYSENTER_ESP,
    BT_MSR_SYSENTER_EIP,
    BT_MSR_TSC_AUX,
    BT_MSR_PAT,
    BT_MSR_MISC_ENABLE,
    BT_MSR_MTRR_DEFAULT,
    BT_MSR_SYSTEM_TIME,
    BT_MSR_WALL_CLOCK,
    BT_MSR_COUNT
};
#define BT_MTRRS 27 /* 16 variable, 11 fixed */

/* Which entries of a direct-mapped table are in use, so that emptying it takes as long as it was
 * used. More than fit: all may be. */
#define BT_USED_MAX 4096
struct bt_used {
    uint32_t count;
    uint64_t addresses[BT_USED_MAX];
};

struct bt_vcpu {
    struct vcpu vcpu;
    struct bt_engine *engine;
    struct guest_state *state;
    uint64_t flags; /* of SYSTEM_FLAGS */
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
    uint64_t dr[8];
    struct vcpu_segment segments[6], tr, ldt; /* FS' and GS' bases are in state */
    struct {
        uint64_t base;
        uint16_t limit;
    } gdt, idt;
    uint64_t msrs[BT_MSR_COUNT], mtrrs[BT_MTRRS];
    struct cpuid cpuid;
    uint8_t level; /* CPL */
    uint32_t mode; /* for translations: MODE_* */

    struct {
        uint8_t vector;
        bool has_error;
        uint32_t error;
    } exception; /* set by what returned false */
    bool shadow; /* no interrupt before the next instruction's end: after sti or mov to SS */
    bool halted;
    bool has_shut_down; /* a triple fault */
    bool vectors_are_parked;
    bool is_lost;        /* an indirect jump didn't find its target */
    bool single;         /* the next block is of one instruction, and not to be found again */
    const char *failure; /* why the engine can't go on */
    unsigned events;     /* of the interrupt controllers, that wait */
    struct {             /* an operand in state->bounce */
        uint64_t linear;
        uint32_t at; /* the offset in bounce */
    } bounce;
    struct {
        uint64_t pc; /* of the host, where a signal came */
        uint8_t vector;
    } fault;

    /* For other threads and signals. */
    pid_t thread_id;
    bool thread_is_known, has_begun;
    uint32_t attention; /* something to look at before more guest code */
    uint32_t kicked;
    void *signal_stack;
    uint8_t *vectors; /* an XSAVE area */
    struct bt_used filled[VIEW_COUNT], jumps[VIEW_COUNT], global_jumps;
};

static inline struct bt_vcpu *bt_vcpu_of(struct vcpu *vcpu)
{
    return (struct bt_vcpu *)vcpu;
}

static inline struct bt_engine *bt_engine_of(struct engine *engine)
{
    return (struct bt_engine *)engine;
}

static inline void bt_copy(void *to, const void *from, uint64_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static inline bool bt_is_long(const struct bt_vcpu *vcpu)
{
    return vcpu->efer & EFER_LMA;
}

static inline bool bt_is_64(const struct bt_vcpu *vcpu)
{
    return vcpu->mode & MODE_64;
}

/* ---- Exceptions: false is what an instruction's function returns then ---- */

bool bt_raise(struct bt_vcpu *vcpu, enum exception vector);
bool bt_raise_error(struct bt_vcpu *vcpu, enum exception vector, uint32_t error);
bool bt_page_fault(struct bt_vcpu *vcpu, uint64_t linear, uint32_t error);
/* Enters the handler of vcpu->exception; may shut the processor down. */
void bt_deliver_exception(struct bt_vcpu *vcpu);
enum { SOURCE_EXCEPTION, SOURCE_INTERRUPT, SOURCE_SOFTWARE };
/* Enters a handler: false with the exception that came of it. */
bool bt_enter_handler(struct bt_vcpu *vcpu, unsigned vector, int source, bool has_error,
                      uint32_t error);

/* ---- Memory ---- */

enum { BT_READ = 1, BT_WRITE = 2, BT_EXECUTE = 4, BT_SYSTEM = 8 /* as privilege level 0 */ };
/* The host's address of a physical page, or NULL: no memory (or none to write). */
uint8_t *bt_host_page(const struct bt_engine *engine, uint64_t physical, bool to_write);
/* Walks the guest's tables: false with #PF or #GP raised. */
bool bt_walk(struct bt_vcpu *vcpu, uint64_t linear, unsigned access, uint64_t *physical);
/* The same for code, with whether the page is global. */
bool bt_walk_code(struct bt_vcpu *vcpu, uint64_t linear, uint64_t *physical, bool *is_global);
/* Lets indirect jumps to rip go to a host address. */
void bt_note_jump(struct bt_vcpu *vcpu, uint64_t rip, uint64_t host, bool is_global);
void bt_clear_jumps(struct bt_vcpu *vcpu);
/* Serves a look-up that missed: 1 the TLB has the page now, 0 it isn't memory, or nothing that the
 * TLB may point to for this access; -1 an exception. */
int bt_fill(struct bt_vcpu *vcpu, uint64_t linear, unsigned access);
/* Copies from and to linear addresses; devices' registers also. False: an exception, and nothing
 * was written. */
bool bt_read(struct bt_vcpu *vcpu, uint64_t linear, void *bytes, unsigned size, unsigned access);
bool bt_write(struct bt_vcpu *vcpu, uint64_t linear, const void *bytes, unsigned size,
              unsigned access);
bool bt_read_value(struct bt_vcpu *vcpu, uint64_t linear, uint64_t *value, unsigned size);
bool bt_write_value(struct bt_vcpu *vcpu, uint64_t linear, uint64_t value, unsigned size);
/* One piece of memory from linear on, at most to the page's end: *size becomes what there is; NULL
 * in *host if it isn't memory. False: an exception. */
bool bt_span(struct bt_vcpu *vcpu, uint64_t linear, unsigned access, uint8_t **host,
             uint64_t *size);
void bt_flush(struct bt_vcpu *vcpu, bool with_global);
void bt_flush_page(struct bt_vcpu *vcpu, uint64_t linear);
void bt_note_write(struct engine *engine, uint64_t address, uint64_t size);
void bt_forget_written(struct bt_engine *engine);
/* After translating code of a page: no processor may write it unnoticed. */
void bt_protect_code(struct bt_engine *engine, uint64_t physical);
void bt_read_device(struct bt_vcpu *vcpu, uint64_t physical, void *bytes, unsigned size);
void bt_write_device(struct bt_vcpu *vcpu, uint64_t physical, const void *bytes, unsigned size);

/* ---- Registers ---- */

uint64_t bt_get_flags(const struct bt_vcpu *vcpu);
void bt_set_flags(struct bt_vcpu *vcpu, uint64_t flags);
void bt_update_mode(struct bt_vcpu *vcpu);
bool bt_load_segment(struct bt_vcpu *vcpu, unsigned which, uint16_t selector);
/* Changes CS, and with it the privilege level. */
void bt_set_code_segment(struct bt_vcpu *vcpu, const struct vcpu_segment *segment);
/* A descriptor from GDT or LDT: false with #GP(selector) raised. */
bool bt_read_descriptor(struct bt_vcpu *vcpu, uint16_t selector, uint64_t descriptor[2]);
struct vcpu_segment bt_unpack(uint16_t selector, uint64_t descriptor);
bool bt_far_jump(struct bt_vcpu *vcpu, uint16_t selector, uint64_t rip, bool is_call,
                 unsigned size);
bool bt_far_return(struct bt_vcpu *vcpu, unsigned size, unsigned extra);
bool bt_interrupt_return(struct bt_vcpu *vcpu, unsigned size);
bool bt_syscall(struct bt_vcpu *vcpu, uint64_t next_rip);
bool bt_sysret(struct bt_vcpu *vcpu, const struct instruction *in);
bool bt_load_system_segment(struct bt_vcpu *vcpu, uint16_t selector, bool is_task);

bool bt_set_control(struct bt_vcpu *vcpu, unsigned number, uint64_t value);
bool bt_get_control(struct bt_vcpu *vcpu, unsigned number, uint64_t *value);
bool bt_get_msr_value(struct bt_vcpu *vcpu, uint32_t index, uint64_t *value);
bool bt_set_msr_value(struct bt_vcpu *vcpu, uint32_t index, uint64_t value);
void bt_cpuid(struct bt_vcpu *vcpu);
int bt_supported_cpuid(struct engine *engine, struct cpuid *cpuid, struct error *err);
void bt_update_clock(struct bt_vcpu *vcpu);
void bt_write_wall_clock(struct bt_vcpu *vcpu);
uint64_t bt_guest_time(const struct bt_engine *engine);
void bt_measure_tsc(struct bt_engine *engine);

/* ---- Instructions ---- */

/* Executes one that translated code doesn't: state->rip is its address, and becomes the next one.
 * False: an exception. */
bool bt_execute(struct bt_vcpu *vcpu, const struct instruction *in);
bool bt_execute_string(struct bt_vcpu *vcpu, const struct instruction *in);
bool bt_execute_group7(struct bt_vcpu *vcpu, const struct instruction *in);
bool bt_execute_system(struct bt_vcpu *vcpu, const struct instruction *in);
bool bt_execute_state(struct bt_vcpu *vcpu, const struct instruction *in);
uint64_t bt_address(const struct bt_vcpu *vcpu, const struct instruction *in);
bool bt_read_operand(struct bt_vcpu *vcpu, const struct instruction *in, uint64_t *value,
                     unsigned size);
bool bt_write_operand(struct bt_vcpu *vcpu, const struct instruction *in, uint64_t value,
                      unsigned size);
void bt_write_register(struct bt_vcpu *vcpu, unsigned reg, uint64_t value, unsigned size);
bool bt_push(struct bt_vcpu *vcpu, uint64_t value, unsigned size);
bool bt_pop(struct bt_vcpu *vcpu, uint64_t *value, unsigned size);
bool bt_needs_level_0(struct bt_vcpu *vcpu);
bool bt_port(struct bt_vcpu *vcpu, bool is_write, uint16_t port, unsigned size, uint64_t *value);

/* ---- Running ---- */

void bt_park_vectors(struct bt_vcpu *vcpu);
void bt_unpark_vectors(struct bt_vcpu *vcpu);
enum vcpu_exit bt_run(struct vcpu *vcpu, struct error *err);
void bt_kick(struct vcpu *vcpu);
void bt_wake(void *context, unsigned vcpu);
/* The same for the processor's own thread: the controllers were told something. */
void bt_look_again(struct bt_vcpu *vcpu);
#define BT_WAKE_SIGNAL SIGRTMIN
int bt_install_signals(struct error *err);
/* On the processor's thread. */
int bt_begin_thread(struct bt_vcpu *vcpu, struct error *err);
void bt_set_current(struct bt_vcpu *vcpu);

struct vcpu *bt_create_vcpu(struct engine *engine, unsigned index, const struct cpuid *cpuid,
                            struct error *err);
void bt_close_vcpu(struct vcpu *vcpu);
int bt_get_registers(struct vcpu *vcpu, struct vcpu_registers *registers, struct error *err);
int bt_set_registers(struct vcpu *vcpu, const struct vcpu_registers *registers, struct error *err);
int bt_get_msr(struct vcpu *vcpu, struct vcpu_msr *msr, struct error *err);
int bt_set_msr(struct vcpu *vcpu, const struct vcpu_msr *msr, struct error *err);

#endif
