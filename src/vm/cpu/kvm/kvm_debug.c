/* The KVM engine for debuggers: breakpoints, single steps, and what came of them. */
#include <string.h>

#include "vm/cpu/kvm/kvm_internal.h"

#define EXCEPTION_DEBUG 1      /* #DB */
#define EXCEPTION_BREAKPOINT 3 /* #BP */
#define DR6_HARDWARE 0xfu      /* Intel SDM 3B, 17.2.3 */
#define DR6_SINGLE_STEP (1u << 14)

static struct kvm_vcpu *of(struct vcpu *vcpu)
{
    return (struct kvm_vcpu *)vcpu;
}

static int apply(struct kvm_vcpu *kvm, uint32_t more, struct error *err)
{
    struct kvm_guest_debug wanted = {.control = kvm->debug_control | more};
    for (unsigned i = 0; i < 8; i++)
        wanted.arch.debugreg[i] = kvm->debug_registers[i];
    return kvm_call(kvm->fd, KVM_SET_GUEST_DEBUG, &wanted, "debugging", err) < 0 ? -1 : 0;
}

/* A step is to end behind the instruction, not in the handler of an interrupt that waits: where KVM
 * can do that (since Linux 5.16). */
static uint32_t step_flags(const struct kvm_vcpu *kvm)
{
    int machine = ((struct kvm_engine *)kvm->vcpu.engine)->machine;
    int known = kvm_call(machine, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_SET_GUEST_DEBUG2,
                         "debugging", NULL);
    uint32_t block = known > 0 ? (uint32_t)known & KVM_GUESTDBG_BLOCKIRQ : 0;
    return KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | block;
}

int kvm_set_debug(struct vcpu *vcpu, const struct vcpu_debug *debug, struct error *err)
{
    struct kvm_vcpu *kvm = of(vcpu);
    uint32_t control = 0;
    uint64_t *registers = kvm->debug_registers;
    memset(registers, 0, sizeof kvm->debug_registers);
    if (debug->single_step)
        control |= step_flags(kvm);
    if (debug->breakpoints)
        control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        static const uint8_t lengths[] = {0, 0, 1, 1, 3, 3, 3, 3, 2}; /* as DR7 writes them */
        if (debug->hardware[i] == 0)
            continue;
        control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
        registers[i] = debug->hardware[i];
        registers[7] |= 2ull << (2 * i);
        registers[7] |= (uint64_t)(debug->kind[i] |
                                   lengths[debug->length[i] & 8 ? 8 : debug->length[i] & 7] << 2)
                        << (16 + 4 * i);
    }
    kvm->debug_control = control;
    return apply(kvm, 0, err);
}

void kvm_get_debug_event(struct vcpu *vcpu, struct vcpu_debug_event *event)
{
    struct kvm_vcpu *kvm = of(vcpu);
    const struct kvm_debug_exit_arch *found = &kvm->run->debug.arch;
    *event = (struct vcpu_debug_event){.address = found->pc,
                                       .is_breakpoint = found->exception == EXCEPTION_BREAKPOINT};
    if (event->is_breakpoint)
        return;
    event->status = found->dr6;
    event->is_step = found->dr6 & DR6_SINGLE_STEP;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        /* DR6 may also tell of registers that aren't enabled. */
        if (found->dr6 & 1u << i && kvm->debug_registers[7] & 2ull << (2 * i))
            event->hardware |= (uint8_t)(1u << i);
    }
}

int kvm_pass_debug_event(struct vcpu *vcpu, const struct vcpu_debug_event *event, struct error *err)
{
    struct kvm_vcpu *kvm = of(vcpu);
    struct kvm_debugregs registers;
    if (event->is_breakpoint)
        return apply(kvm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP, err);
    /* KVM injects the exception, but doesn't tell the guest's DR6 why. */
    if (kvm_call(kvm->fd, KVM_GET_DEBUGREGS, &registers, "reading debug registers", err) < 0)
        return -1;
    registers.dr6 |= event->status & (DR6_HARDWARE | DR6_SINGLE_STEP);
    if (kvm_call(kvm->fd, KVM_SET_DEBUGREGS, &registers, "debug registers", err) < 0)
        return -1;
    return apply(kvm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB, err);
}
