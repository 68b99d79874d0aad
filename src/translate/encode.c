/* A guest's instruction as host code: its bytes as they are, or composed again with the memory
 * operand in another place. */
#include "translate/builder.h"

static void emit_immediate(struct emitter *out, const struct instruction *in)
{
    emit_bytes(out, &in->immediate, in->immediate_size);
}

/* ModRM for memory at base, which needs no displacement. */
static void emit_modrm_at(struct emitter *out, unsigned reg, unsigned base)
{
    emit_8(out, (reg & 7) << 3 | (base & 7));
}

static void emit_vex_at(struct emitter *out, const struct instruction *in, unsigned base)
{
    unsigned prefix = in->prefix == 0x66 ? 1 : in->prefix == 0xf3 ? 2 : in->prefix == 0xf2 ? 3 : 0;
    emit_8(out, 0xc4);
    emit_8(out, (in->reg < 8 ? 0x80u : 0) | 0x40 | (base < 8 ? 0x20u : 0) | in->map);
    emit_8(out, (in->rex_w ? 0x80u : 0) | (~(unsigned)in->vvvv & 15) << 3 |
                    (in->vector_256 ? 4u : 0) | prefix);
    emit_8(out, in->opcode);
    emit_modrm_at(out, in->reg, base);
    emit_immediate(out, in);
}

void builder_emit_at(struct emitter *out, const struct instruction *in, unsigned base, unsigned reg)
{
    if (in->encoding == ENCODING_VEX) {
        emit_vex_at(out, in, base);
        return;
    }
    if (in->has_lock)
        emit_8(out, 0xf0);
    if (in->has_operand_prefix)
        emit_8(out, 0x66);
    if (in->has_repeat || in->has_repeat_not)
        emit_8(out, in->has_repeat ? 0xf3 : 0xf2);
    unsigned rex = (in->rex_w ? 8u : 0) | (reg >> 3) << 2 | base >> 3;
    if (rex || in->has_rex)
        emit_8(out, 0x40 | rex);
    /* The forms with an address instead of ModRM have others, with RAX as the register. */
    if (in->map == MAP_PRIMARY && (in->opcode & 0xfc) == 0xa0) {
        emit_8(out, (in->opcode & 2 ? 0x88u : 0x8a) | (in->opcode & 1));
        emit_modrm_at(out, REGISTER_RAX, base);
        return;
    }
    if (in->map != MAP_PRIMARY)
        emit_8(out, 0x0f);
    if (in->map == MAP_0F38 || in->map == MAP_0F3A)
        emit_8(out, in->map == MAP_0F38 ? 0x38 : 0x3a);
    emit_8(out, in->opcode == 0x82 && in->map == MAP_PRIMARY ? 0x80 : in->opcode);
    emit_modrm_at(out, reg, base);
    emit_immediate(out, in);
}

static void emit_extend_word(struct emitter *out, unsigned reg) /* movzwl */
{
    emit_8(out, 0x0f);
    emit_8(out, 0xb7);
    emit_8(out, 0xc0 | reg << 3 | reg);
}

/* lea, the only one that has an address but no access, where its bytes don't do: with RIP, or in
 * 32-bit mode, where the same address has another encoding. */
static void emit_lea_of(struct builder *builder, const struct instruction *in)
{
    struct emitter *out = &builder->out;
    struct address address = builder_address(builder, in);
    if (in->operand_size == 2)
        emit_8(out, 0x66);
    if (in->base == REGISTER_RIP && in->operand_size == 2) {
        if (in->reg >= 8)
            emit_8(out, 0x41);
        emit_8(out, 0xb8 | (in->reg & 7));
        emit_bytes(out, &address.displacement, 2);
    } else if (in->base == REGISTER_RIP) {
        emit_load_constant(out, in->reg,
                           in->operand_size == 8 ? (uint64_t)address.displacement
                                                 : (uint32_t)address.displacement);
    } else {
        emit_lea(out, in->reg, in->base, in->index, in->scale, in->displacement, false);
        if (in->address_size == 2 && in->operand_size == 4)
            emit_extend_word(out, in->reg);
    }
}

void builder_emit_plain(struct builder *builder, const struct instruction *in)
{
    struct emitter *out = &builder->out;
    const uint8_t *bytes = builder->request->code + builder->guest_offsets[builder->current];
    if (in->map == MAP_PRIMARY && in->opcode == 0x8d &&
        (builder->mode == 32 || in->base == REGISTER_RIP)) {
        emit_lea_of(builder, in);
        return;
    }
    if (builder->mode == 64) {
        emit_bytes(out, bytes, in->length);
        return;
    }
    if (in->map == MAP_PRIMARY && (in->opcode & 0xf0) == 0x40) { /* inc, dec */
        if (in->has_operand_prefix)
            emit_8(out, 0x66);
        emit_8(out, 0xff);
        emit_8(out, 0xc0 | (in->opcode & 15));
        return;
    }
    if (in->map == MAP_PRIMARY && in->opcode == 0x82) {
        emit_8(out, 0x80);
        emit_bytes(out, bytes + in->opcode_at + 1, in->length - in->opcode_at - 1u);
        return;
    }
    emit_bytes(out, bytes, in->length);
}
