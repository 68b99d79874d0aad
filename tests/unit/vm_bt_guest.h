/* A small guest of the engine bt: page tables, handlers and segments are there; code is put to CODE
 * and runs until it writes to PORT_STOP. */
#ifndef HULL_TEST_VM_BT_GUEST_H
#define HULL_TEST_VM_BT_GUEST_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vm/board/interrupts.h"
#include "vm/cpu/engine.h"

#define MEMORY_SIZE 0x200000u
#define TABLES 0x1000 /* PML4, PDPT, PD, PT; then a PD for the 4th GiB */
#define IDT 0x6000
#define GDT 0x7000
#define TSS 0x7800
#define HANDLERS 0x8000 /* 16 bytes each */
#define STACK_TOP 0xb000
#define CODE 0x10000
#define DATA 0x20000 /* to read and write */
#define READ_ONLY 0x30000
#define NO_EXECUTE 0x31000
#define USER_CODE 0x40000
#define USER_DATA 0x41000
#define DEVICE 0xfeb00000ull
#define PORT_STOP 0x10
#define PORT_VALUE 0x20

#define P 1ull
#define W 2ull
#define U 4ull
#define LARGE 0x80ull
#define NX (1ull << 63)

struct guest {
    struct engine_board board;
    struct engine *engine;
    struct vcpu *vcpu;
    uint8_t *memory;
    struct vcpu_registers registers;
    uint64_t values[16]; /* what was written to PORT_VALUE and the device */
    unsigned count;
    struct sigaction handlers[4]; /* the engine's */
    int vector;                   /* the exception that stopped it, or -1 */
    uint64_t frame[6];
};

static uint64_t read_board(struct engine_board *board, enum engine_space space, uint64_t address,
                           unsigned size)
{
    (void)board;
    return space == ENGINE_MEMORY ? address + size : 0x1122334455667788;
}

static void write_board(struct engine_board *board, enum engine_space space, uint64_t address,
                        unsigned size, uint64_t value)
{
    struct guest *guest = (struct guest *)board;
    (void)size;
    if (space == ENGINE_PORT && address == PORT_STOP) {
        guest->vector = (int8_t)value;
        guest->engine->operations->kick(guest->vcpu);
    } else if (guest->count < 16) {
        guest->values[guest->count++] = value;
    }
}

static void put(struct guest *guest, uint64_t address, uint64_t value)
{
    memcpy(guest->memory + address, &value, sizeof value);
}

static void write_tables(struct guest *guest)
{
    put(guest, TABLES, (TABLES + 0x1000) | P | W | U);
    put(guest, TABLES + 0x1000, (TABLES + 0x2000) | P | W | U);
    put(guest, TABLES + 0x1000 + 24, (TABLES + 0x4000) | P | W);
    put(guest, TABLES + 0x2000, (TABLES + 0x3000) | P | W | U);
    for (uint64_t page = 0; page < 512; page++)
        put(guest, TABLES + 0x3000 + 8 * page, page << 12 | P | W);
    put(guest, TABLES + 0x3000 + 8 * (READ_ONLY >> 12), READ_ONLY | P);
    put(guest, TABLES + 0x3000 + 8 * (NO_EXECUTE >> 12), NO_EXECUTE | P | W | NX);
    put(guest, TABLES + 0x3000 + 8 * (USER_CODE >> 12), USER_CODE | P | U);
    put(guest, TABLES + 0x3000 + 8 * (USER_DATA >> 12), USER_DATA | P | W | U);
    for (uint64_t i = 0; i < 512; i++)
        put(guest, TABLES + 0x4000 + 8 * i, 0xc0000000 + (i << 21) + (P | W | LARGE));
}

/* mov $vector,%al; out %al,$PORT_STOP; hlt, with the stack as the processor left it. */
static void write_handlers(struct guest *guest)
{
    for (unsigned vector = 0; vector < 64; vector++) {
        const uint8_t code[] = {0xb0, (uint8_t)vector, 0xe6, PORT_STOP, 0xf4};
        uint64_t address = HANDLERS + 16 * vector;
        memcpy(guest->memory + address, code, sizeof code);
        /* Interrupt gates that privilege level 3 may use for 3 only. */
        put(guest, IDT + 16 * vector,
            (address & 0xffff) | 8ull << 16 | (vector == 3 ? 0xeeull : 0x8eull) << 40 |
                (address >> 16) << 48);
        put(guest, IDT + 16 * vector + 8, 0);
    }
    put(guest, GDT + 8, 0x00af9b000000ffff);
    put(guest, GDT + 16, 0x00cf93000000ffff);
    put(guest, GDT + 24, 0x00cffb000000ffff);
    put(guest, GDT + 32, 0x00cff3000000ffff);
    put(guest, GDT + 40, 0x00affb000000ffff);
    put(guest, TSS + 4, STACK_TOP);
}

