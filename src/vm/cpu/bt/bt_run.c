/* Running: from one block of translated code to the next, and what is to be done in between. */
#include "vm/cpu/bt/bt_internal.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "vm/board/controllers.h"
#include "vm/cpu/reset.h"

static struct controllers *controllers_of(const struct bt_vcpu *vcpu)
{
    return vcpu->engine->engine.controllers;
}

/* ---- Finding and making blocks ---- */

struct fetched {
    uint64_t physical, physical_next;
    bool is_global;
    uint8_t bytes[2 * INSTRUCTION_LENGTH_MAX + 8]; /* of an instruction that crosses a page */
};

static bool fetch(struct bt_vcpu *vcpu, struct translate_request *request, struct fetched *fetched)
{
    uint64_t rip = vcpu->state->rip + vcpu->state->segment_bases[SEGMENT_CS];
    /* What waits comes after the next instruction. */
    bool is_single = vcpu->shadow && (vcpu->attention || vcpu->events);
    uint64_t room = GUEST_PAGE_MASK + 1 - (rip & GUEST_PAGE_MASK);
    if (!bt_walk_code(vcpu, rip, &fetched->physical, &fetched->is_global))
        return false;
    uint8_t *host = bt_host_page(vcpu->engine, fetched->physical, false);
    if (!host) { /* code in a device */
        vcpu->failure = "there is no memory to execute";
        return true;
    }
    if (!bt_is_64(vcpu) && !vcpu->segments[SEGMENT_CS].is_32bit) {
        vcpu->failure = "it doesn't execute 16-bit code";
        return true;
    }
    *request = (struct translate_request){.rip = vcpu->state->rip,
                                          .physical = fetched->physical,
                                          .physical_next = PHYSICAL_NONE,
                                          .code = host + (rip & GUEST_PAGE_MASK),
                                          .size = room,
                                          .mode = vcpu->mode,
                                          .instructions = vcpu->single || is_single ? 1 : 0,
                                          .is_private = vcpu->single};
    if (is_single)
        request->mode |= MODE_SINGLE;
    return true;
}

/* Adds as much of the next page as one instruction can need. */
static bool fetch_next(struct bt_vcpu *vcpu, struct translate_request *request,
                       struct fetched *fetched)
{
    uint64_t rip = vcpu->state->rip + vcpu->state->segment_bases[SEGMENT_CS];
    if (!bt_walk(vcpu, rip + request->size, BT_EXECUTE, &fetched->physical_next))
        return false;
    uint8_t *host = bt_host_page(vcpu->engine, fetched->physical_next, false);
    if (!host) {
        vcpu->failure = "there is no memory to execute";
        return true;
    }
    bt_copy(fetched->bytes, request->code, request->size);
    bt_copy(fetched->bytes + request->size, host, INSTRUCTION_LENGTH_MAX);
    request->code = fetched->bytes;
    request->size += INSTRUCTION_LENGTH_MAX;
    request->physical_next = fetched->physical_next;
    return true;
}

static bool needs_next_page(const struct translate_request *request)
{
    struct instruction in;
    return request->size < INSTRUCTION_LENGTH_MAX &&
           instruction_decode(&in, request->code, request->size,
                              request->mode & MODE_64 ? 64 : 32) == 0;
}

/* The guest's memory may have been changed by a device since. */
static bool is_current(const struct block *block, const struct translate_request *request)
{
    return block->physical_next == request->physical_next &&
           block->check == cache_check_code(request->code, block->guest_size);
}

/* No TLB lets a page with translations be written: only its first one changes that. */
static void protect(struct bt_vcpu *vcpu, const struct translate_request *request)
{
    const struct cache *cache = &vcpu->engine->cache;
    if (!cache_has_page(cache, request->physical))
        bt_protect_code(vcpu->engine, request->physical);
    if (request->physical_next != PHYSICAL_NONE && !cache_has_page(cache, request->physical_next))
        bt_protect_code(vcpu->engine, request->physical_next);
}

