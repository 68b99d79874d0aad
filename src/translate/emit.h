/* Writing machine code: the few host instructions that translations are made of beside the guest's
 * own. Code is written through one mapping of the cache and executed through another. */
#ifndef HULL_TRANSLATE_EMIT_H
#define HULL_TRANSLATE_EMIT_H

#include <stddef.h>

#include "translate/guest_state.h"

struct emitter {
    uint8_t *at, *end; /* where to write; what doesn't fit is dropped, and at == end then */
};

/* Opcodes of instructions with a register and a register or memory, 64 bits unless said. */
enum {
    OP_ADD_LOAD = 0x03,
    OP_SUB_LOAD = 0x2b,
    OP_LOAD_BYTE = 0x8a,
    OP_STORE_BYTE = 0x88,
    OP_STORE = 0x89,
    OP_LOAD = 0x8b,
    OP_LEA = 0x8d,
    OP_XCHG = 0x87,
};

#define STATE(field) ((int32_t)offsetof(struct guest_state, field))

void emit_bytes(struct emitter *out, const void *bytes, size_t count);
void emit_8(struct emitter *out, unsigned byte);
void emit_32(struct emitter *out, uint32_t value);

/* op between a register and guest_state at offset; of 8 bytes, or 4. */
void emit_state(struct emitter *out, unsigned op, unsigned reg, int32_t offset, bool is_wide);
/* op, of 8 bytes, between a register and guest_state at offset plus the value of register index;
 * not RSP or R12. */
void emit_state_at(struct emitter *out, unsigned op, unsigned reg, unsigned index, int32_t offset);
/* As before, with eight times index. */
void emit_state_array(struct emitter *out, unsigned op, unsigned reg, unsigned index,
                      int32_t offset);
void emit_state_set(struct emitter *out, int32_t offset, uint32_t value);     /* 4 bytes */
void emit_state_set_byte(struct emitter *out, int32_t offset, uint8_t value); /* 1 byte */
/* 4 bytes, or 8 with the value sign-extended. */
void emit_state_compare(struct emitter *out, int32_t offset, uint32_t value, bool is_wide);
/* op between two registers, reg and rm, of 8 bytes or 4. */
void emit_registers(struct emitter *out, unsigned op, unsigned reg, unsigned rm, bool is_wide);
/* op between reg and what register base points to (not RSP, RBP, R12 or R13), of size bytes. */
void emit_memory(struct emitter *out, unsigned op, unsigned reg, unsigned base, unsigned size);
void emit_load_constant(struct emitter *out, unsigned reg, uint64_t value);
/* reg = base + index << scale + displacement; base and index may be REGISTER_NONE. */
void emit_lea(struct emitter *out, unsigned reg, unsigned base, unsigned index, unsigned scale,
              int32_t displacement, bool is_wide);
/* Operations of group 1 (Intel SDM 2D, A.4.2) on a register with a constant. */
enum { GROUP_AND = 4, GROUP_COMPARE = 7 };
void emit_constant(struct emitter *out, unsigned group, unsigned reg, int32_t value, bool is_wide);
enum { SHIFT_RIGHT = 5, SHIFT_RIGHT_SIGNED = 7 };
void emit_shift(struct emitter *out, unsigned group, unsigned reg, unsigned count, bool is_wide);
/* to = the bits of from that jump_mask selects, packed; flags stay. */
void emit_jump_index(struct emitter *out, unsigned to, unsigned from);
void emit_jump_state(struct emitter *out, int32_t offset); /* jmp *state */

/* Jumps whose distance is filled in later: the place of its four bytes. */
enum { CONDITION_NOT_EQUAL = 5, CONDITION_ABOVE = 7 };
uint8_t *emit_jump(struct emitter *out);
uint8_t *emit_jump_if(struct emitter *out, unsigned condition);
void emit_set_target(struct emitter *out, uint8_t *distance, const uint8_t *target);

/* guest_state.flags = the low half of a register that has them; and from there into the processor
 * through RAX. */
void emit_state_flags(struct emitter *out, unsigned reg);
void emit_flags_from_state(struct emitter *out);
/* Arithmetic flags into RAX as guest_state.flags has them, and back. */
void emit_flags_to_rax(struct emitter *out);
void emit_flags_from_rax(struct emitter *out);

#endif
