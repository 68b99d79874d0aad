/* Limits on cgroup v1: which file each goes to, and the orders that the kernel insists on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

#define CPUSET_TEXT 4096

/* Reads the set of one cpuset, filling it from its parents (upwards, as far as needed) if it is
 * empty: a process can't enter a cpuset without cpus or mems. floor: length of the mount point. */
static int inherit_set(char *path, size_t floor, const char *file, char *value, struct error *err)
{
    ssize_t length = cgroup_read(path, file, value, CPUSET_TEXT);
    if (length < 0)
        return error_set(err, errno, "can't read %s/%s", path, file);
    char *slash = strrchr(path, '/');
    if (length > 0 || !slash || (size_t)(slash - path) < floor)
        return 0;
    *slash = '\0';
    int result = inherit_set(path, floor, file, value, err);
    *slash = '/';
    return result < 0 ? -1 : cgroup_write(path, file, value, err);
}

int cgroup_v1_fill_cpuset(const struct cgroup_hierarchy *hierarchy,
                          const struct config_resources *resources, struct error *err)
{
    size_t floor = strlen(hierarchy->mount_point);
    char path[sizeof hierarchy->path], value[CPUSET_TEXT];
    strcpy(path, hierarchy->path);
    char *slash = strrchr(path, '/');
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (int i = 0; i < 2; i++) {
        const char *asked = resources ? (i ? resources->cpu.mems : resources->cpu.cpus) : NULL;
        *slash = '\0';
        int result = inherit_set(path, floor, files[i], value, err);
        *slash = '/';
        if (result < 0)
            return -1;
        /* What was asked for goes in at once: all of the parent's could clash with a sibling
         * that is exclusive. */
        if (cgroup_write(path, files[i], asked && asked[0] ? asked : value, err) < 0)
            return -1;
    }
    return 0;
}

int cgroup_v1_set_cpuset(const char *path, const struct config_resources *resources,
                         struct error *err)
{
    if (resources->cpu.cpus && resources->cpu.cpus[0] &&
        cgroup_write(path, "cpuset.cpus", resources->cpu.cpus, err) < 0)
        return -1;
    if (resources->cpu.mems && resources->cpu.mems[0] &&
        cgroup_write(path, "cpuset.mems", resources->cpu.mems, err) < 0)
        return -1;
    return 0;
}

/* The kernel checks two dependent values against each other at each write. So the first may be
 * refused (EINVAL) only because the second still has its old value; then the second goes first. */
static int write_pair(const char *path, const char *first, int64_t first_value, const char *second,
                      int64_t second_value, struct error *err)
{
    struct error reason;
    if (cgroup_write_number(path, first, first_value, &reason) == 0)
        return cgroup_write_number(path, second, second_value, err);
    if (reason.code != EINVAL) {
        if (err)
            *err = reason;
        return -1;
    }
    if (cgroup_write_number(path, second, second_value, err) < 0)
        return -1;
    return cgroup_write_number(path, first, first_value, err);
}

int cgroup_v1_set_realtime(const char *path, const struct config_resources *resources,
                           struct error *err)
{
    bool period = resources->cpu.has_realtime_period && resources->cpu.realtime_period;
    bool runtime = resources->cpu.realtime_runtime.given && resources->cpu.realtime_runtime.value;
    int64_t period_value = (int64_t)resources->cpu.realtime_period;
    int64_t runtime_value = resources->cpu.realtime_runtime.value;
    if (period && runtime)
        return write_pair(path, "cpu.rt_period_us", period_value, "cpu.rt_runtime_us",
                          runtime_value, err);
    if (period)
        return cgroup_write_number(path, "cpu.rt_period_us", period_value, err);
    if (runtime)
        return cgroup_write_number(path, "cpu.rt_runtime_us", runtime_value, err);
    return 0;
}

/* Period, burst and quota are checked against each other and the parent's. */
static int set_bandwidth(const char *path, const struct config_resources *resources,
                         struct error *err)
{
    bool has_quota = resources->cpu.quota.given && resources->cpu.quota.value;
    bool late_period = false, late_burst = false;
    struct error reason;
    if (resources->cpu.has_period && resources->cpu.period &&
        cgroup_write_number(path, "cpu.cfs_period_us", (int64_t)resources->cpu.period, &reason) <
            0) {
        late_period = reason.code == EINVAL && has_quota;
        if (!late_period) {
            if (err)
                *err = reason;
            return -1;
        }
    }
    if (resources->cpu.burst.given &&
        cgroup_write_number(path, "cpu.cfs_burst_us", resources->cpu.burst.value, &reason) < 0) {
        late_burst = reason.code == EINVAL && has_quota;
        /* ENOENT: before Linux 5.14 there is no burst; runc ignores it then, too. */
        if (!late_burst && reason.code != ENOENT) {
            if (err)
                *err = reason;
            return -1;
        }
    }
    if (has_quota &&
        cgroup_write_number(path, "cpu.cfs_quota_us", resources->cpu.quota.value, err) < 0)
        return -1;
    if (late_period &&
        cgroup_write_number(path, "cpu.cfs_period_us", (int64_t)resources->cpu.period, err) < 0)
        return -1;
    if (late_burst &&
        cgroup_write_number(path, "cpu.cfs_burst_us", resources->cpu.burst.value, err) < 0)
        return -1;
    return 0;
}

