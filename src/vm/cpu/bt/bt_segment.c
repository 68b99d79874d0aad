/* Segments, privilege levels, and what moves between them (Intel SDM 3A, chapters 3 and 5). */
#include "vm/cpu/bt/bt_internal.h"

uint64_t bt_get_flags(const struct bt_vcpu *vcpu)
{
    const struct guest_state *state = vcpu->state;
    return vcpu->flags | guest_flags_unpack(state->flags) | 2 |
           (state->interrupts_enabled ? FLAG_IF : 0) | (state->direction ? FLAG_DF : 0);
}

void bt_set_flags(struct bt_vcpu *vcpu, uint64_t flags)
{
    struct guest_state *state = vcpu->state;
    state->flags = guest_flags_pack(flags);
    state->interrupts_enabled = (flags & FLAG_IF) != 0;
    state->direction = (flags & FLAG_DF) != 0;
    vcpu->flags = flags & SYSTEM_FLAGS;
}

void bt_update_mode(struct bt_vcpu *vcpu)
{
    bool is_64 = bt_is_long(vcpu) && vcpu->segments[SEGMENT_CS].is_long;
    bool is_flat = true;
    for (unsigned i = 0; i <= SEGMENT_DS; i++) {
        uint64_t base = is_64 ? 0 : vcpu->segments[i].base;
        vcpu->state->segment_bases[i] = base;
        is_flat = is_flat && base == 0;
    }
    uint32_t mode = (is_64 ? MODE_64 : 0) | (vcpu->level == 3 ? MODE_USER : 0) |
                    (vcpu->cr0 & (CR0_TS | CR0_EM) ? MODE_NO_VECTOR : 0) |
                    (is_flat ? MODE_FLAT : 0);
    /* The tables of jumps are by address and level alone. */
    if ((mode ^ vcpu->mode) & ~(uint32_t)MODE_USER)
        bt_clear_jumps(vcpu);
    vcpu->mode = mode;
}

void bt_set_code_segment(struct bt_vcpu *vcpu, const struct vcpu_segment *segment)
{
    vcpu->segments[SEGMENT_CS] = *segment;
    vcpu->level = segment->selector & 3;
    bt_update_mode(vcpu);
}

struct vcpu_segment bt_unpack(uint16_t selector, uint64_t descriptor)
{
    struct vcpu_segment segment = {
        .base = (descriptor >> 16 & 0xffffff) | (descriptor >> 56 & 0xff) << 24,
        .limit = (uint32_t)((descriptor & 0xffff) | (descriptor >> 48 & 15) << 16),
        .selector = selector,
        .type = descriptor >> 40 & 15,
        .dpl = descriptor >> 45 & 3,
        .present = descriptor >> 47 & 1,
        .system = !(descriptor >> 44 & 1),
        .is_long = descriptor >> 53 & 1,
        .is_32bit = descriptor >> 54 & 1,
        .granular = descriptor >> 55 & 1,
    };
    if (segment.granular)
        segment.limit = segment.limit << 12 | 0xfff;
    return segment;
}

static bool find_descriptor(struct bt_vcpu *vcpu, uint16_t selector, unsigned size, uint64_t *at)
{
    uint32_t offset = selector & 0xfff8;
    bool is_local = selector & 4;
    uint64_t base = is_local ? vcpu->ldt.base : vcpu->gdt.base;
    uint32_t limit = is_local ? vcpu->ldt.limit : vcpu->gdt.limit;
    if ((is_local && vcpu->ldt.unusable) || offset + size - 1 > limit)
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    *at = base + offset;
    return true;
}

bool bt_read_descriptor(struct bt_vcpu *vcpu, uint16_t selector, uint64_t descriptor[2])
{
    uint64_t at;
    descriptor[1] = 0;
    if ((selector & 0xfffc) == 0)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    return find_descriptor(vcpu, selector, 8, &at) && bt_read(vcpu, at, descriptor, 8, BT_SYSTEM);
}

