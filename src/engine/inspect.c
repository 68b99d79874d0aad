/* A container as `docker inspect` shows one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "engine/attach.h"
#include "engine/settings_internal.h"
#include "engine/start.h"
#include "monitor/document.h"

static json_t *text_or_empty(const char *text)
{
    return json_string(text ? text : "");
}

static json_t *describe_time(int64_t nanoseconds)
{
    char text[40];
    const struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    document_format_time(text, &time);
    return json_string(text);
}

static json_t *describe_state(const struct monitor_status *status)
{
    const char *started = *status->started_at ? status->started_at : DOCUMENT_NEVER;
    const char *finished = *status->finished_at ? status->finished_at : DOCUMENT_NEVER;
    bool is_up = engine_is_up(status);
    json_t *health = json_object_get(status->document, "health");
    json_t *state = json_pack(
        "{s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:i, s:s, s:s, s:s}", "Status",
        monitor_state_name(status->state), "Running", is_up, "Paused",
        status->state == MONITOR_PAUSED, "Restarting", status->state == MONITOR_RESTARTING,
        "OOMKilled", status->oom_killed, "Dead", status->state == MONITOR_DEAD, "Pid",
        (json_int_t)(is_up ? status->pid : 0), "ExitCode", is_up ? 0 : status->exit_code, "Error",
        status->error, "StartedAt", started, "FinishedAt", finished);
    if (health)
        json_object_set(state, "Health", health);
    return state;
}

/* ---- Config and HostConfig, with docker's defaults where the settings say nothing ---- */

static void set_default(json_t *object, const char *key, json_t *value)
{
    if (!json_object_get(object, key))
        json_object_set(object, key, value);
    json_decref(value);
}

static json_t *describe_config(const struct engine_container *container)
{
    static const char *const flags[] = {"AttachStdin", "AttachStdout", "AttachStderr",
                                        "Tty",         "OpenStdin",    "StdinOnce"};
    json_t *config = json_copy(container->settings);
    json_object_del(config, "HostConfig");
    json_object_del(config, "NetworkingConfig");
    json_object_del(config, "Mounted");
    json_object_del(config, "platform");
    json_object_del(config, "UsernsFirstId");
    set_default(config, "Hostname", json_sprintf("%.12s", container->id));
    set_default(config, "Domainname", json_string(""));
    set_default(config, "User", json_string(""));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        set_default(config, flags[i], json_false());
    set_default(config, "Env", json_array());
    set_default(config, "Cmd", json_null());
    set_default(config, "Image", json_string(container->image));
    set_default(config, "Volumes", json_null());
    set_default(config, "WorkingDir", json_string(""));
    set_default(config, "Entrypoint", json_null());
    set_default(config, "OnBuild", json_null());
    set_default(config, "Labels", json_object());
    return config;
}

static json_t *describe_host_config(const struct engine_container *container)
{
    static const char *const numbers[] = {
        "CpuShares", "Memory",     "NanoCpus",          "BlkioWeight", "CpuPeriod",
        "CpuQuota",  "MemorySwap", "MemoryReservation", "OomScoreAdj", "ShmSize"};
    static const char *const lists[] = {"Binds",      "CapAdd",      "CapDrop",    "Dns",
                                        "DnsOptions", "DnsSearch",   "ExtraHosts", "GroupAdd",
                                        "Links",      "SecurityOpt", "Devices",    "VolumesFrom"};
    static const char *const texts[] = {"ContainerIDFile", "Cgroup",  "CgroupParent", "CpusetCpus",
                                        "CpusetMems",      "PidMode", "UTSMode",      "UsernsMode"};
    static const char *const flags[] = {"AutoRemove",     "Privileged",     "PublishAllPorts",
                                        "ReadonlyRootfs", "OomKillDisable", "Init"};
    json_t *host = json_copy(engine_host_config(container));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        set_default(host, numbers[i], json_integer(i == 9 ? 64 << 20 : 0));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        set_default(host, lists[i], json_null());
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        set_default(host, texts[i], json_string(""));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        set_default(host, flags[i], json_false());
    set_default(host, "IpcMode", json_string("private"));
    set_default(host, "CgroupnsMode", json_string("private"));
    set_default(host, "NetworkMode", json_string("default"));
    set_default(host, "Isolation", json_string(""));
    set_default(host, "Runtime", json_string("hull-oci"));
    set_default(host, "PortBindings", json_object());
    set_default(host, "PidsLimit", json_null());
    set_default(host, "LogConfig", json_pack("{s:s, s:{}}", "Type", "json-file", "Config"));
    set_default(host, "RestartPolicy",
                json_pack("{s:s, s:i}", "Name", "no", "MaximumRetryCount", 0));
    return host;
}

