/* A container's control groups on cgroup v1, v2 and the hybrid layout (v1 controllers beside a v2
 * tree), through one interface. Two managers: files (we make and remove the directories) and
 * systemd (we ask systemd for a transient scope over D-Bus, then set what it doesn't).
 *
 * Life: cgroup_resolve() decides every path and creates nothing, so that the caller can record
 * them first (cgroup_to_json); then cgroup_create(), entry of the first process, cgroup_apply(),
 * and at the end cgroup_remove(). All functions are idempotent: a second create or remove after
 * a killed first one succeeds. */
#ifndef HULL_CONTAINER_CGROUP_H
#define HULL_CONTAINER_CGROUP_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"

#define CGROUP_HIERARCHY_MAX 24

enum cgroup_mode { CGROUP_MODE_NONE, CGROUP_MODE_V1, CGROUP_MODE_HYBRID, CGROUP_MODE_V2 };
enum cgroup_manager { CGROUP_MANAGER_FILES, CGROUP_MANAGER_SYSTEMD };

/* One mounted hierarchy of the host. */
struct cgroup_hierarchy {
    bool v2;
    char controllers[96]; /* v1: "cpu,cpuacct", "name=systemd"; v2: "" */
    char mount_point[256];
    char own_path[512]; /* the calling process's cgroup in it, relative to mount_point */
    char path[1024];    /* the container's cgroup directory, absolute */
};

struct cgroup {
    enum cgroup_mode mode;
    enum cgroup_manager manager;
    size_t count;
    struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHY_MAX];
    char systemd_unit[256]; /* systemd manager: "prefix-id.scope", else "" */
    char systemd_slice[256];
    bool systemd_user; /* ask the user's systemd, not the system's */
    bool rootless;     /* a hierarchy that we may not write is left out, with its limits */
};

/* Which hierarchies this host has, and the caller's place in them. Cheap: no mountinfo walk
 * where the well-known mount points hold. */
int cgroup_discover(struct cgroup *cgroup, struct error *err);

/* Discovers, and decides the container's path in every hierarchy. cgroups_path is config.json's
 * (absolute: from the hierarchy's root; relative or NULL: below the caller's own cgroup, id by
 * default; for systemd "slice:prefix:name"). On pure v2, "below the caller's own" means beside
 * it, as in runc: a cgroup that holds the caller can't hand controllers to its children. "." ".."
 * and empty components are resolved in the text and never leave the root; a path that names the
 * root itself is refused. In rootless operation, a hierarchy whose parent directory the caller
 * may not write is left out (cgroup->count may become 0). */
int cgroup_resolve(struct cgroup *cgroup, enum cgroup_manager manager, const char *cgroups_path,
                   const char *id, bool rootless, struct error *err);

/* Makes the directories, with controllers enabled on the way (v2 subtree_control; v1 cpuset
 * inherits cpus and mems). Systemd: asks for a scope that holds pid (so it is in the v2 cgroup
 * and where else systemd manages; cgroup_open_entries() serves the rest); linux.resources and
 * annotations "org.systemd.property.*" become unit properties. Files: pid is not moved.
 * Fails if the cgroup exists and holds processes; an empty one that was left frozen is thawed.
 * After a failure the caller calls cgroup_remove(). config may be NULL. */
int cgroup_create(struct cgroup *cgroup, pid_t pid, const struct config *config, struct error *err);

/* The two halves of cgroup_create() for the manager that uses files: the v2 cgroup, into which a
 * process can be cloned, and the v1 ones, which can be made while that process is at work. */
int cgroup_create_v2(const struct cgroup *cgroup, const struct config *config, struct error *err);
int cgroup_create_v1(const struct cgroup *cgroup, const struct config *config, struct error *err);

/* An O_DIRECTORY descriptor of the v2 cgroup for CLONE_INTO_CGROUP, or -1 if there is no v2
 * hierarchy (errno ENOENT) or it can't be opened. */
int cgroup_open_v2(const struct cgroup *cgroup);

/* Opens, in every v1 hierarchy, the file into which a single-threaded process writes "0" to enter
 * (`tasks`: 0.2 ms for all where a pid written to cgroup.procs by another process takes 10), and
 * if include_v2 the v2 cgroup.procs. Returns how many, or -1. The caller closes them. */
int cgroup_open_entries(const struct cgroup *cgroup, bool include_v2,
                        int entries[CGROUP_HIERARCHY_MAX], struct error *err);

/* Sets limits; resources may be NULL. At creation (is_update false) also the device rules with
 * the specification's default devices; on update only what is given, in an order the kernel takes
 * (memory limit against swap, cpuset parents first). */
int cgroup_apply(const struct cgroup *cgroup, const struct config_resources *resources,
                 bool is_update, struct error *err);

int cgroup_freeze(const struct cgroup *cgroup, struct error *err);
int cgroup_thaw(const struct cgroup *cgroup, struct error *err);
/* 1 frozen, 0 not, -1 error (a cgroup that is gone is not frozen). */
int cgroup_is_frozen(const struct cgroup *cgroup, struct error *err);

/* Sends signal to every process in the cgroup and below it, also those that are forking
 * (cgroup.kill for SIGKILL; otherwise frozen around, and frozen afterwards only if it was before
 * and the signal isn't SIGKILL). A cgroup that is gone or empty is fine. */
int cgroup_kill(const struct cgroup *cgroup, int signal, struct error *err);

/* The pids in the cgroup and all below it; the caller frees *pids. */
int cgroup_pids(const struct cgroup *cgroup, pid_t **pids, size_t *count, struct error *err);

/* Removes the container's directories and those inside them that it made itself; waits a bounded
 * time for dying processes. Missing ones are fine. Systemd: stops the scope. */
int cgroup_remove(const struct cgroup *cgroup, struct error *err);

/* Statistics in the shape of `runc events --stats`' "data" (cpu, memory, pids, blkio, hugetlb,
 * rdma …). The caller owns the object. NULL on error. */
json_t *cgroup_stats(const struct cgroup *cgroup, struct error *err);

/* Reports out-of-memory kills: a non-blocking descriptor that becomes readable (POLLIN) when one
 * may have happened, or the cgroup is removed; drain it by reading 4096 bytes, then ask
 * cgroup_oom_count() for the number so far. -1 on error. */
int cgroup_oom_watch(const struct cgroup *cgroup, struct error *err);
int64_t cgroup_oom_count(const struct cgroup *cgroup);

/* What must be recorded to find the cgroup again, and back. */
json_t *cgroup_to_json(const struct cgroup *cgroup);
int cgroup_from_json(struct cgroup *cgroup, json_t *object, struct error *err);

#endif
