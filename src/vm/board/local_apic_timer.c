/* The local APIC's timer (Intel SDM 3A, 11.5.4). It counts nanoseconds before they are divided. */
#include "vm/board/local_apic_internal.h"

enum { MODE_ONE_SHOT, MODE_PERIODIC, MODE_TSC };

#define NANOSECONDS 1000000000ull
/* A deadline of the TSC is looked at again after this time: as clocks drift apart, a far one isn't
 * known better. */
#define TSC_LONGEST (3600 * NANOSECONDS)
/* Interrupts of a periodic timer that comes more often are merged. */
#define PERIOD_SHORTEST 20000

static unsigned mode(const struct local_apic *apic)
{
    return apic->entries[LVT_TIMER] >> 17 & 3;
}

/* Bits 0, 1 and 3: by 2, 4 … 128, and 1. */
static unsigned shift(const struct local_apic *apic)
{
    uint32_t divide = apic->timer.divide;
    return ((divide & 3) + (divide >> 1 & 4) + 1) & 7;
}

static uint64_t period(const struct local_apic *apic)
{
    return (uint64_t)apic->timer.initial << shift(apic);
}

void local_apic_timer_reset(struct local_apic *apic)
{
    apic->timer.divide = apic->timer.initial = 0;
    apic->timer.start = apic->timer.tsc_deadline = 0;
    apic->timer.deadline = APIC_NO_DEADLINE;
}

static void set_periodic_deadline(struct local_apic *apic, uint64_t now)
{
    uint64_t next = apic->timer.start + period(apic);
    apic->timer.deadline = next < now + PERIOD_SHORTEST && period(apic) < PERIOD_SHORTEST
                               ? now + PERIOD_SHORTEST
                               : next;
}

static void set_tsc_deadline(struct local_apic *apic, uint64_t now, uint64_t tsc)
{
    uint64_t ticks = apic->timer.tsc_deadline - tsc, frequency = apic->tsc_frequency;
    uint64_t wait =
        ticks / frequency < TSC_LONGEST / NANOSECONDS
            ? ticks / frequency * NANOSECONDS + ticks % frequency * NANOSECONDS / frequency + 1
            : TSC_LONGEST;
    apic->timer.deadline = now + wait;
}

uint64_t local_apic_deadline(const struct local_apic *apic)
{
    return apic->entries[LVT_TIMER] & LVT_MASKED ? APIC_NO_DEADLINE : apic->timer.deadline;
}

void local_apic_run_timer(struct local_apic *apic)
{
    uint64_t now;
    if (apic->timer.deadline == APIC_NO_DEADLINE ||
        apic->timer.deadline > (now = apic->operations->now(apic)))
        return;
    if (mode(apic) == MODE_TSC) {
        uint64_t tsc = apic->operations->read_tsc(apic);
        if (tsc < apic->timer.tsc_deadline) {
            set_tsc_deadline(apic, now, tsc);
            return;
        }
        apic->timer.tsc_deadline = 0;
    }
    apic->timer.deadline = APIC_NO_DEADLINE;
    if (mode(apic) == MODE_PERIODIC && apic->timer.initial) {
        apic->timer.start += (now - apic->timer.start) / period(apic) * period(apic);
        set_periodic_deadline(apic, now);
    }
    local_apic_raise(apic, LVT_TIMER);
}

/* What expires while it is masked is lost, so that is settled before the mask goes. */
void local_apic_timer_configure(struct local_apic *apic, uint32_t entry)
{
    local_apic_run_timer(apic);
    bool was_tsc = mode(apic) == MODE_TSC;
    apic->entries[LVT_TIMER] = entry;
    if (was_tsc == (mode(apic) == MODE_TSC))
        return;
    apic->timer.initial = 0;
    apic->timer.tsc_deadline = 0;
    apic->timer.deadline = APIC_NO_DEADLINE;
}

uint32_t local_apic_timer_count(const struct local_apic *apic)
{
    if (mode(apic) == MODE_TSC || apic->timer.deadline == APIC_NO_DEADLINE)
        return 0;
    uint64_t elapsed = apic->operations->now(apic) - apic->timer.start;
    if (mode(apic) == MODE_PERIODIC)
        elapsed %= period(apic);
    else if (elapsed >= period(apic))
        return 0;
    return apic->timer.initial - (uint32_t)(elapsed >> shift(apic));
}

/* The count goes on from where it is. */
void local_apic_timer_set_divide(struct local_apic *apic, uint32_t value)
{
    local_apic_run_timer(apic);
    uint64_t count = local_apic_timer_count(apic), now = apic->operations->now(apic);
    apic->timer.divide = value & 0xb;
    if (apic->timer.deadline == APIC_NO_DEADLINE || mode(apic) == MODE_TSC)
        return;
    apic->timer.start = now - ((apic->timer.initial - count) << shift(apic));
    if (mode(apic) == MODE_PERIODIC)
        set_periodic_deadline(apic, now);
    else
        apic->timer.deadline = now + (count << shift(apic));
}

void local_apic_timer_set_initial(struct local_apic *apic, uint32_t count)
{
    if (mode(apic) == MODE_TSC)
        return;
    apic->timer.initial = count;
    apic->timer.start = apic->operations->now(apic);
    apic->timer.deadline = count ? apic->timer.start + period(apic) : APIC_NO_DEADLINE;
}

uint64_t local_apic_timer_get_tsc(const struct local_apic *apic)
{
    return apic->timer.tsc_deadline;
}

void local_apic_timer_set_tsc(struct local_apic *apic, uint64_t deadline)
{
    if (mode(apic) != MODE_TSC)
        return;
    apic->timer.tsc_deadline = deadline;
    apic->timer.deadline = deadline ? apic->operations->now(apic) : APIC_NO_DEADLINE;
    local_apic_run_timer(apic); /* which works out when that is, or finds it past */
}
