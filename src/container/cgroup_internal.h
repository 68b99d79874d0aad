/* What the cgroup_*.c files share. The public face is cgroup.h. */
#ifndef HULL_CONTAINER_CGROUP_INTERNAL_H
#define HULL_CONTAINER_CGROUP_INTERNAL_H

#include <dirent.h>

#include "container/cgroup.h"

/* ---- cgroup_discover.c ---- */

/* Where the host's facts come from: the real ones, or a made-up tree of a test. */
struct cgroup_host {
    const char *root;       /* "/sys/fs/cgroup" */
    const char *membership; /* "/proc/self/cgroup" */
    const char *mountinfo;  /* "/proc/self/mountinfo" */
    /* f_type of the file system at path as statfs(2) tells, or -1 with errno set. */
    long (*filesystem_type)(const char *path);
};
extern const struct cgroup_host cgroup_host_real;

int cgroup_discover_at(struct cgroup *cgroup, const struct cgroup_host *host, struct error *err);
int cgroup_resolve_at(struct cgroup *cgroup, const struct cgroup_host *host,
                      enum cgroup_manager manager, const char *cgroups_path, const char *id,
                      bool rootless, struct error *err);
/* The v1 hierarchy with this controller ("name=systemd" too), or NULL. */
const struct cgroup_hierarchy *cgroup_find_v1(const struct cgroup *cgroup, const char *controller);
const struct cgroup_hierarchy *cgroup_find_v2(const struct cgroup *cgroup);
/* Decides hierarchy->path: inner (cleaned here) below base, which is below the mount point. */
int cgroup_place(struct cgroup_hierarchy *hierarchy, const char *base, const char *inner,
                 struct error *err);

/* ---- cgroup_file.c ---- */

/* Writes text to a limit's file. A missing file is an error that names the controller. */
int cgroup_write(const char *directory, const char *file, const char *text, struct error *err);
int cgroup_write_number(const char *directory, const char *file, int64_t value, struct error *err);
bool cgroup_has_file(const char *directory, const char *file);
/* Reads a small file into buffer, without the last newline. The length, or -1 with errno set. */
ssize_t cgroup_read(const char *directory, const char *file, char *buffer, size_t size);
/* Reads a number; "max" is UINT64_MAX. -1 with errno set if there is none. */
int cgroup_read_number(const char *directory, const char *file, uint64_t *value);
/* The number after key in a file of "key number" lines; -1 with errno set. */
int cgroup_read_key(const char *directory, const char *file, const char *key, uint64_t *value);
/* Is word one of the words of list, which are separated by separator? */
bool cgroup_list_has(const char *list, char separator, const char *word);
/* A deadline seconds from now, and whether (and in how many milliseconds) it passes. */
struct timespec cgroup_deadline(int seconds);
int cgroup_deadline_left(const struct timespec *deadline);
/* Waits before try number `attempt` (0, 1, …) of something: 0.1 ms, doubling up to 20 ms. */
void cgroup_back_off(int attempt);

/* ---- cgroup_tree.c ---- */

int cgroup_collect_pids(const char *path, pid_t **pids, size_t *count, struct error *err);
/* Removes the cgroup at path and all below it; 0 also if it is missing. */
int cgroup_remove_tree(const struct cgroup_hierarchy *hierarchy, const struct timespec *deadline,
                       struct error *err);

/* ---- cgroup_v1.c, cgroup_v2.c: setters take the cgroup's directory and what was asked ---- */

int cgroup_v1_fill_cpuset(const struct cgroup_hierarchy *hierarchy,
                          const struct config_resources *resources, struct error *err);
int cgroup_v1_set_realtime(const char *path, const struct config_resources *resources,
                           struct error *err);
int cgroup_v1_set_cpuset(const char *path, const struct config_resources *resources,
                         struct error *err);
int cgroup_v1_set_memory(const char *path, const struct config_resources *resources,
                         struct error *err);
int cgroup_v1_set_cpu(const char *path, const struct config_resources *resources,
                      struct error *err);
int cgroup_v1_set_block(const char *path, const struct config_resources *resources,
                        struct error *err);
int cgroup_v1_set_hugepages(const char *path, const struct config_resources *resources,
                            struct error *err);
int cgroup_v1_set_class_id(const char *path, const struct config_resources *resources,
                           struct error *err);
