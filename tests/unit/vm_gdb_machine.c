#include "vm_gdb_machine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

struct toy_engine {
    struct engine engine;
    struct interrupts interrupts;
    struct guest_memory memory;
    unsigned pauses, resumes;
};

struct toy_vcpu *toy_of(struct vcpu *vcpu)
{
    return (struct toy_vcpu *)vcpu;
}

static struct toy_engine *engine_of(const struct engine *engine)
{
    return (struct toy_engine *)(uintptr_t)engine;
}

void toy_engine_pauses(const struct engine *engine, unsigned *pauses, unsigned *resumes)
{
    *pauses = engine_of(engine)->pauses;
    *resumes = engine_of(engine)->resumes;
}

/* ---- Memory ---- */

static int map_memory(struct engine *engine, unsigned slot, const struct guest_region *region,
                      bool log_dirty, struct error *err)
{
    struct guest_region shared = {
        .address = region->address, .size = region->size, .host = region->host, .fd = -1};
    (void)slot, (void)log_dirty;
    return guest_memory_add_host(&engine_of(engine)->memory, &shared, err);
}

static int unmap_memory(struct engine *engine, unsigned slot, struct error *err)
{
    (void)engine, (void)slot, (void)err;
    return 0;
}

static int add_doorbell(struct engine *engine, const struct engine_doorbell *doorbell)
{
    (void)engine, (void)doorbell;
    return -1;
}

static void remove_doorbell(struct engine *engine, const struct engine_doorbell *doorbell)
{
    (void)engine, (void)doorbell;
}

static bool translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical)
{
    (void)vcpu;
    if (linear < TOY_LINEAR || (linear & ~0xfffull) == TOY_UNMAPPED)
        return false;
    *physical = linear - TOY_LINEAR;
    return true;
}

/* ---- Running ---- */

static int hardware_hits(const struct toy_vcpu *toy, uint64_t address, bool executes)
{
    int hits = 0;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        uint64_t at = toy->debug.hardware[i];
        if (at && (toy->debug.kind[i] == 0) == executes && address >= at &&
            address - at < toy->debug.length[i])
            hits |= 1 << i;
    }
    return hits;
}

static enum vcpu_exit stop(struct toy_vcpu *toy, int hardware, bool is_step)
{
    toy->event = (struct vcpu_debug_event){
        .address = toy->registers.rip, .hardware = (uint8_t)hardware, .is_step = is_step};
    return VCPU_DEBUG;
}

enum vcpu_exit toy_execute(struct toy_vcpu *toy)
{
    const struct guest_memory *memory = &engine_of(toy->vcpu.engine)->memory;
    struct vcpu_registers *registers = &toy->registers;
    uint64_t physical;
    uint8_t code = TOY_END;
    int hits = hardware_hits(toy, registers->rip, true);
    if (hits)
        return stop(toy, hits, false);
    if (translate(&toy->vcpu, registers->rip, &physical))
        guest_memory_read(memory, physical, &code, 1);
    if (code == TOY_INT3 && toy->debug.breakpoints && !toy->passes_next) {
        toy->event = (struct vcpu_debug_event){.address = registers->rip, .is_breakpoint = true};
        return VCPU_DEBUG;
    }
    toy->passes_next = false;
    toy->executed++;
    registers->rip = code == TOY_AGAIN ? TOY_START : registers->rip + 1;
    if (code == TOY_STORE && translate(&toy->vcpu, registers->rbx, &physical)) {
        uint8_t byte = (uint8_t)registers->rax;
        guest_memory_write(memory, physical, &byte, 1);
        hits = hardware_hits(toy, registers->rbx, false);
    }
    if (hits || toy->debug.single_step)
        return stop(toy, hits, toy->debug.single_step);
    return code == TOY_END ? VCPU_SHUTDOWN : VCPU_INTERRUPTED;
}

