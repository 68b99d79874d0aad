/* Signals on a processor's thread: exceptions of guest instructions that were executed as they are
 * (division, misaligned vectors, floating point), and calls for attention, which must get through
 * to code that loops. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "vm/board/controllers.h"
#include "vm/cpu/bt/bt_internal.h"

#define STACK_SIZE 65536
#define STACK_AUTODISARM (1u << 31) /* SS_AUTODISARM, sigaltstack(2) */

static _Thread_local struct bt_vcpu *current;

static uint64_t pc_of(const ucontext_t *context)
{
    return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
}

static bool is_in_cache(const struct cache *cache, uint64_t pc)
{
    return pc - (uintptr_t)cache->execute < cache->size;
}

/* Makes the thread go on with the code that leaves, as if the block had jumped there. */
static void leave(struct bt_vcpu *vcpu, ucontext_t *context, uint32_t site)
{
    const struct cache *cache = &vcpu->engine->cache;
    vcpu->state->site = site;
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)cache_address(cache, cache->leave);
    /* The flags are the guest's arithmetic ones; those that could harm are not to stay. */
    context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)(FLAG_DF | FLAG_TF | FLAG_AC);
}

static void end_process(int number)
{
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(number, &standard, NULL);
}

/* The instruction is executed again when this returns: if it wasn't a guest's, to end the process.
 */
static void on_fault(int number, siginfo_t *info, void *argument)
{
    ucontext_t *context = argument;
    struct bt_vcpu *vcpu = current;
    (void)info;
    if (!vcpu || !is_in_cache(&vcpu->engine->cache, pc_of(context)) ||
        !cache_block_at(&vcpu->engine->cache, pc_of(context))) {
        end_process(number);
        return;
    }
    uint64_t trap = (uint64_t)context->uc_mcontext.gregs[REG_TRAPNO];
    vcpu->fault.pc = pc_of(context);
    vcpu->fault.vector = number == SIGILL    ? EXCEPTION_UD
                         : number == SIGSEGV ? EXCEPTION_GP
                         : number == SIGBUS  ? EXCEPTION_GP
                                             : (uint8_t)trap;
    leave(vcpu, context, SITE_INDEX_FAULT);
}

static void on_wake(int number, siginfo_t *info, void *argument)
{
    ucontext_t *context = argument;
    struct bt_vcpu *vcpu = current;
    (void)number;
    if (info->si_code == SI_TIMER)
        vcpu = info->si_value.sival_ptr;
    if (!vcpu)
        return;
    struct cache *cache = &vcpu->engine->cache;
    uint64_t pc = pc_of(context);
    bt_look_again(vcpu);
    /* On the way in, the block that is about to be entered may be one of a loop. */
    const struct block *block = is_in_cache(cache, pc) ? cache_block_at(cache, pc) : NULL;
    if (!block)
        block = cache_block_at(cache, vcpu->state->jump_target);
    if (block)
        cache_unlink_edges(cache, block);
}

static const int faults[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS};

int bt_install_signals(struct error *err)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (sigaction(faults[i], &action, NULL) < 0)
            return error_set(err, errno, "can't catch signal %d", faults[i]);
    }
    action.sa_sigaction = on_wake;
    action.sa_flags |= SA_RESTART;
    if (sigaction(BT_WAKE_SIGNAL, &action, NULL) < 0)
        return error_set(err, errno, "can't catch signal %d", BT_WAKE_SIGNAL);
    return 0;
}

void bt_set_current(struct bt_vcpu *vcpu)
{
    current = vcpu;
    __asm__ volatile("wrgsbase %0" : : "r"(vcpu->state));
}

int bt_begin_thread(struct bt_vcpu *vcpu, struct error *err)
{
    const struct controllers_thread thread = {
        .signal = BT_WAKE_SIGNAL, .value = vcpu, .tsc_frequency = vcpu->engine->tsc_frequency};
    vcpu->signal_stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vcpu->signal_stack == MAP_FAILED) {
        vcpu->signal_stack = NULL;
        return error_set(err, errno, "no memory for the signals of vcpu %u", vcpu->vcpu.index);
    }
    /* Disarmed while in use: else the guest's RSP could say that it is. */
    const stack_t stack = {
        .ss_sp = vcpu->signal_stack, .ss_size = STACK_SIZE, .ss_flags = (int)STACK_AUTODISARM};
    if (sigaltstack(&stack, NULL) < 0)
        return error_set(err, errno, "no stack for the signals of vcpu %u", vcpu->vcpu.index);
    sigset_t mine;
    sigemptyset(&mine);
    sigaddset(&mine, BT_WAKE_SIGNAL);
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        sigaddset(&mine, faults[i]);
    pthread_sigmask(SIG_UNBLOCK, &mine, NULL);
    vcpu->has_begun = true;
    vcpu->thread_id = gettid();
    __atomic_store_n(&vcpu->thread_is_known, true, __ATOMIC_SEQ_CST);
    return controllers_begin_thread(vcpu->engine->engine.controllers, vcpu->vcpu.index, &thread,
                                    err);
}
