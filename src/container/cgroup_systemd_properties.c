/* linux.resources and annotations as properties of a systemd unit (systemd.resource-control(5),
 * org.freedesktop.systemd1(5)). The limits are written to the cgroup's files as well; systemd
 * must know them because it writes its own idea again whenever it reloads. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/cgroup_bus.h"

#define CPU_SET_MAX 8192

struct properties {
    const struct bus_library *library;
    sd_bus_message *message;
    int result; /* the first failure of sd-bus, or not negative */
};

static void append_number(struct properties *to, const char *name, uint64_t value)
{
    if (to->result >= 0)
        to->result = to->library->sd_bus_message_append(to->message, "(sv)", name, "t", value);
}

/* The specification's -1 is systemd's infinity, all bits set. */
static void append_limit(struct properties *to, const char *name, const struct config_number *limit)
{
    if (limit->given && limit->value)
        append_number(to, name, limit->value < 0 ? UINT64_MAX : (uint64_t)limit->value);
}

/* "0-2,7" as a bit mask, least significant byte first. */
static int append_cpu_set(struct properties *to, const char *name, const char *list,
                          struct error *err)
{
    unsigned char bits[CPU_SET_MAX / 8] = {0};
    size_t size = 0;
    for (const char *at = list; *at;) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = first;
        bool valid = isdigit((unsigned char)*at);
        if (*end == '-') {
            valid &= isdigit((unsigned char)end[1]) != 0;
            last = strtoul(end + 1, &end, 10);
        }
        if (!valid || first > last || last >= CPU_SET_MAX || (*end && *end != ','))
            return error_set(err, 0, "linux.resources.cpu: '%s' is no list of numbers", list);
        for (unsigned long i = first; i <= last; i++)
            bits[i / 8] |= (unsigned char)(1U << i % 8);
        if (last / 8 + 1 > size)
            size = last / 8 + 1;
        at = end + (*end == ',');
    }
    const struct bus_library *library = to->library;
    if (to->result >= 0)
        to->result = library->sd_bus_message_open_container(to->message, 'r', "sv");
    if (to->result >= 0)
        to->result = library->sd_bus_message_append(to->message, "s", name);
    if (to->result >= 0)
        to->result = library->sd_bus_message_open_container(to->message, 'v', "ay");
    if (to->result >= 0)
        to->result = library->sd_bus_message_append_array(to->message, 'y', bits, size);
    for (int i = 0; i < 2 && to->result >= 0; i++)
        to->result = library->sd_bus_message_close_container(to->message);
    return 0;
}

/* Microseconds of CPU a second. systemd keeps whole percents: rounded up, so that the exact value
 * in our files is never above systemd's. */
static void append_quota(struct properties *to, bool given, int64_t quota, uint64_t period)
{
    if (!given && !period)
        return;
    uint64_t each_second = UINT64_MAX;
    if (period)
        append_number(to, "CPUQuotaPeriodUSec", period);
    if (quota > 0) {
        each_second = (uint64_t)((unsigned __int128)quota * 1000000 / (period ? period : 100000));
        each_second = (each_second + 9999) / 10000 * 10000;
    }
    append_number(to, "CPUQuotaPerSecUSec", each_second);
}

/* What unified says in v2's file names, where systemd has a property for it. */
static int append_unified(struct properties *to, const struct config_pair *pair, struct error *err)
{
    static const char *const same[][2] = {
        {"cpu.weight", "CPUWeight"},   {"io.weight", "IOWeight"},
        {"memory.high", "MemoryHigh"}, {"memory.low", "MemoryLow"},
        {"memory.max", "MemoryMax"},   {"memory.min", "MemoryMin"},
        {"pids.max", "TasksMax"},      {"memory.swap.max", "MemorySwapMax"},
    };
    const char *value = pair->value + strspn(pair->value, " \t");
    char *end;
    uint64_t parsed = strncmp(value, "max", 3) == 0 ? UINT64_MAX : strtoull(value, &end, 10);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (strcmp(pair->key, same[i][0]) == 0 && (parsed == UINT64_MAX || end != value))
            append_number(to, same[i][1], parsed);
    if (strcmp(pair->key, "cpuset.cpus") == 0)
        return append_cpu_set(to, "AllowedCPUs", value, err);
    if (strcmp(pair->key, "cpuset.mems") == 0)
        return append_cpu_set(to, "AllowedMemoryNodes", value, err);
    unsigned long long quota = 0, period = 0;
    if (strcmp(pair->key, "cpu.max") == 0 &&
        (sscanf(value, "max %llu", &period) == 1 || sscanf(value, "%llu %llu", &quota, &period)))
        append_quota(to, true, (int64_t)quota, period);
    return 0;
}

