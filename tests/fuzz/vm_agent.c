/* Fuzzes what a guest says to the host's side of its agent: a process's conversation, in pieces of
 * any size, and the documents alone. The first byte chooses. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The conversation's functions are its own. */
#include "../../src/vm/agent/process.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool kept)
{
    if (!kept)
        abort();
}

struct listener {
    struct agent_process *process;
    uint64_t held[2];
    bool has_started, has_ended;
    uint8_t step; /* how much of the output is consumed at once */
};

static void have_started(void *context, pid_t pid)
{
    struct listener *listener = context;
    promise(pid > 0 && !listener->has_started && !listener->has_ended);
    listener->has_started = true;
    agent_process_write(listener->process, "some input", 10);
    agent_process_close_input(listener->process);
}

static void have_output(void *context, enum agent_stream_number stream, const char *bytes,
                        size_t length)
{
    struct listener *listener = context;
    uint64_t *held = &listener->held[stream - AGENT_STREAM_STDOUT];
    volatile char last = length ? bytes[length - 1] : 0;
    (void)last;
    *held += length;
    promise(listener->has_started && !listener->has_ended && *held <= AGENT_WINDOW_SIZE);
    size_t consumed = *held > listener->step * 256U ? (size_t)*held - listener->step * 256U : 0;
    *held -= consumed;
    agent_process_consumed(listener->process, stream, consumed);
    /* Nobody reads the other end: what is queued stays bounded all the same. */
    promise(frames_backlog(&listener->process->dial.frames) <= 2 * BACKLOG_LIMIT + 1024);
}

static void have_drained(void *context)
{
    promise(!((struct listener *)context)->has_ended);
}

static void have_ended(void *context, int status, int signal, const struct error *err, bool is_lost)
{
    struct listener *listener = context;
    promise(!listener->has_ended && status >= 0 && status < 256 && signal >= 0 && signal < 128);
    promise(!err || err->text[0]);
    promise(!is_lost || (err && listener->has_started));
    for (const char *at = err ? err->text : ""; *at; at++)
        promise((unsigned char)*at >= ' ' && *at != 0x7f);
    listener->has_ended = true;
}

static void converse(const uint8_t *data, size_t size)
{
    static const struct agent_process_events listener_events = {have_started, have_output,
                                                                have_drained, have_ended};
    struct loop loop;
    int ends[2];
    if (size < 2)
        return;
    promise(loop_open(&loop, NULL) == 0);
    promise(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    struct listener listener = {.step = data[0]};
    struct agent_address address = {"/nowhere", AGENT_PORT};
    listener.process = begin(&loop, &address, "start", NULL, 1000, &listener_events, &listener);
    struct frames *frames = &listener.process->dial.frames;
    listener.process->dial.is_connected = true;
    frames_open(frames, &loop, ends[0]);
    size_t piece = data[1] + 1U;
    data += 2;
    size -= 2;
    while (size > 0 && !listener.has_ended) {
        size_t count = size < piece ? size : piece;
        frames_take(frames, (const char *)data, count);
        data += count;
        size -= count;
    }
    if (!listener.has_ended)
        agent_process_release(listener.process);
    close(ends[1]);
    loop_close(&loop);
}

static void read_documents(const char *bytes, size_t size)
{
    struct error err = {0};
    json_t *document = dial_parse_reply(bytes, size, &err);
    promise(document ? json_is_object(document) : err.text[0] != '\0');
    json_decref(document);
    promise(dial_parse_error(bytes, size, &err) == -1 && err.text[0] && err.code > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        read_documents((const char *)data + 1, size - 1);
    else
        converse(data + 1, size - 1);
    return 0;
}
