/* The runtime's side of making a container: prepare everything that can be refused, record, make,
 * attend to the first process while it sets itself up, and undo all if anything fails. */
#include "container/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/admit.h"
#include "container/attend.h"
#include "container/channel.h"
#include "container/client_socket.h"
#include "container/dispose.h"
#include "container/exe_guard.h"
#include "container/foreground.h"
#include "container/hooks.h"
#include "container/idmap.h"
#include "container/intel_rdt.h"
#include "container/lsm.h"
#include "container/mounts.h"
#include "container/pid_file.h"
#include "container/state.h"

#define CONFIG_LIMIT (16u << 20)

/* ---- prepare: nothing is made yet ---- */

static int read_config(struct launch *launch, struct error *err)
{
    const struct container_options *options = launch->options;
    launch->bundle = realpath(options->bundle ? options->bundle : ".", NULL);
    if (!launch->bundle || chdir(launch->bundle) < 0)
        return error_set(err, errno, "can't enter the bundle %s",
                         options->bundle ? options->bundle : ".");
    launch->config_text =
        file_read_all(AT_FDCWD, "config.json", CONFIG_LIMIT, &launch->config_length, err);
    if (!launch->config_text ||
        config_parse(&launch->config, launch->config_text, launch->config_length, err) < 0)
        return error_wrap(err, "%s/config.json", launch->bundle);
    launch->root_path = realpath(launch->config.root.path, NULL);
    struct stat status;
    if (!launch->root_path || stat(launch->root_path, &status) < 0)
        return error_set(err, errno, "root.path: can't open %s", launch->config.root.path);
    if (!S_ISDIR(status.st_mode))
        return error_set(err, ENOTDIR, "root.path: %s", launch->root_path);
    return 0;
}

static int check_terminal(const struct launch *launch, struct error *err)
{
    const struct container_options *options = launch->options;
    bool terminal = launch->config.process->terminal;
    bool left_alone = launch->process.waits || options->detach;
    if (terminal && left_alone && !options->console_socket)
        return error_set(err, 0,
                         "process.terminal is true and nobody stays to attend to the terminal: "
                         "give --console-socket");
    if (options->console_socket && !terminal)
        return error_set(err, 0, "--console-socket is given, but process.terminal is false");
    if (options->console_socket && !left_alone)
        return error_set(err, 0, "--console-socket is for a detached container");
    return 0;
}

static int check_mounts(const struct config *config, struct error *err)
{
    const struct config_namespace *mount =
        &config->linux_section.namespaces[CONFIG_NAMESPACE_MOUNT];
    if (!mount->listed && config->mount_count > 0)
        return error_set(err, 0, "mounts: linux.namespaces has no mount namespace to make them in");
    for (size_t i = 0; i < config->mount_count; i++) {
        struct mount_options options;
        if (mount_options_parse(&options, &config->mounts[i], err) < 0)
            return error_wrap(err, "mounts[%zu]", i);
        mount_options_release(&options);
    }
    return 0;
}

/* A newer client may know more of them than we do; what it can't have, it doesn't get. */
static void warn_of_unknown_capabilities(const struct config_process *process,
                                         const struct warnings *warnings)
{
    struct error warning;
    for (size_t i = 0; process->capabilities && i < process->capabilities->unknown.count; i++) {
        error_set(&warning, 0, "unknown capability %s is left out",
                  process->capabilities->unknown.items[i]);
        warnings_say(warnings, &warning);
    }
}

/* Whether there are limits, besides rules for devices. What the parser wasn't given is all zeros.
 */
static bool has_limits(const struct config_resources *resources)
{
    static const struct config_resources nothing;
    struct config_resources given;
    if (!resources)
        return false;
    memcpy(&given, resources, sizeof given);
    given.device_rule_count = 0;
    given.device_rules = NULL;
    return memcmp(&given, &nothing, sizeof given) != 0;
}

/* Limits need a cgroup: an ordinary user who may make none has none. */
static void warn_of_lost_limits(const struct launch *launch)
{
    struct error lost;
    if (launch->cgroup.count > 0 || !has_limits(launch->config.linux_section.resources))
        return;
    error_set(&lost, 0,
              "linux.resources is without effect: no cgroup may be made here (ask for a delegated "
              "one, or use --systemd-cgroup on a host with cgroup v2)");
    warnings_say(launch->options->warnings, &lost);
}

