/* The parts of the configuration that are one member each, and the order of the rest. */
#include "engine/spec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "base/user_namespace.h"
#include "engine/spec_internal.h"

#define VERSION "1.2.0" /* of the runtime specification */

json_t *spec_list(json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        json_object_set_new(object, key, json_array());
    return json_object_get(object, key);
}

json_t *spec_map(json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

json_t *spec_texts(const char *const *texts)
{
    json_t *list = json_array();
    for (; *texts; texts++)
        json_array_append_new(list, json_string(*texts));
    return list;
}

const char *spec_security_option(const struct spec *spec, const char *name)
{
    const json_t *list = json_object_get(spec->host, "SecurityOpt");
    size_t length = strlen(name);
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *text = json_string_value(json_array_get(list, i));
        if (strncmp(text, name, length) != 0)
            continue;
        if (text[length] == '=' || text[length] == ':')
            return text + length + 1;
        if (!text[length])
            return "";
    }
    return NULL;
}

/* The program */

static bool has_variable(const json_t *env, const char *name)
{
    const json_t *item;
    size_t i, length = strlen(name);
    json_array_foreach(env, i, item)
    {
        const char *text = json_string_value(item);
        if (strncmp(text, name, length) == 0 && text[length] == '=')
            return true;
    }
    return false;
}

static const char *host_name(const struct spec *spec, char *buffer, size_t size)
{
    const char *given = settings_text(spec->settings, "Hostname");
    if (*given)
        return given;
    bool is_hosts = strcmp(settings_text(spec->host, "NetworkMode"), "host") == 0 ||
                    strcmp(settings_text(spec->host, "UTSMode"), "host") == 0;
    if (is_hosts && gethostname(buffer, size) == 0) {
        buffer[size - 1] = '\0';
        return buffer;
    }
    snprintf(buffer, size, "%.12s", spec->input->id);
    return buffer;
}

static void add_variable(json_t *env, const char *name, const char *value)
{
    scope_free char *text = memory_format("%s=%s", name, value);
    if (!has_variable(env, name))
        json_array_append_new(env, json_string(text));
}

static void add_environment(struct spec *spec, const struct spec_user *user)
{
    char buffer[256];
    json_t *env = json_array(), *given = json_object_get(spec->settings, "Env");
    const json_t *item;
    size_t i;
    json_array_foreach(
        given, i, item) if (strchr(json_string_value(item), '=')) /* a name alone says "not set" */
        json_array_append(env, (json_t *)item);
    add_variable(env, "HOSTNAME", host_name(spec, buffer, sizeof buffer));
    if (settings_flag(spec->settings, "Tty"))
        add_variable(env, "TERM", "xterm");
    add_variable(env, "HOME", user->home ? user->home : "/");
    json_object_set_new(spec->process, "env", env);
}

static int add_arguments(struct spec *spec)
{
    json_t *arguments = json_array();
    if (settings_flag(spec->host, "Init")) {
        if (!spec->input->init)
            return error_set(spec->err, 0, "HostConfig.Init: no init has been found on this host");
        json_array_append_new(arguments, json_string("/sbin/docker-init"));
        json_array_append_new(arguments, json_string("--"));
    }
    json_array_extend(arguments, json_object_get(spec->settings, "Entrypoint"));
    json_array_extend(arguments, json_object_get(spec->settings, "Cmd"));
    if (json_array_size(arguments) == 0) {
        json_decref(arguments);
        return error_set(spec->err, 0, "no command given (name one after the image)");
    }
    json_object_set_new(spec->process, "args", arguments);
    return 0;
}

static int add_user(struct spec *spec, const struct spec_user *user)
{
    const struct spec_input *input = spec->input;
    json_t *object =
        json_pack("{s:I, s:I}", "uid", (json_int_t)user->uid, "gid", (json_int_t)user->gid);
    json_object_set_new(spec->process, "user", object);
    if (!user_namespace_allows_groups())
        return 0;
    json_t *groups = spec_list(object, "additionalGids");
    json_array_append_new(groups, json_integer(user->gid));
    for (size_t i = 0; i < user->group_count; i++)
        if (user->groups[i] != user->gid)
            json_array_append_new(groups, json_integer(user->groups[i]));
    const json_t *name;
    size_t i;
    json_array_foreach(json_object_get(spec->host, "GroupAdd"), i, name)
    {
        unsigned int gid;
        if (spec_look_up_group(input->layers, input->layer_count, json_string_value(name), &gid,
                               spec->err) < 0)
            return -1;
        json_array_append_new(groups, json_integer(gid));
    }
    return 0;
}

