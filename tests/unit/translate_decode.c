/* translate/instruction: the length of each instruction of real programs is what the disassembler
 * of binutils says; what instructions do to registers, memory and flags, of a sample. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "translate/instruction.h"

/* A line of objdump's: address, tab, bytes in hexadecimal, tab, the instruction. What goes on with
 * bytes alone belongs to the line before. */
static unsigned read_bytes(char *line, uint8_t *bytes, bool *goes_on)
{
    char *at = strchr(line, '\t'), *end = at ? strchr(at + 1, '\t') : NULL;
    unsigned count = 0, value;
    *goes_on = !end;
    if (!at || at == line || at[-1] != ':')
        return 0;
    if (end)
        *end = '\0';
    for (at++; count < 16 && sscanf(at, "%2x", &value) == 1; at += 3)
        bytes[count++] = (uint8_t)value;
    if (end)
        *end = '\t';
    return count;
}

/* What objdump itself doesn't take for code, and prefixes that it shows alone. */
static bool is_code(const char *line)
{
    static const char *const others[] = {"(bad)",    "\trex",       ".byte",
                                         "\tdata16", "\tlock lock", "\trepz repz"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        if (strstr(line, others[i]))
            return false;
    }
    return true;
}

static void compare_with_disassembler(const char *program, unsigned long least)
{
    char command[256], line[512], text[512] = "";
    uint8_t bytes[32] = {0};
    unsigned length = 0;
    unsigned long count = 0;
    if (access(program, R_OK) < 0) {
        print_message("no %s\n", program);
        skip();
    }
    snprintf(command, sizeof command, "exec objdump -d '%s'", program);
    FILE *lines = popen(command, "r");
    assert_non_null(lines);
    while (fgets(line, sizeof line, lines)) {
        bool goes_on;
        uint8_t next[32] = {0};
        unsigned found = read_bytes(line, next, &goes_on);
        if (found == 0)
            continue;
        if (goes_on) {
            memcpy(bytes + length, next, found);
            length += found;
            continue;
        }
        struct instruction in;
        int decoded = length ? instruction_decode(&in, bytes, sizeof bytes, 64) : 0;
        /* It shows wait and what comes behind it as one. */
        bool is_two = bytes[0] == 0x9b && length > 1;
        if (length && !is_two && is_code(text)) {
            if (decoded != (int)length)
                fail_msg("%s has %u bytes, not %d", text, length, decoded);
            assert_int_equal(instruction_decode(&in, bytes, length - 1, 64), 0);
            count++;
        }
        memcpy(bytes, next, sizeof bytes);
        memcpy(text, line, sizeof text);
        length = found;
    }
    assert_int_equal(pclose(lines), 0);
    assert_true(count >= least);
}

static void lengths_of_busybox(void **state)
{
    (void)state;
    compare_with_disassembler("/bin/busybox", 300000);
}

static void lengths_of_mathematics(void **state)
{
    (void)state;
    compare_with_disassembler("/lib/x86_64-linux-gnu/libm.so.6", 100000);
}

static struct instruction decode(unsigned mode, const char *bytes, size_t size)
{
    struct instruction in;
    assert_int_equal(instruction_decode(&in, (const uint8_t *)bytes, size, mode), size);
    return in;
}
#define DECODE(mode, bytes) decode(mode, bytes, sizeof bytes - 1)

