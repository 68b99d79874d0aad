#include "translate/emit.h"

#include <string.h>

#define PREFIX_GS 0x65

void emit_bytes(struct emitter *out, const void *bytes, size_t count)
{
    if ((size_t)(out->end - out->at) <= count) {
        out->at = out->end;
        return;
    }
    memcpy(out->at, bytes, count);
    out->at += count;
}

void emit_8(struct emitter *out, unsigned byte)
{
    uint8_t value = (uint8_t)byte;
    emit_bytes(out, &value, 1);
}

void emit_32(struct emitter *out, uint32_t value)
{
    emit_bytes(out, &value, 4);
}

/* REX for reg, index and base, if one is needed. */
static void emit_rex(struct emitter *out, bool is_wide, unsigned reg, unsigned index, unsigned base)
{
    unsigned rex =
        (is_wide ? 8u : 0) | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1);
    if (rex)
        emit_8(out, 0x40 | rex);
}

static void emit_modrm(struct emitter *out, unsigned mod, unsigned reg, unsigned rm)
{
    emit_8(out, mod << 6 | (reg & 7) << 3 | (rm & 7));
}

/* ModRM and SIB of a displacement alone. */
static void emit_absolute(struct emitter *out, unsigned reg, int32_t displacement)
{
    emit_modrm(out, 0, reg, 4);
    emit_8(out, 0x25);
    emit_32(out, (uint32_t)displacement);
}

void emit_state(struct emitter *out, unsigned op, unsigned reg, int32_t offset, bool is_wide)
{
    emit_8(out, PREFIX_GS);
    emit_rex(out, is_wide, reg, 0, 0);
    emit_8(out, op);
    emit_absolute(out, reg, offset);
}

void emit_state_at(struct emitter *out, unsigned op, unsigned reg, unsigned index, int32_t offset)
{
    emit_8(out, PREFIX_GS);
    emit_rex(out, true, reg, 0, index);
    emit_8(out, op);
    emit_modrm(out, 2, reg, index);
    emit_32(out, (uint32_t)offset);
}

void emit_state_array(struct emitter *out, unsigned op, unsigned reg, unsigned index,
                      int32_t offset)
{
    emit_8(out, PREFIX_GS);
    emit_rex(out, true, reg, index, 0);
    emit_8(out, op);
    emit_modrm(out, 0, reg, 4);
    emit_8(out, 3u << 6 | (index & 7) << 3 | 5);
    emit_32(out, (uint32_t)offset);
}

void emit_state_set(struct emitter *out, int32_t offset, uint32_t value)
{
    emit_8(out, PREFIX_GS);
    emit_8(out, 0xc7);
    emit_absolute(out, 0, offset);
    emit_32(out, value);
}

void emit_state_set_byte(struct emitter *out, int32_t offset, uint8_t value)
{
    emit_8(out, PREFIX_GS);
    emit_8(out, 0xc6);
    emit_absolute(out, 0, offset);
    emit_8(out, value);
}

void emit_state_compare(struct emitter *out, int32_t offset, uint32_t value, bool is_wide)
{
    emit_8(out, PREFIX_GS);
    emit_rex(out, is_wide, 0, 0, 0);
    emit_8(out, 0x81);
    emit_absolute(out, GROUP_COMPARE, offset);
    emit_32(out, value);
}

void emit_registers(struct emitter *out, unsigned op, unsigned reg, unsigned rm, bool is_wide)
{
    emit_rex(out, is_wide, reg, 0, rm);
    emit_8(out, op);
    emit_modrm(out, 3, reg, rm);
}

void emit_memory(struct emitter *out, unsigned op, unsigned reg, unsigned base, unsigned size)
{
    if (size == 2)
        emit_8(out, 0x66);
    emit_rex(out, size == 8, reg, 0, base);
    emit_8(out, op);
    emit_modrm(out, 0, reg, base);
}

void emit_load_constant(struct emitter *out, unsigned reg, uint64_t value)
{
    if (value <= UINT32_MAX) {
        emit_rex(out, false, 0, 0, reg);
        emit_8(out, 0xb8 | (reg & 7));
        emit_32(out, (uint32_t)value);
    } else if ((int64_t)value == (int32_t)value) {
        emit_rex(out, true, 0, 0, reg);
        emit_8(out, 0xc7);
        emit_modrm(out, 3, 0, reg);
        emit_32(out, (uint32_t)value);
    } else {
        emit_rex(out, true, 0, 0, reg);
        emit_8(out, 0xb8 | (reg & 7));
        emit_bytes(out, &value, 8);
    }
}

