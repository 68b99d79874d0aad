/* config.md "Process", with its POSIX and Linux parts. */
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "oci/config_sections.h"

/* sched_setattr(2); glibc 2.36 declares no flags. */
#define FLAG_RESET_ON_FORK 0x01
#define FLAG_RECLAIM 0x02
#define FLAG_DEADLINE_OVERRUN 0x04
#define FLAG_KEEP_POLICY 0x08
#define FLAG_KEEP_PARAMETERS 0x10
#define FLAG_UTILIZATION_CLAMP_MINIMUM 0x20
#define FLAG_UTILIZATION_CLAMP_MAXIMUM 0x40

/* Not in <sched.h>; ISO is a reserved number that no kernel implements. */
#define POLICY_ISO 4
#define POLICY_DEADLINE 6

static const struct config_choice rlimit_names[] = {
    {"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},         {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},     {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},     {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_STACK", RLIMIT_STACK},     {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
};

static const struct config_choice policy_names[] = {
    {"SCHED_OTHER", SCHED_OTHER},        {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},        {"SCHED_ISO", POLICY_ISO},  {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_DEADLINE", POLICY_DEADLINE},
};

static const struct config_choice scheduler_flag_names[] = {
    {"SCHED_FLAG_RESET_ON_FORK", FLAG_RESET_ON_FORK},
    {"SCHED_FLAG_RECLAIM", FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", FLAG_DEADLINE_OVERRUN},
    {"SCHED_FLAG_KEEP_POLICY", FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", FLAG_KEEP_PARAMETERS},
    {"SCHED_FLAG_UTIL_CLAMP_MIN", FLAG_UTILIZATION_CLAMP_MINIMUM},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", FLAG_UTILIZATION_CLAMP_MAXIMUM},
};

static const struct config_choice io_class_names[] = {
    {"IOPRIO_CLASS_RT", 1},
    {"IOPRIO_CLASS_BE", 2},
    {"IOPRIO_CLASS_IDLE", 3},
};

static const char *const capability_set_names[CONFIG_CAPABILITY_SETS] = {
    [CONFIG_CAPABILITY_BOUNDING] = "bounding",       [CONFIG_CAPABILITY_EFFECTIVE] = "effective",
    [CONFIG_CAPABILITY_INHERITABLE] = "inheritable", [CONFIG_CAPABILITY_PERMITTED] = "permitted",
    [CONFIG_CAPABILITY_AMBIENT] = "ambient",
};

int config_read_environment(const struct config_node *from, const char *key,
                            struct config_strings *out)
{
    int found = config_read_strings(from, key, out);
    for (size_t i = 0; found > 0 && i < out->count; i++) {
        const char *equals = strchr(out->items[i], '=');
        if (!equals || equals == out->items[i])
            return config_fail_element(from, key, i, "%s is not NAME=value",
                                       config_quote(out->items[i]).text);
    }
    return found;
}

/* ---- the user ---- */

static int parse_additional_gids(const struct config_node *user, struct config_process *process)
{
    struct config_node array;
    int found = config_read_array(user, "additionalGids", &array);
    if (found <= 0)
        return found;
    process->additional_gid_count = json_array_size(array.value);
    process->additional_gids =
        arena_allocate(user->reader->arena, process->additional_gid_count, sizeof(gid_t));
    for (size_t i = 0; i < process->additional_gid_count; i++) {
        struct config_node element = config_element(&array, i);
        if (config_get_uint32(&element, &process->additional_gids[i]) < 0)
            return -1;
    }
    return 1;
}

static int parse_user(const struct config_node *node, struct config_process *process)
{
    struct config_node user;
    int found = config_read_object(node, "user", &user);
    if (found <= 0)
        return found;
    if (config_read_uint32(&user, "uid", UINT32_MAX, &process->uid) < 0 ||
        config_read_uint32(&user, "gid", UINT32_MAX, &process->gid) < 0)
        return -1;
    int umask_found = config_read_uint32(&user, "umask", 0777, &process->umask);
    process->has_umask = umask_found > 0;
    return umask_found < 0 ? -1 : parse_additional_gids(&user, process);
}

static int parse_console_size(const struct config_node *node, struct config_process *process)
{
    struct config_node size;
    if (!process->terminal) /* "Runtimes MUST ignore consoleSize" */
        return 0;
    int found = config_read_object(node, "consoleSize", &size);
    if (found <= 0)
        return found;
    uint32_t height, width;
    if (config_require_uint32(&size, "height", UINT16_MAX, &height) < 0 ||
        config_require_uint32(&size, "width", UINT16_MAX, &width) < 0)
        return -1;
    process->has_console_size = true;
    process->console_height = (uint16_t)height;
    process->console_width = (uint16_t)width;
    return 1;
}

/* ---- capabilities ---- */

static void add_unknown(struct config_strings *unknown, const char *name)
{
    for (size_t i = 0; i < unknown->count; i++) {
        if (strcmp(unknown->items[i], name) == 0)
            return;
    }
    unknown->items[unknown->count++] = name;
}

static int parse_capability_set(const struct config_node *node, enum config_capability_set set,
                                struct config_capabilities *out)
{
    struct config_strings names = {0};
    int found = config_read_strings(node, capability_set_names[set], &names);
    const char **unknown = NULL; /* where room for all of these names is made when one is found */
    for (size_t i = 0; found > 0 && i < names.count; i++) {
        int number = config_capability_number(names.items[i]);
        if (number >= 0) {
            out->sets[set] |= UINT64_C(1) << number;
            continue;
        }
        if (!unknown) {
            unknown = arena_allocate(node->reader->arena, out->unknown.count + names.count,
                                     sizeof *unknown);
            if (out->unknown.count)
                memcpy(unknown, out->unknown.items, out->unknown.count * sizeof *unknown);
            out->unknown.items = unknown;
        }
        add_unknown(&out->unknown, names.items[i]);
    }
    return found;
}

static int parse_capabilities(const struct config_node *node, struct config_capabilities **out)
{
    struct config_node capabilities;
    int found = config_read_object(node, "capabilities", &capabilities);
    if (found <= 0)
        return found;
    struct config_capabilities *result = arena_allocate(node->reader->arena, 1, sizeof *result);
    for (int set = 0; set < CONFIG_CAPABILITY_SETS; set++) {
        if (parse_capability_set(&capabilities, set, result) < 0)
            return -1;
    }
    /* capset(2) refuses it; ambient ones that are not inheritable are just not raised. */
    uint64_t beyond =
        result->sets[CONFIG_CAPABILITY_EFFECTIVE] & ~result->sets[CONFIG_CAPABILITY_PERMITTED];
    if (beyond)
        return config_fail_member(&capabilities, "effective", "%s is not in the permitted set",
                                  config_capability_name(__builtin_ctzll(beyond)));
    *out = result;
    return 1;
}

/* ---- limits and priorities ---- */

static int convert_rlimit(const struct config_node *node, void *slot)
{
    static const struct config_choices choices = CONFIG_CHOICES(rlimit_names);
    struct config_rlimit *rlimit = slot;
    const struct config_choice *type;
    if (config_require_choice(node, "type", &choices, &type) < 0 ||
        config_require_uint64(node, "soft", &rlimit->soft) < 0 ||
        config_require_uint64(node, "hard", &rlimit->hard) < 0)
        return -1;
    rlimit->name = type->name;
    rlimit->resource = (int)type->value;
    if (rlimit->soft > rlimit->hard)
        return config_fail_member(node, "soft", "%llu is above the hard limit, %llu",
                                  (unsigned long long)rlimit->soft,
                                  (unsigned long long)rlimit->hard);
    return 0;
}

static int parse_rlimits(const struct config_node *node, struct config_process *process)
{
    int found = config_read_list(node, "rlimits", sizeof *process->rlimits, convert_rlimit,
                                 &process->rlimits, &process->rlimit_count);
    uint32_t seen = 0;
    for (size_t i = 0; found > 0 && i < process->rlimit_count; i++) {
        uint32_t bit = UINT32_C(1) << process->rlimits[i].resource;
        if (seen & bit)
            return config_fail_element(node, "rlimits", i, "%s is given twice",
                                       process->rlimits[i].name);
        seen |= bit;
    }
    return found;
}

/* What sched_setattr(2) would refuse with a bare EINVAL. */
static int check_scheduler(const struct config_node *node, const struct config_scheduler *scheduler,
                           const char *policy)
{
    bool real_time = scheduler->policy == SCHED_FIFO || scheduler->policy == SCHED_RR;
    bool has_times = scheduler->runtime || scheduler->deadline || scheduler->period;
    if (scheduler->policy == POLICY_ISO)
        return config_fail_member(node, "policy", "no kernel implements SCHED_ISO");
    if (real_time && scheduler->priority == 0)
        return config_fail_member(node, "priority", "%s needs one from 1 to 99", policy);
    if (!real_time && scheduler->priority != 0)
        return config_fail_member(node, "priority", "only for SCHED_FIFO and SCHED_RR, not %s",
                                  policy);
    if (scheduler->policy != POLICY_DEADLINE)
        return has_times ? config_fail(node,
                                       "runtime, deadline and period are only for "
                                       "SCHED_DEADLINE, not %s",
                                       policy)
                         : 0;
    if (scheduler->runtime == 0 || scheduler->deadline < scheduler->runtime ||
        (scheduler->period != 0 && scheduler->period < scheduler->deadline))
        return config_fail(node, "SCHED_DEADLINE needs 0 < runtime <= deadline <= period");
    return 0;
}

static int parse_scheduler_flags(const struct config_node *node, uint64_t *flags)
{
    static const struct config_choices choices = CONFIG_CHOICES(scheduler_flag_names);
    struct config_node array;
    int found = config_read_array(node, "flags", &array);
    for (size_t i = 0; found > 0 && i < json_array_size(array.value); i++) {
        struct config_node element = config_element(&array, i);
        const struct config_choice *flag;
        if (config_get_choice(&element, &choices, &flag) < 0)
            return -1;
        *flags |= (uint64_t)flag->value;
    }
    return found;
}

static int parse_scheduler(const struct config_node *node, struct config_scheduler **out)
{
    static const struct config_choices choices = CONFIG_CHOICES(policy_names);
    struct config_node scheduler;
    int found = config_read_object(node, "scheduler", &scheduler);
    if (found <= 0)
        return found;
    struct config_scheduler *result = arena_allocate(node->reader->arena, 1, sizeof *result);
    const struct config_choice *policy;
    int64_t nice = 0;
    if (config_require_choice(&scheduler, "policy", &choices, &policy) < 0 ||
        config_read_int64(&scheduler, "nice", -20, 19, &nice) < 0 ||
        config_read_uint32(&scheduler, "priority", 99, &result->priority) < 0 ||
        parse_scheduler_flags(&scheduler, &result->flags) < 0 ||
        config_read_uint64(&scheduler, "runtime", &result->runtime) < 0 ||
        config_read_uint64(&scheduler, "deadline", &result->deadline) < 0 ||
        config_read_uint64(&scheduler, "period", &result->period) < 0)
        return -1;
    result->policy = (uint32_t)policy->value;
    result->nice = (int32_t)nice;
    *out = result;
    return check_scheduler(&scheduler, result, policy->name);
}

static int parse_io_priority(const struct config_node *node, struct config_process *process)
{
    static const struct config_choices choices = CONFIG_CHOICES(io_class_names);
    struct config_node priority;
    int found = config_read_object(node, "ioPriority", &priority);
    if (found <= 0)
        return found;
    const struct config_choice *class;
    int64_t level;
    if (config_require_choice(&priority, "class", &choices, &class) < 0 ||
        config_require_int64(&priority, "priority", 0, 7, &level) < 0)
        return -1;
    process->has_io_priority = true;
    process->io_priority_class = (int)class->value;
    process->io_priority = (int)level;
    return 1;
}

/* ---- the whole ---- */

static int parse_program(const struct config_node *node, struct config_process *process)
{
    if (config_require_strings(node, "args", &process->args) < 0 ||
        config_read_environment(node, "env", &process->env) < 0 ||
        config_require_absolute_path(node, "cwd", &process->cwd) < 0)
        return -1;
    if (process->args.count == 0)
        return config_fail_member(node, "args", "at least one is required");
    if (!*process->args.items[0])
        return config_fail_element(node, "args", 0, "the program's name is empty");
    return 0;
}

int config_convert_process(const struct config_node *node, struct config_process **out)
{
    struct config_process *process = arena_allocate(node->reader->arena, 1, sizeof *process);
    if (config_read_bool(node, "terminal", &process->terminal) < 0 ||
        parse_console_size(node, process) < 0 || parse_user(node, process) < 0 ||
        parse_program(node, process) < 0 || parse_capabilities(node, &process->capabilities) < 0 ||
        parse_rlimits(node, process) < 0 ||
        config_read_bool(node, "noNewPrivileges", &process->no_new_privileges) < 0 ||
        config_read_text(node, "apparmorProfile", &process->apparmor_profile) < 0 ||
        config_read_text(node, "selinuxLabel", &process->selinux_label) < 0 ||
        config_read_number(node, "oomScoreAdj", -1000, 1000, &process->oom_score_adj) < 0 ||
        parse_scheduler(node, &process->scheduler) < 0 || parse_io_priority(node, process) < 0)
        return -1;
    *out = process;
    return 0;
}
