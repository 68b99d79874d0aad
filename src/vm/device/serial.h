/* A 16550A serial port (PC16550D data sheet): what the guest sends goes to a descriptor, what comes
 * from one is received. */
#ifndef HULL_VM_SERIAL_H
#define HULL_VM_SERIAL_H

#include "base/loop.h"
#include "vm/board/bus.h"
#include "vm/board/interrupts.h"

struct serial;

/* output and input may be -1: sent bytes go nowhere, none come. They stay the caller's. */
struct serial *serial_create(struct loop *loop, struct interrupts *interrupts, unsigned line,
                             int output, int input);
void serial_destroy(struct serial *serial);
extern const struct bus_operations serial_bus_operations; /* eight ports */

#endif
