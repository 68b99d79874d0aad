/* linux.intelRdt: cache and memory bandwidth allocation through the resctrl file system
 * (config-linux.md "IntelRdt"; the kernel's Documentation/arch/x86/resctrl.rst).
 *
 * A class of service (CLOS) is a directory in it: `schemata` says what its tasks may use, `tasks`
 * who they are. Order: find the mount, plan, record the plan, create, configure, add the process;
 * at delete, remove. */
#ifndef HULL_CONTAINER_RESCTRL_H
#define HULL_CONTAINER_RESCTRL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"

/* What `delete` has to know: all in one flat structure, so that it can be recorded. */
struct resctrl_group {
    char class[256];   /* the directory's name; "" is the default class, the mount's root */
    char monitor[256]; /* the name in the class's mon_groups; "" if the container has none */
    bool create;       /* the class doesn't exist yet */
    bool remove;       /* ... and goes with the container, for its name is the container's */
};

/* The mount point of resctrl; the caller frees it. NULL with an error if none is mounted. Looks
 * into /proc/self/mountinfo, so call it only if linux.intelRdt is given. */
char *resctrl_find_mount(struct error *err);

/* Checks the configuration against the host and says what create will do; changes nothing. An
 * existing class named by closID must have the configured schemata. */
int resctrl_plan(const char *mount_point, const struct config_intel_rdt *rdt, const char *id,
                 struct resctrl_group *group, struct error *err);

/* Makes the class, if it is to be made; then writes its schemata and makes the monitoring group. */
int resctrl_create(const char *mount_point, const struct resctrl_group *group, struct error *err);
int resctrl_configure(const char *mount_point, const struct resctrl_group *group,
                      const struct config_intel_rdt *rdt, struct error *err);

/* Moves the process (one thread; its children follow) into the class and its monitoring group. */
int resctrl_add_process(const char *mount_point, const struct resctrl_group *group, pid_t pid,
                        struct error *err);

/* Removes what create and configure made. That it is gone already is no error. */
int resctrl_remove(const char *mount_point, const struct resctrl_group *group, struct error *err);

#endif