static bool mark_accessed(struct bt_vcpu *vcpu, uint16_t selector, struct vcpu_segment *segment)
{
    uint64_t at;
    uint8_t type;
    if (segment->type & 1)
        return true;
    if (!find_descriptor(vcpu, selector, 8, &at) || !bt_read(vcpu, at + 5, &type, 1, BT_SYSTEM))
        return false;
    type |= 1;
    segment->type |= 1;
    return bt_write(vcpu, at + 5, &type, 1, BT_SYSTEM);
}

static void set_segment(struct bt_vcpu *vcpu, unsigned which, const struct vcpu_segment *segment)
{
    vcpu->segments[which] = *segment;
    if (which >= SEGMENT_FS)
        vcpu->state->segment_bases[which] = segment->base;
    else
        bt_update_mode(vcpu);
}

static bool load_null(struct bt_vcpu *vcpu, unsigned which, uint16_t selector)
{
    const struct vcpu_segment null = {.selector = selector, .unusable = true, .dpl = selector & 3};
    if (which == SEGMENT_SS &&
        (!bt_is_64(vcpu) || vcpu->level == 3 || (selector & 3) != vcpu->level))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    set_segment(vcpu, which, &null);
    return true;
}

bool bt_load_segment(struct bt_vcpu *vcpu, unsigned which, uint16_t selector)
{
    uint64_t descriptor[2];
    if ((selector & 0xfffc) == 0)
        return load_null(vcpu, which, selector);
    if (!bt_read_descriptor(vcpu, selector, descriptor))
        return false;
    struct vcpu_segment segment = bt_unpack(selector, descriptor[0]);
    bool is_code = segment.type & 8, may_access = segment.type & 2;
    unsigned asked = selector & 3;
    bool fits;
    if (which == SEGMENT_SS)
        fits = !segment.system && !is_code && may_access && asked == vcpu->level &&
               segment.dpl == vcpu->level;
    else
        fits = !segment.system && (!is_code || may_access) &&
               ((is_code && (segment.type & 4)) ||
                (segment.dpl >= asked && segment.dpl >= vcpu->level));
    if (!fits)
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (!segment.present)
        return bt_raise_error(vcpu, which == SEGMENT_SS ? EXCEPTION_SS : EXCEPTION_NP,
                              selector & 0xfffcu);
    if (!mark_accessed(vcpu, selector, &segment))
        return false;
    set_segment(vcpu, which, &segment);
    return true;
}

bool bt_load_system_segment(struct bt_vcpu *vcpu, uint16_t selector, bool is_task)
{
    uint64_t descriptor[2], at;
    unsigned size = bt_is_long(vcpu) ? 16 : 8;
    if ((selector & 0xfffc) == 0 && !is_task) {
        vcpu->ldt = (struct vcpu_segment){.selector = selector, .unusable = true};
        return true;
    }
    descriptor[1] = 0;
    if ((selector & 0xfffc) == 0 || (selector & 4))
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (!find_descriptor(vcpu, selector, size, &at) ||
        !bt_read(vcpu, at, descriptor, size, BT_SYSTEM))
        return false;
    struct vcpu_segment segment = bt_unpack(selector, descriptor[0]);
    segment.base |= descriptor[1] << 32;
    if (!segment.system || segment.type != (is_task ? 9 : 2))
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (!segment.present)
        return bt_raise_error(vcpu, EXCEPTION_NP, selector & 0xfffcu);
    if (is_task) { /* it is busy from now on */
        uint8_t type = (uint8_t)(descriptor[0] >> 40) | 2;
        if (!bt_write(vcpu, at + 5, &type, 1, BT_SYSTEM))
            return false;
        segment.type = 11;
    }
    *(is_task ? &vcpu->tr : &vcpu->ldt) = segment;
    return true;
}

/* ---- Far transfers ---- */

static bool read_code(struct bt_vcpu *vcpu, uint16_t selector, struct vcpu_segment *code)
{
    uint64_t descriptor[2];
    if (!bt_read_descriptor(vcpu, selector, descriptor))
        return false;
    *code = bt_unpack(selector, descriptor[0]);
    if (code->system || !(code->type & 8) || (code->is_long && code->is_32bit && bt_is_long(vcpu)))
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (!code->present)
        return bt_raise_error(vcpu, EXCEPTION_NP, selector & 0xfffcu);
    return true;
}

