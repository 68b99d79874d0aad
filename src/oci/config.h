/* The OCI runtime configuration (runtime-spec 1.2, config.md and config-linux.md) as C
 * structures, read once and strictly: after config_parse() succeeded every enum is known, every
 * path that must be absolute is, and no two fields contradict each other.
 *
 * Strings point into the parsed document and arrays into an arena; both live until
 * config_release(). A pointer that is NULL, or a `has_…` that is false, means "not given".
 * Properties that the specification doesn't know are ignored, as it demands. */
#ifndef HULL_OCI_CONFIG_H
#define HULL_OCI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/memory.h"

struct config_strings {
    size_t count;
    const char **items;
};

struct config_pair {
    const char *key, *value;
};

struct config_pairs {
    size_t count;
    struct config_pair *items;
};

/* A number that may be absent. */
struct config_number {
    bool given;
    int64_t value;
};

struct config_id_mapping {
    uint32_t container_id, host_id, size;
};

struct config_id_mappings {
    size_t count;
    struct config_id_mapping *items;
};

/* ---- process ---- */

struct config_rlimit {
    const char *name; /* "RLIMIT_NOFILE" */
    int resource;     /* RLIMIT_NOFILE */
    uint64_t soft, hard;
};

enum config_capability_set {
    CONFIG_CAPABILITY_BOUNDING,
    CONFIG_CAPABILITY_EFFECTIVE,
    CONFIG_CAPABILITY_INHERITABLE,
    CONFIG_CAPABILITY_PERMITTED,
    CONFIG_CAPABILITY_AMBIENT,
    CONFIG_CAPABILITY_SETS
};

/* A set of capabilities: bit N is capability number N. Names that this build doesn't know are
 * collected, so that the verb can warn (runc does) instead of failing. */
struct config_capabilities {
    uint64_t sets[CONFIG_CAPABILITY_SETS];
    struct config_strings unknown;
};

struct config_scheduler {
    uint32_t policy; /* SCHED_OTHER … */
    int32_t nice;
    uint32_t priority;
    uint64_t flags;                     /* SCHED_FLAG_… of sched_setattr(2) */
    uint64_t runtime, deadline, period; /* nanoseconds */
};

struct config_process {
    bool terminal;
    bool has_console_size;
    uint16_t console_height, console_width; /* characters */
    uint32_t uid, gid;
    bool has_umask;
    uint32_t umask;
    size_t additional_gid_count;
    gid_t *additional_gids;
    struct config_strings args;
    struct config_strings env; /* each "NAME=value" */
    const char *cwd;           /* absolute */
    struct config_capabilities *capabilities;
    size_t rlimit_count;
    struct config_rlimit *rlimits;
    bool no_new_privileges;
    const char *apparmor_profile;
    const char *selinux_label;
    struct config_number oom_score_adj;
    struct config_scheduler *scheduler;
    bool has_io_priority;
    int io_priority_class; /* IOPRIO_CLASS_RT 1, BE 2, IDLE 3 */
    int io_priority;       /* 0 … 7 */
};

/* ---- root, mounts ---- */

struct config_root {
    const char *path; /* as written; relative to the bundle */
    bool readonly;
};

struct config_mount {
    const char *destination; /* absolute; the parser puts '/' before a relative one */
    const char *type;        /* NULL: taken from the options (bind) or none */
    const char *source;      /* NULL: none; relative bind sources are relative to the bundle */
    struct config_strings options;
    struct config_id_mappings uid_mappings, gid_mappings;
};

/* ---- hooks ---- */

struct config_hook {
    const char *path; /* absolute */
    struct config_strings args, env;
    struct config_number timeout; /* seconds, > 0 */
};

struct config_hooks {
    size_t count;
    struct config_hook *items;
};

enum config_hook_kind {
    CONFIG_HOOK_PRESTART,
    CONFIG_HOOK_CREATE_RUNTIME,
    CONFIG_HOOK_CREATE_CONTAINER,
    CONFIG_HOOK_START_CONTAINER,
    CONFIG_HOOK_POSTSTART,
    CONFIG_HOOK_POSTSTOP,
    CONFIG_HOOK_KINDS
};
extern const char *const config_hook_names[CONFIG_HOOK_KINDS]; /* "prestart", … */

/* ---- linux ---- */

enum config_namespace_kind {
    CONFIG_NAMESPACE_USER,
    CONFIG_NAMESPACE_PID,
    CONFIG_NAMESPACE_NETWORK,
    CONFIG_NAMESPACE_MOUNT,
    CONFIG_NAMESPACE_IPC,
    CONFIG_NAMESPACE_UTS,
    CONFIG_NAMESPACE_CGROUP,
    CONFIG_NAMESPACE_TIME,
    CONFIG_NAMESPACE_KINDS
};

/* The specification's name ("network"), the name in /proc/PID/ns ("net") and the CLONE_ flag. */
struct config_namespace_kind_info {
    const char *name, *file;
    uint64_t clone_flag;
};
extern const struct config_namespace_kind_info config_namespace_kinds[CONFIG_NAMESPACE_KINDS];

struct config_namespace {
    bool listed;      /* in linux.namespaces; otherwise the runtime's own is used */
    const char *path; /* NULL: a new one */
};

struct config_device {
    const char *path; /* absolute */
    char type;        /* 'c' 'b' 'u' 'p' */
    int64_t major, minor;
    bool has_mode;
    uint32_t mode;
    uint32_t uid, gid;
};

struct config_device_rule {
    bool allow;
    char type;            /* 'a' 'c' 'b' */
    int64_t major, minor; /* -1: any */
    bool read, write, mknod;
};

