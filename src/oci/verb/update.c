#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/container.h"
#include "container/intel_rdt.h"
#include "container/state.h"
#include "oci/config.h"
#include "oci/verb/verb.h"

#define RESOURCES_LIMIT (4u << 20)

static char *read_resources(const char *path, size_t *length, struct error *err)
{
    if (strcmp(path, "-") == 0)
        return file_read_all_fd(STDIN_FILENO, "standard input", RESOURCES_LIMIT, length, err);
    return file_read_all(AT_FDCWD, path, RESOURCES_LIMIT, length, err);
}

/* Flags and where they go in linux.resources. */
static const struct update_flag {
    const char *flag, *section, *member;
    long long minimum, maximum;
    bool text, bytes;
} update_flags[] = {
    {"blkio-weight", "blockIO", "weight", 10, 1000, false},
    {"cpu-period", "cpu", "period", 0, LLONG_MAX, false},
    {"cpu-quota", "cpu", "quota", -1, LLONG_MAX, false},
    {"cpu-burst", "cpu", "burst", 0, LLONG_MAX, false},
    {"cpu-share", "cpu", "shares", 0, LLONG_MAX, false},
    {"cpu-rt-period", "cpu", "realtimePeriod", 0, LLONG_MAX, false},
    {"cpu-rt-runtime", "cpu", "realtimeRuntime", -1, LLONG_MAX, false},
    {"cpu-idle", "cpu", "idle", 0, 1, false},
    {"cpuset-cpus", "cpu", "cpus", 0, 0, true},
    {"cpuset-mems", "cpu", "mems", 0, 0, true},
    {"memory", "memory", "limit", -1, LLONG_MAX, false, true},
    {"memory-reservation", "memory", "reservation", -1, LLONG_MAX, false, true},
    {"memory-swap", "memory", "swap", -1, LLONG_MAX, false, true},
    {"pids-limit", "pids", "limit", -1, LLONG_MAX, false},
};

/* The flags as the JSON object that --resources would hold, so that one parser checks both. */
static json_t *resources_from_flags(const struct verb_context *context, struct error *err)
{
    json_t *resources = json_object();
    for (size_t i = 0; i < sizeof update_flags / sizeof *update_flags; i++) {
        const struct update_flag *flag = &update_flags[i];
        const char *text = command_value(context->line, flag->flag);
        long long number = 0;
        if (!text)
            continue;
        if (!flag->text &&
            (flag->bytes ? verb_bytes : verb_number)(context, flag->flag, flag->minimum,
                                                     flag->maximum, &number, err) < 0) {
            json_decref(resources);
            return NULL;
        }
        json_t *section = json_object_get(resources, flag->section);
        if (!section) {
            section = json_object();
            json_object_set_new(resources, flag->section, section);
        }
        json_object_set_new(section, flag->member,
                            flag->text ? json_string(text) : json_integer(number));
    }
    return resources;
}

static char *resources_text(const struct verb_context *context, size_t *length, struct error *err)
{
    const char *path = command_value(context->line, "resources");
    if (path)
        return read_resources(path, length, err);
    json_t *resources = resources_from_flags(context, err);
    if (!resources)
        return NULL;
    char *text = json_dumps(resources, JSON_COMPACT);
    *length = strlen(text);
    json_decref(resources);
    return text;
}

int verb_update(struct verb_context *context, struct error *err)
{
    struct cgroup cgroup;
    struct config config;
    size_t length;
    scope_free char *text = resources_text(context, &length, err);
    if (!text)
        return -1;
    if (config_parse_resources(&config, text, length, err) < 0)
        return error_wrap(err, "resources");
    scope_record struct record record = RECORD_CLOSED;
    int result = container_open(&record, &cgroup, context->root, verb_id(context), err);
    if (result == 0 && record_status(&record) == CONTAINER_STOPPED)
        result = error_set(err, 0, "container is stopped: there is nothing to limit");
    if (result == 0 && cgroup.count == 0)
        result = error_set(err, 0, "the container has no cgroup of its own to limit");
    if (result == 0)
        result = cgroup_apply(&cgroup, config.linux_section.resources, true, err);
    if (result == 0)
        result = intel_rdt_update(record.header, command_value(context->line, "l3-cache-schema"),
                                  command_value(context->line, "mem-bw-schema"), err);
    config_release(&config);
    return result;
}
