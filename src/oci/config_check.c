/* Contradictions between sections: each is well-formed, but together they ask for something that
 * can't be, or that would reach outside the container. The same are refused by runc. */
#include <string.h>

#include "oci/config_sections.h"

/* ---- user and time namespaces ---- */

static bool maps_container_root(const struct config_id_mappings *mappings)
{
    for (size_t i = 0; i < mappings->count; i++) {
        if (mappings->items[i].container_id == 0)
            return true;
    }
    return false;
}

/* A namespace to join may come with mappings: containerd and CRI-O write those it has. */
static int check_user_namespace(const struct config_linux *section, struct error *err)
{
    const struct config_namespace *user = &section->namespaces[CONFIG_NAMESPACE_USER];
    if (!user->listed) {
        if (section->uid_mappings.count)
            return error_set(err, 0, "linux.uidMappings: given without a user namespace");
        if (section->gid_mappings.count)
            return error_set(err, 0, "linux.gidMappings: given without a user namespace");
        return 0;
    }
    if (user->path)
        return 0;
    if (!section->uid_mappings.count)
        return error_set(err, 0, "linux.uidMappings: a new user namespace needs them");
    if (!section->gid_mappings.count)
        return error_set(err, 0, "linux.gidMappings: a new user namespace needs them");
    if (!maps_container_root(&section->uid_mappings))
        return error_set(err, 0, "linux.uidMappings: the container's user 0 is not mapped");
    if (!maps_container_root(&section->gid_mappings))
        return error_set(err, 0, "linux.gidMappings: the container's group 0 is not mapped");
    return 0;
}

static int check_time_offsets(const struct config_linux *section, struct error *err)
{
    const struct config_namespace *time = &section->namespaces[CONFIG_NAMESPACE_TIME];
    if (section->has_time_offsets && !time->listed)
        return error_set(err, 0, "linux.timeOffsets: given without a time namespace");
    if (section->has_time_offsets && time->path)
        return error_set(err, 0,
                         "linux.timeOffsets: given with the path of a time namespace to join");
    return 0;
}

/* ---- what needs its own namespace ---- */

static int check_names(const struct config *config, struct error *err)
{
    if (config->linux_section.namespaces[CONFIG_NAMESPACE_UTS].listed)
        return 0;
    if (config->hostname)
        return error_set(err, 0, "hostname: given without a uts namespace");
    if (config->domainname)
        return error_set(err, 0, "domainname: given without a uts namespace");
    return 0;
}

static int check_hidden_paths(const struct config *config, struct error *err)
{
    const struct config_linux *section = &config->linux_section;
    if (section->namespaces[CONFIG_NAMESPACE_MOUNT].listed)
        return 0;
    if (section->masked_paths.count)
        return error_set(err, 0, "linux.maskedPaths: given without a mount namespace");
    if (section->readonly_paths.count)
        return error_set(err, 0, "linux.readonlyPaths: given without a mount namespace");
    if (config->root.readonly)
        return error_set(err, 0, "root.readonly: true without a mount namespace");
    return 0;
}

/* ---- mounts ---- */

static bool has_option(const struct config_mount *mount, const char *option)
{
    for (size_t i = 0; i < mount->options.count; i++) {
        if (strcmp(mount->options.items[i], option) == 0)
            return true;
    }
    return false;
}

/* "If there are no uidMappings and gidMappings specified and the container isn't using user
 * namespaces, an error MUST be returned" (config.md, Linux mount options). */
static int check_mount(const struct config *config, size_t index, struct error *err)
{
    const struct config_mount *mount = &config->mounts[index];
    bool wants_mapping = has_option(mount, "idmap") || has_option(mount, "ridmap");
    if (!wants_mapping && !mount->uid_mappings.count)
        return 0;
    bool is_bind = has_option(mount, "bind") || has_option(mount, "rbind") ||
                   (mount->type && strcmp(mount->type, "bind") == 0);
    if (!is_bind)
        return error_set(err, 0, "mounts[%zu]: only bind mounts can map ids", index);
    if (!mount->uid_mappings.count &&
        !config->linux_section.namespaces[CONFIG_NAMESPACE_USER].listed)
        return error_set(err, 0,
                         "mounts[%zu].options: idmap needs uidMappings and gidMappings, or a user "
                         "namespace",
                         index);
    return 0;
}

