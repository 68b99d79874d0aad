/* A process's streams: between its pipes or terminal and its connection. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "processes.h"

static void read_output(struct process_record *record, struct output *output)
{
    int fd = output->source.fd;
    /* No more than so much at a time: others wait, too. */
    uint64_t limit = output->stream.end + AGENT_WINDOW_SIZE;
    while (fd >= 0 && stream_room(&output->stream) > 0 && output->stream.end < limit) {
        ssize_t count = stream_read_from(&output->stream, fd);
        if (count > 0 && record->is_detached)
            output->stream.consumed = output->stream.sent = output->stream.end;
        if (count > 0 || (count < 0 && errno == EINTR))
            continue;
        /* A child that it left behind may hold the pipe: the process's own output is all there. */
        if (count < 0 && errno == EAGAIN && !record->has_ended)
            break;
        process_close_source(record, &output->source); /* a terminal without a process says EIO */
        output->stream.closed = true;
        break;
    }
    if (output->source.fd >= 0)
        loop_watch(&record->guest->loop, &output->source,
                   stream_room(&output->stream) > 0 ? EPOLLIN : 0);
}

static void grant_input(struct process_record *record, size_t bytes)
{
    struct agent_window window = {AGENT_STREAM_STDIN, (uint32_t)bytes};
    if (bytes > 0 && record->connection)
        frames_send(&record->connection->frames, AGENT_WINDOW, &window, sizeof window);
}

static void write_input(struct process_record *record)
{
    struct stream *buffer = &record->input_buffer;
    size_t written = 0;
    while (!stream_is_empty(buffer)) {
        ssize_t count = -1;
        if (record->input.fd < 0 && record->channel.fd >= 0)
            break; /* its terminal isn't there yet */
        if (record->input.fd >= 0 && !record->has_ended) {
            count = stream_write_to(buffer, record->input.fd);
            if (count < 0 && errno == EAGAIN)
                break;
        }
        if (count < 0) { /* nobody will read it */
            count = (ssize_t)(buffer->end - buffer->consumed);
            buffer->consumed = buffer->end;
        }
        written += (size_t)count;
    }
    grant_input(record, written);
    if (record->input.fd < 0)
        return;
    if ((stream_is_empty(buffer) && buffer->closed && !record->terminal) || record->has_ended)
        process_close_source(record, &record->input);
    else
        loop_watch(&record->guest->loop, &record->input, stream_is_empty(buffer) ? 0 : EPOLLOUT);
}

static bool all_is_sent(struct process_record *record)
{
    bool done = true;
    for (int i = 0; i < 2; i++) {
        struct output *output = &record->outputs[i];
        if (!stream_send(&output->stream, &record->connection->frames,
                         i == 0 ? AGENT_STDOUT : AGENT_STDERR) ||
            !output->stream.closed_sent)
            done = false;
    }
    return done;
}

void process_pump(struct process_record *record)
{
    write_input(record);
    if (record->channel.fd >= 0)
        return; /* the reply comes first */
    for (int i = 0; i < 2; i++)
        read_output(record, &record->outputs[i]);
    if (record->is_detached && record->has_ended && !record->connection) {
        process_free(record);
        return;
    }
    if (!record->connection || record->exit_sent || !all_is_sent(record) || !record->has_ended)
        return;
    record->exit_sent = true;
    frames_send(&record->connection->frames, AGENT_EXIT, &record->end, sizeof record->end);
}

static void output_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    process_pump(loop_owner(source, struct output, source)->record);
}

static void input_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    process_pump(loop_owner(source, struct process_record, input));
}

/* The terminal's one descriptor is what we write to and a copy of it what we read from. */
void process_take_terminal(struct process_record *record, int master)
{
    if (record->input.fd >= 0) {
        close(master);
        return;
    }
    fcntl(master, F_SETFL, O_NONBLOCK);
    record->input.fd = master;
    record->outputs[0].source.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
    record->outputs[1].stream.closed = true;
}

void process_open_sources(struct process_record *record)
{
    record->input = (struct loop_source){.fd = -1, .ready = input_ready};
    for (int i = 0; i < 2; i++) {
        record->outputs[i].record = record;
        record->outputs[i].source = (struct loop_source){.fd = -1, .ready = output_ready};
    }
}
