/* config-linux.md "Control groups": linux.resources, and what `update` takes. */
#include <string.h>

#include "base/file.h"
#include "oci/config_sections.h"

#define LOWEST_BLOCK_WEIGHT 10
#define HIGHEST_BLOCK_WEIGHT 1000

/* Old Docker writes "no value" as uint64_t -1 (swappiness) or 0 (block weights); runc takes both
 * as not given. */
#define SWAPPINESS_NOT_GIVEN UINT64_MAX

static const char *const throttle_names[CONFIG_THROTTLE_KINDS] = {
    [CONFIG_THROTTLE_READ_BPS] = "throttleReadBpsDevice",
    [CONFIG_THROTTLE_WRITE_BPS] = "throttleWriteBpsDevice",
    [CONFIG_THROTTLE_READ_IOPS] = "throttleReadIOPSDevice",
    [CONFIG_THROTTLE_WRITE_IOPS] = "throttleWriteIOPSDevice",
};

/* A name that becomes a file, or a word of a line, in cgroupfs. */
static bool is_single_word(const char *name)
{
    return *name && !strpbrk(name, " \t\n/") && !file_is_dots(name);
}

/* ---- devices ---- */

static int parse_access(const struct config_node *node, struct config_device_rule *rule)
{
    const char *access = "rwm"; /* also where the access is empty, as runc has it */
    if (config_read_text(node, "access", &access) < 0)
        return -1;
    if (access[strspn(access, "rwm")])
        return config_fail_member(node, "access", "%s is not made of r, w and m",
                                  config_quote(access).text);
    rule->read = strchr(access, 'r');
    rule->write = strchr(access, 'w');
    rule->mknod = strchr(access, 'm');
    return 0;
}

static int convert_device_rule(const struct config_node *node, void *slot)
{
    static const struct config_choice types[] = {{"a", 'a'}, {"c", 'c'}, {"b", 'b'}};
    static const struct config_choices choices = CONFIG_CHOICES(types);
    struct config_device_rule *rule = slot;
    const struct config_choice *type = &types[0];
    const char *name = "";
    rule->major = rule->minor = -1;
    if (config_require_bool(node, "allow", &rule->allow) < 0 ||
        config_read_string(node, "type", &name) < 0 ||
        (*name && config_read_choice(node, "type", &choices, &type) < 0) ||
        config_read_int64(node, "major", -1, UINT32_MAX, &rule->major) < 0 ||
        config_read_int64(node, "minor", -1, UINT32_MAX, &rule->minor) < 0)
        return -1;
    rule->type = (char)type->value;
    return parse_access(node, rule);
}

/* ---- memory, cpu ---- */

static int read_swappiness(const struct config_node *memory, struct config_number *out)
{
    uint64_t value = 0;
    int found = config_read_uint64(memory, "swappiness", &value);
    if (found <= 0 || value == SWAPPINESS_NOT_GIVEN)
        return found;
    return config_read_number(memory, "swappiness", 0, 100, out);
}

static int parse_memory(const struct config_node *node, struct config_resources *out)
{
    struct config_node memory;
    int found = config_read_object(node, "memory", &memory);
    if (found <= 0)
        return found;
    const int64_t most = INT64_MAX;
    if (config_read_number(&memory, "limit", -1, most, &out->memory.limit) < 0 ||
        config_read_number(&memory, "reservation", -1, most, &out->memory.reservation) < 0 ||
        config_read_number(&memory, "swap", -1, most, &out->memory.swap) < 0 ||
        config_read_number(&memory, "kernel", -1, most, &out->memory.kernel) < 0 ||
        config_read_number(&memory, "kernelTCP", -1, most, &out->memory.kernel_tcp) < 0 ||
        read_swappiness(&memory, &out->memory.swappiness) < 0 ||
        config_read_bool(&memory, "checkBeforeUpdate", &out->memory.check_before_update) < 0)
        return -1;
    int has_disable =
        config_read_bool(&memory, "disableOOMKiller", &out->memory.disable_oom_killer);
    int has_hierarchy = config_read_bool(&memory, "useHierarchy", &out->memory.use_hierarchy);
    if (has_disable < 0 || has_hierarchy < 0)
        return -1;
    out->memory.has_disable_oom_killer = has_disable > 0;
    out->memory.has_use_hierarchy = has_hierarchy > 0;
    /* swap is the sum of both; 0 means "leave it" for runc. */
    int64_t limit = out->memory.limit.value, swap = out->memory.swap.value;
    if (limit > 0 && swap > 0 && swap < limit)
        return config_fail_member(&memory, "swap",
                                  "memory and swap together, %lld, are less than the memory limit, "
                                  "%lld",
                                  (long long)swap, (long long)limit);
    return 1;
}

