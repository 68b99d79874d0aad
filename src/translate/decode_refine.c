/* What depends on more than the opcode: ModRM's reg field, prefixes, VEX. */
#include "translate/decode.h"

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
        decode_take_immediate(reader, in->opcode == 0xf6 ? IMMEDIATE_BYTE : IMMEDIATE_OPERAND);
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
    default: /* xsave, xrstor; clflush, clflushopt */
        in->class = CLASS_RUNTIME;
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

void decode_refine(struct reader *reader, const struct opcode *opcode, uint8_t rex)
{
    struct instruction *in = reader->in;
    set_size(in, opcode->size);
    collect_registers(in, opcode, rex);
    if (in->map == MAP_PRIMARY && in->encoding == ENCODING_LEGACY)
        fix_primary(reader);
    if (in->map == MAP_0F)
        fix_0f(in);
    if (in->map == MAP_0F38)
        fix_0f38(in);
    if (in->encoding == ENCODING_VEX)
        fix_vex(in);
}

/* LOCK is for reading and writing memory by a few instructions. */
bool decode_may_lock(const struct instruction *in)
{
    return in->has_memory && in->access == (ACCESS_READ | ACCESS_WRITE) &&
           in->class == CLASS_PLAIN && in->encoding == ENCODING_LEGACY;
}
