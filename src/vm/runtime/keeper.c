#include "vm/runtime/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/runtime/control.h"
#include "vm/runtime/jail.h"
#include "vm/runtime/monitor_process.h"
#include "vm/runtime/relay.h"

#define BOOT_MS 180000 /* a machine inside of an emulated one takes its time */
#define REQUEST_MS 30000
#define SHUTDOWN_MS 20000 /* for the guest's disk to be written */
#define LAST_WORDS_MS 5000
#define EXIT_LOST 125 /* docker's, for what the engine itself failed in */

/* FAILED: the machine has ended before anybody asked for a start, who is to hear why. */
enum phase { BOOTING, READY, FAILED, STARTING, RUNNING, PAUSED, ENDING };
static const char *const phase_names[] = {"created", "created", "created", "created",
                                          "running", "paused",  "stopped"};

struct keeper {
    const struct keeper_options *options;
    const struct bundle *bundle;
    struct loop loop;
    struct agent_address agent;
    struct agent_call *boot;
    struct monitor_process monitor;
    struct relay relay;
    struct control_server control;
    struct loop_source signals;
    struct loop_timer deadline; /* of the end */
    struct error reason;        /* of FAILED; or why the program's connection is lost */
    enum phase phase;
    int starter; /* connection of who waits for the start, or -1 */
    int status;
};

/* ---- the end ---- */

_Noreturn static void leave(const struct keeper *keeper)
{
    monitor_process_kill(&keeper->monitor);
    exit(keeper->status);
}

/* What became of the machine, for who waits for it, or else where the program's errors go. */
static void fail(struct keeper *keeper, const struct error *err)
{
    keeper->status = EXIT_LOST;
    if (keeper->starter >= 0) {
        control_answer(keeper->starter, NULL, err);
    } else if (keeper->phase == BOOTING || keeper->phase == READY) {
        keeper->phase = FAILED;
        keeper->reason = *err;
        return;
    } else if (keeper->phase != ENDING) {
        scope_free char *line = memory_format("hull: %s\n", err->text);
        descriptor_write(&keeper->relay.outputs[!keeper->relay.has_terminal].to, line,
                         strlen(line));
    }
    leave(keeper);
}

static void on_deadline(struct loop_timer *timer)
{
    leave(loop_owner(timer, struct keeper, deadline));
}

static void on_shutdown(void *context, json_t *reply, const struct error *err)
{
    (void)err;
    if (!reply)
        leave(context);
}

/* Its disk is written and unmounted, unless nobody wants it. The monitor ends with the machine. */
static void end(struct keeper *keeper, int status)
{
    keeper->phase = ENDING;
    keeper->status = status;
    if (keeper->bundle->is_volatile)
        leave(keeper);
    keeper->deadline.expired = on_deadline;
    loop_timer_set(&keeper->loop, &keeper->deadline, SHUTDOWN_MS);
    agent_call_start(&keeper->loop, &keeper->agent, "shutdown", json_pack("{s:i}", "grace", 0),
                     SHUTDOWN_MS, on_shutdown, keeper);
}

static void on_monitor_end(struct keeper *keeper, int status)
{
    struct error err;
    keeper->monitor.pid = 0;
    if (keeper->phase == ENDING)
        leave(keeper);
    if (keeper->boot)
        agent_call_cancel(keeper->boot);
    keeper->boot = NULL;
    monitor_process_explain(&keeper->monitor, status, &err);
    fail(keeper, &err);
}

/* ---- the guest's first process ---- */

static void on_started(struct relay *relay, const struct error *err)
{
    struct keeper *keeper = loop_owner(relay, struct keeper, relay);
    if (err)
        return fail(keeper, err);
    keeper->phase = RUNNING;
    control_answer(keeper->starter, NULL, NULL);
    keeper->starter = -1;
}

static void on_silence(struct loop_timer *timer)
{
    struct keeper *keeper = loop_owner(timer, struct keeper, deadline);
    fail(keeper, &keeper->reason);
}

/* Where the connection is lost because the machine has ended, its monitor says why. */
static void on_finished(struct relay *relay, const struct error *lost)
{
    struct keeper *keeper = loop_owner(relay, struct keeper, relay);
    if (lost) {
        keeper->reason = *lost;
        keeper->deadline.expired = on_silence;
        loop_timer_set(&keeper->loop, &keeper->deadline, LAST_WORDS_MS);
        return;
    }
    end(keeper, relay->status);
}

static void start(struct keeper *keeper)
{
    keeper->phase = STARTING;
    keeper->relay.process = agent_process_start(&keeper->loop, &keeper->agent, REQUEST_MS,
                                                &relay_events, &keeper->relay);
}

/* ---- the guest's clock ---- */

static void on_clock(void *context, json_t *reply, const struct error *err)
{
    (void)context;
    (void)reply;
    (void)err; /* a guest with a wrong clock is better than none */
}

/* It stood still while the machine started, or was paused. */
static void set_clock(struct keeper *keeper)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    agent_call_start(&keeper->loop, &keeper->agent, "clock",
                     json_pack("{s:I}", "time", (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec),
                     REQUEST_MS, on_clock, NULL);
}

/* ---- what commands ask ---- */

