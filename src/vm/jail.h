/* The jail: what Firecracker's jailer does, by the monitor itself. Its root directory becomes one
 * of the host's, in which there are no devices but those that it needs; it loses all rights. See
 * docs/vm-jail.md. */
#ifndef HULL_VM_JAIL_H
#define HULL_VM_JAIL_H

#include "base/error.h"
#include "vm/control/options.h"

/* First in main(), with one thread and no descriptors that matter but 0 to 2: the others are
 * closed. Loads what is loaded while the host's files are there, joins control group and network
 * namespace, sets limits, and makes the directory the root. Files are then reached with the user's
 * rights; what else root may do, it still may. Returns 0, or -1 with the error; with a process
 * namespace of its own 0 in its first process, and outside of it that one's id, for
 * jail_attend(). */
int jail_enter(const struct vm_options *options, struct error *err);

/* Outside: gives up rights, waits for the monitor, and returns the exit code to end with. */
int jail_attend(const struct jail_options *jail, int child);

/* With root's rights over files, inside: for the servers of shares, which act for any user. */
void jail_take_files(void);

/* Becomes the user, without capabilities, for good. */
int jail_drop(const struct jail_options *jail, struct error *err);

#endif