int cgroup_v1_set_priorities(const char *path, const struct config_resources *resources,
                             struct error *err);

/* Enables controllers ("memory pids": all that the root has if NULL) in path's parents, as far as
 * the caller may; no error for what can't be. */
void cgroup_v2_enable(const struct cgroup_hierarchy *hierarchy, const char *controllers);
/* After the directory was made: controllers, threaded parents, ownership (config may be NULL). */
int cgroup_v2_prepare(const struct cgroup_hierarchy *hierarchy, const struct config *config,
                      struct error *err);
int cgroup_v2_set_cpuset(const char *path, const struct config_resources *resources,
                         struct error *err);
int cgroup_v2_set_memory(const char *path, const struct config_resources *resources,
                         struct error *err);
int cgroup_v2_set_cpu(const char *path, const struct config_resources *resources,
                      struct error *err);
int cgroup_v2_set_io(const char *path, const struct config_resources *resources, struct error *err);
int cgroup_v2_set_hugepages(const char *path, const struct config_resources *resources,
                            struct error *err);
int cgroup_v2_set_unified(const struct cgroup *cgroup, const struct config_resources *resources,
                          struct error *err);
/* The same on v1 and v2. */
int cgroup_set_pids(const char *path, const struct config_resources *resources, struct error *err);
int cgroup_set_rdma(const char *path, const struct config_resources *resources, struct error *err);

/* v1's 2 … 262144 shares as v2's 1 … 10000 weight, with 1024 shares being 100; 0 stays 0. */
uint64_t cgroup_weight_from_shares(uint64_t shares);
/* blkio's 10 … 1000 as io.weight's 1 … 10000. */
uint64_t cgroup_io_weight_from_block_weight(uint64_t weight);
/* The v2 swap limit (-1: max, 0: leave alone unless *write) for the specification's memory+swap
 * limit. Sets *write if the value is to be written. */
int cgroup_swap_without_memory(const struct config_resources *resources, int64_t *swap, bool *write,
                               struct error *err);

/* ---- cgroup_devices.c, cgroup_devices_bpf.c ---- */

enum { DEVICE_MKNOD = 1, DEVICE_READ = 2, DEVICE_WRITE = 4, DEVICE_ALL = 7 }; /* as in bpf.h */

/* One rule for one type of device ('c' or 'b'); major and minor -1: any. */
struct device_rule {
    bool allow;
    char type;
    int64_t major, minor;
    unsigned int access;
};

/* What rules come to: everything is allowed (or denied) except for these. */
struct device_policy {
    bool allow;
    size_t count;
    struct device_rule *exceptions; /* malloc'ed; each with allow = !policy.allow */
};

/* The given rules followed by the default devices, with those dropped that a later rule for all
 * devices overrules; *allow is what holds for a device that no rule matches. Caller frees. */
struct device_rule *device_rules_flatten(const struct config_resources *resources, size_t *count,
                                         bool *allow, struct error *err);
int device_policy_build(struct device_policy *policy, const struct config_resources *resources,
                        struct error *err);
int cgroup_set_devices(const struct cgroup *cgroup, const struct config_resources *resources,
                       bool is_update, struct error *err);

struct bpf_insn;
/* The program for the rules; caller frees. */
struct bpf_insn *device_program_build(const struct device_rule *rules, size_t rule_count,
                                      bool allow, size_t *count);
/* Loads it and attaches it to the v2 cgroup at path in place of an earlier one of ours. */
int device_program_attach(const char *path, const struct bpf_insn *program, size_t count,
                          struct error *err);

/* ---- cgroup_systemd.c, cgroup_systemd_properties.c ---- */

int cgroup_systemd_resolve(struct cgroup *cgroup, const char *cgroups_path, const char *id,
                           struct error *err);
/* "a-b.slice" to "a.slice/a-b.slice"; "-.slice" to "". */
int cgroup_systemd_expand_slice(const char *slice, char *path, size_t size, struct error *err);
int cgroup_systemd_start(const struct cgroup *cgroup, pid_t pid, const struct config *config,
                         struct error *err);
int cgroup_systemd_update(const struct cgroup *cgroup, const struct config_resources *resources,
                          struct error *err);
int cgroup_systemd_stop(const struct cgroup *cgroup, struct error *err);

#endif
