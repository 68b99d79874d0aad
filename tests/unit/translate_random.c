/* translate: random instruction sequences do to registers, flags, vectors and memory what they do
 * when the processor executes them itself. HULL_SEED chooses them; HULL_LONG=1: more.
 *
 * Guest memory is a buffer of this process at the same address, so that the same bytes can run
 * natively. Both runs begin and end with the cache's own code for entering and leaving. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "translate/translate.h"

#define BUFFER_ADDRESS 0x20000000ull
#define BUFFER_SIZE 0x8000u
#define CODE_ADDRESS 0x30000000ull /* where the guest's code seems to be */
#define MIDDLE (BUFFER_ADDRESS + BUFFER_SIZE / 2)
#define INSTRUCTIONS 12
#define SITE_NATIVE_END 0xfffffffeu
#define VECTOR_AREA 4096

struct outcome {
    uint64_t registers[REGISTER_COUNT];
    uint16_t flags;
    uint8_t vectors[832];
    uint8_t memory[BUFFER_SIZE];
    bool faulted;
    int signal;
    uint64_t offset; /* of the instruction that faulted */
};

static struct cache cache;
static struct guest_state *state;
static uint8_t *native; /* a page of code that ends with a jump to cache.leave */
static uint8_t *memory;
static uint8_t *vectors;
static uint64_t random_state;
static struct {
    uint64_t pc;
    int signal;
} fault;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1d;
}

/* ---- Running ---- */

static void on_fault(int number, siginfo_t *info, void *argument)
{
    ucontext_t *context = argument;
    (void)info;
    fault.pc = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    fault.signal = number;
    bool is_ours = fault.pc - (uintptr_t)native < 4096 || cache_block_at(&cache, fault.pc);
    if (!is_ours) {
        signal(number, SIG_DFL);
        return;
    }
    state->site = SITE_INDEX_FAULT;
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)cache_address(&cache, cache.leave);
}

/* The vectors must be as the guest has them from before the call to after it. */
static void enter(uint64_t target)
{
    uint64_t function = (uintptr_t)cache_enter(&cache);
    register uint64_t area __asm__("rbx") = (uintptr_t)vectors;
    __asm__ volatile("wrgsbase %[state]\n"
                     "xor %%edx, %%edx\n"
                     "mov $7, %%eax\n"
                     "xrstor64 (%%rbx)\n"
                     "sub $128, %%rsp\n"
                     "call *%%rsi\n"
                     "add $128, %%rsp\n"
                     "mov $7, %%eax\n"
                     "xor %%edx, %%edx\n"
                     "xsave64 (%%rbx)\n"
                     "vzeroupper\n"
                     "fninit\n"
                     : "+D"(target), "+S"(function), "+b"(area)
                     : [state] "r"(state)
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
    static const uint32_t control = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(control));
}

static void save_outcome(struct outcome *outcome)
{
    memcpy(outcome->registers, state->registers, sizeof outcome->registers);
    outcome->flags = state->flags;
    memcpy(outcome->vectors, vectors, sizeof outcome->vectors);
    memcpy(outcome->memory, memory, BUFFER_SIZE);
}

static void run_natively(const uint8_t *code, size_t size, struct outcome *outcome)
{
    struct emitter out = {native, native + 4096};
    static uint64_t leave;
    leave = cache_address(&cache, cache.leave);
    emit_bytes(&out, code, size);
    emit_state_set(&out, STATE(site), SITE_NATIVE_END);
    state->fault_address = leave; /* any field will do to keep the target */
    emit_jump_state(&out, STATE(fault_address));
    enter((uintptr_t)native);
    outcome->faulted = state->site == SITE_INDEX_FAULT;
    outcome->signal = outcome->faulted ? fault.signal : 0;
    outcome->offset = outcome->faulted ? fault.pc - (uintptr_t)native : 0;
    save_outcome(outcome);
}

static void clear_tlb(void)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        state->tlb[VIEW_KERNEL][i] = (struct tlb_entry){.read = TLB_NONE(i), .write = TLB_NONE(i)};
}

static bool is_in_buffer(uint64_t address, size_t size)
{
    return address >= BUFFER_ADDRESS && address + size <= BUFFER_ADDRESS + BUFFER_SIZE;
}

/* As a runtime would: pages into the TLB, or the operand through the bounce buffer if it crosses
 * pages; for half of all others, too, as devices need it. */
