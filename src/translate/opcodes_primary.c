/* The opcodes of one byte. */
#include "translate/opcodes.h"

#define R ACCESS_READ
#define W ACCESS_WRITE
#define RW (ACCESS_READ | ACCESS_WRITE)
#define AX (1 << REGISTER_RAX)
#define CX (1 << REGISTER_RCX)
#define DX (1 << REGISTER_RDX)
#define BX (1 << REGISTER_RBX)
#define SP (1 << REGISTER_RSP)
#define BP (1 << REGISTER_RBP)
#define SI (1 << REGISTER_RSI)
#define DI (1 << REGISTER_RDI)

/* The six forms of an arithmetic operation, from opcode first on. */
#define ARITHMETIC(first, use, changes)                                                            \
    [first] = {CLASS_PLAIN, 1, 0, SIZE_1, use, changes, OPCODE_BYTE, 0},                           \
    [first + 1] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, use, changes, 0, 0},                           \
    [first + 2] = {CLASS_PLAIN, 1, 0, SIZE_1, R, changes, OPCODE_BYTE, 0},                         \
    [first + 3] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, changes, 0, 0},                             \
    [first + 4] = {CLASS_PLAIN, 0, IMMEDIATE_BYTE, 0, 0, changes, OPCODE_BYTE, AX},                \
    [first + 5] = {CLASS_PLAIN, 0, IMMEDIATE_OPERAND, 0, 0, changes, 0, AX}
/* Pushing and popping a segment register, in the old modes. */
#define SEGMENT(opcode) [opcode] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, OPCODE_NOT_64, SP}
#define EIGHT(first, ...)                                                                          \
    [first] = __VA_ARGS__, [first + 1] = __VA_ARGS__, [first + 2] = __VA_ARGS__,                   \
    [first + 3] = __VA_ARGS__, [first + 4] = __VA_ARGS__, [first + 5] = __VA_ARGS__,               \
    [first + 6] = __VA_ARGS__, [first + 7] = __VA_ARGS__
#define BCD(opcode)                                                                                \
    [opcode] = {CLASS_RUNTIME, 0, 0, 0, 0, FLAGS_READ | FLAGS_WRITE, OPCODE_NOT_64, AX}
#define X87(opcode) [opcode] = {CLASS_PLAIN, 1, 0, SIZE_SPECIAL, R, 0, OPCODE_VECTOR, 0}
#define STRING(opcode, changes, used)                                                              \
    [opcode] = {CLASS_STRING, 0, 0, 0, 0, changes, OPCODE_BYTE, used},                             \
    [opcode + 1] = {CLASS_STRING, 0, 0, 0, 0, changes, 0, used}
#define PORT(opcode, with)                                                                         \
    [opcode] = {CLASS_RUNTIME, 0, with, 0, 0, 0, OPCODE_BYTE, AX | DX},                            \
    [opcode + 1] = {CLASS_RUNTIME, 0, with, 0, 0, 0, 0, AX | DX}
#define RUNTIME(opcode) [opcode] = {CLASS_RUNTIME, 0, 0, 0, 0, FLAGS_READ | FLAGS_WRITE, 0, 0}

