/* The process that keeps a machine: parent of its monitor, and for who waits for the container the
 * container's first process. It relays its streams to the guest's, passes signals on, and ends
 * with the status of the guest's process. */
#ifndef HULL_VM_RUNTIME_KEEPER_H
#define HULL_VM_RUNTIME_KEEPER_H

#include "vm/runtime/bundle.h"
#include "vm/runtime/record.h"

struct keeper_options {
    const struct bundle *bundle;
    const struct record *record;
    int ready; /* where it says that the monitor was started: nothing, or an error's text */
};

/* Keeps it; doesn't return. */
_Noreturn void keeper_run(const struct keeper_options *options);

#endif
