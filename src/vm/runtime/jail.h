/* The root directory of a machine's monitor: the files that it may use, bound in under names of
 * their own. */
#ifndef HULL_VM_RUNTIME_JAIL_H
#define HULL_VM_RUNTIME_JAIL_H

#include "vm/runtime/bundle.h"

/* Fills the bundle's jail. The calling process is in a mount namespace of its own, with which what
 * is mounted here ends; plain files and directories stay until machine_forget(). */
int jail_fill(const struct bundle *bundle, struct error *err);

#endif
