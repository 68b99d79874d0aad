/* Containers that are virtual machines (--isolation vm): what they are made of, for hull-vm. */
#ifndef HULL_ENGINE_MACHINE_H
#define HULL_ENGINE_MACHINE_H

#include "engine/engine_internal.h"

/* Whether these settings, checked otherwise, can be a virtual machine's: one line on the first that
 * can't. Others are fine as they are. */
int engine_machine_check(const json_t *settings, struct error *err);
/* For what looks into containers from the host: 0, or -1 where it is a machine, whose disk is its
 * guest's and is never mounted here. */
int engine_machine_refuse(const struct engine_container *container, const char *what,
                          struct error *err);
/* The user and group that its monitor runs as, who own its disk and its taps: nobody else's. */
uid_t engine_machine_owner(const struct engine_container *container);
/* Changes config.json as the guest's agent wants it. */
void engine_machine_adapt(const struct engine_container *container, json_t *config);
/* Makes what is missing of kernel, initrd and disks, and writes machine.json; the network is
 * attached already. */
int engine_machine_prepare(struct engine *engine, const struct engine_container *container,
                           struct error *err);

#endif
