/* Starting: network, volumes, the runtime configuration, and a monitor that does the rest. */
#include "engine/start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "container/signals.h"
#include "engine/attach.h"
#include "engine/machine.h"
#include "engine/rootless.h"
#include "engine/settings_internal.h"
#include "engine/spec.h"

int engine_write_file(const char *directory, const char *name, const char *text, struct error *err)
{
    scope_free char *path = memory_format("%s/%s", directory, name);
    scope_free char *beside = memory_format("%s.new", path);
    scope_close int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0 || fchmod(fd, 0644) < 0 ||
        rename(beside, path) < 0) {
        error_set(err, errno, "can't write %s", path);
        unlink(beside);
        return -1;
    }
    return 0;
}

/* ---- The runtime configuration ---- */

struct namespaces {
    char *pid, *ipc, *shm;
};

static void release_namespaces(struct namespaces *namespaces)
{
    free(namespaces->pid);
    free(namespaces->ipc);
    free(namespaces->shm);
}
#define scope_namespaces __attribute__((cleanup(release_namespaces)))

/* Where a container that shares its IPC namespace has its /dev/shm. */
static char *shm_path(const struct engine_container *container)
{
    return memory_format("%s/shm", container->run_directory);
}

/* The namespace of a container that runs, for modes like "container:NAME". */
static int find_namespace(struct engine *engine, const char *mode, const char *kind, char **path,
                          char **shm, struct error *err)
{
    scope_container struct engine_container other = {0};
    struct monitor_status status = {0};
    if (strncmp(mode, "container:", 10) != 0)
        return 0;
    if (engine_find(engine, mode + 10, &other, err) < 0 ||
        engine_status(engine, &other, &status, err) < 0)
        return error_wrap(err, "the %s namespace of another container", kind);
    pid_t pid = engine_is_up(&status) ? status.pid : 0;
    monitor_status_release(&status);
    if (pid <= 0)
        return error_set(err, 0, "container %s, whose %s namespace is to be shared, doesn't run",
                         other.name, kind);
    *path = memory_format("/proc/%d/ns/%s", (int)pid, kind);
    if (!shm)
        return 0;
    const char *theirs = settings_text(engine_host_config(&other), "IpcMode");
    if (strcmp(theirs, "shareable") != 0)
        return error_set(err, 0,
                         "container %s doesn't share its IPC namespace (start it with --ipc "
                         "shareable)",
                         other.name);
    *shm = shm_path(&other);
    return 0;
}

