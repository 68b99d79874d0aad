/* Decoding: prefixes, opcode, ModRM, immediates; then what depends on more than the opcode. */
#include "translate/instruction.h"

#include <string.h>

#include "translate/opcodes.h"

struct reader {
    struct instruction *in;
    const uint8_t *code;
    size_t size, at;
    bool is_short; /* the bytes ended */
};

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

static void take_immediate(struct reader *reader, unsigned kind)
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

/* ---- What depends on more than the opcode ---- */

static void set_size(struct instruction *in, unsigned size)
{
    unsigned vector = in->vector_256 ? 32 : 16, prefix = in->prefix;
    bool is_mmx = prefix == 0 && in->encoding == ENCODING_LEGACY;
    unsigned number = in->opcode & 15;
    bool is_scalar = (number & 1) && number != 7;
    const uint16_t sizes[] = {
        [SIZE_1] = 1,
        [SIZE_2] = 2,
        [SIZE_4] = 4,
        [SIZE_8] = 8,
        [SIZE_10] = 10,
        [SIZE_16] = 16,
        [SIZE_32] = 32,
        [SIZE_512] = 512,
        [SIZE_OPERAND] = in->operand_size,
        [SIZE_WIDE] = in->rex_w ? 8 : 4,
        [SIZE_VECTOR] = (uint16_t)vector,
        [SIZE_MMX] = is_mmx ? 8 : (uint16_t)vector,
        [SIZE_MMX_HALF] = is_mmx ? 4 : (uint16_t)vector,
        [SIZE_MMX_FIXED] = is_mmx ? 8 : 16,
        [SIZE_SSE] = prefix == 0xf3   ? 4
                     : prefix == 0xf2 ? 8
                                      : (uint16_t)vector,
        [SIZE_HALF] = (uint16_t)(vector / 2),
        [SIZE_QUARTER] = (uint16_t)(vector / 4),
        [SIZE_EIGHTH] = (uint16_t)(vector / 8),
        [SIZE_FMA] = !is_scalar  ? (uint16_t)vector
                     : in->rex_w ? 8
                                 : 4,
        [SIZE_SPECIAL] = 0,
    };
    in->memory_size = sizes[size];
}

/* Intel SDM 2A, B.17 and 8.3: by opcode and the reg field, memory forms. */
static void fix_x87(struct instruction *in)
{
    static const struct {
        uint8_t size, access;
    } forms[8][8] = {
        [0] = {{4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}},
        [1] = {{4, 1}, {0, 0}, {4, 2}, {4, 2}, {28, 1}, {2, 1}, {28, 2}, {2, 2}},
        [2] = {{4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}},
        [3] = {{4, 1}, {4, 2}, {4, 2}, {4, 2}, {0, 0}, {10, 1}, {0, 0}, {10, 2}},
        [4] = {{8, 1}, {8, 1}, {8, 1}, {8, 1}, {8, 1}, {8, 1}, {8, 1}, {8, 1}},
        [5] = {{8, 1}, {8, 2}, {8, 2}, {8, 2}, {108, 1}, {0, 0}, {108, 2}, {2, 2}},
        [6] = {{2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}},
        [7] = {{2, 1}, {2, 2}, {2, 2}, {2, 2}, {10, 1}, {8, 1}, {10, 2}, {8, 2}},
    };
    unsigned group = in->opcode & 7, reg = in->modrm >> 3 & 7;
    if (in->has_memory) {
        in->memory_size = forms[group][reg].size;
        in->access = forms[group][reg].access;
        if (in->access == 0)
            in->class = CLASS_INVALID;
        if (in->memory_size >= 28 && in->operand_size == 2)
            in->memory_size -= 14;
        return;
    }
    in->access = ACCESS_NONE;
    if ((group == 2 || group == 3) && reg < 4)
        in->flags = FLAGS_READ; /* fcmov */
    if ((group == 3 || group == 7) && (reg == 5 || reg == 6))
        in->flags = FLAGS_WRITE; /* fcomi */
    if (group == 7 && in->modrm == 0xe0)
        in->registers |= 1 << REGISTER_RAX; /* fnstsw %ax */
}

