/* The opcodes behind 0F 38 and 0F 3A, all with ModRM, the latter all with a byte. */
#include "translate/opcodes.h"

#define R ACCESS_READ
#define W ACCESS_WRITE

#define VECTOR(opcode, size) [opcode] = {CLASS_PLAIN, 1, 0, size, R, 0, OPCODE_VECTOR, 0}
#define STORE(opcode, size) [opcode] = {CLASS_PLAIN, 1, 0, size, W, 0, OPCODE_VECTOR, 0}
#define TWO(opcode, size) VECTOR(opcode, size), VECTOR(opcode + 1, size)
#define FOUR(opcode, size) TWO(opcode, size), TWO(opcode + 2, size)
#define GENERAL(opcode, size, changes) [opcode] = {CLASS_PLAIN, 1, 0, size, R, changes, 0, 0}
/* Address registers that are a vector: no memory operand of one address. */
#define GATHER(opcode) [opcode] = {CLASS_RUNTIME, 1, 0, SIZE_VECTOR, R, 0, OPCODE_VECTOR, 0}
#define DX (1 << REGISTER_RDX)

const struct opcode opcodes_0f38[256] = {
    FOUR(0x00, SIZE_MMX),
    FOUR(0x04, SIZE_MMX),
    FOUR(0x08, SIZE_MMX),
    FOUR(0x0c, SIZE_VECTOR),
    VECTOR(0x10, SIZE_VECTOR),
    VECTOR(0x13, SIZE_HALF), /* vcvtph2ps */
    TWO(0x14, SIZE_VECTOR),
    TWO(0x16, SIZE_VECTOR),
    VECTOR(0x18, SIZE_4),
    VECTOR(0x19, SIZE_8),
    VECTOR(0x1a, SIZE_16),
    VECTOR(0x1c, SIZE_MMX),
    VECTOR(0x1d, SIZE_MMX),
    VECTOR(0x1e, SIZE_MMX),
    VECTOR(0x20, SIZE_HALF),
    VECTOR(0x21, SIZE_QUARTER),
    VECTOR(0x22, SIZE_EIGHTH),
    VECTOR(0x23, SIZE_HALF),
    VECTOR(0x24, SIZE_QUARTER),
    VECTOR(0x25, SIZE_HALF),
    FOUR(0x28, SIZE_VECTOR),
    TWO(0x2c, SIZE_VECTOR), /* vmaskmov */
    STORE(0x2e, SIZE_VECTOR),
    STORE(0x2f, SIZE_VECTOR),
    VECTOR(0x30, SIZE_HALF),
    VECTOR(0x31, SIZE_QUARTER),
    VECTOR(0x32, SIZE_EIGHTH),
    VECTOR(0x33, SIZE_HALF),
    VECTOR(0x34, SIZE_QUARTER),
    VECTOR(0x35, SIZE_HALF),
    TWO(0x36, SIZE_VECTOR),
    FOUR(0x38, SIZE_VECTOR),
    FOUR(0x3c, SIZE_VECTOR),
    VECTOR(0x40, SIZE_VECTOR),
    VECTOR(0x41, SIZE_16),
    VECTOR(0x45, SIZE_VECTOR),
    TWO(0x46, SIZE_VECTOR),
    VECTOR(0x58, SIZE_4),
    VECTOR(0x59, SIZE_8),
    VECTOR(0x5a, SIZE_16),
    VECTOR(0x78, SIZE_1),
    VECTOR(0x79, SIZE_2),
    [0x80] = {CLASS_INVALID, 1, 0, SIZE_16, R, 0, 0, 0},
    [0x81] = {CLASS_INVALID, 1, 0, SIZE_16, R, 0, 0, 0},
    [0x82] = {CLASS_RUNTIME, 1, 0, SIZE_16, R, 0, OPCODE_64, 0}, /* invpcid */
    VECTOR(0x8c, SIZE_VECTOR),
    STORE(0x8e, SIZE_VECTOR),
    GATHER(0x90),
    GATHER(0x91),
    GATHER(0x92),
    GATHER(0x93),
    TWO(0x96, SIZE_FMA),
    FOUR(0x98, SIZE_FMA),
    FOUR(0x9c, SIZE_FMA),
    TWO(0xa6, SIZE_FMA),
    FOUR(0xa8, SIZE_FMA),
    FOUR(0xac, SIZE_FMA),
    TWO(0xb6, SIZE_FMA),
    FOUR(0xb8, SIZE_FMA),
    FOUR(0xbc, SIZE_FMA),
    FOUR(0xc8, SIZE_16), /* sha */
    TWO(0xcc, SIZE_16),
    VECTOR(0xcf, SIZE_VECTOR),
    VECTOR(0xdb, SIZE_16),
    FOUR(0xdc, SIZE_VECTOR),
    [0xf0] = {CLASS_PLAIN, 1, 0, SIZE_SPECIAL, R, 0, 0, 0}, /* movbe, crc32 */
    [0xf1] = {CLASS_PLAIN, 1, 0, SIZE_OPERAND, W, 0, 0, 0},
    GENERAL(0xf2, SIZE_WIDE, FLAGS_WRITE),              /* andn */
    GENERAL(0xf3, SIZE_WIDE, FLAGS_WRITE),              /* blsr, blsmsk, blsi */
    GENERAL(0xf5, SIZE_WIDE, FLAGS_WRITE),              /* bzhi, pdep, pext */
    GENERAL(0xf6, SIZE_WIDE, FLAGS_WRITE | FLAGS_READ), /* mulx, adcx, adox */
    GENERAL(0xf7, SIZE_WIDE, FLAGS_WRITE),              /* bextr, shlx */
};

