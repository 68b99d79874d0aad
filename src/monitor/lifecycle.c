/* The container's course up to its end: create, begin, and what stops it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "monitor/document.h"
#include "monitor/overlay.h"
#include "monitor/supervisor.h"

#define PID_FILE "init.pid"
#define BEGINNING_MS 500     /* so long what is beginning may go on to run after a stop */
#define BEGIN_WAIT_MS 120000 /* for a client that was killed between create and begin */

/* ---- create ---- */

static void init_ended(struct child *child, int status)
{
    struct supervisor *supervisor = loop_owner(child, struct supervisor, init);
    supervisor->init_ended = true;
    supervisor->init_status = status;
    if (supervisor->phase == PHASE_CREATED || supervisor->phase == PHASE_RUNNING)
        lifecycle_end(supervisor);
    /* In other phases a call of the runtime is under way, whose end looks at init_ended. */
}

static void give_up_waiting(struct loop_timer *timer)
{
    struct supervisor *supervisor = loop_owner(timer, struct supervisor, timer);
    struct error err;
    error_set(&err, 0, "nobody has begun the container after it was created");
    supervisor->status.exit_code = driver_exit_code(&err);
    lifecycle_fail(supervisor, &err);
}

static int take_process(struct supervisor *supervisor, struct error *err)
{
    if (streams_given(&supervisor->streams, err) < 0)
        return -1;
    scope_free char *text = file_read_all(AT_FDCWD, PID_FILE, 32, NULL, err);
    pid_t pid = text ? atoi(text) : 0;
    if (pid <= 0)
        return error_set(err, 0, "the runtime wrote no pid file");
    unlink(PID_FILE);
    supervisor->status.pid = pid;
    supervisor->init.ended = init_ended;
    oom_watch(&supervisor->oom, pid);
    return 0;
}

static void created(struct driver_call *call, const struct error *failure)
{
    struct supervisor *supervisor = loop_owner(call, struct supervisor, call);
    struct error err;
    if (failure)
        err = *failure;
    if (failure || take_process(supervisor, &err) < 0) {
        children_expect_no_more(&supervisor->children);
        lifecycle_fail(supervisor, &err);
        return;
    }
    bool first = supervisor->launcher >= 0;
    supervisor->phase = PHASE_CREATED;
    if (first) {
        supervisor->status.state = MONITOR_CREATED;
        report_status(supervisor, false);
    }
    children_adopt(&supervisor->children, &supervisor->init, supervisor->status.pid);
    children_expect_no_more(&supervisor->children);
    if (supervisor->phase != PHASE_CREATED)
        return; /* it has ended already */
    if (supervisor->stops) {
        kill(supervisor->status.pid, SIGKILL);
    } else if (!first || supervisor->config.begin_at_once) {
        lifecycle_begin(supervisor);
    } else {
        supervisor->timer.expired = give_up_waiting;
        loop_timer_set(&supervisor->loop, &supervisor->timer, BEGIN_WAIT_MS);
        report_launch(supervisor, NULL, 0);
    }
}

void lifecycle_create(struct supervisor *supervisor)
{
    const struct monitor_config *config = &supervisor->config;
    const struct monitor_strings *flags = &config->create_flags;
    scope_free char *pid_file = memory_format("%s/" PID_FILE, supervisor->directory);
    scope_free char *console =
        memory_format("%s/%s", supervisor->directory, supervisor->streams.console);
    scope_free const char **arguments = memory_allocate(flags->count + 9, sizeof *arguments);
    struct error err;
    size_t count = 0;
    supervisor->phase = PHASE_CREATING;
    supervisor->init_ended = supervisor->has_begun = supervisor->deleted = false;
    supervisor->deletions = 0;
    supervisor->failed = supervisor->begins_again = supervisor->killed = false;
    supervisor->status.pid = 0;
    if (streams_open(&supervisor->streams, &err) < 0) {
        lifecycle_fail(supervisor, &err);
        return;
    }
    const char *const first[] = {"create", "--bundle", config->bundle, "--pid-file", pid_file};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        arguments[count++] = first[i];
    if (config->terminal) {
        arguments[count++] = "--console-socket";
        arguments[count++] = console;
    }
    for (size_t i = 0; i < flags->count; i++)
        arguments[count++] = flags->items[i];
    arguments[count] = config->id;
    unlink(PID_FILE);
    supervisor->call.done = created;
    children_expect(&supervisor->children);
    driver_start(&supervisor->call, arguments, supervisor->streams.child);
}

/* ---- begin ---- */

