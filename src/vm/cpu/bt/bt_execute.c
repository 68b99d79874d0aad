/* The instructions that the translator leaves to the runtime. */
#include "vm/cpu/bt/bt_internal.h"

/* ---- Operands ---- */

uint64_t bt_address(const struct bt_vcpu *vcpu, const struct instruction *in)
{
    const uint64_t *registers = vcpu->state->registers;
    uint64_t address = (uint64_t)(int64_t)in->displacement;
    if (in->base == REGISTER_RIP)
        address += vcpu->state->rip + in->length;
    else if (in->base != REGISTER_NONE)
        address += registers[in->base];
    if (in->index != REGISTER_NONE)
        address += registers[in->index] << in->scale;
    if (in->address_size < 8)
        address = in->address_size == 4 ? (uint32_t)address : (uint16_t)address;
    address += vcpu->state->segment_bases[in->segment];
    return bt_is_64(vcpu) ? address : (uint32_t)address;
}

void bt_write_register(struct bt_vcpu *vcpu, unsigned reg, uint64_t value, unsigned size)
{
    uint64_t *to = &vcpu->state->registers[reg];
    if (size >= 4)
        *to = size == 8 ? value : (uint32_t)value;
    else
        bt_copy(to, &value, size);
}

bool bt_read_operand(struct bt_vcpu *vcpu, const struct instruction *in, uint64_t *value,
                     unsigned size)
{
    *value = 0;
    if (in->has_memory)
        return bt_read_value(vcpu, bt_address(vcpu, in), value, size);
    bt_copy(value, &vcpu->state->registers[in->rm], size);
    return true;
}

bool bt_write_operand(struct bt_vcpu *vcpu, const struct instruction *in, uint64_t value,
                      unsigned size)
{
    if (in->has_memory)
        return bt_write_value(vcpu, bt_address(vcpu, in), value, size);
    bt_write_register(vcpu, in->rm, value, size);
    return true;
}

static uint64_t stack_at(const struct bt_vcpu *vcpu, uint64_t rsp)
{
    return bt_is_64(vcpu) ? rsp : (uint32_t)(vcpu->state->segment_bases[SEGMENT_SS] + rsp);
}

bool bt_push(struct bt_vcpu *vcpu, uint64_t value, unsigned size)
{
    uint64_t *rsp = &vcpu->state->registers[REGISTER_RSP], to = *rsp - size;
    if (!bt_is_64(vcpu))
        to = (uint32_t)to;
    if (!bt_write_value(vcpu, stack_at(vcpu, to), value, size))
        return false;
    *rsp = to;
    return true;
}

bool bt_pop(struct bt_vcpu *vcpu, uint64_t *value, unsigned size)
{
    uint64_t *rsp = &vcpu->state->registers[REGISTER_RSP];
    if (!bt_read_value(vcpu, stack_at(vcpu, *rsp), value, size))
        return false;
    *rsp += size;
    if (!bt_is_64(vcpu))
        *rsp = (uint32_t)*rsp;
    return true;
}

bool bt_needs_level_0(struct bt_vcpu *vcpu)
{
    return vcpu->level == 0 || bt_raise_error(vcpu, EXCEPTION_GP, 0);
}

static bool needs_io_level(struct bt_vcpu *vcpu)
{
    return vcpu->level <= (vcpu->flags >> 12 & 3) || bt_raise_error(vcpu, EXCEPTION_GP, 0);
}

/* ---- Ports ---- */

/* The TSS's bitmap (Intel SDM 1, 19.5.2). */
static bool may_use_port(struct bt_vcpu *vcpu, uint16_t port, unsigned size)
{
    uint16_t map = 0;
    uint16_t bits = 0;
    if (vcpu->level <= (vcpu->flags >> 12 & 3))
        return true;
    if (vcpu->tr.limit < 103)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    if (!bt_read(vcpu, vcpu->tr.base + 102, &map, 2, BT_SYSTEM))
        return false;
    uint32_t at = map + port / 8u;
    if (at + 1 > vcpu->tr.limit)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    if (!bt_read(vcpu, vcpu->tr.base + at, &bits, 2, BT_SYSTEM))
        return false;
    return (bits >> (port & 7) & ((1u << size) - 1)) == 0 || bt_raise_error(vcpu, EXCEPTION_GP, 0);
}

