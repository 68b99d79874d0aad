/* What is mounted in the container: the kernel's file systems, the files that hull manages, and
 * what the settings ask for, which takes the place of either. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "engine/spec_internal.h"

#define DEFAULT_SHM_SIZE 67108864 /* docker's: 64 MiB */

static void add(json_t *mounts, const char *target, const char *type, const char *source,
                const char *const *options)
{
    json_array_append_new(mounts,
                          json_pack("{s:s, s:s, s:s, s:o}", "destination", target, "type", type,
                                    "source", source, "options", spec_texts(options)));
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* /dev/shm and /dev/mqueue belong to the IPC namespace. */
static void add_ipc_mounts(const struct spec *spec, json_t *mounts)
{
    const char *mode = settings_text(spec->host, "IpcMode");
    int64_t size = settings_integer(spec->host, "ShmSize");
    if (strcmp(mode, "host") == 0) {
        add(mounts, "/dev/mqueue", "bind", "/dev/mqueue",
            OPTIONS("rbind", "nosuid", "noexec", "nodev"));
        add(mounts, "/dev/shm", "bind", "/dev/shm", OPTIONS("rbind", "nosuid", "noexec", "nodev"));
        return;
    }
    add(mounts, "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev"));
    if (strcmp(mode, "none") == 0)
        return;
    if (spec->input->shm_directory) {
        add(mounts, "/dev/shm", "bind", spec->input->shm_directory,
            OPTIONS("rbind", "nosuid", "noexec", "nodev", "rprivate"));
        return;
    }
    scope_free char *limit =
        memory_format("size=%lld", (long long)(size ? size : DEFAULT_SHM_SIZE));
    add(mounts, "/dev/shm", "tmpfs", "shm",
        OPTIONS("nosuid", "noexec", "nodev", "mode=1777", limit));
}