static int append_v2(struct properties *to, const struct config_resources *resources,
                     struct error *err)
{
    int64_t swap;
    bool write_swap;
    append_limit(to, "MemoryMax", &resources->memory.limit);
    append_limit(to, "MemoryLow", &resources->memory.reservation);
    if (cgroup_swap_without_memory(resources, &swap, &write_swap, err) < 0)
        return -1;
    if (write_swap)
        append_number(to, "MemorySwapMax", swap < 0 ? UINT64_MAX : (uint64_t)swap);
    uint64_t weight =
        cgroup_weight_from_shares(resources->cpu.has_shares ? resources->cpu.shares : 0);
    if (weight)
        append_number(to, "CPUWeight", weight);
    if (resources->block.weight.given && resources->block.weight.value)
        append_number(to, "IOWeight",
                      cgroup_io_weight_from_block_weight((uint64_t)resources->block.weight.value));
    if (resources->cpu.cpus && resources->cpu.cpus[0] &&
        append_cpu_set(to, "AllowedCPUs", resources->cpu.cpus, err) < 0)
        return -1;
    if (resources->cpu.mems && resources->cpu.mems[0] &&
        append_cpu_set(to, "AllowedMemoryNodes", resources->cpu.mems, err) < 0)
        return -1;
    for (size_t i = 0; i < resources->unified.count; i++)
        if (append_unified(to, &resources->unified.items[i], err) < 0)
            return -1;
    return 0;
}

static void append_v1(struct properties *to, const struct config_resources *resources)
{
    append_limit(to, "MemoryLimit", &resources->memory.limit);
    if (resources->cpu.has_shares && resources->cpu.shares)
        append_number(to, "CPUShares", resources->cpu.shares);
    append_limit(to, "BlockIOWeight", &resources->block.weight);
}

/* DevicePolicy= and DeviceAllow=, as far as systemd can say it: it knows no denied exceptions, and
 * no "any major with this minor". Our own rules, set afterwards, decide. */
static int append_devices(struct properties *to, const struct config_resources *resources,
                          struct error *err)
{
    const struct bus_library *library = to->library;
    struct device_policy policy;
    struct error ignored;
    if (device_policy_build(&policy, resources, &ignored) < 0) {
        (void)err;
        return 0; /* expressible only as our program */
    }
    if (to->result >= 0)
        to->result = library->sd_bus_message_append(to->message, "(sv)(sv)", "DevicePolicy", "s",
                                                    policy.allow ? "auto" : "strict", "DeviceAllow",
                                                    "a(ss)", 0);
    for (size_t i = 0; i < policy.count && !policy.allow && to->result >= 0; i++) {
        const struct device_rule *rule = &policy.exceptions[i];
        char node[64], access[4];
        const char *type = rule->type == 'b' ? "block" : "char";
        if (rule->major < 0 && rule->minor >= 0)
            continue;
        if (rule->major < 0)
            snprintf(node, sizeof node, "%s-*", type);
        else if (rule->minor < 0)
            snprintf(node, sizeof node, "%s-%lld", type, (long long)rule->major);
        else
            snprintf(node, sizeof node, "/dev/%s/%lld:%lld", type, (long long)rule->major,
                     (long long)rule->minor);
        snprintf(access, sizeof access, "%s%s%s", rule->access & DEVICE_READ ? "r" : "",
                 rule->access & DEVICE_WRITE ? "w" : "", rule->access & DEVICE_MKNOD ? "m" : "");
        to->result = library->sd_bus_message_append(to->message, "(sv)", "DeviceAllow", "a(ss)", 1,
                                                    node, access);
    }
    free(policy.exceptions);
    return 0;
}

