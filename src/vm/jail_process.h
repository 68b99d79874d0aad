/* --new-pid-ns: the monitor as the first process of a namespace, and the process that stays outside
 * for whoever started it. */
#ifndef HULL_VM_JAIL_PROCESS_H
#define HULL_VM_JAIL_PROCESS_H

#include <stdbool.h>

#include "base/error.h"

/* Forks. 0: this is the new process. -1 with the error. A child's process id: this is the one
 * outside. */
int jail_process_split(struct error *err);

/* Outside: passes signals on and waits; returns the exit code to end with. */
int jail_process_attend(int child);

/* Inside, after each change of credentials, which makes the kernel forget it: ends when the process
 * outside does. Nothing without a split. */
int jail_process_bind(struct error *err);

/* Inside, when no credentials change any more. */
void jail_process_settle(void);

#endif
