/* Which members settings have, and of what type. What Docker's API knows and only other systems
 * use is accepted where its value means nothing. */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "engine/settings_internal.h"

enum type {
    TYPE_TEXT,
    TYPE_BOOLEAN,
    TYPE_INTEGER,
    TYPE_TEXTS,        /* an array of texts */
    TYPE_TEXT_LISTS,   /* an array of arrays of texts */
    TYPE_PAIRS,        /* an object of texts */
    TYPE_SET,          /* an object of empty objects */
    TYPE_OBJECT,       /* with members */
    TYPE_OBJECTS,      /* an array of those */
    TYPE_MAP,          /* an object of those */
    TYPE_MAP_OF_LISTS, /* an object of arrays of those */
    TYPE_NUMBERS,      /* an array of numbers; only console sizes */
    TYPE_NOTHING,      /* accepted if it says nothing: null, empty, 0 or false */
};

struct member {
    const char *name;
    enum type type;
    int64_t minimum, maximum;     /* of an integer; both 0: any */
    const struct member *members; /* of objects; ends with a NULL name */
};

/* clang-format off: a line a member is easier to read */
#define NATURAL 0, INT64_MAX
#define ANY_INTEGER 0, 0

static const struct member rates[] = {
    {.name = "Path", .type = TYPE_TEXT},
    {"Rate", TYPE_INTEGER, NATURAL, NULL},
    {0},
};

static const struct member weights[] = {
    {.name = "Path", .type = TYPE_TEXT},
    {"Weight", TYPE_INTEGER, 0, 1000, NULL},
    {0},
};

static const struct member devices[] = {
    {.name = "PathOnHost", .type = TYPE_TEXT},
    {.name = "PathInContainer", .type = TYPE_TEXT},
    {.name = "CgroupPermissions", .type = TYPE_TEXT},
    {0},
};

static const struct member device_requests[] = {
    {.name = "Driver", .type = TYPE_TEXT},     {"Count", TYPE_INTEGER, -1, INT32_MAX, NULL},
    {.name = "DeviceIDs", .type = TYPE_TEXTS}, {.name = "Capabilities", .type = TYPE_TEXT_LISTS},
    {.name = "Options", .type = TYPE_PAIRS},   {0},
};

static const struct member log_config[] = {
    {.name = "Type", .type = TYPE_TEXT},
    {.name = "Config", .type = TYPE_PAIRS},
    {0},
};

static const struct member port_bindings[] = {
    {.name = "HostIp", .type = TYPE_TEXT},
    {.name = "HostPort", .type = TYPE_TEXT},
    {0},
};

static const struct member restart_policy[] = {
    {.name = "Name", .type = TYPE_TEXT},
    {"MaximumRetryCount", TYPE_INTEGER, 0, INT32_MAX, NULL},
    {0},
};

static const struct member limits[] = {
    {.name = "Name", .type = TYPE_TEXT},
    {"Soft", TYPE_INTEGER, -1, INT64_MAX, NULL},
    {"Hard", TYPE_INTEGER, -1, INT64_MAX, NULL},
    {0},
};

static const struct member bind_options[] = {
    {.name = "Propagation", .type = TYPE_TEXT},
    {.name = "NonRecursive", .type = TYPE_BOOLEAN},
    {.name = "CreateMountpoint", .type = TYPE_BOOLEAN},
    {.name = "ReadOnlyNonRecursive", .type = TYPE_BOOLEAN},
    {.name = "ReadOnlyForceRecursive", .type = TYPE_BOOLEAN},
    {0},
};

static const struct member volume_driver[] = {
    {.name = "Name", .type = TYPE_TEXT},
    {.name = "Options", .type = TYPE_PAIRS},
    {0},
};

static const struct member volume_options[] = {
    {.name = "NoCopy", .type = TYPE_BOOLEAN},
    {.name = "Labels", .type = TYPE_PAIRS},
    {.name = "DriverConfig", .type = TYPE_OBJECT, .members = volume_driver},
    {.name = "Subpath", .type = TYPE_TEXT},
    {0},
};

