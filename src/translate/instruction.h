/* One x86 instruction, decoded as far as a translator to the same instruction set needs it: where
 * its parts lie, what memory it names and how it uses it, which general registers it touches, and
 * what must become of it. Intel SDM volume 2, chapter 2 and appendix A; AMD APM volume 3. */
#ifndef HULL_TRANSLATE_INSTRUCTION_H
#define HULL_TRANSLATE_INSTRUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_LENGTH_MAX 15

/* General registers by their numbers; RIP only as the base of an address. */
enum {
    REGISTER_RAX,
    REGISTER_RCX,
    REGISTER_RDX,
    REGISTER_RBX,
    REGISTER_RSP,
    REGISTER_RBP,
    REGISTER_RSI,
    REGISTER_RDI,
    REGISTER_COUNT = 16,
    REGISTER_RIP = 16,
    REGISTER_NONE = 17
};

/* Segment registers by their numbers. */
enum { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS };

/* What a translator does with an instruction. */
enum instruction_class {
    CLASS_INVALID, /* #UD */
    CLASS_PLAIN,   /* can be executed as it is, but for a memory operand's address */
    CLASS_NOP,     /* has no effect */
    CLASS_STACK,   /* push, pop, leave: an implicit memory operand */
    CLASS_BRANCH,  /* jmp, jcc, call, ret, loop, jcxz within a segment */
    CLASS_STRING,  /* implicit operands at RSI and RDI, and a count */
    CLASS_RUNTIME, /* sensitive or privileged: depends on, or changes, more than registers */
};

/* How the memory operand is used. */
enum { ACCESS_NONE = 0, ACCESS_READ = 1, ACCESS_WRITE = 2 };

/* What becomes of the arithmetic flags. */
enum {
    FLAGS_READ = 1,  /* the instruction depends on them */
    FLAGS_WRITE = 2, /* it changes some, or all but not always */
    FLAGS_KILL = 4,  /* it sets all of them, whatever they were */
};

enum instruction_map { MAP_PRIMARY, MAP_0F, MAP_0F38, MAP_0F3A, MAP_OTHER };
enum instruction_encoding { ENCODING_LEGACY, ENCODING_VEX, ENCODING_EVEX, ENCODING_XOP };

struct instruction {
    uint8_t length;
    uint8_t mode; /* 16, 32 or 64 */
    uint8_t class;
    uint8_t encoding, map, opcode;
    uint8_t operand_size, address_size; /* in bytes: 2, 4 or 8 */
    uint8_t prefix;                     /* the one that selects an opcode: 0, 0x66, 0xf3 or 0xf2 */
    bool has_operand_prefix, has_lock, has_repeat, has_repeat_not;
    uint8_t segment; /* of the memory operand */
    bool has_segment;
    bool has_rex, rex_w, vector_256;
    uint8_t vvvv; /* VEX's third operand, a register's number */

    bool has_modrm, has_memory; /* has_memory: ModRM names memory, used or not */
    uint8_t modrm, reg, rm;     /* the register fields with REX's bits; rm if it is no memory */
    uint8_t base, index, scale; /* registers, or REGISTER_NONE; scale 0 to 3 */
    int32_t displacement;
    int64_t immediate; /* sign-extended; for moffs the address; for far pointers the offset */
    uint16_t selector; /* of a far pointer */

    /* Where the parts begin, in bytes from the instruction's begin. */
    uint8_t opcode_at, modrm_at, immediate_at;
    uint8_t immediate_size;

    uint8_t access;       /* of the memory operand, implicit ones not counted */
    uint16_t memory_size; /* in bytes */
    uint8_t flags;
    uint16_t registers; /* a bit for each general register that is read or written; may have more */
    bool byte_registers; /* operands of one byte: without REX, 4 to 7 are AH, CH, DH, BH */
    bool uses_vector;    /* x87, MMX, SSE or AVX state */
};

/* Decodes the instruction at code, of which size bytes can be read. Returns its length; 0 if the
 * bytes end before it does; -1 if it is longer than an instruction may be. Opcodes that don't exist
 * have a length and CLASS_INVALID. */
int instruction_decode(struct instruction *instruction, const uint8_t *code, size_t size,
                       unsigned mode);

#endif
