/* The KVM engine: the VM, its memory slots, interrupts and doorbells. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/board/controllers.h"
#include "vm/cpu/kvm/kvm_internal.h"

/* Three pages that processors with VT-x need for real mode, and one for the TSS; above all memory
 * that a guest could have below 4 GiB. */
#define IDENTITY_MAP_ADDRESS 0xfffbc000ull
#define TSS_ADDRESS 0xfffbd000ull

int kvm_call(int fd, unsigned long request, void *argument, const char *name, struct error *err)
{
    int result;
    do
        result = ioctl(fd, request, argument);
    while (result < 0 && errno == EINTR);
    return result < 0 ? error_set(err, errno, "KVM refuses %s", name) : result;
}

static struct kvm_engine *of(struct engine *engine)
{
    return (struct kvm_engine *)engine;
}

static int map_memory(struct engine *engine, unsigned slot, const struct guest_region *region,
                      bool log_dirty, struct error *err)
{
    struct kvm_userspace_memory_region memory = {.slot = slot,
                                                 .flags =
                                                     (log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0) |
                                                     (region->read_only ? KVM_MEM_READONLY : 0),
                                                 .guest_phys_addr = region->address,
                                                 .memory_size = region->size,
                                                 .userspace_addr = (uintptr_t)region->host};
    return kvm_call(of(engine)->machine, KVM_SET_USER_MEMORY_REGION, &memory, "guest memory", err);
}

static int unmap_memory(struct engine *engine, unsigned slot, struct error *err)
{
    struct kvm_userspace_memory_region memory = {.slot = slot};
    return kvm_call(of(engine)->machine, KVM_SET_USER_MEMORY_REGION, &memory,
                    "taking guest memory away", err);
}

static int read_dirty(struct engine *engine, unsigned slot, uint64_t *bitmap, struct error *err)
{
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};
    return kvm_call(of(engine)->machine, KVM_GET_DIRTY_LOG, &log, "the log of dirty pages", err);
}

static int set_doorbell(struct engine *engine, const struct engine_doorbell *doorbell,
                        uint32_t flags)
{
    struct kvm_ioeventfd wanted = {.addr = doorbell->address,
                                   .len = doorbell->size,
                                   .datamatch = doorbell->value,
                                   .fd = doorbell->eventfd,
                                   .flags = flags};
    wanted.flags |= doorbell->space == ENGINE_PORT ? (uint32_t)KVM_IOEVENTFD_FLAG_PIO : 0;
    wanted.flags |= doorbell->has_value ? (uint32_t)KVM_IOEVENTFD_FLAG_DATAMATCH : 0;
    return kvm_call(of(engine)->machine, KVM_IOEVENTFD, &wanted, "a doorbell", NULL);
}

static int add_doorbell(struct engine *engine, const struct engine_doorbell *doorbell)
{
    return set_doorbell(engine, doorbell, 0);
}

