/* Memory operands: the address, the look-up in the software TLB, and what is done on a miss.
 *
 * The look-up takes two scratch registers and the flags:
 *     lea   OPERAND, address          (plus a segment's base)
 *     mov   address, index
 *     shr   $7, index
 *     and   $(1023 << 5), index       the entry's offset
 *     sub   tlb.read(index), address  the offset in the page, if the tag is the address's page
 *     cmp   $(4096 - size), address   larger: another page, or the operand crosses into the next
 *     ja    miss
 *     add   tlb.host(index), address  the host's address
 * On a miss the code behind the block restores the address and leaves. The runtime fills the TLB
 * and starts again at the lea; or, where there isn't one page of memory to point to (a device, two
 * pages), it copies the operand to state.bounce and goes on at a second copy of the access, after
 * which it is told to copy the result back. */
#include "translate/builder.h"

#define TLB_INDEX_MASK ((TLB_ENTRIES - 1) * (int32_t)sizeof(struct tlb_entry))
#define TLB_SHIFT 7 /* of the address, to 32 times the page's number */

/* ---- Flags ---- */

void builder_save_flags(struct builder *builder)
{
    struct emitter *out = &builder->out;
    unsigned keep = builder->scratch[SCRATCH_FLAGS];
    if (builder->flags_saved)
        return;
    if (keep != REGISTER_RAX)
        emit_registers(out, OP_STORE, REGISTER_RAX, keep, true);
    emit_flags_to_rax(out);
    if (keep != REGISTER_RAX)
        emit_registers(out, OP_XCHG, REGISTER_RAX, keep, true);
    builder->flags_saved = true;
}

static void emit_restore_flags(struct emitter *out, unsigned keep)
{
    if (keep != REGISTER_RAX)
        emit_registers(out, OP_XCHG, REGISTER_RAX, keep, true);
    emit_flags_from_rax(out);
    if (keep != REGISTER_RAX)
        emit_registers(out, OP_LOAD, REGISTER_RAX, keep, true);
}

void builder_restore_flags(struct builder *builder)
{
    if (!builder->flags_saved)
        return;
    emit_restore_flags(&builder->out, builder->scratch[SCRATCH_FLAGS]);
    builder->flags_saved = false;
}

/* ---- Addresses ---- */

struct address builder_address(const struct builder *builder, const struct instruction *in)
{
    struct address address = {.base = in->base,
                              .index = in->index,
                              .scale = in->scale,
                              .segment = in->segment,
                              .size = in->address_size,
                              .displacement = in->displacement};
    if (in->base == REGISTER_RIP) {
        address.base = REGISTER_NONE;
        address.displacement = (int64_t)(builder->next_rip + (uint64_t)in->displacement);
    }
    if (!in->has_modrm) /* moffs */
        address.displacement = in->immediate;
    if (address.size == 4 && address.base == REGISTER_NONE && address.index == REGISTER_NONE)
        address.displacement &= 0xffffffff;
    return address;
}

static void emit_address(struct builder *builder, const struct address *address)
{
    struct emitter *out = &builder->out;
    unsigned to = builder->scratch[SCRATCH_ADDRESS];
    bool is_wide = address->size == 8;
    if (address->base == REGISTER_NONE && address->index == REGISTER_NONE) {
        emit_load_constant(out, to, (uint64_t)address->displacement);
    } else {
        emit_lea(out, to, address->base, address->index, address->scale,
                 (int32_t)address->displacement, is_wide);
        if (address->size == 2) { /* movzwl */
            emit_8(out, 0x40 | (to >> 3) << 2 | to >> 3);
            emit_8(out, 0x0f);
            emit_8(out, 0xb7);
            emit_8(out, 0xc0 | (to & 7) << 3 | (to & 7));
        }
    }
    if (address->segment >= SEGMENT_FS || !(builder->request->mode & MODE_FLAT))
        emit_state(out, OP_ADD_LOAD, to, STATE(segment_bases) + 8 * (int32_t)address->segment,
                   builder->mode == 64);
}

/* ---- Accesses ---- */

/* bt and its kin take their operand from as far as the bit offset says. */
static void emit_bit_displacement(struct builder *builder, const struct operation *operation)
{
    struct emitter *out = &builder->out;
    unsigned value = builder->scratch[SCRATCH_VALUE], size = operation->size;
    if (size == 8) {
        emit_registers(out, OP_LOAD, value, operation->in->reg, true);
    } else { /* movslq, movswq */
        emit_8(out, 0x48 | (value >> 3) << 2 | operation->in->reg >> 3);
        if (size == 2)
            emit_8(out, 0x0f);
        emit_8(out, size == 2 ? 0xbf : 0x63);
        emit_8(out, 0xc0 | (value & 7) << 3 | (operation->in->reg & 7));
    }
    emit_shift(out, SHIFT_RIGHT_SIGNED, value, 3, true);
    emit_constant(out, GROUP_AND, value, -(int32_t)size, true);
    emit_lea(out, builder->scratch[SCRATCH_ADDRESS], builder->scratch[SCRATCH_ADDRESS], value, 0, 0,
             builder->mode == 64);
}

