#ifndef HULL_VM_KVM_INTERNAL_H
#define HULL_VM_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <signal.h>

#include "vm/cpu/engine.h"

struct kvm_engine {
    struct engine engine;
    struct interrupts interrupts; /* KVM's own, where there are no engine.controllers */
    struct kvm_vcpu *vcpus[ENGINE_VCPUS_MAX];
    int device, machine; /* descriptors of /dev/kvm and of the VM */
    size_t run_size;     /* bytes of struct kvm_run and what follows it */
    struct kvm_clock_data clock;
    bool clock_is_kept;
};

struct kvm_vcpu {
    struct vcpu vcpu;
    int fd;
    struct kvm_run *run;
    pid_t thread_id; /* that is in KVM_RUN, if runs */
    bool runs;
    bool was_kicked;
    /* With the board's interrupt controllers: */
    bool has_begun, is_halted;
    uint32_t signature;     /* CPUID's leaf 1, EAX */
    uint32_t debug_control; /* what KVM was last told to do for a debugger, with debug_registers */
    uint64_t debug_registers[8];
};

/* Signal with which a thread is taken out of KVM_RUN: its handler does nothing. */
#define KVM_KICK_SIGNAL SIGRTMIN

/* An ioctl of a vcpu, a VM or the device: -1 after setting err to "KVM refuses NAME". */
int kvm_call(int fd, unsigned long request, void *argument, const char *name, struct error *err);

int kvm_get_registers(struct vcpu *vcpu, struct vcpu_registers *registers, struct error *err);
int kvm_set_registers(struct vcpu *vcpu, const struct vcpu_registers *registers, struct error *err);

int kvm_get_msr(struct vcpu *vcpu, struct vcpu_msr *msr, struct error *err);
int kvm_set_msr(struct vcpu *vcpu, const struct vcpu_msr *msr, struct error *err);

struct vcpu *kvm_create_vcpu(struct engine *engine, unsigned index, const struct cpuid *cpuid,
                             struct error *err);
void kvm_close_vcpu(struct vcpu *vcpu);
enum vcpu_exit kvm_run_vcpu(struct vcpu *vcpu, struct error *err);
/* The same until any signal comes, kicked or not. */
enum vcpu_exit kvm_run_once(struct vcpu *vcpu, struct error *err);
void kvm_kick(struct vcpu *vcpu);
int kvm_set_debug(struct vcpu *vcpu, const struct vcpu_debug *debug, struct error *err);
void kvm_get_debug_event(struct vcpu *vcpu, struct vcpu_debug_event *event);
int kvm_pass_debug_event(struct vcpu *vcpu, const struct vcpu_debug_event *event,
                         struct error *err);
/* From any thread: KVM_RUN that goes on, or the next one, ends. */
void kvm_leave_guest(struct kvm_vcpu *kvm);
bool kvm_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical);
int kvm_supported_cpuid(struct engine *engine, struct cpuid *cpuid, struct error *err);

/* With the board's interrupt controllers (kvm_interrupts.c). Of kvm_prepare_entry(): whether the
 * processor is to be entered; later, once it was looked whether it was kicked; or not, and run()
 * returns reason. */
enum kvm_entry { KVM_ENTRY_NOW, KVM_ENTRY_LATER, KVM_ENTRY_REFUSED };
int kvm_open_interrupts(struct kvm_engine *kvm, unsigned vcpus, struct error *err);
void kvm_limit_cpuid(struct cpuid *cpuid);
enum kvm_entry kvm_prepare_entry(struct kvm_vcpu *kvm, enum vcpu_exit *reason, struct error *err);
/* Around each KVM_RUN. */
void kvm_note_entry(struct kvm_vcpu *kvm);
void kvm_note_exit(struct kvm_vcpu *kvm);
/* KVM_EXIT_MMIO, if it is the local APIC's; KVM_EXIT_X86_RDMSR and KVM_EXIT_X86_WRMSR. */
bool kvm_serve_apic(struct kvm_vcpu *kvm);
void kvm_serve_msr(struct kvm_vcpu *kvm);

#endif
