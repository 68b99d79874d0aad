#include "vm/runtime/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"

#define INPUT_SIZE 16384

/* ---- from us to the guest ---- */

static void watch_input(struct relay *relay, bool wanted)
{
    descriptor_watch(&relay->from, EPOLLIN, wanted && !relay->input_ended);
}

static void end_input(struct relay *relay)
{
    relay->input_ended = true;
    descriptor_close(&relay->from);
    /* Of a terminal: whoever typed has gone; what the guest reads is not at its end. */
    if (!relay->has_terminal)
        agent_process_close_input(relay->process);
}

/* Only what the guest takes is read: the rest waits where it is. */
static void on_input(struct loop_source *source, uint32_t events)
{
    struct relay *relay = loop_owner(source, struct relay, from.source);
    char bytes[INPUT_SIZE];
    (void)events;
    if (!relay->process) {
        watch_input(relay, false);
        return;
    }
    size_t room = agent_process_room(relay->process);
    if (room == 0) {
        watch_input(relay, false);
        return;
    }
    ssize_t count = descriptor_read(&relay->from, bytes, room < sizeof bytes ? room : sizeof bytes);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return watch_input(relay, true);
    if (count <= 0)
        return end_input(relay);
    agent_process_write(relay->process, bytes, (size_t)count);
    watch_input(relay, true);
}

static void drained(void *context)
{
    watch_input(context, true);
}

/* ---- from the guest to us ---- */

static bool is_all_out(const struct relay *relay)
{
    return relay->outputs[0].length == 0 && relay->outputs[1].length == 0;
}

static void finish_if_done(struct relay *relay)
{
    if (!relay->has_ended || !is_all_out(relay))
        return;
    for (int i = 0; i < 2; i++)
        descriptor_close(&relay->outputs[i].to);
    descriptor_close(&relay->from);
    relay->finished(relay, NULL);
}

static void consumed(struct relay *relay, struct relay_output *output, size_t count)
{
    output->begin += count;
    output->length -= count;
    if (output->length == 0)
        output->begin = 0;
    if (relay->process)
        agent_process_consumed(
            relay->process,
            output == &relay->outputs[0] ? AGENT_STREAM_STDOUT : AGENT_STREAM_STDERR, count);
}

/* Nobody reads any more: the process isn't told, as behind a pipe that somebody else holds, but
 * doesn't wait either. */
static void discard(struct relay *relay, struct relay_output *output)
{
    consumed(relay, output, output->length);
    descriptor_close(&output->to);
}

static void pass_on(struct relay *relay, struct relay_output *output)
{
    while (output->length > 0 && output->to.source.fd >= 0) {
        ssize_t count =
            descriptor_write(&output->to, output->bytes + output->begin, output->length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            break;
        if (count < 0)
            discard(relay, output);
        else
            consumed(relay, output, (size_t)count);
    }
    if (output->to.source.fd < 0 && output->length > 0)
        consumed(relay, output, output->length);
    descriptor_watch(&output->to, EPOLLOUT, output->length > 0);
    if (output->has_ended && output->length == 0)
        descriptor_close(&output->to);
    finish_if_done(relay);
}

static void on_first_output(struct loop_source *source, uint32_t events)
{
    struct relay *relay = loop_owner(source, struct relay, outputs[0].to.source);
    (void)events;
    pass_on(relay, &relay->outputs[0]);
}

static void on_second_output(struct loop_source *source, uint32_t events)
{
    struct relay *relay = loop_owner(source, struct relay, outputs[1].to.source);
    (void)events;
    pass_on(relay, &relay->outputs[1]);
}

/* At most a window is on its way, and there is room for it. */
static void take_output(void *context, enum agent_stream_number stream, const char *bytes,
                        size_t length)
{
    struct relay *relay = context;
    struct relay_output *output = &relay->outputs[stream == AGENT_STREAM_STDERR];
    if (length == 0)
        output->has_ended = true;
    if (output->begin + output->length + length > AGENT_WINDOW_SIZE) {
        memmove(output->bytes, output->bytes + output->begin, output->length);
        output->begin = 0;
    }
    memcpy(output->bytes + output->begin + output->length, bytes, length);
    output->length += length;
    pass_on(relay, output);
}

/* ---- its life ---- */

static void started(void *context, pid_t pid)
{
    struct relay *relay = context;
    (void)pid;
    relay_resize(relay);
    watch_input(relay, true);
    relay->started(relay, NULL);
}

static void ended(void *context, int status, int signal, const struct error *err, bool is_lost)
{
    struct relay *relay = context;
    (void)signal;
    relay->process = NULL;
    watch_input(relay, false);
    if (err && is_lost)
        return relay->finished(relay, err);
    if (err)
        return relay->started(relay, err);
    relay->status = status;
    relay->has_ended = true;
    finish_if_done(relay);
}

const struct agent_process_events relay_events = {
    .started = started, .output = take_output, .drained = drained, .ended = ended};

void relay_open(struct relay *relay, struct loop *loop, bool has_terminal)
{
    relay->loop = loop;
    relay->has_terminal = has_terminal;
    relay->outputs[0].bytes = memory_allocate(AGENT_WINDOW_SIZE, 1);
    relay->outputs[1].bytes = memory_allocate(AGENT_WINDOW_SIZE, 1);
    descriptor_open(&relay->from, loop, STDIN_FILENO, EPOLLIN, on_input);
    descriptor_open(&relay->outputs[0].to, loop, STDOUT_FILENO, EPOLLOUT, on_first_output);
    descriptor_open(&relay->outputs[1].to, loop, STDERR_FILENO, EPOLLOUT, on_second_output);
}

void relay_resize(struct relay *relay)
{
    struct winsize size;
    if (relay->has_terminal && relay->process && relay->from.source.fd >= 0 &&
        ioctl(relay->from.source.fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        agent_process_resize(relay->process, size.ws_row, size.ws_col);
}

void relay_signal(struct relay *relay, int number)
{
    if (relay->process)
        agent_process_signal(relay->process, number);
}
