/* KVM without interrupt controllers: the board's own (board/controllers.h) say what a processor is
 * to do before it is entered. Some of what a guest does with its local APIC KVM leaves to us: the
 * page of registers, as any memory that isn't there; an x2APIC's registers, which are none to KVM;
 * the TSC deadline and writes of IA32_APIC_BASE, by a filter. What it does by itself, with CR8, we
 * learn at each exit. */
#include <asm/kvm_para.h>
#include <string.h>

#include "vm/board/controllers.h"
#include "vm/cpu/kvm/kvm_internal.h"
#include "vm/cpu/reset.h"

#define MSR_TSC 0x10
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0

static struct kvm_engine *of(struct kvm_vcpu *kvm)
{
    return (struct kvm_engine *)kvm->vcpu.engine;
}

/* ---- Setting up ---- */

static void wake(void *context, unsigned vcpu)
{
    struct kvm_engine *kvm = context;
    if (kvm->vcpus[vcpu])
        kvm_leave_guest(kvm->vcpus[vcpu]);
}

/* As the guest sees it, whatever it wrote to it. */
static uint64_t read_tsc(void *context, unsigned vcpu)
{
    struct kvm_engine *kvm = context;
    struct vcpu_msr tsc = {.index = MSR_TSC};
    kvm_get_msr(&kvm->vcpus[vcpu]->vcpu, &tsc, NULL);
    return tsc.value;
}

int kvm_open_interrupts(struct kvm_engine *kvm, unsigned vcpus, struct error *err)
{
    const struct controllers_options options = {
        .vcpus = vcpus, .wake = wake, .read_tsc = read_tsc, .context = kvm};
    struct kvm_enable_cap exits = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                   .args = {KVM_MSR_EXIT_REASON_INVAL |
                                            KVM_MSR_EXIT_REASON_UNKNOWN |
                                            KVM_MSR_EXIT_REASON_FILTER}};
    uint8_t denied[1] = {0};
    struct kvm_msr_filter filter = {
        .flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
        .ranges = {
            {.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
             .nmsrs = 1,
             .base = MSR_TSC_DEADLINE,
             .bitmap = denied},
            {.flags = KVM_MSR_FILTER_WRITE, .nmsrs = 1, .base = MSR_APIC_BASE, .bitmap = denied}}};
    if (kvm_call(kvm->machine, KVM_ENABLE_CAP, &exits,
                 "to leave model-specific registers to the monitor (Linux 5.10 does)", err) < 0 ||
        kvm_call(kvm->machine, KVM_X86_SET_MSR_FILTER, &filter, "a filter of registers", err) < 0)
        return -1;
    kvm->engine.controllers = controllers_create(&options);
    kvm->engine.interrupts = controllers_interrupts(kvm->engine.controllers);
    return 0;
}

/* What KVM offers beyond a processor's own features and does itself only with its controllers. */
void kvm_limit_cpuid(struct cpuid *cpuid)
{
    static const unsigned own[] = {KVM_FEATURE_ASYNC_PF,     KVM_FEATURE_PV_EOI,
                                   KVM_FEATURE_PV_UNHALT,    KVM_FEATURE_ASYNC_PF_VMEXIT,
                                   KVM_FEATURE_PV_SEND_IPI,  KVM_FEATURE_PV_SCHED_YIELD,
                                   KVM_FEATURE_ASYNC_PF_INT, KVM_FEATURE_MSI_EXT_DEST_ID};
    for (unsigned i = 0; i < cpuid->count; i++) {
        struct cpuid_leaf *leaf = &cpuid->leaves[i];
        for (unsigned n = 0; leaf->function == KVM_CPUID_FEATURES && n < sizeof own / sizeof *own;
             n++)
            leaf->eax &= ~(1u << own[n]);
    }
}

/* On the vcpu's thread. */
static int begin(struct kvm_vcpu *kvm, struct error *err)
{
    int rate = kvm_call(kvm->fd, KVM_GET_TSC_KHZ, NULL, "telling the TSC's frequency", err);
    if (rate < 0)
        return -1;
    const struct controllers_thread thread = {
        .signal = KVM_KICK_SIGNAL, .value = kvm, .tsc_frequency = (uint64_t)rate * 1000};
    kvm->has_begun = true;
    return controllers_begin_thread(of(kvm)->engine.controllers, kvm->vcpu.index, &thread, err);
}

