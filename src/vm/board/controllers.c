/* The controllers as one: who gets an interrupt, and what waits for each processor. */
#include "vm/board/controllers.h"

#include <stdlib.h>

#include "base/memory.h"
#include "vm/board/controllers_internal.h"

static struct controllers_vcpu *of_apic(const struct local_apic *apic)
{
    return (struct controllers_vcpu *)((uintptr_t)apic - offsetof(struct controllers_vcpu, apic));
}

static unsigned index_of(const struct controllers_vcpu *vcpu)
{
    return (unsigned)(vcpu - vcpu->controllers->vcpus);
}

/* ---- The lock, and what waits ---- */

void controllers_acquire(struct controllers *controllers)
{
    pthread_mutex_lock(&controllers->lock);
}

void controllers_touch(struct controllers *controllers, unsigned vcpu)
{
    controllers->touched |= 1u << vcpu;
}

static bool has_interrupt(const struct controllers *controllers, unsigned vcpu)
{
    const struct local_apic *apic = &controllers->vcpus[vcpu].apic;
    return local_apic_pending(apic) >= 0 ||
           (vcpu == 0 && pic_is_asking(&controllers->pic) && local_apic_passes_external(apic));
}

static unsigned work_out_events(const struct controllers *controllers, unsigned vcpu)
{
    const struct controllers_vcpu *of = &controllers->vcpus[vcpu];
    unsigned events = of->has_init ? EVENT_INIT : 0;
    if (of->is_stopped)
        return events | (of->has_startup && !of->has_init ? EVENT_STARTUP : 0);
    return events | (of->nmis > 0 ? EVENT_NMI : 0) |
           (has_interrupt(controllers, vcpu) ? EVENT_INTERRUPT : 0);
}

void controllers_release(struct controllers *controllers)
{
    uint32_t touched = controllers->touched, asleep = 0, awake = controllers->hurried;
    controllers->touched = controllers->hurried = 0;
    for (unsigned i = 0; i < controllers->options.vcpus; i++) {
        struct controllers_vcpu *vcpu = &controllers->vcpus[i];
        if (touched >> i & 1) {
            unsigned events = work_out_events(controllers, i);
            if (events & ~vcpu->pending)
                awake |= 1u << i;
            __atomic_store_n(&vcpu->pending, events, __ATOMIC_SEQ_CST);
        }
        if ((awake >> i & 1) && vcpu->sleeps)
            asleep |= 1u << i;
    }
    pthread_mutex_unlock(&controllers->lock);
    for (unsigned i = 0; i < controllers->options.vcpus; i++) {
        if (asleep >> i & 1)
            pthread_cond_signal(&controllers->vcpus[i].changed);
        else if (awake >> i & 1)
            controllers->options.wake(controllers->options.context, i);
    }
}

unsigned controllers_pending(const struct controllers *controllers, unsigned vcpu)
{
    return __atomic_load_n(&controllers->vcpus[vcpu].pending, __ATOMIC_SEQ_CST);
}

/* ---- Messages ---- */

/* Gives one processor what a message brings; false if it doesn't take it. */
static bool give(struct controllers *controllers, unsigned number,
                 const struct interrupt_message *message)
{
    struct controllers_vcpu *vcpu = &controllers->vcpus[number];
    controllers_touch(controllers, number);
    switch (message->delivery) {
    case DELIVERY_FIXED:
    case DELIVERY_LOWEST:
        return local_apic_accept(&vcpu->apic, message->vector, message->is_level);
    case DELIVERY_NMI:
        vcpu->nmis += vcpu->nmis < 2;
        return true;
    case DELIVERY_INIT:
        vcpu->has_init = true;
        vcpu->has_startup = false;
        return true;
    case DELIVERY_STARTUP: /* a processor that runs has no use for it */
        if ((vcpu->is_stopped || vcpu->has_init) && !vcpu->has_startup) {
            vcpu->has_startup = true;
            vcpu->startup_vector = message->vector;
        }
        return true;
    default: /* SMI: there is no such mode. External: only LINT0 leads to the PIC. */
        return false;
    }
}

/* Of these, the one whose priority is lowest, and among equals each in turn (11.6.2.4). */
static bool give_lowest(struct controllers *controllers, uint32_t candidates,
                        const struct interrupt_message *message)
{
    unsigned count = controllers->options.vcpus, best = count;
    for (unsigned n = 0; n < count; n++) {
        unsigned i = (controllers->next_lowest + n) % count;
        const struct local_apic *apic = &controllers->vcpus[i].apic;
        if ((candidates >> i & 1) && local_apic_is_open(apic) &&
            (best == count ||
             local_apic_priority(apic) < local_apic_priority(&controllers->vcpus[best].apic)))
            best = i;
    }
    if (best == count)
        return false;
    controllers->next_lowest = best + 1;
    return give(controllers, best, message);
}

/* From is the sender's number, or vcpus: no processor. */
static uint32_t receivers(const struct controllers *controllers, unsigned from,
                          const struct interrupt_message *message)
{
    uint32_t found = 0;
    for (unsigned i = 0; i < controllers->options.vcpus; i++) {
        const struct local_apic *apic = &controllers->vcpus[i].apic;
        bool is_meant;
        switch (message->shorthand) {
        case TO_SELF:
            is_meant = i == from;
            break;
        case TO_ALL:
            is_meant = local_apic_is_enabled(apic);
            break;
        case TO_OTHERS:
            is_meant = i != from && local_apic_is_enabled(apic);
            break;
        default:
            is_meant = local_apic_is_addressed(apic, message);
        }
        found |= (uint32_t)is_meant << i;
    }
    return found;
}

