#include "vm/cpu/cpuid.h"

#define HYPERVISOR (1u << 31)      /* leaf 1, ECX */
#define TSC_DEADLINE (1u << 24)    /* leaf 1, ECX */
#define HYPER_THREADING (1u << 28) /* leaf 1, EDX */

struct cpuid_leaf *cpuid_find(struct cpuid *cpuid, uint32_t function, uint32_t index)
{
    for (unsigned i = 0; i < cpuid->count; i++) {
        struct cpuid_leaf *leaf = &cpuid->leaves[i];
        if (leaf->function == function && (!leaf->has_index || leaf->index == index))
            return leaf;
    }
    return NULL;
}

/* How many low bits of an APIC id count up to count things. */
static unsigned bits_of(unsigned count)
{
    unsigned bits = 0;
    while (1u << bits < count)
        bits++;
    return bits;
}

/* Intel SDM 2A, CPUID: leaves 0Bh and 1Fh: which bits of the APIC id are threads, which are cores.
 */
static void set_topology(struct cpuid *cpuid, uint32_t function, unsigned index, unsigned count,
                         bool smt)
{
    struct cpuid_leaf *threads = cpuid_find(cpuid, function, 0),
                      *cores = cpuid_find(cpuid, function, 1);
    for (unsigned i = 0; i < cpuid->count; i++) {
        if (cpuid->leaves[i].function == function)
            cpuid->leaves[i].edx = index;
    }
    if (threads) {
        threads->eax = smt ? 1 : 0;
        threads->ebx = smt ? 2 : 1;
        threads->ecx = 1 << 8;
    }
    if (cores) {
        cores->eax = bits_of(count);
        cores->ebx = count;
        cores->ecx = 2 << 8 | 1;
    }
}

/* Leaf 4 and AMD's 8000001Dh: who shares each cache: the first levels the threads of a core, the
 * last one all. */
static void set_caches(struct cpuid *cpuid, unsigned count, bool smt)
{
    for (unsigned i = 0; i < cpuid->count; i++) {
        struct cpuid_leaf *leaf = &cpuid->leaves[i];
        if ((leaf->function != 4 && leaf->function != 0x8000001d) || (leaf->eax & 31) == 0)
            continue;
        unsigned level = leaf->eax >> 5 & 7, sharing = level < 3 ? (smt ? 2 : 1) : count;
        leaf->eax = (leaf->eax & 0x3fffu) | (sharing - 1) << 14;
        if (leaf->function == 4)
            leaf->eax |= ((1u << bits_of((count + smt) / (smt ? 2 : 1))) - 1) << 26;
    }
}

void cpuid_for_vcpu(struct cpuid *cpuid, unsigned index, unsigned count, bool smt)
{
    struct cpuid_leaf *leaf = cpuid_find(cpuid, 1, 0);
    smt = smt && count > 1;
    if (leaf) {
        leaf->ebx = (leaf->ebx & 0xffff) | index << 24 | count << 16;
        leaf->ecx |= HYPERVISOR | TSC_DEADLINE;
        leaf->edx = count > 1 ? leaf->edx | HYPER_THREADING : leaf->edx & ~HYPER_THREADING;
    }
    set_topology(cpuid, 0x0b, index, count, smt);
    set_topology(cpuid, 0x1f, index, count, smt);
    set_caches(cpuid, count, smt);
    leaf = cpuid_find(cpuid, 0x80000008, 0);
    if (leaf)
        leaf->ecx = (leaf->ecx & ~0xf0ffu) | bits_of(count) << 12 | (count - 1);
    leaf = cpuid_find(cpuid, 0x8000001e, 0);
    if (leaf) {
        leaf->eax = index;
        leaf->ebx = (smt ? index / 2 : index) | (smt ? 1u : 0) << 8;
        leaf->ecx = 0;
    }
    /* No performance counters: their state is nobody's to save. */
    leaf = cpuid_find(cpuid, 0x0a, 0);
    if (leaf)
        leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
}
