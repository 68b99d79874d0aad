/* Control groups: limits and shares. */
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "engine/spec_internal.h"

#define DEFAULT_PERIOD 100000 /* microseconds; the kernel's own */

static void set_if_given(json_t *section, const char *key, int64_t value)
{
    if (value != 0)
        json_object_set_new(section, key, json_integer(value));
}

static void add_memory(const struct spec *spec, json_t *resources)
{
    json_t *memory = json_object();
    int64_t limit = settings_integer(spec->host, "Memory");
    int64_t swap = settings_integer(spec->host, "MemorySwap");
    int64_t swappiness = settings_integer(spec->host, "MemorySwappiness");
    set_if_given(memory, "limit", limit);
    set_if_given(memory, "reservation", settings_integer(spec->host, "MemoryReservation"));
    /* Docker's default: as much swap as memory. */
    if (limit > 0 && swap == 0 && limit <= INT64_MAX / 2)
        swap = 2 * limit;
    set_if_given(memory, "swap", swap);
    if (swappiness >= 0 && json_is_integer(json_object_get(spec->host, "MemorySwappiness")))
        json_object_set_new(memory, "swappiness", json_integer(swappiness));
    if (settings_flag(spec->host, "OomKillDisable"))
        json_object_set_new(memory, "disableOOMKiller", json_true());
    if (json_object_size(memory) > 0)
        json_object_set(resources, "memory", memory);
    json_decref(memory);
}

static void add_processors(const struct spec *spec, json_t *resources)
{
    json_t *cpu = json_object();
    int64_t nano = settings_integer(spec->host, "NanoCpus");
    set_if_given(cpu, "shares", settings_integer(spec->host, "CpuShares"));
    if (nano > 0) {
        json_object_set_new(cpu, "period", json_integer(DEFAULT_PERIOD));
        json_object_set_new(cpu, "quota", json_integer(nano / (1000000000 / DEFAULT_PERIOD)));
    } else {
        set_if_given(cpu, "period", settings_integer(spec->host, "CpuPeriod"));
        set_if_given(cpu, "quota", settings_integer(spec->host, "CpuQuota"));
    }
    set_if_given(cpu, "realtimePeriod", settings_integer(spec->host, "CpuRealtimePeriod"));
    set_if_given(cpu, "realtimeRuntime", settings_integer(spec->host, "CpuRealtimeRuntime"));
    if (settings_given(spec->host, "CpusetCpus"))
        json_object_set_new(cpu, "cpus", json_string(settings_text(spec->host, "CpusetCpus")));
    if (settings_given(spec->host, "CpusetMems"))
        json_object_set_new(cpu, "mems", json_string(settings_text(spec->host, "CpusetMems")));
    if (json_object_size(cpu) > 0)
        json_object_set(resources, "cpu", cpu);
    json_decref(cpu);
}

/* The list of a setting as a list of the specification, each path as its device's numbers. */
static int add_devices(const struct spec *spec, json_t *block, const char *setting,
                       const char *value_key, const char *key)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(spec->host, setting), i, item)
    {
        struct stat status;
        const char *path = settings_text(item, "Path");
        if (stat(path, &status) < 0 || !S_ISBLK(status.st_mode))
            return error_set(spec->err, 0, "HostConfig.%s: %.128s is no block device of this host",
                             setting, path);
        json_array_append_new(spec_list(block, key),
                              json_pack("{s:I, s:I, s:I}", "major",
                                        (json_int_t)major(status.st_rdev), "minor",
                                        (json_int_t)minor(status.st_rdev),
                                        setting[strlen(setting) - 1] == 'e' ? "weight" : "rate",
                                        (json_int_t)settings_integer(item, value_key)));
    }
    return 0;
}

static int add_block(const struct spec *spec, json_t *resources)
{
    static const char *const lists[][3] = {
        {"BlkioWeightDevice", "Weight", "weightDevice"},
        {"BlkioDeviceReadBps", "Rate", "throttleReadBpsDevice"},
        {"BlkioDeviceWriteBps", "Rate", "throttleWriteBpsDevice"},
        {"BlkioDeviceReadIOps", "Rate", "throttleReadIOPSDevice"},
        {"BlkioDeviceWriteIOps", "Rate", "throttleWriteIOPSDevice"},
    };
    json_t *block = json_object();
    int status = 0;
    set_if_given(block, "weight", settings_integer(spec->host, "BlkioWeight"));
    for (size_t i = 0; status == 0 && i < sizeof lists / sizeof *lists; i++)
        status = add_devices(spec, block, lists[i][0], lists[i][1], lists[i][2]);
    if (json_object_size(block) > 0)
        json_object_set(resources, "blockIO", block);
    json_decref(block);
    return status;
}

int spec_add_resources(struct spec *spec)
{
    json_t *resources = spec_map(spec->linux_section, "resources");
    int64_t pids = settings_integer(spec->host, "PidsLimit");
    add_memory(spec, resources);
    add_processors(spec, resources);
    if (pids != 0)
        json_object_set_new(resources, "pids", json_pack("{s:I}", "limit", (json_int_t)pids));
    return add_block(spec, resources);
}

int spec_make_resources(const json_t *settings, json_t **resources, struct error *err)
{
    json_t *section = json_object();
    struct spec spec = {
        .settings = settings,
        .host = json_object_get(settings, "HostConfig"),
        .linux_section = section,
        .err = err,
    };
    int status = spec_add_resources(&spec);
    *resources = status < 0 ? NULL : json_incref(json_object_get(section, "resources"));
    json_decref(section);
    return status;
}
