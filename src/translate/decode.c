/* Decoding: prefixes, opcode, ModRM, immediates; then what depends on more than the opcode. */
#include "translate/decode.h"

#include <string.h>

static uint64_t take(struct reader *reader, unsigned count)
{
    uint64_t value = 0;
    if (reader->at + count > reader->size) {
        reader->is_short = true;
        reader->at = reader->size;
        return 0;
    }
    memcpy(&value, reader->code + reader->at, count);
    reader->at += count;
    return value;
}

static int64_t take_signed(struct reader *reader, unsigned count)
{
    uint64_t value = take(reader, count);
    return count == 8 ? (int64_t)value : (int64_t)(value << (64 - 8 * count)) >> (64 - 8 * count);
}

static uint8_t peek(const struct reader *reader)
{
    return reader->at < reader->size ? reader->code[reader->at] : 0;
}

/* ---- Prefixes ---- */

static bool take_prefix(struct reader *reader)
{
    static const uint8_t segments[] = {
        [0x26] = SEGMENT_ES + 1, [0x2e] = SEGMENT_CS + 1, [0x36] = SEGMENT_SS + 1,
        [0x3e] = SEGMENT_DS + 1, [0x64] = SEGMENT_FS + 1, [0x65] = SEGMENT_GS + 1};
    struct instruction *in = reader->in;
    uint8_t byte = peek(reader);
    if (reader->at >= reader->size)
        return false;
    if (byte < sizeof segments && segments[byte]) {
        /* In 64-bit mode the first four have no effect. */
        if (in->mode != 64 || segments[byte] > SEGMENT_DS + 1) {
            in->segment = segments[byte] - 1;
            in->has_segment = true;
        }
    } else if (byte == 0x66) {
        in->has_operand_prefix = true;
    } else if (byte == 0x67) {
        in->address_size = in->mode == 64 ? 4 : in->mode == 32 ? 2 : 4;
    } else if (byte == 0xf0) {
        in->has_lock = true;
    } else if (byte == 0xf2 || byte == 0xf3) {
        in->has_repeat_not = byte == 0xf2;
        in->has_repeat = byte == 0xf3;
    } else {
        return false;
    }
    reader->at++;
    return true;
}

/* It counts only as the last prefix. */
static bool take_rex(struct reader *reader, uint8_t *rex)
{
    struct instruction *in = reader->in;
    if (in->mode != 64 || (peek(reader) & 0xf0) != 0x40 || reader->at >= reader->size)
        return false;
    *rex = (uint8_t)take(reader, 1);
    in->has_rex = true;
    in->rex_w = *rex & 8;
    return true;
}

static void take_prefixes(struct reader *reader, uint8_t *rex)
{
    for (;;) {
        if (take_prefix(reader)) {
            *rex = 0;
            reader->in->has_rex = reader->in->rex_w = false;
        } else if (!take_rex(reader, rex)) {
            return;
        }
    }
}

/* VEX and XOP: what is in their bytes, as REX and prefixes would say it. */
static void take_vex(struct reader *reader, unsigned length, uint8_t *rex)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    struct instruction *in = reader->in;
    take(reader, 1);
    uint8_t first = (uint8_t)take(reader, 1), last = length == 3 ? (uint8_t)take(reader, 1) : first;
    *rex = (uint8_t)(~first >> 5 & 4);
    unsigned map = 1;
    if (length == 3) {
        *rex |= (uint8_t)((~first >> 5 & 3) | (last >> 4 & 8));
        map = first & 31;
        in->rex_w = last & 0x80;
    }
    if (in->mode != 64)
        *rex = 0;
    in->map = map >= 1 && map <= 3 ? (uint8_t)map : MAP_OTHER;
    in->vvvv = (uint8_t)(~last >> 3 & 15);
    if (in->mode != 64)
        in->vvvv &= 7;
    in->vector_256 = last & 4;
    in->prefix = prefixes[last & 3];
}

static void take_evex(struct reader *reader, uint8_t *rex)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    struct instruction *in = reader->in;
    take(reader, 1);
    uint8_t first = (uint8_t)take(reader, 1), second = (uint8_t)take(reader, 1);
    take(reader, 1);
    *rex = in->mode == 64 ? (uint8_t)(~first >> 5 & 7) : 0;
    unsigned map = first & 7;
    in->map = map >= 1 && map <= 3 ? (uint8_t)map : MAP_OTHER;
    in->prefix = prefixes[second & 3];
}

/* In the old modes the same bytes are LES, LDS and BOUND, of which no register form exists. */
static bool is_vector_prefix(const struct reader *reader)
{
    uint8_t byte = peek(reader);
    if (reader->at + 1 >= reader->size || (byte != 0xc4 && byte != 0xc5 && byte != 0x62))
        return false;
    return reader->in->mode == 64 || (reader->code[reader->at + 1] & 0xc0) == 0xc0;
}

