#include "container/resctrl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/resctrl_schemata.h"

#define FILE_LIMIT (1024 * 1024) /* bytes read of any file */
#define MONITOR_DIRECTORY "mon_groups"

/* ---- the mount ---- */

/* mountinfo: "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS TAGS… - TYPE SOURCE …". */
static char *parse_mount(char *line)
{
    char *separator = strstr(line, " - ");
    if (!separator || strncmp(separator + 3, "resctrl ", 8) != 0)
        return NULL;
    char *rest = line, *field = NULL;
    for (int i = 0; i < 5; i++)
        field = strsep(&rest, " ");
    if (!field)
        return NULL;
    file_unescape_mount(field);
    return memory_copy_string(field);
}

char *resctrl_find_mount(struct error *err)
{
    scope_free char *text =
        file_read_all(AT_FDCWD, "/proc/self/mountinfo", 16 * FILE_LIMIT, NULL, err);
    if (!text)
        return NULL;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char *mount_point = parse_mount(line);
        if (mount_point)
            return mount_point;
    }
    error_set(err, 0,
              "no resctrl file system is mounted (mount -t resctrl resctrl /sys/fs/resctrl, if the "
              "processor has it)");
    return NULL;
}

static int open_class(const char *mount_point, const struct resctrl_group *group)
{
    scope_close int root = open(mount_point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || !group->class[0])
        return scope_take_fd(&root);
    return file_open_resolved(root, group->class, O_PATH | O_DIRECTORY, 0,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* Fails with the kernel's own words, which say far more than the error number. */
static int fail_with_status(const char *mount_point, struct error *err)
{
    scope_free char *path = memory_format("%s/info/last_cmd_status", mount_point);
    scope_free char *status = file_read_all(AT_FDCWD, path, FILE_LIMIT, NULL, NULL);
    if (!status)
        return -1;
    status[strcspn(status, "\n")] = '\0';
    if (*status && strcmp(status, "ok") != 0)
        error_wrap(err, "resctrl says '%s'", status);
    return -1;
}

/* ---- plan ---- */

static int copy_name(char to[256], const char *field, const char *name, struct error *err)
{
    static const char *const reserved[] = {".", "..", "info", "mon_groups", "mon_data"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (strcmp(name, reserved[i]) == 0)
            return error_set(err, 0, "%s: '%s' can't be the name of a class of service", field,
                             name);
    }
    if (!*name || strlen(name) >= 256 || strpbrk(name, "/\n"))
        return error_set(err, 0, "%s: '%s' isn't the name of a directory", field, name);
    strcpy(to, name);
    return 0;
}

static int check_schemata(const struct config_intel_rdt *rdt, struct error *err)
{
    if (rdt->mem_bw_schema && strncmp(rdt->mem_bw_schema, "MB:", 3) != 0)
        return error_set(err, 0, "linux.intelRdt.memBwSchema: '%s' doesn't start with 'MB:'",
                         rdt->mem_bw_schema);
    if ((rdt->l3_cache_schema && strchr(rdt->l3_cache_schema, '\n')) ||
        (rdt->mem_bw_schema && strchr(rdt->mem_bw_schema, '\n')))
        return error_set(err, 0, "linux.intelRdt: a schema can't have a line break");
    for (size_t i = 0; i < rdt->schemata.count; i++) {
        if (strchr(rdt->schemata.items[i], '\n'))
            return error_set(err, 0, "linux.intelRdt.schemata[%zu]: has a line break", i);
    }
    return 0;
}

/* The monitoring that the specification's 1.2 asks for by kind comes as a whole: a group of its
 * own, if the processor can count what is asked for. */
static int check_monitoring(const char *mount_point, const struct config_intel_rdt *rdt,
                            struct error *err)
{
    scope_free char *path = memory_format("%s/info/L3_MON/mon_features", mount_point);
    scope_free char *features = file_read_all(AT_FDCWD, path, FILE_LIMIT, NULL, NULL);
    if (rdt->enable_cmt && !(features && strstr(features, "llc_occupancy")))
        return error_set(err, 0,
                         "linux.intelRdt.enableCMT: this host can't monitor cache occupancy");
    if (rdt->enable_mbm && !(features && strstr(features, "mbm_")))
        return error_set(err, 0,
                         "linux.intelRdt.enableMBM: this host can't monitor memory bandwidth");
    return 0;
}

static int check_existing(const char *mount_point, const struct config_intel_rdt *rdt,
                          const struct resctrl_group *group, const char *wanted, struct error *err)
{
    scope_close int class = open_class(mount_point, group);
    scope_free char *present =
        class < 0 ? NULL : file_read_all(class, "schemata", FILE_LIMIT, NULL, err);
    if (class < 0)
        return error_set(err, errno, "can't open the class of service '%s'", group->class);
    if (!present)
        return -1;
    if (resctrl_schemata_include(present, wanted, err) < 0)
        return error_wrap(err, "linux.intelRdt.closID: '%s' exists", rdt->closid);
    return 0;
}

int resctrl_plan(const char *mount_point, const struct config_intel_rdt *rdt, const char *id,
                 struct resctrl_group *group, struct error *err)
{
    *group = (struct resctrl_group){0};
    if (check_schemata(rdt, err) < 0)
        return -1;
    bool monitored = rdt->enable_cmt || rdt->enable_mbm;
    if (monitored && (check_monitoring(mount_point, rdt, err) < 0 ||
                      copy_name(group->monitor, "container id", id, err) < 0))
        return -1;
    bool is_root = rdt->closid && strcmp(rdt->closid, "/") == 0;
    if (!is_root && copy_name(group->class, rdt->closid ? "linux.intelRdt.closID" : "container id",
                              rdt->closid ? rdt->closid : id, err) < 0)
        return -1;
    scope_close int class = open_class(mount_point, group);
    if (class < 0 && errno != ENOENT)
        return error_set(err, errno, "can't open the class of service '%s'", group->class);
    group->create = class < 0;
    group->remove = group->create && !rdt->closid;
    scope_free char *wanted = resctrl_schemata_join(rdt);
    if (group->create && rdt->closid && !*wanted)
        return error_set(err, ENOENT,
                         "linux.intelRdt.closID: there is no class of service '%s', and no schema "
                         "to make one",
                         rdt->closid);
    if (!group->create && rdt->closid && *wanted)
        return check_existing(mount_point, rdt, group, wanted, err);
    return 0;
}

/* ---- create, configure, add ---- */

int resctrl_create(const char *mount_point, const struct resctrl_group *group, struct error *err)
{
    if (!group->create)
        return 0;
    scope_free char *path = memory_format("%s/%s", mount_point, group->class);
    /* EEXIST: another container with this closID was faster. */
    if (mkdir(path, 0755) == 0 || (errno == EEXIST && !group->remove))
        return 0;
    error_set(err, errno, "can't make the class of service %s", path);
    return fail_with_status(mount_point, err);
}

static int create_monitor(int class, const struct resctrl_group *group, struct error *err)
{
    scope_free char *path = memory_format(MONITOR_DIRECTORY "/%s", group->monitor);
    if (mkdirat(class, path, 0755) < 0 && errno != EEXIST)
        return error_set(err, errno, "can't make the monitoring group %s of '%s'", path,
                         group->class);
    return 0;
}

int resctrl_configure(const char *mount_point, const struct resctrl_group *group,
                      const struct config_intel_rdt *rdt, struct error *err)
{
    scope_close int class = open_class(mount_point, group);
    if (class < 0)
        return error_set(err, errno, "can't open the class of service '%s'", group->class);
    scope_free char *wanted = resctrl_schemata_join(rdt);
    if (*wanted && file_write_text(class, "schemata", wanted, err) < 0) {
        error_wrap(err, "class of service '%s'", group->class);
        return fail_with_status(mount_point, err);
    }
    if (group->monitor[0] && create_monitor(class, group, err) < 0)
        return fail_with_status(mount_point, err);
    return 0;
}

int resctrl_add_process(const char *mount_point, const struct resctrl_group *group, pid_t pid,
                        struct error *err)
{
    scope_close int class = open_class(mount_point, group);
    if (class < 0)
        return error_set(err, errno, "can't open the class of service '%s'", group->class);
    scope_free char *number = memory_format("%d\n", (int)pid);
    scope_free char *monitor = memory_format(MONITOR_DIRECTORY "/%s/tasks", group->monitor);
    if (file_write_text(class, "tasks", number, err) < 0 ||
        (group->monitor[0] && file_write_text(class, monitor, number, err) < 0)) {
        error_wrap(err, "class of service '%s'", group->class);
        return fail_with_status(mount_point, err);
    }
    return 0;
}

int resctrl_remove(const char *mount_point, const struct resctrl_group *group, struct error *err)
{
    if (!group->monitor[0] && !group->remove)
        return 0;
    scope_close int class = open_class(mount_point, group);
    if (class < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(err, errno, "can't open the class of service '%s'", group->class);
    scope_free char *monitor = memory_format(MONITOR_DIRECTORY "/%s", group->monitor);
    if (group->monitor[0] && unlinkat(class, monitor, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't remove the monitoring group %s of '%s'", monitor,
                         group->class);
    scope_free char *path = memory_format("%s/%s", mount_point, group->class);
    if (group->remove && rmdir(path) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't remove the class of service %s", path);
    return 0;
}