bool bt_far_jump(struct bt_vcpu *vcpu, uint16_t selector, uint64_t rip, bool is_call, unsigned size)
{
    struct vcpu_segment code;
    uint64_t stack = vcpu->state->registers[REGISTER_RSP];
    if (!read_code(vcpu, selector, &code))
        return false;
    bool fits = code.type & 4 ? code.dpl <= vcpu->level
                              : (selector & 3) <= vcpu->level && code.dpl == vcpu->level;
    if (!fits)
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (is_call && (!bt_push(vcpu, vcpu->segments[SEGMENT_CS].selector, size) ||
                    !bt_push(vcpu, vcpu->state->rip, size))) {
        vcpu->state->registers[REGISTER_RSP] = stack;
        return false;
    }
    code.selector = (uint16_t)((selector & 0xfffc) | vcpu->level);
    bt_set_code_segment(vcpu, &code);
    vcpu->state->rip = size == 8 ? rip : size == 4 ? (uint32_t)rip : (uint16_t)rip;
    return true;
}

/* Data segments that the outer level may not have. */
static void drop_inner_segments(struct bt_vcpu *vcpu)
{
    static const uint8_t which[] = {SEGMENT_ES, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS};
    for (unsigned i = 0; i < sizeof which; i++) {
        const struct vcpu_segment *segment = &vcpu->segments[which[i]];
        bool is_conforming = (segment->type & 12) == 12;
        if (!segment->unusable && !is_conforming && segment->dpl < vcpu->level)
            load_null(vcpu, which[i], 0);
    }
}

/* The end of a far return, with what was popped: CS, and for another level or an interrupt in long
 * mode SS and RSP. */
static bool return_to(struct bt_vcpu *vcpu, uint64_t rip, uint16_t selector, bool has_stack,
                      uint64_t rsp, uint16_t stack_selector)
{
    struct vcpu_segment code, stack = {.selector = stack_selector, .unusable = true};
    unsigned level = selector & 3;
    if (level < vcpu->level)
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (!read_code(vcpu, selector, &code))
        return false;
    if (code.type & 4 ? code.dpl > level : code.dpl != level)
        return bt_raise_error(vcpu, EXCEPTION_GP, selector & 0xfffcu);
    if (has_stack && (stack_selector & 0xfffc) != 0) {
        uint64_t descriptor[2];
        if (!bt_read_descriptor(vcpu, stack_selector, descriptor))
            return false;
        stack = bt_unpack(stack_selector, descriptor[0]);
        if (stack.system || (stack.type & 10) != 2 || stack.dpl != level ||
            (stack_selector & 3) != level)
            return bt_raise_error(vcpu, EXCEPTION_GP, stack_selector & 0xfffcu);
        if (!stack.present)
            return bt_raise_error(vcpu, EXCEPTION_SS, stack_selector & 0xfffcu);
    } else if (has_stack && (level == 3 || !code.is_long)) {
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    }
    bool is_outer = level > vcpu->level;
    if (has_stack) {
        stack.dpl = (uint8_t)level;
        vcpu->segments[SEGMENT_SS] = stack;
        vcpu->state->registers[REGISTER_RSP] = rsp;
    }
    bt_set_code_segment(vcpu, &code);
    vcpu->state->rip = rip;
    if (is_outer)
        drop_inner_segments(vcpu);
    return true;
}

bool bt_far_return(struct bt_vcpu *vcpu, unsigned size, unsigned extra)
{
    uint64_t rip, selector, rsp = 0, stack_selector = 0;
    uint64_t *stack = &vcpu->state->registers[REGISTER_RSP], before = *stack;
    bool is_outer = false;
    bool fits = bt_pop(vcpu, &rip, size) && bt_pop(vcpu, &selector, size);
    if (fits) {
        *stack += extra;
        is_outer = (selector & 3) > vcpu->level;
        fits = !is_outer || (bt_pop(vcpu, &rsp, size) && bt_pop(vcpu, &stack_selector, size));
    }
    if (fits &&
        return_to(vcpu, rip, (uint16_t)selector, is_outer, rsp + extra, (uint16_t)stack_selector))
        return true;
    *stack = before;
    return false;
}