/* The block at rip, or NULL with an exception (or failure). */
static struct block *find_block(struct bt_vcpu *vcpu, bool *is_global)
{
    struct cache *cache = &vcpu->engine->cache;
    struct translate_request request;
    struct fetched fetched;
    if (!fetch(vcpu, &request, &fetched) || vcpu->failure)
        return NULL;
    *is_global = fetched.is_global;
    if (needs_next_page(&request) && (!fetch_next(vcpu, &request, &fetched) || vcpu->failure))
        return NULL;
    if (!request.is_private) {
        struct block *block = cache_find(cache, request.rip, request.physical, request.mode);
        if (block && is_current(block, &request))
            return block;
        if (block)
            cache_invalidate_page(cache, request.physical);
    }
    bt_park_vectors(vcpu);
    if (!request.is_private)
        protect(vcpu, &request);
    struct block *block = translate_block(cache, &request);
    vcpu->single = false;
    if (!block) /* no instruction is that long */
        bt_raise_error(vcpu, EXCEPTION_GP, 0);
    return block;
}

/* ---- Why translated code was left ---- */

/* Goes on at rip. */
static bool go_on(struct bt_vcpu *vcpu)
{
    const struct cache *cache = &vcpu->engine->cache;
    unsigned view = vcpu->level == 3 ? VIEW_USER : VIEW_KERNEL;
    uint64_t known = vcpu->state->jumps[view][jump_index(vcpu->state->rip)];
    bool is_lost = vcpu->is_lost, is_plain = !vcpu->single && !vcpu->shadow;
    vcpu->is_lost = false;
    /* An indirect jump from here: not again, if one has just failed. */
    if (is_plain && !is_lost && known != cache_address(cache, cache->lookup)) {
        vcpu->state->jump_target = known;
        return true;
    }
    bool is_global = false;
    struct block *block = find_block(vcpu, &is_global);
    vcpu->shadow = false;
    if (!block)
        return false;
    if (is_plain)
        bt_note_jump(vcpu, block->rip, cache_address(cache, block->host), is_global);
    vcpu->state->jump_target = cache_address(cache, block->entry);
    return true;
}

static bool follow_edge(struct bt_vcpu *vcpu, uint32_t index)
{
    struct cache *cache = &vcpu->engine->cache;
    uint64_t flushes = cache->counters.flushes;
    const struct block *from = &cache->blocks[cache->sites[index].block];
    bool may_link = !from->is_dead && !(from->mode & MODE_SINGLE);
    bool is_global;
    vcpu->state->rip = cache->sites[index].rip;
    struct block *block = find_block(vcpu, &is_global);
    if (!block)
        return false;
    /* A block that lies in two pages is not linked: the second may come to be another. */
    if (may_link && flushes == cache->counters.flushes && block->physical_next == PHYSICAL_NONE)
        cache_link(cache, index, block);
    vcpu->state->jump_target = cache_address(cache, block->entry);
    return true;
}

static void restore(struct bt_vcpu *vcpu, const struct site *site)
{
    translate_restore(&vcpu->engine->cache.blocks[site->block], site->guest_offset,
                      site->has_saved_flags, vcpu->state);
}

static bool bounce(struct bt_vcpu *vcpu, const struct site *site)
{
    struct guest_state *state = vcpu->state;
    const struct block *block = &vcpu->engine->cache.blocks[site->block];
    uint64_t linear = state->fault_address;
    uint32_t at = (uint32_t)(linear & 63);
    if (at + site->size > sizeof state->bounce)
        at = 0;
    vcpu->bounce.linear = linear;
    vcpu->bounce.at = at;
    if (site->access & ACCESS_WRITE) { /* before anything happens, as if it were done */
        uint64_t physical, next = (linear | GUEST_PAGE_MASK) + 1;
        if (!bt_walk(vcpu, linear, BT_WRITE, &physical) ||
            (linear + site->size > next && !bt_walk(vcpu, next, BT_WRITE, &physical)))
            return false;
    }
    if ((site->access & ACCESS_READ) && !bt_read(vcpu, linear, state->bounce + at, site->size, 0))
        return false;
    state->registers[block->scratch[0]] = (uintptr_t)(state->bounce + at);
    state->jump_target = cache_address(&vcpu->engine->cache, site->second);
    return true;
}

