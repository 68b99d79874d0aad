/* Only the parent of a process learns its exit status, and `exec` has to return when the user
 * detaches. So another process, the keeper, does all of it: it starts the program, passes data as
 * long as somebody is there, says how that went, and stays until the program has ended. */
#include "cli/exec_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "cli/exec_relay.h"
#include "monitor/document.h"

/* What the keeper says, once: when it is left alone, or when all is over. */
struct report {
    bool failed;
    int exit_status; /* the caller's */
    struct error err;
};

/* The keeper's, while the program runs: nothing of the engine. */
struct kept {
    struct exec_relay relay;
    pid_t pid;
    struct engine_container container;
    char *events;
};

/* ---- the keeper ---- */

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

static void note_end(const struct kept *kept, int exit_status)
{
    scope_json json_t *attributes = engine_exec_describe_end(&kept->container, exit_status);
    monitor_event_append(kept->events, "container", "exec_die", kept->container.id, attributes,
                         NULL);
}

/* Starts it, and passes data until its end or until the user detaches. */
static void attend(struct cli_context *context, exec_description *describe, struct kept *kept,
                   bool *detached, struct report *report)
{
    *detached = kept->relay.discards;
    report->failed = start(context, describe, kept, &report->err) < 0;
    if (report->failed)
        report->exit_status = context->exit_status;
    else if (!*detached)
        report->failed = exec_relay_run(&kept->relay, kept->pid, &report->exit_status, detached,
                                        &report->err) < 0;
    exec_relay_restore(&kept->relay);
    if (!report->failed && !*detached)
        note_end(kept, report->exit_status);
}

static void stay(struct kept *kept)
{
    int exit_status;
    bool detached;
    leave_caller(&kept->relay);
    kept->relay.interactive = false;
    if (exec_relay_run(&kept->relay, kept->pid, &exit_status, &detached, NULL) < 0)
        return;
    note_end(kept, exit_status);
    /* What the program has left behind may still write to its terminal. */
    exec_relay_read_to_end(kept->relay.master);
}

static void keep(struct cli_context *context, exec_description *describe, int channel)
{
    const struct command_line *line = context->line;
    struct report report = {0};
    bool detached;
    struct kept kept = {.relay = {.terminal = command_given(line, "tty"),
                                  .discards = command_given(line, "detach"),
                                  .interactive = command_given(line, "interactive") &&
                                                 !command_given(line, "detach"),
                                  .detach_keys = command_value(line, "detach-keys")}};
    attend(context, describe, &kept, &detached, &report);
    prctl(PR_SET_PDEATHSIG, 0);
    file_write_all(channel, &report, sizeof report);
    if (!report.failed && detached)
        stay(&kept);
    exec_relay_end(&kept.relay);
    engine_container_release(&kept.container);
    free(kept.events);
}

/* ---- the caller's ---- */

/* Signals that somebody has sent to us, not a terminal to all of its processes. */
static void pass_signals(int signals, pid_t keeper)
{
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info)
        if (info.ssi_code <= 0)
            kill(keeper, (int)info.ssi_signo);
}

/* Waits for the report. */
static int await(int channel, int signals, pid_t keeper, struct report *report, struct error *err)
{
    size_t length = 0;
    while (length < sizeof *report) {
        struct pollfd polled[] = {{channel, POLLIN, 0}, {signals, POLLIN, 0}};
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            return error_set(err, errno, "can't wait for the process");
        if (polled[1].revents)
            pass_signals(signals, keeper);
        if (!polled[0].revents)
            continue;
        ssize_t count = read(channel, (char *)report + length, sizeof *report - length);
        if (count <= 0 && errno != EINTR)
            return error_set(err, 0, "the process that started it was killed");
        length += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

static int follow(int channel, pid_t keeper, const sigset_t *passed, struct report *report,
                  struct error *err)
{
    struct termios before;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    scope_close int signals = signalfd(-1, passed, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return error_set(err, errno, "can't receive signals");
    if (await(channel, signals, keeper, report, err) == 0)
        return 0;
    if (is_terminal) /* it may have left it raw */
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    return -1;
}

static pid_t start_keeper(struct cli_context *context, exec_description *describe, int *channel,
                          const sigset_t *mask, struct error *err)
{
    int ends[2];
    pid_t caller = getpid();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    pid_t keeper = fork();
    if (keeper == 0) {
        /* Of a caller that is killed the program sees its terminal hang up. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != caller)
            _exit(1);
        sigprocmask(SIG_SETMASK, mask, NULL);
        close(ends[0]);
        keep(context, describe, ends[1]);
        _exit(0);
    }
    int reason = errno;
    close(ends[1]);
    *channel = ends[0];
    return keeper < 0 ? error_set(err, reason, "can't make a process") : keeper;
}

int exec_keeper_run(struct cli_context *context, exec_description *describe, struct error *err)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t passed, before;
    struct report report;
    scope_close int channel = -1;
    context->exit_status = 1;
    sigemptyset(&passed);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&passed, signals[i]);
    sigprocmask(SIG_BLOCK, &passed, &before);
    pid_t keeper = start_keeper(context, describe, &channel, &before, err);
    int result = keeper < 0 ? -1 : follow(channel, keeper, &passed, &report, err);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (result < 0)
        return -1;
    context->exit_status = report.exit_status;
    if (report.failed && err)
        *err = report.err;
    return report.failed ? -1 : 0;
}
