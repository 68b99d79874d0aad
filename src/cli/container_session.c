/* Being attached to a container. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/scope.h"
#include "cli/container_verb.h"

void container_session_size(unsigned short *rows, unsigned short *columns)
{
    struct winsize size = {0};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0)
            break;
    *rows = size.ws_row;
    *columns = size.ws_col;
}

/* Whether its monitor may go on after its end. */
static bool is_restarted(const struct engine_container *container)
{
    const json_t *host = json_object_get(container->settings, "HostConfig");
    const char *policy =
        json_string_value(json_object_get(json_object_get(host, "RestartPolicy"), "Name"));
    return policy && *policy && strcmp(policy, "no") != 0;
}

static int finish(struct engine *engine, const struct engine_container *container, int connection,
                  const struct monitor_outcome *outcome, int *exit_status, struct error *err)
{
    struct error ignored;
    struct monitor_status status = {0};
    switch (outcome->end) {
    case MONITOR_END_DETACHED:
        *exit_status = 0;
        return 0;
    case MONITOR_END_EXITED:
        *exit_status = outcome->exit_code;
        /* Whoever comes next shall find all of it given back. */
        if (!is_restarted(container))
            monitor_await_end(connection, -1, &ignored);
        return 0;
    case MONITOR_END_DROPPED:
        return error_set(err, 0, "container %s goes on: we were too slow for its output",
                         container->name);
    case MONITOR_END_LOST:
        break;
    }
    *exit_status = 137;
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    monitor_status_release(&status);
    return error_set(err, 0, "the monitor of container %s was killed", container->name);
}

int container_session_run(struct engine *engine, const struct engine_container *container,
                          const struct container_session *session, int *exit_status,
                          struct error *err)
{
    struct monitor_failure failure = {125};
    struct monitor_outcome outcome;
    bool has_terminal = json_is_true(json_object_get(container->settings, "Tty"));
    const struct monitor_attention attention = {
        .run_directory = container->run_directory,
        .input = session->flags & MONITOR_ATTACH_STDIN ? STDIN_FILENO : -1,
        .output = session->flags & MONITOR_ATTACH_STDOUT ? STDOUT_FILENO : -1,
        .errors = session->flags & MONITOR_ATTACH_STDERR ? STDERR_FILENO : -1,
        .terminal = has_terminal,
        .pass_signals = session->pass_signals,
        .detach_keys = session->detach_keys,
    };
    scope_close int connection = monitor_attach(container->run_directory, session->flags, err);
    int begun = session->held && connection >= 0
                    ? monitor_begin(container->run_directory, &failure, err)
                    : 0;
    if (session->held)
        engine_start_release(session->held);
    if (connection < 0)
        return -1;
    if (begun < 0) {
        struct error ignored;
        *exit_status = failure.exit_code;
        monitor_await_end(connection, 10000, &ignored);
        return -1;
    }
    if (monitor_attend(connection, &attention, &outcome, err) < 0)
        return -1;
    return finish(engine, container, connection, &outcome, exit_status, err);
}