int bus_append_resources(const struct bus_library *library, sd_bus_message *message,
                         const struct cgroup *cgroup, const struct config_resources *resources,
                         struct error *err)
{
    struct properties to = {library, message, 0};
    /* A user's systemd may not load device programs. */
    if (!cgroup->systemd_user && append_devices(&to, resources, err) < 0)
        return -1;
    if (resources) {
        if (resources->pids_limit.given) /* systemd takes no 0 */
            append_number(&to, "TasksMax",
                          resources->pids_limit.value < 0 ? UINT64_MAX
                          : resources->pids_limit.value == 0
                              ? 1
                              : (uint64_t)resources->pids_limit.value);
        append_quota(&to, resources->cpu.quota.given && resources->cpu.quota.value,
                     resources->cpu.quota.value,
                     resources->cpu.has_period ? resources->cpu.period : 0);
        if (cgroup->mode != CGROUP_MODE_V2)
            append_v1(&to, resources);
        else if (append_v2(&to, resources, err) < 0)
            return -1;
    }
    if (to.result < 0)
        return error_set(err, -to.result, "can't tell systemd the limits of %s",
                         cgroup->systemd_unit);
    return 0;
}

/* ---- GVariant text, as far as unit properties need it: booleans, numbers, strings, and arrays
 * of one of these; with a type in front ("uint64 5", "@as []") where it isn't the default. ---- */

struct type_name {
    const char *word;
    char type;
};

static const struct type_name type_names[] = {
    {"byte ", 'y'},    {"int16 ", 'n'},  {"uint16 ", 'q'},     {"int32 ", 'i'},
    {"uint32 ", 'u'},  {"int64 ", 'x'},  {"uint64 ", 't'},     {"double ", 'd'},
    {"boolean ", 'b'}, {"string ", 's'}, {"objectpath ", 'o'},
};

/* A quoted string with the usual escapes; *at is moved behind it. NULL if it isn't one. */
static char *read_string(const char **at)
{
    char quote = **at;
    if (quote != '\'' && quote != '"')
        return NULL;
    char *text = memory_copy_string(*at + 1), *to = text;
    for (const char *from = *at + 1; *from; from++) {
        if (*from == quote) {
            *to = '\0';
            *at = from + 1;
            return text;
        }
        if (*from == '\\' && from[1]) {
            from++;
            *to++ = *from == 'n' ? '\n' : *from == 't' ? '\t' : *from;
        } else {
            *to++ = *from;
        }
    }
    free(text);
    return NULL;
}

static char guess_type(const char *at)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (strncmp(at, type_names[i].word, strlen(type_names[i].word)) == 0)
            return type_names[i].type;
    if (*at == '@')
        return at[1];
    if (*at == '\'' || *at == '"')
        return 's';
    if (strncmp(at, "true", 4) == 0 || strncmp(at, "false", 5) == 0)
        return 'b';
    size_t digits = strspn(at, "+-0123456789xXabcdefABCDEF");
    return at[digits] == '.' ? 'd' : 'i';
}

/* Skips what guess_type() found in front of a value. */
static const char *skip_type(const char *at)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (strncmp(at, type_names[i].word, strlen(type_names[i].word)) == 0)
            return at + strlen(type_names[i].word);
    if (*at == '@')
        at += strcspn(at, " ");
    return at + strspn(at, " ");
}

/* Appends one basic value of the type; scale multiplies numbers (seconds to microseconds). */
static int append_value(struct properties *to, char type, const char **at, double scale)
{
    if (type == 's' || type == 'o') {
        scope_free char *text = read_string(at);
        if (!text)
            return -1;
        if (to->result >= 0)
            to->result = to->library->sd_bus_message_append_basic(to->message, type, text);
        return 0;
    }
    union {
        uint8_t y;
        int16_t n;
        uint16_t q;
        int32_t i;
        uint32_t u;
        int64_t x;
        uint64_t t;
        double d;
        int b;
    } value = {0};
    char *end = (char *)*at;
    if (type == 'b') {
        value.b = strncmp(*at, "true", 4) == 0;
        end += value.b ? 4 : strncmp(*at, "false", 5) == 0 ? 5 : 0;
    } else if (type == 'd') {
        value.d = strtod(*at, &end);
    } else if (strchr("ynqiuxt", type)) {
        errno = 0;
        long double number = strtold(*at, &end) * (long double)scale;
        bool negative = number < 0;
        uint64_t bits = negative ? (uint64_t)(int64_t)number : (uint64_t)number;
        if (errno || (negative && strchr("yqut", type)) || number > 18446744073709551615.0L)
            return -1;
        memcpy(&value, &bits, sizeof bits); /* little endian: the low bytes come first */
    }
    if (end == *at)
        return -1;
    *at = end;
    if (to->result >= 0)
        to->result = to->library->sd_bus_message_append_basic(to->message, type, &value);
    return 0;
}