static bool serve_miss(struct bt_vcpu *vcpu, const struct site *site)
{
    struct guest_state *state = vcpu->state;
    const struct block *block = &vcpu->engine->cache.blocks[site->block];
    uint64_t linear = state->fault_address;
    bool was_dead = block->is_dead;
    unsigned access = site->access & ACCESS_WRITE ? BT_WRITE : BT_READ;
    bool crosses = (linear & GUEST_PAGE_MASK) + site->size > GUEST_PAGE_MASK + 1;
    int filled = crosses ? 0 : bt_fill(vcpu, linear, access);
    if (filled == 0 && !bounce(vcpu, site))
        filled = -1;
    if (filled < 0) {
        restore(vcpu, site);
        return false;
    }
    if (block->is_dead && !was_dead) {
        /* The instruction changes code of its own page: alone, so that what comes next is read
         * after it. */
        restore(vcpu, site);
        vcpu->single = true;
        return go_on(vcpu);
    }
    if (filled == 1)
        state->jump_target = cache_address(&vcpu->engine->cache, site->first);
    return true;
}

static bool complete(struct bt_vcpu *vcpu, const struct site *site)
{
    struct guest_state *state = vcpu->state;
    if (!bt_write(vcpu, vcpu->bounce.linear, state->bounce + vcpu->bounce.at, site->size, 0)) {
        restore(vcpu, site);
        return false;
    }
    state->jump_target = cache_address(&vcpu->engine->cache, site->first);
    return true;
}

static bool execute(struct bt_vcpu *vcpu, const struct site *site)
{
    const struct cache *cache = &vcpu->engine->cache;
    const struct block *block = &cache->blocks[site->block];
    vcpu->state->rip = block->rip + site->guest_offset;
    return bt_execute(vcpu, &cache->instructions[site->first]);
}

/* A signal came of a guest's instruction. */
static bool raise_host_fault(struct bt_vcpu *vcpu)
{
    const struct cache *cache = &vcpu->engine->cache;
    const struct block *block = cache_block_at(cache, vcpu->fault.pc);
    const struct block_place *place = translate_place_at(cache, block, vcpu->fault.pc);
    translate_restore(block, place->guest_offset, place->has_saved_flags, vcpu->state);
    if (vcpu->fault.vector == EXCEPTION_GP)
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    return bt_raise(vcpu, (enum exception)vcpu->fault.vector);
}

/* What comes after translated code was left; state->jump_target is where to enter it again, or 0:
 * at rip. False: an exception. */
static bool serve(struct bt_vcpu *vcpu)
{
    const struct site *site = &vcpu->engine->cache.sites[vcpu->state->site];
    vcpu->state->jump_target = 0;
    switch (site->kind) {
    case SITE_LOOKUP:
        vcpu->is_lost = true;
        return true;
    case SITE_EDGE:
        if (vcpu->attention) {
            vcpu->state->rip = site->rip;
            return true;
        }
        return follow_edge(vcpu, vcpu->state->site);
    case SITE_MISS:
        return serve_miss(vcpu, site);
    case SITE_COMPLETE:
        return complete(vcpu, site);
    case SITE_INSTRUCTION:
        return execute(vcpu, site);
    default:
        return raise_host_fault(vcpu);
    }
}

/* ---- Events ---- */

static void initialize(struct bt_vcpu *vcpu)
{
    struct vcpu_registers registers;
    const struct cpuid_leaf none = {0}, *leaf = &none;
    for (unsigned i = 0; i < vcpu->cpuid.count; i++) {
        if (vcpu->cpuid.leaves[i].function == 1)
            leaf = &vcpu->cpuid.leaves[i];
    }
    bt_get_registers(&vcpu->vcpu, &registers, NULL);
    vcpu_registers_initialize(&registers, leaf->eax);
    bt_set_registers(&vcpu->vcpu, &registers, NULL);
    vcpu->halted = vcpu->shadow = false;
}

