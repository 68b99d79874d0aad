/* config-linux.md "Seccomp". The names stay strings: the driver gives them to libseccomp, which
 * it loads only then. */
#include <string.h>
#include <sys/un.h>

#include "oci/config_sections.h"

/* What fits into the data half of a filter's verdict (seccomp(2)), and the largest errno. */
#define MOST_TRACE_DATA 0xffff
#define MOST_ERRNO 4095

/* The value is the largest errnoRet, 0 where the action has none. */
static const struct config_choice action_names[] = {
    {"SCMP_ACT_KILL", 0},           {"SCMP_ACT_KILL_PROCESS", 0},
    {"SCMP_ACT_KILL_THREAD", 0},    {"SCMP_ACT_TRAP", 0},
    {"SCMP_ACT_ERRNO", MOST_ERRNO}, {"SCMP_ACT_TRACE", MOST_TRACE_DATA},
    {"SCMP_ACT_ALLOW", 0},          {"SCMP_ACT_LOG", 0},
    {"SCMP_ACT_NOTIFY", 0},
};
static const struct config_choices actions = CONFIG_CHOICES(action_names);

static const struct config_choice architecture_names[] = {
    {"SCMP_ARCH_X86_64", 0},      {"SCMP_ARCH_X86", 0},      {"SCMP_ARCH_X32", 0},
    {"SCMP_ARCH_AARCH64", 0},     {"SCMP_ARCH_ARM", 0},      {"SCMP_ARCH_RISCV64", 0},
    {"SCMP_ARCH_MIPS", 0},        {"SCMP_ARCH_MIPS64", 0},   {"SCMP_ARCH_MIPS64N32", 0},
    {"SCMP_ARCH_MIPSEL", 0},      {"SCMP_ARCH_MIPSEL64", 0}, {"SCMP_ARCH_MIPSEL64N32", 0},
    {"SCMP_ARCH_PPC", 0},         {"SCMP_ARCH_PPC64", 0},    {"SCMP_ARCH_PPC64LE", 0},
    {"SCMP_ARCH_S390", 0},        {"SCMP_ARCH_S390X", 0},    {"SCMP_ARCH_PARISC", 0},
    {"SCMP_ARCH_PARISC64", 0},    {"SCMP_ARCH_M68K", 0},     {"SCMP_ARCH_SH", 0},
    {"SCMP_ARCH_LOONGARCH64", 0}, {"SCMP_ARCH_SHEB", 0},
};
static const struct config_choices architectures = CONFIG_CHOICES(architecture_names);

static const struct config_choice flag_names[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
    {"SECCOMP_FILTER_FLAG_LOG", 0},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", 0},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0},
};
static const struct config_choices flags = CONFIG_CHOICES(flag_names);

static const struct config_choice operator_names[] = {
    {"SCMP_CMP_NE", 0}, {"SCMP_CMP_LT", 0}, {"SCMP_CMP_LE", 0},        {"SCMP_CMP_EQ", 0},
    {"SCMP_CMP_GE", 0}, {"SCMP_CMP_GT", 0}, {"SCMP_CMP_MASKED_EQ", 0},
};
static const struct config_choices operators = CONFIG_CHOICES(operator_names);

static bool is_notify(const char *action)
{
    return strcmp(action, "SCMP_ACT_NOTIFY") == 0;
}

/* Reads the action at key and what goes with it at errno_key: "When the action doesn't support
 * an errno, the runtime MUST print an error and fail." */
static int read_action(const struct config_node *from, const char *key, const char *errno_key,
                       const char **action, bool *has_errno, uint32_t *errno_value)
{
    const struct config_choice *choice;
    if (config_require_choice(from, key, &actions, &choice) < 0)
        return -1;
    *action = choice->name;
    int found = config_read_uint32(from, errno_key, UINT32_MAX, errno_value);
    if (found <= 0)
        return found;
    *has_errno = true;
    if (choice->value == 0)
        return config_fail_member(from, errno_key, "%s takes none", choice->name);
    return config_read_uint32(from, errno_key, (uint32_t)choice->value, errno_value);
}