static void remove_doorbell(struct engine *engine, const struct engine_doorbell *doorbell)
{
    set_doorbell(engine, doorbell, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static int pause_machine(struct engine *engine, struct error *err)
{
    struct kvm_engine *kvm = of(engine);
    if (kvm_call(kvm->machine, KVM_GET_CLOCK, &kvm->clock, "reading the guest's clock", err) < 0)
        return -1;
    kvm->clock_is_kept = true;
    if (engine->controllers)
        controllers_pause(engine->controllers);
    return 0;
}

static int resume_machine(struct engine *engine, struct error *err)
{
    struct kvm_engine *kvm = of(engine);
    if (!kvm->clock_is_kept)
        return 0;
    if (engine->controllers)
        controllers_resume(engine->controllers);
    kvm->clock_is_kept = false;
    kvm->clock.flags = 0; /* go on from where it stood, not from where it would be */
    return kvm_call(kvm->machine, KVM_SET_CLOCK, &kvm->clock, "setting the guest's clock", err);
}

static void close_engine(struct engine *engine)
{
    struct kvm_engine *kvm = of(engine);
    if (engine->controllers)
        controllers_destroy(engine->controllers);
    if (kvm->machine >= 0)
        close(kvm->machine);
    if (kvm->device >= 0)
        close(kvm->device);
    free(kvm);
}

static const struct engine_operations operations = {
    .name = "kvm",
    .close = close_engine,
    .map_memory = map_memory,
    .unmap_memory = unmap_memory,
    .read_dirty = read_dirty,
    .add_doorbell = add_doorbell,
    .remove_doorbell = remove_doorbell,
    .supported_cpuid = kvm_supported_cpuid,
    .create_vcpu = kvm_create_vcpu,
    .close_vcpu = kvm_close_vcpu,
    .run = kvm_run_vcpu,
    .kick = kvm_kick,
    .get_registers = kvm_get_registers,
    .set_registers = kvm_set_registers,
    .get_msr = kvm_get_msr,
    .set_msr = kvm_set_msr,
    .set_debug = kvm_set_debug,
    .get_debug_event = kvm_get_debug_event,
    .pass_debug_event = kvm_pass_debug_event,
    .translate = kvm_translate,
    .pause = pause_machine,
    .resume = resume_machine,
};

static int machine_of(struct interrupts *interrupts)
{
    return ((struct kvm_engine *)((char *)interrupts - offsetof(struct kvm_engine, interrupts)))
        ->machine;
}

static void set_line(struct interrupts *interrupts, unsigned line, bool level)
{
    struct kvm_irq_level irq = {.irq = line, .level = level};
    kvm_call(machine_of(interrupts), KVM_IRQ_LINE, &irq, "an interrupt", NULL);
}

static void send_message(struct interrupts *interrupts, uint64_t address, uint32_t data)
{
    struct kvm_msi message = {
        .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};
    /* A message to a processor that isn't there goes nowhere, as on a real board. */
    kvm_call(machine_of(interrupts), KVM_SIGNAL_MSI, &message, "a message", NULL);
}

static const struct interrupts_operations interrupts_operations = {set_line, send_message};

/* Opens the device and makes a VM without memory, processors or interrupt controllers. */
static int open_machine(struct kvm_engine *kvm, const char *device, struct error *err)
{
    kvm->device = open(device, O_RDWR | O_CLOEXEC);
    if (kvm->device < 0)
        return error_set(err, errno, "can't open %s", device);
    int version = kvm_call(kvm->device, KVM_GET_API_VERSION, NULL, "its version", err);
    if (version != KVM_API_VERSION)
        return version < 0 ? -1
                           : error_set(err, 0, "%s has version %d of its interface, not %d", device,
                                       version, KVM_API_VERSION);
    int size = kvm_call(kvm->device, KVM_GET_VCPU_MMAP_SIZE, NULL, "the size of a vcpu", err);
    if (size < 0)
        return -1;
    kvm->run_size = (size_t)size;
    kvm->machine = kvm_call(kvm->device, KVM_CREATE_VM, NULL, "a VM", err);
    return kvm->machine < 0 ? -1 : 0;
}

static int reserve_pages(struct kvm_engine *kvm, struct error *err)
{
    uint64_t identity_map = IDENTITY_MAP_ADDRESS;
    if (kvm_call(kvm->machine, KVM_SET_TSS_ADDR, (void *)TSS_ADDRESS, "a TSS", err) < 0 ||
        kvm_call(kvm->machine, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "an identity map", err) <
            0)
        return -1;
    return 0;
}

static int create_interrupts(struct kvm_engine *kvm, struct error *err)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    if (kvm_call(kvm->machine, KVM_CREATE_IRQCHIP, NULL, "interrupt controllers", err) < 0 ||
        kvm_call(kvm->machine, KVM_CREATE_PIT2, &pit, "a timer (PIT)", err) < 0)
        return -1;
    return 0;
}

/* The alarm of the board's controllers may come just before KVM_RUN, where it would be lost. */
static void on_kick(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    struct kvm_vcpu *vcpu = info->si_code == SI_TIMER ? info->si_value.sival_ptr : NULL;
    if (vcpu)
        __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

struct engine *kvm_engine_open(const struct engine_options *options, struct engine_board *board,
                               struct error *err)
{
    struct kvm_engine *kvm = memory_allocate(1, sizeof *kvm);
    *kvm = (struct kvm_engine){
        .engine = {.operations = &operations, .board = board, .interrupts = &kvm->interrupts},
        .interrupts = {&interrupts_operations},
        .device = -1,
        .machine = -1};
    /* Without a handler of its own the signal would end the process. */
    const struct sigaction action = {.sa_sigaction = on_kick, .sa_flags = SA_SIGINFO};
    sigaction(KVM_KICK_SIGNAL, &action, NULL);
    if (open_machine(kvm, options->device ? options->device : "/dev/kvm", err) == 0) {
        int most = kvm_call(kvm->machine, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_MAX_VCPUS,
                            "the number of vcpus", err);
        if (most >= 0 && (unsigned)most < options->vcpus)
            error_set(err, 0, "KVM here has at most %d vcpus for a VM, not %u", most,
                      options->vcpus);
        else if (most >= 0 && reserve_pages(kvm, err) == 0 &&
                 (options->user_interrupts ? kvm_open_interrupts(kvm, options->vcpus, err)
                                           : create_interrupts(kvm, err)) == 0)
            return &kvm->engine;
    }
    close_engine(&kvm->engine);
    return NULL;
}
