/* The bt engine: guest code translated to host code, for hosts without hardware virtualization. */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/board/controllers.h"
#include "vm/cpu/bt/bt_internal.h"

#define HWCAP2_FSGSBASE_BIT 2u
#define VECTOR_STATE 7ull /* of XCR0: x87, SSE, AVX */

/* ---- Vectors ---- */

/* XRSTOR and XSAVE, of which the first must have an area that the second has written. */
void bt_park_vectors(struct bt_vcpu *vcpu)
{
    if (vcpu->vectors_are_parked)
        return;
    __asm__ volatile("xsave64 (%0)" : : "r"(vcpu->vectors), "a"(VECTOR_STATE), "d"(0) : "memory");
    /* What C expects (System V ABI 3.2.3). */
    static const uint32_t control = 0x1f80;
    __asm__ volatile("fninit; ldmxcsr %0; vzeroupper" : : "m"(control));
    vcpu->vectors_are_parked = true;
}

void bt_unpark_vectors(struct bt_vcpu *vcpu)
{
    if (!vcpu->vectors_are_parked)
        return;
    __asm__ volatile("xrstor64 (%0)" : : "r"(vcpu->vectors), "a"(VECTOR_STATE), "d"(0) : "memory");
    vcpu->vectors_are_parked = false;
}

/* ---- Memory ---- */

static int map_memory(struct engine *generic, unsigned slot, const struct guest_region *region,
                      bool log_dirty, struct error *err)
{
    struct bt_engine *engine = bt_engine_of(generic);
    if (slot >= BT_SLOTS_MAX)
        return error_set(err, 0, "engine bt has %u memory slots, not %u", BT_SLOTS_MAX, slot + 1);
    if (log_dirty)
        return error_set(err, 0, "engine bt keeps no log of dirty pages");
    engine->slots[slot] =
        (struct bt_slot){region->address, region->size, region->host, region->read_only};
    return 0;
}

static void forget_slot(struct bt_engine *engine, const struct bt_slot *slot)
{
    for (uint64_t page = 0; page < slot->size; page += GUEST_PAGE_MASK + 1)
        cache_invalidate_page(&engine->cache, slot->address + page);
    for (unsigned i = 0; i < engine->vcpu_count; i++)
        bt_flush(engine->vcpus[i], true);
}

/* The board takes memory away only while no processor runs, or at what none can use any more. */
static int unmap_memory(struct engine *generic, unsigned slot, struct error *err)
{
    struct bt_engine *engine = bt_engine_of(generic);
    if (slot >= BT_SLOTS_MAX || engine->slots[slot].size == 0)
        return error_set(err, 0, "engine bt has no memory in slot %u", slot);
    forget_slot(engine, &engine->slots[slot]);
    engine->slots[slot] = (struct bt_slot){0};
    return 0;
}

static int read_dirty(struct engine *generic, unsigned slot, uint64_t *bitmap, struct error *err)
{
    (void)generic, (void)slot, (void)bitmap;
    return error_set(err, 0, "engine bt keeps no log of dirty pages");
}

static int add_doorbell(struct engine *generic, const struct engine_doorbell *doorbell)
{
    (void)generic, (void)doorbell;
    return -1; /* the board's write() does as well: it is in this process */
}

static void remove_doorbell(struct engine *generic, const struct engine_doorbell *doorbell)
{
    (void)generic, (void)doorbell;
}

/* ---- Processors ---- */

static void reset(struct bt_vcpu *vcpu)
{
    /* As an INIT leaves x87 and SSE (Intel SDM 3A, table 9-1). */
    uint16_t control = 0x37f;
    uint32_t mxcsr = 0x1f80;
    memcpy(vcpu->vectors, &control, sizeof control);
    memcpy(vcpu->vectors + 24, &mxcsr, sizeof mxcsr);
    vcpu->vectors[512] = 3; /* XSTATE_BV */
    vcpu->vectors_are_parked = true;
    vcpu->xcr0 = 1;
    vcpu->dr[6] = 0xffff0ff0;
    vcpu->dr[7] = 0x400;
    vcpu->msrs[BT_MSR_PAT] = 0x0007040600070406;
    vcpu->state->jump_mask = JUMP_BITS;
    vcpu->attention = 1;
}

struct vcpu *bt_create_vcpu(struct engine *generic, unsigned index, const struct cpuid *cpuid,
                            struct error *err)
{
    struct bt_engine *engine = bt_engine_of(generic);
    struct bt_vcpu *vcpu = memory_allocate(1, sizeof *vcpu);
    *vcpu = (struct bt_vcpu){.vcpu = {generic, index}, .engine = engine};
    void *memory = mmap(NULL, sizeof *vcpu->state + BT_VECTOR_AREA, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        error_set(err, errno, "no memory for vcpu %u", index);
        free(vcpu);
        return NULL;
    }
    vcpu->vectors = memory;
    vcpu->state = (struct guest_state *)(void *)((uint8_t *)memory + BT_VECTOR_AREA);
    if (cpuid)
        vcpu->cpuid = *cpuid;
    reset(vcpu);
    engine->vcpus[engine->vcpu_count++] = vcpu;
    cache_add_state(&engine->cache, vcpu->state);
    bt_flush(vcpu, true);
    return &vcpu->vcpu;
}