static void begun(struct driver_call *call, const struct error *failure)
{
    struct supervisor *supervisor = loop_owner(call, struct supervisor, call);
    struct timespec now;
    if (failure) {
        lifecycle_fail(supervisor, failure);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    document_format_time(supervisor->status.started_at, &now);
    supervisor->began = loop_now();
    supervisor->has_begun = true;
    supervisor->phase = PHASE_RUNNING;
    supervisor->status.state = MONITOR_RUNNING;
    supervisor->status.exit_code = 0;
    supervisor->status.error[0] = '\0';
    supervisor->status.oom_killed = supervisor->status.stopped_by_user = false;
    health_probe_begin(&supervisor->probe, &supervisor->config.health);
    report_status(supervisor, true);
    report_event(supervisor, "start", NULL, NULL);
    report_launch(supervisor, NULL, 0);
    clients_answer(&supervisor->clients, MONITOR_REQUEST_BEGIN, NULL, 0);
    clients_answer(&supervisor->clients, MONITOR_REQUEST_RESTART, NULL, 0);
    if (supervisor->init_ended)
        lifecycle_end(supervisor);
    else if (supervisor->stops) /* somebody was quicker */
        lifecycle_stop(supervisor, supervisor->stop_signal, supervisor->stop_timeout);
}

void lifecycle_begin(struct supervisor *supervisor)
{
    const char *const arguments[] = {"start", supervisor->config.id, NULL};
    loop_timer_cancel(&supervisor->loop, &supervisor->timer);
    supervisor->phase = PHASE_BEGINNING;
    supervisor->call.done = begun;
    driver_start(&supervisor->call, arguments, (const int[]){-1, -1, -1});
}

/* ---- stop ---- */

static void kill_at_last(struct loop_timer *timer)
{
    struct supervisor *supervisor = loop_owner(timer, struct supervisor, timer);
    report_event(supervisor, "kill", "signal", "9");
    kill(supervisor->init.pid, SIGKILL);
    command_resume(supervisor);
}

static void signal_running(struct supervisor *supervisor)
{
    char number[16];
    snprintf(number, sizeof number, "%d", supervisor->stop_signal);
    report_event(supervisor, "kill", "signal", number);
    kill(supervisor->init.pid, supervisor->stop_signal);
    command_resume(supervisor);
    supervisor->timer.expired = kill_at_last;
    if (supervisor->stop_timeout >= 0)
        loop_timer_set(&supervisor->loop, &supervisor->timer, supervisor->stop_timeout);
    else
        loop_timer_cancel(&supervisor->loop, &supervisor->timer);
}

static void kill_beginning(struct loop_timer *timer)
{
    struct supervisor *supervisor = loop_owner(timer, struct supervisor, timer);
    if (supervisor->phase == PHASE_BEGINNING)
        kill(supervisor->init.pid, SIGKILL);
}

void lifecycle_stop(struct supervisor *supervisor, int signal, int timeout)
{
    const struct monitor_config *config = &supervisor->config;
    supervisor->stops = true;
    supervisor->begins_again = false; /* the later request counts */
    supervisor->stop_signal = signal ? signal : config->stop_signal;
    supervisor->stop_timeout = timeout == INT_MIN ? config->stop_timeout : timeout;
    switch (supervisor->phase) {
    case PHASE_CREATED: /* its first process isn't the program yet: no signal means anything to it
                         */
        loop_timer_cancel(&supervisor->loop, &supervisor->timer);
        kill(supervisor->init.pid, SIGKILL);
        return;
    case PHASE_BEGINNING: /* a machine's program begins when it has booted, which takes long */
        supervisor->timer.expired = kill_beginning;
        loop_timer_set(&supervisor->loop, &supervisor->timer, BEGINNING_MS);
        return;
    case PHASE_RUNNING:
        signal_running(supervisor);
        return;
    case PHASE_BACKING_OFF:
        loop_timer_set(&supervisor->loop, &supervisor->timer, 0);
        return;
    default:
        return; /* what is under way ends in one of those, or in its end */
    }
}

void lifecycle_restart(struct supervisor *supervisor, int signal, int timeout)
{
    supervisor->restarts = (struct restart_state){0};
    if (supervisor->phase == PHASE_CREATED)
        lifecycle_begin(supervisor);
    else if (supervisor->phase == PHASE_RUNNING)
        lifecycle_stop(supervisor, signal, timeout);
    else if (supervisor->phase == PHASE_BACKING_OFF)
        loop_timer_set(&supervisor->loop, &supervisor->timer, 0);
    supervisor->begins_again =
        supervisor->phase == PHASE_RUNNING || supervisor->phase == PHASE_ENDING;
}
