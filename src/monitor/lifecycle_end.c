/* The container's course from its end on: remove what is left of it, pass on the rest of its
 * output, and begin again or clean up.
 *
 * The order at the final end: overlay unmounted, both status files, events, clients, the socket;
 * then cleanup, in the host's mount namespace; then the lock. Whoever sees one of these sees what
 * comes before it, too. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "monitor/document.h"
#include "monitor/overlay.h"
#include "monitor/supervisor.h"

#define DELETIONS_MAX 3

/* ---- the final end ---- */

static void leave(struct supervisor *supervisor)
{
    if (supervisor->lock >= 0)
        close(scope_take_fd(&supervisor->lock));
    clients_close_idle(&supervisor->clients);
    /* Those who were promised every byte still get what they haven't taken; nobody waits for that
     * but they. */
    if (!clients_are_owed(&supervisor->clients))
        supervisor->loop.done = true;
}

static void cleaned_up(struct child *child, int status)
{
    (void)status;
    leave(loop_owner(child, struct supervisor, cleanup));
}

static void clean_up(struct supervisor *supervisor)
{
    const struct monitor_strings *cleanup = &supervisor->config.cleanup;
    struct child_setup setup = {.streams = {-1, -1, -1},
                                .mount_namespace = supervisor->host_mounts,
                                .root = supervisor->host_root,
                                .kept = -1};
    supervisor->cleanup.ended = cleaned_up;
    /* The strings end with a NULL: arena_allocate() in config.c makes one more. */
    if (cleanup->count == 0 || children_spawn(&supervisor->children, &supervisor->cleanup,
                                              cleanup->items, &setup, NULL) < 0)
        leave(supervisor);
}

static void set_final_state(struct supervisor *supervisor)
{
    struct monitor_status *status = &supervisor->status;
    bool ever_began = status->started_at[0] != '0';
    status->pid = status->monitor = 0;
    status->monitor_start_time = 0;
    if (status->state != MONITOR_DEAD)
        status->state = ever_began ? MONITOR_EXITED : MONITOR_CREATED;
    if (!ever_began && !supervisor->failed)
        status->exit_code = 0; /* stopped before it began */
}

static void finish(struct supervisor *supervisor, bool stopped)
{
    struct error err;
    bool died = supervisor->phase == PHASE_ENDING && supervisor->has_begun;
    char code[16];
    supervisor->phase = PHASE_FINISHED;
    log_file_close(&supervisor->log);
    if (supervisor->overlay_is_mounted)
        overlay_unmount(&supervisor->config.overlay);
    set_final_state(supervisor);
    report_status(supervisor, true);
    snprintf(code, sizeof code, "%d", supervisor->status.exit_code);
    if (died)
        report_event(supervisor, "die", "exitCode", code);
    if (stopped)
        report_event(supervisor, "stop", NULL, NULL);
    clients_stop_listening(&supervisor->clients);
    error_set(&err, 0, "%s",
              supervisor->failed ? supervisor->status.error : "the container has ended");
    report_launch(supervisor, &err, supervisor->status.exit_code);
    clients_tell_exit(&supervisor->clients, supervisor->status.exit_code, true);
    clients_answer(&supervisor->clients, MONITOR_REQUEST_STOP, NULL, 0);
    clients_answer(&supervisor->clients, MONITOR_REQUEST_BEGIN, &err, supervisor->status.exit_code);
    clients_answer(&supervisor->clients, MONITOR_REQUEST_RESTART, &err,
                   supervisor->status.exit_code);
    clean_up(supervisor);
}

/* ---- again, or not ---- */

static void begin_again(struct loop_timer *timer)
{
    struct supervisor *supervisor = loop_owner(timer, struct supervisor, timer);
    if (supervisor->stops) { /* somebody stopped it while it waited */
        supervisor->status.stopped_by_user = !supervisor->shuts_down;
        finish(supervisor, !supervisor->shuts_down);
        return;
    }
    lifecycle_create(supervisor);
}

static void back_off(struct supervisor *supervisor, int64_t delay, bool asked)
{
    char code[16];
    snprintf(code, sizeof code, "%d", supervisor->status.exit_code);
    supervisor->phase = PHASE_BACKING_OFF;
    supervisor->status.state = MONITOR_RESTARTING;
    supervisor->status.pid = 0;
    report_status(supervisor, false);
    report_event(supervisor, "die", "exitCode", code);
    if (asked) {
        report_event(supervisor, "stop", NULL, NULL);
        report_event(supervisor, "restart", NULL, NULL);
        clients_answer(&supervisor->clients, MONITOR_REQUEST_STOP, NULL, 0); /* it was, too */
    }
    clients_tell_exit(&supervisor->clients, supervisor->status.exit_code, false);
    supervisor->timer.expired = begin_again;
    loop_timer_set(&supervisor->loop, &supervisor->timer, delay);
}

