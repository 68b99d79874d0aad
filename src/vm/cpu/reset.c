#include "vm/cpu/reset.h"

#define CR0_FIXED 0x60000010u /* CD, NW, ET after power-on */
#define CR0_CACHE 0x60000000u

static struct vcpu_segment real_mode_segment(uint8_t type, uint64_t base, uint16_t selector)
{
    return (struct vcpu_segment){
        .base = base, .limit = 0xffff, .selector = selector, .type = type, .present = true};
}

static struct vcpu_segment system_segment(uint8_t type)
{
    return (struct vcpu_segment){.limit = 0xffff, .type = type, .present = true, .system = true};
}

void vcpu_registers_initialize(struct vcpu_registers *registers, uint32_t signature)
{
    const struct vcpu_segment data = real_mode_segment(3, 0, 0);
    *registers =
        (struct vcpu_registers){.rdx = signature,
                                .rip = 0xfff0,
                                .rflags = 2,
                                .cs = real_mode_segment(11, 0xffff0000, 0xf000),
                                .ds = data,
                                .es = data,
                                .fs = data,
                                .gs = data,
                                .ss = data,
                                .tr = system_segment(11),
                                .ldt = system_segment(2),
                                .gdt = {0, 0xffff},
                                .idt = {0, 0xffff},
                                .cr0 = (registers->cr0 & CR0_CACHE) | (CR0_FIXED & ~CR0_CACHE),
                                .apic_base = registers->apic_base};
}

void vcpu_registers_start(struct vcpu_registers *registers, uint8_t vector)
{
    registers->cs = real_mode_segment(11, (uint64_t)vector << 12, (uint16_t)(vector << 8));
    registers->rip = 0;
}
