/* Control groups: making, limiting and removing, spread over the hierarchies of the host. Which
 * limit goes where is a table: the v1 hierarchy with the controller if there is one, else v2. */
#include "container/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/cgroup_internal.h"

#define REMOVE_SECONDS 5

/* ---- making ---- */

/* Makes the directory and those of its parents that are missing. */
static int make_directory(const struct cgroup_hierarchy *hierarchy, bool *made, struct error *err)
{
    char path[sizeof hierarchy->path];
    *made = mkdir(hierarchy->path, 0755) == 0;
    if (*made || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return error_set(err, errno, "can't make cgroup %s", hierarchy->path);
    strcpy(path, hierarchy->path);
    for (char *slash = path + strlen(hierarchy->mount_point); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return error_set(err, errno, "can't make cgroup %s", path);
        *slash = '/';
    }
    *made = mkdir(path, 0755) == 0;
    if (*made || errno == EEXIST)
        return 0;
    return error_set(err, errno, "can't make cgroup %s", path);
}

/* A directory that was there already may be left of a killed create, but not in use. */
static int check_unused(const struct cgroup_hierarchy *hierarchy, struct error *err)
{
    scope_free pid_t *pids = NULL;
    size_t count = 0;
    if (cgroup_collect_pids(hierarchy->path, &pids, &count, err) < 0)
        return -1;
    if (count)
        return error_set(err, EBUSY,
                         "cgroup %s holds %zu processes already (the first is %d): choose another "
                         "linux.cgroupsPath",
                         hierarchy->path, count, pids[0]);
    if (hierarchy->v2)
        cgroup_write(hierarchy->path, "cgroup.freeze", "0", NULL);
    else if (cgroup_list_has(hierarchy->controllers, ',', "freezer"))
        cgroup_write(hierarchy->path, "freezer.state", "THAWED", NULL);
    return 0;
}

static int create_in(const struct cgroup *cgroup, const struct cgroup_hierarchy *hierarchy,
                     const struct config *config, struct error *err)
{
    bool made;
    const struct config_resources *resources = config ? config->linux_section.resources : NULL;
    if (make_directory(hierarchy, &made, err) < 0)
        return -1;
    if (!made && cgroup->manager == CGROUP_MANAGER_FILES && check_unused(hierarchy, err) < 0)
        return -1;
    if (hierarchy->v2)
        return cgroup->mode == CGROUP_MODE_V2 ? cgroup_v2_prepare(hierarchy, config, err) : 0;
    if (cgroup_list_has(hierarchy->controllers, ',', "cpuset") &&
        cgroup_v1_fill_cpuset(hierarchy, resources, err) < 0)
        return -1;
    /* A real-time process can enter only where there is real-time bandwidth. */
    if (resources && cgroup_list_has(hierarchy->controllers, ',', "cpu"))
        return cgroup_v1_set_realtime(hierarchy->path, resources, err);
    return 0;
}

static int create_version(const struct cgroup *cgroup, bool v2, const struct config *config,
                          struct error *err)
{
    for (size_t i = 0; i < cgroup->count; i++)
        if (cgroup->hierarchies[i].v2 == v2 &&
            create_in(cgroup, &cgroup->hierarchies[i], config, err) < 0)
            return -1;
    return 0;
}

int cgroup_create_v2(const struct cgroup *cgroup, const struct config *config, struct error *err)
{
    return create_version(cgroup, true, config, err);
}

int cgroup_create_v1(const struct cgroup *cgroup, const struct config *config, struct error *err)
{
    return create_version(cgroup, false, config, err);
}

int cgroup_create(struct cgroup *cgroup, pid_t pid, const struct config *config, struct error *err)
{
    if (cgroup->manager == CGROUP_MANAGER_SYSTEMD &&
        cgroup_systemd_start(cgroup, pid, config, err) < 0)
        return -1;
    if (cgroup_create_v2(cgroup, config, err) < 0)
        return -1;
    return cgroup_create_v1(cgroup, config, err);
}

int cgroup_open_v2(const struct cgroup *cgroup)
{
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    if (!v2) {
        errno = ENOENT;
        return -1;
    }
    return open(v2->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_open_entries(const struct cgroup *cgroup, bool include_v2,
                        int entries[CGROUP_HIERARCHY_MAX], struct error *err)
{
    int count = 0;
    for (size_t i = 0; i < cgroup->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        char path[sizeof hierarchy->path + 16];
        if (hierarchy->v2 && !include_v2)
            continue;
        snprintf(path, sizeof path, "%s/%s", hierarchy->path,
                 hierarchy->v2 ? "cgroup.procs" : "tasks");
        entries[count] = open(path, O_WRONLY | O_CLOEXEC);
        if (entries[count] < 0) {
            error_set(err, errno, "can't open %s", path);
            while (count > 0)
                close(entries[--count]);
            return -1;
        }
        count++;
    }
    return count;
}

/* ---- limiting ---- */

static bool has_cpuset(const struct config_resources *resources)
{
    return (resources->cpu.cpus && resources->cpu.cpus[0]) ||
           (resources->cpu.mems && resources->cpu.mems[0]);
}

static bool has_memory(const struct config_resources *resources)
{
    return (resources->memory.limit.given && resources->memory.limit.value) ||
           (resources->memory.reservation.given && resources->memory.reservation.value) ||
           (resources->memory.swap.given && resources->memory.swap.value);
}

/* Also what only v1 knows: asked of v2, runc lets it pass, and so do we. */
static bool has_memory_v1(const struct config_resources *resources)
{
    return has_memory(resources) ||
           (resources->memory.has_disable_oom_killer && resources->memory.disable_oom_killer) ||
           (resources->memory.swappiness.given && resources->memory.swappiness.value != -1);
}

static bool has_cpu(const struct config_resources *resources)
{
    return (resources->cpu.has_shares && resources->cpu.shares) ||
           (resources->cpu.has_period && resources->cpu.period) ||
           (resources->cpu.quota.given && resources->cpu.quota.value) ||
           resources->cpu.burst.given || resources->cpu.idle.given ||
           (resources->cpu.has_realtime_period && resources->cpu.realtime_period) ||
           (resources->cpu.realtime_runtime.given && resources->cpu.realtime_runtime.value);
}

static bool has_pids(const struct config_resources *resources)
{
    return resources->pids_limit.given;
}

static bool has_block(const struct config_resources *resources)
{
    bool given = resources->block.weight.given || resources->block.leaf_weight.given ||
                 resources->block.weight_device_count;
    for (int kind = 0; kind < CONFIG_THROTTLE_KINDS; kind++)
        given |= resources->block.throttle_count[kind] > 0;
    return given;
}

static bool has_hugepages(const struct config_resources *resources)
{
    return resources->hugepage_limit_count > 0;
}

static bool has_class_id(const struct config_resources *resources)
{
    return resources->network.has_class_id && resources->network.class_id;
}

static bool has_priorities(const struct config_resources *resources)
{
    return resources->network.priority_count > 0;
}

static bool has_rdma(const struct config_resources *resources)
{
    return resources->rdma_count > 0;
}

typedef int limit_setter(const char *, const struct config_resources *, struct error *);

static const struct limit {
    const char *v1_controller, *v2_controller;
    bool (*given_v1)(const struct config_resources *);
    bool (*given)(const struct config_resources *);
    limit_setter *set_v1, *set_v2;
} limits[] = {
    {"cpuset", "cpuset", has_cpuset, has_cpuset, cgroup_v1_set_cpuset, cgroup_v2_set_cpuset},
    {"memory", "memory", has_memory_v1, has_memory, cgroup_v1_set_memory, cgroup_v2_set_memory},
    {"cpu", "cpu", has_cpu, has_cpu, cgroup_v1_set_cpu, cgroup_v2_set_cpu},
    {"pids", "pids", has_pids, has_pids, cgroup_set_pids, cgroup_set_pids},
    {"blkio", "io", has_block, has_block, cgroup_v1_set_block, cgroup_v2_set_io},
    {"hugetlb", "hugetlb", has_hugepages, has_hugepages, cgroup_v1_set_hugepages,
     cgroup_v2_set_hugepages},
    {"net_cls", NULL, has_class_id, has_class_id, cgroup_v1_set_class_id, NULL},
    {"net_prio", NULL, has_priorities, has_priorities, cgroup_v1_set_priorities, NULL},
    {"rdma", "rdma", has_rdma, has_rdma, cgroup_set_rdma, cgroup_set_rdma},
};

static int apply_limit(const struct cgroup *cgroup, const struct limit *limit,
                       const struct config_resources *resources, struct error *err)
{
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, limit->v1_controller);
    if (v1)
        return limit->given_v1(resources) ? limit->set_v1(v1->path, resources, err) : 0;
    if (!limit->given(resources))
        return 0;
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    if (v2 && limit->set_v2) {
        /* On a hybrid host only what is asked for is switched on; on v2, all was at creation. */
        char here[512];
        if (cgroup->mode == CGROUP_MODE_HYBRID &&
            cgroup_read(v2->path, "cgroup.controllers", here, sizeof here) >= 0 &&
            !cgroup_list_has(here, ' ', limit->v2_controller))
            cgroup_v2_enable(v2, limit->v2_controller);
        return limit->set_v2(v2->path, resources, err);
    }
    if (cgroup->rootless)
        return 0;
    return error_set(err, 0, "linux.resources: this host has no cgroup controller '%s'",
                     limit->v1_controller);
}

int cgroup_apply(const struct cgroup *cgroup, const struct config_resources *resources,
                 bool is_update, struct error *err)
{
    if (is_update && resources && cgroup->manager == CGROUP_MANAGER_SYSTEMD &&
        cgroup_systemd_update(cgroup, resources, err) < 0)
        return -1;
    if (cgroup_set_devices(cgroup, resources, is_update, err) < 0)
        return -1;
    for (size_t i = 0; resources && i < sizeof limits / sizeof *limits; i++)
        if (apply_limit(cgroup, &limits[i], resources, err) < 0)
            return -1;
    return resources ? cgroup_v2_set_unified(cgroup, resources, err) : 0;
}

/* ---- removing ---- */

int cgroup_remove(const struct cgroup *cgroup, struct error *err)
{
    struct error stopped = {0}, reason;
    int result = 0;
    if (cgroup->manager == CGROUP_MANAGER_SYSTEMD)
        cgroup_systemd_stop(cgroup, &stopped);
    struct timespec deadline = cgroup_deadline(REMOVE_SECONDS);
    /* v2 first: it tells when its processes are gone, and then they are gone from the others. */
    for (int v2 = 1; v2 >= 0; v2--)
        for (size_t i = 0; i < cgroup->count; i++) {
            const struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
            if (hierarchy->v2 == v2 && cgroup_remove_tree(hierarchy, &deadline, &reason) < 0 &&
                result == 0) {
                result = -1;
                if (err)
                    *err = reason;
            }
        }
    /* Without systemd's help an empty scope still ends by itself. */
    if (result < 0 && stopped.text[0])
        error_wrap(err, "%s", stopped.text);
    return result;
}

/* ---- out of memory ---- */

static int watch_v1(const char *path, struct error *err)
{
    char name[1100], text[64];
    scope_close int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(name, sizeof name, "%s/memory.oom_control", path);
    scope_close int control = open(name, O_RDONLY | O_CLOEXEC);
    if (event < 0 || control < 0)
        return error_set(err, errno, "can't watch %s", name);
    snprintf(text, sizeof text, "%d %d", event, control);
    if (cgroup_write(path, "cgroup.event_control", text, err) < 0)
        return -1;
    return scope_take_fd(&event);
}

static int watch_v2(const char *path, struct error *err)
{
    char name[1100];
    scope_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(name, sizeof name, "%s/memory.events", path);
    if (watch < 0 || inotify_add_watch(watch, name, IN_MODIFY | IN_DELETE_SELF) < 0)
        return error_set(err, errno, "can't watch %s", name);
    return scope_take_fd(&watch);
}

int cgroup_oom_watch(const struct cgroup *cgroup, struct error *err)
{
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "memory");
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    if (v1)
        return watch_v1(v1->path, err);
    if (v2)
        return watch_v2(v2->path, err);
    return error_set(err, 0, "can't watch for out of memory: the container has no memory cgroup");
}

int64_t cgroup_oom_count(const struct cgroup *cgroup)
{
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "memory");
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    uint64_t count = 0;
    if (v1 ? cgroup_read_key(v1->path, "memory.oom_control", "oom_kill", &count) < 0
           : !v2 || cgroup_read_key(v2->path, "memory.events", "oom_kill", &count) < 0)
        return -1;
    return (int64_t)count;
}