static uint64_t serve_miss(const struct site *site, uint64_t *bounced)
{
    const struct block *block = &cache.blocks[site->block];
    uint64_t address = state->fault_address, page = address & ~GUEST_PAGE_MASK;
    unsigned index = page >> GUEST_PAGE_BITS & (TLB_ENTRIES - 1);
    if (!is_in_buffer(address, site->size))
        fail_msg("%u bytes at %#llx aren't in the buffer; block at %#llx + %u", site->size,
                 (unsigned long long)address, (unsigned long long)block->rip, site->guest_offset);
    bool crosses = (address & GUEST_PAGE_MASK) + site->size > GUEST_PAGE_MASK + 1;
    if (crosses || (next_random() & 1)) {
        uint8_t *at = state->bounce + (address & 63);
        memcpy(at, (void *)address, site->size);
        *bounced = address;
        state->registers[block->scratch[0]] = (uintptr_t)at;
        return cache_address(&cache, site->second);
    }
    struct tlb_entry *entry = &state->tlb[VIEW_KERNEL][index];
    *entry = (struct tlb_entry){
        .read = page, .write = site->access & ACCESS_WRITE ? page : TLB_NONE(index), .host = page};
    return cache_address(&cache, site->first);
}

static void run_translated(const uint8_t *code, size_t size, struct outcome *outcome)
{
    const struct translate_request request = {.rip = CODE_ADDRESS,
                                              .physical = CODE_ADDRESS,
                                              .physical_next = PHYSICAL_NONE,
                                              .code = code,
                                              .size = size,
                                              .mode = MODE_64 | MODE_FLAT};
    uint64_t bounced = 0;
    cache_invalidate_page(&cache, CODE_ADDRESS);
    struct block *block = translate_block(&cache, &request);
    assert_non_null(block);
    uint64_t target = cache_address(&cache, block->entry);
    clear_tlb();
    for (;;) {
        enter(target);
        const struct site *site = &cache.sites[state->site];
        if (site->kind == SITE_MISS) {
            target = serve_miss(site, &bounced);
        } else if (site->kind == SITE_COMPLETE) {
            memcpy((void *)bounced, state->bounce + (bounced & 63), site->size);
            target = cache_address(&cache, site->first);
        } else if (site->kind == SITE_EDGE) {
            /* The registers ran out, or the block was full. */
            struct translate_request rest = request;
            uint64_t offset = site->rip - CODE_ADDRESS;
            rest.rip = rest.physical = site->rip;
            rest.code += offset;
            rest.size -= offset;
            block = translate_block(&cache, &rest);
            assert_non_null(block);
            target = cache_address(&cache, block->entry);
        } else {
            outcome->faulted = site->kind == SITE_FAULT;
            break;
        }
    }
    outcome->signal = outcome->offset = 0;
    if (outcome->faulted) {
        block = cache_block_at(&cache, fault.pc);
        assert_non_null(block);
        const struct block_place *place = translate_place_at(&cache, block, fault.pc);
        translate_restore(block, place->guest_offset, place->has_saved_flags, state);
        outcome->signal = fault.signal;
        outcome->offset = state->rip - CODE_ADDRESS;
    }
    save_outcome(outcome);
}

/* ---- Making sequences ---- */

/* What depends on where it is executed, or when, or on what is no part of this test's state. */
static bool is_excluded(const struct instruction *in)
{
    unsigned reg = in->modrm >> 3 & 7;
    if (in->map == MAP_0F &&
        (in->opcode == 0x31 || in->opcode == 0xae || (in->opcode == 0xc7 && !in->has_memory)))
        return true; /* rdtsc; fxsave and the like; random numbers */
    if (in->map == MAP_PRIMARY && in->opcode >= 0xd8 && in->opcode <= 0xdf) {
        /* State that has instruction addresses; control words that unmask exceptions. */
        bool has_state = (in->opcode == 0xd9 && (reg == 4 || reg == 5 || reg == 6)) ||
                         (in->opcode == 0xdd && (reg == 4 || reg == 6));
        return in->has_memory && has_state;
    }
    return in->map == MAP_PRIMARY &&
           (in->opcode == 0x9b || in->opcode == 0xc9 || (in->opcode & 0xfc) == 0xa0);
}

static const uint8_t bases[] = {REGISTER_RDI, REGISTER_RBP, 13};

static bool is_base(unsigned reg)
{
    return reg == bases[0] || reg == bases[1] || reg == bases[2];
}

