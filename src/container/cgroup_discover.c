/* Which hierarchies the host has, the caller's place in them, and from that the container's.
 *
 * /proc/self/cgroup names the hierarchies; where they are mounted is tried at the well-known
 * places first (one statfs each, a microsecond), and only if one of them isn't there, or our own
 * cgroup isn't below it (a container without a cgroup namespace), mountinfo is read. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

#define MOUNTINFO_MAX (16 << 20)

static long real_filesystem_type(const char *path)
{
    struct statfs status;
    return statfs(path, &status) < 0 ? -1 : (long)status.f_type;
}

const struct cgroup_host cgroup_host_real = {
    "/sys/fs/cgroup",
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    real_filesystem_type,
};

const struct cgroup_hierarchy *cgroup_find_v1(const struct cgroup *cgroup, const char *controller)
{
    for (size_t i = 0; i < cgroup->count; i++)
        if (!cgroup->hierarchies[i].v2 &&
            cgroup_list_has(cgroup->hierarchies[i].controllers, ',', controller))
            return &cgroup->hierarchies[i];
    return NULL;
}

const struct cgroup_hierarchy *cgroup_find_v2(const struct cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->count; i++)
        if (cgroup->hierarchies[i].v2)
            return &cgroup->hierarchies[i];
    return NULL;
}

/* Copies length bytes of text as a string into a field of a given size. */
static int copy_field(char *field, size_t size, const char *text, size_t length, struct error *err)
{
    if (length >= size)
        return error_set(err, ENAMETOOLONG, "cgroup '%.*s'", (int)(length > 200 ? 200 : length),
                         text);
    memcpy(field, text, length);
    field[length] = '\0';
    return 0;
}

/* Tries the well-known mount points of a hierarchy; leaves mount_point empty if none fits. */
static void find_well_known(struct cgroup_hierarchy *hierarchy, const struct cgroup_host *host)
{
    const char *name = hierarchy->v2 ? "unified" : hierarchy->controllers;
    if (strncmp(name, "name=", 5) == 0)
        name += 5;
    /* A joint hierarchy's directory may list the controllers in another order than the kernel;
     * then each controller alone is a symbolic link to it. */
    size_t lengths[2] = {strlen(name), strcspn(name, ",")};
    for (int try = 0; try < (lengths[0] == lengths[1] ? 1 : 2); try++) {
        snprintf(hierarchy->mount_point, sizeof hierarchy->mount_point, "%s/%.*s", host->root,
                 (int)lengths[try], name);
        if (host->filesystem_type(hierarchy->mount_point) ==
            (hierarchy->v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
            return;
    }
    hierarchy->mount_point[0] = '\0';
}

/* Adds the hierarchies of the lines "ID:controllers:path" of /proc/self/cgroup. */
static int read_membership(struct cgroup *cgroup, const struct cgroup_host *host, bool only_v2,
                           struct error *err)
{
    scope_free char *text = file_read_all(AT_FDCWD, host->membership, 1 << 20, NULL, err);
    if (!text)
        return -1;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        controllers++;
        bool v2 = controllers == path;
        if (only_v2 && !v2)
            continue;
        if (cgroup->count == CGROUP_HIERARCHY_MAX)
            return error_set(err, E2BIG, "%s lists more than %d cgroup hierarchies",
                             host->membership, CGROUP_HIERARCHY_MAX);
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[cgroup->count++];
        hierarchy->v2 = v2;
        hierarchy->mount_point[0] = hierarchy->path[0] = '\0';
        if (copy_field(hierarchy->controllers, sizeof hierarchy->controllers, controllers,
                       (size_t)(path - controllers), err) < 0 ||
            copy_field(hierarchy->own_path, sizeof hierarchy->own_path, path + 1, strlen(path + 1),
                       err) < 0)
            return -1;
        if (only_v2)
            snprintf(hierarchy->mount_point, sizeof hierarchy->mount_point, "%s", host->root);
        else
            find_well_known(hierarchy, host);
    }
    return 0;
}

/* Is our own cgroup visible under the mount point? */
static bool own_path_is_visible(const struct cgroup_hierarchy *hierarchy)
{
    if (strcmp(hierarchy->own_path, "/") == 0)
        return true;
    if (strncmp(hierarchy->own_path, "/..", 3) == 0)
        return false;
    char path[1024];
    snprintf(path, sizeof path, "%s%s", hierarchy->mount_point, hierarchy->own_path);
    return access(path, F_OK) == 0;
}

/* Takes from one mount what the hierarchy lacks: the place, and what of our own path the mount's
 * root already covers. */
static void take_mount(struct cgroup_hierarchy *hierarchy, const char *root, const char *target)
{
    if (hierarchy->mount_point[0] && strcmp(hierarchy->mount_point, target) != 0)
        return;
    if (strlen(target) >= sizeof hierarchy->mount_point)
        return;
    strcpy(hierarchy->mount_point, target);
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *own = hierarchy->own_path;
    if (length && strncmp(own, root, length) == 0 && (own[length] == '/' || own[length] == '\0'))
        memmove(hierarchy->own_path, own + length, strlen(own + length) + 1);
    if (hierarchy->own_path[0] == '\0' || !own_path_is_visible(hierarchy))
        strcpy(hierarchy->own_path, "/");
}

/* One line: ID PARENT DEVICE ROOT TARGET OPTIONS … - TYPE SOURCE SUPER_OPTIONS. */
static void read_mount(struct cgroup *cgroup, bool *missing, char *line)
{
    char *separator = strstr(line, " - cgroup");
    if (!separator)
        return;
    *separator = '\0';
    char *save = NULL, *fields[5] = {0};
    for (int i = 0; i < 5; i++)
        fields[i] = strtok_r(i ? NULL : line, " ", &save);
    char *type = strtok_r(separator + 3, " ", &save);
    strtok_r(NULL, " ", &save);
    char *options = strtok_r(NULL, " ", &save);
    if (!fields[4] || !type || !options)
        return;
    file_unescape_mount(fields[3]);
    file_unescape_mount(fields[4]);
    bool v2 = strcmp(type, "cgroup2") == 0;
    for (size_t i = 0; i < cgroup->count; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        if (!missing[i] || hierarchy->v2 != v2)
            continue;
        char first[sizeof hierarchy->controllers];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(hierarchy->controllers, ","),
                 hierarchy->controllers);
        if (!v2 && !cgroup_list_has(options, ',', first))
            continue;
        take_mount(hierarchy, fields[3], fields[4]);
        missing[i] = hierarchy->mount_point[0] == '\0';
    }
}