static struct vcpu_segment flat(uint16_t selector, bool is_code)
{
    return (struct vcpu_segment){.limit = UINT32_MAX,
                                 .selector = selector,
                                 .type = is_code ? 11 : 3,
                                 .dpl = selector & 3,
                                 .present = true,
                                 .is_long = is_code,
                                 .is_32bit = !is_code,
                                 .granular = true};
}

static const int faults[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS};

static int open_guest(void **state)
{
    static struct guest guest;
    const struct engine_options options = {.vcpus = 1};
    struct error err = {0};
    guest = (struct guest){.board = {read_board, write_board}};
    guest.memory =
        mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(guest.memory, MAP_FAILED);
    const struct guest_region region = {.size = MEMORY_SIZE, .host = guest.memory, .fd = -1};
    guest.engine = bt_engine_open(&options, &guest.board, &err);
    if (!guest.engine)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < 4; i++)
        sigaction(faults[i], NULL, &guest.handlers[i]);
    assert_int_equal(guest.engine->operations->map_memory(guest.engine, 0, &region, false, &err),
                     0);
    static struct cpuid cpuid;
    assert_int_equal(guest.engine->operations->supported_cpuid(guest.engine, &cpuid, &err), 0);
    guest.vcpu = guest.engine->operations->create_vcpu(guest.engine, 0, &cpuid, &err);
    assert_non_null(guest.vcpu);
    write_tables(&guest);
    write_handlers(&guest);
    *state = &guest;
    return 0;
}

static int close_guest(void **state)
{
    struct guest *guest = *state;
    guest->engine->operations->close_vcpu(guest->vcpu);
    guest->engine->operations->close(guest->engine);
    munmap(guest->memory, MEMORY_SIZE);
    return 0;
}

static void prepare(struct guest *guest, const void *code, size_t size)
{
    memcpy(guest->memory + CODE, code, size);
    guest->count = 0;
    guest->vector = -1;
    guest->registers = (struct vcpu_registers){.rip = CODE,
                                               .rflags = 2,
                                               .rsp = STACK_TOP,
                                               .cs = flat(8, true),
                                               .ss = flat(16, false),
                                               .ds = flat(16, false),
                                               .es = flat(16, false),
                                               .fs = flat(16, false),
                                               .gs = flat(16, false),
                                               .tr = {.base = TSS,
                                                      .limit = 0x67,
                                                      .selector = 48,
                                                      .type = 11,
                                                      .present = true,
                                                      .system = true},
                                               .ldt = {.unusable = true},
                                               .gdt = {GDT, 0x37},
                                               .idt = {IDT, 0x3ff},
                                               .cr0 = 0x80010031,
                                               .cr3 = TABLES,
                                               .cr4 = 0x620,
                                               .efer = 0xd00,
                                               .apic_base = 0xfee00900};
}

static enum vcpu_exit go(struct guest *guest)
{
    struct error err = {0};
    const struct engine_operations *engine = guest->engine->operations;
    assert_int_equal(engine->set_registers(guest->vcpu, &guest->registers, &err), 0);
    enum vcpu_exit reason;
    for (unsigned i = 0; i < 4; i++) /* cmocka has put its own there */
        sigaction(faults[i], &guest->handlers[i], NULL);
    do
        reason = engine->run(guest->vcpu, &err);
    while (reason == VCPU_INTERRUPTED && guest->vector == -1);
    assert_int_equal(engine->get_registers(guest->vcpu, &guest->registers, &err), 0);
    if (guest->registers.rsp <= STACK_TOP - 40)
        memcpy(guest->frame, guest->memory + guest->registers.rsp, sizeof guest->frame);
    return reason;
}

static void run_code(struct guest *guest, const void *code, size_t size)
{
    prepare(guest, code, size);
    assert_int_equal(go(guest), VCPU_INTERRUPTED);
}
#define RUN(guest, code) run_code(guest, code, sizeof code - 1)
#define STOP "\xb0\x7f\xe6\x10\xf4"

#endif