static void start(struct bt_vcpu *vcpu, uint8_t vector)
{
    struct vcpu_registers registers;
    bt_get_registers(&vcpu->vcpu, &registers, NULL);
    vcpu_registers_start(&registers, vector);
    bt_set_registers(&vcpu->vcpu, &registers, NULL);
}

static void deliver(struct bt_vcpu *vcpu, unsigned vector)
{
    vcpu->halted = false;
    if (!bt_enter_handler(vcpu, vector, SOURCE_INTERRUPT, false, 0))
        bt_deliver_exception(vcpu);
}

enum readiness { READY, NOT_READY, LEAVE };

static enum readiness wait_for(struct bt_vcpu *vcpu, unsigned events)
{
    if (__atomic_load_n(&vcpu->kicked, __ATOMIC_SEQ_CST))
        return LEAVE;
    controllers_wait(controllers_of(vcpu), vcpu->vcpu.index, events);
    __atomic_store_n(&vcpu->attention, 1, __ATOMIC_SEQ_CST);
    return NOT_READY;
}

/* Takes what the interrupt controllers have for the processor, as far as it takes it now. */
static enum readiness take_events(struct bt_vcpu *vcpu, enum vcpu_exit *reason)
{
    struct controllers *controllers = controllers_of(vcpu);
    unsigned index = vcpu->vcpu.index;
    uint8_t vector;
    if (__atomic_exchange_n(&vcpu->attention, 0, __ATOMIC_SEQ_CST)) {
        bt_park_vectors(vcpu);
        __atomic_store_n(&vcpu->state->jump_mask, JUMP_BITS, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&vcpu->attention, __ATOMIC_SEQ_CST)) /* somebody calls again */
            __atomic_store_n(&vcpu->state->jump_mask, 0, __ATOMIC_SEQ_CST);
        bt_forget_written(vcpu->engine);
        vcpu->events = controllers_prepare(controllers, index);
    }
    if (vcpu->events & EVENT_INIT) {
        bt_park_vectors(vcpu);
        *reason = VCPU_RESET;
        vcpu->attention = 1;
        if (!controllers_take_init(controllers, index))
            return LEAVE;
        initialize(vcpu);
        return NOT_READY;
    }
    if (controllers_is_stopped(controllers, index)) {
        bt_park_vectors(vcpu);
        if (!(vcpu->events & EVENT_STARTUP))
            return wait_for(vcpu, EVENT_INIT | EVENT_STARTUP);
        vcpu->attention = 1;
        if (controllers_take_startup(controllers, index, &vector))
            start(vcpu, vector);
        return NOT_READY;
    }
    if ((vcpu->events & EVENT_NMI) && !vcpu->shadow) {
        bt_park_vectors(vcpu);
        vcpu->events &= ~(unsigned)EVENT_NMI;
        if (controllers_take_nmi(controllers, index))
            deliver(vcpu, 2);
    }
    bool takes = vcpu->state->interrupts_enabled && !vcpu->shadow;
    if ((vcpu->events & EVENT_INTERRUPT) && takes) {
        bt_park_vectors(vcpu);
        int number = controllers_acknowledge(controllers, index);
        vcpu->events = controllers_pending(controllers, index);
        if (number >= 0)
            deliver(vcpu, (unsigned)number);
    }
    if (!vcpu->halted)
        return READY;
    bt_park_vectors(vcpu);
    vcpu->shadow = false;
    takes = vcpu->state->interrupts_enabled;
    if ((vcpu->events & EVENT_INTERRUPT) && takes)
        return NOT_READY;
    return wait_for(vcpu, EVENT_INIT | EVENT_NMI | (takes ? EVENT_INTERRUPT : 0));
}

/* ---- The loop ---- */

static bool must_look(const struct bt_vcpu *vcpu)
{
    return vcpu->attention || vcpu->events || vcpu->halted || vcpu->has_shut_down;
}