static bool deliver(struct controllers *controllers, unsigned from,
                    const struct interrupt_message *message)
{
    uint32_t meant = receivers(controllers, from, message);
    bool is_taken = false;
    if (message->delivery == DELIVERY_LOWEST)
        return give_lowest(controllers, meant, message);
    for (unsigned i = 0; i < controllers->options.vcpus; i++) {
        if (meant >> i & 1)
            is_taken = give(controllers, i, message) || is_taken;
    }
    return is_taken;
}

/* ---- What the parts need of each other ---- */

static void send_from_apic(struct local_apic *apic, const struct interrupt_message *message)
{
    struct controllers_vcpu *vcpu = of_apic(apic);
    deliver(vcpu->controllers, index_of(vcpu), message);
}

static void end_level(struct local_apic *apic, uint8_t vector)
{
    ioapic_end_interrupt(&of_apic(apic)->controllers->ioapic, vector);
}

static void raise(struct local_apic *apic, enum interrupt_delivery delivery)
{
    struct controllers_vcpu *vcpu = of_apic(apic);
    const struct interrupt_message message = {.delivery = delivery};
    give(vcpu->controllers, index_of(vcpu), &message);
}

static uint64_t now(const struct local_apic *apic)
{
    return controllers_now(of_apic(apic)->controllers);
}

static uint64_t read_tsc(const struct local_apic *apic)
{
    const struct controllers_vcpu *vcpu = of_apic(apic);
    const struct controllers_options *options = &vcpu->controllers->options;
    return options->read_tsc(options->context, index_of(vcpu));
}

static const struct local_apic_operations apic_operations = {send_from_apic, end_level, raise, now,
                                                             read_tsc};

static bool send_from_ioapic(struct ioapic *ioapic, const struct interrupt_message *message)
{
    struct controllers *controllers =
        (struct controllers *)((char *)ioapic - offsetof(struct controllers, ioapic));
    return deliver(controllers, controllers->options.vcpus, message);
}

static const struct ioapic_operations ioapic_operations = {send_from_ioapic};

/* The pair's output is LINT0 of the first processor. */
void controllers_update_pic(struct controllers *controllers)
{
    local_apic_set_line(&controllers->vcpus[0].apic, 0, pic_is_asking(&controllers->pic));
    controllers_touch(controllers, 0);
}

/* ---- Devices ---- */

/* The lines of the IOAPIC are the PICs' as well, but that the PIT's, 0 there, is 2 here. */
void controllers_set_board_line(struct controllers *controllers, unsigned line, bool level)
{
    ioapic_set_line(&controllers->ioapic, line == 0 ? 2 : line, level);
    pic_set_line(&controllers->pic, line, level);
    controllers_update_pic(controllers);
}

static struct controllers *of_interrupts(struct interrupts *interrupts)
{
    return (struct controllers *)((char *)interrupts - offsetof(struct controllers, interrupts));
}

static void set_line(struct interrupts *interrupts, unsigned line, bool level)
{
    struct controllers *controllers = of_interrupts(interrupts);
    controllers_acquire(controllers);
    controllers_set_board_line(controllers, line, level);
    controllers_release(controllers);
}

static void send_message(struct interrupts *interrupts, uint64_t address, uint32_t data)
{
    struct controllers *controllers = of_interrupts(interrupts);
    struct interrupt_message message;
    if (!interrupt_message_decode(&message, address, data))
        return;
    controllers_acquire(controllers);
    deliver(controllers, controllers->options.vcpus, &message);
    controllers_release(controllers);
}

static const struct interrupts_operations interrupts_operations = {set_line, send_message};

struct interrupts *controllers_interrupts(struct controllers *controllers)
{
    return &controllers->interrupts;
}

/* ---- Beginning and end ---- */

struct controllers *controllers_create(const struct controllers_options *options)
{
    struct controllers *controllers = memory_allocate(1, sizeof *controllers);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    *controllers = (struct controllers){.interrupts = {&interrupts_operations},
                                        .options = *options,
                                        .lock = PTHREAD_MUTEX_INITIALIZER,
                                        .ioapic = {.operations = &ioapic_operations}};
    ioapic_initialize(&controllers->ioapic);
    pic_initialize(&controllers->pic);
    pit_initialize(&controllers->pit);
    for (unsigned i = 0; i < options->vcpus; i++) {
        struct controllers_vcpu *vcpu = &controllers->vcpus[i];
        *vcpu = (struct controllers_vcpu){.controllers = controllers,
                                          .apic = {.operations = &apic_operations, .id = i},
                                          .is_stopped = i > 0};
        pthread_cond_init(&vcpu->changed, &monotonic);
        local_apic_initialize(&vcpu->apic);
    }
    return controllers;
}

void controllers_destroy(struct controllers *controllers)
{
    for (unsigned i = 0; i < controllers->options.vcpus; i++) {
        if (controllers->vcpus[i].has_alarm)
            timer_delete(controllers->vcpus[i].alarm);
    }
    free(controllers);
}
