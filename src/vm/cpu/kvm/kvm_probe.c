/* Whether KVM has hardware behind it: some hosts have a /dev/kvm that interprets the guest's kernel
 * mode, a thousand times slower than a processor, and no kernel ever gets through its boot. The
 * loop runs on the machine's own first processor, before its kernel: a VM only for that would take
 * longer to make and to end than all else of a machine's start. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vm/board/layout.h"
#include "vm/cpu/kvm/kvm_internal.h"

#define CODE_ADDRESS 0x8000
#define TABLES_ADDRESS 0x1000 /* three pages: 1 GiB, identity-mapped */
#define TABLES_SIZE 0x3000
#define LOOPS 50000u /* of two instructions */
#define LONGEST_MS 60
#define ATTEMPTS 3   /* of which the best counts: the machine may be busy */
#define RATE_MIN 5.0 /* millions of instructions a second */

/* mov $LOOPS,%ecx; 1: dec %ecx; jnz 1b; out %al,$0x80, which is an exit. */
static const uint8_t program[] = {0xb9, LOOPS & 0xff, LOOPS >> 8, 0,    0,   0xff,
                                  0xc9, 0x75,         0xfc,       0xe6, 0x80};

static void write_program(struct guest_memory *memory)
{
    const uint64_t table = TABLES_ADDRESS + 0x1000 + 3, directory = TABLES_ADDRESS + 0x2000 + 3;
    const uint64_t first = 0x83; /* the page of 2 MiB that the program is in */
    guest_memory_write(memory, CODE_ADDRESS, program, sizeof program);
    guest_memory_write(memory, TABLES_ADDRESS, &table, sizeof table);
    guest_memory_write(memory, TABLES_ADDRESS + 0x1000, &directory, sizeof directory);
    guest_memory_write(memory, TABLES_ADDRESS + 0x2000, &first, sizeof first);
}

/* No guest is to find a trace of it. */
static void erase_program(struct guest_memory *memory)
{
    memset(guest_memory_at(memory, CODE_ADDRESS, sizeof program), 0, sizeof program);
    memset(guest_memory_at(memory, TABLES_ADDRESS, TABLES_SIZE), 0, TABLES_SIZE);
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

/* Lets KVM finish the instruction that the last exit was for, without executing another one. */
static void complete_exit(struct kvm_vcpu *vcpu)
{
    vcpu->run->immediate_exit = 1;
    ioctl(vcpu->fd, KVM_RUN, NULL);
    vcpu->run->immediate_exit = 0;
}

/* Runs the loop to its end, or until a signal. */
static int run_loop(struct kvm_vcpu *vcpu, struct error *err)
{
    if (ioctl(vcpu->fd, KVM_RUN, NULL) < 0)
        return errno == EINTR ? 0 : error_set(err, errno, "KVM can't run a loop");
    if (vcpu->run->exit_reason != KVM_EXIT_IO && vcpu->run->exit_reason != KVM_EXIT_INTR)
        return error_set(err, 0, "KVM stopped a loop for the reason %u", vcpu->run->exit_reason);
    complete_exit(vcpu);
    return 0;
}

/* The loop's time, in seconds; or -1. A timer takes the thread out of a run that doesn't end: the
 * signal comes to the process's first thread, if not another one alone lets it in. */
static double time_loop(struct vcpu *vcpu, struct error *err)
{
    struct vcpu_registers registers = kernel_mode();
    struct timespec start, end;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = KVM_KICK_SIGNAL};
    const struct itimerspec longest = {.it_value = {.tv_nsec = LONGEST_MS * 1000000l}};
    if (kvm_set_registers(vcpu, &registers, err) < 0)
        return -1;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
        return error_set(err, errno, "can't make a timer");
    clock_gettime(CLOCK_MONOTONIC, &start);
    timer_settime(timer, 0, &longest, NULL);
    int status = run_loop((struct kvm_vcpu *)vcpu, err);
    clock_gettime(CLOCK_MONOTONIC, &end);
    timer_delete(timer);
    return status < 0
               ? -1
               : (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

int kvm_engine_probe(struct vcpu *vcpu, struct guest_memory *memory, double *rate,
                     struct error *err)
{
    *rate = 0;
    write_program(memory);
    for (unsigned i = 0; i < ATTEMPTS && *rate < RATE_MIN; i++) {
        double seconds = time_loop(vcpu, err);
        if (seconds < 0)
            return -1;
        double found = 2 * LOOPS / 1e6 / seconds;
        *rate = found > *rate ? found : *rate;
    }
    erase_program(memory);
    if (*rate < RATE_MIN)
        return error_set(err, 0,
                         "KVM here interprets the guest's kernel mode (about %.1f million "
                         "instructions a second): there is no VT-x or SVM behind it",
                         *rate);
    return 0;
}
