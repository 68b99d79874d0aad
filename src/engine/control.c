/* Stopping, pausing and so on: requests to the container's monitor. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/scope.h"
#include "engine/start.h"

/* Why a request found no monitor: the container doesn't run, or its monitor was killed, which is
 * put right. */
static int explain(struct engine *engine, const struct engine_container *container,
                   const struct error *why, struct error *err)
{
    struct monitor_status status = {0};
    if (why->code != ENOENT && why->code != ECONNREFUSED)
        return error_set(err, 0, "%s", why->text);
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    monitor_status_release(&status);
    error_set(err, 0, "container %s is not running (start it with 'hull start')", container->name);
    if (err)
        err->code = EBUSY;
    return -1;
}

int engine_stop(struct engine *engine, const struct engine_container *container, int signal,
                int timeout, struct error *err)
{
    struct error why;
    struct monitor_status status = {0};
    if (monitor_stop(container->run_directory, signal, timeout, &why) == 0)
        return 0;
    if (why.code != ENOENT && why.code != ECONNREFUSED)
        return error_set(err, 0, "can't stop container %s: %s", container->name, why.text);
    /* It doesn't run; or its monitor was killed, and then this ends it. */
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    bool was_restarted = engine_is_up(&status);
    monitor_status_release(&status);
    return was_restarted && monitor_is_alive(container->run_directory) &&
                   monitor_stop(container->run_directory, signal, timeout, &why) < 0 &&
                   why.code != ENOENT && why.code != ECONNREFUSED
               ? error_set(err, 0, "can't stop container %s: %s", container->name, why.text)
               : 0;
}

int engine_restart(struct engine *engine, const struct engine_container *container, int signal,
                   int timeout, struct error *err)
{
    struct error why;
    struct engine_start start = {0};
    if (monitor_restart(container->run_directory, signal, timeout, &why) == 0)
        return 0;
    if (why.code != ENOENT && why.code != ECONNREFUSED)
        return error_set(err, 0, "can't restart container %s: %s", container->name, why.text);
    return engine_start(engine, container, &start, err) < 0 ? -1 : 0;
}

int engine_kill(struct engine *engine, const struct engine_container *container, int signal,
                struct error *err)
{
    struct error why;
    int exit_code;
    if (monitor_kill(container->run_directory, signal, &why) < 0)
        return explain(engine, container, &why, err);
    /* Nobody survives this one: who removes the container next shan't be told that it runs. */
    if (signal == SIGKILL)
        monitor_wait(container->run_directory, true, &exit_code, &why);
    return 0;
}

int engine_pause(struct engine *engine, const struct engine_container *container, struct error *err)
{
    struct error why;
    return monitor_pause(container->run_directory, &why) == 0
               ? 0
               : explain(engine, container, &why, err);
}

int engine_resume(struct engine *engine, const struct engine_container *container,
                  struct error *err)
{
    struct error why;
    return monitor_resume(container->run_directory, &why) == 0
               ? 0
               : explain(engine, container, &why, err);
}

int engine_rename(struct engine *engine, const struct engine_container *container, const char *name,
                  struct error *err)
{
    struct error ignored;
    name += *name == '/';
    if (strcmp(name, container->name) == 0)
        return error_set(err, 0, "container %.12s has the name '%s' already", container->id, name);
    scope_close int lock = engine_lock(container, false, err);
    if (lock < 0 || engine_name_check(engine, name, err) < 0 ||
        engine_row_set_name(engine, container->id, name, err) < 0)
        return -1;
    if (engine_network_rename(engine, container, name, err) < 0)
        return -1;
    monitor_rename(container->run_directory, name, &ignored); /* there may be none */
    json_t *attributes = engine_event_attributes(container);
    json_object_set_new(attributes, "oldName", json_sprintf("/%s", container->name));
    json_object_set_new(attributes, "name", json_string(name));
    engine_emit(engine, "container", "rename", container->id, attributes);
    return 0;
}