static bool execute_port(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t *rax = &vcpu->state->registers[REGISTER_RAX], value = *rax;
    bool is_write = in->opcode & 2;
    uint16_t port =
        in->opcode & 8 ? (uint16_t)vcpu->state->registers[REGISTER_RDX] : (uint8_t)in->immediate;
    unsigned size = in->byte_registers ? 1 : in->operand_size == 2 ? 2 : 4;
    if (!may_use_port(vcpu, port, size))
        return false;
    if (size < 4)
        value &= (1u << 8 * size) - 1;
    else
        value = (uint32_t)value;
    bt_port(vcpu, is_write, port, size, &value);
    if (!is_write)
        bt_write_register(vcpu, REGISTER_RAX, value, size);
    return true;
}

/* ---- Flags ---- */

static bool execute_popf(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t value, flags = bt_get_flags(vcpu), mine = 0;
    if (!bt_pop(vcpu, &value, in->operand_size))
        return false;
    if (vcpu->level > 0)
        mine |= FLAG_IOPL;
    if (vcpu->level > (flags >> 12 & 3))
        mine |= FLAG_IF;
    if (in->operand_size == 2)
        mine |= ~0xffffull;
    bt_set_flags(vcpu, (value & ~mine) | (flags & mine));
    return true;
}

static bool execute_sti(struct bt_vcpu *vcpu)
{
    if (!needs_io_level(vcpu))
        return false;
    vcpu->shadow = !vcpu->state->interrupts_enabled;
    vcpu->state->interrupts_enabled = 1;
    return true;
}

static bool execute_cli(struct bt_vcpu *vcpu)
{
    if (!needs_io_level(vcpu))
        return false;
    vcpu->state->interrupts_enabled = 0;
    return true;
}

/* ---- Segments ---- */

static bool execute_mov_segment(struct bt_vcpu *vcpu, const struct instruction *in)
{
    unsigned which = in->reg & 7;
    uint64_t selector;
    if (which > SEGMENT_GS || (in->opcode == 0x8e && which == SEGMENT_CS))
        return bt_raise(vcpu, EXCEPTION_UD);
    if (in->opcode == 0x8c) {
        unsigned size = in->has_memory ? 2 : in->operand_size;
        return bt_write_operand(vcpu, in, vcpu->segments[which].selector, size);
    }
    if (!bt_read_operand(vcpu, in, &selector, 2) ||
        !bt_load_segment(vcpu, which, (uint16_t)selector))
        return false;
    if (which == SEGMENT_SS)
        vcpu->shadow = true;
    return true;
}

static bool execute_push_segment(struct bt_vcpu *vcpu, const struct instruction *in, unsigned which)
{
    return bt_push(vcpu, vcpu->segments[which].selector, in->operand_size);
}

static bool execute_pop_segment(struct bt_vcpu *vcpu, const struct instruction *in, unsigned which)
{
    uint64_t *rsp = &vcpu->state->registers[REGISTER_RSP], before = *rsp, selector;
    if (!bt_pop(vcpu, &selector, in->operand_size))
        return false;
    if (bt_load_segment(vcpu, which, (uint16_t)selector))
        return true;
    *rsp = before;
    return false;
}

/* jmp and call to a far pointer in memory, and in the old modes one in the instruction. */
static bool execute_far(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t selector = in->selector, target = (uint64_t)in->immediate;
    bool is_call = in->opcode == 0x9a;
    if (in->opcode == 0xff) {
        uint64_t address = bt_address(vcpu, in);
        is_call = (in->modrm >> 3 & 7) == 3;
        if (!bt_read_value(vcpu, address, &target, in->operand_size) ||
            !bt_read_value(vcpu, address + in->operand_size, &selector, 2))
            return false;
    }
    uint64_t before = vcpu->state->rip;
    vcpu->state->rip += in->length;
    if (bt_far_jump(vcpu, (uint16_t)selector, target, is_call, in->operand_size))
        return true;
    vcpu->state->rip = before;
    return false;
}

