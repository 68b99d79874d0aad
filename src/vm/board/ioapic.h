/* The IOAPIC (Intel 82093AA; version 20h, which has an EOI register): turns its lines into messages
 * to local APICs. A state machine; who owns it has the lock (controllers.h). */
#ifndef HULL_VM_IOAPIC_H
#define HULL_VM_IOAPIC_H

#include "vm/board/interrupt_message.h"
#include "vm/board/layout.h"

#define IOAPIC_SIZE 0x1000

struct ioapic;

struct ioapic_operations {
    /* Returns whether any processor took it. */
    bool (*send)(struct ioapic *ioapic, const struct interrupt_message *message);
};

struct ioapic {
    const struct ioapic_operations *operations;
    uint8_t id, selected;
    uint32_t levels;                    /* a bit for each line */
    uint64_t entries[LAYOUT_IRQ_LINES]; /* the redirection table */
};

/* As after power-on: all lines are masked. operations are given. */
void ioapic_initialize(struct ioapic *ioapic);
/* A line that isn't there has no effect. */
void ioapic_set_line(struct ioapic *ioapic, unsigned line, bool level);
/* The handler of a level-triggered vector has ended, a local APIC says. */
void ioapic_end_interrupt(struct ioapic *ioapic, uint8_t vector);
uint32_t ioapic_read(struct ioapic *ioapic, uint32_t offset);
void ioapic_write(struct ioapic *ioapic, uint32_t offset, uint32_t value);

#endif
