#include "cli/run_flags.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "base/file.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "cli/run_flags_internal.h"

#define FILE_LIMIT (16 << 20) /* of --env-file and --label-file */

int run_flags_fail(const struct run_flags *flags, const char *flag, const char *value,
                   const char *reason, ...)
{
    char text[512];
    va_list args;
    va_start(args, reason);
    vsnprintf(text, sizeof text, reason, args);
    va_end(args);
    return error_set(flags->err, 0, "--%s '%.256s': %s", flag, value, text);
}

bool run_flags_has(const struct run_flags *flags, const char *flag)
{
    for (const struct command_flag *at = flags->line->verb->flags; at->name; at++)
        if (strcmp(at->name, flag) == 0)
            return true;
    return false;
}

int run_flags_for_each(struct run_flags *flags, const char *flag,
                       int (*take)(struct run_flags *flags, const char *flag, const char *value))
{
    const char **values;
    size_t count = command_values(flags->line, flag, &values);
    for (size_t i = 0; i < count; i++)
        if (take(flags, flag, values[i]) < 0)
            return -1;
    return 0;
}

json_t *run_flags_list(json_t *object, const char *key)
{
    json_t *list = json_object_get(object, key);
    if (list)
        return list;
    json_object_set_new(object, key, json_array());
    return json_object_get(object, key);
}