int cgroup_v1_set_cpu(const char *path, const struct config_resources *resources, struct error *err)
{
    uint64_t shares = resources->cpu.has_shares ? resources->cpu.shares : 0;
    /* The kernel would silently take the nearest bound. */
    if (shares && (shares < 2 || shares > 262144))
        return error_set(err, ERANGE, "linux.resources.cpu.shares: %llu (allowed: 2 to 262144)",
                         (unsigned long long)shares);
    if (shares && cgroup_write_number(path, "cpu.shares", (int64_t)shares, err) < 0)
        return -1;
    if (set_bandwidth(path, resources, err) < 0)
        return -1;
    if (resources->cpu.idle.given &&
        cgroup_write_number(path, "cpu.idle", resources->cpu.idle.value, err) < 0)
        return -1;
    return cgroup_v1_set_realtime(path, resources, err);
}

static int set_memory_limit(const char *path, int64_t limit, struct error *err)
{
    struct error reason;
    if (limit == 0 || cgroup_write_number(path, "memory.limit_in_bytes", limit, &reason) == 0)
        return 0;
    uint64_t usage = 0;
    if (reason.code == EBUSY && cgroup_read_number(path, "memory.usage_in_bytes", &usage) == 0)
        return error_set(err, EBUSY, "can't set the memory limit of %s to %lld (%llu are in use)",
                         path, (long long)limit, (unsigned long long)usage);
    if (reason.code == EINVAL &&
        cgroup_read_number(path, "memory.memsw.limit_in_bytes", &usage) == 0 &&
        (limit < 0 || (uint64_t)limit > usage))
        return error_set(err, EINVAL,
                         "can't set the memory limit of %s to %lld: memory and swap together are "
                         "limited to %llu (give memory.swap, too)",
                         path, (long long)limit, (unsigned long long)usage);
    if (err)
        *err = reason;
    return -1;
}

static int set_memory_and_swap(const char *path, int64_t limit, int64_t swap, struct error *err)
{
    static const char swap_file[] = "memory.memsw.limit_in_bytes";
    /* Unlimited memory within limited memory+swap makes no sense: both, where swap is counted. */
    if (limit == -1 && swap == 0 && cgroup_has_file(path, swap_file))
        swap = -1;
    uint64_t current = 0;
    bool swap_first = false;
    if (limit && swap) {
        /* memory <= memory+swap must hold at every moment: raise the upper one first. */
        if (cgroup_read_number(path, "memory.limit_in_bytes", &current) < 0)
            return error_set(err, errno, "can't read %s/memory.limit_in_bytes", path);
        swap_first = swap == -1 || current < (uint64_t)swap;
    }
    if (swap_first && cgroup_write_number(path, swap_file, swap, err) < 0)
        return -1;
    if (set_memory_limit(path, limit, err) < 0)
        return -1;
    if (swap && !swap_first)
        return cgroup_write_number(path, swap_file, swap, err);
    return 0;
}

int cgroup_v1_set_memory(const char *path, const struct config_resources *resources,
                         struct error *err)
{
    int64_t limit = resources->memory.limit.given ? resources->memory.limit.value : 0;
    int64_t swap = resources->memory.swap.given ? resources->memory.swap.value : 0;
    if (set_memory_and_swap(path, limit, swap, err) < 0)
        return -1;
    int64_t reservation = resources->memory.reservation.value;
    if (resources->memory.reservation.given && reservation &&
        cgroup_write_number(path, "memory.soft_limit_in_bytes", reservation, err) < 0)
        return -1;
    if (resources->memory.has_disable_oom_killer && resources->memory.disable_oom_killer &&
        cgroup_write(path, "memory.oom_control", "1", err) < 0)
        return -1;
    int64_t swappiness = resources->memory.swappiness.value;
    if (!resources->memory.swappiness.given || swappiness == -1)
        return 0;
    if (swappiness < 0 || swappiness > 100)
        return error_set(err, ERANGE, "linux.resources.memory.swappiness: %lld (allowed: 0 to 100)",
                         (long long)swappiness);
    return cgroup_write_number(path, "memory.swappiness", swappiness, err);
}

static int write_device_number(const char *path, const char *file, int64_t major, int64_t minor,
                               uint64_t value, struct error *err)
{
    char text[80];
    snprintf(text, sizeof text, "%lld:%lld %llu", (long long)major, (long long)minor,
             (unsigned long long)value);
    return cgroup_write(path, file, text, err);
}

