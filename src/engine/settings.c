/* What settings mean beyond their types: ranges that depend on each other, contradictions, and
 * texts with a syntax of their own. */
#include "engine/settings.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "container/signals.h"
#include "engine/settings_internal.h"
#include "oci/config.h"

#define LEAST_MEMORY (6 << 20) /* a container's start needs about this much; docker's limit */

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* Limits */

static int check_memory(const json_t *host, struct error *err)
{
    int64_t limit = settings_integer(host, "Memory"), swap = settings_integer(host, "MemorySwap");
    int64_t reservation = settings_integer(host, "MemoryReservation");
    if (limit > 0 && limit < LEAST_MEMORY)
        return error_set(err, 0, "HostConfig.Memory: %lld bytes are too few (at least 6 MiB)",
                         (long long)limit);
    if (swap > 0 && limit == 0)
        return error_set(err, 0,
                         "HostConfig.MemorySwap: without a limit of Memory it has no "
                         "meaning (give --memory too)");
    if (swap > 0 && swap < limit)
        return error_set(err, 0,
                         "HostConfig.MemorySwap: memory and swap together can't be less "
                         "than Memory alone");
    if (reservation > 0 && limit > 0 && reservation > limit)
        return error_set(err, 0, "HostConfig.MemoryReservation: it is above the limit, Memory");
    if (reservation > 0 && reservation < LEAST_MEMORY)
        return error_set(err, 0, "HostConfig.MemoryReservation: at least 6 MiB");
    return 0;
}

/* "0-3,5" */
static bool is_number_list(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, ",");
        scope_free char *item = memory_format("%.*s", (int)length, text);
        char *dash = strchr(item, '-');
        int64_t first, last;
        if (dash)
            *dash = '\0';
        if (!quantity_read_integer(item, 0, 8191, &first) ||
            (dash && !quantity_read_integer(dash + 1, first, 8191, &last)))
            return false;
        text += length;
        if (*text && !*++text)
            return false;
    }
    return true;
}

/* The highest of a list such as 0-3,5. */
static unsigned long find_highest(const char *text)
{
    unsigned long highest = 0;
    while (*text) {
        char *end;
        unsigned long number = strtoul(text, &end, 10);
        highest = number > highest ? number : highest;
        text = *end ? end + 1 : end;
    }
    return highest;
}

static int check_processors(const json_t *host, struct error *err)
{
    int64_t nano = settings_integer(host, "NanoCpus"), period = settings_integer(host, "CpuPeriod");
    int64_t quota = settings_integer(host, "CpuQuota");
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    static const char *const lists[] = {"CpusetCpus", "CpusetMems"};
    if (nano && (period || quota))
        return error_set(err, 0,
                         "HostConfig.NanoCpus: it says the same as CpuPeriod and CpuQuota "
                         "(give --cpus or them)");
    if (count > 0 && nano > count * 1000000000LL)
        return error_set(err, 0, "HostConfig.NanoCpus: this machine has %ld processors", count);
    if (nano && nano < 10000000)
        return error_set(err, 0, "HostConfig.NanoCpus: at least 0.01 of a processor");
    if (period && (period < 1000 || period > 1000000))
        return error_set(err, 0, "HostConfig.CpuPeriod: from 1000 (1 ms) to 1000000 (1 s)");
    if (quota > 0 && quota < 1000)
        return error_set(err, 0, "HostConfig.CpuQuota: at least 1000 (1 ms)");
    if (settings_integer(host, "CpuRealtimeRuntime") > settings_integer(host, "CpuRealtimePeriod"))
        return error_set(err, 0, "HostConfig.CpuRealtimeRuntime: it is longer than its period");
    for (size_t i = 0; i < 2; i++)
        if (!is_number_list(settings_text(host, lists[i])))
            return error_set(err, 0, "HostConfig.%s: '%.64s' is no list such as 0-3,5", lists[i],
                             settings_text(host, lists[i]));
    count = sysconf(_SC_NPROCESSORS_CONF);
    if (count > 0 && find_highest(settings_text(host, "CpusetCpus")) >= (unsigned long)count)
        return error_set(err, 0, "HostConfig.CpusetCpus: '%.64s': this machine's are 0-%ld",
                         settings_text(host, "CpusetCpus"), count - 1);
    return 0;
}

