/* Instructions whose memory operand is the stack. RSP changes only once nothing can fault. */
#include "translate/builder.h"

static struct address stack_address(const struct builder *builder, unsigned base,
                                    int32_t displacement)
{
    return (struct address){.base = (uint8_t)base,
                            .index = REGISTER_NONE,
                            .segment = SEGMENT_SS,
                            .size = (uint8_t)builder_stack_size(builder),
                            .displacement = displacement};
}

/* RSP += by, without flags. */
static void emit_move_stack(struct builder *builder, unsigned base, int32_t by)
{
    emit_lea(&builder->out, REGISTER_RSP, base, REGISTER_NONE, 0, by, builder->mode == 64);
}

void builder_emit_push(struct builder *builder, struct operation operation, unsigned size)
{
    struct address address = stack_address(builder, REGISTER_RSP, -(int32_t)size);
    operation.size = size;
    builder_access(builder, &address, ACCESS_WRITE, size, &operation);
    emit_move_stack(builder, REGISTER_RSP, -(int32_t)size);
}

static void emit_pop(struct builder *builder, unsigned reg, unsigned size)
{
    struct address address = stack_address(builder, REGISTER_RSP, 0);
    struct operation load = {.kind = OPERATION_LOAD, .reg = reg, .size = size};
    if (reg == REGISTER_RSP && size == 2) /* what is added must not be lost */
        load.reg = builder->scratch[SCRATCH_VALUE];
    builder_access(builder, &address, ACCESS_READ, size, &load);
    if (reg != REGISTER_RSP) {
        emit_move_stack(builder, REGISTER_RSP, (int32_t)size);
    } else if (size == 2) {
        emit_move_stack(builder, REGISTER_RSP, (int32_t)size);
        emit_8(&builder->out, 0x66);
        emit_registers(&builder->out, OP_STORE, load.reg, REGISTER_RSP, false);
    }
}

static void emit_push_memory(struct builder *builder, const struct instruction *in)
{
    unsigned size = in->operand_size, value = builder->scratch[SCRATCH_VALUE];
    if (in->has_memory) {
        struct address address = builder_address(builder, in);
        struct operation load = {.kind = OPERATION_LOAD, .reg = value, .size = size};
        builder_access(builder, &address, ACCESS_READ, size, &load);
    }
    struct operation store = {.kind = OPERATION_STORE, .reg = in->has_memory ? value : in->rm};
    builder_emit_push(builder, store, size);
}

static void emit_pop_memory(struct builder *builder, const struct instruction *in)
{
    unsigned size = in->operand_size, value = builder->scratch[SCRATCH_VALUE];
    if (!in->has_memory) {
        emit_pop(builder, in->rm, size);
        return;
    }
    struct address from = stack_address(builder, REGISTER_RSP, 0),
                   to = builder_address(builder, in);
    struct operation load = {.kind = OPERATION_LOAD, .reg = value, .size = size},
                     store = {.kind = OPERATION_STORE, .reg = value, .size = size};
    if (to.base == REGISTER_RSP) /* as it is after the pop */
        to.displacement += (int64_t)size;
    builder_access(builder, &from, ACCESS_READ, size, &load);
    builder_access(builder, &to, ACCESS_WRITE, size, &store);
    emit_move_stack(builder, REGISTER_RSP, (int32_t)size);
}

static void emit_leave(struct builder *builder)
{
    unsigned size = builder_stack_size(builder), value = builder->scratch[SCRATCH_VALUE];
    struct address address = stack_address(builder, REGISTER_RBP, 0);
    struct operation load = {.kind = OPERATION_LOAD, .reg = value, .size = size};
    builder_access(builder, &address, ACCESS_READ, size, &load);
    emit_move_stack(builder, REGISTER_RBP, (int32_t)size);
    emit_registers(&builder->out, OP_STORE, value, REGISTER_RBP, size == 8);
}

void builder_emit_stack(struct builder *builder, const struct instruction *in)
{
    unsigned size = in->operand_size;
    struct operation operation = {.kind = OPERATION_STORE, .reg = in->rm};
    switch (in->opcode) {
    case 0x68:
    case 0x6a:
        operation = (struct operation){.kind = OPERATION_CONSTANT,
                                       .constant = size == 8 ? (uint64_t)in->immediate
                                                             : (uint32_t)in->immediate};
        builder_emit_push(builder, operation, size);
        break;
    case 0x8f:
        emit_pop_memory(builder, in);
        break;
    case 0xc9:
        emit_leave(builder);
        break;
    case 0xff:
        emit_push_memory(builder, in);
        break;
    default:
        if (in->opcode < 0x58)
            builder_emit_push(builder, operation, size);
        else
            emit_pop(builder, in->rm, size);
    }
}
