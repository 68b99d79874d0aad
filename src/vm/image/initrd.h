/* The initrd of a guest: the agent as /init, and the kernel modules that it needs until the
 * container's root is mounted and whenever it speaks with the host. It says nothing about a single
 * VM, so all that have the same kernel share it; what differs, the host tells the agent
 * (docs/agent.md). */
#ifndef HULL_VM_IMAGE_INITRD_H
#define HULL_VM_IMAGE_INITRD_H

#include "base/error.h"

struct initrd_parts {
    const char *agent;   /* path of hull-guest-init */
    const char *modules; /* directory of the kernel's modules, /lib/modules/VERSION; NULL:
                            everything is built in */
};

/* The path of the initrd below the directory cache, which is made if it is missing; the caller
 * frees. It is written when its parts have changed: whole, beside and renamed, so that several may
 * do it at a time. NULL with err. */
char *initrd_obtain(const struct initrd_parts *parts, const char *cache, struct error *err);

/* Writes it to a new file; the same parts give the same bytes. */
int initrd_write(const struct initrd_parts *parts, const char *path, struct error *err);

#endif
