/* How blocks end: jumps within the page, that are linked to their target's block once both exist;
 * jumps through the processor's table, for targets in other pages and those known only when they
 * come; and leaving, for what the runtime must do. */
#include "translate/builder.h"

uint32_t builder_add_site(struct builder *builder, struct site site)
{
    uint32_t index = builder->cache->site_count++;
    site.block = (uint32_t)(builder->block - builder->cache->blocks);
    site.guest_offset = builder->guest_offsets[builder->current];
    builder->cache->sites[index] = site;
    builder->block->site_count++;
    return index;
}

void builder_emit_leave(struct builder *builder, struct site site)
{
    struct emitter *out = &builder->out;
    emit_state_set(out, STATE(site), builder_add_site(builder, site));
    emit_set_target(out, emit_jump(out), builder->cache->write + builder->cache->leave);
}

/* The guest's values back into the scratch registers. */
void builder_emit_unspill(struct builder *builder)
{
    for (unsigned i = 0; i < SPILLED_MAX; i++) {
        if (builder->needs >> i & 1)
            emit_state(&builder->out, OP_LOAD, builder->scratch[i], STATE(spilled) + 8 * (int32_t)i,
                       true);
    }
}

/* To the address in the address register. The target's block makes sure that it is the right one;
 * the flags go there in the state, since that takes a comparison. */
static void emit_indirect(struct builder *builder)
{
    struct emitter *out = &builder->out;
    unsigned target = builder->scratch[SCRATCH_ADDRESS], index = builder->scratch[SCRATCH_INDEX];
    int32_t jumps = builder->request->mode & MODE_USER ? STATE(jumps[VIEW_USER]) : STATE(jumps);
    builder_save_flags(builder);
    builder->flags_saved = false;
    emit_state_flags(out, builder->scratch[SCRATCH_FLAGS]);
    emit_state(out, OP_STORE, target, STATE(rip), true);
    emit_jump_index(out, index, target);
    emit_state_array(out, OP_LOAD, index, index, jumps);
    emit_state(out, OP_STORE, index, STATE(jump_target), true);
    builder_emit_unspill(builder);
    emit_jump_state(out, STATE(jump_target));
}

void builder_emit_edge(struct builder *builder, uint64_t target)
{
    struct emitter *out = &builder->out;
    struct cache *cache = builder->cache;
    if (builder->mode == 32)
        target = (uint32_t)target;
    if ((target ^ builder->request->rip) >> GUEST_PAGE_BITS != 0 ||
        builder->request->physical_next != PHYSICAL_NONE) {
        emit_load_constant(out, builder->scratch[SCRATCH_ADDRESS], target);
        emit_indirect(builder);
        return;
    }
    builder_restore_flags(builder);
    builder_emit_unspill(builder);
    while ((uintptr_t)(out->at + 1) % 4 != 0) /* so that another processor sees one distance */
        emit_8(out, 0x90);
    uint8_t *jump = emit_jump(out);
    uint8_t *stub = out->at;
    emit_set_target(out, jump, stub);
    builder_emit_leave(builder, (struct site){.kind = SITE_EDGE,
                                              .first = (uint32_t)(jump - cache->write),
                                              .second = (uint32_t)(stub - cache->write),
                                              .rip = target});
}

void builder_emit_instruction_exit(struct builder *builder, const struct instruction *in)
{
    struct cache *cache = builder->cache;
    builder_restore_flags(builder);
    builder_emit_unspill(builder);
    cache->instructions[cache->instruction_count] = *in;
    builder_emit_leave(
        builder, (struct site){.kind = SITE_INSTRUCTION, .first = cache->instruction_count++});
}

/* Operands of jmp and call are kept to the guest's size of an instruction pointer. */
static void emit_target(struct builder *builder, const struct instruction *in, unsigned to)
{
    if (!in->has_memory) {
        emit_registers(&builder->out, OP_LOAD, to, in->rm, builder->mode == 64);
        return;
    }
    struct address address = builder_address(builder, in);
    struct operation load = {
        .kind = OPERATION_LOAD, .reg = to, .size = builder_stack_size(builder)};
    builder_access(builder, &address, ACCESS_READ, load.size, &load);
}

