/* KVM's paravirtual clock (Linux Documentation/virt/kvm/x86/msr.rst): pages in which a guest finds
 * how to turn the time-stamp counter, which is the host's, into nanoseconds. */
#include <time.h>

#include "vm/cpu/bt/bt_internal.h"

#define NS 1000000000ull

struct system_time {
    uint32_t version, padding;
    uint64_t tsc, ns;
    uint32_t multiplier;
    int8_t shift;
    uint8_t flags, more[2];
};
_Static_assert(sizeof(struct system_time) == 32, "as the guest has it");
#define TIME_IS_STABLE 1 /* the same on all processors */

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* Against the host's clock, for as long as a start can afford. */
void bt_measure_tsc(struct bt_engine *engine)
{
    uint64_t begin = read_clock(CLOCK_MONOTONIC_RAW), first = __builtin_ia32_rdtsc(), end;
    do
        end = read_clock(CLOCK_MONOTONIC_RAW);
    while (end - begin < 10000000);
    uint64_t last = __builtin_ia32_rdtsc();
    engine->tsc_frequency = (uint64_t)((unsigned __int128)(last - first) * NS / (end - begin));
    engine->clock.tsc = last;
}

static uint64_t ns_of(const struct bt_engine *engine, uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * NS / engine->tsc_frequency);
}

uint64_t bt_guest_time(const struct bt_engine *engine)
{
    return engine->clock.ns + ns_of(engine, __builtin_ia32_rdtsc() - engine->clock.tsc);
}

/* ns = (ticks << shift) * multiplier >> 32; multiplier in the upper half of its range. */
static void find_scale(uint64_t frequency, uint32_t *multiplier, int8_t *shift)
{
    uint64_t ticks = frequency;
    *shift = 0;
    while (ticks > 2 * NS) {
        ticks >>= 1;
        (*shift)--;
    }
    while (ticks <= NS) {
        ticks <<= 1;
        (*shift)++;
    }
    unsigned __int128 scaled = (unsigned __int128)NS << 32;
    if (*shift < 0)
        scaled <<= -*shift;
    else
        scaled >>= *shift;
    *multiplier = (uint32_t)(scaled / frequency);
}

void bt_update_clock(struct bt_vcpu *vcpu)
{
    uint64_t address = vcpu->msrs[BT_MSR_SYSTEM_TIME];
    uint8_t *page = bt_host_page(vcpu->engine, address, true);
    if (!(address & 1) || !page || (address & GUEST_PAGE_MASK) + sizeof(struct system_time) > 4097)
        return;
    struct system_time *time = (struct system_time *)(void *)(page + (address & 0xffe));
    uint32_t version = (time->version | 1) + 1;
    __atomic_store_n(&time->version, version - 1, __ATOMIC_SEQ_CST);
    time->tsc = vcpu->engine->clock.tsc;
    time->ns = vcpu->engine->clock.ns;
    find_scale(vcpu->engine->tsc_frequency, &time->multiplier, &time->shift);
    time->flags = TIME_IS_STABLE;
    __atomic_store_n(&time->version, version, __ATOMIC_SEQ_CST);
}

/* The time of day at which the guest's clock was 0. */
void bt_write_wall_clock(struct bt_vcpu *vcpu)
{
    uint64_t address = vcpu->msrs[BT_MSR_WALL_CLOCK];
    uint8_t *page = bt_host_page(vcpu->engine, address, true);
    if (!page || (address & GUEST_PAGE_MASK) + 12 > 4096)
        return;
    bt_park_vectors(vcpu);
    uint64_t start = read_clock(CLOCK_REALTIME) - bt_guest_time(vcpu->engine);
    volatile uint32_t *wall = (volatile uint32_t *)(void *)(page + (address & 0xffc));
    wall[0]++;
    wall[1] = (uint32_t)(start / NS);
    wall[2] = (uint32_t)(start % NS);
    wall[0]++;
}
