/* cgroup v2: handing controllers down, who owns the directory, and the limits, most of which the
 * specification expresses in v1's units. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

#define CONTROLLERS_TEXT 512

/* ---- controllers ---- */

/* Enables each of the controllers in the children of directory; together, or those that go. */
static void enable_in(const char *directory, const char *controllers)
{
    char together[2 * CONTROLLERS_TEXT] = "", copy[CONTROLLERS_TEXT];
    size_t used = 0;
    char *save = NULL;
    snprintf(copy, sizeof copy, "%s", controllers);
    for (char *one = strtok_r(copy, " ", &save); one; one = strtok_r(NULL, " ", &save))
        used += (size_t)snprintf(together + used, sizeof together - used, "+%s ", one);
    if (!used || cgroup_write(directory, "cgroup.subtree_control", together, NULL) == 0)
        return;
    for (char *one = strtok_r(together, " ", &save); one; one = strtok_r(NULL, " ", &save))
        cgroup_write(directory, "cgroup.subtree_control", one, NULL);
}

void cgroup_v2_enable(const struct cgroup_hierarchy *hierarchy, const char *controllers)
{
    char all[CONTROLLERS_TEXT], path[sizeof hierarchy->path];
    if (!controllers) {
        if (cgroup_read(hierarchy->mount_point, "cgroup.controllers", all, sizeof all) <= 0)
            return;
        controllers = all;
    }
    strcpy(path, hierarchy->path);
    for (char *at = path + strlen(hierarchy->mount_point); *at; at += strcspn(at, "/")) {
        *at = '\0';
        enable_in(path, controllers);
        *at++ = '/';
    }
}

/* Below a threaded cgroup (or one with processes of its own) a new one is "domain invalid": no
 * process can enter until it is threaded, too, which only some controllers bear. */
static int join_threaded(const char *path, const struct config_resources *resources,
                         struct error *err)
{
    char type[32];
    if (cgroup_read(path, "cgroup.type", type, sizeof type) < 0 ||
        strcmp(type, "domain invalid") != 0)
        return 0;
    if (resources && (resources->memory.limit.given || resources->memory.reservation.given ||
                      resources->memory.swap.given || resources->block.weight.given ||
                      resources->block.weight_device_count || resources->hugepage_limit_count))
        return error_set(err, 0,
                         "cgroup %s is below a threaded one, where memory, io and hugetlb limits "
                         "are impossible (choose another linux.cgroupsPath)",
                         path);
    return cgroup_write(path, "cgroup.type", "threaded", err);
}

/* ---- ownership (config-linux.md "Cgroup ownership") ---- */

/* The host's uid of the container's process, if the container is to own its cgroup: it has its
 * own cgroup namespace and a writable mount of it. */
static bool find_owner(const struct config *config, uid_t *owner)
{
    const struct config_linux *section = &config->linux_section;
    const struct config_namespace *user = &section->namespaces[CONFIG_NAMESPACE_USER];
    const struct config_namespace *group = &section->namespaces[CONFIG_NAMESPACE_CGROUP];
    if (!config->process || !user->listed || user->path || !group->listed || group->path)
        return false;
    bool writable = false;
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct config_mount *mount = &config->mounts[i];
        if (!mount->type || strncmp(mount->type, "cgroup", 6) != 0)
            continue;
        writable = true;
        for (size_t j = 0; j < mount->options.count; j++)
            if (strcmp(mount->options.items[j], "ro") == 0)
                writable = false;
    }
    for (size_t i = 0; writable && i < section->uid_mappings.count; i++) {
        const struct config_id_mapping *map = &section->uid_mappings.items[i];
        if (config->process->uid - map->container_id < map->size &&
            config->process->uid >= map->container_id) {
            *owner = map->host_id + (config->process->uid - map->container_id);
            return true;
        }
    }
    return false;
}