/* A list as the kernel's cpuset files take it: numbers and ranges, separated by commas. */
static bool is_number_list(const char *text)
{
    for (;; text++) {
        unsigned long ends[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            size_t digits = strspn(text, "0123456789");
            if (digits == 0 || digits > 9)
                return false;
            for (; digits > 0; digits--)
                ends[i] = ends[i] * 10 + (unsigned long)(*text++ - '0');
            if (*text != '-' || i == 1) {
                ends[1] = i == 0 ? ends[0] : ends[1];
                break;
            }
            text++;
        }
        if (ends[0] > ends[1])
            return false;
        if (*text != ',')
            return !*text;
    }
}

static int read_number_list(const struct config_node *from, const char *key, const char **out)
{
    int found = config_read_text(from, key, out);
    if (found > 0 && !is_number_list(*out))
        return config_fail_member(from, key, "%s is not a list of numbers and ranges (0-3,7)",
                                  config_quote(*out).text);
    return found;
}

static int parse_cpu(const struct config_node *node, struct config_resources *out)
{
    struct config_node cpu;
    int found = config_read_object(node, "cpu", &cpu);
    if (found <= 0)
        return found;
    const int64_t most = INT64_MAX;
    int shares = config_read_uint64(&cpu, "shares", &out->cpu.shares);
    int period = config_read_uint64(&cpu, "period", &out->cpu.period);
    int realtime = config_read_uint64(&cpu, "realtimePeriod", &out->cpu.realtime_period);
    if (shares < 0 || period < 0 || realtime < 0)
        return -1;
    out->cpu.has_shares = shares > 0;
    out->cpu.has_period = period > 0;
    out->cpu.has_realtime_period = realtime > 0;
    if (config_read_number(&cpu, "quota", -1, most, &out->cpu.quota) < 0 ||
        config_read_number(&cpu, "burst", 0, most, &out->cpu.burst) < 0 ||
        config_read_number(&cpu, "realtimeRuntime", -1, most, &out->cpu.realtime_runtime) < 0 ||
        config_read_number(&cpu, "idle", 0, 1, &out->cpu.idle) < 0 ||
        read_number_list(&cpu, "cpus", &out->cpu.cpus) < 0 ||
        read_number_list(&cpu, "mems", &out->cpu.mems) < 0)
        return -1;
    if (out->cpu.quota.value > 0 && out->cpu.burst.value > out->cpu.quota.value)
        return config_fail_member(&cpu, "burst", "%lld is above the quota, %lld",
                                  (long long)out->cpu.burst.value, (long long)out->cpu.quota.value);
    return 1;
}

static int parse_pids(const struct config_node *node, struct config_resources *out)
{
    struct config_node pids;
    int found = config_read_object(node, "pids", &pids);
    return found > 0 ? config_read_number(&pids, "limit", -1, INT64_MAX, &out->pids_limit) : found;
}

/* ---- block devices ---- */

static int read_weight(const struct config_node *from, const char *key, struct config_number *out)
{
    int64_t value = 0;
    int found = config_read_int64(from, key, INT64_MIN, INT64_MAX, &value);
    if (found <= 0 || value == 0)
        return found;
    return config_read_number(from, key, LOWEST_BLOCK_WEIGHT, HIGHEST_BLOCK_WEIGHT, out);
}

static int read_device_number(const struct config_node *from, int64_t *major, int64_t *minor)
{
    if (config_require_int64(from, "major", 0, UINT32_MAX, major) < 0 ||
        config_require_int64(from, "minor", 0, UINT32_MAX, minor) < 0)
        return -1;
    return 0;
}

static int convert_block_weight(const struct config_node *node, void *slot)
{
    struct config_block_weight *weight = slot;
    if (read_device_number(node, &weight->major, &weight->minor) < 0)
        return -1;
    int has_weight = read_weight(node, "weight", &weight->weight);
    int has_leaf_weight = read_weight(node, "leafWeight", &weight->leaf_weight);
    if (has_weight < 0 || has_leaf_weight < 0)
        return -1;
    if (!has_weight && !has_leaf_weight)
        return config_fail(node, "neither weight nor leafWeight is given");
    return 0;
}

static int convert_throttle(const struct config_node *node, void *slot)
{
    struct config_block_throttle *throttle = slot;
    if (read_device_number(node, &throttle->major, &throttle->minor) < 0)
        return -1;
    return config_require_uint64(node, "rate", &throttle->rate);
}

static int parse_block(const struct config_node *node, struct config_resources *out)
{
    struct config_node block;
    int found = config_read_object(node, "blockIO", &block);
    if (found <= 0)
        return found;
    if (read_weight(&block, "weight", &out->block.weight) < 0 ||
        read_weight(&block, "leafWeight", &out->block.leaf_weight) < 0 ||
        config_read_list(&block, "weightDevice", sizeof *out->block.weight_devices,
                         convert_block_weight, &out->block.weight_devices,
                         &out->block.weight_device_count) < 0)
        return -1;
    for (int kind = 0; kind < CONFIG_THROTTLE_KINDS; kind++) {
        if (config_read_list(&block, throttle_names[kind], sizeof *out->block.throttles[kind],
                             convert_throttle, &out->block.throttles[kind],
                             &out->block.throttle_count[kind]) < 0)
            return -1;
    }
    return 1;
}

