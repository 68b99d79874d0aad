#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "monitor/document.h"
#include "vm/runtime/record.h"
#include "vm/runtime/relay.h"
#include "vm/runtime/verb.h"

#define PROCESS_LIMIT (1u << 20)
#define START_MS 30000
#define SIGNAL_MS 10000
#define EXIT_LOST 137 /* as if it were killed: the machine was */

struct execution {
    char *socket;  /* of the agent's connections */
    char name[64]; /* of the process in the guest */
    json_t *process;
    struct loop loop;
    struct relay relay;
    struct loop_source signals;
    int ready; /* or -1 */
    int guard; /* whose end tells the guard that we have ended */
};

/* ---- the guard ---- */

/* A process that waits for our end: if it is a sudden one (SIGKILL), the guest's process must not
 * go on without anybody. It is let go by a byte. */
static int start_guard(struct execution *execution, struct error *err)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    pid_t pid = fork();
    if (pid == 0) {
        const struct agent_address address = {execution->socket, AGENT_PORT};
        file_close_others(0, &ends[0], 1, NULL);
        if (read(ends[0], &byte, 1) == 0)
            json_decref(
                agent_call(&address, "signal",
                           json_pack("{s:s, s:i}", "id", execution->name, "signal", SIGKILL),
                           SIGNAL_MS, NULL));
        _exit(0);
    }
    close(ends[0]);
    execution->guard = ends[1];
    return pid < 0 ? error_set(err, errno, "can't make a process") : 0;
}

_Noreturn static void leave(struct execution *execution, int status)
{
    ssize_t ignored = write(execution->guard, "", 1);
    (void)ignored;
    _exit(status);
}

/* ---- relaying ---- */

static void say_ready(struct execution *execution, const struct error *failure)
{
    if (execution->ready >= 0 && failure)
        file_write_all(execution->ready, failure->text, strlen(failure->text));
    scope_close_fd(&execution->ready);
    execution->ready = -1;
}

static void on_started(struct relay *relay, const struct error *err)
{
    struct execution *execution = loop_owner(relay, struct execution, relay);
    say_ready(execution, err);
    if (err)
        leave(execution, EXIT_LOST);
}

static void on_finished(struct relay *relay, const struct error *lost)
{
    leave(loop_owner(relay, struct execution, relay), lost ? EXIT_LOST : relay->status);
}

static void on_signal(struct loop_source *source, uint32_t events)
{
    struct execution *execution = loop_owner(source, struct execution, signals);
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof info) != sizeof info || info.ssi_signo == SIGCHLD)
        return;
    if (info.ssi_signo == SIGWINCH && execution->relay.has_terminal)
        relay_resize(&execution->relay);
    else
        relay_signal(&execution->relay, (int)info.ssi_signo);
}

static int begin(struct execution *execution, struct error *err)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (start_guard(execution, err) < 0 || loop_open(&execution->loop, err) < 0)
        return -1;
    execution->signals = (struct loop_source){.fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK),
                                              .ready = on_signal};
    if (execution->signals.fd < 0)
        return error_set(err, errno, "can't make a signalfd");
    loop_watch(&execution->loop, &execution->signals, EPOLLIN);
    relay_open(&execution->relay, &execution->loop,
               json_is_true(json_object_get(execution->process, "terminal")));
    const struct agent_address address = {execution->socket, AGENT_PORT};
    execution->relay.process =
        agent_process_exec(&execution->loop, &address, execution->name, execution->process,
                           START_MS, &relay_events, &execution->relay);
    return 0;
}

static void relay_process(void *context, int ready)
{
    struct execution *execution = context;
    struct error err = {0};
    execution->ready = ready;
    if (begin(execution, &err) < 0) {
        say_ready(execution, &err);
        leave(execution, EXIT_LOST);
    }
    loop_run(&execution->loop);
    leave(execution, EXIT_LOST);
}

static json_t *read_process(const struct verb_context *context, struct error *err)
{
    json_error_t why;
    const char *path = command_value(context->line, "process");
    json_t *arguments = json_array();
    if (path) {
        json_decref(arguments);
        scope_free char *text = file_read_all(AT_FDCWD, path, PROCESS_LIMIT, NULL, err);
        json_t *process = text ? json_loads(text, 0, &why) : NULL;
        if (text && !json_is_object(process))
            error_set(err, 0, "%s: no process: %s", path, process ? "not an object" : why.text);
        return process;
    }
    for (int i = 1; i < context->line->argument_count; i++)
        json_array_append_new(arguments, json_string(context->line->arguments[i]));
    return json_pack("{s:o, s:s, s:{s:i, s:i}, s:[s]}", "args", arguments, "cwd", "/", "user",
                     "uid", 0, "gid", 0, "env",
                     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

int verb_exec(const struct verb_context *context, struct error *err)
{
    struct timespec now;
    scope_record struct record record = {0};
    struct execution execution = {.relay = {.started = on_started, .finished = on_finished},
                                  .guard = -1};
    if (!command_value(context->line, "process") && context->line->argument_count < 2)
        return error_set(err, 0, "a command is missing (or --process FILE)");
    if (!command_given(context->line, "detach"))
        return error_set(err, 0, "give --detach: the caller waits for the process's end");
    if (record_require(&record, context->root, context->id, err) < 0)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    execution.socket = memory_format("%s/jail/run/vsock", record.bundle);
    snprintf(execution.name, sizeof execution.name, "exec-%d-%lld", (int)getpid(),
             (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    execution.process = read_process(context, err);
    if (!execution.process)
        return -1;
    const json_t *size = json_object_get(execution.process, "consoleSize");
    const struct detached_options options = {
        .has_terminal = json_is_true(json_object_get(execution.process, "terminal")),
        .rows = (unsigned short)json_integer_value(json_object_get(size, "height")),
        .columns = (unsigned short)json_integer_value(json_object_get(size, "width")),
        .cgroup = -1,
        .run = relay_process,
        .context = &execution};
    return detach_process(context, &options, err);
}
