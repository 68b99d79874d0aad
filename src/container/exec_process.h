/* What exec runs, and in which cgroup: the container's configuration with the changes that the
 * command line asks for. */
#ifndef HULL_CONTAINER_EXEC_PROCESS_H
#define HULL_CONTAINER_EXEC_PROCESS_H

#include "base/error.h"
#include "container/cgroup.h"
#include "container/container.h"
#include "container/record.h"
#include "oci/config.h"

struct exec_process {
    struct config config; /* the container's, as it was made */
    struct config file;   /* of --process, if given */
    char *file_text;
    struct config_process *process; /* what to run: in one of the two, changed in place */
};

/* Reads the record's configuration and, if given, --process, and applies the options. */
int exec_process_make(struct exec_process *made, const struct container_exec_options *options,
                      const struct record *record, struct error *err);
void exec_process_release(struct exec_process *made);

/* Changes the container's cgroup into the one below it that "[CONTROLLERS:]PATH" names. */
int exec_process_choose_cgroup(struct cgroup *cgroup, const char *choice, struct error *err);

/* The v2 cgroup for a new process: the container's or, where a container that manages cgroups of
 * its own has made that one an inner node, the one that its first process is in. -1: none. */
int exec_process_open_cgroup(const struct cgroup *cgroup, pid_t init);

#endif