/* ---- Mounts ---- */

static json_t *describe_mount(struct engine *engine, const json_t *mount)
{
    const char *type = settings_text(mount, "Type"), *source = settings_text(mount, "Source");
    const char *propagation = settings_text(json_object_get(mount, "BindOptions"), "Propagation");
    json_t *shown = json_pack("{s:s}", "Type", type);
    if (strcmp(type, "volume") == 0) {
        struct error ignored;
        struct volume_store *volumes = engine_volumes(engine, &ignored);
        scope_free char *path = volumes ? volume_data_path(volumes, source) : NULL;
        json_object_set_new(shown, "Name", json_string(source));
        json_object_set_new(shown, "Source", text_or_empty(path));
        json_object_set_new(shown, "Driver", json_string("local"));
    } else {
        json_object_set_new(shown, "Source", json_string(source));
        if (strcmp(type, "bind") == 0 && !*propagation)
            propagation = "rprivate";
    }
    json_object_set_new(shown, "Destination", json_string(settings_text(mount, "Target")));
    json_object_set_new(shown, "Mode", json_string(settings_flag(mount, "ReadOnly") ? "ro" : ""));
    json_object_set_new(shown, "RW", json_boolean(!settings_flag(mount, "ReadOnly")));
    json_object_set_new(shown, "Propagation", json_string(propagation));
    return shown;
}

static json_t *describe_mounts(struct engine *engine, const struct engine_container *container)
{
    json_t *shown = json_array();
    const json_t *mount;
    size_t i;
    json_array_foreach(json_object_get(container->settings, "Mounted"), i, mount)
        json_array_append_new(shown, describe_mount(engine, mount));
    return shown;
}

/* ---- The root file system ---- */

