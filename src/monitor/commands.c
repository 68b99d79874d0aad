/* What clients ask for. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "monitor/supervisor.h"

static struct supervisor *owner_of(struct clients *clients)
{
    return loop_owner(clients, struct supervisor, clients);
}

static void refuse(struct client *client, int code, const char *why)
{
    struct error err;
    error_set(&err, 0, "%s", why);
    err.code = code;
    client_answer(client, &err, 0);
}

static const char *describe_phase(const struct supervisor *supervisor)
{
    switch (supervisor->phase) {
    case PHASE_CREATING:
    case PHASE_CREATED:
        return "the container has not begun";
    case PHASE_BEGINNING:
    case PHASE_RUNNING:
        return supervisor->status.state == MONITOR_PAUSED ? "the container is paused"
                                                          : "the container is running already";
    case PHASE_BACKING_OFF:
        return "the container is restarting";
    default:
        return "the container has ended";
    }
}

/* ---- pause and resume ---- */

void command_pause_done(struct driver_call *call, const struct error *err)
{
    struct supervisor *supervisor = loop_owner(call, struct supervisor, pause_call);
    bool pauses = supervisor->status.state == MONITOR_RUNNING;
    if (!err && supervisor->phase == PHASE_RUNNING) {
        supervisor->status.state = pauses ? MONITOR_PAUSED : MONITOR_RUNNING;
        health_probe_pause(&supervisor->probe, pauses);
        report_status(supervisor, false);
        report_event(supervisor, pauses ? "pause" : "unpause", NULL, NULL);
    }
    clients_answer(&supervisor->clients, MONITOR_REQUEST_PAUSE, err, 0);
    clients_answer(&supervisor->clients, MONITOR_REQUEST_RESUME, err, 0);
    /* A stop came while it was being paused. */
    if (supervisor->stops || supervisor->killed)
        command_resume(supervisor);
}

static void call_pause(struct supervisor *supervisor, const char *verb)
{
    const char *const arguments[] = {verb, supervisor->config.id, NULL};
    supervisor->pause_call.done = command_pause_done;
    driver_start(&supervisor->pause_call, arguments, (const int[]){-1, -1, -1});
}

void command_resume(struct supervisor *supervisor)
{
    if (supervisor->phase == PHASE_RUNNING && supervisor->status.state == MONITOR_PAUSED &&
        !driver_is_busy(&supervisor->pause_call))
        call_pause(supervisor, "resume");
}

static void serve_pause(struct supervisor *supervisor, struct client *client, bool pauses)
{
    enum monitor_state needed = pauses ? MONITOR_RUNNING : MONITOR_PAUSED;
    if (supervisor->phase != PHASE_RUNNING || supervisor->status.state != needed) {
        refuse(client, EBUSY,
               supervisor->phase == PHASE_RUNNING && !pauses ? "the container is not paused"
                                                             : describe_phase(supervisor));
    } else if (driver_is_busy(&supervisor->pause_call)) {
        refuse(client, EBUSY, "the container is just being paused or resumed");
    } else {
        client->request = pauses ? MONITOR_REQUEST_PAUSE : MONITOR_REQUEST_RESUME;
        call_pause(supervisor, pauses ? "pause" : "resume");
    }
}

/* ---- signals ---- */

static void serve_kill(struct supervisor *supervisor, struct client *client, int signal)
{
    bool ends = signal == SIGKILL || signal == supervisor->config.stop_signal;
    char number[16];
    if (supervisor->phase == PHASE_BACKING_OFF && ends) {
        lifecycle_stop(supervisor, signal, 0);
        client_answer(client, NULL, 0);
        return;
    }
    if (supervisor->phase != PHASE_RUNNING && supervisor->phase != PHASE_CREATED) {
        refuse(client, ESRCH, describe_phase(supervisor));
        return;
    }
    if (kill(supervisor->init.pid, signal) < 0) {
        struct error err;
        error_set(&err, errno, "can't send signal %d to the container", signal);
        client_answer(client, &err, 0);
        return;
    }
    supervisor->killed = supervisor->killed || ends;
    snprintf(number, sizeof number, "%d", signal);
    report_event(supervisor, "kill", "signal", number);
    if (signal == SIGKILL)
        command_resume(supervisor); /* what is frozen doesn't die everywhere */
    client_answer(client, NULL, 0);
}

/* ---- attach ---- */