static void add_limits(struct spec *spec)
{
    const json_t *limit;
    size_t i;
    json_array_foreach(json_object_get(spec->host, "Ulimits"), i, limit)
    {
        scope_free char *name = memory_format("RLIMIT_%s", settings_text(limit, "Name"));
        for (char *at = name; *at; at++)
            *at = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
        int64_t values[2] = {settings_integer(limit, "Soft"), settings_integer(limit, "Hard")};
        json_t *object = json_pack("{s:s}", "type", name);
        for (size_t j = 0; j < 2; j++)
            json_object_set_new(object, j ? "hard" : "soft",
                                values[j] < 0 ? json_integer(INT64_MAX) : json_integer(values[j]));
        json_array_append_new(spec_list(spec->process, "rlimits"), object);
    }
}

static bool kernel_has_apparmor(void)
{
    scope_free char *text =
        file_read_all(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, NULL, NULL);
    return text && text[0] == 'Y';
}

/* A profile that is loaded already: hull loads none itself. */
static const char *default_apparmor_profile(void)
{
    static const char *const names[] = {"hull-default", "docker-default"};
    scope_free char *loaded =
        file_read_all(AT_FDCWD, "/sys/kernel/security/apparmor/profiles", 1 << 20, NULL, NULL);
    for (size_t i = 0; loaded && i < 2; i++) {
        scope_free char *entry = memory_format("%s (", names[i]);
        if (strstr(loaded, entry))
            return names[i];
    }
    return NULL;
}

static int add_apparmor(struct spec *spec)
{
    const char *given = spec_security_option(spec, "apparmor");
    if (given && strcmp(given, "unconfined") == 0)
        return 0;
    if (!kernel_has_apparmor()) {
        if (given && *given)
            return error_set(
                spec->err, 0,
                "HostConfig.SecurityOpt: this kernel has no AppArmor for profile '%.64s'", given);
        return 0;
    }
    const char *profile = given && *given    ? given
                          : spec->privileged ? NULL
                                             : default_apparmor_profile();
    if (profile)
        json_object_set_new(spec->process, "apparmorProfile", json_string(profile));
    return 0;
}

static void add_console(struct spec *spec)
{
    const json_t *size = json_object_get(spec->host, "ConsoleSize");
    json_int_t height = json_integer_value(json_array_get(size, 0));
    json_int_t width = json_integer_value(json_array_get(size, 1));
    json_object_set_new(spec->process, "terminal",
                        json_boolean(settings_flag(spec->settings, "Tty")));
    if (height > 0 && width > 0 && settings_flag(spec->settings, "Tty"))
        json_object_set_new(spec->process, "consoleSize",
                            json_pack("{s:I, s:I}", "height", height, "width", width));
}

static int add_process(struct spec *spec)
{
    struct spec_user user;
    const char *directory = settings_text(spec->settings, "WorkingDir");
    const char *stay = spec_security_option(spec, "no-new-privileges");
    int64_t adjustment = settings_integer(spec->host, "OomScoreAdj");
    if (spec_look_up_user(spec->input->layers, spec->input->layer_count,
                          settings_text(spec->settings, "User"), &user, spec->err) < 0)
        return -1;
    add_console(spec);
    add_environment(spec, &user);
    json_object_set_new(spec->process, "cwd", json_string(*directory ? directory : "/"));
    json_object_set_new(spec->process, "noNewPrivileges",
                        json_boolean(stay && strcmp(stay, "false") != 0));
    if (adjustment != 0)
        json_object_set_new(spec->process, "oomScoreAdj", json_integer(adjustment));
    add_limits(spec);
    int status = add_arguments(spec);
    if (status == 0)
        status = add_user(spec, &user);
    spec_release_user(&user);
    return status < 0 ? -1 : add_apparmor(spec);
}