static void decide(struct supervisor *supervisor)
{
    bool by_user = supervisor->stops || supervisor->killed;
    bool again = supervisor->begins_again && !supervisor->shuts_down && !supervisor->failed;
    loop_timer_cancel(&supervisor->loop, &supervisor->drain);
    log_file_finish(&supervisor->log);
    if (again) {
        supervisor->stops = false;
        back_off(supervisor, 0, true);
        return;
    }
    supervisor->status.stopped_by_user = by_user && !supervisor->shuts_down;
    int64_t delay = -1;
    if (supervisor->has_begun && supervisor->status.state != MONITOR_DEAD)
        delay = restart_after_exit(&supervisor->restarts, &supervisor->config.restart,
                                   supervisor->status.exit_code, by_user,
                                   loop_now() - supervisor->began);
    if (delay >= 0)
        back_off(supervisor, delay, false);
    else
        finish(supervisor, supervisor->stops && supervisor->has_begun);
}

/* ---- the end of one run ---- */

void lifecycle_drained(struct supervisor *supervisor)
{
    if (supervisor->phase == PHASE_ENDING && supervisor->deleted && supervisor->streams.has_ended)
        decide(supervisor);
}

static void give_up_draining(struct loop_timer *timer)
{
    struct supervisor *supervisor = loop_owner(timer, struct supervisor, drain);
    streams_close(&supervisor->streams);
    supervisor->streams.has_ended = true;
    lifecycle_drained(supervisor);
}

static void remove_container(struct supervisor *supervisor);

static void deleted(struct driver_call *call, const struct error *err)
{
    struct supervisor *supervisor = loop_owner(call, struct supervisor, call);
    /* Somebody's doing, or for want of memory: no reason to leave anything. */
    if (err && call->was_killed && supervisor->deletions < DELETIONS_MAX) {
        remove_container(supervisor);
        return;
    }
    if (err) {
        supervisor->status.state = MONITOR_DEAD;
        if (!supervisor->failed)
            snprintf(supervisor->status.error, sizeof supervisor->status.error, "%s", err->text);
    }
    oom_end(&supervisor->oom);
    supervisor->deleted = true;
    if (!supervisor->has_begun && supervisor->streams.terminal)
        give_up_draining(&supervisor->drain); /* its terminal may never have come */
    else if (supervisor->streams.has_ended)
        lifecycle_drained(supervisor);
    else {
        supervisor->drain.expired = give_up_draining;
        loop_timer_set(&supervisor->loop, &supervisor->drain, LIFECYCLE_DRAIN_MS);
    }
}

static void remove_container(struct supervisor *supervisor)
{
    const char *const arguments[] = {"delete", "--force", supervisor->config.id, NULL};
    supervisor->deletions++;
    supervisor->call.done = deleted;
    driver_start(&supervisor->call, arguments, (const int[]){-1, -1, -1});
}

static void delete (struct supervisor *supervisor)
{
    supervisor->phase = PHASE_ENDING;
    loop_timer_cancel(&supervisor->loop, &supervisor->timer);
    health_probe_end(&supervisor->probe);
    /* What it wrote last is taken whether clients keep up or not: they get it later. */
    streams_hold(&supervisor->streams, false);
    remove_container(supervisor);
}

void lifecycle_end(struct supervisor *supervisor)
{
    int status = supervisor->init_status;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    document_format_time(supervisor->status.finished_at, &now);
    supervisor->status.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    oom_check(&supervisor->oom);
    delete (supervisor);
}

void lifecycle_fail(struct supervisor *supervisor, const struct error *err)
{
    struct timespec now;
    supervisor->failed = true;
    supervisor->status.exit_code = driver_exit_code(err);
    snprintf(supervisor->status.error, sizeof supervisor->status.error, "%s", err->text);
    if (supervisor->restarts.count > 0 || supervisor->status.started_at[0] != '0') {
        clock_gettime(CLOCK_REALTIME, &now);
        document_format_time(supervisor->status.finished_at, &now);
    }
    streams_given(&supervisor->streams, NULL); /* nobody else has them */
    delete (supervisor);
}
