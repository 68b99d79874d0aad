/* What is recorded of a container's cgroups, so that a later process finds them again. */
#include <errno.h>
#include <string.h>

#include "container/cgroup_internal.h"

static const char *const mode_names[] = {
    [CGROUP_MODE_NONE] = "none",
    [CGROUP_MODE_V1] = "v1",
    [CGROUP_MODE_HYBRID] = "hybrid",
    [CGROUP_MODE_V2] = "v2",
};

json_t *cgroup_to_json(const struct cgroup *cgroup)
{
    json_t *list = json_array();
    for (size_t i = 0; i < cgroup->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s}", "controllers",
                                        hierarchy->controllers, "mount", hierarchy->mount_point,
                                        "own", hierarchy->own_path, "path", hierarchy->path));
    }
    json_t *object = json_pack("{s:s, s:b, s:o}", "mode", mode_names[cgroup->mode], "rootless",
                               cgroup->rootless, "hierarchies", list);
    if (object && cgroup->manager == CGROUP_MANAGER_SYSTEMD)
        json_object_set_new(object, "systemd",
                            json_pack("{s:s, s:s, s:b}", "unit", cgroup->systemd_unit, "slice",
                                      cgroup->systemd_slice, "user", cgroup->systemd_user));
    return object;
}

/* Copies the string called key, which must be there and fit. */
static int take_string(const json_t *object, const char *key, char *field, size_t size,
                       struct error *err)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text)
        return error_set(err, EINVAL, "recorded cgroup: '%s' is missing", key);
    if (strlen(text) >= size)
        return error_set(err, ENAMETOOLONG, "recorded cgroup: '%s' is too long", key);
    strcpy(field, text);
    return 0;
}

/* Only directories below their hierarchy's mount point are believed: they will be removed. */
static int take_hierarchy(struct cgroup_hierarchy *hierarchy, const json_t *object,
                          struct error *err)
{
    if (take_string(object, "controllers", hierarchy->controllers, sizeof hierarchy->controllers,
                    err) < 0 ||
        take_string(object, "mount", hierarchy->mount_point, sizeof hierarchy->mount_point, err) <
            0 ||
        take_string(object, "own", hierarchy->own_path, sizeof hierarchy->own_path, err) < 0 ||
        take_string(object, "path", hierarchy->path, sizeof hierarchy->path, err) < 0)
        return -1;
    hierarchy->v2 = hierarchy->controllers[0] == '\0';
    size_t length = strlen(hierarchy->mount_point);
    const char *below = hierarchy->path + length;
    if (hierarchy->mount_point[0] != '/' || length < 2 ||
        strncmp(hierarchy->path, hierarchy->mount_point, length) != 0 || below[0] != '/' ||
        below[1] == '\0' || strstr(hierarchy->path, "/../") || strstr(hierarchy->path, "//") ||
        (strlen(below) >= 3 && strcmp(below + strlen(below) - 3, "/..") == 0))
        return error_set(err, EINVAL, "recorded cgroup: '%s' isn't below '%s'", hierarchy->path,
                         hierarchy->mount_point);
    return 0;
}

int cgroup_from_json(struct cgroup *cgroup, json_t *object, struct error *err)
{
    cgroup->count = 0;
    cgroup->systemd_unit[0] = cgroup->systemd_slice[0] = '\0';
    cgroup->systemd_user = false;
    cgroup->manager = CGROUP_MANAGER_FILES;
    const char *mode = json_string_value(json_object_get(object, "mode"));
    size_t known = 0;
    while (mode && known < 4 && strcmp(mode, mode_names[known]) != 0)
        known++;
    json_t *list = json_object_get(object, "hierarchies");
    if (!mode || known == 4 || !json_is_array(list) || json_array_size(list) > CGROUP_HIERARCHY_MAX)
        return error_set(err, EINVAL, "recorded cgroup: no valid 'mode' and 'hierarchies'");
    cgroup->mode = (enum cgroup_mode)known;
    cgroup->rootless = json_is_true(json_object_get(object, "rootless"));
    json_t *systemd = json_object_get(object, "systemd");
    if (systemd) {
        cgroup->manager = CGROUP_MANAGER_SYSTEMD;
        cgroup->systemd_user = json_is_true(json_object_get(systemd, "user"));
        if (take_string(systemd, "unit", cgroup->systemd_unit, sizeof cgroup->systemd_unit, err) <
                0 ||
            take_string(systemd, "slice", cgroup->systemd_slice, sizeof cgroup->systemd_slice,
                        err) < 0)
            return -1;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (take_hierarchy(&cgroup->hierarchies[i], json_array_get(list, i), err) < 0)
            return -1;
        cgroup->count++;
    }
    return 0;
}
