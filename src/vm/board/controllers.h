/* The monitor's own interrupt controllers and timers, for engines that have none: a local APIC for
 * each processor, the IOAPIC, the pair of PICs, and the PIT.
 *
 * Any thread may set lines and send messages. All state is under one lock of their own, the last
 * in order: functions here are called with the board's lock or without, and call nothing that takes
 * another. Of the functions about a vcpu those marked "own thread" are called on its thread alone.
 *
 * There is no timer thread. A processor's timers (and for the first one the PIT) are run on its own
 * thread: by controllers_prepare() before guest code, at the latest when the alarm comes that it
 * has set, a signal to that thread; or by controllers_wait(), which sleeps until their time. */
#ifndef HULL_VM_CONTROLLERS_H
#define HULL_VM_CONTROLLERS_H

#include "base/error.h"
#include "vm/board/bus.h"
#include "vm/board/interrupts.h"

struct controllers;

struct controllers_options {
    unsigned vcpus;
    /* A processor has something new to look at: code of the guest that it executes, or is about
     * to, must end soon. From any thread, also its own, without the controllers' lock. Not for a
     * processor in controllers_wait(). */
    void (*wake)(void *context, unsigned vcpu);
    /* The guest's time-stamp counter. Own thread, with the controllers' lock. */
    uint64_t (*read_tsc)(void *context, unsigned vcpu);
    void *context;
};

struct controllers *controllers_create(const struct controllers_options *options);
void controllers_destroy(struct controllers *controllers);
/* What devices use. */
struct interrupts *controllers_interrupts(struct controllers *controllers);
/* Puts IOAPIC, PICs and PIT (with port 61h) on the board. */
int controllers_attach(struct controllers *controllers, struct bus *ports, struct bus *registers,
                       struct error *err);
/* Guest time stands still between the two, for all but TSC deadlines. No processor runs. */
void controllers_pause(struct controllers *controllers);
void controllers_resume(struct controllers *controllers);

/* Own thread, before all other such functions: how its alarms come, and how fast its TSC is (Hz).
 * The signal has value in its siginfo's si_value, and si_code SI_TIMER. */
struct controllers_thread {
    int signal;
    void *value;
    uint64_t tsc_frequency;
};
int controllers_begin_thread(struct controllers *controllers, unsigned vcpu,
                             const struct controllers_thread *thread, struct error *err);

/* What is to be done with a processor before its next instruction, most urgent last. */
enum controllers_event {
    EVENT_INTERRUPT = 1, /* acknowledge it once the processor takes interrupts */
    EVENT_NMI = 2,
    EVENT_STARTUP = 4, /* a SIPI, for a processor that waits for one */
    EVENT_INIT = 8,
};

/* The events that wait: at once, without running timers. Any thread. */
unsigned controllers_pending(const struct controllers *controllers, unsigned vcpu);
/* Before guest code: runs timers whose time has come, sets the alarm for the next one, and returns
 * the events that wait. What comes later comes with wake() or the alarm. Own thread. */
unsigned controllers_prepare(struct controllers *controllers, unsigned vcpu);
/* For a processor that is halted, or waits for a SIPI: sleeps until one of these events (a set)
 * waits, and returns those that do; or 0 after controllers_interrupt(). Own thread. */
unsigned controllers_wait(struct controllers *controllers, unsigned vcpu, unsigned events);
/* Ends a controllers_wait() that goes on, or the next one. Any thread. */
void controllers_interrupt(struct controllers *controllers, unsigned vcpu);

/* Takes an event; own thread. The vector to deliver, from local APIC or PIC; or -1, there is none
 * any more. */
int controllers_acknowledge(struct controllers *controllers, unsigned vcpu);
bool controllers_take_nmi(struct controllers *controllers, unsigned vcpu);
/* After it the processor's registers are to be as an INIT leaves them (cpu/reset.h), and it waits
 * for a SIPI, which says where it starts. False for the first one, which doesn't wait but would
 * start firmware: without any, that is a reset of the machine. */
bool controllers_take_init(struct controllers *controllers, unsigned vcpu);
bool controllers_take_startup(struct controllers *controllers, unsigned vcpu, uint8_t *vector);
/* Whether it must execute nothing, as it waits for a SIPI; so do all but the first at the start. */
bool controllers_is_stopped(const struct controllers *controllers, unsigned vcpu);

/* The local APIC, as the guest reaches it; own thread. In the page of its registers, which is at
 * controllers_apic_page(), or nowhere (UINT64_MAX) where it is off or an x2APIC: */
uint64_t controllers_apic_page(const struct controllers *controllers, unsigned vcpu);
uint64_t controllers_read_apic(struct controllers *controllers, unsigned vcpu, uint32_t offset,
                               unsigned size);
void controllers_write_apic(struct controllers *controllers, unsigned vcpu, uint32_t offset,
                            unsigned size, uint32_t value);
/* By model-specific registers: IA32_APIC_BASE, IA32_TSC_DEADLINE, 800h-8FFh. False: #GP. */
bool controllers_is_msr(uint32_t index);
bool controllers_read_msr(struct controllers *controllers, unsigned vcpu, uint32_t index,
                          uint64_t *value);
bool controllers_write_msr(struct controllers *controllers, unsigned vcpu, uint32_t index,
                           uint64_t value);
/* By CR8, which is bits 7-4 of the task priority. */
uint8_t controllers_get_cr8(const struct controllers *controllers, unsigned vcpu);
void controllers_set_cr8(struct controllers *controllers, unsigned vcpu, uint8_t cr8);

#endif
