/* How devices interrupt the guest's processors: lines of the IOAPIC (global system interrupts) and
 * messages (MSI). Behind it stand the kernel's interrupt controllers or the monitor's own. */
#ifndef HULL_VM_INTERRUPTS_H
#define HULL_VM_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

struct interrupts;

struct interrupts_operations {
    void (*set_line)(struct interrupts *interrupts, unsigned line, bool level);
    void (*send_message)(struct interrupts *interrupts, uint64_t address, uint32_t data);
};

struct interrupts {
    const struct interrupts_operations *operations;
};

/* Sets a line's level; an edge-triggered line is raised and lowered. Any thread. */
static inline void interrupts_set_line(struct interrupts *interrupts, unsigned line, bool level)
{
    interrupts->operations->set_line(interrupts, line, level);
}

/* Delivers the message that a device would write to the local APICs (Intel SDM 3A, 11.11). Any
 * thread. */
static inline void interrupts_send_message(struct interrupts *interrupts, uint64_t address,
                                           uint32_t data)
{
    interrupts->operations->send_message(interrupts, address, data);
}

#endif
