/* Whether KVM has hardware behind it: some hosts have a /dev/kvm that interprets the guest's kernel
 * mode, a thousand times slower than a processor, and no kernel ever gets through its boot. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/board/layout.h"
#include "vm/cpu/kvm/kvm_internal.h"

#define MEMORY_SIZE (64u << 10)
#define CODE_ADDRESS 0x8000
#define TABLES_ADDRESS 0x1000 /* three pages: 1 GiB, identity-mapped */
#define LOOPS 50000u          /* of two instructions */
#define LONGEST_MS 60
#define ATTEMPTS 3   /* of which the best counts: the machine may be busy */
#define RATE_MIN 5.0 /* millions of instructions a second */

static uint64_t discard_read(struct engine_board *board, enum engine_space space, uint64_t address,
                             unsigned size)
{
    (void)board, (void)space, (void)address, (void)size;
    return 0;
}

static void discard_write(struct engine_board *board, enum engine_space space, uint64_t address,
                          unsigned size, uint64_t value)
{
    (void)board, (void)space, (void)address, (void)size, (void)value;
}

/* mov $LOOPS,%ecx; 1: dec %ecx; jnz 1b; ud2, which without an IDT is a triple fault, and the end.
 */
static void write_program(struct guest_memory *memory)
{
    uint8_t program[] = {0xb9, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x0b};
    const uint32_t loops = LOOPS;
    const uint64_t table = TABLES_ADDRESS + 0x1000 + 3, directory = TABLES_ADDRESS + 0x2000 + 3;
    memcpy(program + 1, &loops, sizeof loops);
    guest_memory_write(memory, CODE_ADDRESS, program, sizeof program);
    guest_memory_write(memory, TABLES_ADDRESS, &table, sizeof table);
    guest_memory_write(memory, TABLES_ADDRESS + 0x1000, &directory, sizeof directory);
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t entry = i << 21 | 0x83;
        guest_memory_write(memory, TABLES_ADDRESS + 0x2000 + 8 * i, &entry, sizeof entry);
    }
}

/* 64-bit kernel mode, as a kernel is in for nearly all of its life. */
static struct vcpu_registers kernel_mode(void)
{
    const struct vcpu_segment code = {.limit = UINT32_MAX,
                                      .selector = 8,
                                      .type = 11,
                                      .present = true,
                                      .is_long = true,
                                      .granular = true},
                              data = {.limit = UINT32_MAX,
                                      .selector = 16,
                                      .type = 3,
                                      .present = true,
                                      .is_32bit = true,
                                      .granular = true};
    return (struct vcpu_registers){
        .rip = CODE_ADDRESS,
        .rflags = 2,
        .cs = code,
        .ds = data,
        .es = data,
        .fs = data,
        .gs = data,
        .ss = data,
        .tr = {.limit = 0x67, .type = 11, .present = true, .system = true},
        .ldt = {.unusable = true, .system = true, .type = 2},
        .cr0 = 0x80000031,
        .cr3 = TABLES_ADDRESS,
        .cr4 = 0x20,
        .efer = 0x500,
        .apic_base = LAYOUT_LOCAL_APIC | 0x900};
}

/* The loop's time, in seconds; or -1. A timer takes the thread out of a run that doesn't end. */
static double time_loop(struct vcpu *vcpu, struct error *err)
{
    const struct engine_operations *engine = vcpu->engine->operations;
    struct vcpu_registers registers = kernel_mode();
    struct timespec start, end;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = KVM_KICK_SIGNAL};
    const struct itimerspec longest = {.it_value = {.tv_nsec = LONGEST_MS * 1000000l}};
    if (engine->set_registers(vcpu, &registers, err) < 0)
        return -1;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
        return error_set(err, errno, "can't make a timer");
    clock_gettime(CLOCK_MONOTONIC, &start);
    timer_settime(timer, 0, &longest, NULL);
    enum vcpu_exit reason = kvm_run_once(vcpu, err);
    clock_gettime(CLOCK_MONOTONIC, &end);
    timer_delete(timer);
    if (reason != VCPU_SHUTDOWN && reason != VCPU_INTERRUPTED)
        return reason == VCPU_FAILED ? -1 : error_set(err, 0, "KVM stopped a loop for no reason");
    return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

static double probe(struct engine *engine, struct guest_memory *memory, struct error *err)
{
    double seconds = -1;
    if (guest_memory_add(memory, 0, MEMORY_SIZE, false, false, err) < 0 ||
        engine->operations->map_memory(engine, 0, &memory->regions[0], false, err) < 0)
        return -1;
    write_program(memory);
    struct vcpu *vcpu = engine->operations->create_vcpu(engine, 0, NULL, err);
    if (!vcpu)
        return -1;
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        double found = time_loop(vcpu, err);
        if (found < 0) {
            seconds = found;
            break;
        }
        seconds = seconds < 0 || found < seconds ? found : seconds;
        if (2 * LOOPS / 1e6 / seconds >= RATE_MIN)
            break;
    }
    engine->operations->close_vcpu(vcpu);
    return seconds;
}

int kvm_engine_probe(const char *device, double *rate, struct error *err)
{
    struct engine_board board = {discard_read, discard_write};
    struct guest_memory memory = {0};
    struct engine *engine =
        kvm_engine_open(&(struct engine_options){.vcpus = 1, .device = device}, &board, err);
    if (!engine)
        return -1;
    double seconds = probe(engine, &memory, err);
    engine->operations->close(engine);
    guest_memory_release(&memory);
    if (seconds < 0)
        return -1;
    double found = 2 * LOOPS / 1e6 / seconds;
    if (rate)
        *rate = found;
    if (found < RATE_MIN)
        return error_set(err, 0,
                         "KVM here interprets the guest's kernel mode (about %.1f million "
                         "instructions a second): there is no VT-x or SVM behind it",
                         found);
    return 0;
}
