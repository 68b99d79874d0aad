#include "container/intel_rdt.h"

#include <stdio.h>

#include "base/scope.h"
#include "container/resctrl.h"

static json_t *plan_to_json(const char *mount_point, const struct resctrl_group *group)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:b}", "mount", mount_point, "class", group->class,
                     "monitor", group->monitor, "create", group->create, "remove", group->remove);
}

/* The mount point (borrowed), or NULL if the header holds no plan. */
static const char *plan_from_json(const json_t *header, struct resctrl_group *group)
{
    json_t *plan = json_object_get(header, "intelRdt");
    const char *mount_point = json_string_value(json_object_get(plan, "mount"));
    const char *class = json_string_value(json_object_get(plan, "class"));
    const char *monitor = json_string_value(json_object_get(plan, "monitor"));
    if (!mount_point || !class || !monitor)
        return NULL;
    *group = (struct resctrl_group){.create = json_is_true(json_object_get(plan, "create")),
                                    .remove = json_is_true(json_object_get(plan, "remove"))};
    snprintf(group->class, sizeof group->class, "%s", class);
    snprintf(group->monitor, sizeof group->monitor, "%s", monitor);
    return mount_point;
}

json_t *intel_rdt_plan(const struct config_intel_rdt *rdt, const char *id, struct error *err)
{
    struct resctrl_group group;
    scope_free char *mount_point = resctrl_find_mount(err);
    if (!mount_point || resctrl_plan(mount_point, rdt, id, &group, err) < 0)
        return NULL;
    return plan_to_json(mount_point, &group);
}

int intel_rdt_create(const json_t *header, const struct config_intel_rdt *rdt, struct error *err)
{
    struct resctrl_group group;
    const char *mount_point = plan_from_json(header, &group);
    if (!mount_point)
        return 0;
    if (resctrl_create(mount_point, &group, err) < 0)
        return -1;
    return resctrl_configure(mount_point, &group, rdt, err);
}

int intel_rdt_add_process(const json_t *header, pid_t pid, struct error *err)
{
    struct resctrl_group group;
    const char *mount_point = plan_from_json(header, &group);
    return mount_point ? resctrl_add_process(mount_point, &group, pid, err) : 0;
}

int intel_rdt_remove(const json_t *header, struct error *err)
{
    struct resctrl_group group;
    const char *mount_point = plan_from_json(header, &group);
    return mount_point ? resctrl_remove(mount_point, &group, err) : 0;
}

int intel_rdt_update(const json_t *header, const char *l3_cache_schema, const char *mem_bw_schema,
                     struct error *err)
{
    struct resctrl_group group;
    if (!l3_cache_schema && !mem_bw_schema)
        return 0;
    const char *mount_point = plan_from_json(header, &group);
    if (!mount_point)
        return error_set(err, 0,
                         "the container was made without linux.intelRdt: there is no "
                         "class of service to change");
    struct config_intel_rdt rdt = {.l3_cache_schema = l3_cache_schema,
                                   .mem_bw_schema = mem_bw_schema};
    return resctrl_configure(mount_point, &group, &rdt, err);
}