static void fix_shift(struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    bool by_one = in->opcode == 0xd0 || in->opcode == 0xd1;
    bool by_constant = by_one || in->opcode == 0xc0 || in->opcode == 0xc1;
    unsigned mask = in->operand_size == 8 && !in->byte_registers ? 63 : 31;
    if (reg == 2 || reg == 3)
        in->flags |= FLAGS_READ; /* rcl, rcr */
    if (reg >= 4 && by_constant && (by_one || (in->immediate & mask) != 0))
        in->flags = FLAGS_KILL;
}

/* F6 and F7: test, not, neg, mul, imul, div, idiv. */
static void fix_unary(struct reader *reader)
{
    struct instruction *in = reader->in;
    unsigned reg = in->modrm >> 3 & 7;
    if (reg <= 1) {
        take_immediate(reader, in->opcode == 0xf6 ? IMMEDIATE_BYTE : IMMEDIATE_OPERAND);
        in->access = ACCESS_READ;
        in->flags = FLAGS_KILL;
    } else if (reg == 3) {
        in->flags = FLAGS_KILL;
    } else if (reg >= 4) {
        in->access = ACCESS_READ;
        in->flags = FLAGS_WRITE;
        in->registers |= 1 << REGISTER_RAX | 1 << REGISTER_RDX;
    }
}

/* FF: inc, dec, call, far call, jmp, far jmp, push. */
static void fix_ff(struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    if (reg < 2)
        return;
    in->access = ACCESS_READ;
    in->flags = 0;
    in->class = reg == 6 ? CLASS_STACK : CLASS_BRANCH;
    if (reg == 2 || reg == 6)
        in->registers |= 1 << REGISTER_RSP;
    if (reg == 3 || reg == 5) {
        in->class = in->has_memory ? CLASS_RUNTIME : CLASS_INVALID;
        in->memory_size = in->operand_size + 2;
    } else if (in->mode == 64) {
        in->operand_size = in->memory_size = in->operand_size == 2 && reg == 6 ? 2 : 8;
    }
    if (reg == 7)
        in->class = CLASS_INVALID;
}

/* 0F AE: state of x87 and vectors, fences, bases of FS and GS. */
static void fix_0fae(struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    in->uses_vector = reg < 4 && in->has_memory;
    in->registers &= (uint16_t) ~(1 << REGISTER_RAX | 1 << REGISTER_RDX);
    if (!in->has_memory) {
        if (in->prefix == 0xf3 && reg < 4)
            in->class = CLASS_RUNTIME;
        else if (in->prefix != 0 || reg < 5)
            in->class = CLASS_INVALID;
        in->access = ACCESS_NONE;
        return;
    }
    switch (reg) {
    case 0:
    case 1:
        in->memory_size = 512;
        in->access = reg == 0 ? ACCESS_WRITE : ACCESS_READ;
        break;
    case 2:
    case 3:
        in->memory_size = 4;
        in->access = reg == 2 ? ACCESS_READ : ACCESS_WRITE;
        break;
    case 7: /* clflush, clflushopt */
        in->class = CLASS_RUNTIME;
        in->memory_size = 1;
        break;
    default:
        in->class = reg == 6 && in->prefix == 0x66 ? CLASS_RUNTIME : CLASS_RUNTIME;
        in->memory_size = 1;
    }
}

/* 0F C7: cmpxchg8b, xsaves and the like, random numbers, rdpid. */
static void fix_0fc7(struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    if (in->has_memory && reg == 1) {
        in->memory_size = in->rex_w ? 16 : 8;
        return;
    }
    in->registers &=
        (uint16_t) ~(1 << REGISTER_RAX | 1 << REGISTER_RBX | 1 << REGISTER_RCX | 1 << REGISTER_RDX);
    in->access = ACCESS_NONE;
    if (in->has_memory)
        in->class = reg >= 3 && reg <= 5 ? CLASS_RUNTIME : CLASS_INVALID;
    else if (in->prefix == 0xf3 && reg == 7)
        in->class = CLASS_RUNTIME;
    else if (reg < 6)
        in->class = CLASS_INVALID;
    else
        in->registers |= (uint16_t)(1 << in->rm);
}