/* Reads mountinfo if a hierarchy's place, or our own place in it, isn't known yet. */
static int complete_from_mountinfo(struct cgroup *cgroup, const struct cgroup_host *host,
                                   struct error *err)
{
    bool missing[CGROUP_HIERARCHY_MAX], any = false;
    for (size_t i = 0; i < cgroup->count; i++) {
        missing[i] = cgroup->hierarchies[i].mount_point[0] == '\0' ||
                     !own_path_is_visible(&cgroup->hierarchies[i]);
        any |= missing[i];
    }
    if (!any)
        return 0;
    scope_free char *text = file_read_all(AT_FDCWD, host->mountinfo, MOUNTINFO_MAX, NULL, err);
    if (!text)
        return -1;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        read_mount(cgroup, missing, line);
    size_t kept = 0;
    for (size_t i = 0; i < cgroup->count; i++) {
        if (cgroup->hierarchies[i].mount_point[0] ==
            '\0') /* known to the kernel, mounted nowhere */
            continue;
        if (missing[i]) /* mounted, but our own cgroup isn't below it */
            strcpy(cgroup->hierarchies[i].own_path, "/");
        if (kept != i)
            cgroup->hierarchies[kept] = cgroup->hierarchies[i];
        kept++;
    }
    cgroup->count = kept;
    return 0;
}

int cgroup_discover_at(struct cgroup *cgroup, const struct cgroup_host *host, struct error *err)
{
    cgroup->mode = CGROUP_MODE_NONE;
    cgroup->manager = CGROUP_MANAGER_FILES;
    cgroup->count = 0;
    cgroup->systemd_unit[0] = cgroup->systemd_slice[0] = '\0';
    cgroup->systemd_user = cgroup->rootless = false;
    bool only_v2 = host->filesystem_type(host->root) == CGROUP2_SUPER_MAGIC;
    if (read_membership(cgroup, host, only_v2, err) < 0 ||
        complete_from_mountinfo(cgroup, host, err) < 0)
        return -1;
    size_t v2 = cgroup_find_v2(cgroup) ? 1 : 0;
    if (cgroup->count > v2)
        cgroup->mode = v2 ? CGROUP_MODE_HYBRID : CGROUP_MODE_V1;
    else if (v2)
        cgroup->mode = CGROUP_MODE_V2;
    return 0;
}

