/* Questions by TCP (RFC 1035 4.2.2: two bytes of length, then the message): answered from what hull
 * knows, or passed on to an upstream server by TCP; one at a time on each connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/dns_server.h"

#define STREAMS 256 /* at once */
#define SILENCE_MILLISECONDS 10000
#define MESSAGE_SIZE (2 + 65535)

enum stream_state { READING_QUERY, WRITING_UPSTREAM, READING_UPSTREAM, WRITING_ANSWER };

struct dns_stream {
    struct dns_source source;
    struct dns_listener *listener;
    struct dns_stream *next;
    enum stream_state state;
    int client, upstream;
    size_t tries;
    int64_t deadline;
    uint8_t *query, *message; /* both with their length before them */
    size_t done;              /* bytes of what is read or written now */
};

static void free_stream(struct dns_server *server, struct dns_stream *stream)
{
    server->stream_count--;
    scope_close_fd(&stream->client);
    scope_close_fd(&stream->upstream);
    free(stream->query);
    free(stream->message);
    free(stream);
}

static void end_stream(struct dns_stream *stream)
{
    struct dns_server *server = stream->listener->server;
    for (struct dns_stream **at = &server->streams; *at; at = &(*at)->next) {
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    }
    free_stream(server, stream);
}

void dns_stream_end_of(struct dns_server *server, const struct dns_listener *listener)
{
    for (struct dns_stream **at = &server->streams; *at;) {
        struct dns_stream *stream = *at;
        if (stream->listener != listener) {
            at = &stream->next;
            continue;
        }
        *at = stream->next;
        free_stream(server, stream);
    }
}

int dns_stream_expire(struct dns_server *server)
{
    int64_t now = dns_now(), soonest = -1;
    for (struct dns_stream *stream = server->streams, *next; stream; stream = next) {
        next = stream->next;
        if (stream->deadline <= now) {
            end_stream(stream);
            continue;
        }
        int64_t left = stream->deadline - now;
        if (soonest < 0 || left < soonest)
            soonest = left;
    }
    return (int)soonest;
}

static size_t message_length(const uint8_t *message)
{
    return 2 + ((size_t)message[0] << 8 | message[1]);
}

static void set_state(struct dns_stream *stream, enum stream_state state)
{
    bool upstream = state == WRITING_UPSTREAM || state == READING_UPSTREAM;
    bool writing = state == WRITING_UPSTREAM || state == WRITING_ANSWER;
    struct dns_server *server = stream->listener->server;
    stream->state = state;
    stream->done = 0;
    stream->deadline = dns_now() + SILENCE_MILLISECONDS;
    /* The other one isn't watched meanwhile. */
    if (upstream)
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, stream->client, NULL);
    dns_watch(server, upstream ? stream->upstream : stream->client, &stream->source,
              writing ? EPOLLOUT : EPOLLIN);
}

/* 1: the whole message is there, 0: not yet, -1: the end */
static int read_message(struct dns_stream *stream, int fd, uint8_t *message)
{
    size_t wanted = stream->done < 2 ? 2 : message_length(message);
    ssize_t count = read(fd, message + stream->done, wanted - stream->done);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (count == 0)
        return -1;
    stream->done += (size_t)count;
    return stream->done >= 2 && stream->done == message_length(message);
}

static int write_message(struct dns_stream *stream, int fd, const uint8_t *message)
{
    size_t wanted = message_length(message);
    ssize_t count = send(fd, message + stream->done, wanted - stream->done, MSG_NOSIGNAL);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    stream->done += (size_t)count;
    return stream->done == wanted;
}

static void write_answer(struct dns_stream *stream, size_t length)
{
    stream->message[0] = (uint8_t)(length >> 8);
    stream->message[1] = (uint8_t)length;
    scope_close_fd(&stream->upstream);
    stream->upstream = -1;
    set_state(stream, WRITING_ANSWER);
}

static void give_up(struct dns_stream *stream)
{
    struct dns_question question;
    dns_parse_query(stream->query + 2, message_length(stream->query) - 2, &question);
    write_answer(stream, dns_compose_code(stream->query + 2, &question, DNS_SERVFAIL,
                                          stream->message + 2, MESSAGE_SIZE - 2));
}

static void ask_next(struct dns_stream *stream)
{
    const struct dns_upstream *upstreams;
    size_t count =
        dns_server_upstreams(stream->listener->server, stream->listener->container, &upstreams);
    while (stream->tries < count) {
        const struct dns_upstream *upstream = &upstreams[stream->tries++];
        scope_close_fd(&stream->upstream);
        stream->upstream =
            socket(upstream->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (stream->upstream >= 0 &&
            (connect(stream->upstream, (const struct sockaddr *)&upstream->address,
                     upstream->length) == 0 ||
             errno == EINPROGRESS)) {
            set_state(stream, WRITING_UPSTREAM);
            return;
        }
    }
    give_up(stream);
}

static void query_read(struct dns_stream *stream)
{
    struct dns_question question;
    ssize_t length =
        dns_server_answer(stream->listener, stream->query + 2, message_length(stream->query) - 2,
                          &question, stream->message + 2, MESSAGE_SIZE - 2);
    stream->tries = 0;
    if (length < 0)
        end_stream(stream);
    else if (length > 0)
        write_answer(stream, (size_t)length);
    else
        ask_next(stream);
}

static void answer_read(struct dns_stream *stream)
{
    size_t length = message_length(stream->message) - 2;
    if (dns_is_answer(stream->query + 2, message_length(stream->query) - 2, stream->message + 2,
                      length))
        write_answer(stream, length);
    else
        ask_next(stream);
}

static void stream_ready(struct dns_source *source, uint32_t events)
{
    struct dns_stream *stream = (struct dns_stream *)source;
    int result;
    (void)events;
    switch (stream->state) {
    case READING_QUERY:
        result = read_message(stream, stream->client, stream->query);
        if (result < 0)
            end_stream(stream);
        else if (result == 1)
            query_read(stream);
        return;
    case WRITING_UPSTREAM:
        result = write_message(stream, stream->upstream, stream->query);
        if (result < 0)
            ask_next(stream);
        else if (result == 1)
            set_state(stream, READING_UPSTREAM);
        return;
    case READING_UPSTREAM:
        result = read_message(stream, stream->upstream, stream->message);
        if (result < 0)
            ask_next(stream);
        else if (result == 1)
            answer_read(stream);
        return;
    case WRITING_ANSWER:
        result = write_message(stream, stream->client, stream->message);
        if (result < 0)
            end_stream(stream);
        else if (result == 1)
            set_state(stream, READING_QUERY);
        return;
    }
}

void dns_stream_accept(struct dns_listener *listener)
{
    struct dns_server *server = listener->server;
    scope_close int client = accept4(listener->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0 || server->stream_count >= STREAMS)
        return;
    struct dns_stream *stream = memory_allocate(1, sizeof *stream);
    *stream = (struct dns_stream){.source.ready = stream_ready,
                                  .listener = listener,
                                  .next = server->streams,
                                  .client = scope_take_fd(&client),
                                  .upstream = -1,
                                  .query = memory_allocate(1, MESSAGE_SIZE),
                                  .message = memory_allocate(1, MESSAGE_SIZE)};
    server->streams = stream;
    server->stream_count++;
    set_state(stream, READING_QUERY);
}