static int check_weight(const char *place, int64_t weight, struct error *err)
{
    if (weight == 0 || weight >= 10)
        return 0;
    return error_set(err, 0, "HostConfig.%s: a weight is 10 to 1000, or 0 for none", place);
}

static int check_block(const json_t *host, struct error *err)
{
    static const char *const lists[] = {"BlkioWeightDevice", "BlkioDeviceReadBps",
                                        "BlkioDeviceWriteBps", "BlkioDeviceReadIOps",
                                        "BlkioDeviceWriteIOps"};
    if (check_weight("BlkioWeight", settings_integer(host, "BlkioWeight"), err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const json_t *list = json_object_get(host, lists[i]), *item;
        size_t j;
        json_array_foreach(list, j, item)
        {
            if (*settings_text(item, "Path") != '/')
                return error_set(err, 0, "HostConfig.%s[%zu].Path: expected an absolute path",
                                 lists[i], j);
            if (i == 0 &&
                check_weight("BlkioWeightDevice", settings_integer(item, "Weight"), err) < 0)
                return -1;
        }
    }
    return 0;
}

static int check_ulimits(const json_t *host, struct error *err)
{
    static const char *const names[] = {
        "as",     "core",  "cpu", "data",   "fsize",  "locks",      "memlock", "msgqueue", "nice",
        "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",   NULL};
    const json_t *limit;
    size_t i;
    json_array_foreach(json_object_get(host, "Ulimits"), i, limit)
    {
        int64_t soft = settings_integer(limit, "Soft"), hard = settings_integer(limit, "Hard");
        if (!is_one_of(settings_text(limit, "Name"), names))
            return error_set(err, 0, "HostConfig.Ulimits[%zu].Name: there is no limit '%.32s'", i,
                             settings_text(limit, "Name"));
        if (hard != -1 && (soft == -1 || soft > hard))
            return error_set(err, 0, "HostConfig.Ulimits[%zu].Soft: it is above the hard limit", i);
    }
    return 0;
}

/* Modes of namespaces */

/* What is joined is named by "container:NAME". */
static bool is_container(const char *mode)
{
    return begins_with(mode, "container:") && mode[10];
}

static int check_modes(const json_t *host, struct error *err)
{
    static const struct {
        const char *member;
        const char *words[6];
        bool joins;
    } modes[] = {
        {"IpcMode", {"", "none", "host", "private", "shareable", NULL}, true},
        {"PidMode", {"", "host", NULL}, true},
        {"UTSMode", {"", "host", NULL}, false},
        {"CgroupnsMode", {"", "host", "private", NULL}, false},
        {"Engine", {"", "auto", "kvm", "bt", NULL}, false},
        {"Isolation", {"", "default", "container", "vm", NULL}, false},
        {"VolumeDriver", {"", "local", NULL}, false},
        {"Runtime", {"", "hull-oci", "runc", NULL}, false},
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *mode = settings_text(host, modes[i].member);
        if (is_one_of(mode, modes[i].words) || (modes[i].joins && is_container(mode)))
            continue;
        char known[128] = "";
        for (const char *const *word = modes[i].words + 1; *word; word++)
            snprintf(known + strlen(known), sizeof known - strlen(known), " %s", *word);
        return error_set(err, 0, "HostConfig.%s: '%.64s' is none of:%s%s", modes[i].member, mode,
                         known, modes[i].joins ? " container:NAME" : "");
    }
    const char *mode = settings_text(host, "UsernsMode");
    if (*mode && strcmp(mode, "host") != 0 && strcmp(mode, "private") != 0 &&
        strcmp(mode, "auto") != 0)
        return error_set(err, 0, "HostConfig.UsernsMode: '%.64s' is none of: host private auto",
                         mode);
    return 0;
}

/* Which kernel parameters belong to a namespace that the container has for itself. */
static int check_sysctls(const json_t *host, struct error *err)
{
    static const char *const of_ipc[] = {"kernel.msgmax", "kernel.msgmnb",          "kernel.msgmni",
                                         "kernel.sem",    "kernel.shmall",          "kernel.shmmax",
                                         "kernel.shmmni", "kernel.shm_rmid_forced", NULL};
    const char *key, *network = settings_text(host, "NetworkMode");
    json_t *value;
    json_object_foreach(json_object_get(host, "Sysctls"), key, value)
    {
        bool is_network = begins_with(key, "net."), is_queue = begins_with(key, "fs.mqueue.");
        bool is_ipc = is_one_of(key, of_ipc) || is_queue;
        if (!is_network && !is_ipc && strcmp(key, "kernel.domainname") != 0)
            return error_set(err, 0,
                             "HostConfig.Sysctls: '%.64s' isn't a container's own (only net.*, "
                             "fs.mqueue.*, kernel.msg*, kernel.shm*, kernel.sem are)",
                             key);
        if ((is_network && strcmp(network, "host") == 0) ||
            (is_ipc && strcmp(settings_text(host, "IpcMode"), "host") == 0))
            return error_set(err, 0,
                             "HostConfig.Sysctls: '%.64s' would change the host's, whose "
                             "namespace is used",
                             key);
    }
    return 0;
}

static int check_security(const json_t *host, struct error *err)
{
    const json_t *option;
    size_t i;
    json_array_foreach(json_object_get(host, "SecurityOpt"), i, option)
    {
        const char *text = json_string_value(option);
        if (begins_with(text, "no-new-privileges") || begins_with(text, "apparmor") ||
            begins_with(text, "label") || strcmp(text, "systempaths=unconfined") == 0 ||
            strcmp(text, "seccomp=unconfined") == 0 || strcmp(text, "seccomp=builtin") == 0)
            continue;
        json_t *profile = begins_with(text, "seccomp=") || begins_with(text, "seccomp:")
                              ? json_loads(text + 8, 0, NULL)
                              : NULL;
        bool is_profile = json_is_object(profile);
        json_decref(profile);
        if (!is_profile)
            return error_set(err, 0, "HostConfig.SecurityOpt[%zu]: '%.64s' is no known option", i,
                             text);
    }
    static const char *const sets[] = {"CapAdd", "CapDrop"};
    for (size_t set = 0; set < 2; set++)
        json_array_foreach(json_object_get(host, sets[set]), i, option) if (
            strcasecmp(json_string_value(option), "ALL") != 0 &&
            config_capability_number(json_string_value(option)) <
                0) return error_set(err, 0, "HostConfig.%s[%zu]: there is no capability '%.64s'",
                                    sets[set], i, json_string_value(option));
    return 0;
}

/* Networks */

static int check_joined_network(const json_t *settings, const json_t *host, struct error *err)
{
    static const char *const of_host[] = {"Dns",   "DnsOptions",   "DnsSearch",      "ExtraHosts",
                                          "Links", "PortBindings", "PublishAllPorts"};
    for (size_t i = 0; i < sizeof of_host / sizeof *of_host; i++)
        if (settings_given(host, of_host[i]))
            return error_set(err, 0,
                             "HostConfig.%s: another container's network has its own (leave it out "
                             "with --network container:)",
                             of_host[i]);
    if (settings_given(settings, "Hostname"))
        return error_set(err, 0,
                         "Hostname: another container's network has its own (leave it out "
                         "with --network container:)");
    return 0;
}

/* "80/tcp" */
static bool is_port_key(const char *key)
{
    static const char *const protocols[] = {"tcp", "udp", "sctp", NULL};
    size_t length = strcspn(key, "/");
    scope_free char *number = memory_format("%.*s", (int)length, key);
    int64_t port;
    return quantity_read_integer(number, 1, 65535, &port) &&
           (!key[length] || is_one_of(key + length + 1, protocols));
}

static int check_binding(const char *key, const json_t *binding, struct error *err)
{
    unsigned char bytes[16];
    const char *address = settings_text(binding, "HostIp");
    const char *port = settings_text(binding, "HostPort");
    scope_free char *first = memory_format("%.*s", (int)strcspn(port, "-"), port);
    const char *last = strchr(port, '-');
    int64_t from, to;
    if (*address && inet_pton(AF_INET, address, bytes) != 1 &&
        inet_pton(AF_INET6, address, bytes) != 1)
        return error_set(err, 0, "HostConfig.PortBindings.%s: '%.64s' is no IP address", key,
                         address);
    if (*port && (!quantity_read_integer(first, 0, 65535, &from) ||
                  (last && !quantity_read_integer(last + 1, from, 65535, &to))))
        return error_set(err, 0, "HostConfig.PortBindings.%s: '%.64s' is no port of the host", key,
                         port);
    return 0;
}

static int check_ports(const json_t *settings, const json_t *host, struct error *err)
{
    const char *key;
    json_t *list;
    const json_t *binding;
    size_t i;
    json_object_foreach(json_object_get(settings, "ExposedPorts"), key, list) if (
        !is_port_key(key)) return error_set(err, 0,
                                            "ExposedPorts: '%.64s' is no port such as 80/tcp", key);
    json_object_foreach(json_object_get(host, "PortBindings"), key, list)
    {
        if (!is_port_key(key))
            return error_set(err, 0, "HostConfig.PortBindings: '%.64s' is no port such as 80/tcp",
                             key);
        json_array_foreach(list, i, binding) if (check_binding(key, binding, err) < 0) return -1;
    }
    return 0;
}

static int check_network(const json_t *settings, const json_t *host,
                         const struct warnings *warnings, struct error *err)
{
    const char *mode = settings_text(host, "NetworkMode");
    bool publishes = settings_given(host, "PortBindings") || settings_flag(host, "PublishAllPorts");
    struct error warning;
    if (begins_with(mode, "container:") && !mode[10])
        return error_set(err, 0, "HostConfig.NetworkMode: container: needs a container's name");
    if (is_container(mode) && check_joined_network(settings, host, err) < 0)
        return -1;
    if (publishes && (strcmp(mode, "host") == 0 || strcmp(mode, "none") == 0)) {
        error_set(&warning, 0, "published ports have no effect with network %s", mode);
        warnings_say(warnings, &warning);
    }
    if (strcmp(settings_text(host, "UTSMode"), "host") == 0 &&
        (settings_given(settings, "Hostname") || settings_given(settings, "Domainname")))
        return error_set(err, 0,
                         "HostConfig.UTSMode: with the host's, Hostname and Domainname "
                         "can't be set");
    return check_ports(settings, host, err);
}

/* The rest */

static int check_log(const json_t *host, struct error *err)
{
    static const char *const keys[] = {"max-size",     "max-file", "compress",  "labels",
                                       "labels-regex", "env",      "env-regex", "tag",
                                       "mode",         NULL};
    const json_t *log = json_object_get(host, "LogConfig");
    const char *driver = settings_text(log, "Type"), *key;
    json_t *value, *options = json_object_get(log, "Config");
    int64_t number;
    if (*driver && strcmp(driver, "json-file") != 0 && strcmp(driver, "none") != 0)
        return error_set(err, 0, "HostConfig.LogConfig.Type: '%.64s' is none of: json-file none",
                         driver);
    if (strcmp(driver, "none") == 0 && json_object_size(options) > 0)
        return error_set(err, 0, "HostConfig.LogConfig.Config: driver none takes no options");
    json_object_foreach(options, key, value)
    {
        const char *text = json_string_value(value);
        if (!is_one_of(key, keys))
            return error_set(err, 0, "HostConfig.LogConfig.Config: there is no option '%.64s'",
                             key);
        if (strcmp(key, "max-size") == 0 && strcmp(text, "-1") != 0 &&
            (!quantity_read_size(text, &number) || number <= 0))
            return error_set(err, 0,
                             "HostConfig.LogConfig.Config.max-size: '%.64s' is no size such "
                             "as 10m",
                             text);
        if (strcmp(key, "max-file") == 0 && !quantity_read_integer(text, 1, 100000, &number))
            return error_set(err, 0,
                             "HostConfig.LogConfig.Config.max-file: '%.64s' is no number from 1 on",
                             text);
    }
    return 0;
}

static int check_restart(const json_t *host, struct error *err)
{
    static const char *const names[] = {"", "no", "always", "unless-stopped", "on-failure", NULL};
    const json_t *policy = json_object_get(host, "RestartPolicy");
    const char *name = settings_text(policy, "Name");
    if (!is_one_of(name, names))
        return error_set(err, 0,
                         "HostConfig.RestartPolicy.Name: '%.64s' is none of: no always "
                         "unless-stopped on-failure",
                         name);
    if (settings_integer(policy, "MaximumRetryCount") > 0 && strcmp(name, "on-failure") != 0)
        return error_set(err, 0,
                         "HostConfig.RestartPolicy.MaximumRetryCount: only on-failure "
                         "counts restarts");
    if (settings_flag(host, "AutoRemove") && *name && strcmp(name, "no") != 0)
        return error_set(err, 0,
                         "HostConfig.AutoRemove: what is removed when it ends can't be "
                         "restarted (leave out --rm or --restart)");
    return 0;
}

static int check_health(const json_t *settings, struct error *err)
{
    static const char *const durations[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};
    static const char *const kinds[] = {"NONE", "CMD", "CMD-SHELL", NULL};
    const json_t *health = json_object_get(settings, "Healthcheck");
    const json_t *test = json_object_get(health, "Test");
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        int64_t duration = settings_integer(health, durations[i]);
        if (duration > 0 && duration < 1000000)
            return error_set(err, 0, "Healthcheck.%s: at least 1 ms, or 0 for the default",
                             durations[i]);
    }
    if (json_array_size(test) == 0)
        return 0;
    if (!is_one_of(json_string_value(json_array_get(test, 0)), kinds))
        return error_set(err, 0, "Healthcheck.Test[0]: expected NONE, CMD or CMD-SHELL");
    return 0;
}

