/* What each kind of thread may ask of the kernel: one seccomp filter each, which holds for the rest
 * of the thread's life and for all that it starts. A system call that isn't in it ends the monitor
 * with exit code CONFINE_EXIT_CODE, and the log names it. See docs/vm-jail.md. */
#ifndef HULL_VM_CONFINE_H
#define HULL_VM_CONFINE_H

#include <stdint.h>

#include "base/error.h"

#define CONFINE_EXIT_CODE 148 /* Firecracker's for the same */

enum confine_thread {
    CONFINE_LOOP,   /* the event loop's, from the start of the machine on */
    CONFINE_VCPU,   /* a processor's; devices are handled on it, too */
    CONFINE_API,    /* reads requests and writes answers */
    CONFINE_WORKER, /* reads and writes disks */
};

/* What a machine has that takes more than others. */
enum confine_feature {
    CONFINE_UPDATES = 1,      /* an API, by which disks are replaced */
    CONFINE_USER_NETWORK = 2, /* opens sockets for the guest */
};

/* From now on confine_thread() does something; without this call it does nothing. Before other
 * threads are there. last_words is called, in a signal handler, with the line to log when a thread
 * made a call that it mustn't; it may write, and nothing else. The process has one such state. */
int confine_begin(void (*last_words)(const char *text), struct error *err);

/* Adds features (of enum confine_feature), for threads that are confined later. */
void confine_allow(unsigned features);

/* Confines the calling thread. */
int confine_thread(enum confine_thread kind, struct error *err);

#endif
