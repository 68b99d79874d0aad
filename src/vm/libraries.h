/* Shared libraries, which are loaded when a machine needs one: linking them would cost every start.
 *
 * hull-vmm is two programs from the same sources, where it is built with `static`. What is executed
 * is linked statically, with musl: it starts in a fraction of the time, and half of the memory that
 * a small machine costs beside its own would be the other's libraries. A machine that needs
 * libslirp is the other program's, which is executed in its place. */
#ifndef HULL_VM_LIBRARIES_H
#define HULL_VM_LIBRARIES_H

#include "vm/control/options.h"

/* First in main(), before anything is made: goes on where the libraries that these options may ask
 * for can be loaded, which may be another program, with the same arguments. */
int libraries_provide(const struct vm_options *options, char **argv, struct error *err);

/* Loads them, for a jail: in it there are none. */
int libraries_load(const struct vm_options *options, struct error *err);

#endif