/* ---- Others ---- */

static bool execute_int(struct bt_vcpu *vcpu, const struct instruction *in, unsigned vector)
{
    uint64_t before = vcpu->state->rip;
    vcpu->state->rip += in->length;
    if (bt_enter_handler(vcpu, vector, SOURCE_SOFTWARE, false, 0))
        return true;
    vcpu->state->rip = before;
    return false;
}

static bool execute_enter(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t *registers = vcpu->state->registers, before = registers[REGISTER_RSP];
    unsigned size = in->operand_size, depth = in->selector & 31;
    uint64_t frame = before - size, value;
    bool fits = bt_push(vcpu, registers[REGISTER_RBP], size);
    for (unsigned i = 1; fits && i < depth; i++)
        fits =
            bt_read_value(vcpu, stack_at(vcpu, registers[REGISTER_RBP] - i * size), &value, size) &&
            bt_push(vcpu, value, size);
    if (fits && depth > 0)
        fits = bt_push(vcpu, frame, size);
    if (!fits) {
        registers[REGISTER_RSP] = before;
        return false;
    }
    bt_write_register(vcpu, REGISTER_RBP, frame, size);
    registers[REGISTER_RSP] -= (uint64_t)in->immediate;
    if (!bt_is_64(vcpu))
        registers[REGISTER_RSP] = (uint32_t)registers[REGISTER_RSP];
    return true;
}

static bool execute_xlat(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t *registers = vcpu->state->registers, value;
    uint64_t address = registers[REGISTER_RBX] + (uint8_t)registers[REGISTER_RAX];
    if (in->address_size < 8)
        address = in->address_size == 4 ? (uint32_t)address : (uint16_t)address;
    if (!bt_read_value(vcpu, address + vcpu->state->segment_bases[in->segment], &value, 1))
        return false;
    bt_write_register(vcpu, REGISTER_RAX, value, 1);
    return true;
}

static bool execute_hlt(struct bt_vcpu *vcpu)
{
    if (!bt_needs_level_0(vcpu))
        return false;
    vcpu->halted = true;
    return true;
}

/* pusha: eight registers, RSP as it was. */
static bool execute_pusha(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t *registers = vcpu->state->registers, before = registers[REGISTER_RSP];
    for (unsigned i = 0; i < 8; i++) {
        if (!bt_push(vcpu, i == REGISTER_RSP ? before : registers[i], in->operand_size)) {
            registers[REGISTER_RSP] = before;
            return false;
        }
    }
    return true;
}

static bool execute_popa(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t values[8], *rsp = &vcpu->state->registers[REGISTER_RSP], before = *rsp;
    for (unsigned i = 8; i-- > 0;) {
        if (!bt_pop(vcpu, &values[i], in->operand_size)) {
            *rsp = before;
            return false;
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i != REGISTER_RSP)
            bt_write_register(vcpu, i, values[i], in->operand_size);
    }
    return true;
}

/* Instructions that say themselves where it goes on: 1, or an exception 0; -1: not one of them. */
static int execute_transfer(struct bt_vcpu *vcpu, const struct instruction *in)
{
    switch (in->opcode) {
    case 0x9a:
    case 0xea:
    case 0xff:
        return execute_far(vcpu, in);
    case 0xca:
    case 0xcb:
        return bt_far_return(vcpu, in->operand_size, (unsigned)in->immediate);
    case 0xcc:
        return execute_int(vcpu, in, EXCEPTION_BP);
    case 0xcd:
        return execute_int(vcpu, in, (uint8_t)in->immediate);
    case 0xcf:
        return bt_interrupt_return(vcpu, in->operand_size);
    default:
        return -1;
    }
}

