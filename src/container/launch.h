/* Shared by the two sides of a container's making: the runtime (launch.c) and the container's
 * first process (init.c). Everything here is prepared before the clone, so that bad input is
 * refused before anything is created, and inherited by the child. */
#ifndef HULL_CONTAINER_LAUNCH_H
#define HULL_CONTAINER_LAUNCH_H

#include "container/attend.h"
#include "container/cgroup.h"
#include "container/container.h"
#include "container/namespaces.h"
#include "container/record.h"
#include "container/seccomp.h"
#include "oci/config.h"

struct launch {
    const struct container_options *options;
    struct config config;
    char *config_text;
    size_t config_length;
    char *bundle, *root_path; /* absolute */
    struct namespaces namespaces;
    struct seccomp_program seccomp;
    json_t *intel_rdt; /* the plan, or NULL */
    struct cgroup cgroup;
    struct record record;
    int *mount_sources; /* trees opened by the runtime, or NULL */
    int root_source;
    int start_listener;        /* create: where `start` will knock; run: -1 */
    struct attendance process; /* the first process */
};

/* The container's first process, from its clone to its program. Never returns. */
_Noreturn void init_run(struct launch *launch, int channel);

#endif
