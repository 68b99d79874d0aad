/* hull-monitor: see monitor.h for what it is, supervisor.h for how it works.
 *
 *     hull-monitor RUN-DIRECTORY [DESCRIPTOR]
 *
 * DESCRIPTOR: of a pipe that is told how the start went. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "monitor/document.h"
#include "monitor/lock.h"
#include "monitor/overlay.h"
#include "monitor/status.h"
#include "monitor/supervisor.h"

#define PREDECESSOR_WAIT_MS 30000 /* for the monitor of the container's last run to clean up */

/* ---- between streams, log and clients ---- */

static void pass_output(struct streams *streams, int stream, const char *bytes, size_t count)
{
    struct supervisor *supervisor = loop_owner(streams, struct supervisor, streams);
    log_file_write(&supervisor->log, stream, bytes, count);
    clients_send_output(&supervisor->clients, stream, bytes, count);
    if (supervisor->phase != PHASE_ENDING && clients_are_behind(&supervisor->clients))
        streams_hold(streams, true);
    if (supervisor->drain.armed)
        loop_timer_set(&supervisor->loop, &supervisor->drain, LIFECYCLE_DRAIN_MS);
}

static void end_output(struct streams *streams)
{
    lifecycle_drained(loop_owner(streams, struct supervisor, streams));
}

static void take_more_input(struct streams *streams)
{
    clients_watch_input(&loop_owner(streams, struct supervisor, streams)->clients);
}

static void clients_caught_up(struct clients *clients)
{
    struct supervisor *supervisor = loop_owner(clients, struct supervisor, clients);
    if (supervisor->streams.held)
        streams_hold(&supervisor->streams, false);
    if (supervisor->phase == PHASE_FINISHED && supervisor->lock < 0 && !clients_are_owed(clients))
        supervisor->loop.done = true;
}

static void clients_lost_input(struct clients *clients)
{
    struct supervisor *supervisor = loop_owner(clients, struct supervisor, clients);
    if (supervisor->config.stdin_once)
        streams_end_input(&supervisor->streams);
}

static bool input_is_taken(const struct clients *clients)
{
    return streams_takes_input(&loop_owner(clients, struct supervisor, clients)->streams);
}

static void note_oom(struct oom *oom)
{
    struct supervisor *supervisor = loop_owner(oom, struct supervisor, oom);
    supervisor->status.oom_killed = true;
    report_event(supervisor, "oom", NULL, NULL);
    if (supervisor->phase == PHASE_RUNNING)
        report_status(supervisor, false);
}

static void note_health(struct health_probe *probe, bool changed)
{
    struct supervisor *supervisor = loop_owner(probe, struct supervisor, probe);
    char action[40];
    report_status(supervisor, false);
    snprintf(action, sizeof action, "health_status: %s", health_state_name(probe->health.state));
    if (changed)
        report_event(supervisor, action, NULL, NULL);
}

/* ---- signals ---- */

static void take_signal(struct loop_source *source, uint32_t events)
{
    struct supervisor *supervisor = loop_owner(source, struct supervisor, signals);
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD) {
        children_reap(&supervisor->children);
        return;
    }
    /* The machine goes down. The restart policy says whether it comes up with it again. */
    supervisor->shuts_down = true;
    lifecycle_stop(supervisor, 0, supervisor->config.stop_timeout);
}

static int watch_signals(struct supervisor *supervisor, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    supervisor->signals = (struct loop_source){.ready = take_signal};
    supervisor->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor->signals.fd < 0)
        return error_set(err, errno, "can't receive signals");
    loop_watch(&supervisor->loop, &supervisor->signals, EPOLLIN);
    return 0;
}

/* ---- setting up ---- */