static bool execute_primary(struct bt_vcpu *vcpu, const struct instruction *in)
{
    switch (in->opcode) {
    case 0x06:
    case 0x0e:
    case 0x16:
    case 0x1e:
        return execute_push_segment(vcpu, in, in->opcode >> 3 & 3);
    case 0x07:
    case 0x17:
    case 0x1f:
        return execute_pop_segment(vcpu, in, in->opcode >> 3 & 3);
    case 0x60:
        return execute_pusha(vcpu, in);
    case 0x61:
        return execute_popa(vcpu, in);
    case 0x8c:
    case 0x8e:
        return execute_mov_segment(vcpu, in);
    case 0x90: /* pause */
        return true;
    case 0x9c:
        return bt_push(vcpu, bt_get_flags(vcpu), in->operand_size);
    case 0x9d:
        return execute_popf(vcpu, in);
    case 0xc8:
        return execute_enter(vcpu, in);
    case 0xd7:
        return execute_xlat(vcpu, in);
    case 0xe4:
    case 0xe5:
    case 0xe6:
    case 0xe7:
    case 0xec:
    case 0xed:
    case 0xee:
    case 0xef:
        return execute_port(vcpu, in);
    case 0xf4:
        return execute_hlt(vcpu);
    case 0xfa:
        return execute_cli(vcpu);
    case 0xfb:
        return execute_sti(vcpu);
    case 0xfc:
    case 0xfd:
        vcpu->state->direction = in->opcode & 1;
        return true;
    default:
        return bt_raise(vcpu, EXCEPTION_UD);
    }
}

static bool execute_0f(struct bt_vcpu *vcpu, const struct instruction *in)
{
    switch (in->opcode) {
    case 0xa0:
    case 0xa8:
        return execute_push_segment(vcpu, in, in->opcode == 0xa0 ? SEGMENT_FS : SEGMENT_GS);
    case 0xa1:
    case 0xa9:
        return execute_pop_segment(vcpu, in, in->opcode == 0xa1 ? SEGMENT_FS : SEGMENT_GS);
    case 0xa2:
        bt_cpuid(vcpu);
        return true;
    case 0xae:
    case 0xc7:
        return bt_execute_state(vcpu, in);
    default:
        return bt_execute_system(vcpu, in);
    }
}

static bool execute(struct bt_vcpu *vcpu, const struct instruction *in)
{
    if (in->class == CLASS_STRING)
        return bt_execute_string(vcpu, in);
    if (in->class == CLASS_INVALID)
        return bt_raise(vcpu, EXCEPTION_UD);
    if (in->length >= INSTRUCTION_LENGTH_MAX && in->map == MAP_PRIMARY && in->opcode == 0)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    if (in->uses_vector && (vcpu->mode & MODE_NO_VECTOR))
        return bt_raise(vcpu, EXCEPTION_NM);
    if (in->encoding != ENCODING_LEGACY)
        return bt_raise(vcpu, EXCEPTION_UD);
    if (in->map == MAP_PRIMARY)
        return execute_primary(vcpu, in);
    return in->map == MAP_0F ? execute_0f(vcpu, in) : bt_execute_system(vcpu, in);
}

bool bt_execute(struct bt_vcpu *vcpu, const struct instruction *in)
{
    if (in->class == CLASS_RUNTIME && in->map == MAP_PRIMARY) {
        int done = execute_transfer(vcpu, in);
        if (done >= 0)
            return done;
    }
    bool sets_rip = in->class == CLASS_RUNTIME && in->map == MAP_0F &&
                    (in->opcode == 0x05 || in->opcode == 0x07);
    if (!execute(vcpu, in))
        return false;
    if (!sets_rip)
        vcpu->state->rip += in->length;
    if (!bt_is_64(vcpu))
        vcpu->state->rip = (uint32_t)vcpu->state->rip;
    return true;
}
