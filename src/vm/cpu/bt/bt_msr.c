/* Model-specific registers. False: there is no such register, or it doesn't take the value. */
#include "vm/cpu/bt/bt_internal.h"

#include "vm/board/controllers.h"

#define MSR_TSC 0x10
#define MSR_MTRR_CAPABILITIES 0xfe
#define MSR_MTRR_VARIABLE 0x200
#define MSR_MTRR_DEFAULT 0x2ff
#define MSR_EFER 0xc0000080
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

static const uint32_t kept[BT_MSR_COUNT] = {
    [BT_MSR_STAR] = 0xc0000081,
    [BT_MSR_LSTAR] = 0xc0000082,
    [BT_MSR_CSTAR] = 0xc0000083,
    [BT_MSR_SFMASK] = 0xc0000084,
    [BT_MSR_SYSENTER_CS] = 0x174,
    [BT_MSR_SYSENTER_ESP] = 0x175,
    [BT_MSR_SYSENTER_EIP] = 0x176,
    [BT_MSR_TSC_AUX] = 0xc0000103,
    [BT_MSR_PAT] = 0x277,
    [BT_MSR_MISC_ENABLE] = 0x1a0,
    [BT_MSR_MTRR_DEFAULT] = MSR_MTRR_DEFAULT,
    [BT_MSR_SYSTEM_TIME] = 0x4b564d01,
    [BT_MSR_WALL_CLOCK] = 0x4b564d00,
};

/* Those of AMD's and Intel's that systems read, or write what they read, whatever CPUID says:
 * microcode's revision, machine checks (of which there are no banks), errata. */
static const uint32_t zero[] = {0x17,       0x3b,       0x8b,       0x179,      0x17a,
                                0xc0010010, 0xc0010015, 0xc001001f, 0xc0010055, 0xc0010140,
                                0xc0010141, 0xc0011020, 0xc0011021, 0xc0011022, 0xc0011023,
                                0xc0011029, 0xc001102a, 0xc0010114};

static int find(const uint32_t *list, unsigned count, uint32_t index)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i] == index)
            return (int)i;
    }
    return -1;
}

static bool is_canonical(uint64_t address)
{
    return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

/* The memory types have no effect here, but are kept. */
static uint64_t *find_mtrr(struct bt_vcpu *vcpu, uint32_t index)
{
    static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                     0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    int which = find(fixed, sizeof fixed / sizeof *fixed, index);
    if (index >= MSR_MTRR_VARIABLE && index < MSR_MTRR_VARIABLE + 16)
        return &vcpu->mtrrs[index - MSR_MTRR_VARIABLE];
    return which < 0 ? NULL : &vcpu->mtrrs[16 + which];
}

bool bt_get_msr_value(struct bt_vcpu *vcpu, uint32_t index, uint64_t *value)
{
    int which = find(kept, BT_MSR_COUNT, index);
    uint64_t *mtrr = find_mtrr(vcpu, index);
    if (controllers_is_msr(index)) {
        bt_park_vectors(vcpu);
        return controllers_read_msr(vcpu->engine->engine.controllers, vcpu->vcpu.index, index,
                                    value);
    }
    if (which >= 0 || mtrr) {
        *value = mtrr ? *mtrr : vcpu->msrs[which];
        return true;
    }
    switch (index) {
    case MSR_TSC:
        *value = __builtin_ia32_rdtsc();
        return true;
    case MSR_MTRR_CAPABILITIES:
        *value = 0x508; /* eight variable ranges, fixed ones, write combining */
        return true;
    case MSR_EFER:
        *value = vcpu->efer;
        return true;
    case MSR_FS_BASE:
    case MSR_GS_BASE:
        *value = vcpu->state->segment_bases[SEGMENT_FS + (index - MSR_FS_BASE)];
        return true;
    case MSR_KERNEL_GS_BASE:
        *value = vcpu->state->kernel_gs_base;
        return true;
    default:
        *value = 0;
        return find(zero, sizeof zero / sizeof *zero, index) >= 0;
    }
}

static bool set_efer(struct bt_vcpu *vcpu, uint64_t value)
{
    const uint64_t known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR;
    if ((value & ~known) || (((value ^ vcpu->efer) & EFER_LME) && (vcpu->cr0 & CR0_PG)))
        return false;
    if ((value ^ vcpu->efer) & EFER_NXE)
        bt_flush(vcpu, true);
    vcpu->efer = (value & ~EFER_LMA) | (vcpu->efer & EFER_LMA);
    return true;
}

static bool set_kept(struct bt_vcpu *vcpu, enum bt_msr which, uint64_t value)
{
    bool is_address = which == BT_MSR_LSTAR || which == BT_MSR_CSTAR ||
                      which == BT_MSR_SYSENTER_ESP || which == BT_MSR_SYSENTER_EIP;
    if (is_address && !is_canonical(value))
        return false;
    vcpu->msrs[which] = value;
    if (which == BT_MSR_SYSTEM_TIME)
        bt_update_clock(vcpu);
    if (which == BT_MSR_WALL_CLOCK)
        bt_write_wall_clock(vcpu);
    return true;
}

bool bt_set_msr_value(struct bt_vcpu *vcpu, uint32_t index, uint64_t value)
{
    int which = find(kept, BT_MSR_COUNT, index);
    uint64_t *mtrr = find_mtrr(vcpu, index);
    if (controllers_is_msr(index)) {
        bt_park_vectors(vcpu);
        bt_look_again(vcpu);
        return controllers_write_msr(vcpu->engine->engine.controllers, vcpu->vcpu.index, index,
                                     value);
    }
    if (which >= 0)
        return set_kept(vcpu, (enum bt_msr)which, value);
    if (mtrr) {
        *mtrr = value;
        return true;
    }
    switch (index) {
    case MSR_EFER:
        return set_efer(vcpu, value);
    case MSR_FS_BASE:
    case MSR_GS_BASE:
        if (!is_canonical(value))
            return false;
        vcpu->state->segment_bases[SEGMENT_FS + (index - MSR_FS_BASE)] = value;
        return true;
    case MSR_KERNEL_GS_BASE:
        if (!is_canonical(value))
            return false;
        vcpu->state->kernel_gs_base = value;
        return true;
    default:
        return find(zero, sizeof zero / sizeof *zero, index) >= 0;
    }
}