const struct opcode opcodes_primary[256] = {
    ARITHMETIC(0x00, RW, FLAGS_KILL), SEGMENT(0x06), SEGMENT(0x07),
    ARITHMETIC(0x08, RW, FLAGS_KILL), SEGMENT(0x0e), ARITHMETIC(0x10, RW, FLAGS_KILL | FLAGS_READ),
    SEGMENT(0x16), SEGMENT(0x17), ARITHMETIC(0x18, RW, FLAGS_KILL | FLAGS_READ), SEGMENT(0x1e),
    SEGMENT(0x1f), ARITHMETIC(0x20, RW, FLAGS_KILL), BCD(0x27), ARITHMETIC(0x28, RW, FLAGS_KILL),
    BCD(0x2f), ARITHMETIC(0x30, RW, FLAGS_KILL), BCD(0x37), ARITHMETIC(0x38, R, FLAGS_KILL),
    BCD(0x3f),
    /* inc and dec; in 64-bit mode these are REX */
    EIGHT(0x40, {CLASS_PLAIN, 0, 0, 0, 0, FLAGS_WRITE, OPCODE_EMBEDDED | OPCODE_NOT_64, 0}),
    EIGHT(0x48, {CLASS_PLAIN, 0, 0, 0, 0, FLAGS_WRITE, OPCODE_EMBEDDED | OPCODE_NOT_64, 0}),
    EIGHT(0x50, {CLASS_STACK, 0, 0, 0, 0, 0, OPCODE_EMBEDDED | OPCODE_64, SP}),
    EIGHT(0x58, {CLASS_STACK, 0, 0, 0, 0, 0, OPCODE_EMBEDDED | OPCODE_64, SP}),
    [0x60] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, OPCODE_NOT_64, 0xff},         /* pusha */
    [0x61] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, OPCODE_NOT_64, 0xff},         /* popa */
    [0x62] = {CLASS_RUNTIME, 1, 0, SIZE_OPERAND, R, 0, OPCODE_NOT_64, 0}, /* bound */
    [0x63] = {CLASS_PLAIN, 1, 0, SIZE_4, R, 0, 0, 0}, /* movsxd; see decode.c for arpl */
    [0x68] = {CLASS_STACK, 0, IMMEDIATE_OPERAND, 0, 0, 0, OPCODE_64, SP},
    [0x69] = {CLASS_PLAIN, 1, IMMEDIATE_OPERAND, SIZE_OPERAND, R, FLAGS_WRITE, 0, 0},
    [0x6a] = {CLASS_STACK, 0, IMMEDIATE_BYTE, 0, 0, 0, OPCODE_64, SP},
    [0x6b] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_OPERAND, R, FLAGS_WRITE, 0, 0},
    STRING(0x6c, 0, DX | DI | CX), STRING(0x6e, 0, DX | SI | CX),
    EIGHT(0x70, {CLASS_BRANCH, 0, IMMEDIATE_BYTE, 0, 0, FLAGS_READ, 0, 0}),
    EIGHT(0x78, {CLASS_BRANCH, 0, IMMEDIATE_BYTE, 0, 0, FLAGS_READ, 0, 0}),
    [0x80] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_1, RW, FLAGS_KILL, OPCODE_BYTE, 0},
    [0x81] = {CLASS_PLAIN, 1, IMMEDIATE_OPERAND, SIZE_OPERAND, RW, FLAGS_KILL, 0, 0},
    [0x82] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_1, RW, FLAGS_KILL, OPCODE_BYTE | OPCODE_NOT_64,
              0},
    [0x83] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_OPERAND, RW, FLAGS_KILL, 0, 0},
    [0x84] = {CLASS_PLAIN, 1, 0, SIZE_1, R, FLAGS_KILL, OPCODE_BYTE, 0},
    [0x85] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, FLAGS_KILL, 0, 0},
    [0x86] = {CLASS_PLAIN, 1, 0, SIZE_1, RW, 0, OPCODE_BYTE, 0},
    [0x87] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, 0, 0, 0},
    [0x88] = {CLASS_PLAIN, 1, 0, SIZE_1, W, 0, OPCODE_BYTE, 0},
    [0x89] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, W, 0, 0, 0},
    [0x8a] = {CLASS_PLAIN, 1, 0, SIZE_1, R, 0, OPCODE_BYTE, 0},
    [0x8b] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, 0, 0, 0},
    [0x8c] = {CLASS_RUNTIME, 1, 0, SIZE_2, W, 0, 0, 0}, /* mov from a segment register */
    [0x8d] = {CLASS_PLAIN, 1, 0, SIZE_NONE, ACCESS_NONE, 0, 0, 0},
    [0x8e] = {CLASS_RUNTIME, 1, 0, SIZE_2, R, 0, 0, 0},
    [0x8f] = {CLASS_STACK, 1, 0, SIZE_OPERAND, W, 0, OPCODE_64, SP},
    EIGHT(0x90, {CLASS_PLAIN, 0, 0, 0, 0, 0, OPCODE_EMBEDDED, AX}), /* xchg */
    [0x98] = {CLASS_PLAIN, 0, 0, 0, 0, 0, 0, AX}, [0x99] = {CLASS_PLAIN, 0, 0, 0, 0, 0, 0, AX | DX},
    [0x9a] = {CLASS_RUNTIME, 0, IMMEDIATE_FAR, 0, 0, 0, OPCODE_NOT_64, SP},
    [0x9b] = {CLASS_PLAIN, 0, 0, 0, 0, 0, OPCODE_VECTOR, 0}, /* wait */
    [0x9c] = {CLASS_RUNTIME, 0, 0, 0, 0, FLAGS_READ, OPCODE_64, SP},
    [0x9d] = {CLASS_RUNTIME, 0, 0, 0, 0, FLAGS_KILL, OPCODE_64, SP},
    [0x9e] = {CLASS_PLAIN, 0, 0, 0, 0, FLAGS_WRITE, 0, AX}, /* sahf */
    [0x9f] = {CLASS_PLAIN, 0, 0, 0, 0, FLAGS_READ, 0, AX},  /* lahf */
    [0xa0] = {CLASS_PLAIN, 0, IMMEDIATE_ADDRESS, SIZE_1, R, 0, OPCODE_BYTE, AX},
    [0xa1] = {CLASS_PLAIN, 0, IMMEDIATE_ADDRESS, SIZE_OPERAND, R, 0, 0, AX},
    [0xa2] = {CLASS_PLAIN, 0, IMMEDIATE_ADDRESS, SIZE_1, W, 0, OPCODE_BYTE, AX},
    [0xa3] = {CLASS_PLAIN, 0, IMMEDIATE_ADDRESS, SIZE_OPERAND, W, 0, 0, AX},
    STRING(0xa4, 0, SI | DI | CX), STRING(0xa6, FLAGS_WRITE, SI | DI | CX),
    [0xa8] = {CLASS_PLAIN, 0, IMMEDIATE_BYTE, 0, 0, FLAGS_KILL, OPCODE_BYTE, AX},
    [0xa9] = {CLASS_PLAIN, 0, IMMEDIATE_OPERAND, 0, 0, FLAGS_KILL, 0, AX},
    STRING(0xaa, 0, AX | DI | CX), STRING(0xac, 0, AX | SI | CX),
    STRING(0xae, FLAGS_WRITE, AX | DI | CX),
    EIGHT(0xb0, {CLASS_PLAIN, 0, IMMEDIATE_BYTE, 0, 0, 0, OPCODE_EMBEDDED | OPCODE_BYTE, 0}),
    EIGHT(0xb8, {CLASS_PLAIN, 0, IMMEDIATE_FULL, 0, 0, 0, OPCODE_EMBEDDED, 0}),
    [0xc0] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_1, RW, FLAGS_WRITE, OPCODE_BYTE, 0},
    [0xc1] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xc2] = {CLASS_BRANCH, 0, IMMEDIATE_WORD, 0, 0, 0, OPCODE_64, SP},
    [0xc3] = {CLASS_BRANCH, 0, 0, 0, 0, 0, OPCODE_64, SP},
    [0xc4] = {CLASS_RUNTIME, 1, 0, SIZE_SPECIAL, R, 0, OPCODE_NOT_64, 0}, /* les */
    [0xc5] = {CLASS_RUNTIME, 1, 0, SIZE_SPECIAL, R, 0, OPCODE_NOT_64, 0}, /* lds */
    [0xc6] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_1, W, 0, OPCODE_BYTE, 0},
    [0xc7] = {CLASS_PLAIN, 1, IMMEDIATE_OPERAND, SIZE_OPERAND, W, 0, 0, 0},
    [0xc8] = {CLASS_RUNTIME, 0, IMMEDIATE_ENTER, 0, 0, 0, OPCODE_64, SP | BP},
    [0xc9] = {CLASS_STACK, 0, 0, 0, 0, 0, OPCODE_64, SP | BP},
    [0xca] = {CLASS_RUNTIME, 0, IMMEDIATE_WORD, 0, 0, 0, 0, SP}, RUNTIME(0xcb),
    RUNTIME(0xcc), [0xcd] = {CLASS_RUNTIME, 0, IMMEDIATE_BYTE, 0, 0, 0, 0, 0},
    [0xce] = {CLASS_RUNTIME, 0, 0, 0, 0, FLAGS_READ, OPCODE_NOT_64, 0},
    RUNTIME(0xcf), [0xd0] = {CLASS_PLAIN, 1, 0, SIZE_1, RW, FLAGS_WRITE, OPCODE_BYTE, 0},
    [0xd1] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xd2] = {CLASS_PLAIN, 1, 0, SIZE_1, RW, FLAGS_WRITE, OPCODE_BYTE, CX},
    [0xd3] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, CX},
    [0xd4] = {CLASS_RUNTIME, 0, IMMEDIATE_BYTE, 0, 0, FLAGS_WRITE, OPCODE_NOT_64, AX},
    [0xd5] = {CLASS_RUNTIME, 0, IMMEDIATE_BYTE, 0, 0, FLAGS_WRITE, OPCODE_NOT_64, AX},
    [0xd7] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, 0, AX | BX}, /* xlat */
    X87(0xd8), X87(0xd9), X87(0xda), X87(0xdb), X87(0xdc), X87(0xdd), X87(0xde),
    X87(0xdf), [0xe0] = {CLASS_BRANCH, 0, IMMEDIATE_BYTE, 0, 0, FLAGS_READ, OPCODE_64, CX},
    [0xe1] = {CLASS_BRANCH, 0, IMMEDIATE_BYTE, 0, 0, FLAGS_READ, OPCODE_64, CX},
    [0xe2] = {CLASS_BRANCH, 0, IMMEDIATE_BYTE, 0, 0, 0, OPCODE_64, CX},
    [0xe3] = {CLASS_BRANCH, 0, IMMEDIATE_BYTE, 0, 0, 0, OPCODE_64, CX}, PORT(0xe4, IMMEDIATE_BYTE),
    PORT(0xe6, IMMEDIATE_BYTE),
    [0xe8] = {CLASS_BRANCH, 0, IMMEDIATE_BRANCH, 0, 0, 0, OPCODE_64, SP},
    [0xe9] = {CLASS_BRANCH, 0, IMMEDIATE_BRANCH, 0, 0, 0, OPCODE_64, 0},
    [0xea] = {CLASS_RUNTIME, 0, IMMEDIATE_FAR, 0, 0, 0, OPCODE_NOT_64, 0},
    [0xeb] = {CLASS_BRANCH, 0, IMMEDIATE_BYTE, 0, 0, 0, OPCODE_64, 0}, PORT(0xec, IMMEDIATE_NONE),
    PORT(0xee, IMMEDIATE_NONE), RUNTIME(0xf1),
    RUNTIME(0xf4), [0xf5] = {CLASS_PLAIN, 0, 0, 0, 0, FLAGS_WRITE | FLAGS_READ, 0, 0},
    [0xf6] = {CLASS_PLAIN, 1, IMMEDIATE_NONE, SIZE_1, RW, 0, OPCODE_BYTE, 0}, /* see decode.c */
    [0xf7] = {CLASS_PLAIN, 1, IMMEDIATE_NONE, SIZE_OPERAND, RW, 0, 0, 0},
    [0xf8] = {CLASS_PLAIN, 0, 0, 0, 0, FLAGS_WRITE, 0, 0},
    [0xf9] = {CLASS_PLAIN, 0, 0, 0, 0, FLAGS_WRITE, 0, 0}, RUNTIME(0xfa), RUNTIME(0xfb),
    RUNTIME(0xfc),
    RUNTIME(0xfd), [0xfe] = {CLASS_PLAIN, 1, 0, SIZE_1, RW, FLAGS_WRITE, OPCODE_BYTE, 0},
    [0xff] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0}, /* see decode.c */
};
