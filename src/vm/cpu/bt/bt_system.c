/* Instructions behind 0F that belong to the system: descriptor tables, control and model-specific
 * registers, system calls. */
#include "vm/cpu/bt/bt_internal.h"

#include "vm/board/controllers.h"

#define CR0_KNOWN                                                                                  \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)
#define CR4_KNOWN                                                                                  \
    (CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT |      \
     CR4_UMIP | CR4_FSGSBASE | CR4_OSXSAVE | CR4_SMEP)
#define CR3_KNOWN 0x0000fffffffff018ull

/* ---- Control registers ---- */

static bool set_cr0(struct bt_vcpu *vcpu, uint64_t value)
{
    uint64_t changed = value ^ vcpu->cr0;
    if ((value & ~CR0_KNOWN) >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) ||
        ((value & CR0_NW) && !(value & CR0_CD)))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    if ((changed & CR0_PG) && (value & CR0_PG)) {
        if ((vcpu->efer & EFER_LME) && (!(vcpu->cr4 & CR4_PAE) || bt_is_64(vcpu)))
            return bt_raise_error(vcpu, EXCEPTION_GP, 0);
        if (vcpu->efer & EFER_LME)
            vcpu->efer |= EFER_LMA;
    } else if (changed & CR0_PG) {
        if (bt_is_64(vcpu))
            return bt_raise_error(vcpu, EXCEPTION_GP, 0);
        vcpu->efer &= ~EFER_LMA;
    }
    vcpu->cr0 = (value & CR0_KNOWN) | CR0_ET;
    if (changed & (CR0_PG | CR0_WP))
        bt_flush(vcpu, true);
    bt_update_mode(vcpu);
    return true;
}

static bool set_cr4(struct bt_vcpu *vcpu, uint64_t value)
{
    uint64_t changed = value ^ vcpu->cr4;
    if ((value & ~CR4_KNOWN) || (bt_is_long(vcpu) && !(value & CR4_PAE)))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    vcpu->cr4 = value;
    if (changed & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_SMEP))
        bt_flush(vcpu, true);
    return true;
}

bool bt_set_control(struct bt_vcpu *vcpu, unsigned number, uint64_t value)
{
    switch (number) {
    case 0:
        return set_cr0(vcpu, value);
    case 2:
        vcpu->cr2 = value;
        return true;
    case 3:
        if (bt_is_long(vcpu) && (value & ~CR3_KNOWN))
            return bt_raise_error(vcpu, EXCEPTION_GP, 0);
        vcpu->cr3 = value;
        bt_flush(vcpu, false);
        return true;
    case 4:
        return set_cr4(vcpu, value);
    case 8:
        if (value > 15)
            return bt_raise_error(vcpu, EXCEPTION_GP, 0);
        bt_park_vectors(vcpu);
        bt_look_again(vcpu);
        controllers_set_cr8(vcpu->engine->engine.controllers, vcpu->vcpu.index, (uint8_t)value);
        return true;
    default:
        return bt_raise(vcpu, EXCEPTION_UD);
    }
}

bool bt_get_control(struct bt_vcpu *vcpu, unsigned number, uint64_t *value)
{
    switch (number) {
    case 0:
        *value = vcpu->cr0;
        return true;
    case 2:
        *value = vcpu->cr2;
        return true;
    case 3:
        *value = vcpu->cr3;
        return true;
    case 4:
        *value = vcpu->cr4;
        return true;
    case 8:
        bt_park_vectors(vcpu);
        *value = controllers_get_cr8(vcpu->engine->engine.controllers, vcpu->vcpu.index);
        return true;
    default:
        return bt_raise(vcpu, EXCEPTION_UD);
    }
}

static bool execute_control(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t value = vcpu->state->registers[in->rm];
    unsigned size = bt_is_64(vcpu) ? 8 : 4;
    if (!bt_needs_level_0(vcpu))
        return false;
    if (in->opcode == 0x22)
        return bt_set_control(vcpu, in->reg, size == 8 ? value : (uint32_t)value);
    if (!bt_get_control(vcpu, in->reg, &value))
        return false;
    bt_write_register(vcpu, in->rm, value, size);
    return true;
}

static bool execute_debug(struct bt_vcpu *vcpu, const struct instruction *in)
{
    unsigned number = in->reg, size = bt_is_64(vcpu) ? 8 : 4;
    if (!bt_needs_level_0(vcpu))
        return false;
    if (number > 7 || ((number == 4 || number == 5) && (vcpu->cr4 & CR4_DE)))
        return bt_raise(vcpu, EXCEPTION_UD);
    if (number == 4 || number == 5)
        number += 2;
    if (in->opcode == 0x21) {
        bt_write_register(vcpu, in->rm, vcpu->dr[number], size);
        return true;
    }
    uint64_t value = vcpu->state->registers[in->rm];
    if (number >= 6 && value >> 32)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    if (number == 6)
        value = (value & 0xe00f) | 0xffff0ff0;
    if (number == 7)
        value = (value & 0xffff2bff) | 0x400;
    vcpu->dr[number] = value;
    return true;
}

