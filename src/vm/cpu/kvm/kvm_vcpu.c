/* The KVM engine's processors: running them and serving what they exit for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/board/controllers.h"
#include "vm/cpu/kvm/kvm_internal.h"

static struct kvm_vcpu *of(struct vcpu *vcpu)
{
    return (struct kvm_vcpu *)vcpu;
}

int kvm_supported_cpuid(struct engine *engine, struct cpuid *cpuid, struct error *err)
{
    struct kvm_cpuid2 *found =
        memory_allocate(1, sizeof *found + CPUID_LEAVES_MAX * sizeof(struct kvm_cpuid_entry2));
    found->nent = CPUID_LEAVES_MAX;
    int status = kvm_call(((struct kvm_engine *)engine)->device, KVM_GET_SUPPORTED_CPUID, found,
                          "telling what CPUID it supports", err);
    cpuid->count = status < 0 ? 0 : found->nent;
    for (unsigned i = 0; i < cpuid->count; i++) {
        const struct kvm_cpuid_entry2 *entry = &found->entries[i];
        cpuid->leaves[i] = (struct cpuid_leaf){
            entry->function, entry->index, entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            entry->eax,      entry->ebx,   entry->ecx,
            entry->edx};
    }
    free(found);
    if (engine->controllers)
        kvm_limit_cpuid(cpuid);
    return status < 0 ? -1 : 0;
}

static int set_cpuid(struct kvm_vcpu *kvm, const struct cpuid *cpuid, struct error *err)
{
    struct kvm_cpuid2 *wanted =
        memory_allocate(1, sizeof *wanted + cpuid->count * sizeof(struct kvm_cpuid_entry2));
    wanted->nent = cpuid->count;
    for (unsigned i = 0; i < cpuid->count; i++) {
        const struct cpuid_leaf *leaf = &cpuid->leaves[i];
        wanted->entries[i] = (struct kvm_cpuid_entry2){
            .function = leaf->function,
            .index = leaf->index,
            .flags = leaf->has_index ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = leaf->eax,
            .ebx = leaf->ebx,
            .ecx = leaf->ecx,
            .edx = leaf->edx};
    }
    int status = kvm_call(kvm->fd, KVM_SET_CPUID2, wanted, "the guest's CPUID", err);
    free(wanted);
    return status < 0 ? -1 : 0;
}

static uint32_t signature_of(const struct cpuid *cpuid)
{
    for (unsigned i = 0; cpuid && i < cpuid->count; i++) {
        if (cpuid->leaves[i].function == 1)
            return cpuid->leaves[i].eax;
    }
    return 0;
}

struct vcpu *kvm_create_vcpu(struct engine *engine, unsigned index, const struct cpuid *cpuid,
                             struct error *err)
{
    struct kvm_engine *machine = (struct kvm_engine *)engine;
    struct kvm_vcpu *kvm = memory_allocate(1, sizeof *kvm);
    *kvm = (struct kvm_vcpu){
        .vcpu = {engine, index}, .run = MAP_FAILED, .signature = signature_of(cpuid)};
    machine->vcpus[index] = kvm;
    kvm->fd = kvm_call(machine->machine, KVM_CREATE_VCPU, (void *)(uintptr_t)index, "a vcpu", err);
    if (kvm->fd >= 0) {
        kvm->run = mmap(NULL, machine->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, kvm->fd, 0);
        if (kvm->run == MAP_FAILED)
            error_set(err, errno, "can't map what KVM shares of vcpu %u", index);
        else if (!cpuid || set_cpuid(kvm, cpuid, err) == 0)
            return &kvm->vcpu;
    }
    kvm_close_vcpu(&kvm->vcpu);
    return NULL;
}

void kvm_close_vcpu(struct vcpu *vcpu)
{
    struct kvm_vcpu *kvm = of(vcpu);
    ((struct kvm_engine *)vcpu->engine)->vcpus[vcpu->index] = NULL;
    if (kvm->run != MAP_FAILED)
        munmap(kvm->run, ((struct kvm_engine *)vcpu->engine)->run_size);
    if (kvm->fd >= 0)
        close(kvm->fd);
    free(kvm);
}

/* IN, OUT, INS and OUTS: count elements of size bytes one behind the other. */
static void serve_port(struct kvm_vcpu *kvm)
{
    struct engine_board *board = kvm->vcpu.engine->board;
    struct kvm_run *run = kvm->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint64_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, run->io.size);
            board->write(board, ENGINE_PORT, run->io.port, run->io.size, value);
        } else {
            value = board->read(board, ENGINE_PORT, run->io.port, run->io.size);
            memcpy(data, &value, run->io.size);
        }
    }
}

/* An access that is no power of two (it crossed a page) comes to the board in bytes. */
static void serve_memory(struct kvm_vcpu *kvm)
{
    struct engine_board *board = kvm->vcpu.engine->board;
    struct kvm_run *run = kvm->run;
    if (kvm->vcpu.engine->controllers && kvm_serve_apic(kvm))
        return;
    unsigned size = run->mmio.len,
             step = size == 1 || size == 2 || size == 4 || size == 8 ? size : 1;
    for (unsigned done = 0; done < size && done < sizeof run->mmio.data; done += step) {
        uint64_t value = 0, address = run->mmio.phys_addr + done;
        if (run->mmio.is_write) {
            memcpy(&value, run->mmio.data + done, step);
            board->write(board, ENGINE_MEMORY, address, step, value);
        } else {
            value = board->read(board, ENGINE_MEMORY, address, step);
            memcpy(run->mmio.data + done, &value, step);
        }
    }
}