/* ---- huge pages, network, rdma ---- */

static int convert_hugepage_limit(const struct config_node *node, void *slot)
{
    struct config_hugepage_limit *limit = slot;
    if (config_require_string(node, "pageSize", &limit->page_size) < 0 ||
        config_require_uint64(node, "limit", &limit->limit) < 0)
        return -1;
    const char *unit = limit->page_size + strspn(limit->page_size, "0123456789");
    if (*limit->page_size == '0' || unit == limit->page_size || !*unit || !strchr("KMG", *unit) ||
        strcmp(unit + 1, "B") != 0)
        return config_fail_member(node, "pageSize", "%s is not like 64KB, 2MB or 1GB",
                                  config_quote(limit->page_size).text);
    return 0;
}

static int convert_interface_priority(const struct config_node *node, void *slot)
{
    struct config_interface_priority *priority = slot;
    if (config_require_string(node, "name", &priority->name) < 0 ||
        config_require_uint32(node, "priority", UINT32_MAX, &priority->priority) < 0)
        return -1;
    if (!is_single_word(priority->name))
        return config_fail_member(node, "name", "%s is not an interface's name",
                                  config_quote(priority->name).text);
    return 0;
}

static int parse_network(const struct config_node *node, struct config_resources *out)
{
    struct config_node network;
    int found = config_read_object(node, "network", &network);
    if (found <= 0)
        return found;
    int has_class = config_read_uint32(&network, "classID", UINT32_MAX, &out->network.class_id);
    out->network.has_class_id = has_class > 0;
    if (has_class < 0)
        return -1;
    return config_read_list(&network, "priorities", sizeof *out->network.priorities,
                            convert_interface_priority, &out->network.priorities,
                            &out->network.priority_count);
}

static int parse_rdma_limit(const struct config_node *node, struct config_rdma_limit *limit)
{
    if (config_expect_object(node) < 0 ||
        config_read_number(node, "hcaHandles", 0, UINT32_MAX, &limit->handles) < 0 ||
        config_read_number(node, "hcaObjects", 0, UINT32_MAX, &limit->objects) < 0)
        return -1;
    if (!is_single_word(limit->device))
        return config_fail(node, "the key is not a device's name");
    if (!limit->handles.given && !limit->objects.given)
        return config_fail(node, "neither hcaHandles nor hcaObjects is given");
    return 0;
}

static int parse_rdma(const struct config_node *node, struct config_resources *out)
{
    struct config_node rdma;
    int found = config_read_object(node, "rdma", &rdma);
    if (found <= 0)
        return found;
    out->rdma =
        arena_allocate(node->reader->arena, json_object_size(rdma.value), sizeof *out->rdma);
    for (void *i = json_object_iter(rdma.value); i; i = json_object_iter_next(rdma.value, i)) {
        struct config_rdma_limit *limit = &out->rdma[out->rdma_count++];
        limit->device = json_object_iter_key(i);
        struct config_node member = {node->reader, &rdma, limit->device, 0,
                                     json_object_iter_value(i)};
        if (parse_rdma_limit(&member, limit) < 0)
            return -1;
    }
    return 1;
}

/* ---- the whole ---- */

static int parse_unified(const struct config_node *node, struct config_pairs *out)
{
    int found = config_read_pairs(node, "unified", out);
    for (size_t i = 0; found > 0 && i < out->count; i++) {
        if (!is_single_word(out->items[i].key))
            return config_fail_member(node, "unified", "the key %s is not a file's name",
                                      config_quote(out->items[i].key).text);
    }
    return found;
}

int config_convert_resources(const struct config_node *node, struct config_resources **out)
{
    struct config_resources *resources = arena_allocate(node->reader->arena, 1, sizeof *resources);
    if (config_read_list(node, "devices", sizeof *resources->device_rules, convert_device_rule,
                         &resources->device_rules, &resources->device_rule_count) < 0 ||
        parse_memory(node, resources) < 0 || parse_cpu(node, resources) < 0 ||
        parse_pids(node, resources) < 0 || parse_block(node, resources) < 0 ||
        config_read_list(node, "hugepageLimits", sizeof *resources->hugepage_limits,
                         convert_hugepage_limit, &resources->hugepage_limits,
                         &resources->hugepage_limit_count) < 0 ||
        parse_network(node, resources) < 0 || parse_rdma(node, resources) < 0 ||
        parse_unified(node, &resources->unified) < 0)
        return -1;
    *out = resources;
    return 0;
}
