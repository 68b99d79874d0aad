/* 0F AE and 0F C7: the state of x87 and vectors as a whole, bases of FS and GS, cache lines, rdpid.
 */
#include "vm/cpu/bt/bt_internal.h"

/* The standard form of an XSAVE area: legacy region, header, the upper halves of AVX. */
#define XSAVE_HEADER 512
#define XSAVE_AVX 576
#define XSAVE_SIZE 832

static bool may_xsave(struct bt_vcpu *vcpu)
{
    return (vcpu->cr4 & CR4_OSXSAVE) || bt_raise(vcpu, EXCEPTION_UD);
}

static void host_xsave(uint8_t *area, uint64_t mask)
{
    __asm__ volatile("xsave64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
}

static void host_xrstor(const uint8_t *area, uint64_t mask)
{
    __asm__ volatile("xrstor64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
}

static uint64_t mask_of(const struct bt_vcpu *vcpu)
{
    const uint64_t *registers = vcpu->state->registers;
    return ((uint32_t)registers[REGISTER_RAX] | registers[REGISTER_RDX] << 32) & vcpu->xcr0;
}

/* Into the vcpu's bounce buffer, which is aligned, from where the parts asked for are copied: what
 * was not asked for stays as it is in the guest's memory. */
static bool execute_xsave(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint8_t *area = vcpu->state->bounce;
    uint64_t mask = mask_of(vcpu), to = bt_address(vcpu, in);
    if (!may_xsave(vcpu))
        return false;
    if (to & 63)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    unsigned size = vcpu->xcr0 & 4 ? XSAVE_SIZE : XSAVE_AVX;
    bt_unpark_vectors(vcpu);
    if (!bt_read(vcpu, to, area, size, 0))
        return false;
    bt_unpark_vectors(vcpu);
    host_xsave(area, mask);
    return bt_write(vcpu, to, area, size, 0);
}

/* A header that names what isn't there, or the compacted form, is #GP; so is a bad MXCSR. */
static bool execute_xrstor(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint8_t *area = vcpu->state->bounce;
    uint64_t mask = mask_of(vcpu), from = bt_address(vcpu, in), header[8];
    uint32_t control;
    if (!may_xsave(vcpu))
        return false;
    if (from & 63)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    unsigned size = vcpu->xcr0 & 4 ? XSAVE_SIZE : XSAVE_AVX;
    if (!bt_read(vcpu, from, area, size, 0))
        return false;
    bt_copy(header, area + XSAVE_HEADER, sizeof header);
    bt_copy(&control, area + 24, sizeof control);
    if ((header[0] & ~vcpu->xcr0) || header[1] || header[2] || ((mask & 6) && control >> 16))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    bt_unpark_vectors(vcpu);
    host_xrstor(area, mask);
    return true;
}

static bool execute_base(struct bt_vcpu *vcpu, const struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7, size = in->rex_w ? 8 : 4;
    uint64_t *base = &vcpu->state->segment_bases[reg & 1 ? SEGMENT_GS : SEGMENT_FS];
    uint64_t value = vcpu->state->registers[in->rm];
    if (!(vcpu->cr4 & CR4_FSGSBASE) || !bt_is_64(vcpu))
        return bt_raise(vcpu, EXCEPTION_UD);
    if (reg < 2) {
        bt_write_register(vcpu, in->rm, *base, size);
        return true;
    }
    if (size == 8 && (int64_t)(value << 16) >> 16 != (int64_t)value)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    *base = size == 8 ? value : (uint32_t)value;
    return true;
}

/* Memory is coherent without; but the address must be one that can be read. */
static bool execute_flush_line(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t value;
    return bt_read_operand(vcpu, in, &value, 1);
}

bool bt_execute_state(struct bt_vcpu *vcpu, const struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    if (in->opcode == 0xc7) { /* of these only rdpid */
        if (in->has_memory || reg != 7 || in->prefix != 0xf3)
            return bt_raise(vcpu, EXCEPTION_UD);
        bt_write_register(vcpu, in->rm, (uint32_t)vcpu->msrs[BT_MSR_TSC_AUX], 8);
        return true;
    }
    if (!in->has_memory)
        return in->prefix == 0xf3 && reg < 4 ? execute_base(vcpu, in)
                                             : bt_raise(vcpu, EXCEPTION_UD);
    if (reg == 7)
        return execute_flush_line(vcpu, in);
    if (vcpu->mode & MODE_NO_VECTOR)
        return bt_raise(vcpu, EXCEPTION_NM);
    if (reg == 4)
        return execute_xsave(vcpu, in);
    return reg == 5 ? execute_xrstor(vcpu, in) : bt_raise(vcpu, EXCEPTION_UD);
}
