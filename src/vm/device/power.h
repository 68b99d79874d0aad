/* How a guest ends or resets its machine: ACPI's sleep registers (ACPI 6.5, 4.8.3.7), and the reset
 * of an i8042, which is the board's keyboard controller too. */
#ifndef HULL_VM_POWER_H
#define HULL_VM_POWER_H

#include "vm/board/bus.h"
#include "vm/board/interrupts.h"

enum power_event { POWER_OFF, POWER_RESET, POWER_PANIC };
/* Called under the board's lock, on the thread of the processor that asked. */
struct power_listener {
    void (*happened)(struct power_listener *listener, enum power_event event);
};

/* The device of these operations is the struct power_listener. */
extern const struct bus_operations power_bus_operations;   /* two ports */
extern const struct bus_operations pvpanic_bus_operations; /* one port */

struct i8042;
struct i8042 *i8042_create(struct interrupts *interrupts, unsigned line,
                           struct power_listener *listener);
void i8042_destroy(struct i8042 *i8042);
/* Presses and releases Control, Alt and Delete. */
void i8042_press_ctrl_alt_delete(struct i8042 *i8042);
/* A port each: 60h and 64h. */
extern const struct bus_operations i8042_data_operations, i8042_command_operations;

#endif
