/* A processor's local APIC (Intel SDM 3A, chapter 11), as a state machine: registers, priorities,
 * the timer. It has no lock, thread or clock; who owns it (controllers.h) has, and gives it what it
 * needs of the outside by its operations. */
#ifndef HULL_VM_LOCAL_APIC_H
#define HULL_VM_LOCAL_APIC_H

#include "vm/board/interrupt_message.h"

struct local_apic;

struct local_apic_operations {
    /* An interrupt to other processors, or by a destination that includes this one. */
    void (*send)(struct local_apic *apic, const struct interrupt_message *message);
    /* The handler of a level-triggered vector has ended. */
    void (*end_level)(struct local_apic *apic, uint8_t vector);
    /* A local interrupt that is none of the APIC's to keep: NMI or INIT. */
    void (*raise)(struct local_apic *apic, enum interrupt_delivery delivery);
    uint64_t (*now)(const struct local_apic *apic);      /* guest time in ns */
    uint64_t (*read_tsc)(const struct local_apic *apic); /* the processor's time-stamp counter */
};

/* IA32_APIC_BASE */
#define APIC_BASE_BOOT (1ull << 8) /* the processor that boots; can't be changed */
#define APIC_BASE_X2 (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_ADDRESS 0xffffffffff000ull

/* The local vector table's entries. Registers lie in this order from 320h on. */
enum local_apic_entry {
    LVT_TIMER,
    LVT_THERMAL,
    LVT_COUNTERS,
    LVT_LINT0,
    LVT_LINT1,
    LVT_ERROR,
    LVT_ENTRIES
};
#define LVT_MASKED (1u << 16)

#define APIC_NO_DEADLINE UINT64_MAX

struct local_apic {
    const struct local_apic_operations *operations;
    uint32_t id;      /* the processor's number, and the x2APIC's id */
    uint8_t short_id; /* an xAPIC's, which its processor can change */
    uint64_t base;
    uint64_t tsc_frequency; /* Hz */
    uint8_t task_priority;
    uint32_t logical_id, destination_format;                  /* as LDR and DFR have them */
    uint32_t spurious;                                        /* SVR */
    uint32_t in_service[8], requested[8], level_triggered[8]; /* a bit for each vector */
    uint32_t error, error_collected; /* what ESR shows, and what it shows after the next write */
    uint64_t command;                /* ICR */
    uint32_t entries[LVT_ENTRIES];
    bool line_levels[2]; /* of LINT0 and LINT1 */
    struct {
        uint32_t divide, initial;
        uint64_t start;        /* ns at which it had the initial count; periodic: the last time */
        uint64_t tsc_deadline; /* 0: none */
        uint64_t deadline;     /* ns of the next expiry, or APIC_NO_DEADLINE */
    } timer;
};

/* As it is after power-on; of the first processor, with LINT0 open for the PIC, as firmware leaves
 * it. operations, id and tsc_frequency are given. */
void local_apic_initialize(struct local_apic *apic);
/* What an INIT does: base and ids stay. */
void local_apic_reset(struct local_apic *apic);

/* The page of registers, of which an access covers size bytes from offset on. */
uint64_t local_apic_read(struct local_apic *apic, uint32_t offset, unsigned size);
void local_apic_write(struct local_apic *apic, uint32_t offset, unsigned size, uint32_t value);
/* RDMSR and WRMSR of IA32_APIC_BASE, IA32_TSC_DEADLINE and 800h-8FFh: false is #GP. */
bool local_apic_is_msr(uint32_t index);
bool local_apic_read_msr(struct local_apic *apic, uint32_t index, uint64_t *value);
bool local_apic_write_msr(struct local_apic *apic, uint32_t index, uint64_t value);

/* Whether a message's destination, without its shorthand, includes this processor. */
bool local_apic_is_addressed(const struct local_apic *apic,
                             const struct interrupt_message *message);
/* Takes a fixed interrupt; false where it is switched off, or the vector isn't valid. */
bool local_apic_accept(struct local_apic *apic, uint8_t vector, bool is_level);
/* The level of LINT0 (0) or LINT1 (1). */
void local_apic_set_line(struct local_apic *apic, unsigned line, bool level);
/* Whether what the PIC asks for comes through LINT0 to this processor. */
bool local_apic_passes_external(const struct local_apic *apic);

/* PPR: what is not above it must wait. */
uint8_t local_apic_priority(const struct local_apic *apic);
/* The vector that is to be delivered, or -1; acknowledging it puts it into service. */
int local_apic_pending(const struct local_apic *apic);
int local_apic_acknowledge(struct local_apic *apic);

/* When the timer is to be run next, in ns of guest time; raises its interrupt if that has come. */
uint64_t local_apic_deadline(const struct local_apic *apic);
void local_apic_run_timer(struct local_apic *apic);

/* Whether it can be used at all, and is open for fixed interrupts (SVR). */
static inline bool local_apic_is_enabled(const struct local_apic *apic)
{
    return apic->base & APIC_BASE_ENABLE;
}

static inline bool local_apic_is_open(const struct local_apic *apic)
{
    return local_apic_is_enabled(apic) && (apic->spurious & 1u << 8);
}

static inline bool local_apic_is_x2(const struct local_apic *apic)
{
    return apic->base & APIC_BASE_X2;
}

#endif