#undef VECTOR
#undef STORE
#define VECTOR(opcode, size)                                                                       \
    [opcode] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, size, R, 0, OPCODE_VECTOR, 0}
#define STORE(opcode, size)                                                                        \
    [opcode] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, size, W, 0, OPCODE_VECTOR, 0}
#define COMPARE(opcode, changes)                                                                   \
    [opcode] = {CLASS_PLAIN,                                                                       \
                1,                                                                                 \
                IMMEDIATE_BYTE,                                                                    \
                SIZE_16,                                                                           \
                R,                                                                                 \
                changes,                                                                           \
                OPCODE_VECTOR,                                                                     \
                1 << REGISTER_RAX | 1 << REGISTER_RCX | 1 << REGISTER_RDX}

const struct opcode opcodes_0f3a[256] = {
    TWO(0x00, SIZE_VECTOR),
    VECTOR(0x02, SIZE_VECTOR),
    TWO(0x04, SIZE_VECTOR),
    VECTOR(0x06, SIZE_32),
    TWO(0x08, SIZE_VECTOR),
    VECTOR(0x0a, SIZE_4),
    VECTOR(0x0b, SIZE_8),
    FOUR(0x0c, SIZE_MMX), /* only 0F, palignr, has a form without a prefix */
    STORE(0x14, SIZE_1),
    STORE(0x15, SIZE_2),
    STORE(0x16, SIZE_WIDE),
    STORE(0x17, SIZE_4),
    VECTOR(0x18, SIZE_16),
    STORE(0x19, SIZE_16),
    STORE(0x1d, SIZE_HALF),
    VECTOR(0x20, SIZE_1),
    VECTOR(0x21, SIZE_4),
    VECTOR(0x22, SIZE_WIDE),
    VECTOR(0x38, SIZE_16),
    STORE(0x39, SIZE_16),
    VECTOR(0x40, SIZE_VECTOR),
    VECTOR(0x41, SIZE_16),
    VECTOR(0x42, SIZE_VECTOR),
    VECTOR(0x44, SIZE_VECTOR),
    VECTOR(0x46, SIZE_32),
    TWO(0x4a, SIZE_VECTOR),
    VECTOR(0x4c, SIZE_VECTOR),
    COMPARE(0x60, FLAGS_WRITE),
    COMPARE(0x61, FLAGS_WRITE),
    COMPARE(0x62, FLAGS_WRITE),
    COMPARE(0x63, FLAGS_WRITE),
    VECTOR(0xcc, SIZE_16),
    TWO(0xce, SIZE_VECTOR),
    VECTOR(0xdf, SIZE_16),
    [0xf0] = {CLASS_PLAIN, 1, IMMEDIATE_BYTE, SIZE_WIDE, R, 0, 0, 0}, /* rorx */
};