static int give_to_container(const char *path, const struct config *config, struct error *err)
{
    uid_t owner;
    if (!find_owner(config, &owner) || owner == geteuid())
        return 0;
    scope_close int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || fchownat(directory, "", owner, (gid_t)-1, AT_EMPTY_PATH) < 0)
        return error_set(err, errno, "can't give cgroup %s to uid %u", path, owner);
    /* The kernel lists what delegation includes (Linux 4.15). */
    char files[1024];
    if (cgroup_read("/sys/kernel/cgroup", "delegate", files, sizeof files) < 0)
        strcpy(files, "cgroup.procs\ncgroup.threads\ncgroup.subtree_control");
    char *rest = files;
    for (char *file; (file = strsep(&rest, "\n"));)
        if (*file && !strchr(file, '/') &&
            fchownat(directory, file, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
            return error_set(err, errno, "can't give %s/%s to uid %u", path, file, owner);
    return 0;
}

int cgroup_v2_prepare(const struct cgroup_hierarchy *hierarchy, const struct config *config,
                      struct error *err)
{
    char root[CONTROLLERS_TEXT], here[CONTROLLERS_TEXT];
    const struct config_resources *resources = config ? config->linux_section.resources : NULL;
    /* Usually an earlier container has handed everything down already. */
    if (cgroup_read(hierarchy->mount_point, "cgroup.controllers", root, sizeof root) < 0)
        return error_set(err, errno, "can't read %s/cgroup.controllers", hierarchy->mount_point);
    if (cgroup_read(hierarchy->path, "cgroup.controllers", here, sizeof here) < 0)
        return error_set(err, errno, "can't read %s/cgroup.controllers", hierarchy->path);
    if (strcmp(root, here) != 0) {
        cgroup_v2_enable(hierarchy, root);
        if (join_threaded(hierarchy->path, resources, err) < 0)
            return -1;
    }
    return config ? give_to_container(hierarchy->path, config, err) : 0;
}

/* ---- conversions ---- */

/* 2^exponent and log2 without libm, which nothing else needs; good to 1e-12 in the range used. */
static double binary_logarithm(double value)
{
    double result = 0, bit = 0.5;
    for (; value >= 2; value /= 2)
        result += 1;
    for (int i = 0; i < 45; i++, bit /= 2) {
        value *= value;
        if (value >= 2) {
            value /= 2;
            result += bit;
        }
    }
    return result;
}

static double power_of_two(double exponent)
{
    double result = 1, term = 1, rest = exponent;
    for (; rest >= 1; rest -= 1)
        result *= 2;
    double series = 1, x = rest * 0.69314718055994530942;
    for (int i = 1; i < 25; i++) {
        term *= x / i;
        series += term;
    }
    return result * series;
}

/* The curve through (2, 1), (1024, 100) and (262144, 10000) that runc and crun agreed on, so that
 * the default stays the default: 10^((l² + 125 l)/612 - 7/34) rounded up, l = log2(shares). */
uint64_t cgroup_weight_from_shares(uint64_t shares)
{
    if (shares == 0)
        return 0;
    if (shares <= 2)
        return 1;
    if (shares >= 262144)
        return 10000;
    double l = binary_logarithm((double)shares);
    double weight = power_of_two(((l * l + 125 * l) / 612 - 7.0 / 34) * 3.32192809488736234787);
    uint64_t rounded = (uint64_t)weight;
    return weight - (double)rounded > 1e-6 ? rounded + 1 : rounded;
}

uint64_t cgroup_io_weight_from_block_weight(uint64_t weight)
{
    return weight < 10 ? weight : 1 + (weight - 10) * 9999 / 990;
}

int cgroup_swap_without_memory(const struct config_resources *resources, int64_t *swap, bool *write,
                               struct error *err)
{
    int64_t memory = resources->memory.limit.given ? resources->memory.limit.value : 0;
    int64_t both = resources->memory.swap.given ? resources->memory.swap.value : 0;
    *write = true;
    *swap = -1;
    if (both == -1 || (both == 0 && memory == -1))
        return 0;
    if (both == 0) {
        *write = false;
        return 0;
    }
    if (memory == 0)
        return error_set(err, 0, "linux.resources.memory.swap needs memory.limit beside it");
    if (memory < -1 || both < -1 || (memory != -1 && both < memory))
        return error_set(err, 0,
                         "linux.resources.memory.swap: %lld is memory and swap together, so it "
                         "can't be less than memory.limit %lld",
                         (long long)both, (long long)memory);
    *swap = memory == -1 ? both : both - memory;
    return 0;
}

/* ---- limits ---- */

static int write_limit(const char *path, const char *file, int64_t value, struct error *err)
{
    return value == -1 ? cgroup_write(path, file, "max", err)
                       : cgroup_write_number(path, file, value, err);
}

/* memory.checkBeforeUpdate: refuse a limit below what is in use, which would kill at once. */
static int check_usage(const char *path, const struct config_resources *resources,
                       struct error *err)
{
    uint64_t usage;
    int64_t limit = resources->memory.limit.given ? resources->memory.limit.value : 0;
    int64_t swap = resources->memory.swap.given ? resources->memory.swap.value : 0;
    if (!resources->memory.check_before_update ||
        cgroup_read_number(path, "memory.current", &usage) < 0)
        return 0;
    if ((limit > 0 && (uint64_t)limit <= usage) || (swap > 0 && (uint64_t)swap <= usage))
        return error_set(err, EBUSY,
                         "linux.resources.memory.limit: %lld is not more than the %llu bytes in "
                         "use (memory.checkBeforeUpdate)",
                         (long long)(limit > 0 ? limit : swap), (unsigned long long)usage);
    return 0;
}

int cgroup_v2_set_memory(const char *path, const struct config_resources *resources,
                         struct error *err)
{
    int64_t swap;
    bool write_swap;
    if (check_usage(path, resources, err) < 0 ||
        cgroup_swap_without_memory(resources, &swap, &write_swap, err) < 0)
        return -1;
    struct error reason;
    /* Without swap in the kernel there is nothing to disable, and no limit to lift. */
    if (write_swap && write_limit(path, "memory.swap.max", swap, &reason) < 0 &&
        (reason.code != ENOENT || swap > 0)) {
        if (err)
            *err = reason;
        return -1;
    }
    if (resources->memory.limit.given && resources->memory.limit.value &&
        write_limit(path, "memory.max", resources->memory.limit.value, err) < 0)
        return -1;
    if (resources->memory.reservation.given && resources->memory.reservation.value &&
        write_limit(path, "memory.low", resources->memory.reservation.value, err) < 0)
        return -1;
    return 0;
}

static int set_bandwidth(const char *path, const struct config_resources *resources,
                         struct error *err)
{
    bool has_quota = resources->cpu.quota.given && resources->cpu.quota.value;
    bool has_period = resources->cpu.has_period && resources->cpu.period;
    char quota[24] = "max", text[64];
    if (has_quota && resources->cpu.quota.value > 0)
        snprintf(quota, sizeof quota, "%lld", (long long)resources->cpu.quota.value);
    snprintf(text, sizeof text, "%s %llu", quota,
             has_period ? (unsigned long long)resources->cpu.period : 100000ULL);
    struct error reason;
    bool burst_late = false;
    if (resources->cpu.burst.given &&
        cgroup_write_number(path, "cpu.max.burst", resources->cpu.burst.value, &reason) < 0) {
        burst_late = reason.code == EINVAL && has_quota; /* more than the old quota */
        if (!burst_late) {
            if (err)
                *err = reason;
            return -1;
        }
    }
    if ((has_quota || has_period) && cgroup_write(path, "cpu.max", text, err) < 0)
        return -1;
    if (burst_late)
        return cgroup_write_number(path, "cpu.max.burst", resources->cpu.burst.value, err);
    return 0;
}

int cgroup_v2_set_cpu(const char *path, const struct config_resources *resources, struct error *err)
{
    if ((resources->cpu.has_realtime_period && resources->cpu.realtime_period) ||
        (resources->cpu.realtime_runtime.given && resources->cpu.realtime_runtime.value))
        return error_set(err, 0,
                         "linux.resources.cpu.realtimeRuntime and realtimePeriod need cgroup v1: "
                         "the cpu controller of v2 has no such limit");
    if (resources->cpu.idle.given &&
        cgroup_write_number(path, "cpu.idle", resources->cpu.idle.value, err) < 0)
        return -1;
    bool idle = resources->cpu.idle.given && resources->cpu.idle.value == 1;
    uint64_t weight =
        cgroup_weight_from_shares(resources->cpu.has_shares ? resources->cpu.shares : 0);
    if (weight && !idle && cgroup_write_number(path, "cpu.weight", (int64_t)weight, err) < 0)
        return -1;
    return set_bandwidth(path, resources, err);
}

int cgroup_v2_set_cpuset(const char *path, const struct config_resources *resources,
                         struct error *err)
{
    return cgroup_v1_set_cpuset(path, resources, err); /* same files */
}

static int set_weights(const char *path, const struct config_resources *resources,
                       struct error *err)
{
    bool bfq = cgroup_has_file(path, "io.bfq.weight");
    const char *file = bfq ? "io.bfq.weight" : "io.weight";
    char text[80];
    if (resources->block.weight.given && resources->block.weight.value) {
        uint64_t weight = (uint64_t)resources->block.weight.value;
        if (cgroup_write_number(
                path, file, (int64_t)(bfq ? weight : cgroup_io_weight_from_block_weight(weight)),
                err) < 0)
            return -1;
    }
    for (size_t i = 0; i < resources->block.weight_device_count; i++) {
        const struct config_block_weight *device = &resources->block.weight_devices[i];
        uint64_t weight = device->weight.given ? (uint64_t)device->weight.value : 0;
        if (!weight)
            continue;
        snprintf(text, sizeof text, "%lld:%lld %llu", (long long)device->major,
                 (long long)device->minor,
                 (unsigned long long)(bfq ? weight : cgroup_io_weight_from_block_weight(weight)));
        if (cgroup_write(path, file, text, err) < 0)
            return -1;
    }
    return 0;
}

int cgroup_v2_set_io(const char *path, const struct config_resources *resources, struct error *err)
{
    static const char *const keys[CONFIG_THROTTLE_KINDS] = {
        [CONFIG_THROTTLE_READ_BPS] = "rbps",
        [CONFIG_THROTTLE_WRITE_BPS] = "wbps",
        [CONFIG_THROTTLE_READ_IOPS] = "riops",
        [CONFIG_THROTTLE_WRITE_IOPS] = "wiops",
    };
    if (set_weights(path, resources, err) < 0)
        return -1;
    for (int kind = 0; kind < CONFIG_THROTTLE_KINDS; kind++)
        for (size_t i = 0; i < resources->block.throttle_count[kind]; i++) {
            const struct config_block_throttle *limit = &resources->block.throttles[kind][i];
            char text[96], rate[24] = "max"; /* v1's 0 lifts the limit */
            if (limit->rate)
                snprintf(rate, sizeof rate, "%llu", (unsigned long long)limit->rate);
            snprintf(text, sizeof text, "%lld:%lld %s=%s", (long long)limit->major,
                     (long long)limit->minor, keys[kind], rate);
            if (cgroup_write(path, "io.max", text, err) < 0)
                return -1;
        }
    return 0;
}

int cgroup_v2_set_hugepages(const char *path, const struct config_resources *resources,
                            struct error *err)
{
    for (size_t i = 0; i < resources->hugepage_limit_count; i++) {
        const struct config_hugepage_limit *limit = &resources->hugepage_limits[i];
        char file[96], text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)limit->limit);
        snprintf(file, sizeof file, "hugetlb.%s.max", limit->page_size);
        if (cgroup_write(path, file, text, err) < 0)
            return -1;
        snprintf(file, sizeof file, "hugetlb.%s.rsvd.max", limit->page_size);
        struct error reason;
        if (cgroup_write(path, file, text, &reason) < 0 && reason.code != ENOENT) {
            if (err)
                *err = reason;
            return -1;
        }
    }
    return 0;
}

