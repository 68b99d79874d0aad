/* Only the parent of a process learns its exit status, and `exec --detach` has to return. So a
 * process in the background, the keeper, does all of it: it starts the program, says how that went,
 * and stays until the program has ended. */
#include "cli/exec_detach.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "cli/exec_relay.h"
#include "monitor/document.h"

/* What the keeper says, once. */
struct report {
    bool has_started;
    int exit_status; /* the caller's, unless it has */
    struct error err;
};

/* The keeper's, while the program runs: nothing of the engine. */
struct kept {
    struct exec_relay relay;
    pid_t pid;
    struct engine_container container;
    char *events;
};

/* Returns the program's pid. */
static int start(struct cli_context *context, exec_description *describe, struct kept *kept,
                 struct error *err)
{
    scope_engine struct engine *engine = NULL;
    struct engine_container *container = &kept->container;
    context->exit_status = 1;
    if (container_verb_open(context, &engine, err) < 0 ||
        engine_find(engine, context->line->arguments[0], container, err) < 0)
        return -1;
    scope_json json_t *process = describe(context, engine, container, err);
    if (!process || exec_relay_begin(&kept->relay, err) < 0)
        return -1;
    kept->events = memory_copy_string(engine_events_path(engine));
    kept->pid = engine_exec_start(engine, container, process, &kept->relay.streams,
                                  &context->exit_status, err);
    return kept->pid < 0 ? -1 : 0;
}

/* Who waits for the end of the caller's output, or of its terminal, doesn't wait for us. */
static void leave_caller(const struct exec_relay *relay)
{
    const int kept[] = {relay->signals, relay->master};
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    setsid();
    for (int fd = STDIN_FILENO; nothing >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(nothing, fd);
    file_close_others(3, kept, sizeof kept / sizeof *kept, NULL);
}

static void stay(struct kept *kept)
{
    int exit_status;
    bool detached;
    leave_caller(&kept->relay);
    if (exec_relay_run(&kept->relay, kept->pid, &exit_status, &detached, NULL) < 0)
        return;
    scope_json json_t *attributes = engine_exec_describe_end(&kept->container, exit_status);
    monitor_event_append(kept->events, "container", "exec_die", kept->container.id, attributes,
                         NULL);
    /* What the program has left behind may still write to its terminal. */
    exec_relay_read_to_end(kept->relay.master);
}

static void keep(struct cli_context *context, exec_description *describe, int channel)
{
    struct report report = {.has_started = true};
    struct kept kept = {
        .relay = {.terminal = command_given(context->line, "tty"), .discards = true}};
    if (start(context, describe, &kept, &report.err) < 0) {
        report.has_started = false;
        report.exit_status = context->exit_status;
    }
    file_write_all(channel, &report, sizeof report);
    if (report.has_started)
        stay(&kept);
    exec_relay_end(&kept.relay);
    engine_container_release(&kept.container);
    free(kept.events);
}

static int read_report(int channel, struct report *report, struct error *err)
{
    size_t length = 0;
    while (length < sizeof *report) {
        ssize_t count = read(channel, (char *)report + length, sizeof *report - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return error_set(err, 0, "the process that was to start it was killed");
        length += (size_t)count;
    }
    return 0;
}

int exec_detach(struct cli_context *context, exec_description *describe, struct error *err)
{
    int ends[2];
    struct report report;
    context->exit_status = 1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    pid_t keeper = fork();
    if (keeper == 0) {
        close(ends[0]);
        keep(context, describe, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    int result = keeper < 0 ? error_set(err, errno, "can't make a process")
                            : read_report(ends[0], &report, err);
    close(ends[0]);
    if (result < 0)
        return -1;
    if (report.has_started) {
        context->exit_status = 0;
        return 0;
    }
    context->exit_status = report.exit_status;
    if (err)
        *err = report.err;
    return -1;
}