static const struct member tmpfs_options[] = {
    {"SizeBytes", TYPE_INTEGER, NATURAL, NULL},
    {"Mode", TYPE_INTEGER, 0, 07777, NULL},
    {.name = "Options", .type = TYPE_TEXT_LISTS},
    {0},
};

static const struct member mounts[] = {
    {.name = "Type", .type = TYPE_TEXT},
    {.name = "Source", .type = TYPE_TEXT},
    {.name = "Target", .type = TYPE_TEXT},
    {.name = "ReadOnly", .type = TYPE_BOOLEAN},
    {.name = "Consistency", .type = TYPE_TEXT},
    {.name = "BindOptions", .type = TYPE_OBJECT, .members = bind_options},
    {.name = "VolumeOptions", .type = TYPE_OBJECT, .members = volume_options},
    {.name = "TmpfsOptions", .type = TYPE_OBJECT, .members = tmpfs_options},
    {.name = "ImageOptions", .type = TYPE_NOTHING},
    {.name = "ClusterOptions", .type = TYPE_NOTHING},
    {0},
};

static const struct member host_config[] = {
    {.name = "Annotations", .type = TYPE_PAIRS},
    {.name = "AutoRemove", .type = TYPE_BOOLEAN},
    {.name = "Binds", .type = TYPE_TEXTS},
    {.name = "BlkioDeviceReadBps", .type = TYPE_OBJECTS, .members = rates},
    {.name = "BlkioDeviceReadIOps", .type = TYPE_OBJECTS, .members = rates},
    {.name = "BlkioDeviceWriteBps", .type = TYPE_OBJECTS, .members = rates},
    {.name = "BlkioDeviceWriteIOps", .type = TYPE_OBJECTS, .members = rates},
    {"BlkioWeight", TYPE_INTEGER, 0, 1000, NULL},
    {.name = "BlkioWeightDevice", .type = TYPE_OBJECTS, .members = weights},
    {.name = "CapAdd", .type = TYPE_TEXTS},
    {.name = "CapDrop", .type = TYPE_TEXTS},
    {.name = "Capabilities", .type = TYPE_NOTHING},
    {.name = "Cgroup", .type = TYPE_NOTHING},
    {.name = "CgroupParent", .type = TYPE_TEXT},
    {.name = "CgroupnsMode", .type = TYPE_TEXT},
    {.name = "ConsoleSize", .type = TYPE_NUMBERS},
    {.name = "ContainerIDFile", .type = TYPE_TEXT},
    {.name = "CpuCount", .type = TYPE_NOTHING},
    {.name = "CpuPercent", .type = TYPE_NOTHING},
    {"CpuPeriod", TYPE_INTEGER, NATURAL, NULL},
    {"CpuQuota", TYPE_INTEGER, -1, INT64_MAX, NULL},
    {"CpuRealtimePeriod", TYPE_INTEGER, NATURAL, NULL},
    {"CpuRealtimeRuntime", TYPE_INTEGER, NATURAL, NULL},
    {"CpuShares", TYPE_INTEGER, NATURAL, NULL},
    {.name = "CpusetCpus", .type = TYPE_TEXT},
    {.name = "CpusetMems", .type = TYPE_TEXT},
    {.name = "DeviceCgroupRules", .type = TYPE_TEXTS},
    {.name = "DeviceRequests", .type = TYPE_OBJECTS, .members = device_requests},
    {.name = "Devices", .type = TYPE_OBJECTS, .members = devices},
    {.name = "Dns", .type = TYPE_TEXTS},
    {.name = "DnsOptions", .type = TYPE_TEXTS},
    {.name = "DnsSearch", .type = TYPE_TEXTS},
    {.name = "ExtraHosts", .type = TYPE_TEXTS},
    {.name = "GroupAdd", .type = TYPE_TEXTS},
    {.name = "IOMaximumBandwidth", .type = TYPE_NOTHING},
    {.name = "IOMaximumIOps", .type = TYPE_NOTHING},
    {.name = "Init", .type = TYPE_BOOLEAN},
    {.name = "IpcMode", .type = TYPE_TEXT},
    {.name = "Isolation", .type = TYPE_TEXT},
    {.name = "Engine", .type = TYPE_TEXT}, /* hull's own, of a virtual machine: its processors' */
    {.name = "Kernel", .type = TYPE_TEXT}, /* the same: its kernel */
    {.name = "KernelMemory", .type = TYPE_NOTHING},
    {.name = "KernelMemoryTCP", .type = TYPE_NOTHING},
    {.name = "Links", .type = TYPE_TEXTS},
    {.name = "LogConfig", .type = TYPE_OBJECT, .members = log_config},
    {.name = "MaskedPaths", .type = TYPE_TEXTS},
    {"Memory", TYPE_INTEGER, NATURAL, NULL},
    {"MemoryReservation", TYPE_INTEGER, NATURAL, NULL},
    {"MemorySwap", TYPE_INTEGER, -1, INT64_MAX, NULL},
    {"MemorySwappiness", TYPE_INTEGER, -1, 100, NULL},
    {.name = "Mounts", .type = TYPE_OBJECTS, .members = mounts},
    {"NanoCpus", TYPE_INTEGER, NATURAL, NULL},
    {.name = "NetworkMode", .type = TYPE_TEXT},
    {.name = "OomKillDisable", .type = TYPE_BOOLEAN},
    {"OomScoreAdj", TYPE_INTEGER, -1000, 1000, NULL},
    {.name = "PidMode", .type = TYPE_TEXT},
    {"PidsLimit", TYPE_INTEGER, -1, INT64_MAX, NULL},
    {.name = "PortBindings", .type = TYPE_MAP_OF_LISTS, .members = port_bindings},
    {.name = "Privileged", .type = TYPE_BOOLEAN},
    {.name = "PublishAllPorts", .type = TYPE_BOOLEAN},
    {.name = "ReadonlyPaths", .type = TYPE_TEXTS},
    {.name = "ReadonlyRootfs", .type = TYPE_BOOLEAN},
    {.name = "RestartPolicy", .type = TYPE_OBJECT, .members = restart_policy},
    {.name = "Runtime", .type = TYPE_TEXT},
    {.name = "SecurityOpt", .type = TYPE_TEXTS},
    {"ShmSize", TYPE_INTEGER, NATURAL, NULL},
    {.name = "StorageOpt", .type = TYPE_PAIRS},
    {.name = "Sysctls", .type = TYPE_PAIRS},
    {.name = "Tmpfs", .type = TYPE_PAIRS},
    {.name = "UTSMode", .type = TYPE_TEXT},
    {.name = "Ulimits", .type = TYPE_OBJECTS, .members = limits},
    {.name = "UsernsMode", .type = TYPE_TEXT},
    {.name = "VolumeDriver", .type = TYPE_TEXT},
    {.name = "VolumesFrom", .type = TYPE_TEXTS},
    {0},
};

