/* Changing the limits and the restart policy of a container that may be running. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "engine/machine.h"
#include "engine/settings.h"
#include "engine/settings_internal.h"
#include "engine/spec.h"
#include "engine/start.h"

static const char *const changeable[] = {
    "BlkioWeight", "CpuPeriod",         "CpuQuota",   "CpuShares", "CpusetCpus", "CpusetMems",
    "Memory",      "MemoryReservation", "MemorySwap", "NanoCpus",  "PidsLimit",  "RestartPolicy",
};

static int check_changes(const json_t *changes, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)changes, key, value)
    {
        size_t i = 0;
        while (i < sizeof changeable / sizeof *changeable && strcmp(changeable[i], key) != 0)
            i++;
        if (i == sizeof changeable / sizeof *changeable)
            return error_set(err, 0, "HostConfig.%s can't be changed after the container was made",
                             key);
    }
    return 0;
}

/* A quota takes the place of --cpus, and the other way round. */
static void drop_opposites(const json_t *changes, json_t *host)
{
    if (settings_given(changes, "NanoCpus")) {
        json_object_del(host, "CpuPeriod");
        json_object_del(host, "CpuQuota");
    } else if (settings_given(changes, "CpuPeriod") || settings_given(changes, "CpuQuota")) {
        json_object_del(host, "NanoCpus");
    }
}

static int apply_resources(struct engine *engine, const struct engine_container *container,
                           const json_t *resources, struct error *err)
{
    const char *const words[] = {"update", "--resources", "-", container->id, NULL};
    scope_free char *text = json_dumps(resources, JSON_COMPACT);
    return engine_runtime_call(engine, container, words, text, err);
}

static int apply(struct engine *engine, const struct engine_container *container,
                 const json_t *changes, const json_t *settings, struct error *err)
{
    json_t *resources = NULL;
    const json_t *policy = json_object_get(changes, "RestartPolicy");
    struct monitor_restart restart = {0};
    bool has_limits = json_object_size(changes) > (policy ? 1u : 0u);
    if (has_limits && engine_is_machine(container))
        return error_set(err, 0,
                         "container %s is a virtual machine, whose limits can't change while it "
                         "runs (stop it first)",
                         container->name);
    if (has_limits) {
        int result = spec_make_resources(settings, &resources, err);
        if (result == 0)
            result = apply_resources(engine, container, resources, err);
        json_decref(resources);
        if (result < 0)
            return -1;
    }
    if (!policy)
        return 0;
    const char *name = settings_text(policy, "Name");
    if (monitor_restart_parse(&restart, *name ? name : "no", err) < 0)
        return -1;
    restart.maximum_retry_count = (int)settings_integer(policy, "MaximumRetryCount");
    return monitor_update_restart(container->run_directory, &restart, err);
}

int engine_update(struct engine *engine, const struct engine_container *container,
                  const json_t *changes, struct error *err)
{
    scope_container struct engine_container changed = {0};
    struct monitor_status status = {0};
    scope_close int lock =
        check_changes(changes, err) < 0 ? -1 : engine_lock(container, false, err);
    if (lock < 0)
        return -1;
    if (engine_row_find(engine, container->id, &changed, err) <= 0)
        return -1;
    json_t *host = engine_host_config(&changed);
    drop_opposites(changes, host);
    json_object_update(host, (json_t *)(uintptr_t)changes);
    json_t *checked = json_copy(changed.settings);
    json_object_del(checked, "Mounted");
    json_object_del(checked, "UsernsFirstId");
    int result = settings_check(checked, engine->warnings, err);
    json_decref(checked);
    if (result < 0 || engine_settle(engine, container, lock, &status, err) < 0)
        return -1;
    bool is_up = engine_is_up(&status) && status.state != MONITOR_RESTARTING;
    monitor_status_release(&status);
    if ((is_up && apply(engine, container, changes, changed.settings, err) < 0) ||
        engine_row_set_settings(engine, &changed, err) < 0)
        return -1;
    engine_emit(engine, "container", "update", container->id, engine_event_attributes(container));
    return 0;
}
