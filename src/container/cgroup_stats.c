/* Statistics in the shape of `runc events --stats`, which containerd and others parse. What is
 * zero or unknown is left out where runc leaves it out. Times are in nanoseconds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

#define TEXT_LIMIT (1 << 20)
#define TICK_NANOSECONDS 10000000 /* USER_HZ is 100 in the kernel's interface */

/* A number as JSON. jansson's integers are signed: UINT64_MAX (v2's "max") becomes INT64_MAX, which
 * is also about what v1 says where there is no limit. */
static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static void set_unless_zero(json_t *object, const char *key, uint64_t value)
{
    if (value)
        json_object_set_new(object, key, number(value));
}

static char *read_all(const char *directory, const char *file)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    return file_read_all(AT_FDCWD, path, TEXT_LIMIT, NULL, NULL);
}

static uint64_t read_number(const char *directory, const char *file)
{
    uint64_t value;
    return cgroup_read_number(directory, file, &value) < 0 ? 0 : value;
}

/* ---- cpu ---- */

/* The numbers of one line, or of one column (0, 1, …) of a table with a header. */
static json_t *read_numbers(const char *directory, const char *file, int column)
{
    scope_free char *text = read_all(directory, file);
    if (!text)
        return NULL;
    json_t *list = json_array();
    char *rest = text;
    if (column >= 0)
        strsep(&rest, "\n");
    for (char *line; (line = strsep(&rest, column >= 0 ? "\n" : " \n"));) {
        char *save = NULL, *field = strtok_r(line, " ", &save);
        for (int i = 0; field && i < column; i++)
            field = strtok_r(NULL, " ", &save);
        if (field)
            json_array_append_new(list, number(strtoull(field, NULL, 10)));
    }
    return list;
}

static void add_cpu_v1(const struct cgroup *cgroup, json_t *usage, json_t *throttling)
{
    const struct cgroup_hierarchy *account = cgroup_find_v1(cgroup, "cpuacct");
    const struct cgroup_hierarchy *cpu = cgroup_find_v1(cgroup, "cpu");
    uint64_t kernel = 0, user = 0, value = 0;
    if (account) {
        const char *path = account->path;
        set_unless_zero(usage, "total", read_number(path, "cpuacct.usage"));
        json_t *list = read_numbers(path, "cpuacct.usage_percpu", -1);
        if (list)
            json_object_set_new(usage, "percpu", list);
        if ((list = read_numbers(path, "cpuacct.usage_all", 2)))
            json_object_set_new(usage, "percpu_kernel", list);
        if ((list = read_numbers(path, "cpuacct.usage_all", 1)))
            json_object_set_new(usage, "percpu_user", list);
        cgroup_read_key(path, "cpuacct.stat", "user", &user);
        cgroup_read_key(path, "cpuacct.stat", "system", &kernel);
    }
    json_object_set_new(usage, "kernel", number(kernel * TICK_NANOSECONDS));
    json_object_set_new(usage, "user", number(user * TICK_NANOSECONDS));
    static const char *const keys[][2] = {{"nr_periods", "periods"},
                                          {"nr_throttled", "throttledPeriods"},
                                          {"throttled_time", "throttledTime"}};
    for (size_t i = 0; cpu && i < 3; i++)
        if (cgroup_read_key(cpu->path, "cpu.stat", keys[i][0], &value) == 0)
            set_unless_zero(throttling, keys[i][1], value);
}

static void add_cpu_v2(const char *path, json_t *usage, json_t *throttling)
{
    uint64_t value = 0, kernel = 0, user = 0;
    if (cgroup_read_key(path, "cpu.stat", "usage_usec", &value) == 0)
        set_unless_zero(usage, "total", value * 1000);
    cgroup_read_key(path, "cpu.stat", "system_usec", &kernel);
    cgroup_read_key(path, "cpu.stat", "user_usec", &user);
    json_object_set_new(usage, "kernel", number(kernel * 1000));
    json_object_set_new(usage, "user", number(user * 1000));
    if (cgroup_read_key(path, "cpu.stat", "nr_periods", &value) == 0)
        set_unless_zero(throttling, "periods", value);
    if (cgroup_read_key(path, "cpu.stat", "nr_throttled", &value) == 0)
        set_unless_zero(throttling, "throttledPeriods", value);
    if (cgroup_read_key(path, "cpu.stat", "throttled_usec", &value) == 0)
        set_unless_zero(throttling, "throttledTime", value * 1000);
}