void bt_close_vcpu(struct vcpu *generic)
{
    struct bt_vcpu *vcpu = bt_vcpu_of(generic);
    struct bt_engine *engine = vcpu->engine;
    for (unsigned i = 0; i < engine->vcpu_count; i++) {
        if (engine->vcpus[i] != vcpu)
            continue;
        engine->vcpus[i] = engine->vcpus[--engine->vcpu_count];
        engine->cache.states[i] = engine->cache.states[--engine->cache.state_count];
        break;
    }
    if (vcpu->signal_stack)
        munmap(vcpu->signal_stack, 65536);
    munmap(vcpu->vectors, sizeof *vcpu->state + BT_VECTOR_AREA);
    free(vcpu);
}

static int set_debug(struct vcpu *generic, const struct vcpu_debug *debug, struct error *err)
{
    bool wants = debug->single_step || debug->breakpoints;
    (void)generic;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++)
        wants = wants || debug->hardware[i];
    return wants ? error_set(err, 0, "engine bt can't be debugged") : 0;
}

static void get_debug_event(struct vcpu *generic, struct vcpu_debug_event *event)
{
    (void)generic;
    *event = (struct vcpu_debug_event){0};
}

static int pass_debug_event(struct vcpu *generic, const struct vcpu_debug_event *event,
                            struct error *err)
{
    (void)generic, (void)event;
    return error_set(err, 0, "engine bt can't be debugged");
}

static bool translate(struct vcpu *generic, uint64_t linear, uint64_t *physical)
{
    return bt_walk(bt_vcpu_of(generic), linear, BT_READ | BT_SYSTEM, physical);
}

/* ---- The machine ---- */

static int pause_machine(struct engine *generic, struct error *err)
{
    struct bt_engine *engine = bt_engine_of(generic);
    (void)err;
    if (engine->is_paused)
        return 0;
    engine->is_paused = true;
    engine->paused_at = bt_guest_time(engine);
    controllers_pause(generic->controllers);
    return 0;
}

static int resume_machine(struct engine *generic, struct error *err)
{
    struct bt_engine *engine = bt_engine_of(generic);
    (void)err;
    if (!engine->is_paused)
        return 0;
    engine->is_paused = false;
    engine->clock.tsc = __builtin_ia32_rdtsc();
    engine->clock.ns = engine->paused_at;
    for (unsigned i = 0; i < engine->vcpu_count; i++)
        bt_update_clock(engine->vcpus[i]);
    controllers_resume(generic->controllers);
    return 0;
}

static void close_engine(struct engine *generic)
{
    struct bt_engine *engine = bt_engine_of(generic);
    if (generic->controllers)
        controllers_destroy(generic->controllers);
    cache_close(&engine->cache);
    pthread_mutex_destroy(&engine->written.lock);
    free(engine);
}

static const struct engine_operations operations = {
    .name = "bt",
    .close = close_engine,
    .map_memory = map_memory,
    .unmap_memory = unmap_memory,
    .note_write = bt_note_write,
    .read_dirty = read_dirty,
    .add_doorbell = add_doorbell,
    .remove_doorbell = remove_doorbell,
    .supported_cpuid = bt_supported_cpuid,
    .create_vcpu = bt_create_vcpu,
    .close_vcpu = bt_close_vcpu,
    .run = bt_run,
    .kick = bt_kick,
    .get_registers = bt_get_registers,
    .set_registers = bt_set_registers,
    .get_msr = bt_get_msr,
    .set_msr = bt_set_msr,
    .set_debug = set_debug,
    .get_debug_event = get_debug_event,
    .pass_debug_event = pass_debug_event,
    .translate = translate,
    .pause = pause_machine,
    .resume = resume_machine,
};

static uint64_t read_tsc(void *context, unsigned vcpu)
{
    (void)context, (void)vcpu;
    return __builtin_ia32_rdtsc();
}

static int check_host(struct error *err)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0, state = 0;
    __get_cpuid(1, &eax, &ebx, &ecx, &edx);
    if (ecx & bit_OSXSAVE)
        __asm__("xgetbv" : "=a"(state) : "c"(0) : "edx");
    __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
    if ((state & VECTOR_STATE) != VECTOR_STATE || !(ebx & bit_BMI2))
        return error_set(err, 0, "engine bt needs a processor with AVX and BMI2 (since 2013)");
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT))
        return error_set(err, 0,
                         "engine bt needs a kernel that lets programs set their GS base "
                         "(Linux 5.9 does)");
    return 0;
}

struct engine *bt_engine_open(const struct engine_options *options, struct engine_board *board,
                              struct error *err)
{
    if (options->vcpus != 1) {
        error_set(err, 0, "engine bt has one vcpu, not %u", options->vcpus);
        return NULL;
    }
    if (check_host(err) < 0 || bt_install_signals(err) < 0)
        return NULL;
    struct bt_engine *engine = memory_allocate(1, sizeof *engine);
    pthread_mutex_init(&engine->written.lock, NULL);
    engine->engine = (struct engine){.operations = &operations, .board = board};
    const struct controllers_options controllers = {
        .vcpus = options->vcpus, .wake = bt_wake, .read_tsc = read_tsc, .context = engine};
    if (cache_open(&engine->cache, BT_CODE_SIZE, err) < 0) {
        free(engine);
        return NULL;
    }
    bt_measure_tsc(engine);
    engine->engine.controllers = controllers_create(&controllers);
    engine->engine.interrupts = controllers_interrupts(engine->engine.controllers);
    return &engine->engine;
}
