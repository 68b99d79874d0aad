/* Limits and devices. */
#include <ctype.h>
#include <string.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "cli/run_flags_internal.h"

int run_flags_add_cpus(struct run_flags *flags)
{
    const char *value = command_value(flags->line, "cpus");
    int64_t billionths;
    if (!value)
        return 0;
    if (!quantity_read_billionths(value, &billionths))
        return run_flags_fail(flags, "cpus", value,
                              "not a number of processors (such as 1.5, at most 9 decimals)");
    json_object_set_new(flags->host, "NanoCpus", json_integer(billionths));
    return 0;
}

/* DEVICE:REST, of which both must be there. Returns REST, or NULL with the error. */
static const char *split_device(const struct run_flags *flags, const char *flag, const char *value,
                                char **device)
{
    const char *colon = strchr(value, ':');
    if (!colon || strncmp(value, "/dev/", 5) != 0 || !colon[1]) {
        run_flags_fail(flags, flag, value, "expected a device below /dev, a colon and a number");
        return NULL;
    }
    *device = memory_format("%.*s", (int)(colon - value), value);
    return colon + 1;
}

static int add_rate(struct run_flags *flags, const char *flag, const char *value)
{
    static const char *const members[][2] = {
        {"device-read-bps", "BlkioDeviceReadBps"},
        {"device-write-bps", "BlkioDeviceWriteBps"},
        {"device-read-iops", "BlkioDeviceReadIOps"},
        {"device-write-iops", "BlkioDeviceWriteIOps"},
    };
    scope_free char *device = NULL;
    const char *rest = split_device(flags, flag, value, &device);
    int64_t rate;
    if (!rest)
        return -1;
    bool is_bytes = strstr(flag, "bps");
    if (is_bytes ? !quantity_read_size(rest, &rate)
                 : !quantity_read_integer(rest, 0, INT64_MAX, &rate))
        return run_flags_fail(flags, flag, value,
                              is_bytes ? "what follows the colon is no size, such as 1mb"
                                       : "what follows the colon is no whole number");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(flag, members[i][0]) == 0)
            json_array_append_new(
                run_flags_list(flags->host, members[i][1]),
                json_pack("{s:s, s:I}", "Path", device, "Rate", (json_int_t)rate));
    return 0;
}

static int add_weight(struct run_flags *flags, const char *flag, const char *value)
{
    scope_free char *device = NULL;
    const char *rest = split_device(flags, flag, value, &device);
    int64_t weight;
    if (!rest)
        return -1;
    if (!quantity_read_integer(rest, 0, 1000, &weight) || (weight > 0 && weight < 10))
        return run_flags_fail(flags, flag, value, "a weight is 10 to 1000, or 0 for none");
    json_array_append_new(run_flags_list(flags->host, "BlkioWeightDevice"),
                          json_pack("{s:s, s:I}", "Path", device, "Weight", (json_int_t)weight));
    return 0;
}

static bool is_limit_name(const char *name)
{
    static const char names[] = " as core cpu data fsize locks memlock msgqueue nice nofile nproc "
                                "rss rtprio rttime sigpending stack ";
    scope_free char *word = memory_format(" %s ", name);
    return !strchr(name, ' ') && strstr(names, word);
}

static int add_limit(struct run_flags *flags, const char *flag, const char *value)
{
    const char *equals = strchr(value, '=');
    scope_free char *name = memory_format("%.*s", (int)strcspn(value, "="), value);
    if (!equals || !is_limit_name(name))
        return run_flags_fail(flags, flag, value,
                              "expected NAME=SOFT[:HARD] with a name such as nofile or nproc");
    size_t length = strcspn(equals + 1, ":");
    scope_free char *soft_text = memory_format("%.*s", (int)length, equals + 1);
    int64_t soft, hard;
    if (!quantity_read_integer(soft_text, -1, INT64_MAX, &soft))
        return run_flags_fail(flags, flag, value, "the soft limit is no number; -1: unlimited");
    hard = soft;
    if (equals[1 + length] && !quantity_read_integer(equals + 2 + length, -1, INT64_MAX, &hard))
        return run_flags_fail(flags, flag, value, "the hard limit is no number; -1: unlimited");
    if (hard != -1 && (soft == -1 || soft > hard))
        return run_flags_fail(flags, flag, value, "the soft limit is above the hard one");
    json_t *limits = run_flags_list(flags->host, "Ulimits");
    for (size_t i = 0; i < json_array_size(limits); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(limits, i), "Name")), name) ==
            0)
            json_array_remove(limits, i);
    json_array_append_new(limits, json_pack("{s:s, s:I, s:I}", "Name", name, "Soft",
                                            (json_int_t)soft, "Hard", (json_int_t)hard));
    return 0;
}