static const struct member health[] = {
    {.name = "Test", .type = TYPE_TEXTS},
    {"Interval", TYPE_INTEGER, NATURAL, NULL},
    {"Timeout", TYPE_INTEGER, NATURAL, NULL},
    {"StartPeriod", TYPE_INTEGER, NATURAL, NULL},
    {"StartInterval", TYPE_INTEGER, NATURAL, NULL},
    {"Retries", TYPE_INTEGER, 0, INT32_MAX, NULL},
    {0},
};

static const struct member addresses[] = {
    {.name = "IPv4Address", .type = TYPE_TEXT},
    {.name = "IPv6Address", .type = TYPE_TEXT},
    {.name = "LinkLocalIPs", .type = TYPE_TEXTS},
    {0},
};

/* An endpoint of a running container has more, which its creator can't set. */
static const struct member endpoint[] = {
    {.name = "Aliases", .type = TYPE_TEXTS},
    {.name = "DNSNames", .type = TYPE_NOTHING},
    {.name = "DriverOpts", .type = TYPE_PAIRS},
    {.name = "EndpointID", .type = TYPE_NOTHING},
    {.name = "Gateway", .type = TYPE_NOTHING},
    {.name = "GlobalIPv6Address", .type = TYPE_NOTHING},
    {.name = "GlobalIPv6PrefixLen", .type = TYPE_NOTHING},
    {"GwPriority", TYPE_INTEGER, INT32_MIN, INT32_MAX, NULL},
    {.name = "IPAMConfig", .type = TYPE_OBJECT, .members = addresses},
    {.name = "IPAddress", .type = TYPE_NOTHING},
    {.name = "IPPrefixLen", .type = TYPE_NOTHING},
    {.name = "IPv6Gateway", .type = TYPE_NOTHING},
    {.name = "Links", .type = TYPE_TEXTS},
    {.name = "MacAddress", .type = TYPE_TEXT},
    {.name = "NetworkID", .type = TYPE_TEXT},
    {0},
};