static void emit_push_return(struct builder *builder)
{
    struct operation push = {.kind = OPERATION_CONSTANT, .constant = builder->next_rip};
    builder_emit_push(builder, push, builder_stack_size(builder));
}

static void emit_to_value(struct builder *builder)
{
    emit_registers(&builder->out, OP_STORE, builder->scratch[SCRATCH_VALUE],
                   builder->scratch[SCRATCH_ADDRESS], true);
    emit_indirect(builder);
}

static void emit_return(struct builder *builder, const struct instruction *in)
{
    unsigned size = builder_stack_size(builder);
    struct address address = {
        .base = REGISTER_RSP, .index = REGISTER_NONE, .segment = SEGMENT_SS, .size = (uint8_t)size};
    struct operation load = {
        .kind = OPERATION_LOAD, .reg = builder->scratch[SCRATCH_VALUE], .size = size};
    builder_access(builder, &address, ACCESS_READ, size, &load);
    emit_lea(&builder->out, REGISTER_RSP, REGISTER_RSP, REGISTER_NONE, 0,
             (int32_t)size + (in->opcode == 0xc2 ? (int32_t)in->immediate : 0), size == 8);
    emit_to_value(builder);
}

/* loop, loope, loopne, jrcxz: jumps of a byte, around the one that is taken. */
static void emit_loop(struct builder *builder, const struct instruction *in, uint64_t target)
{
    struct emitter *out = &builder->out;
    static const uint8_t take_other[] = {0xeb, 5}; /* jmp over the jump that is taken */
    bool is_wide = in->address_size == 8;
    builder_restore_flags(builder);
    if (in->opcode != 0xe3)
        emit_lea(out, REGISTER_RCX, REGISTER_RCX, REGISTER_NONE, 0, -1, is_wide);
    unsigned condition = in->opcode == 0xe0 ? 0x74 : 0x75;
    if (!is_wide)
        emit_8(out, 0x67);
    if (in->opcode == 0xe3) {
        emit_8(out, 0xe3);
        emit_8(out, sizeof take_other);
        emit_bytes(out, take_other, sizeof take_other);
    } else {
        bool has_condition = in->opcode != 0xe2;
        emit_8(out, 0xe3);
        emit_8(out, has_condition ? 7 : 5);
        if (has_condition) {
            emit_8(out, condition);
            emit_8(out, 5);
        }
    }
    uint8_t *taken = emit_jump(out);
    builder_emit_edge(builder, builder->next_rip);
    emit_set_target(out, taken, out->at);
    builder_emit_edge(builder, target);
}

static void emit_conditional(struct builder *builder, const struct instruction *in, uint64_t target)
{
    struct emitter *out = &builder->out;
    builder_restore_flags(builder);
    uint8_t *taken = emit_jump_if(out, in->opcode & 15);
    builder_emit_edge(builder, builder->next_rip);
    emit_set_target(out, taken, out->at);
    builder_emit_edge(builder, target);
}

void builder_emit_branch(struct builder *builder, const struct instruction *in)
{
    uint64_t target = builder->next_rip + (uint64_t)in->immediate;
    if (in->map == MAP_0F || (in->opcode & 0xf0) == 0x70) {
        emit_conditional(builder, in, target);
        return;
    }
    switch (in->opcode) {
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
        emit_loop(builder, in, target);
        break;
    case 0xc2:
    case 0xc3:
        emit_return(builder, in);
        break;
    case 0xe8:
        emit_push_return(builder);
        builder_emit_edge(builder, target);
        break;
    case 0xff:
        if ((in->modrm >> 3 & 7) == 4) {
            emit_target(builder, in, builder->scratch[SCRATCH_ADDRESS]);
            emit_indirect(builder);
        } else {
            emit_target(builder, in, builder->scratch[SCRATCH_VALUE]);
            emit_push_return(builder);
            emit_to_value(builder);
        }
        break;
    default: /* jmp */
        builder_emit_edge(builder, target);
    }
}