static enum vcpu_exit fail(struct kvm_vcpu *kvm, struct error *err)
{
    const struct kvm_run *run = kvm->run;
    struct vcpu_registers registers = {0};
    kvm_get_registers(&kvm->vcpu, &registers, NULL);
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        error_set(err, 0, "KVM can't go on with vcpu %u at %#llx: internal error %u",
                  kvm->vcpu.index, (unsigned long long)registers.rip, run->internal.suberror);
    else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
        error_set(err, 0, "KVM can't enter vcpu %u at %#llx: hardware reason %#llx",
                  kvm->vcpu.index, (unsigned long long)registers.rip,
                  (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
    else
        error_set(err, 0, "KVM stopped vcpu %u at %#llx for the unknown reason %u", kvm->vcpu.index,
                  (unsigned long long)registers.rip, run->exit_reason);
    return VCPU_FAILED;
}

/* A kick that comes after it was looked for leaves its mark for KVM_RUN. Also a kicked processor
 * enters KVM_RUN, which finishes the last exit before it sees the mark. */
enum vcpu_exit kvm_run_vcpu(struct vcpu *vcpu, struct error *err)
{
    struct kvm_vcpu *kvm = of(vcpu);
    enum vcpu_exit reason;
    kvm->thread_id = gettid();
    __atomic_store_n(&kvm->runs, true, __ATOMIC_SEQ_CST);
    for (;;) {
        __atomic_store_n(&kvm->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        bool was_kicked = __atomic_exchange_n(&kvm->was_kicked, false, __ATOMIC_SEQ_CST);
        if (was_kicked)
            __atomic_store_n(&kvm->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        enum kvm_entry entry = !was_kicked && vcpu->engine->controllers
                                   ? kvm_prepare_entry(kvm, &reason, err)
                                   : KVM_ENTRY_NOW;
        if (entry == KVM_ENTRY_NOW)
            reason = kvm_run_once(vcpu, err);
        if (entry == KVM_ENTRY_REFUSED || (entry == KVM_ENTRY_NOW && reason != VCPU_INTERRUPTED) ||
            was_kicked)
            return reason;
    }
}

/* With the board's controllers each exit is one to look for interrupts at, unless the processor is
 * only to finish what the last one left. */
static bool goes_on(const struct kvm_vcpu *kvm)
{
    return !kvm->vcpu.engine->controllers ||
           __atomic_load_n(&kvm->run->immediate_exit, __ATOMIC_SEQ_CST);
}

enum vcpu_exit kvm_run_once(struct vcpu *vcpu, struct error *err)
{
    struct kvm_vcpu *kvm = of(vcpu);
    do {
        if (vcpu->engine->controllers)
            kvm_note_entry(kvm);
        int code = ioctl(kvm->fd, KVM_RUN, NULL) < 0 ? errno : 0;
        if (vcpu->engine->controllers)
            kvm_note_exit(kvm);
        if (code == EINTR || code == EAGAIN)
            return VCPU_INTERRUPTED;
        if (code) {
            error_set(err, code, "KVM can't run vcpu %u", vcpu->index);
            return VCPU_FAILED;
        }
        switch (kvm->run->exit_reason) {
        case KVM_EXIT_IO:
            serve_port(kvm);
            break;
        case KVM_EXIT_MMIO:
            serve_memory(kvm);
            break;
        case KVM_EXIT_X86_RDMSR:
        case KVM_EXIT_X86_WRMSR:
            kvm_serve_msr(kvm);
            break;
        case KVM_EXIT_HLT: /* with KVM's controllers it waits by itself */
            kvm->is_halted = true;
            break;
        case KVM_EXIT_INTR:
        case KVM_EXIT_IRQ_WINDOW_OPEN:
        case KVM_EXIT_SET_TPR:
            break;
        case KVM_EXIT_DEBUG:
            return VCPU_DEBUG;
        case KVM_EXIT_SHUTDOWN:
            return VCPU_SHUTDOWN;
        case KVM_EXIT_SYSTEM_EVENT:
            return kvm->run->system_event.type == KVM_SYSTEM_EVENT_RESET ? VCPU_RESET
                                                                         : VCPU_SHUTDOWN;
        default:
            return fail(kvm, err);
        }
    } while (goes_on(kvm));
    return VCPU_INTERRUPTED;
}

/* The mark is set before the signal: whether the thread is in KVM_RUN, or just before it, the
 * kernel sees one of them. */
void kvm_leave_guest(struct kvm_vcpu *kvm)
{
    __atomic_store_n(&kvm->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    /* By the process's id, too: a filter of system calls can see to it that it is this one. */
    if (__atomic_load_n(&kvm->runs, __ATOMIC_SEQ_CST) && kvm->thread_id != gettid())
        syscall(SYS_tgkill, getpid(), kvm->thread_id, KVM_KICK_SIGNAL);
}

void kvm_kick(struct vcpu *vcpu)
{
    struct kvm_vcpu *kvm = of(vcpu);
    __atomic_store_n(&kvm->was_kicked, true, __ATOMIC_SEQ_CST);
    kvm_leave_guest(kvm);
    if (vcpu->engine->controllers)
        controllers_interrupt(vcpu->engine->controllers, vcpu->index);
}

bool kvm_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical)
{
    struct kvm_translation translation = {.linear_address = linear};
    if (kvm_call(of(vcpu)->fd, KVM_TRANSLATE, &translation, "an address", NULL) < 0)
        return false;
    *physical = translation.physical_address;
    return translation.valid;
}