static void fix_0f(struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7, vector = in->vector_256 ? 32 : 16;
    bool is_scalar = in->prefix == 0xf3 || in->prefix == 0xf2;
    switch (in->opcode) {
    case 0x12:
    case 0x16:
        in->memory_size = in->prefix == 0xf3                     ? (uint16_t)vector
                          : in->prefix == 0xf2 && in->vector_256 ? 32
                                                                 : 8;
        break;
    case 0x2a:
        in->memory_size = is_scalar ? (in->rex_w ? 8 : 4) : 8;
        break;
    case 0x2c:
    case 0x2d:
        in->memory_size = in->prefix == 0xf3 ? 4 : in->prefix == 0x66 ? 16 : 8;
        break;
    case 0x2e:
    case 0x2f:
        in->memory_size = in->prefix == 0x66 ? 8 : 4;
        break;
    case 0x5a:
        in->memory_size = in->prefix == 0xf3   ? 4
                          : in->prefix == 0xf2 ? 8
                          : in->prefix == 0x66 ? (uint16_t)vector
                                               : (uint16_t)(vector / 2);
        break;
    case 0xe6:
        in->memory_size = in->prefix == 0xf3 ? (uint16_t)(vector / 2) : (uint16_t)vector;
        break;
    case 0x7e:
        in->memory_size = in->prefix == 0xf3 || in->rex_w ? 8 : 4;
        if (in->prefix == 0xf3)
            in->access = ACCESS_READ;
        break;
    case 0x01:
        in->memory_size = reg == 4 || reg == 6 ? 2 : 10;
        break;
    case 0xae:
        fix_0fae(in);
        break;
    case 0xba:
        if (reg < 4)
            in->class = CLASS_INVALID;
        if (reg == 4)
            in->access = ACCESS_READ;
        break;
    case 0xb2:
    case 0xb4:
    case 0xb5:
        in->memory_size = in->operand_size + 2;
        break;
    case 0xb8:
        if (in->prefix != 0xf3)
            in->class = CLASS_INVALID;
        break;
    case 0xc7:
        fix_0fc7(in);
        break;
    case 0xf0:
        if (!in->has_memory)
            in->class = CLASS_INVALID;
        break;
    }
}

/* movbe, crc32: by prefix. */
static void fix_0f38(struct instruction *in)
{
    if (in->encoding != ENCODING_LEGACY || (in->opcode != 0xf0 && in->opcode != 0xf1))
        return;
    bool is_crc = in->has_repeat_not;
    in->memory_size = is_crc && in->opcode == 0xf0 ? 1 : in->operand_size;
    in->byte_registers = is_crc && in->opcode == 0xf0;
    if (is_crc)
        in->access = ACCESS_READ;
    else if (!in->has_memory)
        in->class = CLASS_INVALID;
}

static void fix_primary(struct reader *reader)
{
    struct instruction *in = reader->in;
    unsigned reg = in->modrm >> 3 & 7;
    switch (in->opcode) {
    case 0x63:
        if (in->mode != 64) { /* arpl */
            in->class = CLASS_RUNTIME;
            in->memory_size = 2;
        }
        break;
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83:
        if (reg == 2 || reg == 3)
            in->flags |= FLAGS_READ; /* adc, sbb */
        if (reg == 7)
            in->access = ACCESS_READ; /* cmp */
        break;
    case 0x8d:
        if (!in->has_memory)
            in->class = CLASS_INVALID;
        break;
    case 0x90:
        if (!in->has_rex || (in->rm & 8) == 0)
            in->class = in->has_repeat ? CLASS_RUNTIME : CLASS_NOP; /* pause */
        break;
    case 0x8f:
    case 0xc6:
    case 0xc7:
        if (reg != 0)
            in->class = CLASS_INVALID;
        break;
    case 0xc0:
    case 0xc1:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        fix_shift(in);
        break;
    case 0xc4:
    case 0xc5:
        in->memory_size = in->operand_size + 2;
        break;
    case 0xf6:
    case 0xf7:
        fix_unary(reader);
        break;
    case 0xfe:
        if (reg > 1)
            in->class = CLASS_INVALID;
        break;
    case 0xff:
        fix_ff(in);
        break;
    default:
        if (in->opcode >= 0xd8 && in->opcode <= 0xdf)
            fix_x87(in);
    }
}