bool bt_interrupt_return(struct bt_vcpu *vcpu, unsigned size)
{
    uint64_t frame[5] = {0}, *stack = &vcpu->state->registers[REGISTER_RSP], before = *stack;
    unsigned level = vcpu->level;
    if (bt_is_long(vcpu) && (vcpu->flags & FLAG_NT))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    bool fits = true, has_stack = bt_is_64(vcpu);
    for (unsigned i = 0; fits && i < 3; i++)
        fits = bt_pop(vcpu, &frame[i], size);
    if (fits && (frame[1] & 3) > level)
        has_stack = true;
    for (unsigned i = 3; fits && has_stack && i < 5; i++)
        fits = bt_pop(vcpu, &frame[i], size);
    if (fits &&
        return_to(vcpu, frame[0], (uint16_t)frame[1], has_stack, frame[3], (uint16_t)frame[4])) {
        uint64_t mine = 0, flags = bt_get_flags(vcpu);
        if (level > 0)
            mine |= FLAG_IOPL;
        if (level > (flags >> 12 & 3))
            mine |= FLAG_IF;
        if (size == 2)
            mine |= ~0xffffull;
        bt_set_flags(vcpu, (frame[2] & ~mine) | (flags & mine));
        return true;
    }
    *stack = before;
    return false;
}

/* ---- System calls ---- */

static void set_flat(struct bt_vcpu *vcpu, uint16_t selector, bool is_long)
{
    const struct vcpu_segment code = {.selector = selector,
                                      .limit = UINT32_MAX,
                                      .type = 11,
                                      .dpl = selector & 3,
                                      .present = true,
                                      .is_long = is_long,
                                      .is_32bit = !is_long,
                                      .granular = true};
    bt_set_code_segment(vcpu, &code);
}

static void set_flat_stack(struct bt_vcpu *vcpu, uint16_t selector)
{
    vcpu->segments[SEGMENT_SS] = (struct vcpu_segment){.selector = selector,
                                                       .limit = UINT32_MAX,
                                                       .type = 3,
                                                       .dpl = selector & 3,
                                                       .present = true,
                                                       .is_32bit = true,
                                                       .granular = true};
}

bool bt_syscall(struct bt_vcpu *vcpu, uint64_t next_rip)
{
    struct guest_state *state = vcpu->state;
    if (!(vcpu->efer & EFER_SCE) || !bt_is_long(vcpu))
        return bt_raise(vcpu, EXCEPTION_UD);
    uint64_t flags = bt_get_flags(vcpu), star = vcpu->msrs[BT_MSR_STAR];
    bool was_64 = bt_is_64(vcpu);
    state->registers[REGISTER_RCX] = next_rip;
    state->registers[11] = flags;
    state->rip = vcpu->msrs[was_64 ? BT_MSR_LSTAR : BT_MSR_CSTAR];
    set_flat_stack(vcpu, (uint16_t)(((star >> 32) & 0xfffc) + 8));
    set_flat(vcpu, star >> 32 & 0xfffc, true);
    bt_set_flags(vcpu, flags & ~vcpu->msrs[BT_MSR_SFMASK]);
    return true;
}

bool bt_sysret(struct bt_vcpu *vcpu, const struct instruction *in)
{
    struct guest_state *state = vcpu->state;
    uint64_t star = vcpu->msrs[BT_MSR_STAR], rcx = state->registers[REGISTER_RCX];
    uint16_t base = star >> 48 & 0xfffc;
    if (!(vcpu->efer & EFER_SCE) || !bt_is_long(vcpu))
        return bt_raise(vcpu, EXCEPTION_UD);
    if (!bt_needs_level_0(vcpu))
        return false;
    uint64_t flags = state->registers[11] & 0x3c7fd7;
    state->rip = in->rex_w ? rcx : (uint32_t)rcx;
    set_flat_stack(vcpu, (uint16_t)((base + 8) | 3));
    set_flat(vcpu, (uint16_t)((in->rex_w ? base + 16 : base) | 3), in->rex_w);
    bt_set_flags(vcpu, flags);
    return true;
}
