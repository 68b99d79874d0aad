/* Between the files of the controllers. */
#ifndef HULL_VM_CONTROLLERS_INTERNAL_H
#define HULL_VM_CONTROLLERS_INTERNAL_H

#include <pthread.h>
#include <time.h>

#include "vm/board/controllers.h"
#include "vm/board/ioapic.h"
#include "vm/board/local_apic.h"
#include "vm/board/pic.h"
#include "vm/board/pit.h"
#include "vm/cpu/engine.h"

struct controllers_vcpu {
    struct controllers *controllers;
    struct local_apic apic;
    unsigned pending; /* events; written with the lock, read also without */
    /* Two at most: a real processor would have taken the first, and let the second wait. */
    uint8_t nmis;
    bool has_init, has_startup, is_stopped;
    uint8_t startup_vector;
    bool sleeps, is_interrupted; /* controllers_wait() */
    pthread_cond_t changed;      /* while it sleeps */
    /* Its own thread's: */
    timer_t alarm;
    bool has_alarm;
    uint64_t armed; /* ns of the monotonic clock for which the alarm was set last; 0: never */
};

/* A range of ports on the board. */
struct controllers_ports {
    struct controllers *controllers;
    uint16_t first;
};

struct controllers {
    struct interrupts interrupts;
    struct controllers_options options;
    pthread_mutex_t lock;
    struct ioapic ioapic;
    struct pic pic;
    struct pit pit;
    struct controllers_ports ports[5];
    uint64_t stood;       /* ns for which guest time has stood still */
    uint64_t paused;      /* ns of the monotonic clock at which it began to stand, or 0 */
    uint32_t touched;     /* processors whose events may have changed */
    uint32_t hurried;     /* processors that are to set their alarm anew */
    unsigned next_lowest; /* who is looked at first for "lowest priority" */
    struct controllers_vcpu vcpus[ENGINE_VCPUS_MAX];
};

/* Every change is made between the two. Release works out what came of it for the processors that
 * were touched, and, without the lock, wakes them. */
void controllers_acquire(struct controllers *controllers);
void controllers_release(struct controllers *controllers);
void controllers_touch(struct controllers *controllers, unsigned vcpu);

/* With the lock: */
uint64_t controllers_now(const struct controllers *controllers); /* guest time in ns */
void controllers_set_board_line(struct controllers *controllers, unsigned line, bool level);
void controllers_update_pic(struct controllers *controllers);
/* Runs the timers that a processor has to look after. */
void controllers_run_timers(struct controllers *controllers, unsigned vcpu);
/* Of the next of them, in ns of the monotonic clock; UINT64_MAX: none. */
uint64_t controllers_deadline(const struct controllers *controllers, unsigned vcpu);

uint64_t controllers_monotonic(void);

#endif
