#include "vm/gdb/registers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/gdb/hex.h"

struct description {
    const char *name, *type;
    uint8_t bits; /* on the wire */
    uint8_t size; /* of the member of struct vcpu_registers, in bytes; 0: there is none */
    uint16_t offset;
    bool is_fixed; /* can't be written */
};

#define MEMBER(member)                                                                             \
    .size = sizeof(((struct vcpu_registers *)0)->member),                                          \
    .offset = offsetof(struct vcpu_registers, member)
#define GENERAL(register)                                                                          \
    {                                                                                              \
        .name = #register, .type = "int64", .bits = 64, MEMBER(register)                           \
    }
#define SELECTOR(register)                                                                         \
    {                                                                                              \
        .name = #register, .type = "int32", .bits = 32, .is_fixed = true,                          \
        MEMBER(register.selector)                                                                  \
    }
#define FLOATING(register)                                                                         \
    {                                                                                              \
        .name = register, .type = "i387_ext", .bits = 80                                           \
    }
#define FLOATING_CONTROL(register)                                                                 \
    {                                                                                              \
        .name = register, .type = "int", .bits = 32                                                \
    }

/* The features in order; GDB wants all of the first one, also what we have no values of. */
static const struct description core[] = {
    GENERAL(rax),
    GENERAL(rbx),
    GENERAL(rcx),
    GENERAL(rdx),
    GENERAL(rsi),
    GENERAL(rdi),
    {.name = "rbp", .type = "data_ptr", .bits = 64, MEMBER(rbp)},
    {.name = "rsp", .type = "data_ptr", .bits = 64, MEMBER(rsp)},
    GENERAL(r8),
    GENERAL(r9),
    GENERAL(r10),
    GENERAL(r11),
    GENERAL(r12),
    GENERAL(r13),
    GENERAL(r14),
    GENERAL(r15),
    {.name = "rip", .type = "code_ptr", .bits = 64, MEMBER(rip)},
    {.name = "eflags", .type = "eflags", .bits = 32, MEMBER(rflags)},
    SELECTOR(cs),
    SELECTOR(ss),
    SELECTOR(ds),
    SELECTOR(es),
    SELECTOR(fs),
    SELECTOR(gs),
    FLOATING("st0"),
    FLOATING("st1"),
    FLOATING("st2"),
    FLOATING("st3"),
    FLOATING("st4"),
    FLOATING("st5"),
    FLOATING("st6"),
    FLOATING("st7"),
    FLOATING_CONTROL("fctrl"),
    FLOATING_CONTROL("fstat"),
    FLOATING_CONTROL("ftag"),
    FLOATING_CONTROL("fiseg"),
    FLOATING_CONTROL("fioff"),
    FLOATING_CONTROL("foseg"),
    FLOATING_CONTROL("fooff"),
    FLOATING_CONTROL("fop"),
};
static const struct description segments[] = {
    {.name = "fs_base", .type = "int64", .bits = 64, MEMBER(fs.base)},
    {.name = "gs_base", .type = "int64", .bits = 64, MEMBER(gs.base)},
};
static const struct description control[] = {
    GENERAL(cr0),
    GENERAL(cr2),
    GENERAL(cr3),
    GENERAL(cr4),
    GENERAL(cr8),
    GENERAL(efer),
    {.name = "apic_base", .type = "int64", .bits = 64, MEMBER(apic_base)},
    {.name = "gdt_base", .type = "int64", .bits = 64, MEMBER(gdt.base)},
    {.name = "gdt_limit", .type = "int16", .bits = 16, MEMBER(gdt.limit)},
    {.name = "idt_base", .type = "int64", .bits = 64, MEMBER(idt.base)},
    {.name = "idt_limit", .type = "int16", .bits = 16, MEMBER(idt.limit)},
    {.name = "tr", .type = "int16", .bits = 16, .is_fixed = true, MEMBER(tr.selector)},
    {.name = "ldt", .type = "int16", .bits = 16, .is_fixed = true, MEMBER(ldt.selector)},
};

