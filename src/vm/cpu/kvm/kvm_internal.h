#ifndef HULL_VM_KVM_INTERNAL_H
#define HULL_VM_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <signal.h>

#include "vm/cpu/engine.h"

struct kvm_engine {
    struct engine engine;
    struct interrupts interrupts;
    int device, machine; /* descriptors of /dev/kvm and of the VM */
    size_t run_size;     /* bytes of struct kvm_run and what follows it */
    struct kvm_clock_data clock;
    bool clock_is_kept;
};

struct kvm_vcpu {
    struct vcpu vcpu;
    int fd;
    struct kvm_run *run;
    pthread_t thread; /* that is in KVM_RUN, if runs */
    bool runs;
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
bool kvm_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical);
int kvm_supported_cpuid(struct engine *engine, struct cpuid *cpuid, struct error *err);

#endif