/* Pressure stall information: lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0". */
static void add_pressure(json_t *object, const char *directory, const char *file)
{
    scope_free char *text = read_all(directory, file);
    if (!text)
        return;
    json_t *pressure = json_object();
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char kind[8];
        double average[3];
        unsigned long long total;
        if (sscanf(line, "%7s avg10=%lf avg60=%lf avg300=%lf total=%llu", kind, &average[0],
                   &average[1], &average[2], &total) == 5)
            json_object_set_new(pressure, kind,
                                json_pack("{s:f, s:f, s:f, s:o}", "avg10", average[0], "avg60",
                                          average[1], "avg300", average[2], "total",
                                          number(total)));
    }
    json_object_set_new(object, "psi", pressure);
}

static json_t *cpu_stats(const struct cgroup *cgroup, const struct cgroup_hierarchy *v2)
{
    json_t *usage = json_object(), *throttling = json_object();
    if (cgroup->mode == CGROUP_MODE_V2)
        add_cpu_v2(v2->path, usage, throttling);
    else
        add_cpu_v1(cgroup, usage, throttling);
    json_t *cpu = json_pack("{s:o, s:o}", "usage", usage, "throttling", throttling);
    if (cgroup->mode == CGROUP_MODE_V2)
        add_pressure(cpu, v2->path, "cpu.pressure");
    return cpu;
}

/* "0-2,7" as [0, 1, 2, 7]. */
static json_t *expand_list(const char *text)
{
    json_t *list = json_array();
    for (const char *at = text; *at;) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = first;
        if (end == at)
            break;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long i = first; i <= last && i < 65536; i++)
            json_array_append_new(list, json_integer((json_int_t)i));
        at = end + (*end == ',');
    }
    return list;
}

static json_t *cpuset_stats(const struct cgroup *cgroup)
{
    static const char *const flags[] = {
        "cpu_exclusive",      "mem_hardwall",       "mem_exclusive",   "memory_migrate",
        "memory_spread_page", "memory_spread_slab", "memory_pressure", "sched_load_balance"};
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "cpuset");
    json_t *cpuset = json_object();
    char text[4096], file[64];
    if (v1 && cgroup_read(v1->path, "cpuset.cpus", text, sizeof text) > 0)
        json_object_set_new(cpuset, "cpus", expand_list(text));
    if (v1 && cgroup_read(v1->path, "cpuset.mems", text, sizeof text) > 0)
        json_object_set_new(cpuset, "mems", expand_list(text));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        snprintf(file, sizeof file, "cpuset.%s", flags[i]);
        json_object_set_new(cpuset, flags[i], number(v1 ? read_number(v1->path, file) : 0));
    }
    long long level = 0;
    if (v1 && cgroup_read(v1->path, "cpuset.sched_relax_domain_level", text, sizeof text) > 0)
        level = strtoll(text, NULL, 10);
    json_object_set_new(cpuset, "sched_relax_domain_level", json_integer(level));
    return cpuset;
}

/* ---- memory ---- */

static json_t *memory_entry(uint64_t limit, uint64_t usage, uint64_t maximum, uint64_t failures)
{
    json_t *entry = json_pack("{s:o}", "limit", number(limit));
    set_unless_zero(entry, "usage", usage);
    set_unless_zero(entry, "max", maximum);
    json_object_set_new(entry, "failcnt", number(failures));
    return entry;
}

