/* Processes in a guest: their streams and their end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/agent/dial.h"
#include "vm/agent/stream.h"

#define BACKLOG_LIMIT 65536

struct agent_process {
    struct dial dial;
    const struct agent_process_events *events;
    void *context;
    const char *request;
    json_t *document;
    bool has_started;
    struct stream input;
    struct {
        uint64_t received, consumed, granted; /* granted: consumed, and the guest knows */
        bool closed;
    } outputs[2];
};

void agent_process_release(struct agent_process *process)
{
    dial_close(&process->dial);
    stream_release(&process->input);
    json_decref(process->document);
    free(process);
}

static void finish(struct agent_process *process, int status, int signal, const struct error *err,
                   bool is_lost)
{
    const struct agent_process_events *events = process->events;
    void *context = process->context;
    struct error copy;
    if (err)
        copy = *err;
    agent_process_release(process);
    events->ended(context, status, signal, err ? &copy : NULL, is_lost);
}

static void fail(struct agent_process *process, const char *reason)
{
    struct error err;
    error_set(&err, EPROTO, "the guest's agent %s", reason);
    finish(process, 0, 0, &err, process->has_started);
}

/* ---- what the guest sends ---- */

static void take_started(struct agent_process *process, const char *bytes, size_t length)
{
    struct error err;
    json_t *reply = dial_parse_reply(bytes, length, &err);
    if (!reply) {
        finish(process, 0, 0, &err, false);
        return;
    }
    json_int_t pid = json_integer_value(json_object_get(reply, "pid"));
    json_int_t input = json_integer_value(json_object_get(reply, "input"));
    json_decref(reply);
    if (pid <= 0 || pid > INT32_MAX || input < 0) {
        fail(process, "started a process without a pid");
        return;
    }
    /* One that is attached to has had input before. */
    process->input.consumed += (uint64_t)input;
    process->input.sent += (uint64_t)input;
    process->input.end += (uint64_t)input;
    process->has_started = true;
    dial_settle(&process->dial);
    process->events->started(process->context, (pid_t)pid);
}

static void take_output(struct agent_process *process, enum agent_stream_number stream,
                        const char *bytes, size_t length)
{
    int index = stream - AGENT_STREAM_STDOUT;
    if (process->outputs[index].closed && length == 0)
        return;
    uint64_t held = process->outputs[index].received - process->outputs[index].consumed;
    if (process->outputs[index].closed || length > AGENT_WINDOW_SIZE - held) {
        fail(process, "sent more output than it may");
        return;
    }
    process->outputs[index].received += length;
    process->outputs[index].closed = length == 0;
    process->events->output(process->context, stream, bytes, length);
}

static void take_window(struct agent_process *process, const char *bytes, size_t length)
{
    struct agent_window window = {.stream = UINT32_MAX};
    if (length == sizeof window)
        memcpy(&window, bytes, sizeof window);
    bool was_full = stream_room(&process->input) == 0;
    if (window.stream != AGENT_STREAM_STDIN || !stream_consume(&process->input, window.bytes)) {
        fail(process, "took input that wasn't sent");
        return;
    }
    stream_send(&process->input, &process->dial.frames, AGENT_STDIN);
    if (was_full && stream_room(&process->input) > 0 && process->events->drained)
        process->events->drained(process->context);
}

static void take_exit(struct agent_process *process, const char *bytes, size_t length)
{
    struct agent_exit end = {0};
    if (length != sizeof end) {
        fail(process, "told of an end that can't be");
        return;
    }
    memcpy(&end, bytes, sizeof end);
    frames_send(&process->dial.frames, AGENT_FORGET, NULL, 0);
    finish(process, (int)(end.status & 255), (int)(end.signal & 127), NULL, false);
}

static void received(struct dial *dial, unsigned int type, char *bytes, size_t length)
{
    struct agent_process *process = loop_owner(dial, struct agent_process, dial);
    struct error err = {0};
    if (type == AGENT_ERROR) {
        dial_parse_error(bytes, length, &err);
        finish(process, 0, 0, &err, false);
    } else if (type == AGENT_REPLY && !process->has_started) {
        take_started(process, bytes, length);
    } else if (!process->has_started || type == AGENT_REPLY) {
        fail(process, "sent what wasn't asked for");
    } else if (type == AGENT_STDOUT || type == AGENT_STDERR) {
        take_output(process, type == AGENT_STDOUT ? AGENT_STREAM_STDOUT : AGENT_STREAM_STDERR,
                    bytes, length);
    } else if (type == AGENT_WINDOW) {
        take_window(process, bytes, length);
    } else if (type == AGENT_EXIT) {
        take_exit(process, bytes, length);
    } else {
        fail(process, "sent what wasn't asked for");
    }
}

