/* An interrupt on its way to local APICs: what the bus between them, the IOAPIC and devices with
 * MSI carries (Intel SDM 3A, 11.6.1 and 11.11). */
#ifndef HULL_VM_INTERRUPT_MESSAGE_H
#define HULL_VM_INTERRUPT_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

/* As three bits say it in ICR, LVT, redirection table and MSI data. */
enum interrupt_delivery {
    DELIVERY_FIXED = 0,
    DELIVERY_LOWEST = 1, /* to that destination which does the least urgent thing */
    DELIVERY_SMI = 2,
    DELIVERY_NMI = 4,
    DELIVERY_INIT = 5,
    DELIVERY_STARTUP = 6,
    DELIVERY_EXTERNAL = 7 /* the vector is the PIC's to say */
};

enum interrupt_shorthand { TO_DESTINATION = 0, TO_SELF = 1, TO_ALL = 2, TO_OTHERS = 3 };

struct interrupt_message {
    uint32_t destination;
    bool is_logical; /* a set of processors, by their logical ids; not one, by its id */
    bool is_wide;    /* destination is an x2APIC's, of 32 bits; else of 8 */
    enum interrupt_shorthand shorthand;
    enum interrupt_delivery delivery;
    uint8_t vector;
    bool is_level; /* level-triggered: its end is to be told to the IOAPIC */
};

/* What a device says by writing data to address, which is one of the local APICs': false if it is
 * none (bits 31-20 are 0FEEh). */
bool interrupt_message_decode(struct interrupt_message *message, uint64_t address, uint32_t data);

#endif