static void add_kernel_mounts(const struct spec *spec, json_t *mounts)
{
    const char *access = spec->privileged ? "rw" : "ro";
    bool has_own_network = spec->input->network_namespace != NULL;
    add(mounts, "/proc", "proc", "proc", OPTIONS("nosuid", "noexec", "nodev"));
    add(mounts, "/dev", "tmpfs", "tmpfs",
        OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"));
    /* Group 5 is tty, if it is mapped. */
    add(mounts, "/dev/pts", "devpts", "devpts",
        spec->input->rootless
            ? OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
            : OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"));
    /* A new sysfs needs a network namespace of the same user namespace. */
    if ((spec->input->rootless || spec->input->uid_mappings) && !has_own_network)
        add(mounts, "/sys", "bind", "/sys", OPTIONS("rbind", "nosuid", "noexec", "nodev", "ro"));
    else
        add(mounts, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", access));
    add(mounts, "/sys/fs/cgroup", "cgroup", "cgroup",
        OPTIONS("nosuid", "noexec", "nodev", "relatime", access));
    add_ipc_mounts(spec, mounts);
}

static void add_file(json_t *mounts, const char *target, const char *source)
{
    if (source)
        add(mounts, target, "bind", source, OPTIONS("rbind", "rprivate"));
}

/* The settings' mounts */

static bool has_target(const json_t *wanted, const char *target)
{
    const json_t *mount;
    size_t i;
    json_array_foreach(wanted, i,
                       mount) if (strcmp(settings_text(mount, "Target"), target) == 0) return true;
    return false;
}

/* A mount of a user replaces the one of that place, and one at /dev all below it. */
static void drop_replaced(json_t *mounts, const json_t *wanted)
{
    bool replaces_dev = has_target(wanted, "/dev");
    for (size_t i = json_array_size(mounts); i-- > 0;) {
        const char *target = settings_text(json_array_get(mounts, i), "destination");
        if (has_target(wanted, target) || (replaces_dev && strncmp(target, "/dev/", 5) == 0))
            json_array_remove(mounts, i);
    }
}

/* What has the option's opposite goes: "exec" and "noexec", one "size=" and another. */
static void set_option(json_t *options, const char *option)
{
    size_t length = strcspn(option, "=");
    for (size_t i = json_array_size(options); i-- > 0;) {
        const char *other = json_string_value(json_array_get(options, i));
        bool same_key = option[length] && strncmp(other, option, length + 1) == 0;
        bool opposite = (strncmp(other, "no", 2) == 0 && strcmp(other + 2, option) == 0) ||
                        (strncmp(option, "no", 2) == 0 && strcmp(option + 2, other) == 0) ||
                        strcmp(other, option) == 0;
        if (same_key || opposite)
            json_array_remove(options, i);
    }
    json_array_append_new(options, json_string(option));
}

/* Those of -v that are options of the mount, and not for hull itself or SELinux. */
static void add_plain_options(const json_t *mount, json_t *options)
{
    static const char *const plain[] = {"exec", "noexec", "suid",  "nosuid",
                                        "dev",  "nodev",  "idmap", "bind"};
    const json_t *option;
    size_t i;
    json_array_foreach(json_object_get(mount, "Options"), i,
                       option) for (size_t j = 0; j < sizeof plain / sizeof *plain;
                                    j++) if (strcmp(json_string_value(option), plain[j]) == 0)
        set_option(options, plain[j]);
}

static void note_propagation(struct spec *spec, const char *propagation)
{
    const char *now = settings_text(spec->linux_section, "rootfsPropagation");
    if (strstr(propagation, "shared"))
        json_object_set_new(spec->linux_section, "rootfsPropagation", json_string("shared"));
    else if (strstr(propagation, "slave") && !strstr(now, "shared"))
        json_object_set_new(spec->linux_section, "rootfsPropagation", json_string("rslave"));
}

static json_t *make_bind(struct spec *spec, const json_t *mount)
{
    const json_t *bind = json_object_get(mount, "BindOptions");
    const char *propagation = settings_text(bind, "Propagation");
    json_t *options = json_array();
    json_array_append_new(options,
                          json_string(settings_flag(bind, "NonRecursive") ? "bind" : "rbind"));
    json_array_append_new(options, json_string(*propagation ? propagation : "rprivate"));
    note_propagation(spec, propagation);
    if (settings_flag(mount, "ReadOnly")) {
        json_array_append_new(options, json_string("ro"));
        /* What is mounted below it too (Linux 5.12). */
        if (!settings_flag(bind, "ReadOnlyNonRecursive") && !settings_flag(bind, "NonRecursive"))
            json_array_append_new(options, json_string("rro"));
    }
    add_plain_options(mount, options);
    return json_pack("{s:s, s:s, s:s, s:o}", "destination", settings_text(mount, "Target"), "type",
                     "bind", "source", settings_text(mount, "Source"), "options", options);
}

static json_t *make_tmpfs(const json_t *mount)
{
    const json_t *tmpfs = json_object_get(mount, "TmpfsOptions"), *option;
    json_t *options = spec_texts(OPTIONS("noexec", "nosuid", "nodev"));
    size_t i;
    if (settings_integer(tmpfs, "SizeBytes")) {
        scope_free char *size =
            memory_format("size=%lld", (long long)settings_integer(tmpfs, "SizeBytes"));
        set_option(options, size);
    }
    if (settings_integer(tmpfs, "Mode")) {
        scope_free char *mode =
            memory_format("mode=%o", (unsigned int)settings_integer(tmpfs, "Mode"));
        set_option(options, mode);
    }
    const json_t *list;
    json_array_foreach(json_object_get(tmpfs, "Options"), i, list)
    {
        const char *key = json_string_value(json_array_get(list, 0));
        const char *value = json_string_value(json_array_get(list, 1));
        scope_free char *text =
            memory_format("%s%s%s", key ? key : "", value ? "=" : "", value ? value : "");
        if (*text)
            set_option(options, text);
    }
    json_array_foreach(json_object_get(mount, "Options"), i, option)
        set_option(options, json_string_value(option));
    if (settings_flag(mount, "ReadOnly"))
        set_option(options, "ro");
    return json_pack("{s:s, s:s, s:s, s:o}", "destination", settings_text(mount, "Target"), "type",
                     "tmpfs", "source", "tmpfs", "options", options);
}

static size_t count_parts(const json_t *mount)
{
    size_t parts = 0;
    for (const char *at = settings_text(mount, "destination"); *at; at++)
        parts += *at == '/';
    return parts;
}

/* Those of the fewest parts first, so that no mount hides another. */
static void insert_by_depth(json_t *mounts, size_t first, json_t *mount)
{
    size_t at = json_array_size(mounts);
    while (at > first && count_parts(json_array_get(mounts, at - 1)) > count_parts(mount))
        at--;
    json_array_insert_new(mounts, at, mount);
}

int spec_add_mounts(struct spec *spec)
{
    const struct spec_input *input = spec->input;
    json_t *mounts = json_array();
    const json_t *mount;
    size_t i;
    json_object_set_new(spec->config, "mounts", mounts);
    add_kernel_mounts(spec, mounts);
    drop_replaced(mounts, input->mounts);
    size_t first = json_array_size(mounts);
    json_array_foreach(input->mounts, i, mount)
    {
        bool is_tmpfs = strcmp(settings_text(mount, "Type"), "tmpfs") == 0;
        if (!is_tmpfs && *settings_text(mount, "Source") != '/')
            return error_set(spec->err, 0, "mount %s: its source has not been found",
                             settings_text(mount, "Target"));
        insert_by_depth(mounts, first, is_tmpfs ? make_tmpfs(mount) : make_bind(spec, mount));
    }
    const struct {
        const char *target, *source;
    } files[] = {{"/etc/resolv.conf", input->resolv_conf_file},
                 {"/etc/hostname", input->hostname_file},
                 {"/etc/hosts", input->hosts_file}};
    for (i = 0; i < 3; i++)
        if (!has_target(input->mounts, files[i].target))
            add_file(mounts, files[i].target, files[i].source);
    if (input->init && settings_flag(spec->host, "Init"))
        add(mounts, "/sbin/docker-init", "bind", input->init, OPTIONS("bind", "ro", "rprivate"));
    return 0;
}
