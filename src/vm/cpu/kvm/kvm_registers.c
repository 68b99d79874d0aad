/* Registers between the engine's form and KVM's. */
#include "vm/cpu/kvm/kvm_internal.h"

static struct vcpu_segment segment_of(const struct kvm_segment *from)
{
    return (struct vcpu_segment){.base = from->base,
                                 .limit = from->limit,
                                 .selector = from->selector,
                                 .type = from->type,
                                 .dpl = from->dpl,
                                 .present = from->present,
                                 .is_long = from->l,
                                 .is_32bit = from->db,
                                 .granular = from->g,
                                 .system = !from->s,
                                 .unusable = from->unusable};
}

static struct kvm_segment kvm_segment_of(const struct vcpu_segment *from)
{
    return (struct kvm_segment){.base = from->base,
                                .limit = from->limit,
                                .selector = from->selector,
                                .type = from->type,
                                .dpl = from->dpl,
                                .present = from->present,
                                .l = from->is_long,
                                .db = from->is_32bit,
                                .g = from->granular,
                                .s = !from->system,
                                .unusable = from->unusable};
}

static int fd_of(struct vcpu *vcpu)
{
    return ((struct kvm_vcpu *)vcpu)->fd;
}

int kvm_get_registers(struct vcpu *vcpu, struct vcpu_registers *registers, struct error *err)
{
    struct kvm_regs general;
    struct kvm_sregs special;
    if (kvm_call(fd_of(vcpu), KVM_GET_REGS, &general, "reading registers", err) < 0 ||
        kvm_call(fd_of(vcpu), KVM_GET_SREGS, &special, "reading special registers", err) < 0)
        return -1;
    *registers = (struct vcpu_registers){.rax = general.rax,
                                         .rbx = general.rbx,
                                         .rcx = general.rcx,
                                         .rdx = general.rdx,
                                         .rsi = general.rsi,
                                         .rdi = general.rdi,
                                         .rsp = general.rsp,
                                         .rbp = general.rbp,
                                         .r8 = general.r8,
                                         .r9 = general.r9,
                                         .r10 = general.r10,
                                         .r11 = general.r11,
                                         .r12 = general.r12,
                                         .r13 = general.r13,
                                         .r14 = general.r14,
                                         .r15 = general.r15,
                                         .rip = general.rip,
                                         .rflags = general.rflags,
                                         .cs = segment_of(&special.cs),
                                         .ds = segment_of(&special.ds),
                                         .es = segment_of(&special.es),
                                         .fs = segment_of(&special.fs),
                                         .gs = segment_of(&special.gs),
                                         .ss = segment_of(&special.ss),
                                         .tr = segment_of(&special.tr),
                                         .ldt = segment_of(&special.ldt),
                                         .gdt = {special.gdt.base, special.gdt.limit},
                                         .idt = {special.idt.base, special.idt.limit},
                                         .cr0 = special.cr0,
                                         .cr2 = special.cr2,
                                         .cr3 = special.cr3,
                                         .cr4 = special.cr4,
                                         .cr8 = special.cr8,
                                         .efer = special.efer,
                                         .apic_base = special.apic_base};
    return 0;
}

int kvm_set_registers(struct vcpu *vcpu, const struct vcpu_registers *registers, struct error *err)
{
    const struct vcpu_registers *from = registers;
    struct kvm_regs general = {.rax = from->rax,
                               .rbx = from->rbx,
                               .rcx = from->rcx,
                               .rdx = from->rdx,
                               .rsi = from->rsi,
                               .rdi = from->rdi,
                               .rsp = from->rsp,
                               .rbp = from->rbp,
                               .r8 = from->r8,
                               .r9 = from->r9,
                               .r10 = from->r10,
                               .r11 = from->r11,
                               .r12 = from->r12,
                               .r13 = from->r13,
                               .r14 = from->r14,
                               .r15 = from->r15,
                               .rip = from->rip,
                               .rflags = from->rflags};
    struct kvm_sregs special;
    /* Read first, for what is not ours: interrupts that wait to be delivered. */
    if (kvm_call(fd_of(vcpu), KVM_GET_SREGS, &special, "reading special registers", err) < 0)
        return -1;
    special.cs = kvm_segment_of(&from->cs);
    special.ds = kvm_segment_of(&from->ds);
    special.es = kvm_segment_of(&from->es);
    special.fs = kvm_segment_of(&from->fs);
    special.gs = kvm_segment_of(&from->gs);
    special.ss = kvm_segment_of(&from->ss);
    special.tr = kvm_segment_of(&from->tr);
    special.ldt = kvm_segment_of(&from->ldt);
    special.gdt.base = from->gdt.base;
    special.gdt.limit = from->gdt.limit;
    special.idt.base = from->idt.base;
    special.idt.limit = from->idt.limit;
    special.cr0 = from->cr0;
    special.cr2 = from->cr2;
    special.cr3 = from->cr3;
    special.cr4 = from->cr4;
    special.cr8 = from->cr8;
    special.efer = from->efer;
    if (!vcpu->engine->controllers) /* which have their own way to change it */
        special.apic_base = from->apic_base;
    if (kvm_call(fd_of(vcpu), KVM_SET_SREGS, &special, "special registers", err) < 0 ||
        kvm_call(fd_of(vcpu), KVM_SET_REGS, &general, "registers", err) < 0)
        return -1;
    return 0;
}

/* A list of one register: KVM tells how many it did. */
union one_msr {
    struct kvm_msrs list;
    uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

int kvm_get_msr(struct vcpu *vcpu, struct vcpu_msr *msr, struct error *err)
{
    union one_msr one = {.list.nmsrs = 1};
    one.list.entries[0].index = msr->index;
    if (kvm_call(fd_of(vcpu), KVM_GET_MSRS, &one, "reading a register", err) != 1)
        return error_set(err, 0, "KVM has no model-specific register %#x", msr->index);
    msr->value = one.list.entries[0].data;
    return 0;
}

int kvm_set_msr(struct vcpu *vcpu, const struct vcpu_msr *msr, struct error *err)
{
    union one_msr one = {.list.nmsrs = 1};
    one.list.entries[0] = (struct kvm_msr_entry){.index = msr->index, .data = msr->value};
    if (kvm_call(fd_of(vcpu), KVM_SET_MSRS, &one, "writing a register", err) != 1)
        return error_set(err, 0, "KVM refuses %#llx in model-specific register %#x",
                         (unsigned long long)msr->value, msr->index);
    return 0;
}
