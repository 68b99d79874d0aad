/* Exceptions and interrupts: into a handler through the IDT (Intel SDM 3A, 6.14). */
#include "vm/cpu/bt/bt_internal.h"

bool bt_raise(struct bt_vcpu *vcpu, enum exception vector)
{
    vcpu->exception.vector = (uint8_t)vector;
    vcpu->exception.has_error = false;
    vcpu->exception.error = 0;
    return false;
}

bool bt_raise_error(struct bt_vcpu *vcpu, enum exception vector, uint32_t error)
{
    vcpu->exception.vector = (uint8_t)vector;
    vcpu->exception.has_error = true;
    vcpu->exception.error = error;
    return false;
}

bool bt_page_fault(struct bt_vcpu *vcpu, uint64_t linear, uint32_t error)
{
    vcpu->cr2 = linear;
    return bt_raise_error(vcpu, EXCEPTION_PF, error);
}

/* The stack of a 64-bit handler: by the gate's IST index, or the TSS's for the new level. */
static bool find_stack(struct bt_vcpu *vcpu, unsigned ist, unsigned level, uint64_t *stack)
{
    unsigned offset = ist ? 36 + 8 * (ist - 1) : 4 + 8 * level;
    if (!ist && level == vcpu->level) {
        *stack = vcpu->state->registers[REGISTER_RSP];
        return true;
    }
    if (offset + 7 > vcpu->tr.limit)
        return bt_raise_error(vcpu, EXCEPTION_TS, vcpu->tr.selector & 0xfffcu);
    return bt_read(vcpu, vcpu->tr.base + offset, stack, 8, BT_SYSTEM);
}

static bool enter_64(struct bt_vcpu *vcpu, unsigned vector, int source, bool has_error,
                     uint32_t error)
{
    struct guest_state *state = vcpu->state;
    uint64_t gate[2], descriptor[2], stack;
    uint32_t gate_error = vector * 8 + 2 + (source == SOURCE_SOFTWARE ? 0 : 1);
    if (vector * 16 + 15 > vcpu->idt.limit)
        return bt_raise_error(vcpu, EXCEPTION_GP, gate_error);
    if (!bt_read(vcpu, vcpu->idt.base + 16 * vector, gate, 16, BT_SYSTEM))
        return false;
    unsigned type = gate[0] >> 40 & 31, level = gate[0] >> 45 & 3;
    if ((type != 14 && type != 15) || (source == SOURCE_SOFTWARE && level < vcpu->level))
        return bt_raise_error(vcpu, EXCEPTION_GP, gate_error);
    if (!(gate[0] >> 47 & 1))
        return bt_raise_error(vcpu, EXCEPTION_NP, gate_error);
    uint16_t selector = gate[0] >> 16 & 0xffff;
    uint64_t target = (gate[0] & 0xffff) | (gate[0] >> 48 & 0xffff) << 16 | gate[1] << 32;
    if (!bt_read_descriptor(vcpu, selector, descriptor))
        return false;
    struct vcpu_segment code = bt_unpack(selector, descriptor[0]);
    if (code.system || !(code.type & 8) || code.dpl > vcpu->level || !code.is_long)
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (!code.present)
        return bt_raise_error(vcpu, EXCEPTION_NP, selector & 0xfffcu);
    unsigned to = code.type & 4 ? vcpu->level : code.dpl;
    if (!find_stack(vcpu, gate[0] >> 32 & 7, to, &stack))
        return false;
    stack &= ~15ull;
    uint64_t flags = bt_get_flags(vcpu);
    if (source == SOURCE_EXCEPTION && vector != EXCEPTION_DB)
        flags |= FLAG_RF;
    uint64_t frame[6] = {error,
                         state->rip,
                         vcpu->segments[SEGMENT_CS].selector,
                         flags,
                         state->registers[REGISTER_RSP],
                         vcpu->segments[SEGMENT_SS].selector};
    unsigned size = has_error ? 48 : 40;
    if (!bt_write(vcpu, stack - size, has_error ? frame : frame + 1, size, BT_SYSTEM))
        return false;
    if (to != vcpu->level)
        vcpu->segments[SEGMENT_SS] = (struct vcpu_segment){
            .selector = (uint16_t)to, .dpl = (uint8_t)to, .unusable = true, .type = 3};
    code.selector = (uint16_t)((selector & 0xfffc) | to);
    state->registers[REGISTER_RSP] = stack - size;
    state->rip = target;
    bt_set_code_segment(vcpu, &code);
    vcpu->flags &= ~(FLAG_TF | FLAG_NT);
    if (type == 14)
        state->interrupts_enabled = 0;
    return true;
}

bool bt_enter_handler(struct bt_vcpu *vcpu, unsigned vector, int source, bool has_error,
                      uint32_t error)
{
    if (bt_is_long(vcpu))
        return enter_64(vcpu, vector, source, has_error, error);
    /* No system that is supported here handles interrupts before it is in long mode. */
    vcpu->has_shut_down = true;
    return true;
}

/* Intel SDM 3A, table 6-5. */
static bool makes_double_fault(unsigned first, unsigned second)
{
    const uint32_t contributory = 1u << EXCEPTION_DE | 1u << EXCEPTION_TS | 1u << EXCEPTION_NP |
                                  1u << EXCEPTION_SS | 1u << EXCEPTION_GP;
    if (contributory >> first & 1)
        return contributory >> second & 1;
    return first == EXCEPTION_PF && ((contributory >> second & 1) || second == EXCEPTION_PF);
}

void bt_deliver_exception(struct bt_vcpu *vcpu)
{
    for (unsigned attempts = 0; attempts < 4; attempts++) {
        unsigned vector = vcpu->exception.vector;
        if (bt_enter_handler(vcpu, vector, SOURCE_EXCEPTION, vcpu->exception.has_error,
                             vcpu->exception.error))
            return;
        if (vector == EXCEPTION_DF)
            break;
        if (makes_double_fault(vector, vcpu->exception.vector))
            bt_raise_error(vcpu, EXCEPTION_DF, 0);
    }
    vcpu->has_shut_down = true;
}
