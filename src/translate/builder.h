/* A block that is being translated. */
#ifndef HULL_TRANSLATE_BUILDER_H
#define HULL_TRANSLATE_BUILDER_H

#include "translate/translate.h"

/* Scratch registers: ones that no instruction of the block uses. Their guest's values are in
 * guest_state.spilled from the block's begin to its end. */
enum scratch { SCRATCH_ADDRESS, SCRATCH_INDEX, SCRATCH_VALUE, SCRATCH_FLAGS };

/* The address of a memory operand: base + index << scale + displacement + the segment's base. */
struct address {
    uint8_t base, index, scale;
    uint8_t segment;
    uint8_t size;         /* in bytes, of the address */
    int64_t displacement; /* of 64 bits only without base and index */
};

/* What is done with a memory operand once its host address is in the address register. */
enum operation_kind {
    OPERATION_INSTRUCTION, /* the guest's instruction, with its operand there */
    OPERATION_BIT,         /* the same, for a bit offset in a register: taken modulo the size */
    OPERATION_LOAD,        /* to a register, zero-extended to 64 bits from 4; 2 merge */
    OPERATION_STORE,       /* from a register */
    OPERATION_CONSTANT,    /* store a constant */
};
struct operation {
    enum operation_kind kind;
    unsigned reg, size;
    uint64_t constant;
    const struct instruction *in;
    bool restores_flags, keeps_flags;
};

struct cold { /* the code behind a block for one of its accesses */
    struct operation operation;
    uint8_t *miss, *after; /* the jump here, and where to go on */
    uint32_t site;
    int32_t tag; /* the offset of the TLB's tag */
};

#define BUILDER_COLD_MAX (3 * BLOCK_INSTRUCTIONS_MAX)

struct builder {
    struct cache *cache;
    const struct translate_request *request;
    struct block *block;
    struct emitter out;
    uint64_t rip; /* of the instruction at hand */
    uint64_t next_rip;
    unsigned mode; /* 32 or 64 */

    struct instruction instructions[BLOCK_INSTRUCTIONS_MAX];
    uint16_t guest_offsets[BLOCK_INSTRUCTIONS_MAX + 1];
    bool flags_live[BLOCK_INSTRUCTIONS_MAX]; /* before it */
    unsigned count;

    uint8_t scratch[SPILLED_MAX]; /* the registers' numbers */
    uint8_t needs;                /* a bit for each scratch register that is used */
    bool flags_saved;             /* they are in the scratch register, and not in the processor's */
    unsigned current;             /* the instruction at hand */

    struct cold cold[BUILDER_COLD_MAX];
    unsigned cold_count;
};

/* plan.c: which instructions, their flags, scratch registers. False: not even one. */
bool builder_plan(struct builder *builder);
/* Whether the instruction ends a block. */
bool builder_is_last(const struct instruction *in, uint32_t mode);

/* access.c */
void builder_save_flags(struct builder *builder);
void builder_restore_flags(struct builder *builder);
void builder_access(struct builder *builder, const struct address *address, uint8_t access,
                    unsigned size, const struct operation *operation);
struct address builder_address(const struct builder *builder, const struct instruction *in);
void builder_emit_cold(struct builder *builder);

/* encode.c: the instruction as it is, or with its memory operand at a register. */
void builder_emit_at(struct emitter *out, const struct instruction *in, unsigned base,
                     unsigned reg);
void builder_emit_plain(struct builder *builder, const struct instruction *in);

/* branch.c */
void builder_emit_edge(struct builder *builder, uint64_t target);
void builder_emit_branch(struct builder *builder, const struct instruction *in);
void builder_emit_instruction_exit(struct builder *builder, const struct instruction *in);
void builder_emit_leave(struct builder *builder, struct site site);
uint32_t builder_add_site(struct builder *builder, struct site site);
void builder_emit_unspill(struct builder *builder);

/* stack.c */
void builder_emit_stack(struct builder *builder, const struct instruction *in);
void builder_emit_push(struct builder *builder, struct operation operation, unsigned size);

/* mov between RAX and an address that is part of the instruction. */
static inline bool builder_is_absolute(const struct instruction *in)
{
    return in->map == MAP_PRIMARY && (in->opcode & 0xfc) == 0xa0;
}

/* bt and its kin with a bit offset in a register, that may lead out of the operand. */
static inline bool builder_is_bit_offset(const struct instruction *in)
{
    return in->map == MAP_0F &&
           (in->opcode == 0xa3 || in->opcode == 0xab || in->opcode == 0xb3 || in->opcode == 0xbb);
}

/* swapgs where it is no exception: the one instruction of the system's that has to be fast. */
static inline bool builder_is_swapgs(const struct instruction *in, uint32_t mode)
{
    return in->map == MAP_0F && in->opcode == 0x01 && in->modrm == 0xf8 &&
           in->encoding == ENCODING_LEGACY && in->class == CLASS_RUNTIME &&
           (mode & (MODE_64 | MODE_USER)) == MODE_64;
}

static inline unsigned builder_stack_size(const struct builder *builder)
{
    return builder->mode == 64 ? 8 : 4;
}

#endif