static int convert_argument(const struct config_node *node, void *slot)
{
    struct config_seccomp_argument *argument = slot;
    const struct config_choice *op;
    if (config_require_uint32(node, "index", 5, &argument->index) < 0 ||
        config_require_uint64(node, "value", &argument->value) < 0 ||
        config_read_uint64(node, "valueTwo", &argument->value_two) < 0 ||
        config_require_choice(node, "op", &operators, &op) < 0)
        return -1;
    argument->op = op->name;
    return 0;
}

static int convert_rule(const struct config_node *node, void *slot)
{
    struct config_seccomp_rule *rule = slot;
    if (config_require_strings(node, "names", &rule->names) < 0 ||
        read_action(node, "action", "errnoRet", &rule->action, &rule->has_errno,
                    &rule->errno_value) < 0 ||
        config_read_list(node, "args", sizeof *rule->arguments, convert_argument, &rule->arguments,
                         &rule->argument_count) < 0)
        return -1;
    if (rule->names.count == 0)
        return config_fail_member(node, "names", "at least one is required");
    for (size_t i = 0; i < rule->names.count; i++) {
        const char *name = rule->names.items[i];
        if (!*name)
            return config_fail_element(node, "names", i, "is empty");
        /* The process writes the listener's number to the runtime after its filter is in force:
         * it would wait for an agent that nobody has told yet. */
        if (is_notify(rule->action) && strcmp(name, "write") == 0)
            return config_fail_element(node, "names", i, "write can't have SCMP_ACT_NOTIFY");
    }
    return 0;
}

static int read_choices(const struct config_node *from, const char *key,
                        const struct config_choices *choices, struct config_strings *out)
{
    struct config_node array;
    int found = config_read_array(from, key, &array);
    if (found <= 0)
        return found;
    size_t count = json_array_size(array.value);
    out->items = arena_allocate(from->reader->arena, count + 1, sizeof *out->items);
    for (size_t i = 0; i < count; i++) {
        struct config_node element = config_element(&array, i);
        const struct config_choice *choice;
        if (config_get_choice(&element, choices, &choice) < 0)
            return -1;
        out->items[out->count++] = choice->name;
    }
    return 1;
}

static int check_listener(const struct config_node *node, const struct config_seccomp *seccomp)
{
    if (is_notify(seccomp->default_action))
        return config_fail_member(node, "defaultAction", "can't be SCMP_ACT_NOTIFY");
    if (seccomp->listener_metadata && !seccomp->listener_path)
        return config_fail_member(node, "listenerMetadata", "given without listenerPath");
    for (size_t i = 0; i < seccomp->rule_count; i++) {
        if (!is_notify(seccomp->rules[i].action))
            continue;
        if (!seccomp->listener_path)
            return config_fail_element(node, "syscalls", i,
                                       "SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath");
        if (strlen(seccomp->listener_path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return config_fail_member(node, "listenerPath", "too long for a socket");
    }
    return 0;
}

int config_convert_seccomp(const struct config_node *node, struct config_seccomp **out)
{
    struct config_seccomp *seccomp = arena_allocate(node->reader->arena, 1, sizeof *seccomp);
    if (read_action(node, "defaultAction", "defaultErrnoRet", &seccomp->default_action,
                    &seccomp->has_default_errno, &seccomp->default_errno) < 0 ||
        read_choices(node, "architectures", &architectures, &seccomp->architectures) < 0 ||
        read_choices(node, "flags", &flags, &seccomp->flags) < 0 ||
        config_read_text(node, "listenerPath", &seccomp->listener_path) < 0 ||
        config_read_text(node, "listenerMetadata", &seccomp->listener_metadata) < 0 ||
        config_read_list(node, "syscalls", sizeof *seccomp->rules, convert_rule, &seccomp->rules,
                         &seccomp->rule_count) < 0)
        return -1;
    *out = seccomp;
    return check_listener(node, seccomp);
}