/* ---- sysctl ---- */

/* Keys come as "net.ipv4.ip_forward" or "net/ipv4/ip_forward"; the first separator says which,
 * and in each form the other sign stands for itself within a component (sysctl.d(5)):
 * "net.ipv4.conf.eno2/100.rp_filter" is net/ipv4/conf/eno2.100/rp_filter. */
struct sysctl_form {
    char separator, literal_dot;
};

static struct sysctl_form find_sysctl_form(const char *key)
{
    size_t length = strcspn(key, "./");
    return key[length] == '/' ? (struct sysctl_form){'/', '.'} : (struct sysctl_form){'.', '/'};
}

/* No component may be empty, "." or "..". */
static bool is_sysctl_path(const char *key, struct sysctl_form form)
{
    const char separator[] = {form.separator, '\0'};
    for (;; key++) {
        size_t length = strcspn(key, separator), dots = 0;
        while (dots < length && key[dots] == form.literal_dot)
            dots++;
        if (length == 0 || (dots == length && length <= 2))
            return false;
        key += length;
        if (!*key)
            return true;
    }
}

/* Whether key, with its separators written as '/', is path, or begins with it where path ends
 * with a '/'. */
static bool sysctl_matches(const char *key, struct sysctl_form form, const char *path)
{
    for (; *path; path++, key++) {
        char wanted = *path == '/' ? form.separator : *path;
        if (*key != wanted)
            return false;
        if (*path == '/' && path[1] == '\0')
            return true;
    }
    return *key == '\0';
}

static int check_sysctl(const struct config_linux *section, const char *key, struct error *err)
{
    static const struct {
        const char *path;
        enum config_namespace_kind kind;
    } namespaced[] = {
        {"net/", CONFIG_NAMESPACE_NETWORK},
        {"fs/mqueue/", CONFIG_NAMESPACE_IPC},
        {"kernel/msgmax", CONFIG_NAMESPACE_IPC},
        {"kernel/msgmnb", CONFIG_NAMESPACE_IPC},
        {"kernel/msgmni", CONFIG_NAMESPACE_IPC},
        {"kernel/sem", CONFIG_NAMESPACE_IPC},
        {"kernel/shmall", CONFIG_NAMESPACE_IPC},
        {"kernel/shmmax", CONFIG_NAMESPACE_IPC},
        {"kernel/shmmni", CONFIG_NAMESPACE_IPC},
        {"kernel/shm_rmid_forced", CONFIG_NAMESPACE_IPC},
        {"kernel/domainname", CONFIG_NAMESPACE_UTS},
        {"user/", CONFIG_NAMESPACE_USER},
    };
    struct sysctl_form form = find_sysctl_form(key);
    if (!is_sysctl_path(key, form))
        return error_set(err, 0, "linux.sysctl[%s]: not the name of a kernel parameter",
                         config_quote(key).text);
    if (sysctl_matches(key, form, "kernel/hostname"))
        return error_set(err, 0, "linux.sysctl[%s]: use the property hostname instead",
                         config_quote(key).text);
    for (size_t i = 0; i < sizeof namespaced / sizeof *namespaced; i++) {
        if (!sysctl_matches(key, form, namespaced[i].path))
            continue;
        if (section->namespaces[namespaced[i].kind].listed)
            return 0;
        return error_set(err, 0, "linux.sysctl[%s]: given without a%s %s namespace",
                         config_quote(key).text,
                         namespaced[i].kind == CONFIG_NAMESPACE_IPC ? "n" : "",
                         config_namespace_kinds[namespaced[i].kind].name);
    }
    return error_set(err, 0, "linux.sysctl[%s]: belongs to the whole machine, not to a namespace",
                     config_quote(key).text);
}

int config_check_contradictions(const struct config *config, struct error *err)
{
    const struct config_linux *section = &config->linux_section;
    if (check_user_namespace(section, err) < 0 || check_time_offsets(section, err) < 0 ||
        check_names(config, err) < 0 || check_hidden_paths(config, err) < 0)
        return -1;
    for (size_t i = 0; i < config->mount_count; i++) {
        if (check_mount(config, i, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < section->sysctl.count; i++) {
        if (check_sysctl(section, section->sysctl.items[i].key, err) < 0)
            return -1;
    }
    return 0;
}