static int set_weights(const char *path, const struct config_resources *resources,
                       struct error *err)
{
    /* CFQ's file names went with CFQ (Linux 5.0); BFQ has its own. */
    bool bfq = !cgroup_has_file(path, "blkio.weight");
    const char *weight = bfq ? "blkio.bfq.weight" : "blkio.weight";
    const char *weight_device = bfq ? "blkio.bfq.weight_device" : "blkio.weight_device";
    if (resources->block.weight.given && resources->block.weight.value &&
        cgroup_write_number(path, weight, resources->block.weight.value, err) < 0)
        return -1;
    if (resources->block.leaf_weight.given && resources->block.leaf_weight.value &&
        cgroup_write_number(path, "blkio.leaf_weight", resources->block.leaf_weight.value, err) < 0)
        return -1;
    for (size_t i = 0; i < resources->block.weight_device_count; i++) {
        const struct config_block_weight *device = &resources->block.weight_devices[i];
        if (device->weight.given && device->weight.value &&
            write_device_number(path, weight_device, device->major, device->minor,
                                (uint64_t)device->weight.value, err) < 0)
            return -1;
        if (device->leaf_weight.given && device->leaf_weight.value &&
            write_device_number(path, "blkio.leaf_weight_device", device->major, device->minor,
                                (uint64_t)device->leaf_weight.value, err) < 0)
            return -1;
    }
    return 0;
}

int cgroup_v1_set_block(const char *path, const struct config_resources *resources,
                        struct error *err)
{
    static const char *const throttles[CONFIG_THROTTLE_KINDS] = {
        [CONFIG_THROTTLE_READ_BPS] = "blkio.throttle.read_bps_device",
        [CONFIG_THROTTLE_WRITE_BPS] = "blkio.throttle.write_bps_device",
        [CONFIG_THROTTLE_READ_IOPS] = "blkio.throttle.read_iops_device",
        [CONFIG_THROTTLE_WRITE_IOPS] = "blkio.throttle.write_iops_device",
    };
    if ((resources->block.weight.given || resources->block.leaf_weight.given ||
         resources->block.weight_device_count) &&
        set_weights(path, resources, err) < 0)
        return -1;
    for (int kind = 0; kind < CONFIG_THROTTLE_KINDS; kind++)
        for (size_t i = 0; i < resources->block.throttle_count[kind]; i++) {
            const struct config_block_throttle *limit = &resources->block.throttles[kind][i];
            if (write_device_number(path, throttles[kind], limit->major, limit->minor, limit->rate,
                                    err) < 0)
                return -1;
        }
    return 0;
}

int cgroup_v1_set_hugepages(const char *path, const struct config_resources *resources,
                            struct error *err)
{
    for (size_t i = 0; i < resources->hugepage_limit_count; i++) {
        const struct config_hugepage_limit *limit = &resources->hugepage_limits[i];
        char file[96], text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)limit->limit);
        snprintf(file, sizeof file, "hugetlb.%s.limit_in_bytes", limit->page_size);
        if (cgroup_write(path, file, text, err) < 0)
            return -1;
        /* Reserved pages have a limit of their own since Linux 5.7. */
        snprintf(file, sizeof file, "hugetlb.%s.rsvd.limit_in_bytes", limit->page_size);
        struct error reason;
        if (cgroup_write(path, file, text, &reason) < 0 && reason.code != ENOENT) {
            if (err)
                *err = reason;
            return -1;
        }
    }
    return 0;
}

int cgroup_v1_set_class_id(const char *path, const struct config_resources *resources,
                           struct error *err)
{
    return cgroup_write_number(path, "net_cls.classid", resources->network.class_id, err);
}

int cgroup_v1_set_priorities(const char *path, const struct config_resources *resources,
                             struct error *err)
{
    for (size_t i = 0; i < resources->network.priority_count; i++) {
        const struct config_interface_priority *priority = &resources->network.priorities[i];
        scope_free char *text = memory_format("%s %u", priority->name, priority->priority);
        if (cgroup_write(path, "net_prio.ifpriomap", text, err) < 0)
            return -1;
    }
    return 0;
}

int cgroup_set_pids(const char *path, const struct config_resources *resources, struct error *err)
{
    /* runc's and crun's reading: -1 is no limit; 0, which systemd can't say, is 1. */
    int64_t limit = resources->pids_limit.value;
    if (limit < 0)
        return cgroup_write(path, "pids.max", "max", err);
    return cgroup_write_number(path, "pids.max", limit ? limit : 1, err);
}

int cgroup_set_rdma(const char *path, const struct config_resources *resources, struct error *err)
{
    for (size_t i = 0; i < resources->rdma_count; i++) {
        const struct config_rdma_limit *limit = &resources->rdma[i];
        char handles[48] = "", objects[48] = "";
        if (limit->handles.given)
            snprintf(handles, sizeof handles, " hca_handle=%lld", (long long)limit->handles.value);
        if (limit->objects.given)
            snprintf(objects, sizeof objects, " hca_object=%lld", (long long)limit->objects.value);
        scope_free char *text = memory_format("%s%s%s", limit->device, handles, objects);
        if (cgroup_write(path, "rdma.max", text, err) < 0)
            return -1;
    }
    return 0;
}