static enum vcpu_exit run(struct vcpu *vcpu, struct error *err)
{
    struct toy_vcpu *toy = toy_of(vcpu);
    (void)err;
    while (!__atomic_exchange_n(&toy->is_kicked, false, __ATOMIC_SEQ_CST)) {
        enum vcpu_exit reason = toy_execute(toy);
        if (reason != VCPU_INTERRUPTED)
            return reason;
        /* A slow processor, so that tests load the machine little. */
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    return VCPU_INTERRUPTED;
}

static void kick(struct vcpu *vcpu)
{
    __atomic_store_n(&toy_of(vcpu)->is_kicked, true, __ATOMIC_SEQ_CST);
}

static int get_registers(struct vcpu *vcpu, struct vcpu_registers *registers, struct error *err)
{
    (void)err;
    *registers = toy_of(vcpu)->registers;
    return 0;
}

static int set_registers(struct vcpu *vcpu, const struct vcpu_registers *registers,
                         struct error *err)
{
    if (registers->cr0 >> 32)
        return error_set(err, 0, "no processor has such a CR0");
    toy_of(vcpu)->registers = *registers;
    return 0;
}

/* ---- Debugging ---- */

static int set_debug(struct vcpu *vcpu, const struct vcpu_debug *debug, struct error *err)
{
    (void)err;
    toy_of(vcpu)->debug = *debug;
    return 0;
}

static void get_debug_event(struct vcpu *vcpu, struct vcpu_debug_event *event)
{
    *event = toy_of(vcpu)->event;
}

static int pass_debug_event(struct vcpu *vcpu, const struct vcpu_debug_event *event,
                            struct error *err)
{
    (void)event, (void)err;
    toy_of(vcpu)->passed++;
    toy_of(vcpu)->passes_next = true;
    return 0;
}

/* ---- Making ---- */

static int supported_cpuid(struct engine *engine, struct cpuid *cpuid, struct error *err)
{
    (void)engine, (void)err;
    cpuid->count = 0;
    return 0;
}

static int get_msr(struct vcpu *vcpu, struct vcpu_msr *msr, struct error *err)
{
    (void)vcpu;
    return error_set(err, 0, "a toy has no register %#x", msr->index);
}

static int set_msr(struct vcpu *vcpu, const struct vcpu_msr *msr, struct error *err)
{
    (void)vcpu;
    return error_set(err, 0, "a toy has no register %#x", msr->index);
}

static struct vcpu *create_vcpu(struct engine *engine, unsigned index, const struct cpuid *cpuid,
                                struct error *err)
{
    struct toy_vcpu *toy = memory_allocate(1, sizeof *toy);
    (void)cpuid, (void)err;
    toy->vcpu = (struct vcpu){engine, index};
    toy->registers.rip = TOY_START;
    return &toy->vcpu;
}

static void close_vcpu(struct vcpu *vcpu)
{
    free(vcpu);
}

static void close_engine(struct engine *engine)
{
    guest_memory_release(&engine_of(engine)->memory);
    free(engine);
}

static int pause_engine(struct engine *engine, struct error *err)
{
    (void)err;
    engine_of(engine)->pauses++;
    return 0;
}

static int resume_engine(struct engine *engine, struct error *err)
{
    (void)err;
    engine_of(engine)->resumes++;
    return 0;
}

static const struct engine_operations operations = {
    .name = "toy",
    .close = close_engine,
    .map_memory = map_memory,
    .unmap_memory = unmap_memory,
    .add_doorbell = add_doorbell,
    .remove_doorbell = remove_doorbell,
    .supported_cpuid = supported_cpuid,
    .create_vcpu = create_vcpu,
    .close_vcpu = close_vcpu,
    .run = run,
    .kick = kick,
    .get_registers = get_registers,
    .set_registers = set_registers,
    .get_msr = get_msr,
    .set_msr = set_msr,
    .set_debug = set_debug,
    .get_debug_event = get_debug_event,
    .pass_debug_event = pass_debug_event,
    .translate = translate,
    .pause = pause_engine,
    .resume = resume_engine,
};

static void set_line(struct interrupts *interrupts, unsigned line, bool level)
{
    (void)interrupts, (void)line, (void)level;
}

static void send_message(struct interrupts *interrupts, uint64_t address, uint32_t data)
{
    (void)interrupts, (void)address, (void)data;
}

struct engine *toy_engine_open(const struct engine_options *options, struct engine_board *board,
                               struct error *err)
{
    static const struct interrupts_operations interrupts = {set_line, send_message};
    struct toy_engine *engine = memory_allocate(1, sizeof *engine);
    (void)options, (void)err;
    engine->engine = (struct engine){&operations, board, &engine->interrupts};
    engine->interrupts.operations = &interrupts;
    return &engine->engine;
}