json_t *run_flags_map(json_t *object, const char *key)
{
    json_t *map = json_object_get(object, key);
    if (map)
        return map;
    json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

json_t *run_flags_text(const char *text, size_t length)
{
    json_t *value = json_stringn(text, length);
    if (value)
        return value;
    /* Byte for byte: what is no character by itself or with those that follow is replaced. */
    scope_free char *copy = memory_allocate(length + 1, 3);
    size_t used = 0;
    while (length > 0) {
        size_t size = 1;
        json_t *part = NULL;
        for (; size <= 4 && size <= length && !part; size++)
            part = json_stringn(text, size);
        size = part ? size - 1 : 1;
        memcpy(copy + used, part ? text : "\xef\xbf\xbd", part ? size : 3);
        used += part ? size : 3;
        json_decref(part);
        text += size;
        length -= size;
    }
    return json_stringn(copy, used);
}

int run_flags_read_lines(struct run_flags *flags, const char *flag, const char *path,
                         int (*take)(struct run_flags *flags, const char *flag, const char *line))
{
    struct error why = {0};
    size_t length;
    scope_free char *text = file_read_all(AT_FDCWD, path, FILE_LIMIT, &length, &why);
    if (!text)
        return run_flags_fail(flags, flag, path, "%s", why.text);
    if (strlen(text) != length)
        return run_flags_fail(flags, flag, path, "holds a NUL byte; it takes lines of text");
    char *line = text;
    if (strncmp(line, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
        line += 3;
    while (*line) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        if (end > line && end[-1] == '\r')
            end--;
        *end = '\0';
        line += strspn(line, " \t");
        if (*line && *line != '#' && take(flags, flag, line) < 0)
            return -1;
        line = next;
    }
    return 0;
}

/* Records */

/* One field, out of its quotes, to *to; returns where it ended, NULL if a quote has no end. */
static const char *read_field(const char *at, char *to)
{
    if (*at != '"') {
        size_t length = strcspn(at, ",");
        memcpy(to, at, length);
        to[length] = '\0';
        return at + length;
    }
    for (at++; *at; at++) {
        if (*at == '"' && *++at != '"') {
            *to = '\0';
            return *at && *at != ',' ? NULL : at;
        }
        *to++ = *at;
    }
    return NULL;
}

int run_flags_read_record(const struct run_flags *flags, const char *flag, const char *text,
                          struct run_flags_record *record)
{
    *record = (struct run_flags_record){0};
    for (const char *at = text;; at++) {
        if (record->count == sizeof record->fields / sizeof *record->fields)
            return run_flags_fail(flags, flag, text, "more than %zu fields", record->count);
        char *field = arena_allocate(&record->arena, 1, strlen(at) + 1);
        at = read_field(at, field);
        if (!at)
            return run_flags_fail(flags, flag, text,
                                  "a field begins with a quotation mark and doesn't end with one");
        char *equals = strchr(field, '=');
        if (equals)
            *equals = '\0';
        for (char *letter = field; *letter; letter++)
            *letter = (char)tolower((unsigned char)*letter);
        record->fields[record->count++] =
            (struct run_flags_field){field, equals ? equals + 1 : NULL};
        if (!*at)
            return 0;
    }
}

/* The flags whose value stands in one member as it is. */

enum kind { KIND_TEXT, KIND_LIST, KIND_SWITCH, KIND_SIZE, KIND_INTEGER, KIND_PAIRS };

static const struct simple_flag {
    const char *flag, *key;
    enum kind kind;
    bool in_host;
    int64_t minimum, maximum;
} simple_flags[] = {
    {"hostname", "Hostname", KIND_TEXT, false, 0, 0},
    {"domainname", "Domainname", KIND_TEXT, false, 0, 0},
    {"user", "User", KIND_TEXT, false, 0, 0},
    {"workdir", "WorkingDir", KIND_TEXT, false, 0, 0},
    {"stop-signal", "StopSignal", KIND_TEXT, false, 0, 0},
    {"stop-timeout", "StopTimeout", KIND_INTEGER, false, -1, INT32_MAX},
    {"tty", "Tty", KIND_SWITCH, false, 0, 0},
    {"name", "name", KIND_TEXT, false, 0, 0},
    {"platform", "platform", KIND_TEXT, false, 0, 0},
    {"cidfile", "ContainerIDFile", KIND_TEXT, true, 0, 0},
    {"cgroup-parent", "CgroupParent", KIND_TEXT, true, 0, 0},
    {"cgroupns", "CgroupnsMode", KIND_TEXT, true, 0, 0},
    {"cpu-period", "CpuPeriod", KIND_INTEGER, true, 0, INT64_MAX},
    {"cpu-quota", "CpuQuota", KIND_INTEGER, true, -1, INT64_MAX},
    {"cpu-rt-period", "CpuRealtimePeriod", KIND_INTEGER, true, 0, INT64_MAX},
    {"cpu-rt-runtime", "CpuRealtimeRuntime", KIND_INTEGER, true, 0, INT64_MAX},
    {"cpu-shares", "CpuShares", KIND_INTEGER, true, 0, INT64_MAX},
    {"cpuset-cpus", "CpusetCpus", KIND_TEXT, true, 0, 0},
    {"cpuset-mems", "CpusetMems", KIND_TEXT, true, 0, 0},
    {"blkio-weight", "BlkioWeight", KIND_INTEGER, true, 0, 1000},
    {"group-add", "GroupAdd", KIND_LIST, true, 0, 0},
    {"init", "Init", KIND_SWITCH, true, 0, 0},
    {"ipc", "IpcMode", KIND_TEXT, true, 0, 0},
    {"memory", "Memory", KIND_SIZE, true, 0, INT64_MAX},
    {"memory-reservation", "MemoryReservation", KIND_SIZE, true, 0, INT64_MAX},
    {"memory-swap", "MemorySwap", KIND_SIZE, true, -1, INT64_MAX},
    {"memory-swappiness", "MemorySwappiness", KIND_INTEGER, true, -1, 100},
    {"oom-kill-disable", "OomKillDisable", KIND_SWITCH, true, 0, 0},
    {"oom-score-adj", "OomScoreAdj", KIND_INTEGER, true, -1000, 1000},
    {"pid", "PidMode", KIND_TEXT, true, 0, 0},
    {"pids-limit", "PidsLimit", KIND_INTEGER, true, -1, INT64_MAX},
    {"privileged", "Privileged", KIND_SWITCH, true, 0, 0},
    {"publish-all", "PublishAllPorts", KIND_SWITCH, true, 0, 0},
    {"read-only", "ReadonlyRootfs", KIND_SWITCH, true, 0, 0},
    {"rm", "AutoRemove", KIND_SWITCH, true, 0, 0},
    {"shm-size", "ShmSize", KIND_SIZE, true, 0, INT64_MAX},
    {"userns", "UsernsMode", KIND_TEXT, true, 0, 0},
    {"uts", "UTSMode", KIND_TEXT, true, 0, 0},
    {"volume-driver", "VolumeDriver", KIND_TEXT, true, 0, 0},
    {"volumes-from", "VolumesFrom", KIND_LIST, true, 0, 0},
    {"annotation", "Annotations", KIND_PAIRS, true, 0, 0},
    {"storage-opt", "StorageOpt", KIND_PAIRS, true, 0, 0},
    {"sysctl", "Sysctls", KIND_PAIRS, true, 0, 0},
};

static int add_number(struct run_flags *flags, const struct simple_flag *flag, json_t *object,
                      const char *value)
{
    int64_t number;
    bool is_size = flag->kind == KIND_SIZE;
    bool is_unlimited = is_size && flag->minimum < 0 && strcmp(value, "-1") == 0;
    if (is_unlimited)
        number = -1;
    else if (is_size && !quantity_read_size(value, &number))
        return run_flags_fail(flags, flag->flag, value,
                              "not a size (a number of bytes, or with k, m or g, such as 512m)");
    else if (!is_size && !quantity_read_integer(value, flag->minimum, flag->maximum, &number)) {
        if (flag->maximum >= INT32_MAX)
            return run_flags_fail(flags, flag->flag, value, "not a whole number from %lld on",
                                  (long long)flag->minimum);
        return run_flags_fail(flags, flag->flag, value, "not a whole number from %lld to %lld",
                              (long long)flag->minimum, (long long)flag->maximum);
    }
    json_object_set_new(object, flag->key, json_integer(number));
    return 0;
}

static int add_pairs(struct run_flags *flags, const struct simple_flag *flag, json_t *object)
{
    const char **values;
    size_t count = command_values(flags->line, flag->flag, &values);
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(values[i], "=");
        if (!length || !values[i][length])
            return run_flags_fail(flags, flag->flag, values[i], "expected KEY=VALUE");
        scope_free char *key = memory_format("%.*s", (int)length, values[i]);
        const char *text = values[i] + length + 1;
        json_object_set_new(run_flags_map(object, flag->key), key,
                            run_flags_text(text, strlen(text)));
    }
    return 0;
}

static int add_simple(struct run_flags *flags, const struct simple_flag *flag)
{
    json_t *object = flag->in_host ? flags->host : flags->settings;
    const char **values;
    if (flag->kind == KIND_PAIRS)
        return add_pairs(flags, flag, object);
    size_t count = command_values(flags->line, flag->flag, &values);
    for (size_t i = 0; i < count && flag->kind == KIND_LIST; i++) {
        if (!*values[i])
            return run_flags_fail(flags, flag->flag, values[i], "a value is missing");
        json_array_append_new(run_flags_list(object, flag->key),
                              run_flags_text(values[i], strlen(values[i])));
    }
    if (!count || flag->kind == KIND_LIST)
        return 0;
    const char *value = values[count - 1];
    switch (flag->kind) {
    case KIND_TEXT:
        json_object_set_new(object, flag->key, run_flags_text(value, strlen(value)));
        return 0;
    case KIND_SWITCH:
        json_object_set_new(object, flag->key, json_boolean(strcmp(value, "true") == 0));
        return 0;
    default:
        return add_number(flags, flag, object, value);
    }
}

/* A variable or a word of the command may be any bytes; all else must be text. */
static int check_text(const struct run_flags *flags)
{
    for (size_t i = 0; i < flags->line->setting_count; i++) {
        const struct command_setting *setting = &flags->line->settings[i];
        json_t *text = json_string(setting->value);
        json_decref(text);
        if (!text && strcmp(setting->flag->name, "env") != 0)
            return error_set(flags->err, 0, "--%s: the value is not UTF-8", setting->flag->name);
    }
    return 0;
}

int run_flags_make_settings(struct command_line *line, const struct warnings *warnings,
                            json_t **settings, struct error *err)
{
    static int (*const parts[])(struct run_flags * flags) = {
        run_flags_add_process,   run_flags_add_health,  run_flags_add_labels,
        run_flags_add_resources, run_flags_add_devices, run_flags_add_mounts,
        run_flags_add_networks,  run_flags_add_ports,   run_flags_add_security,
    };
    json_t *document = json_object();
    json_object_set_new(document, "HostConfig", json_object());
    struct run_flags flags = {line, warnings, document, json_object_get(document, "HostConfig"),
                              err};
    int status = check_text(&flags);
    for (size_t i = 0; status == 0 && i < sizeof simple_flags / sizeof *simple_flags; i++)
        status = add_simple(&flags, &simple_flags[i]);
    for (size_t i = 0; status == 0 && i < sizeof parts / sizeof *parts; i++)
        status = parts[i](&flags);
    if (status < 0)
        json_decref(document);
    else
        *settings = document;
    return status;
}

json_t *run_flags_make_changes(struct command_line *line, struct error *err)
{
    json_t *changes = json_object();
    struct run_flags flags = {line, NULL, NULL, changes, err};
    int status = check_text(&flags);
    for (size_t i = 0; status == 0 && i < sizeof simple_flags / sizeof *simple_flags; i++)
        if (simple_flags[i].in_host && run_flags_has(&flags, simple_flags[i].flag))
            status = add_simple(&flags, &simple_flags[i]);
    if (status == 0 && run_flags_add_cpus(&flags) == 0 && run_flags_add_restart(&flags) == 0)
        return changes;
    json_decref(changes);
    return NULL;
}
