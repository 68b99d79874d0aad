/* What the guest's processor says that it can: what the host's can, less what doesn't work here. */
#include <cpuid.h>

#include "vm/cpu/bt/bt_internal.h"

#define OSXSAVE (1u << 27)

struct limit {
    uint32_t function, index;
    bool has_index;
    uint32_t eax, ebx, ecx, edx; /* bits that pass */
};

#define ALL UINT32_MAX
/* Leaf 1: ECX without monitor, VMX and thermal things, PCID; EDX without VME, MCE's thermal ones.
 * Leaf 7: without AVX-512, SMAP, transactional memory, protection keys. */
static const struct limit limits[] = {
    {0, 0, false, 0, ALL, ALL, ALL},
    {1, 0, false, ALL, ALL, 0x76f83203, 0x0f8bfbfd},
    {2, 0, false, ALL, ALL, ALL, ALL},
    {6, 0, false, 4, 0, 0, 0},
    {7, 0, true, 0, 0x208c03a9, 1u << 22 | 0x700 | 4, 1u << 4},
    {0xb, 0, true, 0, 0, 0, 0},
    {0xb, 1, true, 0, 0, 0, 0},
    {0xd, 0, true, 7, 0, 0, 0},
    {0xd, 1, true, 0, 0, 0, 0},
    {0xd, 2, true, ALL, ALL, 0, 0},
    {0x80000000, 0, false, 0, ALL, ALL, ALL},
    {0x80000001, 0, false, ALL, ALL, 0x1a3, 0x2fd3fbff},
    {0x80000002, 0, false, ALL, ALL, ALL, ALL},
    {0x80000003, 0, false, ALL, ALL, ALL, ALL},
    {0x80000004, 0, false, ALL, ALL, ALL, ALL},
    {0x80000005, 0, false, ALL, ALL, ALL, ALL},
    {0x80000006, 0, false, ALL, ALL, ALL, ALL},
    {0x80000007, 0, false, 0, 0, 0, 1u << 8},
    {0x80000008, 0, false, 0, 0, 0, 0},
};

#define KVM_CLOCK (1u << 0 | 1u << 3 | 1u << 24) /* both pairs of registers; stable */
#define KVM_NO_IO_DELAY (1u << 1)

static void add(struct cpuid *cpuid, struct cpuid_leaf leaf)
{
    cpuid->leaves[cpuid->count++] = leaf;
}

static void adjust(struct cpuid_leaf *leaf)
{
    switch (leaf->function) {
    case 0:
        leaf->eax = 0xd;
        break;
    case 1:
        leaf->ecx |= 1u << 31; /* a hypervisor is there */
        break;
    case 6:
        leaf->eax = 4; /* the APIC's timer runs always */
        break;
    case 0xd:
        if (leaf->index == 0) {
            leaf->ebx = leaf->ecx = 832; /* in the standard form, all of x87, SSE and AVX */
            leaf->edx = 0;
        }
        break;
    case 0x80000000:
        leaf->eax = 0x80000008;
        break;
    case 0x80000008:
        leaf->eax = 48 << 8 | 48; /* bits of addresses */
        break;
    }
}

int bt_supported_cpuid(struct engine *engine, struct cpuid *cpuid, struct error *err)
{
    (void)engine, (void)err;
    cpuid->count = 0;
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct limit *limit = &limits[i];
        struct cpuid_leaf leaf = {
            .function = limit->function, .index = limit->index, .has_index = limit->has_index};
        __cpuid_count(leaf.function, leaf.index, leaf.eax, leaf.ebx, leaf.ecx, leaf.edx);
        leaf.eax &= limit->eax;
        leaf.ebx &= limit->ebx;
        leaf.ecx &= limit->ecx;
        leaf.edx &= limit->edx;
        adjust(&leaf);
        add(cpuid, leaf);
    }
    /* "KVMKVMKVM": its clock is understood by every system. */
    add(cpuid, (struct cpuid_leaf){.function = 0x40000000,
                                   .eax = 0x40000001,
                                   .ebx = 0x4b4d564b,
                                   .ecx = 0x564b4d56,
                                   .edx = 0x4d});
    add(cpuid, (struct cpuid_leaf){.function = 0x40000001, .eax = KVM_CLOCK | KVM_NO_IO_DELAY});
    return 0;
}

static const struct cpuid_leaf *find(const struct cpuid *cpuid, uint32_t function, uint32_t index)
{
    for (unsigned i = 0; i < cpuid->count; i++) {
        const struct cpuid_leaf *leaf = &cpuid->leaves[i];
        if (leaf->function == function && (!leaf->has_index || leaf->index == index))
            return leaf;
    }
    return NULL;
}

void bt_cpuid(struct bt_vcpu *vcpu)
{
    uint64_t *registers = vcpu->state->registers;
    const struct cpuid_leaf none = {0};
    uint32_t function = (uint32_t)registers[REGISTER_RAX];
    const struct cpuid_leaf *leaf = find(&vcpu->cpuid, function, (uint32_t)registers[REGISTER_RCX]);
    if (!leaf)
        leaf = &none;
    uint32_t ecx = leaf->ecx, ebx = leaf->ebx;
    if (function == 1 && (vcpu->cr4 & CR4_OSXSAVE))
        ecx |= OSXSAVE;
    if (function == 0xd && leaf->index == 0 && !(vcpu->xcr0 & 4))
        ebx = 576; /* what is switched on */
    registers[REGISTER_RAX] = leaf->eax;
    registers[REGISTER_RBX] = ebx;
    registers[REGISTER_RCX] = ecx;
    registers[REGISTER_RDX] = leaf->edx;
}