static int prepare(struct launch *launch, struct error *err)
{
    const struct container_options *options = launch->options;
    if (record_check_id(options->id, err) < 0 ||
        admit_check_descriptors(options->preserve_fds + options->listen_fds, err) < 0 ||
        read_config(launch, err) < 0)
        return -1;
    const struct config *config = &launch->config;
    if (!config->process)
        return error_set(err, 0, "config.json: process: missing, so there is nothing to run");
    const struct config_process *process = config->process;
    warn_of_unknown_capabilities(process, options->warnings);
    if (check_terminal(launch, err) < 0 || check_mounts(config, err) < 0 ||
        lsm_check(process->apparmor_profile, process->selinux_label,
                  config->linux_section.mount_label, err) < 0)
        return -1;
    if (namespaces_open(&launch->namespaces, &config->linux_section, err) < 0)
        return error_wrap(err, "linux.namespaces");
    if (seccomp_compile_section(&launch->seccomp, config->linux_section.seccomp, options->root,
                                err) < 0)
        return -1;
    if (config->linux_section.intel_rdt &&
        !(launch->intel_rdt = intel_rdt_plan(config->linux_section.intel_rdt, options->id, err)))
        return error_wrap(err, "linux.intelRdt");
    if (cgroup_resolve(&launch->cgroup,
                       options->systemd_cgroup ? CGROUP_MANAGER_SYSTEMD : CGROUP_MANAGER_FILES,
                       config->linux_section.cgroups_path, options->id, options->rootless, err) < 0)
        return -1;
    warn_of_lost_limits(launch);
    /* Last: a client may take only one connection, and what is above may hand over. */
    if (options->console_socket && (launch->process.console = client_socket_connect(
                                        "console", options->console_socket, err)) < 0)
        return -1;
    return 0;
}

/* ---- record ---- */

static json_t *time_now(void)
{
    struct timespec now;
    struct tm parts;
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, sizeof text - length, ".%09ldZ", now.tv_nsec);
    return json_string(text);
}

static json_t *make_header(const struct launch *launch)
{
    const struct config *config = &launch->config;
    json_t *header = json_object();
    json_object_set_new(header, "ociVersion", json_string(config->oci_version));
    json_object_set_new(header, "id", json_string(launch->options->id));
    json_object_set_new(header, "bundle", json_string(launch->bundle));
    json_object_set_new(header, "rootfs", json_string(launch->root_path));
    json_object_set_new(header, "created", time_now());
    json_object_set_new(header, "uid", json_integer(geteuid()));
    json_object_set_new(header, "cgroup", cgroup_to_json(&launch->cgroup));
    if (!namespaces_makes(&launch->namespaces, CONFIG_NAMESPACE_PID))
        json_object_set_new(header, "sharesPids", json_true());
    if (launch->intel_rdt)
        json_object_set(header, "intelRdt", launch->intel_rdt);
    json_t *annotations = json_object();
    for (size_t i = 0; i < config->annotations.count; i++)
        json_object_set_new(annotations, config->annotations.items[i].key,
                            json_string(config->annotations.items[i].value));
    json_object_set_new(header, "annotations", annotations);
    return header;
}

/* ---- make ---- */

/* The user namespace by whose mappings a mount's owners change: the mount's own, or those of the
 * container, which another one may have made. */