static int pause_machine(struct keeper *keeper, bool pauses, struct error *err)
{
    if (keeper->phase != (pauses ? RUNNING : PAUSED))
        return error_set(err, 0, "the machine is %s", phase_names[keeper->phase]);
    if (monitor_process_pause(&keeper->monitor, pauses, err) < 0)
        return -1;
    keeper->phase = pauses ? PAUSED : RUNNING;
    if (!pauses)
        set_clock(keeper);
    return 0;
}

/* As far as it can now: once the machine is up, and somebody has asked for the start. */
static void go_on(struct keeper *keeper)
{
    if (keeper->starter >= 0 && keeper->phase == READY)
        start(keeper);
    else if (keeper->starter >= 0 && keeper->phase == FAILED)
        fail(keeper, &keeper->reason);
}

static void on_asked(struct control_server *server, int connection, const char *word)
{
    struct keeper *keeper = loop_owner(server, struct keeper, control);
    struct error err;
    int status = 0;
    if (strcmp(word, "start") == 0) {
        if (keeper->phase <= FAILED && keeper->starter < 0) {
            keeper->starter = connection;
            return go_on(keeper);
        }
        status = error_set(&err, 0, "the machine is %s", phase_names[keeper->phase]);
    } else if (strcmp(word, "pause") == 0 || strcmp(word, "resume") == 0) {
        status = pause_machine(keeper, *word == 'p', &err);
    } else if (strcmp(word, "state") != 0) {
        status = error_set(&err, 0, "unknown request '%s'", word);
    }
    control_answer(connection, phase_names[keeper->phase], status < 0 ? &err : NULL);
}

/* ---- signals ---- */

static void reap(struct keeper *keeper)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == keeper->monitor.pid)
            on_monitor_end(keeper, status);
}

static void take_signal(struct keeper *keeper, int number)
{
    if (number == SIGCHLD)
        reap(keeper);
    else if (number == SIGWINCH && keeper->relay.has_terminal)
        relay_resize(&keeper->relay);
    else if (keeper->phase == RUNNING || keeper->phase == PAUSED)
        relay_signal(&keeper->relay, number);
    else if (number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT) {
        keeper->status = 128 + number;
        leave(keeper);
    }
}

static void on_signal(struct loop_source *source, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof info) == sizeof info)
        take_signal(loop_owner(source, struct keeper, signals), (int)info.ssi_signo);
}

static int watch_signals(struct keeper *keeper, struct error *err)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    keeper->signals = (struct loop_source){.fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK),
                                           .ready = on_signal};
    if (keeper->signals.fd < 0)
        return error_set(err, errno, "can't make a signalfd");
    loop_watch(&keeper->loop, &keeper->signals, EPOLLIN);
    return 0;
}

/* ---- the beginning ---- */

static void on_booted(void *context, json_t *reply, const struct error *err)
{
    struct keeper *keeper = context;
    keeper->boot = NULL;
    if (!reply)
        return fail(keeper, err);
    keeper->phase = READY;
    set_clock(keeper);
    go_on(keeper);
}

/* The cgroup has all of the machine's processes; in its v2 part we began. */
static int enter_cgroup(const struct cgroup *cgroup, struct error *err)
{
    int entries[CGROUP_HIERARCHY_MAX];
    int count = cgroup_open_entries(cgroup, false, entries, err), status = 0;
    for (int i = 0; i < count; i++) {
        if (status == 0 && write(entries[i], "0", 1) < 0)
            status = error_set(err, errno, "can't enter the machine's cgroup");
        close(entries[i]);
    }
    return count < 0 ? -1 : status;
}

static int enter_namespaces(const struct bundle *bundle, struct error *err)
{
    scope_close int network = open(bundle->network_namespace, O_RDONLY | O_CLOEXEC);
    if (network < 0 || setns(network, CLONE_NEWNET) < 0)
        return error_set(err, errno, "can't enter the network namespace %s",
                         bundle->network_namespace);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
        return error_set(err, errno, "can't make a mount namespace for the machine");
    return 0;
}

static int begin(struct keeper *keeper, struct error *err)
{
    const struct keeper_options *options = keeper->options;
    scope_free char *control = record_control_path(options->record);
    if (enter_cgroup(&options->record->cgroup, err) < 0 ||
        enter_namespaces(keeper->bundle, err) < 0 || jail_fill(keeper->bundle, err) < 0 ||
        loop_open(&keeper->loop, err) < 0 || watch_signals(keeper, err) < 0)
        return -1;
    relay_open(&keeper->relay, &keeper->loop, keeper->bundle->has_terminal);
    if (control_listen(&keeper->control, &keeper->loop, control, err) < 0 ||
        monitor_process_start(&keeper->monitor, &keeper->loop, keeper->bundle, err) < 0)
        return -1;
    keeper->boot =
        agent_call_start(&keeper->loop, &keeper->agent, "boot",
                         bundle_describe_boot(keeper->bundle), BOOT_MS, on_booted, keeper);
    return 0;
}

void keeper_run(const struct keeper_options *options)
{
    struct error err = {0};
    struct keeper keeper = {
        .options = options,
        .bundle = options->bundle,
        .agent = {options->bundle->socket, AGENT_PORT},
        .relay = {.started = on_started, .finished = on_finished},
        .control = {.asked = on_asked},
        .starter = -1,
        .status = EXIT_LOST,
    };
    int status = begin(&keeper, &err);
    if (status < 0)
        file_write_all(options->ready, err.text, strlen(err.text));
    close(options->ready);
    if (status < 0)
        leave(&keeper);
    loop_run(&keeper.loop);
    leave(&keeper);
}
