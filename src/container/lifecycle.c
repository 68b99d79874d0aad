/* Start, kill and delete: what happens to a container after it was made. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/attend.h"
#include "container/channel.h"
#include "container/container.h"
#include "container/dispose.h"
#include "container/hand_over.h"
#include "container/hooks.h"
#include "container/state.h"
#include "oci/config.h"

#define LOCK_WAIT_MS 10000
#define LOCK_TRY_MS 50
#define HOOK_GRACE_MS 1000 /* for a hook that is just doing its work */

int container_open(struct record *record, struct cgroup *cgroup, const char *root, const char *id,
                   struct error *err)
{
    if (record_open(record, root, id, err) < 0)
        return -1;
    memset(cgroup, 0, sizeof *cgroup);
    if (!record->header)
        return 0; /* nothing was made yet when its creator was killed */
    if (cgroup_from_json(cgroup, json_object_get(record->header, "cgroup"), err) == 0 &&
        (cgroup->manager != CGROUP_MANAGER_SYSTEMD ||
         hand_over("the systemd cgroup manager", err) == 0))
        return 0;
    record_close(record);
    return -1;
}

/* ---- start ---- */

static int run_poststart(const struct record *record, const struct config *config,
                         struct error *err)
{
    json_t *state = state_document(record->header, "running", record->pid);
    int result = hooks_run(config, CONFIG_HOOK_POSTSTART, state, record, err);
    json_decref(state);
    return result;
}

static int start_locked(struct record *record, struct error *err)
{
    const char *status = state_status(record);
    if (strcmp(status, "created") != 0)
        return error_set(err, 0, "cannot start a container in the %s state", status);
    struct config config;
    if (config_parse(&config, record->config_text, record->config_length, err) < 0)
        return error_wrap(err, "the recorded configuration");
    scope_close int connection = record_connect_start(record, err);
    int result = connection < 0 ? -1 : 0;
    if (result == 0 && channel_send(connection, CHANNEL_START, 0) < 0)
        result = error_set(err, errno, "can't tell the container's first process to start");
    struct attendance process = {.channel = connection,
                                 .pid = record->pid,
                                 .config = &config,
                                 .record = record,
                                 .header = record->header,
                                 .console = -1,
                                 .terminal = -1};
    if (result == 0)
        result = attend(&process, err);
    if (result == 0)
        record_unlink_start(record);
    if (result == 0 && (result = run_poststart(record, &config, err)) < 0) {
        scope_close int pidfd = record_open_process(record);
        if (pidfd >= 0)
            pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    }
    config_release(&config);
    return result;
}

int container_start(const char *root, const char *id, struct error *err)
{
    struct cgroup cgroup;
    scope_record struct record record = RECORD_CLOSED;
    if (container_open(&record, &cgroup, root, id, err) < 0 ||
        record_lock(&record, LOCK_WAIT_MS, err) < 0)
        return -1;
    return start_locked(&record, err);
}

/* ---- kill ---- */

int container_kill(const char *root, const char *id, int signal, bool all, struct error *err)
{
    struct cgroup cgroup;
    scope_record struct record record = RECORD_CLOSED;
    if (container_open(&record, &cgroup, root, id, err) < 0)
        return -1;
    /* The kernel ends a pid namespace with its first process; without one of its own we do. */
    bool ends_all = signal == SIGKILL && json_is_true(json_object_get(record.header, "sharesPids"));
    if ((all || ends_all) && cgroup.count > 0)
        return cgroup_kill(&cgroup, signal, err);
    scope_close int pidfd = record_open_process(&record);
    if (pidfd < 0)
        return error_set(err, 0, "container not running");
    if (pidfd_send_signal(pidfd, signal, NULL, 0) < 0)
        return error_set(err, errno, "can't send signal %d", signal);
    /* A frozen process acts on nothing, not even on SIGKILL where the freezer is v1's. */
    if (signal != SIGKILL || cgroup.count == 0 || cgroup_is_frozen(&cgroup, NULL) != 1)
        return 0;
    /* On v2 it dies frozen as well, and systemd may remove the cgroup before this comes to it. */
    if (cgroup_thaw(&cgroup, err) < 0 && cgroup_is_frozen(&cgroup, NULL) != 0)
        return -1;
    return 0;
}

/* ---- delete ---- */

static int delete_locked(struct record *record, const struct cgroup *cgroup, bool force,
                         const struct warnings *warnings, struct error *err)
{
    enum container_status status = record_status(record);
    if (!force && status != CONTAINER_STOPPED && status != CONTAINER_CREATED)
        return error_set(err, 0,
                         "cannot delete a container in the %s state (stop it, or use --force)",
                         container_status_names[status]);
    struct config config;
    bool known = record->config_text &&
                 config_parse(&config, record->config_text, record->config_length, NULL) == 0;
    record_kill_hook(record); /* nobody waits for it: we have the lock */
    int result = dispose(record, cgroup, known ? &config : NULL, warnings, err);
    if (known)
        config_release(&config);
    return result;
}

/* Somebody may be at work on it, perhaps for ever. Without its process, and without the hook that
 * it may be waiting for, the work fails. */
static int lock_by_force(struct record *record, struct error *err)
{
    for (int waited = 0;; waited += LOCK_TRY_MS) {
        if (record_lock(record, waited ? LOCK_TRY_MS : 0, err) == 0)
            return 0;
        if (err->code != EBUSY || waited >= LOCK_WAIT_MS || record_reload(record, err) < 0)
            return -1;
        scope_close int pidfd = record_open_process(record);
        if (pidfd >= 0)
            pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
        if (waited >= HOOK_GRACE_MS)
            record_kill_hook(record);
    }
}

int container_delete(const char *root, const char *id, bool force, const struct warnings *warnings,
                     struct error *err)
{
    struct cgroup cgroup;
    scope_record struct record record = RECORD_CLOSED;
    if (container_open(&record, &cgroup, root, id, err) < 0)
        return force && (err->code == ENOENT || err->code == ENOTDIR) ? 0 : -1;
    if ((force ? lock_by_force(&record, err) : record_lock(&record, LOCK_WAIT_MS, err)) < 0)
        return force && err->code == ENOENT ? 0 : -1;
    if (record.header &&
        cgroup_from_json(&cgroup, json_object_get(record.header, "cgroup"), err) < 0)
        return -1;
    return delete_locked(&record, &cgroup, force, warnings, err);
}
