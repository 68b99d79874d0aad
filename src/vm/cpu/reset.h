/* What processors begin with (Intel SDM 3A, 9.1.1 and table 9-1). */
#ifndef HULL_VM_RESET_H
#define HULL_VM_RESET_H

#include "vm/cpu/engine.h"

/* The registers as an INIT leaves them, which changes neither apic_base nor CR0's cache bits:
 * registers has those before. signature is CPUID's leaf 1, EAX. */
void vcpu_registers_initialize(struct vcpu_registers *registers, uint32_t signature);
/* Where a SIPI makes it start: in real mode, at the page that vector names. */
void vcpu_registers_start(struct vcpu_registers *registers, uint8_t vector);

#endif