static uint16_t register_bit(const struct instruction *in, unsigned number)
{
    if (in->byte_registers && !in->has_rex && number >= 4 && number < 8)
        return (uint16_t)(1 << number | 1 << (number - 4));
    return number < REGISTER_COUNT ? (uint16_t)(1 << number) : 0;
}

static void collect_registers(struct instruction *in, const struct opcode *opcode, uint8_t rex)
{
    in->registers |= opcode->implicit;
    if (in->has_modrm) {
        in->registers |= register_bit(in, in->reg);
        if (!in->has_memory)
            in->registers |= register_bit(in, in->rm);
    }
    if (in->base < REGISTER_COUNT)
        in->registers |= (uint16_t)(1 << in->base);
    if (in->index < REGISTER_COUNT)
        in->registers |= (uint16_t)(1 << in->index);
    if (opcode->attributes & OPCODE_EMBEDDED) {
        in->rm = (uint8_t)((in->opcode & 7) | (rex & 1) << 3);
        in->registers |= register_bit(in, in->rm);
    }
    if (in->encoding == ENCODING_VEX)
        in->registers |= (uint16_t)(1 << in->vvvv);
}

/* What VEX encodes is another set of instructions, with the same numbers for most. It has its own
 * form of the prefixes that select an opcode, and takes no others of these. */
static void fix_vex(struct instruction *in)
{
    if (in->has_rex || in->has_operand_prefix || in->has_repeat || in->has_repeat_not)
        in->class = CLASS_INVALID;
    if (in->map == MAP_0F && in->opcode == 0xae) { /* vldmxcsr, vstmxcsr */
        if (!in->has_memory || (in->modrm >> 4 & 3) != 1)
            in->class = CLASS_INVALID;
    } else if (in->map == MAP_0F &&
               (in->opcode < 0x10 || (in->opcode >= 0x18 && in->opcode < 0x28) ||
                (in->opcode >= 0x30 && in->opcode < 0x50) ||
                (in->opcode >= 0x80 && in->opcode < 0xc2) || in->opcode == 0xc3 ||
                in->opcode == 0xc7 || (in->opcode >= 0xc8 && in->opcode < 0xd0))) {
        in->class = CLASS_INVALID;
    }
    if (in->map == MAP_0F38 && in->opcode >= 0xf2 && in->opcode <= 0xf7)
        in->memory_size = in->rex_w ? 8 : 4;
    if (in->map == MAP_0F38 && in->opcode == 0xf6)
        in->registers |= 1 << REGISTER_RDX; /* mulx */
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

/* LOCK is for reading and writing memory by a few instructions. */
static bool may_be_locked(const struct instruction *in)
{
    return in->has_memory && in->access == (ACCESS_READ | ACCESS_WRITE) &&
           in->class == CLASS_PLAIN && in->encoding == ENCODING_LEGACY;
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
    take_immediate(&reader, in->encoding == ENCODING_EVEX && in->map == MAP_0F3A
                                ? IMMEDIATE_BYTE
                                : opcode->immediate);
    set_size(in, opcode->size);
    collect_registers(in, opcode, rex);
    if (in->map == MAP_PRIMARY && in->encoding == ENCODING_LEGACY)
        fix_primary(&reader);
    if (in->map == MAP_0F)
        fix_0f(in);
    if (in->map == MAP_0F38)
        fix_0f38(in);
    if (in->encoding == ENCODING_VEX)
        fix_vex(in);
    if (in->encoding == ENCODING_EVEX || in->encoding == ENCODING_XOP ||
        (mode == 64 && (opcode->attributes & OPCODE_NOT_64)) ||
        (in->has_lock && !may_be_locked(in)))
        in->class = CLASS_INVALID;
    if (reader.is_short)
        return has_all || size == INSTRUCTION_LENGTH_MAX ? -1 : 0;
    in->length = (uint8_t)reader.at;
    return in->length;
}
