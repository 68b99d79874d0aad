#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "oci/config.h"
#include "vm/runtime/keeper.h"
#include "vm/runtime/verb.h"

struct creation {
    struct bundle bundle;
    struct record record;
};

/* The limits of memory and processes are the guest's own: the monitor is never to be killed for
 * what its guest does. Devices are what the jail has. */
static void drop_guest_limits(struct config_resources *resources)
{
    resources->memory.limit.given = resources->memory.swap.given = false;
    resources->memory.reservation.given = false;
    resources->pids_limit.given = false;
    resources->device_rule_count = 0;
}

/* What of config.json is the host's affair: processors, weights, devices' rates. */
static int make_cgroup(struct creation *creation, struct error *err)
{
    struct config config;
    scope_free char *text = json_dumps(creation->bundle.config, JSON_COMPACT);
    if (config_parse(&config, text, strlen(text), err) < 0)
        return error_wrap(err, "config.json");
    struct config_resources *resources = config.linux_section.resources;
    int status = cgroup_create(&creation->record.cgroup, 0, NULL, err);
    if (status == 0 && resources) {
        drop_guest_limits(resources);
        status = cgroup_apply(&creation->record.cgroup, resources, true, err);
    }
    config_release(&config);
    return status;
}

static int note(void *context, pid_t pid, struct error *err)
{
    struct creation *creation = context;
    return record_set_keeper(&creation->record, pid, err);
}

static void keep(void *context, int ready)
{
    struct creation *creation = context;
    const struct keeper_options options = {
        .bundle = &creation->bundle, .record = &creation->record, .ready = ready};
    keeper_run(&options);
}

static int resolve_cgroup(const struct creation *creation, const char *id, struct cgroup *cgroup,
                          struct error *err)
{
    const json_t *section = json_object_get(creation->bundle.config, "linux");
    const char *path = json_string_value(json_object_get(section, "cgroupsPath"));
    return cgroup_resolve(cgroup, CGROUP_MANAGER_FILES, path, id, false, err);
}

static int create(const struct verb_context *context, struct creation *creation, struct error *err)
{
    if (make_cgroup(creation, err) < 0)
        return -1;
    scope_close int cgroup = cgroup_open_v2(&creation->record.cgroup);
    const json_t *process = json_object_get(creation->bundle.config, "process");
    const json_t *size = json_object_get(process, "consoleSize");
    const struct detached_options options = {
        .has_terminal = creation->bundle.has_terminal,
        .rows = (unsigned short)json_integer_value(json_object_get(size, "height")),
        .columns = (unsigned short)json_integer_value(json_object_get(size, "width")),
        .cgroup = cgroup,
        .note = note,
        .run = keep,
        .context = creation};
    return detach_process(context, &options, err);
}

int verb_create(const struct verb_context *context, struct error *err)
{
    struct creation creation = {0};
    struct cgroup cgroup;
    char directory[PATH_MAX];
    const char *given = command_value(context->line, "bundle");
    if (!realpath(given ? given : ".", directory))
        return error_set(err, errno, "can't use the bundle %s", given ? given : ".");
    int status = bundle_read(&creation.bundle, directory, err);
    if (status == 0)
        status = resolve_cgroup(&creation, context->id, &cgroup, err);
    if (status == 0)
        status =
            record_enter(&creation.record, context->root, context->id, directory, &cgroup, err);
    if (status == 0 && (status = create(context, &creation, err)) < 0) {
        struct error ignored;
        machine_forget(&creation.record, &ignored);
    }
    bundle_release(&creation.bundle);
    record_release(&creation.record);
    return status;
}