static void cut_edges(struct bt_vcpu *vcpu)
{
    struct cache *cache = &vcpu->engine->cache;
    const struct block *block = cache_block_at(cache, vcpu->state->jump_target);
    if (block)
        cache_unlink_edges(cache, block);
}

static enum vcpu_exit run_until_exit(struct bt_vcpu *vcpu)
{
    struct guest_state *state = vcpu->state;
    cache_enter_function enter = cache_enter(&vcpu->engine->cache);
    enum vcpu_exit reason = VCPU_INTERRUPTED;
    bool fits = true;
    state->jump_target = 0;
    for (;;) {
        if (!fits)
            bt_deliver_exception(vcpu);
        if (vcpu->failure || vcpu->has_shut_down)
            return vcpu->failure ? VCPU_FAILED : VCPU_SHUTDOWN;
        fits = true;
        if (!state->jump_target) {
            while (must_look(vcpu)) {
                enum readiness ready = take_events(vcpu, &reason);
                if (vcpu->has_shut_down)
                    return VCPU_SHUTDOWN;
                if (ready == LEAVE)
                    return reason;
                if (__atomic_load_n(&vcpu->kicked, __ATOMIC_SEQ_CST))
                    return VCPU_INTERRUPTED;
                if (ready == READY)
                    break;
            }
            fits = go_on(vcpu);
            if (!fits || vcpu->failure)
                continue;
        }
        /* A signal before this found no block, or another one; one after it finds this. */
        if (__atomic_load_n(&vcpu->attention, __ATOMIC_SEQ_CST))
            cut_edges(vcpu);
        bt_unpark_vectors(vcpu);
        enter(state->jump_target);
        fits = serve(vcpu);
        if (!fits)
            state->jump_target = 0;
    }
}

enum vcpu_exit bt_run(struct vcpu *generic, struct error *err)
{
    struct bt_vcpu *vcpu = bt_vcpu_of(generic);
    if (!vcpu->has_begun && bt_begin_thread(vcpu, err) < 0)
        return VCPU_FAILED;
    if (__atomic_exchange_n(&vcpu->kicked, 0, __ATOMIC_SEQ_CST))
        return VCPU_INTERRUPTED;
    bt_set_current(vcpu);
    enum vcpu_exit reason = run_until_exit(vcpu);
    bt_park_vectors(vcpu);
    __atomic_exchange_n(&vcpu->kicked, 0, __ATOMIC_SEQ_CST);
    if (reason == VCPU_FAILED)
        error_set(err, 0, "engine bt can't go on with vcpu %u at %#llx: %s", generic->index,
                  (unsigned long long)vcpu->state->rip, vcpu->failure);
    return reason;
}

void bt_look_again(struct bt_vcpu *vcpu)
{
    __atomic_store_n(&vcpu->attention, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vcpu->state->jump_mask, 0, __ATOMIC_SEQ_CST);
}

/* ---- From other threads ---- */

/* Translated code leaves at its next indirect jump, or at a jump in its page once the signal has
 * cut those of the block that it is in. */
static void call_for_attention(struct bt_vcpu *vcpu)
{
    bt_look_again(vcpu);
    /* By the process's id, too: a filter of system calls can see to it that it is this one. */
    if (__atomic_load_n(&vcpu->thread_is_known, __ATOMIC_SEQ_CST) && vcpu->thread_id != gettid())
        syscall(SYS_tgkill, getpid(), vcpu->thread_id, BT_WAKE_SIGNAL);
}

void bt_kick(struct vcpu *generic)
{
    struct bt_vcpu *vcpu = bt_vcpu_of(generic);
    __atomic_store_n(&vcpu->kicked, 1, __ATOMIC_SEQ_CST);
    controllers_interrupt(controllers_of(vcpu), generic->index);
    call_for_attention(vcpu);
}

void bt_wake(void *context, unsigned index)
{
    struct bt_engine *engine = context;
    for (unsigned i = 0; i < engine->vcpu_count; i++) {
        if (engine->vcpus[i]->vcpu.index == index)
            call_for_attention(engine->vcpus[i]);
    }
}