static int check_program(const json_t *settings, struct error *err)
{
    const json_t *variable;
    size_t i;
    const char *signal = settings_text(settings, "StopSignal");
    const char *directory = settings_text(settings, "WorkingDir");
    if (!settings_given(settings, "Image"))
        return error_set(err, 0, "Image: the image's name is missing");
    json_array_foreach(json_object_get(settings, "Env"), i,
                       variable) if (strcspn(json_string_value(variable), "=") ==
                                     0) return error_set(err, 0,
                                                         "Env[%zu]: the variable has no name", i);
    if (*signal && signals_parse(signal) < 1)
        return error_set(err, 0, "StopSignal: there is no signal '%.32s'", signal);
    if (*directory && *directory != '/')
        return error_set(err, 0, "WorkingDir: '%.128s' is no absolute path", directory);
    if (strlen(settings_text(settings, "Hostname")) > 64)
        return error_set(err, 0, "Hostname: at most 64 characters");
    return check_health(settings, err);
}

static int check_storage(const json_t *host, struct error *err)
{
    const char *key;
    json_t *value;
    int64_t size;
    json_object_foreach(json_object_get(host, "StorageOpt"), key, value)
    {
        if (strcmp(key, "size") != 0)
            return error_set(err, 0, "HostConfig.StorageOpt: there is no option '%.64s'", key);
        if (!quantity_read_size(json_string_value(value), &size))
            return error_set(err, 0, "HostConfig.StorageOpt.size: '%.64s' is no size such as 10g",
                             json_string_value(value));
    }
    return 0;
}

int settings_check(const json_t *settings, const struct warnings *warnings, struct error *err)
{
    static int (*const checks[])(const json_t *host, struct error *err) = {
        check_memory,  check_processors, check_block, check_ulimits, check_modes,
        check_sysctls, check_security,   check_log,   check_restart, check_storage,
    };
    const json_t *host = json_object_get(settings, "HostConfig");
    if (settings_check_schema(settings, err) < 0 || check_program(settings, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i](host, err) < 0)
            return -1;
    if (check_network(settings, host, warnings, err) < 0)
        return -1;
    json_t *mounts = settings_list_mounts(settings, err);
    json_decref(mounts);
    return mounts ? 0 : -1;
}