/* The four numbers of v1's memory, memory.memsw, memory.kmem … */
static json_t *memory_entry_v1(const char *path, const char *module)
{
    static const char *const files[] = {"limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes",
                                        "failcnt"};
    uint64_t values[4];
    char file[64];
    for (int i = 0; i < 4; i++) {
        snprintf(file, sizeof file, "%s.%s", module, files[i]);
        values[i] = read_number(path, file);
    }
    return memory_entry(values[0], values[1], values[2], values[3]);
}

static json_t *raw_memory(const char *path)
{
    json_t *raw = json_object();
    scope_free char *text = read_all(path, "memory.stat");
    char *rest = text;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        char *space = strchr(line, ' ');
        if (!space)
            continue;
        *space = '\0';
        json_object_set_new(raw, line, number(strtoull(space + 1, NULL, 10)));
    }
    return raw;
}

static void add_memory_v2(json_t *memory, const char *path)
{
    uint64_t limit = read_number(path, "memory.max"), usage = read_number(path, "memory.current");
    uint64_t swap_limit = read_number(path, "memory.swap.max"), both;
    json_object_set_new(memory, "usage",
                        memory_entry(limit, usage, read_number(path, "memory.peak"), 0));
    /* As v1 says it: memory and swap together. */
    if (__builtin_add_overflow(limit, swap_limit, &both))
        both = UINT64_MAX;
    json_object_set_new(memory, "swap",
                        memory_entry(both, usage + read_number(path, "memory.swap.current"), 0, 0));
    json_object_set_new(memory, "kernel", memory_entry(0, 0, 0, 0));
    json_object_set_new(memory, "kernelTCP", memory_entry(0, 0, 0, 0));
    add_pressure(memory, path, "memory.pressure");
}

static json_t *memory_stats(const struct cgroup *cgroup, const struct cgroup_hierarchy *v2)
{
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "memory");
    json_t *memory = json_object();
    const char *path = v1 ? v1->path : v2 ? v2->path : NULL;
    if (!path || !cgroup_has_file(path, "memory.stat"))
        return memory;
    json_t *raw = raw_memory(path);
    json_t *cache = json_object_get(raw, v1 ? "cache" : "file");
    set_unless_zero(memory, "cache", (uint64_t)json_integer_value(cache));
    if (v1) {
        json_object_set_new(memory, "usage", memory_entry_v1(path, "memory"));
        json_object_set_new(memory, "swap", memory_entry_v1(path, "memory.memsw"));
        json_object_set_new(memory, "kernel", memory_entry_v1(path, "memory.kmem"));
        json_object_set_new(memory, "kernelTCP", memory_entry_v1(path, "memory.kmem.tcp"));
    } else {
        add_memory_v2(memory, path);
    }
    json_object_set_new(memory, "raw", raw);
    return memory;
}

static json_t *pids_stats(const struct cgroup *cgroup, const struct cgroup_hierarchy *v2)
{
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "pids");
    json_t *pids = json_object();
    const char *path = v1 ? v1->path : v2 ? v2->path : NULL;
    uint64_t current = 0, limit = 0;
    if (path && cgroup_read_number(path, "pids.current", &current) == 0) {
        limit = read_number(path, "pids.max");
    } else if (v2) {
        scope_free char *procs = read_all(v2->path, "cgroup.procs");
        for (const char *at = procs; at && *at; at++)
            current += *at == '\n';
    }
    set_unless_zero(pids, "current", current);
    set_unless_zero(pids, "limit", limit == UINT64_MAX ? 0 : limit); /* max is 0 for runc */
    return pids;
}

/* ---- block input and output ---- */

static void add_block_entry(json_t *list, unsigned long long major, unsigned long long minor,
                            const char *operation, uint64_t value)
{
    json_t *entry = json_object();
    set_unless_zero(entry, "major", major);
    set_unless_zero(entry, "minor", minor);
    if (*operation)
        json_object_set_new(entry, "op", json_string(operation));
    set_unless_zero(entry, "value", value);
    json_array_append_new(list, entry);
}

