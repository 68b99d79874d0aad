#include "container/dispose.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/hooks.h"
#include "container/intel_rdt.h"
#include "container/state.h"

#define DEATH_WAIT_MS 10000

static int wait_for_death(int pidfd, struct error *err)
{
    struct pollfd polled = {pidfd, POLLIN, 0};
    int ready;
    do {
        ready = poll(&polled, 1, DEATH_WAIT_MS);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 ? 0 : error_set(err, 0, "the first process did not die in time");
}

static int kill_all(const struct record *record, const struct cgroup *cgroup, struct error *err)
{
    scope_close int pidfd = record_open_process(record);
    if (pidfd >= 0)
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    if (cgroup->count > 0 && cgroup_kill(cgroup, SIGKILL, err) < 0)
        return -1;
    return pidfd >= 0 ? wait_for_death(pidfd, err) : 0;
}

static void run_poststop(const struct record *record, const struct config *config,
                         const struct warnings *warnings)
{
    json_t *state = state_document(record->header, "stopped", 0);
    hooks_run_all(config, CONFIG_HOOK_POSTSTOP, state, record, warnings);
    json_decref(state);
}

int dispose(struct record *record, const struct cgroup *cgroup, const struct config *config,
            const struct warnings *warnings, struct error *err)
{
    if (kill_all(record, cgroup, err) < 0)
        return -1;
    warnings_note(warnings, "no process of the container is left; removing its cgroups");
    if (cgroup->count > 0 && cgroup_remove(cgroup, err) < 0)
        return -1;
    if (intel_rdt_remove(record->header, err) < 0)
        return -1;
    if (config)
        run_poststop(record, config, warnings);
    return record_remove(record, err);
}
