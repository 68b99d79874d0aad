/* The opcodes behind 0F. */
#include "translate/opcodes.h"

#define R ACCESS_READ
#define W ACCESS_WRITE
#define RW (ACCESS_READ | ACCESS_WRITE)
#define AX (1 << REGISTER_RAX)
#define CX (1 << REGISTER_RCX)
#define DX (1 << REGISTER_RDX)
#define BX (1 << REGISTER_RBX)
#define SP (1 << REGISTER_RSP)
#define DI (1 << REGISTER_RDI)

#define EIGHT(first, ...)                                                                          \
    [first] = __VA_ARGS__, [first + 1] = __VA_ARGS__, [first + 2] = __VA_ARGS__,                   \
    [first + 3] = __VA_ARGS__, [first + 4] = __VA_ARGS__, [first + 5] = __VA_ARGS__,               \
    [first + 6] = __VA_ARGS__, [first + 7] = __VA_ARGS__
#define SIXTEEN(first, ...) EIGHT(first, __VA_ARGS__), EIGHT(first + 8, __VA_ARGS__)
#define VECTOR(opcode, size, use) [opcode] = {CLASS_PLAIN, 1, 0, size, use, 0, OPCODE_VECTOR, 0}
#define VECTOR_BYTE(opcode, size, use)                                                             \
    [opcode] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, size, use, 0, OPCODE_VECTOR, 0}
#define MMX(opcode) VECTOR(opcode, SIZE_MMX, R)
#define SHIFT(opcode) VECTOR(opcode, SIZE_MMX_FIXED, R)
#define FOUR(f, first, ...)                                                                        \
    f(first, __VA_ARGS__), f(first + 1, __VA_ARGS__), f(first + 2, __VA_ARGS__),                   \
        f(first + 3, __VA_ARGS__)
#define RUNTIME(opcode) [opcode] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, 0, 0}
/* A ModRM that names no memory that is accessed. */
#define NOP(opcode) [opcode] = {CLASS_NOP, 1, 0, SIZE_NONE, ACCESS_NONE, 0, 0, 0}