static void connect_parts(struct supervisor *supervisor)
{
    const struct monitor_config *config = &supervisor->config;
    struct driver_call call = {.config = config,
                               .directory = supervisor->directory,
                               .children = &supervisor->children,
                               .lock = -1};
    supervisor->call = supervisor->pause_call = supervisor->probe.call = call;
    supervisor->call.log = "driver.log";
    /* If we are killed, nobody is to recover before the runtime has ended: it may just be making
     * the container. It passes nothing on to what it executes. */
    supervisor->call.lock = supervisor->lock;
    supervisor->pause_call.log = "pause.log";
    supervisor->probe.call.log = "health.log";
    supervisor->streams = (struct streams){.loop = &supervisor->loop,
                                           .terminal = config->terminal,
                                           .open_stdin = config->open_stdin,
                                           .owner = (uid_t)config->owner,
                                           .rows = config->rows,
                                           .columns = config->columns,
                                           .console = "console",
                                           .received = pass_output,
                                           .ended = end_output,
                                           .input_taken = take_more_input,
                                           .child = {-1, -1, -1},
                                           .listener.fd = -1,
                                           .input.fd = -1,
                                           .output = {{.fd = -1}, {.fd = -1}}};
    supervisor->clients.loop = &supervisor->loop;
    supervisor->clients.requested = command_serve;
    supervisor->clients.caught_up = clients_caught_up;
    supervisor->clients.input_lost = clients_lost_input;
    supervisor->clients.takes_input = input_is_taken;
    supervisor->oom = (struct oom){.loop = &supervisor->loop, .killed = note_oom};
    supervisor->probe.loop = &supervisor->loop;
    supervisor->probe.changed = note_health;
    supervisor->probe.output.fd = -1;
    supervisor->log = (struct log_file){.path = config->log.path,
                                        .max_size = config->log.max_size,
                                        .max_file = config->log.max_file,
                                        .compress = config->log.compress,
                                        .attributes = config->log.attributes,
                                        .children = &supervisor->children,
                                        .fd = -1};
}

static void begin_status(struct supervisor *supervisor)
{
    struct monitor_status *status = &supervisor->status;
    status->state = MONITOR_CREATED;
    status->monitor = getpid();
    status->monitor_start_time = status_start_time(getpid());
    strcpy(status->started_at, DOCUMENT_NEVER);
    strcpy(status->finished_at, DOCUMENT_NEVER);
    report_status(supervisor, false);
}

/* The log of a container whose disk is full begins when there is room. */
static int open_log(struct log_file *log, struct error *err)
{
    return log_file_open(log, err) == 0 || err->code == ENOSPC || err->code == EDQUOT ? 0 : -1;
}

static int set_up(struct supervisor *supervisor, struct error *err)
{
    if (loop_open(&supervisor->loop, err) < 0 || watch_signals(supervisor, err) < 0)
        return -1;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "can't adopt the container's processes");
    connect_parts(supervisor);
    begin_status(supervisor);
    if (!supervisor->config.host_mount_namespace &&
        (supervisor->host_mounts = overlay_leave_host(&supervisor->host_root, err)) < 0)
        return -1;
    if (supervisor->config.overlay.target && overlay_mount(&supervisor->config.overlay, err) < 0)
        return -1;
    supervisor->overlay_is_mounted = supervisor->config.overlay.target != NULL;
    if (open_log(&supervisor->log, err) < 0)
        return -1;
    return clients_open(&supervisor->clients, err);
}

static int prepare(struct supervisor *supervisor, struct error *err)
{
    if (chdir(supervisor->directory) < 0)
        return error_set(err, errno, "can't go to %s", supervisor->directory);
    supervisor->lock = lock_take(supervisor->directory, PREDECESSOR_WAIT_MS, err);
    if (supervisor->lock < 0)
        return -1;
    if (monitor_config_read(supervisor->directory, &supervisor->config, err) < 0)
        return -1;
    if (supervisor->config.name)
        supervisor->name = memory_copy_string(supervisor->config.name);
    return 0;
}

int main(int argc, char **argv)
{
    static struct supervisor supervisor = {
        .lock = -1, .launcher = -1, .host_mounts = -1, .host_root = -1};
    static const char usage[] = "usage: hull-monitor RUN-DIRECTORY (started by hull)\n";
    struct error err;
    if (argc < 2 || argv[1][0] != '/') {
        fputs(usage, stderr);
        return 2;
    }
    supervisor.directory = argv[1];
    if (argc > 2)
        supervisor.launcher = atoi(argv[2]);
    if (supervisor.launcher >= 0)
        fcntl(supervisor.launcher, F_SETFD, FD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    umask(0022);
    if (prepare(&supervisor, &err) < 0) {
        report_launch(&supervisor, &err, 125);
        return 1;
    }
    if (set_up(&supervisor, &err) < 0)
        lifecycle_fail(&supervisor, &err);
    else
        lifecycle_create(&supervisor);
    loop_run(&supervisor.loop);
    return 0;
}
