/* What a container is doing. Its monitor knows; where that was killed, it is put right here. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

bool engine_is_up(const struct monitor_status *status)
{
    return status->state == MONITOR_RUNNING || status->state == MONITOR_PAUSED ||
           status->state == MONITOR_RESTARTING;
}

static int read_status(const struct engine_container *container, struct monitor_status *status,
                       struct error *err)
{
    *status = (struct monitor_status){0};
    return monitor_read_status(container->run_directory, container->directory, status, err) < 0 ? -1
                                                                                                : 0;
}

/* The monitor was killed: ends the container, and does what the monitor would have done then. */
static int recover(struct engine *engine, const struct engine_container *container,
                   struct error *err)
{
    bool restart = false;
    int recovered = monitor_recover(container->run_directory, &restart, err);
    if (recovered <= 0)
        return recovered;
    if (engine_give_back(engine, container->id, err) < 0)
        return -1;
    if (settings_flag(engine_host_config(container), "AutoRemove"))
        return engine_remove_locked(engine, container, true, err);
    if (!restart)
        return 0;
    struct engine_start start = {0};
    struct error why;
    if (engine_start_locked(engine, container, &start, &why) < 0) {
        error_wrap(&why, "restarting container %s, whose monitor was killed", container->name);
        warnings_say(engine->warnings, &why);
    }
    return 0;
}

int engine_settle(struct engine *engine, const struct engine_container *container, int lock,
                  struct monitor_status *status, struct error *err)
{
    if (read_status(container, status, err) < 0)
        return -1;
    if (!status->monitor_lost)
        return 0;
    scope_close int own = lock >= 0 ? -1 : engine_lock(container, false, err);
    if (lock < 0 && own < 0)
        return -1;
    /* Somebody may have done it while we waited. */
    monitor_status_release(status);
    if (read_status(container, status, err) < 0)
        return -1;
    if (!status->monitor_lost)
        return 0;
    monitor_status_release(status);
    return recover(engine, container, err) < 0 ? -1 : read_status(container, status, err);
}

int engine_status(struct engine *engine, const struct engine_container *container,
                  struct monitor_status *status, struct error *err)
{
    return engine_settle(engine, container, -1, status, err);
}

static bool is_gone(const struct engine_container *container)
{
    return access(container->directory, F_OK) < 0 && errno == ENOENT;
}

static void rest(int *delay)
{
    usleep((unsigned int)*delay);
    if (*delay < 20000)
        *delay *= 2;
}

void engine_await_monitor(const struct engine_container *container)
{
    int delay = 500;
    for (int i = 0; i < 2000 && monitor_is_alive(container->run_directory); i++)
        rest(&delay);
}

int engine_wait(struct engine *engine, const struct engine_container *container,
                enum engine_wait until, int *exit_code, struct error *err)
{
    struct monitor_status status = {0};
    *exit_code = 0;
    int result =
        monitor_wait(container->run_directory, until == ENGINE_WAIT_NEXT_EXIT, exit_code, err);
    bool has_ended = result < 0 && (err->code == ENOENT || err->code == ECONNREFUSED);
    if (result < 0 && !has_ended)
        return -1;
    if (has_ended && engine_status(engine, container, &status, err) < 0 && !is_gone(container))
        return -1;
    if (has_ended) {
        *exit_code = status.exit_code;
        monitor_status_release(&status);
    }
    int delay = 1000;
    while (until == ENGINE_WAIT_REMOVED && !is_gone(container))
        rest(&delay);
    return 0;
}
