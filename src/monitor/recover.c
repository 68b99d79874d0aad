/* After a monitor was killed: what it would have done at its container's end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/loop.h"
#include "base/scope.h"
#include "monitor/document.h"
#include "monitor/driver.h"
#include "monitor/lock.h"
#include "monitor/overlay.h"
#include "monitor/restart.h"
#include "monitor/status.h"

#define KILLED_EXIT_CODE 137 /* 128 + SIGKILL, which is what recovery ends it with */

/* ---- the runtime's container ---- */

struct deletion {
    struct driver_call call;
    struct error *err;
    int result;
};

static void deleted(struct driver_call *call, const struct error *err)
{
    struct deletion *deletion = loop_owner(call, struct deletion, call);
    deletion->result = err ? -1 : 0;
    if (err)
        *deletion->err = *err;
}

static int delete_container(const char *run_directory, const struct monitor_config *config,
                            struct error *err)
{
    const char *const arguments[] = {"delete", "--force", config->id, NULL};
    struct children children = {0};
    struct deletion deletion = {.call = {.config = config,
                                         .directory = run_directory,
                                         .log = "recover.log",
                                         .children = &children,
                                         .lock = -1,
                                         .done = deleted},
                                .err = err,
                                .result = -1};
    int status = 0;
    driver_start(&deletion.call, arguments, (const int[]){-1, -1, -1});
    pid_t pid = deletion.call.child.pid;
    if (pid == 0)
        return deletion.result;
    /* Only this child: the caller may have others. */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    deletion.call.child.ended(&deletion.call.child, status);
    return deletion.result;
}

/* ---- what is told of it ---- */

static void append_die(const struct monitor_config *config, int exit_code)
{
    char code[16];
    snprintf(code, sizeof code, "%d", exit_code);
    scope_json json_t *attributes = config->labels ? json_copy(config->labels) : json_object();
    json_object_set_new(attributes, "exitCode", json_string(code));
    if (config->name)
        json_object_set_new(attributes, "name", json_string(config->name));
    if (config->image)
        json_object_set_new(attributes, "image", json_string(config->image));
    monitor_event_append(config->events, "container", "die", config->id, attributes, NULL);
}

/* The container's end, unless its monitor has told of one. */
static int note_end(const char *run_directory, const struct monitor_config *config,
                    struct monitor_status *status, struct error *err)
{
    struct timespec now;
    bool ran = status->state == MONITOR_RUNNING || status->state == MONITOR_PAUSED;
    if (status->state != MONITOR_EXITED && status->state != MONITOR_DEAD) {
        /* One that waited to be restarted has its exit code and time. */
        if (status->state != MONITOR_RESTARTING) {
            clock_gettime(CLOCK_REALTIME, &now);
            document_format_time(status->finished_at, &now);
            status->exit_code = KILLED_EXIT_CODE;
        }
        if (status->state != MONITOR_CREATED)
            status->state = MONITOR_EXITED;
        snprintf(status->error, sizeof status->error, "the container's monitor was killed");
    }
    status->pid = status->monitor = 0;
    status->monitor_start_time = 0;
    json_t *health = json_object_get(status->document, "health");
    if (status_write(run_directory, status, health, err) < 0 ||
        status_write(config->state_directory, status, health, err) < 0)
        return -1;
    if (ran)
        append_die(config, status->exit_code);
    return 0;
}

static int recover(const char *run_directory, const struct monitor_config *config, bool *restart,
                   struct error *err)
{
    struct monitor_status status;
    if (delete_container(run_directory, config, err) < 0)
        return -1;
    if (config->host_mount_namespace)
        overlay_unmount(&config->overlay);
    int found = status_read_file(run_directory, &status, err);
    if (found < 0)
        return -1;
    if (found == 0) {
        /* Killed before it wrote its first: as one that couldn't be started. */
        status.restart = config->restart;
        strcpy(status.started_at, DOCUMENT_NEVER);
        strcpy(status.finished_at, DOCUMENT_NEVER);
    }
    bool was_alive = status.state == MONITOR_RUNNING || status.state == MONITOR_PAUSED ||
                     status.state == MONITOR_RESTARTING;
    int result = note_end(run_directory, config, &status, err);
    if (restart)
        *restart = was_alive && restart_is_wanted(&status.restart, status.exit_code,
                                                  status.stopped_by_user, status.restart_count);
    monitor_status_release(&status);
    return result;
}

int monitor_recover(const char *run_directory, bool *restart, struct error *err)
{
    struct error reason;
    struct monitor_config config;
    if (restart)
        *restart = false;
    if (access(run_directory, F_OK) < 0 && errno == ENOENT)
        return 1;
    scope_close int lock = lock_take(run_directory, 0, &reason);
    if (lock < 0 && reason.code == EAGAIN)
        return 0;
    if (lock < 0 || monitor_config_read(run_directory, &config, &reason) < 0) {
        /* Without monitor.json no monitor has done anything. */
        if (lock >= 0 && reason.code == ENOENT)
            return 1;
        if (err)
            *err = reason;
        return -1;
    }
    int result = recover(run_directory, &config, restart, err);
    monitor_config_release(&config);
    return result < 0 ? -1 : 1;
}

int monitor_forget(const char *run_directory, struct error *err)
{
    scope_closedir DIR *directory = opendir(run_directory);
    if (!directory)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open %s", run_directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (file_is_dots(entry->d_name))
            continue;
        if (unlinkat(dirfd(directory), entry->d_name, 0) < 0 && errno != ENOENT)
            return error_set(err, errno, "can't remove %s/%s", run_directory, entry->d_name);
    }
    if (rmdir(run_directory) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't remove %s", run_directory);
    return 0;
}