/* ---- Descriptor tables ---- */

static bool keeps_tables_private(struct bt_vcpu *vcpu)
{
    return vcpu->level == 0 || !(vcpu->cr4 & CR4_UMIP) || bt_raise_error(vcpu, EXCEPTION_GP, 0);
}

static bool store_table(struct bt_vcpu *vcpu, const struct instruction *in, uint64_t base,
                        uint16_t limit)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {limit, base};
    return keeps_tables_private(vcpu) &&
           bt_write(vcpu, bt_address(vcpu, in), &table, bt_is_64(vcpu) ? 10 : 6, 0);
}

static bool load_table(struct bt_vcpu *vcpu, const struct instruction *in, bool is_idt)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {0, 0};
    if (!bt_needs_level_0(vcpu) ||
        !bt_read(vcpu, bt_address(vcpu, in), &table, bt_is_64(vcpu) ? 10 : 6, 0))
        return false;
    if (!bt_is_64(vcpu) && in->operand_size == 2)
        table.base &= 0xffffff;
    if (is_idt) {
        vcpu->idt.base = table.base;
        vcpu->idt.limit = table.limit;
    } else {
        vcpu->gdt.base = table.base;
        vcpu->gdt.limit = table.limit;
    }
    return true;
}

static bool execute_swapgs(struct bt_vcpu *vcpu)
{
    uint64_t *base = &vcpu->state->segment_bases[SEGMENT_GS], kept = *base;
    if (!bt_is_64(vcpu))
        return bt_raise(vcpu, EXCEPTION_UD);
    if (!bt_needs_level_0(vcpu))
        return false;
    *base = vcpu->state->kernel_gs_base;
    vcpu->state->kernel_gs_base = kept;
    return true;
}

static bool execute_xgetbv(struct bt_vcpu *vcpu, bool is_write)
{
    uint64_t *registers = vcpu->state->registers;
    uint64_t value = (uint32_t)registers[REGISTER_RAX] | registers[REGISTER_RDX] << 32;
    if (!(vcpu->cr4 & CR4_OSXSAVE))
        return bt_raise(vcpu, EXCEPTION_UD);
    if ((uint32_t)registers[REGISTER_RCX] != 0)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    if (!is_write) {
        registers[REGISTER_RAX] = (uint32_t)vcpu->xcr0;
        registers[REGISTER_RDX] = vcpu->xcr0 >> 32;
        return true;
    }
    if (!bt_needs_level_0(vcpu))
        return false;
    if (!(value & 1) || (value & ~7ull) || (value & 6) == 4)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    vcpu->xcr0 = value;
    return true;
}

/* 0F 01 with registers: by the whole ModRM. */
static bool execute_group7_register(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t *registers = vcpu->state->registers;
    switch (in->modrm) {
    case 0xd0:
    case 0xd1:
        return execute_xgetbv(vcpu, in->modrm == 0xd1);
    case 0xf8:
        return execute_swapgs(vcpu);
    case 0xf9: { /* rdtscp */
        uint64_t tsc = __builtin_ia32_rdtsc();
        registers[REGISTER_RAX] = (uint32_t)tsc;
        registers[REGISTER_RDX] = tsc >> 32;
        registers[REGISTER_RCX] = (uint32_t)vcpu->msrs[BT_MSR_TSC_AUX];
        return true;
    }
    default:
        return bt_raise(vcpu, EXCEPTION_UD);
    }
}

static bool execute_lmsw(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t value;
    if (!bt_needs_level_0(vcpu) || !bt_read_operand(vcpu, in, &value, 2))
        return false;
    /* It can't clear PE. */
    return set_cr0(vcpu, (vcpu->cr0 & ~0xeull) | (value & 0xf));
}

bool bt_execute_group7(struct bt_vcpu *vcpu, const struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    if (reg == 4)
        return keeps_tables_private(vcpu) &&
               bt_write_operand(vcpu, in, vcpu->cr0, in->has_memory ? 2 : in->operand_size);
    if (reg == 6)
        return execute_lmsw(vcpu, in);
    if (!in->has_memory)
        return execute_group7_register(vcpu, in);
    switch (reg) {
    case 0:
        return store_table(vcpu, in, vcpu->gdt.base, vcpu->gdt.limit);
    case 1:
        return store_table(vcpu, in, vcpu->idt.base, vcpu->idt.limit);
    case 2:
    case 3:
        return load_table(vcpu, in, reg == 3);
    case 7: /* invlpg */
        if (!bt_needs_level_0(vcpu))
            return false;
        bt_flush_page(vcpu, bt_address(vcpu, in));
        return true;
    default:
        return bt_raise(vcpu, EXCEPTION_UD);
    }
}

/* ---- What selectors lead to: lar, lsl, verr, verw ---- */

