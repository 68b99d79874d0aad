/* What the tables of opcodes say of one. */
#ifndef HULL_TRANSLATE_OPCODES_H
#define HULL_TRANSLATE_OPCODES_H

#include <stdint.h>

#include "translate/instruction.h"

enum opcode_immediate {
    IMMEDIATE_NONE,
    IMMEDIATE_BYTE,
    IMMEDIATE_OPERAND, /* 2 or 4 bytes, as the operand size says */
    IMMEDIATE_FULL,    /* 2, 4 or 8: mov to a register */
    IMMEDIATE_WORD,
    IMMEDIATE_ENTER,   /* a word and a byte */
    IMMEDIATE_ADDRESS, /* moffs: as large as an address */
    IMMEDIATE_FAR,     /* an offset and a selector */
    IMMEDIATE_BRANCH,  /* as OPERAND, but always 4 bytes in 64-bit mode */
};

/* The size of the memory operand. "Vector" is 16 bytes, or 32 with VEX.L. */
enum opcode_size {
    SIZE_NONE,
    SIZE_1,
    SIZE_2,
    SIZE_4,
    SIZE_8,
    SIZE_10,
    SIZE_16,
    SIZE_32,
    SIZE_512,
    SIZE_OPERAND,   /* as the operand size */
    SIZE_WIDE,      /* 4, or 8 with W */
    SIZE_VECTOR,    /* a vector */
    SIZE_MMX,       /* 8 without a prefix, else a vector */
    SIZE_MMX_HALF,  /* 4 without a prefix, else a vector */
    SIZE_MMX_FIXED, /* 8 without a prefix, else 16 whatever VEX.L is */
    SIZE_SSE,       /* a vector; with F3 4, with F2 8 */
    SIZE_HALF,      /* a half of a vector */
    SIZE_QUARTER,
    SIZE_EIGHTH,
    SIZE_FMA,     /* a vector, or for scalar opcodes (odd ones but 7 and A: packed) 4, 8 with W */
    SIZE_SPECIAL, /* see decode.c */
};

struct opcode {
    uint8_t class;
    uint8_t has_modrm;
    uint8_t immediate;
    uint8_t size;
    uint8_t access;
    uint8_t flags;
    uint8_t attributes;
    uint8_t implicit; /* the low eight general registers that it uses beside those it names */
};

enum {
    OPCODE_BYTE = 1,       /* operands of one byte */
    OPCODE_64 = 2,         /* the operand size is 64 bits in 64-bit mode, without REX.W */
    OPCODE_NOT_64 = 4,     /* doesn't exist in 64-bit mode */
    OPCODE_EMBEDDED = 8,   /* a register in the low bits of the opcode */
    OPCODE_VECTOR = 16,    /* uses x87 or vector state */
    OPCODE_REGISTERS = 32, /* ModRM always names registers, whatever its mod */
};

extern const struct opcode opcodes_primary[256], opcodes_0f[256], opcodes_0f38[256],
    opcodes_0f3a[256];

#endif