static const struct member networking[] = {
    {.name = "EndpointsConfig", .type = TYPE_MAP, .members = endpoint},
    {0},
};

static const struct member settings_members[] = {
    {.name = "ArgsEscaped", .type = TYPE_BOOLEAN},
    {.name = "AttachStderr", .type = TYPE_BOOLEAN},
    {.name = "AttachStdin", .type = TYPE_BOOLEAN},
    {.name = "AttachStdout", .type = TYPE_BOOLEAN},
    {.name = "Cmd", .type = TYPE_TEXTS},
    {.name = "Domainname", .type = TYPE_TEXT},
    {.name = "Entrypoint", .type = TYPE_TEXTS},
    {.name = "Env", .type = TYPE_TEXTS},
    {.name = "ExposedPorts", .type = TYPE_SET},
    {.name = "Healthcheck", .type = TYPE_OBJECT, .members = health},
    {.name = "HostConfig", .type = TYPE_OBJECT, .members = host_config},
    {.name = "Hostname", .type = TYPE_TEXT},
    {.name = "Image", .type = TYPE_TEXT},
    {.name = "Labels", .type = TYPE_PAIRS},
    {.name = "MacAddress", .type = TYPE_TEXT},
    {.name = "NetworkDisabled", .type = TYPE_BOOLEAN},
    {.name = "NetworkingConfig", .type = TYPE_OBJECT, .members = networking},
    {.name = "OnBuild", .type = TYPE_TEXTS},
    {.name = "OpenStdin", .type = TYPE_BOOLEAN},
    {.name = "Shell", .type = TYPE_TEXTS},
    {.name = "StdinOnce", .type = TYPE_BOOLEAN},
    {.name = "StopSignal", .type = TYPE_TEXT},
    {"StopTimeout", TYPE_INTEGER, -1, INT32_MAX, NULL},
    {.name = "Tty", .type = TYPE_BOOLEAN},
    {.name = "User", .type = TYPE_TEXT},
    {.name = "Volumes", .type = TYPE_SET},
    {.name = "WorkingDir", .type = TYPE_TEXT},
    {.name = "name", .type = TYPE_TEXT},
    {.name = "platform", .type = TYPE_TEXT},
    {0},
};
/* clang-format on */

/* A value and how it was reached; put into words only when something is wrong. */
struct place {
    const struct place *outer;
    const char *key; /* NULL: the element at index */
    size_t index;
};

static void print_place(const struct place *place, FILE *out)
{
    if (place->outer)
        print_place(place->outer, out);
    if (place->key)
        fprintf(out, "%s%.64s", place->outer ? "." : "", place->key);
    else
        fprintf(out, "[%zu]", place->index);
}

static int fail(const struct place *place, const char *reason, struct error *err)
{
    char text[512] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    if (out) {
        print_place(place, out);
        fclose(out);
    }
    return error_set(err, 0, "%s: %s", text, reason);
}

static int check_members(const struct place *outer, const json_t *object,
                         const struct member *members, struct error *err);

static int check_text(const struct place *place, const json_t *value, struct error *err)
{
    if (!json_is_string(value))
        return fail(place, "expected a text", err);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return fail(place, "a NUL character has no place here", err);
    return 0;
}

static int check_texts(const struct place *outer, const json_t *value, bool of_lists,
                       struct error *err)
{
    if (!json_is_array(value))
        return fail(outer, "expected a list", err);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct place place = {outer, NULL, i};
        const json_t *item = json_array_get(value, i);
        if ((of_lists ? check_texts(&place, item, false, err) : check_text(&place, item, err)) < 0)
            return -1;
    }
    return 0;
}