static bool serve_attach(struct supervisor *supervisor, struct client *client, int flags)
{
    if (client->attached)
        return false;
    if (supervisor->phase >= PHASE_ENDING && supervisor->phase != PHASE_BACKING_OFF) {
        refuse(client, ESRCH, "the container has ended");
        return true;
    }
    client_answer(client, NULL, 0);
    client->attached = true;
    client->flags = flags;
    client->streams = flags & (MONITOR_ATTACH_STDOUT | MONITOR_ATTACH_STDERR);
    client->lossless = flags & MONITOR_ATTACH_LOSSLESS;
    if (flags & MONITOR_ATTACH_STDIN)
        clients_watch_input(client->clients);
    return true;
}

static bool serve_input(struct supervisor *supervisor, struct client *client,
                        const struct monitor_packet *packet)
{
    /* After the container's end a client may not know of it yet. */
    if (!(client->flags & MONITOR_ATTACH_STDIN))
        return client->attached && client->flags == 0;
    if (!streams_takes_input(&supervisor->streams))
        return false;
    if (packet->length > 0) {
        streams_write(&supervisor->streams, packet->data, packet->length);
        if (!streams_takes_input(&supervisor->streams))
            clients_watch_input(&supervisor->clients);
    } else if (supervisor->config.stdin_once) {
        streams_end_input(&supervisor->streams);
    }
    return true;
}

/* ---- the rest ---- */

static void serve_begin(struct supervisor *supervisor, struct client *client)
{
    if (supervisor->phase != PHASE_CREATED) {
        refuse(client, EALREADY, describe_phase(supervisor));
        return;
    }
    client->request = MONITOR_REQUEST_BEGIN;
    lifecycle_begin(supervisor);
}

static void serve_resize(struct supervisor *supervisor, struct client *client, const int *numbers)
{
    struct error err;
    int result = streams_resize(&supervisor->streams, (unsigned short)numbers[0],
                                (unsigned short)numbers[1], &err);
    client_answer(client, result < 0 ? &err : NULL, 0);
}

static void serve_update(struct supervisor *supervisor, struct client *client, const int *numbers)
{
    supervisor->config.restart.kind = (enum monitor_restart_kind)numbers[0];
    supervisor->config.restart.maximum_retry_count = numbers[1];
    report_status(supervisor, supervisor->phase == PHASE_RUNNING);
    client_answer(client, NULL, 0);
}

static void serve_rename(struct supervisor *supervisor, struct client *client, const char *name)
{
    free(supervisor->name);
    supervisor->name = memory_copy_string(name);
    client_answer(client, NULL, 0);
}

bool command_serve(struct clients *clients, struct client *client,
                   const struct monitor_packet *packet)
{
    struct supervisor *supervisor = owner_of(clients);
    const int32_t *numbers = packet->header.numbers;
    if (packet->header.type == MONITOR_INPUT)
        return serve_input(supervisor, client, packet);
    if (client->request)
        return false; /* one at a time */
    switch (packet->header.type) {
    case MONITOR_REQUEST_BEGIN:
        serve_begin(supervisor, client);
        return true;
    case MONITOR_REQUEST_STOP:
        client->request = MONITOR_REQUEST_STOP;
        lifecycle_stop(supervisor, numbers[0], numbers[1]);
        return true;
    case MONITOR_REQUEST_RESTART:
        client->request = MONITOR_REQUEST_RESTART;
        lifecycle_restart(supervisor, numbers[0], numbers[1]);
        return true;
    case MONITOR_REQUEST_KILL:
        serve_kill(supervisor, client, numbers[0]);
        return true;
    case MONITOR_REQUEST_PAUSE:
    case MONITOR_REQUEST_RESUME:
        serve_pause(supervisor, client, packet->header.type == MONITOR_REQUEST_PAUSE);
        return true;
    case MONITOR_REQUEST_RESIZE:
        serve_resize(supervisor, client, numbers);
        return true;
    case MONITOR_REQUEST_UPDATE:
        serve_update(supervisor, client, numbers);
        return true;
    case MONITOR_REQUEST_RENAME:
        serve_rename(supervisor, client, packet->data);
        return true;
    case MONITOR_REQUEST_WAIT:
        client->request = MONITOR_REQUEST_WAIT;
        client->waits_next = numbers[0];
        return true;
    case MONITOR_REQUEST_ATTACH:
        return serve_attach(supervisor, client, numbers[0]);
    default:
        return false;
    }
}