struct config_block_weight {
    int64_t major, minor;
    struct config_number weight, leaf_weight;
};

struct config_block_throttle {
    int64_t major, minor;
    uint64_t rate; /* bytes, or operations, a second */
};

enum config_block_throttle_kind {
    CONFIG_THROTTLE_READ_BPS,
    CONFIG_THROTTLE_WRITE_BPS,
    CONFIG_THROTTLE_READ_IOPS,
    CONFIG_THROTTLE_WRITE_IOPS,
    CONFIG_THROTTLE_KINDS
};

struct config_hugepage_limit {
    const char *page_size; /* "2MB" */
    uint64_t limit;        /* bytes */
};

struct config_interface_priority {
    const char *name;
    uint32_t priority;
};

struct config_rdma_limit {
    const char *device;
    struct config_number handles, objects;
};

/* config-linux.md "Control groups". Also what `update` takes. */
struct config_resources {
    struct config_pairs unified;
    size_t device_rule_count;
    struct config_device_rule *device_rules;
    struct {
        struct config_number limit, reservation, swap, kernel, kernel_tcp, swappiness; /* bytes */
        bool has_disable_oom_killer, disable_oom_killer;
        bool has_use_hierarchy, use_hierarchy;
        bool check_before_update;
    } memory;
    struct {
        bool has_shares, has_period, has_realtime_period;
        uint64_t shares, period, realtime_period;                  /* microseconds */
        struct config_number quota, burst, realtime_runtime, idle; /* microseconds; idle 0 or 1 */
        const char *cpus, *mems;
    } cpu;
    struct config_number pids_limit;
    struct {
        struct config_number weight, leaf_weight; /* 10 … 1000 */
        size_t weight_device_count;
        struct config_block_weight *weight_devices;
        size_t throttle_count[CONFIG_THROTTLE_KINDS];
        struct config_block_throttle *throttles[CONFIG_THROTTLE_KINDS];
    } block;
    size_t hugepage_limit_count;
    struct config_hugepage_limit *hugepage_limits;
    struct {
        bool has_class_id;
        uint32_t class_id;
        size_t priority_count;
        struct config_interface_priority *priorities;
    } network;
    size_t rdma_count;
    struct config_rdma_limit *rdma;
};

/* ---- seccomp ---- */

struct config_seccomp_argument {
    uint32_t index; /* 0 … 5 */
    uint64_t value, value_two;
    const char *op; /* "SCMP_CMP_EQ" …: one of the seven */
};

struct config_seccomp_rule {
    struct config_strings names;
    const char *action; /* "SCMP_ACT_ERRNO" …: one of the known */
    bool has_errno;
    uint32_t errno_value;
    size_t argument_count;
    struct config_seccomp_argument *arguments;
};

struct config_seccomp {
    const char *default_action;
    bool has_default_errno;
    uint32_t default_errno;
    struct config_strings architectures; /* "SCMP_ARCH_X86_64" … */
    struct config_strings flags;         /* "SECCOMP_FILTER_FLAG_LOG" … */
    const char *listener_path, *listener_metadata;
    size_t rule_count;
    struct config_seccomp_rule *rules;
};

struct config_intel_rdt {
    const char *closid, *l3_cache_schema, *mem_bw_schema;
    struct config_strings schemata;
    bool enable_cmt, enable_mbm;
};

struct config_linux {
    struct config_namespace namespaces[CONFIG_NAMESPACE_KINDS];
    struct config_id_mappings uid_mappings, gid_mappings;
    bool has_time_offsets;
    struct config_time_offset {
        bool given;
        int64_t seconds;
        uint32_t nanoseconds;
    } monotonic, boottime;
    size_t device_count;
    struct config_device *devices;
    const char *cgroups_path;
    struct config_resources *resources; /* NULL: none given */
    struct config_seccomp *seccomp;
    struct config_pairs sysctl;
    const char *rootfs_propagation; /* NULL, or "shared" "slave" "private" "unbindable", r-forms */
    struct config_strings masked_paths, readonly_paths;
    const char *mount_label;
    struct config_intel_rdt *intel_rdt;
    bool has_personality;
    unsigned long personality; /* for personality(2) */
};

struct config {
    const char *oci_version;
    struct config_root root;
    size_t mount_count;
    struct config_mount *mounts;
    struct config_process *process; /* NULL: allowed for create, required by start (spec) */
    const char *hostname, *domainname;
    struct config_hooks hooks[CONFIG_HOOK_KINDS];
    struct config_pairs annotations;
    struct config_linux linux_section;

    /* Who owns all of the above. */
    struct arena arena;
    void *document;
};

/* Reads the configuration from text (length bytes of JSON). On failure returns -1 with one line
 * that names the JSON path and the reason ("linux.resources.memory.limit: expected an integer,
 * found a string"), and nothing needs releasing. Nothing outside the text is looked at. */
int config_parse(struct config *config, const char *text, size_t length, struct error *err);
void config_release(struct config *config);

/* Reads a lone process object (`exec --process FILE`); fills config->process and nothing else.
 * Release with config_release(). */
int config_parse_process(struct config *config, const char *text, size_t length, struct error *err);

/* Reads a lone resources object (`update --resources FILE`); fills
 * config->linux_section.resources and nothing else. Release with config_release(). */
int config_parse_resources(struct config *config, const char *text, size_t length,
                           struct error *err);

/* The number of the capability called name ("CAP_SYS_ADMIN"; any case, with or without CAP_), or
 * -1; and the name of capability number, or NULL. */
int config_capability_number(const char *name);
const char *config_capability_name(int number);

#endif
