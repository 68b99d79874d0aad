/* vm/cpu/bt: small guests in 64-bit mode: exceptions are exact, code that changes itself is seen,
 * levels and page tables hold, interrupts and kicks reach a loop, devices and strings work. */
#include "vm_bt_guest.h"

/* ---- Exceptions ---- */

#define HAS_ERROR(vector) ((vector) < 32 && (0x27d00u >> (vector)&1))

static void exceptions_are_exact(void **state)
{
    static const struct {
        const char *what, *code;
        size_t size;
        int vector;
        uint64_t error, rip, cr2;
    } cases[] = {
#define CASE(what, code, ...) {what, code, sizeof code - 1, __VA_ARGS__}
        CASE("ud2", "\x90\x0f\x0b", 6, 0, CODE + 1, 0),
        CASE("div by zero", "\x31\xc9\xf7\xf1", 0, 0, CODE + 2, 0),
        CASE("idiv of memory",
             "\x31\xd2\x48\xc7\x04\x25\0\0\x02\0\0\0\0\0\x48\xf7\x3c\x25\0\0\x02\0", 0, 0,
             CODE + 14, 0),
        CASE("read of what isn't there", "\x90\x48\x8b\x04\x25\0\0\0\x40", 14, 0, CODE + 1,
             0x40000000),
        CASE("write to what isn't there", "\x48\xff\x04\x25\x08\0\0\x40", 14, 2, CODE, 0x40000008),
        CASE("write to a page to read", "\xc7\x04\x25\x04\0\x03\0\x01\0\0\0", 14, 3, CODE, 0x30004),
        CASE("crossing into a page to read", "\x48\x89\x04\x25\xfc\xff\x02\0", 14, 3, CODE,
             0x30000),
        CASE("execution of data", "\xb8\0\x10\x03\0\xff\xe0", 14, 0x11, NO_EXECUTE, NO_EXECUTE),
        CASE("no canonical address", "\x48\xb8\0\0\0\0\0\0\0\x80\x8a\x08", 13, 0, CODE + 10, 0),
        CASE("unaligned vector", "\x0f\x28\x04\x25\x08\0\x02\0", 13, 0, CODE, 0),
        CASE("no such segment", "\xb8\x34\x12\0\0\x8e\xd8", 13, 0x1234, CODE + 5, 0),
        CASE("int3", "\x90\xcc", 3, 0, CODE + 2, 0),
        CASE("int $0x30", "\xcd\x30", 0x30, 0, CODE + 2, 0),
        CASE("push to a page to read", "\xbc\0\x10\x03\0\x50", -2, 0, 0, 0),
        CASE("no such control register", "\x0f\x22\xc8", 6, 0, CODE, 0),
        CASE("reserved bits of CR4", "\x48\xb8\0\0\0\0\x01\0\0\0\x0f\x22\xe0", 13, 0, CODE + 10, 0),
        CASE("no such register", "\xb9\x77\x77\x77\x77\x0f\x32", 13, 0, CODE + 5, 0),
    };
    struct guest *guest = *state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        prepare(guest, cases[i].code, cases[i].size);
        enum vcpu_exit reason = go(guest);
        if (cases[i].vector == -2) { /* its own handler can't push either: a triple fault */
            assert_int_equal(reason, VCPU_SHUTDOWN);
            continue;
        }
        bool has_error = HAS_ERROR(cases[i].vector);
        uint64_t *frame = guest->frame + has_error;
        if (guest->vector != cases[i].vector || frame[0] != cases[i].rip)
            fail_msg("%s: exception %d at %#llx", cases[i].what, guest->vector,
                     (unsigned long long)frame[0]);
        if (has_error)
            assert_int_equal(guest->frame[0], cases[i].error);
        if (cases[i].vector == 14)
            assert_int_equal(guest->registers.cr2, cases[i].cr2);
        assert_int_equal(frame[1], 8);
        assert_int_equal(frame[3], STACK_TOP);
        assert_int_equal(frame[4], 16);
    }
}

