/* Freezing a container's processes, and signalling all of them.
 *
 * Where there is a v2 tree (also the one of a hybrid host, which has no controllers), its own
 * files do it: cgroup.freeze and cgroup.kill need no controller and can't miss a process that is
 * forking. Elsewhere the v1 freezer, which can get stuck in FREEZING while processes enter, so it
 * is asked again; and signals go round until the cgroup is empty. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/scope.h"
#include "container/cgroup_internal.h"

#define FREEZE_SECONDS 10
#define KILL_SECONDS 10

enum freezer { FREEZER_NONE, FREEZER_V1, FREEZER_V2 };

/* Which freezer the container has, and its directory. */
static enum freezer find_freezer(const struct cgroup *cgroup, const char **path)
{
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "freezer");
    /* cgroup.freeze came with Linux 5.2. */
    if (v2 && (!v1 || cgroup_has_file(v2->path, "cgroup.freeze"))) {
        *path = v2->path;
        return FREEZER_V2;
    }
    *path = v1 ? v1->path : NULL;
    return v1 ? FREEZER_V1 : FREEZER_NONE;
}

static int freeze_v2(const char *path, struct error *err)
{
    if (cgroup_write(path, "cgroup.freeze", "1", err) < 0)
        return -1;
    char name[1100], text[128];
    snprintf(name, sizeof name, "%s/cgroup.events", path);
    scope_close int events = open(name, O_RDONLY | O_CLOEXEC);
    struct timespec deadline = cgroup_deadline(FREEZE_SECONDS);
    while (events >= 0) {
        ssize_t length = pread(events, text, sizeof text - 1, 0);
        if (length < 0)
            break;
        text[length] = '\0';
        if (strstr(text, "frozen 1"))
            return 0;
        struct pollfd waiting = {events, POLLPRI, 0};
        int left = cgroup_deadline_left(&deadline);
        if (left == 0) {
            cgroup_write(path, "cgroup.freeze", "0", NULL);
            return error_set(err, ETIMEDOUT, "cgroup %s doesn't freeze", path);
        }
        poll(&waiting, 1, left);
    }
    return error_set(err, errno, "can't read %s", name);
}

static int freeze_v1(const char *path, struct error *err)
{
    struct timespec deadline = cgroup_deadline(FREEZE_SECONDS);
    char state[32];
    for (int attempt = 0; cgroup_deadline_left(&deadline) > 0; attempt++) {
        if (cgroup_write(path, "freezer.state", "FROZEN", err) < 0)
            return -1;
        if (cgroup_read(path, "freezer.state", state, sizeof state) < 0)
            return error_set(err, errno, "can't read %s/freezer.state", path);
        if (strcmp(state, "FROZEN") == 0)
            return 0;
        /* Processes that enter meanwhile can keep it from getting there; letting go helps. */
        if (attempt % 50 == 49)
            cgroup_write(path, "freezer.state", "THAWED", NULL);
        if (attempt % 10 == 9)
            cgroup_back_off(attempt / 10);
    }
    cgroup_write(path, "freezer.state", "THAWED", NULL);
    return error_set(err, ETIMEDOUT, "cgroup %s doesn't freeze", path);
}

int cgroup_freeze(const struct cgroup *cgroup, struct error *err)
{
    const char *path;
    switch (find_freezer(cgroup, &path)) {
    case FREEZER_V2:
        return freeze_v2(path, err);
    case FREEZER_V1:
        return freeze_v1(path, err);
    default:
        return error_set(err, 0, "can't freeze: the container has no freezer cgroup");
    }
}

int cgroup_thaw(const struct cgroup *cgroup, struct error *err)
{
    const char *path;
    switch (find_freezer(cgroup, &path)) {
    case FREEZER_V2:
        return cgroup_write(path, "cgroup.freeze", "0", err);
    case FREEZER_V1:
        return cgroup_write(path, "freezer.state", "THAWED", err);
    default:
        return error_set(err, 0, "can't thaw: the container has no freezer cgroup");
    }
}

