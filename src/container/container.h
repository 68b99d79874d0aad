/* Level `container`: containers made of namespaces, control groups, mounts, capabilities and
 * seccomp, after the OCI runtime specification. This is the level's public face; hull-oci's verbs
 * are thin layers over it. */
#ifndef HULL_CONTAINER_CONTAINER_H
#define HULL_CONTAINER_CONTAINER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/warning.h"
#include "container/cgroup.h"
#include "container/record.h"

struct container_options {
    const char *root; /* directory of the records */
    const char *id;
    const char *bundle; /* directory with config.json */
    const char *console_socket, *pidfd_socket, *pid_file;
    int preserve_fds; /* descriptors from 3 on that the program keeps */
    int listen_fds;   /* as many before them, announced by LISTEN_FDS */
    bool no_pivot, no_new_keyring;
    bool systemd_cgroup;
    bool rootless;                   /* tolerate what an ordinary user may not do to cgroups */
    bool subreaper;                  /* run: adopt the container's orphans */
    bool detach;                     /* run: leave once the program runs */
    const struct warnings *warnings; /* may be NULL */
    bool keep;                       /* run: don't delete at the end */
};

/* Makes a container that waits for container_start(). After a failure nothing is left. */
int container_create(const struct container_options *options, struct error *err);

/* Makes a container and starts it. Unless options->detach, attends to it until its program ends
 * and deletes it; *exit_status is as a shell's $?. */
int container_run(const struct container_options *options, int *exit_status, struct error *err);

/* Lets a created container execute its program; knows whether that worked. */
int container_start(const char *root, const char *id, struct error *err);

/* Removes a stopped container; with force, kills it first, and is content if there is none. */
int container_delete(const char *root, const char *id, bool force, const struct warnings *warnings,
                     struct error *err);

/* Sends a signal to the first process, or to all. */
int container_kill(const char *root, const char *id, int signal, bool all, struct error *err);

struct container_exec_options {
    const char *root, *id;
    const char *process_file; /* a whole process object; or NULL, and these: */
    const char *const *args;
    size_t arg_count;
    const char *const *env, *const *capabilities, *const *additional_gids;
    size_t env_count, capability_count, additional_gid_count;
    const char *cwd, *user; /* user: "UID[:GID]" */
    const char *apparmor_profile, *selinux_label;
    bool no_new_privileges;
    bool terminal;
    const char *console_socket, *pidfd_socket, *pid_file;
    const char *const *cgroups; /* below the container's: "[CONTROLLERS:]PATH" */
    size_t cgroup_count;
    int preserve_fds, listen_fds;
    bool ignore_paused, detach;
};

/* Runs another process in a running container: in its namespaces, its cgroup, with its labels. */
int container_exec(const struct container_exec_options *options, int *exit_status,
                   struct error *err);

/* Opens a container's record and its cgroup. */
int container_open(struct record *record, struct cgroup *cgroup, const char *root, const char *id,
                   struct error *err);

#endif
