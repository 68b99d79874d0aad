/* Planning a block: which instructions it has, where the flags must survive, and which registers
 * are free to work with. */
#include "translate/builder.h"

#define NEEDED_SCRATCH SPILLED_MAX

bool builder_is_last(const struct instruction *in, uint32_t mode)
{
    if (builder_is_swapgs(in, mode))
        return false;
    return in->class == CLASS_BRANCH || in->class == CLASS_RUNTIME || in->class == CLASS_STRING ||
           in->class == CLASS_INVALID;
}

/* Registers to work with, the best first. Pointers must not be RSP, RBP, R12 or R13, whose
 * encoding as a base is another; the address is best one that needs no REX prefix, since an
 * instruction with AH, BH, CH or DH can't have one. */
static bool choose(uint16_t used, bool needs_legacy, uint8_t scratch[SPILLED_MAX])
{
    static const uint8_t pointers[] = {3, 6, 7, 1, 2, 8, 9, 10, 11, 14, 15, 0};
    static const uint8_t others[] = {0, 13, 12, 5, 15, 14, 11, 10, 9, 8, 2, 1, 7, 6, 3};
    unsigned found = 0;
    for (unsigned i = 0; i < sizeof pointers && found < 2; i++) {
        if (!(used >> pointers[i] & 1)) {
            scratch[found++] = pointers[i];
            used |= (uint16_t)(1 << pointers[i]);
        }
    }
    if (found < 2 || (needs_legacy && scratch[SCRATCH_ADDRESS] >= 8))
        return false;
    /* RAX is best for the flags. */
    static const uint8_t order[] = {SCRATCH_FLAGS, SCRATCH_VALUE};
    for (unsigned i = 0; i < sizeof others && found < NEEDED_SCRATCH; i++) {
        if (!(used >> others[i] & 1)) {
            scratch[order[found++ - 2]] = others[i];
            used |= (uint16_t)(1 << others[i]);
        }
    }
    return found == NEEDED_SCRATCH;
}

/* An instruction whose operand is AH, BH, CH or DH beside memory. */
static bool uses_high_byte(const struct instruction *in)
{
    return in->byte_registers && in->has_memory && !in->has_rex && (in->reg & 4) &&
           in->encoding == ENCODING_LEGACY;
}

static bool is_in_page(const struct builder *builder, uint64_t target)
{
    return (target ^ builder->request->rip) >> GUEST_PAGE_BITS == 0;
}

#define POINTERS (1 << SCRATCH_ADDRESS | 1 << SCRATCH_INDEX)
#define VALUE (1 << SCRATCH_VALUE)
#define FLAGS (1 << SCRATCH_FLAGS)

/* For an indirect jump: it takes the flags along. */
#define INDIRECT (POINTERS | FLAGS)

static uint8_t needs_of_branch(const struct builder *builder, const struct instruction *in,
                               uint64_t next_rip)
{
    bool is_group = in->map == MAP_PRIMARY && in->opcode == 0xff;
    if (in->map == MAP_PRIMARY && (in->opcode == 0xc2 || in->opcode == 0xc3))
        return INDIRECT | VALUE;
    if (is_group)
        return INDIRECT | ((in->modrm >> 3 & 7) == 2 ? VALUE : 0);
    uint8_t needs = in->map == MAP_PRIMARY && in->opcode == 0xe8 ? POINTERS | FLAGS : 0;
    bool is_near =
        is_in_page(builder, next_rip) && is_in_page(builder, next_rip + (uint64_t)in->immediate);
    return is_near ? needs : needs | INDIRECT;
}

/* The scratch registers that an instruction's translation uses, a bit for each. */
static uint8_t needs_of(const struct builder *builder, unsigned i)
{
    const struct instruction *in = &builder->instructions[i];
    uint8_t flags = builder->flags_live[i] ? FLAGS : 0;
    if (builder_is_swapgs(in, builder->request->mode))
        return POINTERS;
    switch (in->class) {
    case CLASS_PLAIN:
        if (in->access == ACCESS_NONE || (!in->has_memory && !builder_is_absolute(in)))
            return 0;
        return POINTERS | flags | (builder_is_bit_offset(in) ? VALUE : 0);
    case CLASS_STACK:
        return POINTERS | flags | VALUE;
    case CLASS_BRANCH:
        return needs_of_branch(builder, in, builder->request->rip + builder->guest_offsets[i + 1]);
    default:
        return 0;
    }
}

static void find_live_flags(struct builder *builder)
{
    bool live = true;
    for (unsigned i = builder->count; i-- > 0;) {
        const struct instruction *in = &builder->instructions[i];
        bool is_copied = in->class == CLASS_PLAIN || in->class == CLASS_NOP ||
                         in->class == CLASS_STACK || builder_is_swapgs(in, builder->request->mode);
        if (!is_copied || (in->flags & FLAGS_READ))
            live = true;
        else if (in->flags & FLAGS_KILL)
            live = false;
        builder->flags_live[i] = live;
    }
}

bool builder_plan(struct builder *builder)
{
    const struct translate_request *request = builder->request;
    unsigned most = request->instructions ? request->instructions : BLOCK_INSTRUCTIONS_MAX;
    uint16_t used = 1 << REGISTER_RSP;
    bool needs_legacy = false;
    size_t offset = 0;
    while (builder->count < most && builder->count < BLOCK_INSTRUCTIONS_MAX) {
        struct instruction *in = &builder->instructions[builder->count];
        uint8_t scratch[SPILLED_MAX];
        int length =
            instruction_decode(in, request->code + offset, request->size - offset, builder->mode);
        if (length == 0 || (length < 0 && builder->count > 0))
            break;
        if (length < 0) { /* #GP, which the runtime finds out */
            in->class = CLASS_RUNTIME;
            in->length = INSTRUCTION_LENGTH_MAX;
        }
        if (in->uses_vector && (request->mode & MODE_NO_VECTOR))
            in->class = CLASS_RUNTIME;
        bool legacy = needs_legacy || uses_high_byte(in);
        if (!choose(used | in->registers, legacy, scratch))
            break;
        used |= in->registers;
        needs_legacy = legacy;
        builder->guest_offsets[builder->count++] = (uint16_t)offset;
        offset += in->length;
        /* One that crosses into the next page is alone in its block. */
        if (builder_is_last(in, request->mode) || request->physical_next != PHYSICAL_NONE)
            break;
    }
    builder->guest_offsets[builder->count] = (uint16_t)offset;
    if (builder->count == 0)
        return false;
    choose(used, needs_legacy, builder->scratch);
    find_live_flags(builder);
    for (unsigned i = 0; i < builder->count; i++)
        builder->needs |= needs_of(builder, i);
    /* Where it goes on behind a block that just ends. */
    if (!is_in_page(builder, request->rip + offset) || request->physical_next != PHYSICAL_NONE)
        builder->needs |= INDIRECT;
    return true;
}