int run_flags_add_resources(struct run_flags *flags)
{
    static const char *const rates[] = {"device-read-bps", "device-write-bps", "device-read-iops",
                                        "device-write-iops"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (run_flags_for_each(flags, rates[i], add_rate) < 0)
            return -1;
    if (run_flags_for_each(flags, "blkio-weight-device", add_weight) < 0 ||
        run_flags_for_each(flags, "ulimit", add_limit) < 0)
        return -1;
    return run_flags_add_cpus(flags);
}

/* Devices */

/* VENDOR/CLASS=NAME of the Container Device Interface: a vendor has a dot or letters, never a slash
 * in front. */
static bool is_cdi_name(const char *value)
{
    const char *slash = strchr(value, '/'), *equals = strchr(value, '=');
    return slash && equals && slash > value && slash < equals - 1 && equals[1] &&
           isalpha((unsigned char)*value) && !strchr(slash + 1, '/');
}

static bool is_device_mode(const char *mode)
{
    return *mode && strspn(mode, "rwm") == strlen(mode);
}

static void add_cdi_device(struct run_flags *flags, const char *value)
{
    json_t *requests = run_flags_list(flags->host, "DeviceRequests"), *request;
    size_t i;
    json_array_foreach(requests, i, request)
    {
        const char *driver = json_string_value(json_object_get(request, "Driver"));
        if (driver && strcmp(driver, "cdi") == 0) {
            json_array_append_new(json_object_get(request, "DeviceIDs"), json_string(value));
            return;
        }
    }
    json_array_append_new(requests, json_pack("{s:s, s:[s]}", "Driver", "cdi", "DeviceIDs", value));
}

/* HOST[:CONTAINER][:MODE] */
static int add_device(struct run_flags *flags, const char *flag, const char *value)
{
    if (is_cdi_name(value)) {
        add_cdi_device(flags, value);
        return 0;
    }
    scope_free char *copy = memory_copy_string(value);
    char *parts[3] = {copy, NULL, NULL};
    size_t count = 1;
    for (char *at = strchr(copy, ':'); at; at = strchr(at, ':')) {
        *at++ = '\0';
        if (count == 3)
            return run_flags_fail(flags, flag, value, "more than two colons");
        parts[count++] = at;
    }
    const char *inside = parts[0], *mode = "rwm";
    if (count == 2 && is_device_mode(parts[1]))
        mode = parts[1];
    else if (count >= 2)
        inside = parts[1];
    if (count == 3)
        mode = parts[2];
    if (parts[0][0] != '/')
        return run_flags_fail(flags, flag, value,
                              "expected an absolute path, or VENDOR/CLASS=NAME of CDI");
    if (inside[0] != '/')
        return run_flags_fail(flags, flag, value,
                              "neither a path in the container nor a mode of r, w and m: '%s'",
                              inside);
    if (!is_device_mode(mode))
        return run_flags_fail(flags, flag, value, "a mode is made of r, w and m, not '%s'", mode);
    json_array_append_new(run_flags_list(flags->host, "Devices"),
                          json_pack("{s:s, s:s, s:s}", "PathOnHost", parts[0], "PathInContainer",
                                    inside, "CgroupPermissions", mode));
    return 0;
}

/* "c 10:* rwm" */
static bool is_cgroup_rule(const char *rule)
{
    static const char digits[] = "0123456789";
    if (!*rule || !strchr("acb", *rule) || rule[1] != ' ')
        return false;
    const char *at = rule + 2;
    for (int i = 0; i < 2; i++) {
        size_t length = *at == '*' ? 1 : strspn(at, digits);
        if (!length || at[length] != (i ? ' ' : ':'))
            return false;
        at += length + 1;
    }
    return is_device_mode(at) && strlen(at) <= 3;
}

static int add_cgroup_rule(struct run_flags *flags, const char *flag, const char *value)
{
    if (!is_cgroup_rule(value))
        return run_flags_fail(flags, flag, value,
                              "expected a, b or c, MAJOR:MINOR and a mode, such as 'c 10:* rwm'");
    json_array_append_new(run_flags_list(flags->host, "DeviceCgroupRules"), json_string(value));
    return 0;
}

static void add_words(json_t *list, const char *words)
{
    while (*words) {
        size_t length = strcspn(words, ",");
        json_array_append_new(list, run_flags_text(words, length));
        words += length + (words[length] == ',');
    }
}

/* all, N, or fields: count, device, driver, capabilities, options */
static int add_gpus(struct run_flags *flags, const char *flag, const char *value)
{
    struct run_flags_record record;
    json_t *request = json_pack("{s:i, s:[[s]]}", "Count", 0, "Capabilities", "gpu");
    int status = run_flags_read_record(flags, flag, value, &record);
    bool has_count = false, has_devices = false;
    for (size_t i = 0; status == 0 && i < record.count; i++) {
        const struct run_flags_field *field = &record.fields[i];
        const char *key = field->value ? field->key : "count";
        const char *text = field->value ? field->value : field->key;
        int64_t count = -1;
        if (strcmp(key, "count") == 0) {
            if (strcmp(text, "all") != 0 && !quantity_read_integer(text, -1, INT32_MAX, &count))
                status = run_flags_fail(flags, flag, value, "a count is a number or 'all'");
            json_object_set_new(request, "Count", json_integer(count));
            has_count = true;
        } else if (strcmp(key, "device") == 0) {
            add_words(run_flags_list(request, "DeviceIDs"), text);
            has_devices = true;
        } else if (strcmp(key, "driver") == 0) {
            json_object_set_new(request, "Driver", run_flags_text(text, strlen(text)));
        } else if (strcmp(key, "capabilities") == 0) {
            json_t *inner = json_array_get(json_object_get(request, "Capabilities"), 0);
            json_array_clear(inner);
            add_words(inner, text);
            json_array_append_new(inner, json_string("gpu"));
        } else if (strcmp(key, "options") != 0) {
            status = run_flags_fail(flags, flag, value, "there is no field '%s'", key);
        }
    }
    if (status == 0 && has_count && has_devices)
        status = run_flags_fail(flags, flag, value, "give a count or devices, not both");
    arena_release(&record.arena);
    if (!has_count && !has_devices)
        json_object_set_new(request, "Count", json_integer(1));
    if (status == 0)
        json_array_append(run_flags_list(flags->host, "DeviceRequests"), request);
    json_decref(request);
    return status;
}

int run_flags_add_devices(struct run_flags *flags)
{
    if (run_flags_for_each(flags, "device", add_device) < 0 ||
        run_flags_for_each(flags, "device-cgroup-rule", add_cgroup_rule) < 0)
        return -1;
    return run_flags_for_each(flags, "gpus", add_gpus);
}