static int open_mapping(const struct launch *launch, const struct config_mount *mount,
                        struct error *err)
{
    const struct config_linux *section = &launch->config.linux_section;
    int joined = launch->namespaces.joined[CONFIG_NAMESPACE_USER];
    if (mount->uid_mappings.count > 0)
        return idmap_open_namespace(&mount->uid_mappings, &mount->gid_mappings, err);
    if (joined < 0)
        return idmap_open_namespace(&section->uid_mappings, &section->gid_mappings, err);
    int fd = fcntl(joined, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? error_set(err, errno, "can't keep the user namespace") : fd;
}

/* In a user namespace the child may lack the rights to reach what the runtime may: the trees of
 * bind mounts and of the root are opened here. So are those that get other owners. */
static int open_source(const struct launch *launch, size_t index, bool privileged,
                       struct error *err)
{
    const struct config *config = &launch->config;
    const struct config_mount *mount = &config->mounts[index];
    struct mount_options options;
    if (mount_options_parse(&options, mount, err) < 0)
        return -1;
    int fd = -1;
    bool failed = false;
    if (options.bind && !options.remount && (privileged || options.idmap)) {
        fd = mount_clone_source(mount, &options, err);
        failed = fd < 0;
    }
    if (fd >= 0 && options.idmap) {
        scope_close int user_namespace = open_mapping(launch, mount, err);
        failed = user_namespace < 0 ||
                 mount_set_idmap(fd, user_namespace, options.idmap_recursive, err) < 0;
    }
    mount_options_release(&options);
    if (!failed)
        return fd;
    if (fd >= 0)
        close(fd);
    error_wrap(err, "mount %s", mount->destination);
    return -2;
}

static int open_sources(struct launch *launch, struct error *err)
{
    const struct config *config = &launch->config;
    bool privileged = geteuid() == 0 && namespaces_changes_user(&launch->namespaces);
    bool needed = privileged;
    for (size_t i = 0; i < config->mount_count && !needed; i++) {
        for (size_t k = 0; k < config->mounts[i].options.count && !needed; k++)
            needed = strstr(config->mounts[i].options.items[k], "idmap");
        needed |= config->mounts[i].uid_mappings.count > 0;
    }
    if (!needed)
        return 0;
    launch->mount_sources = memory_allocate(config->mount_count, sizeof(int));
    for (size_t i = 0; i < config->mount_count; i++)
        launch->mount_sources[i] = -1;
    for (size_t i = 0; i < config->mount_count; i++) {
        int fd = open_source(launch, i, privileged, err);
        if (fd == -2)
            return -1;
        launch->mount_sources[i] = fd;
    }
    if (privileged)
        launch->root_source = mount_clone(AT_FDCWD, launch->root_path, true, 0, err);
    return privileged && launch->root_source < 0 ? -1 : 0;
}

static void close_sources(struct launch *launch)
{
    for (size_t i = 0; launch->mount_sources && i < launch->config.mount_count; i++) {
        if (launch->mount_sources[i] >= 0)
            close(launch->mount_sources[i]);
    }
    free(launch->mount_sources);
    launch->mount_sources = NULL;
    if (launch->root_source >= 0)
        close(scope_take_fd(&launch->root_source));
}

/* Everything that is done to the first process from outside; then it may go on. Without a user
 * namespace it is making its namespaces and its root meanwhile, on another processor. */
static int release(struct launch *launch, bool enters_v2, struct error *err)
{
    const struct config *config = &launch->config;
    struct attendance *process = &launch->process;
    if (record_add_process(&launch->record, process->pid, err) < 0)
        return -1;
    int made = launch->cgroup.manager == CGROUP_MANAGER_SYSTEMD
                   ? cgroup_create(&launch->cgroup, process->pid, config, err)
                   : cgroup_create_v1(&launch->cgroup, config, err);
    if (made < 0 ||
        cgroup_apply(&launch->cgroup, config->linux_section.resources, false, err) < 0 ||
        intel_rdt_add_process(launch->record.header, process->pid, err) < 0)
        return -1;
    const struct admission admission = {
        .process = config->process,
        .cgroup = &launch->cgroup,
        .enters_v2 = enters_v2,
        .user_namespace = namespaces_changes_user(&launch->namespaces),
        .pid_file = launch->options->pid_file,
        .pidfd_socket = launch->options->pidfd_socket,
    };
    warnings_note(launch->options->warnings, "in its cgroups, limits applied");
    return admit(process, &admission, err);
}

static int make(struct launch *launch, struct error *err)
{
    const struct config *config = &launch->config;
    int channel[2];
    scope_close int cgroup = -1;
    if (launch->cgroup.manager == CGROUP_MANAGER_FILES) {
        if (cgroup_create_v2(&launch->cgroup, config, err) < 0)
            return -1;
        cgroup = cgroup_open_v2(&launch->cgroup);
    }
    if (config->linux_section.intel_rdt &&
        intel_rdt_create(launch->record.header, config->linux_section.intel_rdt, err) < 0)
        return error_wrap(err, "linux.intelRdt");
    if (open_sources(launch, err) < 0)
        return -1;
    if (launch->process.waits &&
        (launch->start_listener = record_listen_start(&launch->record, err)) < 0)
        return -1;
    /* Whoever shares a pid namespace with the first process must not look into it. */
    if (launch->namespaces.joined[CONFIG_NAMESPACE_PID] >= 0)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (exe_guard_detach(err) < 0 || channel_open(channel, err) < 0)
        return -1;
    launch->process.pid = namespaces_clone(&launch->namespaces, channel, cgroup, err);
    if (launch->process.pid == 0)
        init_run(launch, channel[1]);
    launch->process.channel = channel[0];
    close_sources(launch);
    if (launch->start_listener >= 0)
        close(scope_take_fd(&launch->start_listener));
    if (launch->process.pid < 0) {
        launch->process.pid = 0;
        return -1;
    }
    warnings_note(launch->options->warnings, "first process: %d", launch->process.pid);
    /* systemd moves the process itself; else it is born there if that was possible. */
    bool born_there = !namespaces_is_staged(&launch->namespaces) && cgroup >= 0;
    return release(launch, launch->cgroup.manager == CGROUP_MANAGER_FILES && !born_there, err);
}

/* ---- undo ---- */

/* What can't be undone stays recorded, for `delete --force`; the error that led here is the one
 * that counts. */
static void undo(struct launch *launch)
{
    if (launch->process.pid > 0) {
        kill(launch->process.pid, SIGKILL);
        waitpid(launch->process.pid, NULL, 0);
    }
    struct error undone;
    if (dispose(&launch->record, &launch->cgroup, &launch->config, launch->options->warnings,
                &undone) < 0)
        warnings_say(launch->options->warnings, &undone);
    if (launch->options->pid_file)
        pid_file_remove(launch->options->pid_file, launch->process.pid);
}

static void finish(struct launch *launch)
{
    close_sources(launch);
    if (launch->start_listener >= 0)
        close(scope_take_fd(&launch->start_listener));
    attend_end(&launch->process);
    record_close(&launch->record);
    json_decref(launch->intel_rdt);
    seccomp_program_release(&launch->seccomp);
    namespaces_close(&launch->namespaces);
    config_release(&launch->config);
    free(launch->config_text);
    free(launch->bundle);
    free(launch->root_path);
}

static void begin(struct launch *launch, const struct container_options *options, bool waits)
{
    *launch = (struct launch){
        .options = options,
        .record = RECORD_CLOSED,
        .root_source = -1,
        .start_listener = -1,
        .process = {.channel = -1, .ours = true, .waits = waits, .console = -1, .terminal = -1}};
    launch->process.config = &launch->config;
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++)
        launch->namespaces.joined[kind] = -1;
}