static void registers_survive_a_fault(void **state)
{
    struct guest *guest = *state;
    /* stc; mov of all kinds; add (%rax),%rbx, which faults and is then tried again */
    static const char code[] = "\xb8\0\0\0\x40\xbb\x05\0\0\0\xb9\x07\0\0\0\xf9\x48\x11\x18" STOP;
    RUN(guest, code);
    assert_int_equal(guest->vector, 14);
    assert_int_equal(guest->frame[0], 2);
    assert_int_equal(guest->registers.rbx, 5);
    assert_int_equal(guest->registers.rcx, 7);
    assert_int_equal(guest->frame[3] & 1, 1); /* CF, which the instruction reads */
    /* Now map it, and go back by iretq. */
    put(guest, TABLES + 0x1000 + 8, (TABLES + 0x2000) | P | W);
    static const char back[] = "\x48\x83\xc4\x08\xb8\0\0\x02\x40\x48\xcf";
    memcpy(guest->memory + HANDLERS + 16 * 14, back, sizeof back - 1);
    put(guest, DATA, 100);
    prepare(guest, code, sizeof code - 1);
    guest->memory[CODE + 3] = 2; /* mov $0x40020000,%eax */
    assert_int_equal(go(guest), VCPU_INTERRUPTED);
    assert_int_equal(guest->vector, 0x7f);
    assert_int_equal(*(uint64_t *)(void *)(guest->memory + DATA), 106);
    put(guest, TABLES + 0x1000 + 8, 0);
    write_handlers(guest);
}

/* ---- Code that changes ---- */

static void code_changes_itself(void **state)
{
    struct guest *guest = *state;
    /* 100 times: changes the constant of the next instruction, that adds it to %ebx:
     *     xor %ebx,%ebx; mov $100,%ecx
     * 1:  mov %cl,2f+2(%rip); 2: add $0,%ebx (83 c3 ib); dec %ecx; jnz 1b; stop */
    static const char code[] = "\x31\xdb\xb9\x64\0\0\0"
                               "\x88\x0d\x02\0\0\0"
                               "\x83\xc3\0"
                               "\xff\xc9\x75\xf3" STOP;
    RUN(guest, code);
    assert_int_equal(guest->vector, 0x7f);
    assert_int_equal((uint32_t)guest->registers.rbx, 100 * 101 / 2);
    /* The same from another page: a function there is called, changed, called. */
    static const char function[] = "\xb8\x01\0\0\0\xc3";
    static const char caller[] = "\xe8\xfb\xff\0\0\x89\xc3\xc6\x04\x25\x01\0\x02\0\x05"
                                 "\xe8\xec\xff\0\0\x01\xc3" STOP;
    memcpy(guest->memory + DATA, function, sizeof function - 1);
    RUN(guest, caller);
    assert_int_equal(guest->vector, 0x7f);
    assert_int_equal((uint32_t)guest->registers.rbx, 6);
    /* And by a device, which says so. */
    guest->memory[DATA + 1] = 9;
    guest->engine->operations->note_write(guest->engine, DATA, 2);
    RUN(guest, caller);
    assert_int_equal((uint32_t)guest->registers.rbx, 14);
}

/* ---- Levels ---- */

/* push $0x23; push $USER_DATA+0x800; push $0x202; push $0x2b; push $USER_CODE; iretq */
#define TO_USER "\x6a\x23\x68\0\x18\x04\0\x68\x02\x02\0\0\x6a\x2b\x68\0\0\x04\0\x48\xcf"

static void run_user(struct guest *guest, const void *code, size_t size)
{
    memcpy(guest->memory + USER_CODE, code, size);
    RUN(guest, TO_USER);
}

static void levels_hold(void **state)
{
    static const struct {
        const char *code;
        size_t size;
        int vector;
        uint64_t error, cr2;
    } cases[] = {
#define USER_CASE(code, ...) {code, sizeof code - 1, __VA_ARGS__}
        USER_CASE("\x8b\x04\x25\0\0\x02\0", 14, 5, DATA), /* a page of the kernel's */
        USER_CASE("\xc7\x04\x25\0\0\x04\0\x01\0\0\0", 14, 7, USER_CODE), /* its own code */
        USER_CASE("\xfa", 13, 0, 0),                                     /* cli */
        USER_CASE("\xf4", 13, 0, 0),                                     /* hlt */
        USER_CASE("\xe6\x80", 13, 0, 0),                                 /* out */
        USER_CASE("\x0f\x20\xc0", 13, 0, 0),                             /* mov %cr0,%rax */
        USER_CASE("\x0f\x01\xf8", 13, 0, 0),                             /* swapgs */
        USER_CASE("\xcd\x20", 13, 0x20 * 8 + 2, 0), /* a gate of the kernel's */
        USER_CASE("\xcc", 3, 0, 0),                 /* one that isn't */
        USER_CASE("\x0f\x05", 6, 0, 0),             /* syscall, not switched on */
    };
    struct guest *guest = *state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_user(guest, cases[i].code, cases[i].size);
        assert_int_equal(guest->vector, cases[i].vector);
        bool has_error = HAS_ERROR(cases[i].vector);
        if (has_error)
            assert_int_equal(guest->frame[0], cases[i].error);
        if (cases[i].vector == 14)
            assert_int_equal(guest->registers.cr2, cases[i].cr2);
        assert_int_equal(guest->frame[has_error + 1], 0x2b);
        assert_int_equal(guest->frame[has_error + 4], 0x23);
        assert_int_equal(guest->frame[has_error + 3], USER_DATA + 0x800);
    }
}