static void emit_operation(struct builder *builder, const struct operation *operation)
{
    struct emitter *out = &builder->out;
    unsigned at = builder->scratch[SCRATCH_ADDRESS];
    if (operation->kind == OPERATION_BIT) {
        unsigned value = builder->scratch[SCRATCH_VALUE];
        emit_registers(out, OP_LOAD, value, operation->in->reg, true);
        emit_constant(out, GROUP_AND, value, (int32_t)(8 * operation->size - 1), false);
        if (operation->restores_flags)
            emit_restore_flags(out, builder->scratch[SCRATCH_FLAGS]);
        builder_emit_at(out, operation->in, at, value);
        return;
    }
    if (operation->restores_flags)
        emit_restore_flags(out, builder->scratch[SCRATCH_FLAGS]);
    switch (operation->kind) {
    case OPERATION_LOAD:
        emit_memory(out, OP_LOAD, operation->reg, at, operation->size);
        break;
    case OPERATION_STORE:
        emit_memory(out, OP_STORE, operation->reg, at, operation->size);
        break;
    case OPERATION_CONSTANT:
        emit_load_constant(out, builder->scratch[SCRATCH_INDEX], operation->constant);
        emit_memory(out, OP_STORE, builder->scratch[SCRATCH_INDEX], at, operation->size);
        break;
    default:
        builder_emit_at(out, operation->in, at, operation->in->reg);
    }
}

void builder_access(struct builder *builder, const struct address *address, uint8_t access,
                    unsigned size, const struct operation *wanted)
{
    struct emitter *out = &builder->out;
    unsigned at = builder->scratch[SCRATCH_ADDRESS], index = builder->scratch[SCRATCH_INDEX];
    int32_t view = builder->request->mode & MODE_USER ? STATE(tlb[VIEW_USER]) : STATE(tlb);
    int32_t tag = view + (access & ACCESS_WRITE ? (int32_t)offsetof(struct tlb_entry, write)
                                                : (int32_t)offsetof(struct tlb_entry, read));
    struct operation operation = *wanted;
    unsigned flags = operation.in ? operation.in->flags : 0;
    if (builder->flags_live[builder->current])
        builder_save_flags(builder);
    struct cold *cold = &builder->cold[builder->cold_count++];
    struct site site = {.kind = SITE_MISS,
                        .access = access,
                        .has_saved_flags = builder->flags_saved,
                        .size = (uint16_t)size,
                        .first = (uint32_t)(out->at - builder->cache->write)};
    cold->site = builder_add_site(builder, site);
    cold->tag = tag;
    emit_address(builder, address);
    if (operation.kind == OPERATION_BIT)
        emit_bit_displacement(builder, &operation);
    emit_registers(out, OP_STORE, at, index, false);
    emit_shift(out, SHIFT_RIGHT, index, TLB_SHIFT, false);
    emit_constant(out, GROUP_AND, index, TLB_INDEX_MASK, false);
    emit_state_at(out, OP_SUB_LOAD, at, index, tag);
    emit_constant(out, GROUP_COMPARE, at, 4096 - (int32_t)size, true);
    cold->miss = emit_jump_if(out, CONDITION_ABOVE);
    emit_state_at(out, OP_ADD_LOAD, at, index, view + (int32_t)offsetof(struct tlb_entry, host));
    operation.restores_flags = builder->flags_saved && (flags & (FLAGS_READ | FLAGS_WRITE));
    if (operation.restores_flags || (flags & FLAGS_KILL))
        builder->flags_saved = false;
    emit_operation(builder, &operation);
    cold->operation = operation;
    cold->after = out->at;
}

static void emit_cold(struct builder *builder, struct cold *cold)
{
    struct emitter *out = &builder->out;
    struct cache *cache = builder->cache;
    unsigned at = builder->scratch[SCRATCH_ADDRESS], index = builder->scratch[SCRATCH_INDEX];
    struct site *site = &cache->sites[cold->site];
    emit_set_target(out, cold->miss, out->at);
    emit_state_at(out, OP_ADD_LOAD, at, index, cold->tag);
    emit_state(out, OP_STORE, at, STATE(fault_address), true);
    emit_state_set(out, STATE(site), cold->site);
    emit_set_target(out, emit_jump(out), cache->write + cache->leave);
    site->second = (uint32_t)(out->at - cache->write);
    emit_operation(builder, &cold->operation);
    if (!(site->access & ACCESS_WRITE)) {
        emit_set_target(out, emit_jump(out), cold->after);
        return;
    }
    struct site complete = *site;
    complete.kind = SITE_COMPLETE;
    complete.first = (uint32_t)(cold->after - cache->write);
    builder_emit_leave(builder, complete);
}

void builder_emit_cold(struct builder *builder)
{
    for (unsigned i = 0; i < builder->cold_count; i++)
        emit_cold(builder, &builder->cold[i]);
}