static const struct feature {
    const char *name;
    const struct description *registers;
    unsigned count;
} features[] = {
    {"org.gnu.gdb.i386.core", core, sizeof core / sizeof *core},
    {"org.gnu.gdb.i386.segments", segments, sizeof segments / sizeof *segments},
    {"hull.x86.control", control, sizeof control / sizeof *control},
};
#define FEATURES (sizeof features / sizeof *features)

static const char flags[] = "<flags id=\"eflags\" size=\"4\">"
                            "<field name=\"CF\" start=\"0\" end=\"0\"/>"
                            "<field name=\"PF\" start=\"2\" end=\"2\"/>"
                            "<field name=\"AF\" start=\"4\" end=\"4\"/>"
                            "<field name=\"ZF\" start=\"6\" end=\"6\"/>"
                            "<field name=\"SF\" start=\"7\" end=\"7\"/>"
                            "<field name=\"TF\" start=\"8\" end=\"8\"/>"
                            "<field name=\"IF\" start=\"9\" end=\"9\"/>"
                            "<field name=\"DF\" start=\"10\" end=\"10\"/>"
                            "<field name=\"OF\" start=\"11\" end=\"11\"/>"
                            "<field name=\"NT\" start=\"14\" end=\"14\"/>"
                            "<field name=\"RF\" start=\"16\" end=\"16\"/>"
                            "<field name=\"VM\" start=\"17\" end=\"17\"/>"
                            "<field name=\"AC\" start=\"18\" end=\"18\"/>"
                            "<field name=\"VIF\" start=\"19\" end=\"19\"/>"
                            "<field name=\"VIP\" start=\"20\" end=\"20\"/>"
                            "<field name=\"ID\" start=\"21\" end=\"21\"/>"
                            "</flags>\n";

char *gdb_registers_describe(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        abort(); /* no memory */
    fprintf(stream, "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
                    "<target version=\"1.0\">\n<architecture>i386:x86-64</architecture>\n");
    for (size_t i = 0; i < FEATURES; i++) {
        fprintf(stream, "<feature name=\"%s\">\n%s", features[i].name, i == 0 ? flags : "");
        for (unsigned j = 0; j < features[i].count; j++) {
            const struct description *found = &features[i].registers[j];
            fprintf(stream, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>\n", found->name,
                    found->bits, found->type);
        }
        fprintf(stream, "</feature>\n");
    }
    fprintf(stream, "</target>\n");
    if (fclose(stream) != 0)
        abort();
    return text;
}

unsigned gdb_registers_count(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < FEATURES; i++)
        count += features[i].count;
    return count;
}

static const struct description *find(unsigned number)
{
    for (size_t i = 0; i < FEATURES; number -= features[i].count, i++) {
        if (number < features[i].count)
            return &features[i].registers[number];
    }
    return NULL;
}

char *gdb_registers_write(const struct vcpu_registers *registers, unsigned number, char *at)
{
    const struct description *found = find(number);
    uint64_t value = 0;
    if (!found)
        return at;
    if (found->size == 0) {
        memset(at, 'x', found->bits / 4);
        return at + found->bits / 4;
    }
    memcpy(&value, (const char *)registers + found->offset, found->size);
    return hex_write(at, &value, found->bits / 8);
}

char *gdb_registers_write_all(const struct vcpu_registers *registers, char *at)
{
    for (unsigned i = 0; i < gdb_registers_count(); i++)
        at = gdb_registers_write(registers, i, at);
    return at;
}

const char *gdb_registers_read(struct vcpu_registers *registers, unsigned number, const char *text)
{
    const struct description *found = find(number);
    uint64_t value = 0, before = 0;
    if (!found)
        return NULL;
    size_t digits = found->bits / 4;
    if (strspn(text, "x") >= digits)
        return text + digits;
    if (found->size == 0 || !hex_read(text, &value, found->bits / 8))
        return NULL;
    char *member = (char *)registers + found->offset;
    memcpy(&before, member, found->size);
    if (found->is_fixed && value != before)
        return NULL;
    /* What the wire is too narrow for, of rflags, is 0. */
    memcpy(member, &value, found->size);
    return text + digits;
}