/* Lines "8:0 Read 1234" or "8:0 1234"; the line "Total 1234" is none of them. */
static bool add_block_table(json_t *block, const char *key, const char *path, const char *file)
{
    scope_free char *text = read_all(path, file);
    if (!text || !*text)
        return false;
    json_t *list = json_array();
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        unsigned long long major, minor, value;
        char operation[16] = "";
        if (sscanf(line, "%llu:%llu %15[A-Za-z] %llu", &major, &minor, operation, &value) == 4 ||
            sscanf(line, "%llu:%llu %llu", &major, &minor, &value) == 3)
            add_block_entry(list, major, minor, operation, value);
    }
    bool any = json_array_size(list) > 0;
    if (any)
        json_object_set(block, key, list);
    json_decref(list);
    return any;
}

static void add_block_v1(json_t *block, const char *path)
{
    static const char *const tables[][2] = {
        {"ioServiceBytesRecursive", "io_service_bytes_recursive"},
        {"ioServicedRecursive", "io_serviced_recursive"},
        {"ioQueueRecursive", "io_queued_recursive"},
        {"ioServiceTimeRecursive", "io_service_time_recursive"},
        {"ioWaitTimeRecursive", "io_wait_time_recursive"},
        {"ioMergedRecursive", "io_merged_recursive"},
        {"ioTimeRecursive", "time_recursive"},
        {"sectorsRecursive", "sectors_recursive"},
    };
    /* The scheduler in use counts most exactly: BFQ, CFQ, and else the throttling layer. */
    static const char *const prefixes[] = {"blkio.bfq.", "blkio.", "blkio.throttle."};
    for (size_t p = 0; p < 3; p++) {
        bool any = false;
        char file[64];
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
            snprintf(file, sizeof file, "%s%s", prefixes[p], tables[i][1]);
            any |= add_block_table(block, tables[i][0], path, file);
        }
        if (any)
            return;
    }
    add_block_table(block, "ioServiceBytesRecursive", path, "blkio.throttle.io_service_bytes");
    add_block_table(block, "ioServicedRecursive", path, "blkio.throttle.io_serviced");
}

/* Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6", told in v1's tables. */
static void add_block_v2(json_t *block, const char *path)
{
    static const char *const kinds[][3] = {{"rbytes", "Read", "bytes"},
                                           {"wbytes", "Write", "bytes"},
                                           {"rios", "Read", "count"},
                                           {"wios", "Write", "count"}};
    json_t *bytes = json_array(), *counts = json_array();
    scope_free char *text = read_all(path, "io.stat");
    char *rest = text;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        unsigned long long major, minor;
        int used = 0;
        if (sscanf(line, "%llu:%llu%n", &major, &minor, &used) != 2)
            continue;
        char *save = NULL;
        for (char *item = strtok_r(line + used, " ", &save); item;
             item = strtok_r(NULL, " ", &save)) {
            char *equals = strchr(item, '=');
            if (!equals)
                continue;
            *equals = '\0';
            for (size_t i = 0; i < 4; i++)
                if (strcmp(item, kinds[i][0]) == 0)
                    add_block_entry(kinds[i][2][0] == 'b' ? bytes : counts, major, minor,
                                    kinds[i][1], strtoull(equals + 1, NULL, 10));
        }
    }
    if (json_array_size(bytes))
        json_object_set(block, "ioServiceBytesRecursive", bytes);
    if (json_array_size(counts))
        json_object_set(block, "ioServicedRecursive", counts);
    json_decref(bytes);
    json_decref(counts);
    add_pressure(block, path, "io.pressure");
}

/* ---- huge pages, rdma ---- */