/* RDI, RBP and R13 point into the buffer all the time, and R14 and RSI may be an index. */
static bool keeps_pointers(const struct instruction *in)
{
    uint16_t used = in->registers;
    if (in->has_memory) {
        if (!is_base(in->base) || (in->index != REGISTER_NONE && in->index != 14) ||
            in->address_size != 8 || in->has_segment || in->displacement > 2000 ||
            in->displacement < -2000)
            return false;
        used &= (uint16_t) ~(1 << in->base | (in->index == 14 ? 1 << 14 : 0));
        /* It may be named once more: as an operand that is only read, for all one knows here. */
        if (in->has_modrm && (is_base(in->reg) || in->reg == 14))
            return false;
    }
    for (unsigned i = 0; i < sizeof bases; i++) {
        if (used >> bases[i] & 1)
            return false;
    }
    if (used >> 14 & 1)
        return false;
    bool is_stack = in->class == CLASS_STACK && in->rm != REGISTER_RSP;
    return is_stack || !(used >> REGISTER_RSP & 1);
}

/* bt and its kin go as far as the register says. */
static bool goes_astray(const struct instruction *in)
{
    bool is_bit = in->map == MAP_0F && (in->opcode == 0xa3 || in->opcode == 0xab ||
                                        in->opcode == 0xb3 || in->opcode == 0xbb);
    return is_bit && in->has_memory && in->operand_size != 2;
}

/* An instruction made of random bytes, most of them of what programs do. */
static unsigned make_instruction(uint8_t *code)
{
    static const uint8_t common[] = {0x01, 0x03, 0x11, 0x13, 0x19, 0x29, 0x2b, 0x31, 0x39, 0x3b,
                                     0x85, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8d, 0xc1, 0xd3, 0xf7,
                                     0xff, 0xfe, 0x50, 0x58, 0x68, 0x6a, 0x81, 0x83, 0xd1, 0x69};
    struct instruction in;
    uint8_t bytes[24];
    for (;;) {
        unsigned at = 0;
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)next_random();
        if (next_random() % 8 == 0)
            bytes[at++] = 0x66;
        if (next_random() % 12 == 0)
            bytes[at++] = next_random() & 1 ? 0xf2 : 0xf3;
        if (next_random() % 10 == 0)
            bytes[at++] = 0xf0;
        if (next_random() % 2 == 0)
            bytes[at++] = 0x40 | (next_random() & 15);
        unsigned kind = next_random() % 4;
        if (kind == 0)
            bytes[at++] = common[next_random() % sizeof common];
        else if (kind == 1)
            bytes[at++] = 0x0f;
        else if (kind == 2 && next_random() % 2)
            bytes[at++] = next_random() & 1 ? 0xc5 : 0xc4;
        if (kind == 0 && next_random() % 2) /* memory at a base and a small displacement */
            bytes[at] = (uint8_t)((bytes[at] & 0x38) | 0x40 | (next_random() & 1 ? 7 : 5));
        int length = instruction_decode(&in, bytes, sizeof bytes, 64);
        if (length <= 0 || (in.class != CLASS_PLAIN && in.class != CLASS_STACK) ||
            is_excluded(&in) || !keeps_pointers(&in) || goes_astray(&in))
            continue;
        memcpy(code, bytes, (size_t)length);
        return (unsigned)length;
    }
}

static size_t make_sequence(uint8_t *code)
{
    size_t size = 0;
    for (unsigned i = 0; i < INSTRUCTIONS; i++)
        size += make_instruction(code + size);
    return size;
}

static void prepare(uint64_t seed)
{
    static const uint64_t odd[] = {0, 1, ~0ull, 0x8000000000000000, 0x7fffffff, 0x80000000, 0xff};
    uint16_t control = 0x37f;
    uint32_t mxcsr = 0x1f80;
    random_state = seed;
    for (unsigned i = 0; i < REGISTER_COUNT; i++)
        state->registers[i] = next_random() % 4 ? next_random() : odd[next_random() % 7];
    for (unsigned i = 0; i < sizeof bases; i++) /* some near a page's end */
        state->registers[bases[i]] = MIDDLE - (next_random() & 1 ? 64 : next_random() % 2048);
    state->registers[14] = next_random() % 64;
    state->registers[REGISTER_RSP] = MIDDLE + 0x2000 - next_random() % 64 * 8;
    state->flags = guest_flags_pack(next_random());
    for (unsigned i = 0; i < BUFFER_SIZE; i += 8) {
        uint64_t value = next_random();
        memcpy(memory + i, &value, 8);
    }
    memset(vectors, 0, VECTOR_AREA);
    for (unsigned i = 160; i < 832; i++)
        vectors[i] = (uint8_t)next_random();
    memset(vectors + 416, 0, 160);
    memcpy(vectors, &control, 2);
    memcpy(vectors + 24, &mxcsr, 4);
    vectors[512] = 7;
}