/* ---- Before the guest is entered ---- */

/* Finishes what the last exit left undone (a read's value goes to its register with the next
 * entry), and forgets what waited to be delivered. */
static int clear_events(struct kvm_vcpu *kvm, struct error *err)
{
    struct kvm_vcpu_events none = {.flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
                                            KVM_VCPUEVENT_VALID_SHADOW};
    struct kvm_debugregs debug = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
    __atomic_store_n(&kvm->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (kvm_run_once(&kvm->vcpu, err) == VCPU_FAILED ||
        kvm_call(kvm->fd, KVM_SET_VCPU_EVENTS, &none, "to forget events", err) < 0 ||
        kvm_call(kvm->fd, KVM_SET_DEBUGREGS, &debug, "debug registers", err) < 0)
        return -1;
    return 0;
}

static enum kvm_entry initialize(struct kvm_vcpu *kvm, enum vcpu_exit *reason, struct error *err)
{
    struct vcpu_registers registers;
    *reason = VCPU_RESET;
    if (!controllers_take_init(of(kvm)->engine.controllers, kvm->vcpu.index))
        return KVM_ENTRY_REFUSED;
    *reason = VCPU_FAILED;
    if (clear_events(kvm, err) < 0 || kvm_get_registers(&kvm->vcpu, &registers, err) < 0)
        return KVM_ENTRY_REFUSED;
    vcpu_registers_initialize(&registers, kvm->signature);
    kvm->is_halted = false;
    return kvm_set_registers(&kvm->vcpu, &registers, err) < 0 ? KVM_ENTRY_REFUSED : KVM_ENTRY_LATER;
}

static enum kvm_entry start(struct kvm_vcpu *kvm, enum vcpu_exit *reason, struct error *err)
{
    struct vcpu_registers registers;
    uint8_t vector;
    *reason = VCPU_FAILED;
    if (!controllers_take_startup(of(kvm)->engine.controllers, kvm->vcpu.index, &vector))
        return KVM_ENTRY_LATER;
    if (kvm_get_registers(&kvm->vcpu, &registers, err) < 0)
        return KVM_ENTRY_REFUSED;
    vcpu_registers_start(&registers, vector);
    return kvm_set_registers(&kvm->vcpu, &registers, err) < 0 ? KVM_ENTRY_REFUSED : KVM_ENTRY_LATER;
}

/* An interrupt, if the processor takes one now; else KVM is to come back as soon as it does. A
 * debugger's step is to end behind the instruction, not in a handler. */
static int inject(struct kvm_vcpu *kvm, struct error *err)
{
    struct controllers *controllers = of(kvm)->engine.controllers;
    struct kvm_run *run = kvm->run;
    unsigned index = kvm->vcpu.index;
    run->request_interrupt_window = 0;
    if (kvm->debug_control & KVM_GUESTDBG_SINGLESTEP)
        return 0;
    if ((controllers_pending(controllers, index) & EVENT_INTERRUPT) &&
        run->ready_for_interrupt_injection && run->if_flag) {
        int vector = controllers_acknowledge(controllers, index);
        struct kvm_interrupt interrupt = {.irq = (uint32_t)vector};
        if (vector >= 0 && kvm_call(kvm->fd, KVM_INTERRUPT, &interrupt, "an interrupt", err) < 0)
            return -1;
        run->ready_for_interrupt_injection = 0;
    }
    run->request_interrupt_window =
        (controllers_pending(controllers, index) & EVENT_INTERRUPT) != 0;
    return 0;
}

enum kvm_entry kvm_prepare_entry(struct kvm_vcpu *kvm, enum vcpu_exit *reason, struct error *err)
{
    struct controllers *controllers = of(kvm)->engine.controllers;
    unsigned index = kvm->vcpu.index;
    *reason = VCPU_FAILED;
    if (!kvm->has_begun && begin(kvm, err) < 0)
        return KVM_ENTRY_REFUSED;
    unsigned events = controllers_prepare(controllers, index);
    if (events & EVENT_INIT)
        return initialize(kvm, reason, err);
    if (events & EVENT_STARTUP)
        return start(kvm, reason, err);
    if (controllers_is_stopped(controllers, index)) {
        controllers_wait(controllers, index, EVENT_INIT | EVENT_STARTUP);
        return KVM_ENTRY_LATER;
    }
    if ((events & EVENT_NMI) && controllers_take_nmi(controllers, index)) {
        if (kvm_call(kvm->fd, KVM_NMI, NULL, "an NMI", err) < 0)
            return KVM_ENTRY_REFUSED;
        kvm->is_halted = false;
    }
    unsigned wanted = EVENT_INIT | EVENT_NMI | (kvm->run->if_flag ? EVENT_INTERRUPT : 0);
    if (kvm->is_halted && !(events & wanted)) {
        controllers_wait(controllers, index, wanted);
        return KVM_ENTRY_LATER;
    }
    if (inject(kvm, err) < 0)
        return KVM_ENTRY_REFUSED;
    kvm->is_halted = false;
    return KVM_ENTRY_NOW;
}

/* ---- What KVM and the controllers know of each other ---- */

void kvm_note_entry(struct kvm_vcpu *kvm)
{
    kvm->run->cr8 = controllers_get_cr8(of(kvm)->engine.controllers, kvm->vcpu.index);
}

void kvm_note_exit(struct kvm_vcpu *kvm)
{
    struct controllers *controllers = of(kvm)->engine.controllers;
    const struct kvm_run *run = kvm->run;
    unsigned index = kvm->vcpu.index;
    if (run->cr8 != controllers_get_cr8(controllers, index))
        controllers_set_cr8(controllers, index, (uint8_t)run->cr8);
}

bool kvm_serve_apic(struct kvm_vcpu *kvm)
{
    struct controllers *controllers = of(kvm)->engine.controllers;
    unsigned index = kvm->vcpu.index, size = kvm->run->mmio.len;
    uint64_t address = kvm->run->mmio.phys_addr, page = controllers_apic_page(controllers, index),
             value = 0;
    if ((address & ~0xfffull) != page)
        return false;
    uint32_t offset = address & 0xfff;
    if (kvm->run->mmio.is_write) {
        memcpy(&value, kvm->run->mmio.data, sizeof value);
        controllers_write_apic(controllers, index, offset, size, (uint32_t)value);
    } else {
        value = controllers_read_apic(controllers, index, offset, size);
        memcpy(kvm->run->mmio.data, &value, sizeof value);
    }
    return true;
}

/* IA32_APIC_BASE is KVM's as well: CPUID says whether there is an APIC, and KVM knows how long an
 * address is. */
static bool write_base(struct kvm_vcpu *kvm, const struct vcpu_msr *msr)
{
    struct controllers *controllers = of(kvm)->engine.controllers;
    struct vcpu_msr before = {.index = MSR_APIC_BASE};
    if (kvm_get_msr(&kvm->vcpu, &before, NULL) < 0 || kvm_set_msr(&kvm->vcpu, msr, NULL) < 0)
        return false;
    if (controllers_write_msr(controllers, kvm->vcpu.index, msr->index, msr->value))
        return true;
    kvm_set_msr(&kvm->vcpu, &before, NULL);
    return false;
}

static bool write_msr(struct kvm_vcpu *kvm, const struct vcpu_msr *msr)
{
    return msr->index == MSR_APIC_BASE
               ? write_base(kvm, msr)
               : controllers_write_msr(of(kvm)->engine.controllers, kvm->vcpu.index, msr->index,
                                       msr->value);
}

/* Of what KVM doesn't know we know the APIC's; the rest is #GP, as KVM would have it. */
void kvm_serve_msr(struct kvm_vcpu *kvm)
{
    struct kvm_run *run = kvm->run;
    struct vcpu_msr msr = {.index = run->msr.index, .value = run->msr.data};
    bool is_valid = controllers_is_msr(msr.index);
    if (is_valid && run->exit_reason == KVM_EXIT_X86_WRMSR)
        is_valid = write_msr(kvm, &msr);
    else if (is_valid)
        is_valid = controllers_read_msr(of(kvm)->engine.controllers, kvm->vcpu.index, msr.index,
                                        &msr.value);
    run->msr.data = msr.value;
    run->msr.error = !is_valid;
}