static int check_numbers(const struct place *outer, const json_t *value, struct error *err)
{
    if (!json_is_array(value))
        return fail(outer, "expected a list", err);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct place place = {outer, NULL, i};
        const json_t *item = json_array_get(value, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0 ||
            json_integer_value(item) > UINT16_MAX)
            return fail(&place, "expected a number from 0 to 65535", err);
    }
    return 0;
}

static int check_integer(const struct place *place, const json_t *value,
                         const struct member *member, struct error *err)
{
    char reason[128];
    if (!json_is_integer(value))
        return fail(place, "expected a whole number", err);
    json_int_t number = json_integer_value(value);
    if (member->minimum == member->maximum ||
        (number >= member->minimum && number <= member->maximum))
        return 0;
    if (member->maximum == INT64_MAX)
        snprintf(reason, sizeof reason, "%lld is less than %lld", (long long)number,
                 (long long)member->minimum);
    else
        snprintf(reason, sizeof reason, "%lld is not from %lld to %lld", (long long)number,
                 (long long)member->minimum, (long long)member->maximum);
    return fail(place, reason, err);
}

static int check_list(const struct place *outer, const json_t *value, const struct member *members,
                      struct error *err)
{
    if (!json_is_array(value))
        return fail(outer, "expected a list", err);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct place place = {outer, NULL, i};
        if (check_members(&place, json_array_get(value, i), members, err) < 0)
            return -1;
    }
    return 0;
}

/* An object whose keys are anybody's. */
static int check_map(const struct place *outer, const json_t *value, const struct member *member,
                     struct error *err)
{
    static const struct member nothing[] = {{0}};
    const char *key;
    json_t *item;
    if (!json_is_object(value))
        return fail(outer, "expected an object", err);
    json_object_foreach((json_t *)value, key, item)
    {
        struct place place = {outer, key, 0};
        int status;
        if (member->type == TYPE_PAIRS)
            status = check_text(&place, item, err);
        else if (json_is_null(item))
            status = 0;
        else if (member->type == TYPE_MAP_OF_LISTS)
            status = check_list(&place, item, member->members, err);
        else
            status = check_members(&place, item, member->members ? member->members : nothing, err);
        if (status < 0)
            return -1;
    }
    return 0;
}

static bool says_nothing(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return json_object_size(value) == 0;
    case JSON_ARRAY:
        return json_array_size(value) == 0;
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0;
    case JSON_FALSE:
        return true;
    default:
        return false;
    }
}

static int check_value(const struct place *place, const json_t *value, const struct member *member,
                       struct error *err)
{
    switch (member->type) {
    case TYPE_TEXT:
        return check_text(place, value, err);
    case TYPE_BOOLEAN:
        return json_is_boolean(value) ? 0 : fail(place, "expected true or false", err);
    case TYPE_INTEGER:
        return check_integer(place, value, member, err);
    case TYPE_TEXTS:
        return check_texts(place, value, false, err);
    case TYPE_TEXT_LISTS:
        return check_texts(place, value, true, err);
    case TYPE_OBJECT:
        return check_members(place, value, member->members, err);
    case TYPE_OBJECTS:
        return check_list(place, value, member->members, err);
    case TYPE_PAIRS:
    case TYPE_SET:
    case TYPE_MAP:
    case TYPE_MAP_OF_LISTS:
        return check_map(place, value, member, err);
    case TYPE_NUMBERS:
        return check_numbers(place, value, err);
    case TYPE_NOTHING:
        return says_nothing(value) ? 0 : fail(place, "hull doesn't have this", err);
    }
    return 0;
}

static int check_members(const struct place *outer, const json_t *object,
                         const struct member *members, struct error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return outer ? fail(outer, "expected an object", err)
                     : error_set(err, 0, "settings are a JSON object");
    json_object_foreach((json_t *)object, key, value)
    {
        struct place place = {outer, key, 0};
        const struct member *member = members;
        while (member->name && strcmp(member->name, key) != 0)
            member++;
        if (!member->name)
            return fail(&place, "there is no such setting", err);
        if (!json_is_null(value) && check_value(&place, value, member, err) < 0)
            return -1;
    }
    return 0;
}

int settings_check_schema(const json_t *settings, struct error *err)
{
    return check_members(NULL, settings, settings_members, err);
}