static int64_t add_sizes(int directory, int depth)
{
    int64_t bytes = 0;
    DIR *stream = fdopendir(directory);
    struct dirent *entry;
    if (!stream) {
        close(directory);
        return 0;
    }
    while ((entry = readdir(stream))) {
        struct stat status;
        if (file_is_dots(entry->d_name) ||
            fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        int below = S_ISDIR(status.st_mode) && depth > 0
                        ? openat(dirfd(stream), entry->d_name,
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                        : -1;
        bytes += below >= 0 ? add_sizes(below, depth - 1) : 0;
        /* A file of several names counts at each by its part. */
        if (S_ISREG(status.st_mode) || S_ISLNK(status.st_mode))
            bytes += status.st_size / (int64_t)(status.st_nlink ? status.st_nlink : 1);
    }
    closedir(stream);
    return bytes;
}

int64_t engine_size(const struct engine_container *container)
{
    scope_free char *upper = memory_format("%s/upper", container->directory);
    int fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? 0 : add_sizes(fd, 500);
}

static json_t *describe_root(const struct engine_container *container,
                             const struct engine_layers *layers)
{
    char *lower = NULL;
    size_t length;
    FILE *out = open_memstream(&lower, &length);
    for (size_t i = 1; out && i <= layers->count; i++)
        fprintf(out, "%s%s", i > 1 ? ":" : "", layers->directories[i]);
    if (out)
        fclose(out);
    json_t *data = json_object();
    json_object_set_new(data, "LowerDir", text_or_empty(lower));
    json_object_set_new(data, "UpperDir", json_sprintf("%s/upper", container->directory));
    json_object_set_new(data, "WorkDir", json_sprintf("%s/work", container->directory));
    json_object_set_new(data, "MergedDir", json_sprintf("%s/rootfs", container->directory));
    free(lower);
    return json_pack("{s:s, s:o}", "Name", "overlay2", "Data", data);
}

static int add_root(struct engine *engine, const struct engine_container *container, bool size,
                    json_t *shown, struct error *err)
{
    scope_engine_layers struct engine_layers layers = {0};
    if (engine_layers_find(engine, container, &layers, err) < 0)
        return -1;
    json_object_set_new(shown, "GraphDriver", describe_root(container, &layers));
    if (!size)
        return 0;
    int64_t own = engine_size(container);
    scope_image struct image image = {0};
    if (image_find_held(engine->images, container->id, container->image_id, &image, err) < 0)
        return -1;
    json_object_set_new(shown, "SizeRw", json_integer(own));
    json_object_set_new(shown, "SizeRootFs", json_integer(own + image.size));
    return 0;
}

/* ---- Together ---- */

/* What is executed: entry point and command as one. */
static void add_program(const json_t *settings, json_t *shown)
{
    json_t *words = json_array();
    json_array_extend(words, json_object_get(settings, "Entrypoint"));
    json_array_extend(words, json_object_get(settings, "Cmd"));
    json_object_set_new(shown, "Path", text_or_empty(json_string_value(json_array_get(words, 0))));
    json_array_remove(words, 0);
    json_object_set_new(shown, "Args", words);
}

static void add_files(const struct engine_container *container, json_t *shown)
{
    const json_t *log = json_object_get(engine_host_config(container), "LogConfig");
    bool has_log = strcmp(settings_text(log, "Type"), "none") != 0;
    json_object_set_new(shown, "ResolvConfPath",
                        json_sprintf("%s/resolv.conf", container->run_directory));
    json_object_set_new(shown, "HostnamePath",
                        json_sprintf("%s/hostname", container->run_directory));
    json_object_set_new(shown, "HostsPath", json_sprintf("%s/hosts", container->run_directory));
    json_object_set_new(shown, "LogPath",
                        has_log ? json_sprintf("%s/json.log", container->directory)
                                : json_string(""));
}

static int add_network(struct engine *engine, const struct engine_container *container,
                       json_t *shown, struct error *err)
{
    struct network_attachment attachment = {0};
    struct networks *networks = engine_networks(engine, err);
    if (!networks || network_find_attachment(networks, container->id, &attachment, err) < 0)
        return -1;
    json_object_set_new(shown, "NetworkSettings", network_attachment_describe(&attachment));
    network_attachment_release(&attachment);
    return 0;
}

json_t *engine_inspect(struct engine *engine, const struct engine_container *container, bool size,
                       struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return NULL;
    json_t *shown =
        json_pack("{s:s, s:o, s:o, s:s, s:o, s:i, s:s, s:s, s:n}", "Id", container->id, "Created",
                  describe_time(container->created), "State", describe_state(&status), "Image",
                  container->image_id, "Name", json_sprintf("/%s", container->name), "RestartCount",
                  status.restart_count, "Driver", "overlay2", "Platform", "linux", "ExecIDs");
    monitor_status_release(&status);
    add_program(container->settings, shown);
    add_files(container, shown);
    json_object_set_new(shown, "Config", describe_config(container));
    json_object_set_new(shown, "HostConfig", describe_host_config(container));
    json_object_set_new(shown, "Mounts", describe_mounts(engine, container));
    if (add_root(engine, container, size, shown, err) == 0 &&
        add_network(engine, container, shown, err) == 0)
        return shown;
    json_decref(shown);
    return NULL;
}