static bool may_look(struct bt_vcpu *vcpu, uint16_t selector, struct vcpu_segment *segment,
                     uint64_t *descriptor)
{
    uint64_t raw[2];
    unsigned level = vcpu->level > (selector & 3) ? vcpu->level : selector & 3;
    if (!bt_read_descriptor(vcpu, selector, raw))
        return false;
    *descriptor = raw[0];
    *segment = bt_unpack(selector, raw[0]);
    bool is_conforming = !segment->system && (segment->type & 12) == 12;
    return is_conforming || segment->dpl >= level;
}

static void set_zero_flag(struct bt_vcpu *vcpu, bool on)
{
    vcpu->state->flags = (uint16_t)((vcpu->state->flags & ~0x4000u) | (on ? 0x4000u : 0));
}

/* Those descriptors of the system that lar and lsl tell of, in long mode. */
static bool is_told(const struct vcpu_segment *segment, bool is_lar)
{
    const unsigned limits = 1u << 2 | 1u << 9 | 1u << 11, gates = 1u << 12;
    return !segment->system || ((limits | (is_lar ? gates : 0)) >> segment->type & 1);
}

static bool execute_look(struct bt_vcpu *vcpu, const struct instruction *in)
{
    uint64_t selector, descriptor;
    struct vcpu_segment segment;
    bool is_lar = in->opcode == 2;
    if (!bt_read_operand(vcpu, in, &selector, 2))
        return false;
    bool may =
        may_look(vcpu, (uint16_t)selector, &segment, &descriptor) && is_told(&segment, is_lar);
    if (may)
        bt_write_register(vcpu, in->reg, is_lar ? descriptor >> 32 & 0xf0ff00 : segment.limit,
                          in->operand_size == 2 ? 2 : 4);
    set_zero_flag(vcpu, may);
    return true;
}

static bool execute_group6(struct bt_vcpu *vcpu, const struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    uint64_t selector, descriptor;
    struct vcpu_segment segment;
    if (reg < 2) { /* sldt, str */
        uint16_t value = (reg == 0 ? &vcpu->ldt : &vcpu->tr)->selector;
        return keeps_tables_private(vcpu) &&
               bt_write_operand(vcpu, in, value, in->has_memory ? 2 : in->operand_size);
    }
    if (reg < 4 && !bt_needs_level_0(vcpu))
        return false;
    if (reg > 5)
        return bt_raise(vcpu, EXCEPTION_UD);
    if (!bt_read_operand(vcpu, in, &selector, 2))
        return false;
    if (reg < 4) /* lldt, ltr */
        return bt_load_system_segment(vcpu, (uint16_t)selector, reg == 3);
    bool may = may_look(vcpu, (uint16_t)selector, &segment, &descriptor) && !segment.system;
    bool is_code = segment.type & 8, has_bit = segment.type & 2;
    set_zero_flag(vcpu, may && (reg == 4 ? !is_code || has_bit : !is_code && has_bit));
    return true;
}

/* ---- Model-specific registers ---- */

static bool execute_msr(struct bt_vcpu *vcpu, bool is_write)
{
    uint64_t *registers = vcpu->state->registers, value;
    uint32_t index = (uint32_t)registers[REGISTER_RCX];
    if (!bt_needs_level_0(vcpu))
        return false;
    if (is_write) {
        value = (uint32_t)registers[REGISTER_RAX] | registers[REGISTER_RDX] << 32;
        return bt_set_msr_value(vcpu, index, value) || bt_raise_error(vcpu, EXCEPTION_GP, 0);
    }
    if (!bt_get_msr_value(vcpu, index, &value))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    registers[REGISTER_RAX] = (uint32_t)value;
    registers[REGISTER_RDX] = value >> 32;
    return true;
}

static bool execute_system_0f(struct bt_vcpu *vcpu, const struct instruction *in)
{
    switch (in->opcode) {
    case 0x00:
        return execute_group6(vcpu, in);
    case 0x01:
        return bt_execute_group7(vcpu, in);
    case 0x02:
    case 0x03:
        return execute_look(vcpu, in);
    case 0x05:
        return bt_syscall(vcpu, vcpu->state->rip + in->length);
    case 0x06: /* clts */
        return bt_needs_level_0(vcpu) && set_cr0(vcpu, vcpu->cr0 & ~CR0_TS);
    case 0x07:
        return bt_sysret(vcpu, in);
    case 0x08: /* invd, wbinvd: memory is as coherent without */
    case 0x09:
        return bt_needs_level_0(vcpu);
    case 0x20:
    case 0x22:
        return execute_control(vcpu, in);
    case 0x21:
    case 0x23:
        return execute_debug(vcpu, in);
    case 0x30:
    case 0x32:
        return execute_msr(vcpu, in->opcode == 0x30);
    case 0x33: /* rdpmc: there are no counters */
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    default:
        return bt_raise(vcpu, EXCEPTION_UD);
    }
}

bool bt_execute_system(struct bt_vcpu *vcpu, const struct instruction *in)
{
    return in->map == MAP_0F ? execute_system_0f(vcpu, in) : bt_raise(vcpu, EXCEPTION_UD);
}