const struct opcode opcodes_0f[256] = {
    [0x00] = {CLASS_RUNTIME, 1, 0, SIZE_2, R, FLAGS_WRITE | FLAGS_READ, 0, 0},
    [0x01] = {CLASS_RUNTIME, 1, 0, SIZE_SPECIAL, R, 0, 0, AX | CX | DX},
    [0x02] = {CLASS_RUNTIME, 1, 0, SIZE_2, R, FLAGS_WRITE | FLAGS_READ, 0, 0}, /* lar */
    [0x03] = {CLASS_RUNTIME, 1, 0, SIZE_2, R, FLAGS_WRITE | FLAGS_READ, 0, 0}, /* lsl */
    RUNTIME(0x05),
    RUNTIME(0x06),
    RUNTIME(0x07),
    RUNTIME(0x08),
    RUNTIME(0x09),
    NOP(0x0d),
    VECTOR(0x10, SIZE_SSE, R),
    VECTOR(0x11, SIZE_SSE, W),
    VECTOR(0x12, SIZE_SPECIAL, R),
    VECTOR(0x13, SIZE_8, W),
    VECTOR(0x14, SIZE_VECTOR, R),
    VECTOR(0x15, SIZE_VECTOR, R),
    VECTOR(0x16, SIZE_SPECIAL, R),
    VECTOR(0x17, SIZE_8, W),
    EIGHT(0x18, {CLASS_NOP, 1, 0, SIZE_NONE, ACCESS_NONE, 0, 0, 0}),
    [0x20] = {CLASS_RUNTIME, 1, 0, 0, 0, 0, OPCODE_REGISTERS | OPCODE_64, 0},
    [0x21] = {CLASS_RUNTIME, 1, 0, 0, 0, 0, OPCODE_REGISTERS | OPCODE_64, 0},
    [0x22] = {CLASS_RUNTIME, 1, 0, 0, 0, 0, OPCODE_REGISTERS | OPCODE_64, 0},
    [0x23] = {CLASS_RUNTIME, 1, 0, 0, 0, 0, OPCODE_REGISTERS | OPCODE_64, 0},
    VECTOR(0x28, SIZE_VECTOR, R),
    VECTOR(0x29, SIZE_VECTOR, W),
    VECTOR(0x2a, SIZE_SPECIAL, R),
    VECTOR(0x2b, SIZE_VECTOR, W),
    VECTOR(0x2c, SIZE_SPECIAL, R),
    VECTOR(0x2d, SIZE_SPECIAL, R),
    [0x2e] = {CLASS_PLAIN, 1, 0, SIZE_SPECIAL, R, FLAGS_KILL, OPCODE_VECTOR, 0},
    [0x2f] = {CLASS_PLAIN, 1, 0, SIZE_SPECIAL, R, FLAGS_KILL, OPCODE_VECTOR, 0},
    RUNTIME(0x30),
    [0x31] = {CLASS_PLAIN, 0, 0, 0, 0, 0, 0, AX | DX}, /* rdtsc: the guest's is the host's */
    RUNTIME(0x32),
    RUNTIME(0x33),
    RUNTIME(0x34),
    RUNTIME(0x35),
    SIXTEEN(0x40, {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, FLAGS_READ, 0, 0}),
    VECTOR(0x50, SIZE_VECTOR, R),
    FOUR(VECTOR, 0x51, SIZE_SSE, R),
    VECTOR(0x55, SIZE_SSE, R),
    VECTOR(0x56, SIZE_SSE, R),
    VECTOR(0x57, SIZE_SSE, R),
    VECTOR(0x58, SIZE_SSE, R),
    VECTOR(0x59, SIZE_SSE, R),
    VECTOR(0x5a, SIZE_SPECIAL, R),
    VECTOR(0x5b, SIZE_VECTOR, R),
    FOUR(VECTOR, 0x5c, SIZE_SSE, R),
    VECTOR(0x60, SIZE_MMX_HALF, R),
    VECTOR(0x61, SIZE_MMX_HALF, R),
    VECTOR(0x62, SIZE_MMX_HALF, R),
    MMX(0x63),
    MMX(0x64),
    MMX(0x65),
    MMX(0x66),
    MMX(0x67),
    MMX(0x68),
    MMX(0x69),
    MMX(0x6a),
    MMX(0x6b),
    MMX(0x6c),
    MMX(0x6d),
    VECTOR(0x6e, SIZE_WIDE, R),
    MMX(0x6f),
    VECTOR_BYTE(0x70, SIZE_MMX, R),
    VECTOR_BYTE(0x71, SIZE_NONE, 0),
    VECTOR_BYTE(0x72, SIZE_NONE, 0),
    VECTOR_BYTE(0x73, SIZE_NONE, 0),
    MMX(0x74),
    MMX(0x75),
    MMX(0x76),
    [0x77] = {CLASS_PLAIN, 0, 0, 0, 0, 0, OPCODE_VECTOR, 0}, /* emms, vzeroupper */
    [0x78] = {CLASS_INVALID, 1, 0, SIZE_NONE, 0, 0, 0, 0},
    [0x79] = {CLASS_INVALID, 1, 0, SIZE_NONE, 0, 0, 0, 0},
    VECTOR(0x7c, SIZE_VECTOR, R),
    VECTOR(0x7d, SIZE_VECTOR, R),
    VECTOR(0x7e, SIZE_SPECIAL, W),
    VECTOR(0x7f, SIZE_MMX, W),
    SIXTEEN(0x80, {CLASS_BRANCH, 0, IMMEDIATE_BRANCH, 0, 0, FLAGS_READ, 0, 0}),
    SIXTEEN(0x90, {CLASS_PLAIN, 1, 0, SIZE_1, W, FLAGS_READ, OPCODE_BYTE, 0}),
    [0xa0] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, OPCODE_64, SP},
    [0xa1] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, OPCODE_64, SP},
    RUNTIME(0xa2),
    [0xa3] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, FLAGS_WRITE, 0, 0},
    [0xa4] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xa5] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, CX},
    [0xa8] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, OPCODE_64, SP},
    [0xa9] = {CLASS_RUNTIME, 0, 0, 0, 0, 0, OPCODE_64, SP},
    RUNTIME(0xaa),
    [0xab] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xac] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xad] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, CX},
    [0xae] = {CLASS_PLAIN, 1, 0, SIZE_SPECIAL, R, 0, 0, AX | DX},
    [0xaf] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, FLAGS_WRITE, 0, 0},
    [0xb0] = {CLASS_PLAIN, 1, 0, SIZE_1, RW, FLAGS_KILL, OPCODE_BYTE, AX},
    [0xb1] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_KILL, 0, AX},
    [0xb2] = {CLASS_RUNTIME, 1, 0, SIZE_SPECIAL, R, 0, 0, 0},
    [0xb3] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xb4] = {CLASS_RUNTIME, 1, 0, SIZE_SPECIAL, R, 0, 0, 0},
    [0xb5] = {CLASS_RUNTIME, 1, 0, SIZE_SPECIAL, R, 0, 0, 0},
    [0xb6] = {CLASS_PLAIN, 1, 0, SIZE_1, R, 0, OPCODE_BYTE, 0},
    [0xb7] = {CLASS_PLAIN, 1, 0, SIZE_2, R, 0, 0, 0},
    [0xb8] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, FLAGS_WRITE, 0, 0}, /* popcnt */
    [0xb9] = {CLASS_INVALID, 1, 0, SIZE_OPERAND, R, 0, 0, 0},
    [0xba] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xbb] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_WRITE, 0, 0},
    [0xbc] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, FLAGS_WRITE, 0, 0},
    [0xbd] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, R, FLAGS_WRITE, 0, 0},
    [0xbe] = {CLASS_PLAIN, 1, 0, SIZE_1, R, 0, OPCODE_BYTE, 0},
    [0xbf] = {CLASS_PLAIN, 1, 0, SIZE_2, R, 0, 0, 0},
    [0xc0] = {CLASS_PLAIN, 1, 0, SIZE_1, RW, FLAGS_KILL, OPCODE_BYTE, 0},
    [0xc1] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, RW, FLAGS_KILL, 0, 0},
    VECTOR_BYTE(0xc2, SIZE_SSE, R),
    [0xc3] = {CLASS_PLAIN, 1, 0, SIZE_WIDE, W, 0, 0, 0},
    VECTOR_BYTE(0xc4, SIZE_2, R),
    VECTOR_BYTE(0xc5, SIZE_NONE, 0),
    VECTOR_BYTE(0xc6, SIZE_VECTOR, R),
    [0xc7] = {CLASS_PLAIN, 1, 0, SIZE_SPECIAL, RW, FLAGS_WRITE, 0, AX | BX | CX | DX},
    EIGHT(0xc8, {CLASS_PLAIN, 0, 0, 0, 0, 0, OPCODE_EMBEDDED, 0}), /* bswap */
    VECTOR(0xd0, SIZE_VECTOR, R),
    SHIFT(0xd1),
    SHIFT(0xd2),
    SHIFT(0xd3),
    MMX(0xd4),
    MMX(0xd5),
    VECTOR(0xd6, SIZE_8, W),
    VECTOR(0xd7, SIZE_NONE, 0),
    MMX(0xd8),
    MMX(0xd9),
    MMX(0xda),
    MMX(0xdb),
    MMX(0xdc),
    MMX(0xdd),
    MMX(0xde),
    MMX(0xdf),
    MMX(0xe0),
    SHIFT(0xe1),
    SHIFT(0xe2),
    MMX(0xe3),
    MMX(0xe4),
    MMX(0xe5),
    VECTOR(0xe6, SIZE_SPECIAL, R),
    VECTOR(0xe7, SIZE_MMX, W),
    MMX(0xe8),
    MMX(0xe9),
    MMX(0xea),
    MMX(0xeb),
    MMX(0xec),
    MMX(0xed),
    MMX(0xee),
    MMX(0xef),
    VECTOR(0xf0, SIZE_VECTOR, R),
    SHIFT(0xf1),
    SHIFT(0xf2),
    SHIFT(0xf3),
    MMX(0xf4),
    MMX(0xf5),
    MMX(0xf6),
    [0xf7] = {CLASS_RUNTIME, 1, 0, SIZE_NONE, 0, 0, OPCODE_VECTOR, DI}, /* maskmovdqu */
    MMX(0xf8),
    MMX(0xf9),
    MMX(0xfa),
    MMX(0xfb),
    MMX(0xfc),
    MMX(0xfd),
    MMX(0xfe),
    [0xff] = {CLASS_INVALID, 1, 0, SIZE_OPERAND, R, 0, 0, 0},
};