static void popf_keeps_what_is_the_kernels(void **state)
{
    struct guest *guest = *state;
    /* pushq $0; popf; pushf; pop %rbx; pushq $0x3202; popf; pushf; pop %rcx; int3 */
    static const char code[] = "\x6a\0\x9d\x9c\x5b\x68\x02\x32\0\0\x9d\x9c\x59\xcc";
    run_user(guest, code, sizeof code - 1);
    assert_int_equal(guest->registers.rbx, 0x202);
    assert_int_equal(guest->registers.rcx, 0x202);
}

static void system_calls(void **state)
{
    struct guest *guest = *state;
    const struct vcpu_msr msrs[] = {{0xc0000081, 0x001b000800000000}, /* STAR */
                                    {0xc0000082, CODE + 0x100},       /* LSTAR */
                                    {0xc0000084, 0x200}};             /* SFMASK */
    /* The kernel's side counts and returns: inc %rbx; sysretq */
    static const char user[] = "\xbb\0\0\0\0\xba\x0a\0\0\0\x0f\x05\xff\xca\x75\xfa\xcc";
    memcpy(guest->memory + CODE + 0x100, "\x48\xff\xc3\x48\x0f\x07", 6);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(guest->engine->operations->set_msr(guest->vcpu, &msrs[i], NULL), 0);
    memcpy(guest->memory + USER_CODE, user, sizeof user - 1);
    prepare(guest, TO_USER, sizeof TO_USER - 1);
    guest->registers.efer |= 1;
    assert_int_equal(go(guest), VCPU_INTERRUPTED);
    assert_int_equal(guest->vector, 3);
    assert_int_equal(guest->registers.rbx, 10);
    assert_int_equal(guest->frame[1], 0x2b);
}

/* ---- Devices, strings ---- */

static void devices_are_reached(void **state)
{
    struct guest *guest = *state;
    /* mov $DEVICE,%ebx; mov 8(%rbx),%eax; add %rax,16(%rbx); movb $5,(%rbx); in $0x30,%ax */
    static const char code[] = "\xbb\0\0\xb0\xfe\x8b\x43\x08\x89\xc2\x48\x01\x43\x10\xc6\x03\x05"
                               "\x66\xe5\x30\x89\xc6" STOP;
    RUN(guest, code);
    assert_int_equal((uint32_t)guest->registers.rdx, (uint32_t)DEVICE + 12);
    assert_int_equal(guest->count, 2);
    assert_int_equal(guest->values[0], DEVICE + 24 + DEVICE + 12);
    assert_int_equal(guest->values[1], 5);
    assert_int_equal(guest->registers.rsi & 0xffff, 0x7788);
}

static void strings_start_again(void **state)
{
    struct guest *guest = *state;
    /* rep stosb up to where a page may only be read: registers say how far it came. */
    static const char code[] = "\xbf\0\xf0\x02\0\xb9\0\x20\0\0\xb0\x55\xf3\xaa";
    RUN(guest, code);
    assert_int_equal(guest->vector, 14);
    assert_int_equal(guest->registers.cr2, READ_ONLY);
    assert_int_equal(guest->registers.rdi, READ_ONLY);
    assert_int_equal(guest->registers.rcx, 0x1000);
    assert_int_equal(guest->frame[1], CODE + 12);
    assert_int_equal(guest->memory[READ_ONLY - 1], 0x55);
    /* An overlap repeats what was just written; std; repe cmpsb ends at the difference. */
    static const char overlap[] = "\xbe\0\0\x02\0\xbf\x01\0\x02\0\xb9\x64\0\0\0\xc6\x06\x77\xf3\xa4"
                                  "\xc6\x04\x25\x20\0\x02\0\x11"
                                  "\xfd\xbe\x40\0\x02\0\xbf\x41\0\x02\0\xb9\x40\0\0\0\xf3\xa6\xfc"
                                  "\x0f\x95\xc3" STOP;
    RUN(guest, overlap);
    assert_int_equal(guest->memory[DATA + 100], 0x77);
    assert_int_equal(guest->registers.rdi, DATA + 0x20);
    assert_int_equal(guest->registers.rsi, DATA + 0x1f);
    assert_int_equal(guest->registers.rbx & 0xff, 1);
}

