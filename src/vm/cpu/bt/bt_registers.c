/* The engine's interface to registers, in and out of the form that translated code works on. */
#include <string.h>

#include "vm/board/controllers.h"
#include "vm/cpu/bt/bt_internal.h"

#define MSR_APIC_BASE 0x1b

static void get_segments(const struct bt_vcpu *vcpu, struct vcpu_registers *registers)
{
    struct vcpu_segment *to[] = {&registers->es, &registers->cs, &registers->ss,
                                 &registers->ds, &registers->fs, &registers->gs};
    for (unsigned i = 0; i < 6; i++)
        *to[i] = vcpu->segments[i];
    registers->fs.base = vcpu->state->segment_bases[SEGMENT_FS];
    registers->gs.base = vcpu->state->segment_bases[SEGMENT_GS];
    registers->tr = vcpu->tr;
    registers->ldt = vcpu->ldt;
}

int bt_get_registers(struct vcpu *generic, struct vcpu_registers *registers, struct error *err)
{
    const struct bt_vcpu *vcpu = bt_vcpu_of(generic);
    const uint64_t *r = vcpu->state->registers;
    struct controllers *controllers = vcpu->engine->engine.controllers;
    (void)err;
    *registers = (struct vcpu_registers){.rax = r[0],
                                         .rcx = r[1],
                                         .rdx = r[2],
                                         .rbx = r[3],
                                         .rsp = r[4],
                                         .rbp = r[5],
                                         .rsi = r[6],
                                         .rdi = r[7],
                                         .r8 = r[8],
                                         .r9 = r[9],
                                         .r10 = r[10],
                                         .r11 = r[11],
                                         .r12 = r[12],
                                         .r13 = r[13],
                                         .r14 = r[14],
                                         .r15 = r[15],
                                         .rip = vcpu->state->rip,
                                         .rflags = bt_get_flags(vcpu),
                                         .gdt = {vcpu->gdt.base, vcpu->gdt.limit},
                                         .idt = {vcpu->idt.base, vcpu->idt.limit},
                                         .cr0 = vcpu->cr0,
                                         .cr2 = vcpu->cr2,
                                         .cr3 = vcpu->cr3,
                                         .cr4 = vcpu->cr4,
                                         .efer = vcpu->efer};
    registers->cr8 = controllers_get_cr8(controllers, generic->index);
    controllers_read_msr(controllers, generic->index, MSR_APIC_BASE, &registers->apic_base);
    get_segments(vcpu, registers);
    return 0;
}

int bt_set_registers(struct vcpu *generic, const struct vcpu_registers *registers,
                     struct error *err)
{
    struct bt_vcpu *vcpu = bt_vcpu_of(generic);
    const uint64_t r[REGISTER_COUNT] = {
        registers->rax, registers->rcx, registers->rdx, registers->rbx,
        registers->rsp, registers->rbp, registers->rsi, registers->rdi,
        registers->r8,  registers->r9,  registers->r10, registers->r11,
        registers->r12, registers->r13, registers->r14, registers->r15};
    const struct vcpu_segment *from[] = {&registers->es, &registers->cs, &registers->ss,
                                         &registers->ds, &registers->fs, &registers->gs};
    (void)err;
    memcpy(vcpu->state->registers, r, sizeof r);
    vcpu->state->rip = registers->rip;
    bt_set_flags(vcpu, registers->rflags);
    for (unsigned i = 0; i < 6; i++)
        vcpu->segments[i] = *from[i];
    vcpu->state->segment_bases[SEGMENT_FS] = registers->fs.base;
    vcpu->state->segment_bases[SEGMENT_GS] = registers->gs.base;
    vcpu->tr = registers->tr;
    vcpu->ldt = registers->ldt;
    vcpu->gdt.base = registers->gdt.base;
    vcpu->gdt.limit = registers->gdt.limit;
    vcpu->idt.base = registers->idt.base;
    vcpu->idt.limit = registers->idt.limit;
    vcpu->cr0 = registers->cr0;
    vcpu->cr2 = registers->cr2;
    vcpu->cr3 = registers->cr3;
    vcpu->cr4 = registers->cr4;
    vcpu->efer = registers->efer;
    vcpu->level = registers->cs.selector & 3;
    vcpu->halted = vcpu->shadow = vcpu->has_shut_down = false;
    vcpu->mode = UINT32_MAX; /* so that what depends on it is looked at anew */
    controllers_set_cr8(vcpu->engine->engine.controllers, generic->index, (uint8_t)registers->cr8);
    bt_flush(vcpu, true);
    bt_update_mode(vcpu);
    return 0;
}

int bt_get_msr(struct vcpu *generic, struct vcpu_msr *msr, struct error *err)
{
    struct bt_vcpu *vcpu = bt_vcpu_of(generic);
    return bt_get_msr_value(vcpu, msr->index, &msr->value)
               ? 0
               : error_set(err, 0, "a processor of engine bt has no register %#x", msr->index);
}

int bt_set_msr(struct vcpu *generic, const struct vcpu_msr *msr, struct error *err)
{
    struct bt_vcpu *vcpu = bt_vcpu_of(generic);
    return bt_set_msr_value(vcpu, msr->index, msr->value)
               ? 0
               : error_set(err, 0, "a processor of engine bt doesn't take %#llx for register %#x",
                           (unsigned long long)msr->value, msr->index);
}