static int set_unified_key(const struct cgroup *cgroup, const struct cgroup_hierarchy *v2,
                           const struct config_pair *pair, struct error *err)
{
    const char *dot = strchr(pair->key, '.');
    if (strchr(pair->key, '/') || !dot || dot == pair->key)
        return error_set(err, 0,
                         "linux.resources.unified: '%s' isn't of the form CONTROLLER.PARAMETER",
                         pair->key);
    if (cgroup->mode == CGROUP_MODE_HYBRID && !cgroup_has_file(v2->path, pair->key)) {
        char controller[64];
        snprintf(controller, sizeof controller, "%.*s", (int)(dot - pair->key), pair->key);
        cgroup_v2_enable(v2, controller);
    }
    scope_free char *lines = memory_copy_string(pair->value);
    char *rest = lines;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line && cgroup_write(v2->path, pair->key, line, err) < 0)
            return error_wrap(err, "linux.resources.unified");
    return 0;
}

int cgroup_v2_set_unified(const struct cgroup *cgroup, const struct config_resources *resources,
                          struct error *err)
{
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    if (resources->unified.count && !v2 && cgroup->rootless)
        return 0;
    if (resources->unified.count && !v2)
        return error_set(err, 0,
                         "linux.resources.unified needs cgroup v2, which this host has not");
    for (size_t i = 0; i < resources->unified.count; i++)
        if (set_unified_key(cgroup, v2, &resources->unified.items[i], err) < 0)
            return -1;
    return 0;
}