static json_t *hugepage_entry(const char *path, bool v2, const char *size)
{
    char file[96];
    const char *reserved = ".rsvd";
    uint64_t usage = 0, failures = 0, maximum = 0;
    snprintf(file, sizeof file, "hugetlb.%s.rsvd.%s", size, v2 ? "current" : "usage_in_bytes");
    if (!cgroup_has_file(path, file))
        reserved = "";
    snprintf(file, sizeof file, "hugetlb.%s%s.%s", size, reserved,
             v2 ? "current" : "usage_in_bytes");
    if (cgroup_read_number(path, file, &usage) < 0)
        return NULL;
    if (v2) {
        snprintf(file, sizeof file, "hugetlb.%s.events", size);
        cgroup_read_key(path, file, "max", &failures);
    } else {
        snprintf(file, sizeof file, "hugetlb.%s%s.max_usage_in_bytes", size, reserved);
        maximum = read_number(path, file);
        snprintf(file, sizeof file, "hugetlb.%s%s.failcnt", size, reserved);
        failures = read_number(path, file);
    }
    json_t *entry = json_object();
    set_unless_zero(entry, "usage", usage);
    set_unless_zero(entry, "max", maximum);
    json_object_set_new(entry, "failcnt", number(failures));
    return entry;
}

/* The page sizes are what the kernel has: "hugepages-2048kB", in the controller's files "2MB". */
static json_t *hugepage_stats(const struct cgroup *cgroup, const struct cgroup_hierarchy *v2)
{
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "hugetlb");
    json_t *all = json_object();
    const char *path = v1 ? v1->path : v2 ? v2->path : NULL;
    scope_closedir DIR *sizes = path ? opendir("/sys/kernel/mm/hugepages") : NULL;
    for (struct dirent *entry; sizes && (entry = readdir(sizes));) {
        unsigned long kibibytes;
        char size[24];
        if (sscanf(entry->d_name, "hugepages-%lukB", &kibibytes) != 1)
            continue;
        if (kibibytes >= 1UL << 20)
            snprintf(size, sizeof size, "%luGB", kibibytes >> 20);
        else if (kibibytes >= 1UL << 10)
            snprintf(size, sizeof size, "%luMB", kibibytes >> 10);
        else
            snprintf(size, sizeof size, "%luKB", kibibytes);
        json_t *one = hugepage_entry(path, !v1, size);
        if (one)
            json_object_set_new(all, size, one);
    }
    return all;
}

/* Lines "mlx5_0 hca_handle=2 hca_object=max". */
static json_t *rdma_table(const char *path, const char *file)
{
    scope_free char *text = read_all(path, file);
    json_t *list = json_array();
    char *rest = text;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        char device[64], handles[24], objects[24];
        if (sscanf(line, "%63s hca_handle=%23s hca_object=%23s", device, handles, objects) != 3)
            continue;
        json_t *entry = json_pack("{s:s}", "device", device);
        set_unless_zero(entry, "hcaHandles",
                        handles[0] == 'm' ? UINT32_MAX : strtoull(handles, NULL, 10));
        set_unless_zero(entry, "hcaObjects",
                        objects[0] == 'm' ? UINT32_MAX : strtoull(objects, NULL, 10));
        json_array_append_new(list, entry);
    }
    return list;
}

json_t *cgroup_stats(const struct cgroup *cgroup, struct error *err)
{
    if (cgroup->count == 0) {
        error_set(err, 0, "the container has no cgroup to count in");
        return NULL;
    }
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    const struct cgroup_hierarchy *block_v1 = cgroup_find_v1(cgroup, "blkio");
    const struct cgroup_hierarchy *rdma_v1 = cgroup_find_v1(cgroup, "rdma");
    const char *rdma = rdma_v1 ? rdma_v1->path : v2 ? v2->path : NULL;
    json_t *block = json_object();
    if (block_v1)
        add_block_v1(block, block_v1->path);
    else if (v2)
        add_block_v2(block, v2->path);
    json_t *stats = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:{}, s:n}", "cpu", cpu_stats(cgroup, v2), "cpuset",
        cpuset_stats(cgroup), "memory", memory_stats(cgroup, v2), "pids", pids_stats(cgroup, v2),
        "blkio", block, "hugetlb", hugepage_stats(cgroup, v2), "intel_rdt", "network_interfaces");
    if (rdma && cgroup_has_file(rdma, "rdma.current"))
        json_object_set_new(stats, "rdma",
                            json_pack("{s:o, s:o}", "current", rdma_table(rdma, "rdma.current"),
                                      "limit", rdma_table(rdma, "rdma.max")));
    return stats;
}