static int append_array(struct properties *to, char type, const char *at)
{
    char contents[2] = {type, '\0'};
    if (to->result >= 0)
        to->result = to->library->sd_bus_message_open_container(to->message, 'a', contents);
    for (at += 1 + strspn(at + 1, " "); *at && *at != ']'; at += strspn(at, " ,")) {
        at = skip_type(at);
        if (append_value(to, type, &at, 1) < 0)
            return -1;
    }
    if (to->result >= 0)
        to->result = to->library->sd_bus_message_close_container(to->message);
    return *at == ']' && at[1 + strspn(at + 1, " ")] == '\0' ? 0 : -1;
}

/* Appends "v" with the value of text. */
static int append_variant(struct properties *to, const char *text, bool is_seconds)
{
    const char *at = text + strspn(text, " ");
    bool is_array = *at == '[' || strncmp(at, "@a", 2) == 0;
    char type = guess_type(at), signature[3] = "";
    if (is_array) {
        const char *first = strchr(at, '[');
        if (!first)
            return -1;
        type = *at == '@' ? at[2] : guess_type(first + 1 + strspn(first + 1, " "));
        at = first;
    } else {
        at = skip_type(at);
    }
    if (!type || !strchr("ynqiuxtdbso", type))
        return -1;
    if (is_seconds) { /* NameSec= is NameUSec on the bus */
        if (is_array || !strchr("nqiuxtd", type))
            return -1;
        type = 't';
    }
    snprintf(signature, sizeof signature, "%s%c", is_array ? "a" : "", type);
    if (to->result >= 0)
        to->result = to->library->sd_bus_message_open_container(to->message, 'v', signature);
    if (is_array ? append_array(to, type, at) < 0
                 : append_value(to, type, &at, is_seconds ? 1e6 : 1) < 0)
        return -1;
    if (!is_array && at[strspn(at, " ")] != '\0')
        return -1;
    if (to->result >= 0)
        to->result = to->library->sd_bus_message_close_container(to->message);
    return 0;
}

int bus_append_annotation(const struct bus_library *library, sd_bus_message *message,
                          const char *name, const char *value, struct error *err)
{
    struct properties to = {library, message, 0};
    size_t length = strlen(name);
    char property[128];
    for (size_t i = 0; i < length; i++)
        if (!isalpha((unsigned char)name[i]))
            length = 0;
    if (length < 3 || length >= sizeof property - 1)
        return error_set(err, 0, "annotation org.systemd.property.%s: no name of a property", name);
    strcpy(property, name);
    bool is_seconds = length > 3 && strcmp(name + length - 3, "Sec") == 0 &&
                      islower((unsigned char)name[length - 4]);
    if (is_seconds)
        strcpy(property + length - 3, "USec");
    to.result = library->sd_bus_message_open_container(message, 'r', "sv");
    if (to.result >= 0)
        to.result = library->sd_bus_message_append_basic(message, 's', property);
    if (append_variant(&to, value, is_seconds) < 0)
        return error_set(err, 0,
                         "annotation org.systemd.property.%s: can't read the value %s (expected "
                         "GVariant text such as true, 'text', uint64 5 or ['a', 'b'])",
                         name, value);
    if (to.result >= 0)
        to.result = library->sd_bus_message_close_container(message);
    if (to.result < 0)
        return error_set(err, -to.result, "annotation org.systemd.property.%s", name);
    return 0;
}
