#include "monitor/status.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "monitor/document.h"

#define STATUS_SIZE_LIMIT (1 << 20)
#define REBOOT_EXIT_CODE 255 /* as docker says of what ran when its host went down */

static const char *const state_names[] = {
    [MONITOR_CREATED] = "created",       [MONITOR_RUNNING] = "running", [MONITOR_PAUSED] = "paused",
    [MONITOR_RESTARTING] = "restarting", [MONITOR_EXITED] = "exited",   [MONITOR_DEAD] = "dead",
};

const char *monitor_state_name(enum monitor_state state)
{
    return state_names[state];
}

static char *read_boot_id(void)
{
    char *id = file_read_all(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, NULL, NULL);
    if (id)
        id[strcspn(id, "\n")] = '\0';
    return id;
}

unsigned long long status_start_time(pid_t pid)
{
    uint64_t start;
    char state;
    return process_start_time(pid, &start, &state) == 0 ? start : 0;
}

int status_write(const char *directory, const struct monitor_status *status, const json_t *health,
                 struct error *err)
{
    scope_free char *boot = read_boot_id();
    scope_free char *path = memory_format("%s/status", directory);
    scope_json json_t *document = json_pack(
        "{s:i, s:s, s:i, s:i, s:s, s:s, s:b, s:i, s:b, s:o, s:s, s:{s:i, s:I}}", "version", 1,
        "status", monitor_state_name(status->state), "pid", (int)status->pid, "exitCode",
        status->exit_code, "startedAt", status->started_at, "finishedAt", status->finished_at,
        "oomKilled", status->oom_killed, "restartCount", status->restart_count, "stoppedByUser",
        status->stopped_by_user, "restart", restart_to_json(&status->restart), "bootId",
        boot ? boot : "", "monitor", "pid", (int)status->monitor, "startTime",
        (json_int_t)status->monitor_start_time);
    if (!document)
        return error_set(err, ENOMEM, "can't describe the container's status");
    json_t *error = json_string(status->error);
    json_object_set_new(document, "error", error ? error : json_string("not UTF-8"));
    if (health)
        json_object_set(document, "health", (json_t *)health);
    return document_write(path, document, err);
}

static long long number(const json_t *document, const char *key)
{
    return json_integer_value(json_object_get(document, key));
}

static void copy_text(char *to, size_t size, const json_t *document, const char *key)
{
    const char *text = json_string_value(json_object_get(document, key));
    snprintf(to, size, "%s", text ? text : "");
}

static int read_document(struct monitor_status *status, json_t *document)
{
    const char *name = json_string_value(json_object_get(document, "status"));
    const json_t *monitor = json_object_get(document, "monitor");
    size_t state = 0, count = sizeof state_names / sizeof *state_names;
    while (name && state < count && strcmp(state_names[state], name) != 0)
        state++;
    if (!name || state == count ||
        restart_from_json(&status->restart, json_object_get(document, "restart")) < 0)
        return -1;
    status->state = (enum monitor_state)state;
    status->pid = (pid_t)number(document, "pid");
    status->exit_code = (int)number(document, "exitCode");
    copy_text(status->started_at, sizeof status->started_at, document, "startedAt");
    copy_text(status->finished_at, sizeof status->finished_at, document, "finishedAt");
    copy_text(status->error, sizeof status->error, document, "error");
    status->oom_killed = json_is_true(json_object_get(document, "oomKilled"));
    status->restart_count = (int)number(document, "restartCount");
    status->stopped_by_user = json_is_true(json_object_get(document, "stoppedByUser"));
    status->monitor = (pid_t)number(monitor, "pid");
    status->monitor_start_time = (unsigned long long)number(monitor, "startTime");
    return 0;
}

int status_read_file(const char *directory, struct monitor_status *status, struct error *err)
{
    size_t length;
    struct error reason;
    *status = (struct monitor_status){0};
    scope_free char *path = memory_format("%s/status", directory);
    scope_free char *text = file_read_all(AT_FDCWD, path, STATUS_SIZE_LIMIT, &length, &reason);
    if (!text && (reason.code == ENOENT || reason.code == ENOTDIR))
        return 0;
    if (!text) {
        if (err)
            *err = reason;
        return -1;
    }
    status->document = json_loadb(text, length, 0, NULL);
    if (status->document && read_document(status, status->document) == 0)
        return 1;
    monitor_status_release(status);
    return error_set(err, EINVAL, "%s is damaged; 'hull rm --force' removes the container", path);
}

void monitor_status_release(struct monitor_status *status)
{
    json_decref(status->document);
    *status = (struct monitor_status){0};
}

static bool has_ended(const struct monitor_status *status)
{
    return status->state == MONITOR_EXITED || status->state == MONITOR_DEAD;
}

/* Nobody saw the end: it was before the machine came up, and not before the start. */
static void note_reboot(struct monitor_status *status)
{
    struct timespec now, since_boot;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    struct timespec boot = {.tv_sec = now.tv_sec - since_boot.tv_sec};
    document_format_time(status->finished_at, &boot);
    if (strcmp(status->finished_at, status->started_at) < 0)
        strcpy(status->finished_at, status->started_at);
    status->rebooted = true;
    status->state = MONITOR_EXITED;
    status->exit_code = REBOOT_EXIT_CODE;
    status->pid = 0;
}

/* ROOT's file, which is all that is left after a reboot, or where no monitor ever ran. */
static int read_persistent(const char *directory, struct monitor_status *status, struct error *err)
{
    int found = status_read_file(directory, status, err);
    if (found != 1 || has_ended(status) || status->pid == 0)
        return found;
    scope_free char *boot = read_boot_id();
    const char *then = json_string_value(json_object_get(status->document, "bootId"));
    if (boot && then && strcmp(boot, then) == 0) {
        status->monitor_lost = true; /* somebody has removed the run directory */
        return 1;
    }
    note_reboot(status);
    return 1;
}

/* One whose creation failed, or was given up, is "created" for ever: its monitor is gone rightly,
 * and has said so. */
static bool needs_monitor(const struct monitor_status *status)
{
    return !has_ended(status) && status->monitor != 0;
}

int monitor_read_status(const char *run_directory, const char *state_directory,
                        struct monitor_status *status, struct error *err)
{
    int found = status_read_file(run_directory, status, err);
    if (found == 0)
        return read_persistent(state_directory, status, err);
    if (found < 0 || !needs_monitor(status) || monitor_is_alive(run_directory))
        return found;
    /* It may have written its last word between our reading and our asking for the lock. */
    monitor_status_release(status);
    found = status_read_file(run_directory, status, err);
    if (found == 0)
        return read_persistent(state_directory, status, err);
    if (found == 1 && needs_monitor(status))
        status->monitor_lost = true;
    return found;
}