static void tables_are_flushed(void **state)
{
    struct guest *guest = *state;
    /* Reads a page, maps another there, reads again before and after invlpg; then by CR3. */
    static const char code[] = "\x8b\x1c\x25\0\0\x08\0"                 /* mov 0x80000,%ebx */
                               "\x48\xc7\x04\x25\0\x44\0\0\x03\0\x09\0" /* its entry */
                               "\x0f\x01\x3c\x25\0\0\x08\0"             /* invlpg 0x80000 */
                               "\x8b\x0c\x25\0\0\x08\0"                 /* mov 0x80000,%ecx */
                               "\x48\xc7\x04\x25\0\x44\0\0\x03\0\x0a\0"
                               "\x0f\x20\xda\x0f\x22\xda" /* CR3 */
                               "\x8b\x34\x25\0\0\x08\0" STOP;
    put(guest, 0x80000, 1);
    put(guest, 0x90000, 2);
    put(guest, 0xa0000, 3);
    RUN(guest, code);
    assert_int_equal(guest->registers.rbx, 1);
    assert_int_equal(guest->registers.rcx, 2);
    assert_int_equal(guest->registers.rsi, 3);
    /* Accessed and dirty are in the entry by now. */
    uint64_t entry;
    memcpy(&entry, guest->memory + TABLES + 0x3000 + 8 * (DATA >> 12), sizeof entry);
    assert_int_equal(entry & 0x60, 0x60);
    write_tables(guest);
}

/* ---- Interrupts ---- */

static void *interrupt(void *argument)
{
    struct guest *guest = argument;
    while (!__atomic_load_n(&guest->memory[DATA], __ATOMIC_SEQ_CST))
        ;
    interrupts_send_message(guest->engine->interrupts, 0xfee00000, 0x35);
    return NULL;
}

static void interrupts_reach_a_loop(void **state)
{
    struct guest *guest = *state;
    pthread_t thread;
    /* The APIC's spurious vector register: on; say so; sti; 1: jmp 1b */
    static const char code[] = "\xb8\0\0\xe0\xfe\xc7\x80\xf0\0\0\0\xff\x01\0\0"
                               "\xc6\x04\x25\0\0\x02\0\x01\xfb\x90\xeb\xfe";
    guest->memory[DATA] = 0;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, guest), 0);
    RUN(guest, code);
    pthread_join(thread, NULL);
    assert_int_equal(guest->vector, 0x35);
    assert_int_equal(guest->frame[0], CODE + 25);
    /* The same for a processor that is halted. */
    static const char halted[] = "\xb8\0\0\xe0\xfe\xc7\x80\xb0\0\0\0\0\0\0\0"
                                 "\xc6\x04\x25\0\0\x02\0\x01\xfb\xf4\xeb\xfe";
    guest->memory[DATA] = 0;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, guest), 0);
    RUN(guest, halted);
    pthread_join(thread, NULL);
    assert_int_equal(guest->vector, 0x35);
    assert_int_equal(guest->frame[0], CODE + 25);
}

static void *kick(void *argument)
{
    struct guest *guest = argument;
    while (!__atomic_load_n(&guest->memory[DATA], __ATOMIC_SEQ_CST))
        ;
    guest->vector = 0x7f;
    guest->engine->operations->kick(guest->vcpu);
    return NULL;
}

static void kicks_reach_a_loop(void **state)
{
    struct guest *guest = *state;
    pthread_t thread;
    /* Say so; 1: dec %rax; jmp 2f; 2: jmp 1b */
    static const char code[] = "\xc6\x04\x25\0\0\x02\0\x01\x48\xff\xc8\xeb\0\xeb\xf9";
    guest->memory[DATA] = 0;
    assert_int_equal(pthread_create(&thread, NULL, kick, guest), 0);
    RUN(guest, code);
    pthread_join(thread, NULL);
    assert_in_range(guest->registers.rip, CODE + 8, CODE + 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exceptions_are_exact),
        cmocka_unit_test(registers_survive_a_fault),
        cmocka_unit_test(code_changes_itself),
        cmocka_unit_test(levels_hold),
        cmocka_unit_test(popf_keeps_what_is_the_kernels),
        cmocka_unit_test(system_calls),
        cmocka_unit_test(devices_are_reached),
        cmocka_unit_test(strings_start_again),
        cmocka_unit_test(tables_are_flushed),
        cmocka_unit_test(interrupts_reach_a_loop),
        cmocka_unit_test(kicks_reach_a_loop),
    };
    return cmocka_run_group_tests(tests, open_guest, close_guest);
}