static void connected(struct dial *dial)
{
    struct agent_process *process = loop_owner(dial, struct agent_process, dial);
    struct error err = {0};
    if (dial_request(&dial->frames, process->request, process->document, &err) < 0)
        finish(process, 0, 0, &err, false);
}

static void failed(struct dial *dial, const struct error *err)
{
    struct agent_process *process = loop_owner(dial, struct agent_process, dial);
    finish(process, 0, 0, err, process->has_started);
}

/* Tells the guest how much is consumed. One that sends and doesn't read would make us queue this
 * for ever: what can't be sent now is told later, in one. */
static void grant_output(struct agent_process *process)
{
    for (int i = 0; i < 2; i++) {
        uint64_t more = process->outputs[i].consumed - process->outputs[i].granted;
        struct agent_window window = {(uint32_t)(AGENT_STREAM_STDOUT + i), (uint32_t)more};
        if (more == 0 || frames_backlog(&process->dial.frames) > BACKLOG_LIMIT)
            continue;
        process->outputs[i].granted += window.bytes;
        frames_send(&process->dial.frames, AGENT_WINDOW, &window, sizeof window);
    }
}

static void have_sent(struct frames *frames)
{
    struct agent_process *process = loop_owner(frames, struct agent_process, dial.frames);
    grant_output(process);
    stream_send(&process->input, frames, AGENT_STDIN);
}

/* ---- what the caller does ---- */

static struct agent_process *begin(struct loop *loop, const struct agent_address *address,
                                   const char *request, json_t *document, int64_t timeout,
                                   const struct agent_process_events *events, void *context)
{
    struct agent_process *process = memory_allocate(1, sizeof *process);
    *process = (struct agent_process){
        .dial = {.connected = connected, .received = received, .failed = failed},
        .events = events,
        .context = context,
        .request = request,
        .document = document};
    process->dial.frames.sent = have_sent;
    dial_open(&process->dial, loop, address, timeout);
    return process;
}

struct agent_process *agent_process_start(struct loop *loop, const struct agent_address *address,
                                          int64_t timeout,
                                          const struct agent_process_events *events, void *context)
{
    return begin(loop, address, "start", NULL, timeout, events, context);
}

struct agent_process *agent_process_exec(struct loop *loop, const struct agent_address *address,
                                         const char *id, json_t *process, int64_t timeout,
                                         const struct agent_process_events *events, void *context)
{
    json_t *document = json_pack("{s:s, s:o}", "id", id, "process", process);
    return begin(loop, address, "exec", document, timeout, events, context);
}

struct agent_process *agent_process_attach(struct loop *loop, const struct agent_address *address,
                                           const char *id,
                                           const struct agent_process_progress *progress,
                                           int64_t timeout,
                                           const struct agent_process_events *events, void *context)
{
    json_t *document =
        json_pack("{s:s, s:I, s:I}", "id", id, "output", (json_int_t)progress->output, "errors",
                  (json_int_t)progress->errors);
    struct agent_process *process =
        begin(loop, address, "attach", document, timeout, events, context);
    process->outputs[0].received = process->outputs[0].consumed = process->outputs[0].granted =
        progress->output;
    process->outputs[1].received = process->outputs[1].consumed = process->outputs[1].granted =
        progress->errors;
    return process;
}

size_t agent_process_room(const struct agent_process *process)
{
    return process->has_started ? stream_room(&process->input) : 0;
}

size_t agent_process_write(struct agent_process *process, const void *bytes, size_t length)
{
    if (!process->has_started)
        return 0;
    size_t count = stream_write(&process->input, bytes, length);
    stream_send(&process->input, &process->dial.frames, AGENT_STDIN);
    return count;
}

void agent_process_close_input(struct agent_process *process)
{
    process->input.closed = true;
    if (process->has_started)
        stream_send(&process->input, &process->dial.frames, AGENT_STDIN);
}

void agent_process_consumed(struct agent_process *process, enum agent_stream_number stream,
                            size_t bytes)
{
    process->outputs[stream - AGENT_STREAM_STDOUT].consumed += bytes;
    grant_output(process);
}

void agent_process_resize(struct agent_process *process, uint16_t rows, uint16_t columns)
{
    struct agent_size size = {rows, columns};
    if (process->has_started)
        frames_send(&process->dial.frames, AGENT_RESIZE, &size, sizeof size);
}

void agent_process_signal(struct agent_process *process, int number)
{
    struct agent_signal signal = {(uint32_t)number};
    if (process->has_started)
        frames_send(&process->dial.frames, AGENT_SIGNAL, &signal, sizeof signal);
}
