/* Decoding, divided in two: decode.c takes an instruction's parts, decode_refine.c works out what
 * depends on more than the opcode. */
#ifndef HULL_TRANSLATE_DECODE_H
#define HULL_TRANSLATE_DECODE_H

#include "translate/opcodes.h"

struct reader {
    struct instruction *in;
    const uint8_t *code;
    size_t size, at;
    bool is_short; /* the bytes ended */
};

void decode_take_immediate(struct reader *reader, unsigned kind);
/* Sizes, accesses, registers, flags, and the class where ModRM or a prefix changes it; may take an
 * immediate that only some forms have. */
void decode_refine(struct reader *reader, const struct opcode *opcode, uint8_t rex);
bool decode_may_lock(const struct instruction *in);

#endif