int cgroup_is_frozen(const struct cgroup *cgroup, struct error *err)
{
    const char *path;
    char text[32];
    enum freezer freezer = find_freezer(cgroup, &path);
    if (freezer == FREEZER_NONE)
        return 0;
    /* What was asked of this cgroup itself, whether or not a parent is frozen. */
    const char *file = freezer == FREEZER_V2 ? "cgroup.freeze" : "freezer.self_freezing";
    if (cgroup_read(path, file, text, sizeof text) >= 0)
        return text[0] == '1';
    if (errno == ENOENT || errno == ENODEV)
        return 0;
    return error_set(err, errno, "can't read %s/%s", path, file);
}

int cgroup_pids(const struct cgroup *cgroup, pid_t **pids, size_t *count, struct error *err)
{
    *pids = NULL;
    *count = 0;
    const struct cgroup_hierarchy *hierarchy = cgroup_find_v2(cgroup);
    static const char *const preferred[] = {"freezer", "pids", "devices", "memory", "name=systemd"};
    for (size_t i = 0; !hierarchy && i < sizeof preferred / sizeof *preferred; i++)
        hierarchy = cgroup_find_v1(cgroup, preferred[i]);
    if (!hierarchy && cgroup->count)
        hierarchy = &cgroup->hierarchies[0];
    return hierarchy ? cgroup_collect_pids(hierarchy->path, pids, count, err) : 0;
}

/* Sends the signal to each process once. *alive: how many there were. */
static int signal_each(const struct cgroup *cgroup, int signal, size_t *alive, struct error *err)
{
    scope_free pid_t *pids = NULL;
    if (cgroup_pids(cgroup, &pids, alive, err) < 0)
        return -1;
    for (size_t i = 0; i < *alive; i++)
        if (kill(pids[i], signal) < 0 && errno != ESRCH)
            return error_set(err, errno, "can't send signal %d to process %d", signal, pids[i]);
    return 0;
}

/* SIGKILL without cgroup.kill: frozen so that no fork slips through, again until none is left. */
static int kill_all(const struct cgroup *cgroup, struct error *err)
{
    struct timespec deadline = cgroup_deadline(KILL_SECONDS);
    for (int attempt = 0;; attempt++) {
        size_t alive = 0;
        struct error ignored;
        /* Without a freezer (or a stuck one) the rounds alone must do it. */
        bool frozen = cgroup_freeze(cgroup, &ignored) == 0;
        int result = signal_each(cgroup, SIGKILL, &alive, err);
        if (frozen || attempt == 0)
            cgroup_thaw(cgroup, NULL);
        if (result < 0 || alive == 0)
            return result;
        if (cgroup_deadline_left(&deadline) == 0)
            return error_set(err, ETIMEDOUT, "%zu processes of the container survive SIGKILL",
                             alive);
        cgroup_back_off(attempt);
    }
}

int cgroup_kill(const struct cgroup *cgroup, int signal, struct error *err)
{
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    if (signal == SIGKILL && v2) {
        struct error reason;
        if (cgroup_write(v2->path, "cgroup.kill", "1", &reason) == 0)
            return 0;
        /* ENOENT: gone, or older than Linux 5.14; ENODEV: going; EOPNOTSUPP: threaded. */
        if (reason.code != ENOENT && reason.code != ENODEV && reason.code != EOPNOTSUPP) {
            if (err)
                *err = reason;
            return -1;
        }
    }
    if (signal == SIGKILL)
        return kill_all(cgroup, err);
    int was_frozen = cgroup_is_frozen(cgroup, err);
    if (was_frozen < 0)
        return -1;
    bool froze = !was_frozen && cgroup_freeze(cgroup, NULL) == 0;
    size_t alive;
    int result = signal_each(cgroup, signal, &alive, err);
    if (froze && cgroup_thaw(cgroup, result < 0 ? NULL : err) < 0)
        result = -1;
    return result;
}