static bool is_xop(const struct reader *reader)
{
    return peek(reader) == 0x8f && reader->at + 1 < reader->size &&
           (reader->code[reader->at + 1] & 31) >= 8;
}

static void take_opcode(struct reader *reader, uint8_t *rex)
{
    struct instruction *in = reader->in;
    if (is_vector_prefix(reader) || is_xop(reader)) {
        uint8_t byte = peek(reader);
        in->encoding = byte == 0x62 ? ENCODING_EVEX : byte == 0x8f ? ENCODING_XOP : ENCODING_VEX;
        in->opcode_at = (uint8_t)reader->at;
        if (byte == 0x62)
            take_evex(reader, rex);
        else
            take_vex(reader, byte == 0xc5 ? 2 : 3, rex);
        in->opcode = (uint8_t)take(reader, 1);
        return;
    }
    in->prefix = in->has_repeat_not       ? 0xf2
                 : in->has_repeat         ? 0xf3
                 : in->has_operand_prefix ? 0x66
                                          : 0;
    in->opcode_at = (uint8_t)reader->at;
    in->opcode = (uint8_t)take(reader, 1);
    if (in->opcode != 0x0f)
        return;
    in->map = MAP_0F;
    in->opcode = (uint8_t)take(reader, 1);
    if (in->opcode == 0x38 || in->opcode == 0x3a) {
        in->map = in->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
        in->opcode = (uint8_t)take(reader, 1);
    }
}

/* ---- ModRM ---- */

static void take_sib(struct reader *reader, uint8_t rex, unsigned mod)
{
    struct instruction *in = reader->in;
    uint8_t sib = (uint8_t)take(reader, 1);
    in->scale = sib >> 6;
    in->index = (uint8_t)((sib >> 3 & 7) | (rex & 2) << 2);
    in->base = (uint8_t)((sib & 7) | (rex & 1) << 3);
    if (in->index == REGISTER_RSP)
        in->index = REGISTER_NONE;
    if ((sib & 7) == REGISTER_RBP && mod == 0) {
        in->base = REGISTER_NONE;
        in->displacement = (int32_t)take_signed(reader, 4);
    }
}

static void take_address_16(struct reader *reader, unsigned mod)
{
    static const uint8_t bases[] = {REGISTER_RBX, REGISTER_RBX, REGISTER_RBP, REGISTER_RBP,
                                    REGISTER_RSI, REGISTER_RDI, REGISTER_RBP, REGISTER_RBX};
    static const uint8_t indices[] = {REGISTER_RSI,  REGISTER_RDI,  REGISTER_RSI,  REGISTER_RDI,
                                      REGISTER_NONE, REGISTER_NONE, REGISTER_NONE, REGISTER_NONE};
    struct instruction *in = reader->in;
    unsigned rm = in->modrm & 7;
    in->base = bases[rm];
    in->index = indices[rm];
    if (mod == 0 && rm == 6) {
        in->base = REGISTER_NONE;
        in->displacement = (int32_t)take_signed(reader, 2);
    } else if (mod != 0) {
        in->displacement = (int32_t)take_signed(reader, mod == 1 ? 1 : 2);
    }
}

static void take_modrm(struct reader *reader, uint8_t rex, bool only_registers)
{
    struct instruction *in = reader->in;
    in->modrm_at = (uint8_t)reader->at;
    in->modrm = (uint8_t)take(reader, 1);
    in->has_modrm = true;
    unsigned mod = in->modrm >> 6;
    in->reg = (uint8_t)((in->modrm >> 3 & 7) | (rex & 4) << 1);
    in->rm = (uint8_t)((in->modrm & 7) | (rex & 1) << 3);
    if (mod == 3 || only_registers)
        return;
    in->has_memory = true;
    if (in->address_size == 2) {
        take_address_16(reader, mod);
    } else {
        in->base = in->rm;
        if ((in->modrm & 7) == REGISTER_RSP)
            take_sib(reader, rex, mod);
        else if ((in->modrm & 7) == REGISTER_RBP && mod == 0) {
            in->base = in->mode == 64 ? REGISTER_RIP : REGISTER_NONE;
            in->displacement = (int32_t)take_signed(reader, 4);
        }
        if (mod != 0)
            in->displacement = (int32_t)take_signed(reader, mod == 1 ? 1 : 4);
    }
    if (!in->has_segment && (in->base == REGISTER_RSP || in->base == REGISTER_RBP))
        in->segment = SEGMENT_SS;
}

/* ---- Immediates ---- */