/* Appends the components of inner to path, resolving "." ".." and empty ones in the text; never
 * goes above where path ends now. */
static int append_clean(char *path, size_t size, const char *inner)
{
    size_t floor = strlen(path), length = floor;
    while (*inner) {
        size_t component = strcspn(inner, "/");
        if (component == 2 && memcmp(inner, "..", 2) == 0) {
            while (length > floor && path[--length] != '/')
                ;
        } else if (component > 0 && !(component == 1 && *inner == '.')) {
            if (length + 1 + component >= size)
                return -1;
            path[length++] = '/';
            memcpy(path + length, inner, component);
            length += component;
        }
        inner += component + (inner[component] == '/');
    }
    path[length] = '\0';
    return 0;
}

int cgroup_place(struct cgroup_hierarchy *hierarchy, const char *base, const char *inner,
                 struct error *err)
{
    char *path = hierarchy->path;
    strcpy(path, hierarchy->mount_point);
    if (append_clean(path, sizeof hierarchy->path, base) < 0)
        return error_set(err, ENAMETOOLONG, "the container's cgroup below %s%s",
                         hierarchy->mount_point, base);
    size_t length = strlen(path);
    if (append_clean(path, sizeof hierarchy->path, inner) < 0)
        return error_set(err, ENAMETOOLONG, "the container's cgroup below %s", path);
    if (strlen(path) == length)
        return error_set(err, 0,
                         "linux.cgroupsPath: '%s' names no cgroup below %s (the container "
                         "needs a cgroup of its own)",
                         inner, path);
    return 0;
}

static int place_all(struct cgroup *cgroup, const char *cgroups_path, const char *id,
                     struct error *err)
{
    bool absolute = cgroups_path && cgroups_path[0] == '/';
    const char *inner = cgroups_path && cgroups_path[0] ? cgroups_path : id;
    for (size_t i = 0; i < cgroup->count; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        char base[sizeof hierarchy->own_path] = "";
        if (!absolute)
            strcpy(base, hierarchy->own_path);
        char *slash = strrchr(base, '/');
        if (!absolute && cgroup->mode == CGROUP_MODE_V2 && slash)
            *slash = '\0';
        if (cgroup_place(hierarchy, base, inner, err) < 0)
            return -1;
    }
    return 0;
}

/* May the caller make the container's directory? Asks about its nearest existing parent. */
static bool is_writable(const struct cgroup_hierarchy *hierarchy)
{
    char path[sizeof hierarchy->path];
    strcpy(path, hierarchy->path);
    size_t floor = strlen(hierarchy->mount_point);
    for (;;) {
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < floor)
            return false;
        *slash = '\0';
        if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0)
            return true;
        if (errno != ENOENT)
            return false;
    }
}

int cgroup_resolve_at(struct cgroup *cgroup, const struct cgroup_host *host,
                      enum cgroup_manager manager, const char *cgroups_path, const char *id,
                      bool rootless, struct error *err)
{
    if (cgroup_discover_at(cgroup, host, err) < 0)
        return -1;
    cgroup->manager = manager;
    cgroup->rootless = rootless;
    if (manager == CGROUP_MANAGER_SYSTEMD)
        return cgroup_systemd_resolve(cgroup, cgroups_path, id, err);
    if (place_all(cgroup, cgroups_path, id, err) < 0)
        return -1;
    if (!rootless)
        return 0;
    size_t kept = 0;
    for (size_t i = 0; i < cgroup->count; i++) {
        if (!is_writable(&cgroup->hierarchies[i]))
            continue;
        if (kept != i)
            cgroup->hierarchies[kept] = cgroup->hierarchies[i];
        kept++;
    }
    cgroup->count = kept;
    return 0;
}

int cgroup_discover(struct cgroup *cgroup, struct error *err)
{
    return cgroup_discover_at(cgroup, &cgroup_host_real, err);
}

int cgroup_resolve(struct cgroup *cgroup, enum cgroup_manager manager, const char *cgroups_path,
                   const char *id, bool rootless, struct error *err)
{
    return cgroup_resolve_at(cgroup, &cgroup_host_real, manager, cgroups_path, id, rootless, err);
}
