/* What CPUID tells the guest: what the engine supports, with the topology of this VM and without
 * what the monitor doesn't do. */
#ifndef HULL_VM_CPUID_H
#define HULL_VM_CPUID_H

#include "vm/cpu/engine.h"

/* Changes supported into what processor index of count is told. smt: two neighbours share a core.
 */
void cpuid_for_vcpu(struct cpuid *cpuid, unsigned index, unsigned count, bool smt);

/* The leaf, or NULL. index counts only where leaves of the function have one. */
struct cpuid_leaf *cpuid_find(struct cpuid *cpuid, uint32_t function, uint32_t index);

#endif