void emit_lea(struct emitter *out, unsigned reg, unsigned base, unsigned index, unsigned scale,
              int32_t displacement, bool is_wide)
{
    bool has_base = base != REGISTER_NONE, has_index = index != REGISTER_NONE;
    unsigned base_bits = has_base ? base : 0, index_bits = has_index ? index : 0;
    bool is_short = displacement >= INT8_MIN && displacement <= INT8_MAX;
    unsigned mod = !has_base                                         ? 0
                   : displacement == 0 && (base & 7) != REGISTER_RBP ? 0
                   : is_short                                        ? 1
                                                                     : 2;
    emit_rex(out, is_wide, reg, index_bits, base_bits);
    emit_8(out, OP_LEA);
    if (!has_index && has_base && (base & 7) != REGISTER_RSP) {
        emit_modrm(out, mod, reg, base);
    } else {
        emit_modrm(out, mod, reg, 4);
        emit_8(out,
               scale << 6 | (has_index ? (index & 7) << 3 : 4u << 3) | (has_base ? base & 7 : 5));
    }
    if (mod == 1)
        emit_8(out, (uint8_t)displacement);
    else if (mod == 2 || !has_base)
        emit_32(out, (uint32_t)displacement);
}

void emit_constant(struct emitter *out, unsigned group, unsigned reg, int32_t value, bool is_wide)
{
    bool is_short = value >= INT8_MIN && value <= INT8_MAX;
    emit_rex(out, is_wide, 0, 0, reg);
    emit_8(out, is_short ? 0x83 : 0x81);
    emit_modrm(out, 3, group, reg);
    if (is_short)
        emit_8(out, (uint8_t)value);
    else
        emit_32(out, (uint32_t)value);
}

void emit_shift(struct emitter *out, unsigned group, unsigned reg, unsigned count, bool is_wide)
{
    emit_rex(out, is_wide, 0, 0, reg);
    emit_8(out, 0xc1);
    emit_modrm(out, 3, group, reg);
    emit_8(out, count);
}

void emit_jump_index(struct emitter *out, unsigned to, unsigned from)
{
    /* pext from, jump_mask, to */
    emit_8(out, PREFIX_GS);
    emit_8(out, 0xc4);
    emit_8(out, (to < 8 ? 0x80u : 0) | 0x60 | 2);
    emit_8(out, 0x80u | (~from & 15) << 3 | 2);
    emit_8(out, 0xf5);
    emit_absolute(out, to, STATE(jump_mask));
}

void emit_jump_state(struct emitter *out, int32_t offset)
{
    emit_8(out, PREFIX_GS);
    emit_8(out, 0xff);
    emit_absolute(out, 4, offset);
}

uint8_t *emit_jump(struct emitter *out)
{
    emit_8(out, 0xe9);
    emit_32(out, 0);
    return out->at - 4;
}

uint8_t *emit_jump_if(struct emitter *out, unsigned condition)
{
    emit_8(out, 0x0f);
    emit_8(out, 0x80 | condition);
    emit_32(out, 0);
    return out->at - 4;
}

void emit_set_target(struct emitter *out, uint8_t *distance, const uint8_t *target)
{
    int32_t value = (int32_t)(target - (distance + 4));
    if (out->at < out->end)
        __builtin_memcpy(distance, &value, 4);
}

void emit_flags_to_rax(struct emitter *out)
{
    static const uint8_t code[] = {0x9f, 0x0f, 0x90, 0xc0}; /* lahf; seto %al */
    emit_bytes(out, code, sizeof code);
}

void emit_flags_from_rax(struct emitter *out)
{
    static const uint8_t code[] = {0x04, 0x7f, 0x9e}; /* add $127,%al: OF as it was; sahf */
    emit_bytes(out, code, sizeof code);
}

void emit_state_flags(struct emitter *out, unsigned reg)
{
    emit_8(out, PREFIX_GS);
    emit_8(out, 0x66);
    emit_rex(out, false, reg, 0, 0);
    emit_8(out, OP_STORE);
    emit_absolute(out, reg, STATE(flags));
}

void emit_flags_from_state(struct emitter *out)
{
    static const uint8_t load[] = {PREFIX_GS, 0x0f, 0xb7, 0x04, 0x25}; /* movzwl flags,%eax */
    emit_bytes(out, load, sizeof load);
    emit_32(out, (uint32_t)STATE(flags));
    emit_flags_from_rax(out);
}