/* A tmpfs for /dev/shm that others can mount too. */
static int make_shm(const struct engine_container *container, const json_t *host, char **shm,
                    struct error *err)
{
    char options[64];
    int64_t size = settings_integer(host, "ShmSize");
    *shm = shm_path(container);
    snprintf(options, sizeof options, "mode=1777,size=%lld", (long long)(size ? size : 64LL << 20));
    if (mkdir(*shm, 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "can't make %s", *shm);
    umount2(*shm, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (mount("shm", *shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
        return error_set(err, errno, "can't mount %s", *shm);
    return 0;
}

void engine_drop_shm(const char *run_directory)
{
    scope_free char *path = memory_format("%s/shm", run_directory);
    umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    rmdir(path);
}

static int find_namespaces(struct engine *engine, const struct engine_container *container,
                           struct namespaces *namespaces, struct error *err)
{
    const json_t *host = engine_host_config(container);
    const char *ipc = settings_text(host, "IpcMode");
    if (find_namespace(engine, settings_text(host, "PidMode"), "pid", &namespaces->pid, NULL, err) <
            0 ||
        find_namespace(engine, ipc, "ipc", &namespaces->ipc, &namespaces->shm, err) < 0)
        return -1;
    return strcmp(ipc, "shareable") == 0 ? make_shm(container, host, &namespaces->shm, err) : 0;
}

static int write_config(struct engine *engine, const struct engine_container *container,
                        const struct engine_layers *layers, const json_t *mounts,
                        const struct engine_network *network, const struct namespaces *namespaces,
                        const struct engine_userns *userns, struct error *err)
{
    json_t *config = NULL;
    bool wants_init = settings_flag(engine_host_config(container), "Init");
    scope_free char *init = wants_init ? spec_find_init(err) : NULL;
    scope_free char *rootfs = memory_format("%s/rootfs", container->directory);
    scope_free char *hosts = memory_format("%s/hosts", network->files);
    scope_free char *hostname = memory_format("%s/hostname", network->files);
    scope_free char *resolv = memory_format("%s/resolv.conf", network->files);
    const struct spec_input input = {
        .id = container->id,
        .settings = container->settings,
        .rootfs = rootfs,
        .layers = layers->directories,
        .layer_count = layers->count + 1,
        .mounts = mounts,
        .hosts_file = hosts,
        .hostname_file = hostname,
        .resolv_conf_file = resolv,
        .network_namespace = network->attachment.namespace_path,
        .uid_mappings = userns->mappings,
        .gid_mappings = userns->mappings,
        .user_namespace = userns->path,
        .pid_namespace = namespaces->pid,
        .ipc_namespace = namespaces->ipc,
        .shm_directory = namespaces->shm,
        .init = init,
        .rootless = rootless_is_active(),
        .warnings = engine->warnings,
    };
    if ((wants_init && !init) || spec_make(&input, &config, err) < 0)
        return -1;
    if (engine_is_machine(container))
        engine_machine_adapt(container, config);
    scope_free char *text = json_dumps(config, JSON_INDENT(1));
    json_decref(config);
    return engine_write_file(container->run_directory, "config.json", text, err);
}

/* ---- The monitor's settings ---- */

static struct monitor_strings take_texts(struct arena *arena, const json_t *list, size_t from)
{
    struct monitor_strings texts = {0};
    size_t count = json_array_size(list);
    texts.items = arena_allocate(arena, count + 1, sizeof *texts.items);
    for (size_t i = from; i < count; i++)
        texts.items[texts.count++] = json_string_value(json_array_get(list, i));
    return texts;
}

static void describe_health(struct arena *arena, const json_t *settings,
                            struct monitor_health *health)
{
    const json_t *check = json_object_get(settings, "Healthcheck");
    const json_t *test = json_object_get(check, "Test");
    const char *kind = json_string_value(json_array_get(test, 0));
    if (!kind || strcmp(kind, "NONE") == 0)
        return;
    health->interval = settings_integer(check, "Interval");
    health->timeout = settings_integer(check, "Timeout");
    health->start_period = settings_integer(check, "StartPeriod");
    health->start_interval = settings_integer(check, "StartInterval");
    health->retries = (int)settings_integer(check, "Retries");
    if (strcmp(kind, "CMD") == 0) {
        health->test = take_texts(arena, test, 1);
        return;
    }
    json_t *shell = json_object_get(settings, "Shell");
    json_t *own = json_array_size(shell) == 0 ? json_pack("[ss]", "/bin/sh", "-c") : NULL;
    struct monitor_strings words = take_texts(arena, own ? own : shell, 0);
    health->test.items = arena_allocate(arena, words.count + 2, sizeof *words.items);
    for (size_t i = 0; i < words.count; i++)
        health->test.items[i] = arena_copy_string(arena, words.items[i]);
    json_decref(own);
    const char *command = json_string_value(json_array_get(test, 1));
    health->test.items[words.count] = command ? command : "";
    health->test.count = words.count + 1;
}

static void describe_log(struct arena *arena, const struct engine_container *container,
                         const json_t *host, struct monitor_log *log)
{
    const json_t *config = json_object_get(host, "LogConfig");
    const json_t *options = json_object_get(config, "Config");
    const char *size = settings_text(options, "max-size");
    int64_t files = 1;
    if (strcmp(settings_text(config, "Type"), "none") == 0)
        return;
    log->path = arena_format(arena, "%s/json.log", container->directory);
    if (!*size || !quantity_read_size(size, &log->max_size))
        log->max_size = 0;
    quantity_read_integer(settings_text(options, "max-file"), 1, INT_MAX, &files);
    log->max_file = (int)files;
    log->compress = strcmp(settings_text(options, "compress"), "true") == 0;
    scope_free char *attributes = engine_log_attributes(container, options);
    log->attributes = attributes ? arena_copy_string(arena, attributes) : NULL;
}

static void describe_restart(const json_t *host, struct monitor_restart *restart)
{
    const json_t *policy = json_object_get(host, "RestartPolicy");
    const char *name = settings_text(policy, "Name");
    if (*name && monitor_restart_parse(restart, name, NULL) == 0)
        restart->maximum_retry_count = (int)settings_integer(policy, "MaximumRetryCount");
}

static struct monitor_strings describe_cleanup(struct engine *engine, struct arena *arena,
                                               const char *id)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    const char *const words[] = {
        self, "--root", engine->root, "--run-root", engine->run_root, "container", "cleanup", id};
    struct monitor_strings command = {.count = sizeof words / sizeof *words};
    command.items = arena_allocate(arena, command.count, sizeof *command.items);
    for (size_t i = 0; i < command.count; i++)
        command.items[i] = arena_copy_string(arena, words[i]);
    return command;
}

static bool has_shared_mount(const json_t *mounts)
{
    const json_t *mount;
    size_t i;
    json_array_foreach(
        mounts, i,
        mount) if (strstr(settings_text(json_object_get(mount, "BindOptions"), "Propagation"),
                          "shared")) return true;
    return false;
}

static int write_monitor_config(struct engine *engine, const struct engine_container *container,
                                const struct engine_layers *layers, const json_t *mounts,
                                const struct engine_userns *userns,
                                const struct engine_start *start, struct error *err)
{
    struct arena arena = {0};
    const json_t *settings = container->settings, *host = engine_host_config(container);
    const char *signal = settings_text(settings, "StopSignal");
    const json_t *timeout = json_object_get(settings, "StopTimeout");
    const struct engine_runtime runtime = engine_runtime_of(engine, container);
    int64_t seconds = json_is_integer(timeout) ? json_integer_value(timeout) : 10;
    struct monitor_config config = {
        .id = container->id,
        .name = container->name,
        .image = container->image,
        .labels = json_object_get(settings, "Labels"),
        .state_directory = container->directory,
        .events = engine->events,
        .runtime = runtime.program,
        .runtime_root = runtime.root,
        .bundle = container->run_directory,
        .host_mount_namespace = has_shared_mount(mounts),
        .terminal = settings_flag(settings, "Tty"),
        .open_stdin = settings_flag(settings, "OpenStdin"),
        .stdin_once = settings_flag(settings, "StdinOnce"),
        .begin_at_once = !start->hold,
        .rows = start->rows,
        .columns = start->columns,
        .stop_signal = *signal ? signals_parse(signal) : 0,
        .stop_timeout = seconds < 0                ? -1
                        : seconds > INT_MAX / 1000 ? INT_MAX
                                                   : (int)seconds * 1000,
        .cleanup = describe_cleanup(engine, &arena, container->id),
    };
    if (!engine_is_machine(container))
        engine_overlay_describe(container, layers, &arena, &config.overlay);
    config.overlay.user_namespace = userns->path;
    if (userns->path)
        config.owner = settings_integer(json_array_get(userns->mappings, 0), "hostID");
    /* Of --rm nothing needs to reach the disk: without this, unmounting waits for that. */
    if (settings_flag(host, "AutoRemove") && config.overlay.target)
        config.overlay.options = "volatile";
    describe_log(&arena, container, host, &config.log);
    describe_restart(host, &config.restart);
    describe_health(&arena, settings, &config.health);
    int result = monitor_config_write(container->run_directory, &config, err);
    arena_release(&arena);
    return result;
}

/* ---- A start ---- */

/* In a user namespace of its own the container's root owns its files of /etc, and volumes show
 * their owners as the disk has them. */
static int hand_files_over(const struct engine_container *container,
                           const struct engine_userns *userns, json_t *mounts, struct error *err)
{
    static const char *const names[] = {"hosts", "hostname", "resolv.conf"};
    json_t *mount;
    size_t i;
    if (!userns->path)
        return 0;
    uid_t root = (uid_t)settings_integer(json_array_get(userns->mappings, 0), "hostID");
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        scope_free char *path = memory_format("%s/%s", container->run_directory, names[i]);
        if (lchown(path, root, root) < 0 && errno != ENOENT)
            return error_set(err, errno, "can't give %s to the container's root", path);
    }
    json_array_foreach(mounts, i, mount)
    {
        if (strcmp(settings_text(mount, "Type"), "volume") != 0)
            continue;
        if (!json_object_get(mount, "Options"))
            json_object_set_new(mount, "Options", json_array());
        json_array_append_new(json_object_get(mount, "Options"), json_string("idmap"));
    }
    return 0;
}

static int prepare(struct engine *engine, const struct engine_container *container,
                   const struct engine_start *start, struct error *err)
{
    scope_engine_userns struct engine_userns userns = {.fd = -1};
    scope_engine_layers struct engine_layers layers = {0};
    scope_engine_network struct engine_network network = {0};
    scope_namespaces struct namespaces namespaces = {0};
    if (file_make_directories(container->run_directory, 0700, err) < 0 ||
        engine_layers_find(engine, container, &layers, err) < 0)
        return -1;
    json_t *mounts = engine_mounts_prepare(engine, container, &layers, err);
    if (!mounts)
        return -1;
    int result = engine_userns_prepare(container, &userns, err);
    if (result == 0)
        result = engine_network_attach(engine, container, userns.fd, &network, err);
    if (result == 0)
        result = hand_files_over(container, &userns, mounts, err);
    if (result == 0)
        result = find_namespaces(engine, container, &namespaces, err);
    if (result == 0)
        result =
            write_config(engine, container, &layers, mounts, &network, &namespaces, &userns, err);
    if (result == 0 && engine_is_machine(container))
        result = engine_machine_prepare(engine, container, err);
    if (result == 0)
        result = write_monitor_config(engine, container, &layers, mounts, &userns, start, err);
    json_decref(mounts);
    return result;
}

int engine_start_locked(struct engine *engine, const struct engine_container *container,
                        struct engine_start *start, struct error *err)
{
    struct error ignored;
    start->failure.exit_code = 125;
    if (engine_runtime_forget(engine, container->id, err) == 0 &&
        prepare(engine, container, start, err) == 0 &&
        monitor_start(engine_program(engine, "hull-monitor"), container->run_directory,
                      &start->failure, err) > 0)
        return 0;
    engine_give_back(engine, container->id, &ignored);
    return -1;
}

/* A container that nobody holds the lock of waits to begin: who should have begun it was killed. */
static void end_waiting(const struct engine_container *container)
{
    struct error ignored;
    monitor_stop(container->run_directory, SIGKILL, 0, &ignored);
}

/* Takes the lock once the last monitor has let go; that one's cleanup wants the lock itself. */
static int lock_ended(const struct engine_container *container, struct error *err)
{
    for (int waited = 0;; waited++) {
        scope_close int lock = engine_lock(container, false, err);
        struct monitor_status status = {0};
        if (lock < 0)
            return -1;
        int known =
            monitor_read_status(container->run_directory, container->directory, &status, err);
        bool is_ending =
            known == 1 && !engine_is_up(&status) && monitor_is_alive(container->run_directory);
        bool is_waiting = is_ending && status.state == MONITOR_CREATED;
        monitor_status_release(&status);
        if (known < 0)
            return -1;
        if (!is_ending)
            return scope_take_fd(&lock);
        if (is_waiting)
            end_waiting(container);
        if (waited == 3000)
            return error_set(err, ETIMEDOUT, "container %s has ended, but its cleaning up goes on",
                             container->name);
        close(scope_take_fd(&lock));
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

int engine_start(struct engine *engine, const struct engine_container *container,
                 struct engine_start *start, struct error *err)
{
    struct monitor_status status = {0};
    start->lock = -1;
    start->failure.exit_code = 125;
    scope_close int lock = lock_ended(container, err);
    if (lock < 0 || engine_settle(engine, container, lock, &status, err) < 0)
        return -1;
    bool is_up = engine_is_up(&status), is_paused = status.state == MONITOR_PAUSED;
    monitor_status_release(&status);
    if (is_paused)
        return error_set(err, 0, "container %s is paused (use 'hull unpause')", container->name);
    if (is_up)
        return 1;
    if (engine_start_locked(engine, container, start, err) < 0)
        return -1;
    if (start->hold)
        start->lock = scope_take_fd(&lock);
    return 0;
}

void engine_start_release(struct engine_start *start)
{
    if (start->lock >= 0)
        close(start->lock);
    start->lock = -1;
}

int engine_end_waiting(const struct engine_container *container, struct error *err)
{
    struct monitor_status status = {0};
    scope_close int lock = engine_lock(container, true, err);
    if (lock < 0)
        return err->code == EAGAIN || err->code == ENOENT ? 0 : -1;
    if (monitor_read_status(container->run_directory, container->directory, &status, err) < 0)
        return -1;
    bool is_waiting = status.state == MONITOR_CREATED && monitor_is_alive(container->run_directory);
    monitor_status_release(&status);
    if (!is_waiting)
        return 0;
    end_waiting(container);
    close(scope_take_fd(&lock)); /* which the monitor's cleanup takes */
    engine_await_monitor(container);
    return 0;
}
