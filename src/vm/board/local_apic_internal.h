/* Between the files of the local APIC. */
#ifndef HULL_VM_LOCAL_APIC_INTERNAL_H
#define HULL_VM_LOCAL_APIC_INTERNAL_H

#include "vm/board/local_apic.h"

#define ERROR_SEND_VECTOR (1u << 5) /* ESR (11.5.3) */
#define ERROR_RECEIVE_VECTOR (1u << 6)
#define ERROR_REGISTER (1u << 7)

#define LVT_LEVEL (1u << 15)
#define LVT_REMOTE (1u << 14) /* a level that was delivered and whose handler hasn't ended */

/* Vectors below this are exceptions; no interrupt may have them (11.5.2). */
#define VECTOR_FIRST 16

void local_apic_set_error(struct local_apic *apic, uint32_t bit);
void local_apic_end_interrupt(struct local_apic *apic);
/* An entry's event has happened. */
void local_apic_raise(struct local_apic *apic, enum local_apic_entry entry);
int local_apic_highest(const uint32_t bits[8]);
/* LDR, which an x2APIC derives from its id. */
uint32_t local_apic_logical_id(const struct local_apic *apic);
/* With values that the APIC can have; false: #GP. */
bool local_apic_set_base(struct local_apic *apic, uint64_t base);

void local_apic_timer_reset(struct local_apic *apic);
/* LVT's entry of the timer. */
void local_apic_timer_configure(struct local_apic *apic, uint32_t entry);
void local_apic_timer_set_divide(struct local_apic *apic, uint32_t value);
void local_apic_timer_set_initial(struct local_apic *apic, uint32_t count);
uint32_t local_apic_timer_count(const struct local_apic *apic);
uint64_t local_apic_timer_get_tsc(const struct local_apic *apic);
void local_apic_timer_set_tsc(struct local_apic *apic, uint64_t deadline);

#endif