static void describe(const uint8_t *code, size_t size, uint64_t seed)
{
    print_message("seed %#llx:", (unsigned long long)seed);
    for (size_t i = 0; i < size; i++)
        print_message(" %02x", code[i]);
    print_message("\n");
}

static void compare(const struct outcome *left, const struct outcome *right)
{
    assert_int_equal(left->faulted, right->faulted);
    assert_int_equal(left->signal, right->signal);
    assert_int_equal(left->offset, right->offset);
    for (unsigned i = 0; i < REGISTER_COUNT; i++) {
        if (left->registers[i] != right->registers[i])
            fail_msg("register %u is %#llx natively, %#llx translated", i,
                     (unsigned long long)left->registers[i],
                     (unsigned long long)right->registers[i]);
    }
    /* Before a fault, flags that the instruction or those behind it would have replaced are lost.
     */
    if (!left->faulted)
        assert_int_equal(left->flags, right->flags);
    assert_memory_equal(left->memory, right->memory, BUFFER_SIZE);
    assert_memory_equal(left->vectors + 24, right->vectors + 24, 4);
    assert_memory_equal(left->vectors + 32, right->vectors + 32, 384);
    assert_memory_equal(left->vectors + 576, right->vectors + 576, 256);
}

static void try_sequence(uint64_t seed)
{
    static struct outcome natively, translated;
    static uint8_t code[4096];
    random_state = seed;
    for (unsigned i = 0; i < 4; i++)
        next_random();
    size_t size = make_sequence(code);
    code[size] = 0xf4; /* hlt: the runtime's */
    memset(code + size + 1, 0x90, 32);
    prepare(seed ^ 0x5555);
    if (getenv("HULL_DESCRIBE"))
        describe(code, size, seed);
    run_natively(code, size, &natively);
    prepare(seed ^ 0x5555);
    run_translated(code, size + 1, &translated);
    bool same = natively.faulted == translated.faulted && natively.signal == translated.signal &&
                natively.offset == translated.offset &&
                memcmp(natively.registers, translated.registers, sizeof natively.registers) == 0 &&
                (natively.faulted || natively.flags == translated.flags);
    if (!same || memcmp(natively.memory, translated.memory, BUFFER_SIZE) != 0)
        describe(code, size, seed);
    compare(&natively, &translated);
}

static void sequences(void **unused)
{
    const char *seed = getenv("HULL_SEED"), *is_long = getenv("HULL_LONG");
    /* cmocka has handlers of its own while a test runs. */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static const int signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        assert_int_equal(sigaction(signals[i], &action, NULL), 0);
    uint64_t first = seed ? strtoull(seed, NULL, 0) : 1;
    unsigned count = is_long && strcmp(is_long, "1") == 0 ? 2000000 : 30000;
    (void)unused;
    for (unsigned i = 0; i < count; i++)
        try_sequence((first + i) * 0x9e3779b97f4a7c15 | 1);
    assert_true(cache.counters.blocks >= count);
}

static int set_up(void **unused)
{
    static uint8_t stack[65536];
    const stack_t alternate = {
        .ss_sp = stack, .ss_size = sizeof stack, .ss_flags = (int)(1u << 31)};
    (void)unused;
    assert_int_equal(cache_open(&cache, 8u << 20, NULL), 0);
    state = mmap(NULL, sizeof *state + VECTOR_AREA, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    native =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory = mmap((void *)BUFFER_ADDRESS, BUFFER_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    vectors = mmap(NULL, VECTOR_AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_equal(memory, (void *)BUFFER_ADDRESS);
    assert_ptr_not_equal(state, MAP_FAILED);
    assert_ptr_not_equal(native, MAP_FAILED);
    assert_ptr_not_equal(vectors, MAP_FAILED);
    state->jump_mask = JUMP_BITS;
    cache_add_state(&cache, state);
    return sigaltstack(&alternate, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sequences)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
