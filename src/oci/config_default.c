#include "oci/config_default.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>

#define SPECIFICATION_VERSION "1.2.0"

/* jansson answers NULL only when there is no memory (or for a wrong format, which the unit test
 * would show). */
static json_t *checked(json_t *value)
{
    if (!value)
        abort();
    return value;
}

/* A NULL-terminated list. */
static json_t *make_strings(const char *const *strings)
{
    json_t *array = checked(json_array());
    for (; *strings; strings++)
        json_array_append_new(array, json_string(*strings));
    return array;
}

static json_t *make_process(void)
{
    static const char *const capabilities[] = {"CAP_AUDIT_WRITE", "CAP_KILL",
                                               "CAP_NET_BIND_SERVICE", NULL};
    return checked(json_pack("{s:b, s:{s:i, s:i}, s:[s], s:[s, s], s:s, s:{s:o, s:o, s:o, s:o}, "
                             "s:[{s:s, s:i, s:i}], s:b}",
                             "terminal", 1, "user", "uid", 0, "gid", 0, "args", "sh", "env",
                             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                             "TERM=xterm", "cwd", "/", "capabilities", "bounding",
                             make_strings(capabilities), "effective", make_strings(capabilities),
                             "permitted", make_strings(capabilities), "ambient",
                             make_strings(capabilities), "rlimits", "type", "RLIMIT_NOFILE", "hard",
                             1024, "soft", 1024, "noNewPrivileges", 1));
}

struct default_mount {
    const char *destination, *type, *source;
    const char *options[8];
};

static json_t *make_mount(const struct default_mount *mount)
{
    json_t *object = checked(json_pack("{s:s, s:s, s:s}", "destination", mount->destination, "type",
                                       mount->type, "source", mount->source));
    if (mount->options[0])
        json_object_set_new(object, "options", make_strings(mount->options));
    return object;
}

static json_t *make_mounts(bool rootless)
{
    static const struct default_mount proc = {"/proc", "proc", "proc", {NULL}};
    static const struct default_mount dev = {
        "/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}};
    static const struct default_mount pts = {
        "/dev/pts",
        "devpts",
        "devpts",
        {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}};
    static const struct default_mount shm = {
        "/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}};
    static const struct default_mount mqueue = {
        "/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}};
    static const struct default_mount sys = {
        "/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}};
    static const struct default_mount cgroup = {
        "/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}};
    /* Group 5 is not mapped, and a new sysfs needs a network namespace of the user namespace. */
    static const struct default_mount rootless_pts = {
        "/dev/pts",
        "devpts",
        "devpts",
        {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}};
    static const struct default_mount rootless_sys = {
        "/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"}};

    const struct default_mount *const mounts[] = {
        &proc,   &dev,    rootless ? &rootless_pts : &pts,
        &shm,    &mqueue, rootless ? &rootless_sys : &sys,
        &cgroup,
    };
    json_t *array = checked(json_array());
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++)
        json_array_append_new(array, make_mount(mounts[i]));
    return array;
}

/* As runc: with control groups version 2 alone, a cgroup namespace is worth having. */
static bool is_unified_cgroup_host(void)
{
    struct statfs status;
    return statfs("/sys/fs/cgroup", &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

static json_t *make_namespaces(bool rootless)
{
    json_t *array = checked(json_array());
    const char *const types[] = {
        "pid",
        rootless ? NULL : "network",
        "ipc",
        "uts",
        "mount",
        is_unified_cgroup_host() ? "cgroup" : NULL,
        rootless ? "user" : NULL,
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i])
            json_array_append_new(array, checked(json_pack("{s:s}", "type", types[i])));
    }
    return array;
}

static json_t *make_mapping(uint32_t host_id)
{
    return checked(
        json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (json_int_t)host_id, "size", 1));
}

static json_t *make_linux(bool rootless)
{
    static const char *const masked[] = {"/proc/acpi",
                                         "/proc/asound",
                                         "/proc/kcore",
                                         "/proc/keys",
                                         "/proc/latency_stats",
                                         "/proc/timer_list",
                                         "/proc/timer_stats",
                                         "/proc/sched_debug",
                                         "/sys/firmware",
                                         "/proc/scsi",
                                         NULL};
    static const char *const readonly[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL};
    json_t *section = checked(json_object());
    if (rootless) {
        json_object_set_new(section, "uidMappings", make_mapping(geteuid()));
        json_object_set_new(section, "gidMappings", make_mapping(getegid()));
    } else {
        json_object_set_new(
            section, "resources",
            checked(json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm")));
    }
    json_object_set_new(section, "namespaces", make_namespaces(rootless));
    json_object_set_new(section, "maskedPaths", make_strings(masked));
    json_object_set_new(section, "readonlyPaths", make_strings(readonly));
    return section;
}

json_t *config_default_document(bool rootless)
{
    return checked(json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion",
                             SPECIFICATION_VERSION, "process", make_process(), "root", "path",
                             "rootfs", "readonly", 1, "hostname", "hull", "mounts",
                             make_mounts(rootless), "linux", make_linux(rootless)));
}
