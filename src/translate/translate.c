#include "translate/translate.h"

#include "translate/builder.h"

/* The entry of indirect jumps: they may have meant another address with the same place in the
 * table. */
static void emit_entry(struct builder *builder)
{
    struct emitter *out = &builder->out;
    uint64_t rip = builder->request->rip;
    bool is_short = (int64_t)rip == (int32_t)rip;
    const uint8_t *lookup = builder->cache->write + builder->cache->lookup;
    emit_state_compare(out, STATE(rip), (uint32_t)rip, is_short);
    emit_set_target(out, emit_jump_if(out, CONDITION_NOT_EQUAL), lookup);
    if (!is_short) {
        emit_state_compare(out, STATE(rip) + 4, (uint32_t)(rip >> 32), false);
        emit_set_target(out, emit_jump_if(out, CONDITION_NOT_EQUAL), lookup);
    }
    if (!builder->flags_live[0])
        return;
    emit_state(out, OP_STORE, REGISTER_RAX, STATE(saved_rax), true);
    emit_flags_from_state(out);
    emit_state(out, OP_LOAD, REGISTER_RAX, STATE(saved_rax), true);
}

static void emit_spill(struct builder *builder)
{
    for (unsigned i = 0; i < SPILLED_MAX; i++) {
        if (builder->needs >> i & 1)
            emit_state(&builder->out, OP_STORE, builder->scratch[i],
                       STATE(spilled) + 8 * (int32_t)i, true);
    }
}

static void emit_plain(struct builder *builder, const struct instruction *in)
{
    if (in->access == ACCESS_NONE || (!in->has_memory && !builder_is_absolute(in))) {
        if (in->flags & (FLAGS_READ | FLAGS_WRITE))
            builder_restore_flags(builder);
        else if (in->flags & FLAGS_KILL)
            builder->flags_saved = false;
        builder_emit_plain(builder, in);
        return;
    }
    struct address address = builder_address(builder, in);
    struct operation operation = {.kind = builder_is_bit_offset(in) ? OPERATION_BIT
                                                                    : OPERATION_INSTRUCTION,
                                  .size = in->operand_size,
                                  .in = in};
    builder_access(builder, &address, in->access, in->memory_size, &operation);
}

static void emit_swapgs(struct builder *builder)
{
    const int32_t places[] = {STATE(segment_bases) + 8 * SEGMENT_GS, STATE(kernel_gs_base)};
    for (unsigned i = 0; i < 2; i++)
        emit_state(&builder->out, OP_LOAD, builder->scratch[i], places[i], true);
    for (unsigned i = 0; i < 2; i++)
        emit_state(&builder->out, OP_STORE, builder->scratch[i], places[1 - i], true);
}

static void emit_instruction(struct builder *builder, const struct instruction *in)
{
    if (builder_is_swapgs(in, builder->request->mode)) {
        emit_swapgs(builder);
        return;
    }
    switch (in->class) {
    case CLASS_PLAIN:
        emit_plain(builder, in);
        break;
    case CLASS_NOP:
        break;
    case CLASS_STACK:
        builder_emit_stack(builder, in);
        break;
    case CLASS_BRANCH:
        builder_emit_branch(builder, in);
        break;
    default:
        builder_emit_instruction_exit(builder, in);
    }
}

static void emit_body(struct builder *builder)
{
    struct block *block = builder->block;
    struct cache *cache = builder->cache;
    for (unsigned i = 0; i < builder->count; i++) {
        builder->current = i;
        builder->rip = builder->request->rip + builder->guest_offsets[i];
        builder->next_rip = builder->request->rip + builder->guest_offsets[i + 1];
        uint32_t host = (uint32_t)(builder->out.at - cache->write);
        emit_instruction(builder, &builder->instructions[i]);
        cache->places[cache->place_count++] = (struct block_place){
            .host_offset = (uint16_t)(host - block->host),
            .guest_offset = builder->guest_offsets[i],
            /* An instruction that faults does so after its flags were restored, if it has any. */
            .has_saved_flags = builder->flags_saved};
    }
    block->place_count = builder->count;
    if (!builder_is_last(&builder->instructions[builder->count - 1], builder->request->mode)) {
        builder->current = builder->count; /* what comes next */
        builder_emit_edge(builder, builder->next_rip);
    }
}

struct block *translate_block(struct cache *cache, const struct translate_request *request)
{
    static _Thread_local struct builder builders;
    cache_make_room(cache);
    struct block *block = &cache->blocks[cache->block_count];
    struct builder *builder = &builders;
    *builder = (struct builder){.cache = cache,
                                .request = request,
                                .block = block,
                                .mode = request->mode & MODE_64 ? 64 : 32,
                                .out = {cache->write + cache->used, cache->write + cache->size}};
    if (!builder_plan(builder))
        return NULL;
    *block = (struct block){.rip = request->rip,
                            .physical = request->physical,
                            .physical_next = request->physical_next,
                            .mode = request->mode,
                            .host = (uint32_t)cache->used,
                            .guest_size = builder->guest_offsets[builder->count],
                            .spilled = builder->needs,
                            .first_site = cache->site_count,
                            .first_place = cache->place_count,
                            .incoming = INDEX_NONE};
    __builtin_memcpy(block->scratch, builder->scratch, sizeof block->scratch);
    block->check = cache_check_code(request->code, block->guest_size);
    emit_entry(builder);
    block->entry = (uint32_t)(builder->out.at - cache->write);
    emit_spill(builder);
    emit_body(builder);
    builder_emit_cold(builder);
    block->host_size = (uint32_t)(builder->out.at - cache->write) - block->host;
    cache->used = (cache->used + block->host_size + 15) & ~(size_t)15;
    cache->block_count++;
    cache->counters.blocks++;
    if (!request->is_private)
        cache_insert(cache, block);
    return block;
}

void translate_restore(const struct block *block, uint16_t guest_offset, bool has_saved_flags,
                       struct guest_state *state)
{
    if (has_saved_flags)
        state->flags = (uint16_t)state->registers[block->scratch[SCRATCH_FLAGS]];
    for (unsigned i = 0; i < SPILLED_MAX; i++) {
        if (block->spilled >> i & 1)
            state->registers[block->scratch[i]] = state->spilled[i];
    }
    state->rip = block->rip + guest_offset;
    if (!(block->mode & MODE_64))
        state->rip = (uint32_t)state->rip;
}

const struct block_place *translate_place_at(const struct cache *cache, const struct block *block,
                                             uint64_t host)
{
    uint32_t offset = (uint32_t)(host - cache_address(cache, 0));
    const struct block_place *places = &cache->places[block->first_place], *found = places;
    uint32_t nearest = 0;
    for (unsigned i = 0; i < block->place_count && block->host + places[i].host_offset <= offset;
         i++)
        found = &places[i];
    /* Behind the block are second copies of accesses, whose sites say which they are of. */
    for (uint32_t i = 0; i < block->site_count; i++) {
        const struct site *site = &cache->sites[block->first_site + i];
        if (site->kind != SITE_MISS || site->second > offset || site->second <= nearest)
            continue;
        nearest = site->second;
        for (found = places; found->guest_offset != site->guest_offset;)
            found++;
    }
    return found;
}