/* Up to the point where the container is created, or (run) its program executed. */
static int bring_up(struct launch *launch, struct error *err)
{
    if (prepare(launch, err) < 0 ||
        record_create(&launch->record, launch->options->root, launch->options->id,
                      make_header(launch), launch->config_text, launch->config_length, err) < 0)
        return -1;
    warnings_note(launch->options->warnings, "read and recorded %s/config.json", launch->bundle);
    launch->process.header = launch->record.header;
    launch->process.record = &launch->record;
    if (make(launch, err) == 0 && attend(&launch->process, err) == 0) {
        warnings_note(launch->options->warnings, "the first process %s",
                      launch->process.waits ? "waits for start" : "executed its program");
        return 0;
    }
    channel_explain(launch->process.channel, err);
    warnings_note(launch->options->warnings, "undoing what was made: %s", err->text);
    undo(launch);
    return -1;
}

int container_create(const struct container_options *options, struct error *err)
{
    struct launch launch;
    begin(&launch, options, true);
    int result = bring_up(&launch, err);
    if (result == 0 && (result = record_add_created(&launch.record, err)) < 0)
        undo(&launch);
    finish(&launch);
    return result;
}

static int run_poststart(struct launch *launch, struct error *err)
{
    if (launch->config.hooks[CONFIG_HOOK_POSTSTART].count == 0)
        return 0;
    json_t *state = state_document(launch->record.header, "running", launch->process.pid);
    int result = hooks_run(&launch->config, CONFIG_HOOK_POSTSTART, state, &launch->record, err);
    json_decref(state);
    if (result < 0)
        undo(launch);
    return result;
}

/* Somebody else may have deleted it already. */
static int dispose_of_ended(struct launch *launch, struct error *err)
{
    struct error locked;
    if (record_lock(&launch->record, 10000, &locked) < 0) {
        if (locked.code == ENOENT)
            return 0;
        return error_set(err, 0, "%s", locked.text);
    }
    return dispose(&launch->record, &launch->cgroup, &launch->config, launch->options->warnings,
                   err);
}

int container_run(const struct container_options *options, int *exit_status, struct error *err)
{
    struct launch launch;
    struct foreground foreground;
    begin(&launch, options, false);
    if (!options->detach)
        foreground_begin(&foreground);
    if (options->subreaper && !options->detach)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    *exit_status = 0;
    int result = bring_up(&launch, err);
    /* Not for ourselves: who asks for its state while we hold the lock (a hook, or we delete it)
     * would take it for one that is still being created. */
    if (result == 0 && (result = record_add_created(&launch.record, err)) < 0)
        undo(&launch);
    if (result == 0)
        result = run_poststart(&launch, err);
    if (result == 0 && !options->detach) {
        /* The container lives its own life now: others may work on it. */
        record_unlock(&launch.record);
        result = foreground_attend(&foreground, launch.process.pid, launch.process.terminal,
                                   exit_status, err);
        if (!options->keep && dispose_of_ended(&launch, result == 0 ? err : NULL) < 0)
            result = -1;
    }
    if (!options->detach)
        foreground_end(&foreground);
    finish(&launch);
    return result;
}