void decode_take_immediate(struct reader *reader, unsigned kind)
{
    struct instruction *in = reader->in;
    unsigned operand = in->operand_size == 2 ? 2 : 4, size = 0;
    in->immediate_at = (uint8_t)reader->at;
    switch (kind) {
    case IMMEDIATE_NONE:
        break;
    case IMMEDIATE_BYTE:
        size = 1;
        break;
    case IMMEDIATE_WORD:
    case IMMEDIATE_ENTER:
        size = 2;
        break;
    case IMMEDIATE_OPERAND:
        size = operand;
        break;
    case IMMEDIATE_FULL:
        size = in->operand_size;
        break;
    case IMMEDIATE_BRANCH:
        size = in->mode == 64 ? 4 : operand;
        break;
    case IMMEDIATE_ADDRESS:
        size = in->address_size;
        break;
    case IMMEDIATE_FAR:
        size = operand;
        break;
    }
    if (size > 0)
        in->immediate = take_signed(reader, size);
    if (kind == IMMEDIATE_WORD || kind == IMMEDIATE_ENTER)
        in->immediate &= 0xffff;
    if (kind == IMMEDIATE_ADDRESS && size < 8)
        in->immediate &= size == 4 ? 0xffffffff : 0xffff;
    if (kind == IMMEDIATE_ENTER)
        in->selector = (uint16_t)take(reader, 1);
    if (kind == IMMEDIATE_FAR)
        in->selector = (uint16_t)take(reader, 2);
    in->immediate_size = (uint8_t)(reader->at - in->immediate_at);
}

static const struct opcode *opcode_of(const struct instruction *in)
{
    static const struct opcode *const maps[] = {opcodes_primary, opcodes_0f, opcodes_0f38,
                                                opcodes_0f3a};
    static const struct opcode with_modrm = {CLASS_INVALID, 1, 0, SIZE_NONE, 0, 0, 0, 0};
    static const struct opcode with_byte = {
        CLASS_INVALID, 1, IMMEDIATE_BYTE, SIZE_NONE, 0, 0, 0, 0};
    static const struct opcode with_word = {
        CLASS_INVALID, 1, IMMEDIATE_OPERAND, SIZE_NONE, 0, 0, 0, 0};
    if (in->encoding == ENCODING_XOP) /* AMD APM 6: maps 8, 9 and A */
        return in->map == MAP_OTHER ? &with_byte : &with_word;
    if (in->map == MAP_OTHER)
        return &with_modrm;
    if (in->map == MAP_0F && in->opcode == 0x0f)
        return &with_byte; /* 3DNow!, whose opcode comes last */
    const struct opcode *opcode = &maps[in->map][in->opcode];
    if (opcode->class == CLASS_INVALID && !opcode->has_modrm && in->map >= MAP_0F38)
        return in->map == MAP_0F3A ? &with_byte : &with_modrm;
    if (in->encoding == ENCODING_EVEX && !opcode->has_modrm)
        return &with_modrm;
    return opcode;
}

static void set_operand_size(struct instruction *in, const struct opcode *opcode)
{
    bool toggled = in->has_operand_prefix;
    in->operand_size = (in->mode == 16) != toggled ? 2 : 4;
    if (in->mode != 64)
        return;
    if (in->rex_w)
        in->operand_size = 8;
    else if ((opcode->attributes & OPCODE_64) && !toggled)
        in->operand_size = 8;
    /* Near branches and what moves control registers have 64 bits, whatever the prefix. */
    if ((opcode->attributes & OPCODE_64) &&
        (opcode->class == CLASS_BRANCH || in->map != MAP_PRIMARY))
        in->operand_size = 8;
}

int instruction_decode(struct instruction *in, const uint8_t *code, size_t size, unsigned mode)
{
    *in = (struct instruction){.mode = (uint8_t)mode,
                               .address_size = mode == 64   ? 8
                                               : mode == 32 ? 4
                                                            : 2,
                               .segment = SEGMENT_DS,
                               .base = REGISTER_NONE,
                               .index = REGISTER_NONE};
    bool has_all = size > INSTRUCTION_LENGTH_MAX;
    struct reader reader = {in, code, has_all ? INSTRUCTION_LENGTH_MAX : size, 0, false};
    uint8_t rex = 0;
    take_prefixes(&reader, &rex);
    take_opcode(&reader, &rex);
    const struct opcode *opcode = opcode_of(in);
    in->class = opcode->class;
    in->access = opcode->access;
    in->flags = opcode->flags;
    in->byte_registers = opcode->attributes & OPCODE_BYTE;
    in->uses_vector = opcode->attributes & OPCODE_VECTOR;
    set_operand_size(in, opcode);
    if (opcode->has_modrm)
        take_modrm(&reader, rex, opcode->attributes & OPCODE_REGISTERS);
    decode_take_immediate(&reader, in->encoding == ENCODING_EVEX && in->map == MAP_0F3A
                                       ? IMMEDIATE_BYTE
                                       : opcode->immediate);
    decode_refine(&reader, opcode, rex);
    if (in->encoding == ENCODING_EVEX || in->encoding == ENCODING_XOP ||
        (mode == 64 && (opcode->attributes & OPCODE_NOT_64)) ||
        (in->has_lock && !decode_may_lock(in)))
        in->class = CLASS_INVALID;
    if (reader.is_short)
        return has_all || size == INSTRUCTION_LENGTH_MAX ? -1 : 0;
    in->length = (uint8_t)reader.at;
    return in->length;
}