/* Namespaces */

static void add_namespace(struct spec *spec, const char *type, const char *path)
{
    json_t *object = json_pack("{s:s}", "type", type);
    if (path)
        json_object_set_new(object, "path", json_string(path));
    json_array_append_new(spec_list(spec->linux_section, "namespaces"), object);
}

static bool is_mode(const struct spec *spec, const char *key, const char *mode)
{
    return strcmp(settings_text(spec->host, key), mode) == 0;
}

static int add_joined(struct spec *spec, const char *type, const char *key, const char *path)
{
    if (is_mode(spec, key, "host"))
        return 0;
    if (!path && strncmp(settings_text(spec->host, key), "container:", 10) == 0)
        return error_set(spec->err, 0,
                         "HostConfig.%s: the other container has no namespace to join", key);
    add_namespace(spec, type, path);
    return 0;
}

static bool has_only_cgroup_v2(void)
{
    struct statfs status;
    return statfs("/sys/fs/cgroup", &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

static int add_user_namespace(struct spec *spec)
{
    if (!settings_given(spec->host, "UsernsMode") || is_mode(spec, "UsernsMode", "host"))
        return 0;
    if (!spec->input->uid_mappings || !spec->input->gid_mappings)
        return error_set(spec->err, 0,
                         "HostConfig.UsernsMode: no ids to map the container's to "
                         "(see subuid(5))");
    add_namespace(spec, "user", spec->input->user_namespace);
    if (spec->input->user_namespace)
        return 0;
    json_object_set_new(spec->linux_section, "uidMappings",
                        json_deep_copy(spec->input->uid_mappings));
    json_object_set_new(spec->linux_section, "gidMappings",
                        json_deep_copy(spec->input->gid_mappings));
    return 0;
}

static int add_namespaces(struct spec *spec)
{
    const struct spec_input *input = spec->input;
    char buffer[256];
    add_namespace(spec, "mount", NULL);
    if (input->network_namespace)
        add_namespace(spec, "network", input->network_namespace);
    if (add_joined(spec, "pid", "PidMode", input->pid_namespace) < 0 ||
        add_joined(spec, "ipc", "IpcMode", input->ipc_namespace) < 0)
        return -1;
    if (!is_mode(spec, "UTSMode", "host")) {
        add_namespace(spec, "uts", NULL);
        json_object_set_new(spec->config, "hostname",
                            json_string(host_name(spec, buffer, sizeof buffer)));
        if (settings_given(spec->settings, "Domainname"))
            json_object_set_new(spec->config, "domainname",
                                json_string(settings_text(spec->settings, "Domainname")));
    }
    bool is_default = !settings_given(spec->host, "CgroupnsMode");
    if (is_mode(spec, "CgroupnsMode", "private") ||
        (is_default && has_only_cgroup_v2() && !spec->privileged))
        add_namespace(spec, "cgroup", NULL);
    return add_user_namespace(spec);
}

/* The rest of linux */

/* What would tell of the host or act upon it. Privileged containers see all. */
static void add_hidden_paths(struct spec *spec)
{
    static const char *const masked[] = {"/proc/acpi",
                                         "/proc/asound",
                                         "/proc/interrupts",
                                         "/proc/kcore",
                                         "/proc/keys",
                                         "/proc/latency_stats",
                                         "/proc/sched_debug",
                                         "/proc/scsi",
                                         "/proc/timer_list",
                                         "/proc/timer_stats",
                                         "/sys/devices/virtual/powercap",
                                         "/sys/firmware",
                                         NULL};
    static const char *const fixed[] = {"/proc/bus",           "/proc/fs", "/proc/irq", "/proc/sys",
                                        "/proc/sysrq-trigger", NULL};
    const json_t *own_masked = json_object_get(spec->host, "MaskedPaths");
    const json_t *own_fixed = json_object_get(spec->host, "ReadonlyPaths");
    const char *paths = spec_security_option(spec, "systempaths");
    if (spec->privileged || (paths && strcmp(paths, "unconfined") == 0))
        return;
    json_object_set_new(spec->linux_section, "maskedPaths",
                        json_is_array(own_masked) ? json_deep_copy(own_masked)
                                                  : spec_texts(masked));
    json_object_set_new(spec->linux_section, "readonlyPaths",
                        json_is_array(own_fixed) ? json_deep_copy(own_fixed) : spec_texts(fixed));
}

/* In a network of its own everybody may use low ports and ping, as docker has it. */
static void add_sysctls(struct spec *spec)
{
    static const char *const defaults[][3] = {
        {"net.ipv4.ip_unprivileged_port_start", "0",
         "/proc/sys/net/ipv4/ip_unprivileged_port_start"},
        {"net.ipv4.ping_group_range", "0 2147483647", "/proc/sys/net/ipv4/ping_group_range"},
    };
    json_t *sysctls = json_object();
    const char *mode = settings_text(spec->host, "NetworkMode");
    bool is_own = spec->input->network_namespace && strncmp(mode, "container:", 10) != 0;
    bool maps = spec->input->uid_mappings || spec->input->rootless;
    for (size_t i = 0; is_own && i < 2; i++)
        if (access(defaults[i][2], F_OK) == 0 && !(i == 1 && maps))
            json_object_set_new(sysctls, defaults[i][0], json_string(defaults[i][1]));
    json_object_update(sysctls, json_object_get(spec->host, "Sysctls"));
    if (json_object_size(sysctls) > 0)
        json_object_set(spec->linux_section, "sysctl", sysctls);
    json_decref(sysctls);
}

static void add_cgroup_path(struct spec *spec)
{
    const struct spec_input *input = spec->input;
    const char *parent = settings_text(spec->host, "CgroupParent");
    scope_free char *path = NULL;
    if (input->cgroups_path)
        path = memory_copy_string(input->cgroups_path);
    else if (input->systemd_cgroup)
        path = memory_format("%s:hull:%s", *parent ? parent : "system.slice", input->id);
    else
        path = memory_format("%s%s/%s", *parent == '/' ? "" : "/", *parent ? parent : "hull",
                             input->id);
    json_object_set_new(spec->linux_section, "cgroupsPath", json_string(path));
}

static int fill(struct spec *spec)
{
    json_t *annotations = json_object_get(spec->host, "Annotations");
    json_object_set_new(spec->config, "root",
                        json_pack("{s:s, s:b}", "path", spec->input->rootfs, "readonly",
                                  settings_flag(spec->host, "ReadonlyRootfs")));
    if (json_object_size(annotations) > 0)
        json_object_set(spec->config, "annotations", annotations);
    add_hidden_paths(spec);
    add_sysctls(spec);
    add_cgroup_path(spec);
    if (add_process(spec) < 0 || add_namespaces(spec) < 0 || spec_add_capabilities(spec) < 0 ||
        spec_add_mounts(spec) < 0 || spec_add_resources(spec) < 0 || spec_add_devices(spec) < 0)
        return -1;
    if (spec_add_cdi(spec) < 0)
        return -1;
    return spec_add_seccomp(spec);
}

int spec_make(const struct spec_input *input, json_t **config, struct error *err)
{
    const json_t *host = json_object_get(input->settings, "HostConfig");
    struct spec spec = {
        .input = input,
        .settings = input->settings,
        .host = host,
        .privileged = settings_flag(host, "Privileged"),
        .config = json_pack("{s:s, s:{}, s:{}}", "ociVersion", VERSION, "process", "linux"),
        .err = err,
    };
    spec.process = json_object_get(spec.config, "process");
    spec.linux_section = json_object_get(spec.config, "linux");
    int status = fill(&spec);
    if (status < 0)
        json_decref(spec.config);
    else
        *config = spec.config;
    return status;
}

char *spec_find_init(struct error *err)
{
    static const char *const paths[] = {
        "/usr/libexec/hull/init", "/usr/bin/catatonit",   "/usr/libexec/podman/catatonit",
        "/usr/bin/tini-static",   "/usr/bin/docker-init", "/usr/libexec/docker/docker-init"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (access(paths[i], X_OK) == 0)
            return memory_copy_string(paths[i]);
    error_set(err, 0, "no init for --init: install catatonit (or tini)");
    return NULL;
}