static void operands(void **state)
{
    (void)state;
    /* lock cmpxchg %rcx,0x12345678(%r13,%rsi,4) */
    struct instruction in = DECODE(64, "\xf0\x49\x0f\xb1\x8c\xb5\x78\x56\x34\x12");
    assert_int_equal(in.base, 13);
    assert_int_equal(in.index, REGISTER_RSI);
    assert_int_equal(in.scale, 2);
    assert_int_equal(in.displacement, 0x12345678);
    assert_int_equal(in.memory_size, 8);
    assert_int_equal(in.access, ACCESS_READ | ACCESS_WRITE);
    assert_int_equal(in.registers,
                     1 << 13 | 1 << REGISTER_RSI | 1 << REGISTER_RCX | 1 << REGISTER_RAX);
    assert_int_equal(in.flags, FLAGS_KILL);
    /* mov %ah,%gs:(%rip), and the same with REX, where it is SPL */
    in = DECODE(64, "\x65\x88\x25\x04\0\0\0");
    assert_int_equal(in.base, REGISTER_RIP);
    assert_int_equal(in.segment, SEGMENT_GS);
    assert_int_equal(in.access, ACCESS_WRITE);
    assert_true(in.registers & 1 << REGISTER_RAX);
    assert_false(DECODE(64, "\x40\x88\x25\x04\0\0\0").registers & 1 << REGISTER_RAX);
    /* vfmadd231sd (%rdi),%xmm1,%xmm2; vmovaps %ymm8,-32(%rsp) */
    assert_int_equal(DECODE(64, "\xc4\xe2\xf1\xb9\x17").memory_size, 8);
    in = DECODE(64, "\xc5\x7c\x29\x44\x24\xe0");
    assert_int_equal(in.memory_size, 32);
    assert_int_equal(in.access, ACCESS_WRITE);
    assert_int_equal(in.reg, 8);
    /* rep stosb, popf, syscall, cpuid */
    assert_int_equal(DECODE(64, "\xf3\xaa").class, CLASS_STRING);
    assert_int_equal(DECODE(64, "\x9d").class, CLASS_RUNTIME);
    assert_int_equal(DECODE(64, "\x0f\x05").class, CLASS_RUNTIME);
    assert_int_equal(DECODE(64, "\x0f\xa2").class, CLASS_RUNTIME);
}

static void modes(void **state)
{
    (void)state;
    /* 48 is dec %eax in the old modes, and a prefix in 64-bit mode. */
    assert_int_equal(DECODE(32, "\x48").class, CLASS_PLAIN);
    assert_int_equal(DECODE(64, "\x48\x89\xc0").operand_size, 8);
    assert_int_equal(DECODE(16, "\x89\xc0").operand_size, 2);
    assert_int_equal(DECODE(16, "\x66\x89\xc0").operand_size, 4);
    /* mov 0x1234(%bp,%si),%ax */
    struct instruction in = DECODE(16, "\x8b\x82\x34\x12");
    assert_int_equal(in.base, REGISTER_RBP);
    assert_int_equal(in.index, REGISTER_RSI);
    assert_int_equal(in.segment, SEGMENT_SS);
    assert_int_equal(in.displacement, 0x1234);
    /* les, not VEX; push %es */
    assert_int_equal(DECODE(32, "\xc4\x00").class, CLASS_RUNTIME);
    assert_int_equal(DECODE(32, "\x06").class, CLASS_RUNTIME);
    assert_int_equal(DECODE(64, "\x06").class, CLASS_INVALID);
    assert_int_equal(DECODE(32, "\xea\x78\x56\x34\x12\x10\x00").selector, 0x10);
}

static void refused(void **state)
{
    struct instruction in;
    uint8_t prefixes[16];
    (void)state;
    memset(prefixes, 0x66, sizeof prefixes);
    assert_int_equal(instruction_decode(&in, prefixes, sizeof prefixes, 64), -1);
    assert_int_equal(instruction_decode(&in, prefixes, 0, 64), 0);
    /* LOCK without memory, or before what doesn't write it; VEX without AVX's form; EVEX. */
    assert_int_equal(DECODE(64, "\xf0\x01\xc0").class, CLASS_INVALID);
    assert_int_equal(DECODE(64, "\xf0\x3b\x00").class, CLASS_INVALID);
    assert_int_equal(DECODE(64, "\xc5\xf8\xa2").class, CLASS_INVALID);
    assert_int_equal(DECODE(64, "\x62\xf1\x7c\x48\x28\x00").class, CLASS_INVALID);
    assert_int_equal(DECODE(64, "\x0f\x0b").class, CLASS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_of_busybox),
        cmocka_unit_test(lengths_of_mathematics),
        cmocka_unit_test(operands),
        cmocka_unit_test(modes),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
