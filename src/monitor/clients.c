#include "monitor/clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"
#include "monitor/protocol.h"

#define STALL_MS 10000
#define SOCKET_NAME "control"

struct chunk {
    struct chunk *next;
    struct monitor_packet_header header;
    size_t length;
    char bytes[];
};

static int wanted_flag(uint32_t packet_type)
{
    return packet_type == MONITOR_REPLY_STDERR ? MONITOR_ATTACH_STDERR : MONITOR_ATTACH_STDOUT;
}

/* ---- one client ---- */

static void update_events(struct client *client)
{
    bool reads =
        !(client->flags & MONITOR_ATTACH_STDIN) || client->clients->takes_input(client->clients);
    bool writes = client->behind || client->owed_exit;
    loop_watch(client->clients->loop, &client->source,
               (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0));
}

static void drop_chunks(struct clients *clients)
{
    while (clients->chunks) {
        for (struct client *client = clients->first; client; client = client->next) {
            if (client->behind == clients->chunks)
                return;
        }
        struct chunk *chunk = clients->chunks;
        clients->chunks = chunk->next;
        free(chunk);
    }
    clients->chunks_end = &clients->chunks;
}

static void close_client(struct client *client)
{
    struct clients *clients = client->clients;
    bool had_input = client->flags & MONITOR_ATTACH_STDIN;
    for (struct client **at = &clients->first; *at; at = &(*at)->next) {
        if (*at == client) {
            *at = client->next;
            break;
        }
    }
    loop_watch(clients->loop, &client->source, 0);
    close(client->source.fd);
    free(client);
    clients->count--;
    if (clients->listener.fd >= 0)
        loop_watch(clients->loop, &clients->listener, EPOLLIN);
    drop_chunks(clients);
    if (had_input)
        clients->input_lost(clients);
    if (!clients_are_behind(clients))
        clients->caught_up(clients);
}

/* Sends what the client hasn't got yet, as far as its socket takes it; false if it is gone. */
static bool catch_up(struct client *client)
{
    struct monitor_packet_header exited = {MONITOR_REPLY_EXITED, {client->exit_code}};
    int result = 0;
    while (result == 0 && (client->behind || client->owed_exit)) {
        const struct chunk *chunk = client->behind;
        if (!chunk)
            result = protocol_send(client->source.fd, &exited, NULL, 0, MSG_DONTWAIT);
        else if (client->streams & wanted_flag(chunk->header.type))
            result = protocol_send(client->source.fd, &chunk->header, chunk->bytes, chunk->length,
                                   MSG_DONTWAIT);
        if (result < 0)
            break;
        client->behind_since = loop_now();
        if (!chunk)
            client->owed_exit = false;
        else
            client->behind = chunk == client->last ? NULL : chunk->next;
    }
    return result == 0 || errno == EAGAIN || errno == EWOULDBLOCK;
}

static void send_more(struct client *client)
{
    struct clients *clients = client->clients;
    if (!catch_up(client)) {
        close_client(client);
        return;
    }
    update_events(client);
    drop_chunks(clients);
    if (!clients_are_behind(clients))
        clients->caught_up(clients);
}

static void read_request(struct client *client)
{
    struct monitor_packet packet;
    ssize_t size = protocol_receive(client->source.fd, &packet, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (size <= 0 || protocol_check_request(&packet, (size_t)size) < 0 ||
        !client->clients->requested(client->clients, client, &packet))
        close_client(client);
}

static void serve_client(struct loop_source *source, uint32_t events)
{
    struct client *client = loop_owner(source, struct client, source);
    if (events & EPOLLOUT)
        send_more(client);
    else
        read_request(client);
}

void client_answer(struct client *client, const struct error *err, int exit_code)
{
    struct monitor_packet_header header = {MONITOR_REPLY_OK, {0}};
    client->request = 0;
    if (err)
        header = (struct monitor_packet_header){MONITOR_REPLY_ERROR, {err->code, exit_code}};
    /* A client that doesn't read its answers gets none; it is closed when it is gone. */
    protocol_send(client->source.fd, &header, err ? err->text : NULL, err ? strlen(err->text) : 0,
                  MSG_DONTWAIT);
}

/* ---- all of them ---- */

void clients_answer(struct clients *clients, uint32_t request, const struct error *err,
                    int exit_code)
{
    for (struct client *client = clients->first; client; client = client->next) {
        if (client->request == request)
            client_answer(client, err, exit_code);
    }
}

/* For a chunk that at least one client is behind with. */
static struct chunk *queue_chunk(struct clients *clients,
                                 const struct monitor_packet_header *header, const char *bytes,
                                 size_t count)
{
    struct chunk *chunk = memory_allocate(1, sizeof *chunk + count);
    chunk->header = *header;
    chunk->length = count;
    memcpy(chunk->bytes, bytes, count);
    *clients->chunks_end = chunk;
    clients->chunks_end = &chunk->next;
    return chunk;
}

void clients_send_output(struct clients *clients, int stream, const char *bytes, size_t count)
{
    struct monitor_packet_header header = {
        stream == 2 ? MONITOR_REPLY_STDERR : MONITOR_REPLY_STDOUT, {0}};
    bool some_behind = clients_are_behind(clients);
    struct chunk *chunk = NULL;
    for (struct client *client = clients->first, *next; client; client = next) {
        next = client->next;
        if (!(client->flags & wanted_flag(header.type)) || client->behind)
            continue;
        if (protocol_send(client->source.fd, &header, bytes, count, MSG_DONTWAIT) == 0)
            continue;
        /* One that is gone is closed when its hangup is read. */
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            continue;
        if (!chunk)
            chunk = queue_chunk(clients, &header, bytes, count);
        client->behind = chunk;
        client->behind_since = loop_now();
        update_events(client);
    }
    /* Those who were behind before find it after what they miss. */
    if (!chunk && some_behind)
        queue_chunk(clients, &header, bytes, count);
    if (clients->chunks && !clients->stall.armed)
        loop_timer_set(clients->loop, &clients->stall, STALL_MS);
}

bool clients_are_behind(const struct clients *clients)
{
    for (const struct client *client = clients->first; client; client = client->next) {
        if (client->flags && client->behind)
            return true;
    }
    return false;
}

bool clients_are_owed(const struct clients *clients)
{
    for (const struct client *client = clients->first; client; client = client->next) {
        if (client->behind || client->owed_exit)
            return true;
    }
    return false;
}

static void drop_stalled(struct loop_timer *timer)
{
    struct clients *clients = loop_owner(timer, struct clients, stall);
    int64_t now = loop_now();
    for (struct client *client = clients->first, *next; client; client = next) {
        next = client->next;
        if ((client->behind || client->owed_exit) && !client->lossless &&
            now - client->behind_since >= STALL_MS)
            close_client(client);
    }
    if (clients_are_owed(clients))
        loop_timer_set(clients->loop, timer, STALL_MS / 4);
}

static void tell_exit(struct client *client, int exit_code, bool final)
{
    if (client->behind)
        client->last = loop_owner(client->clients->chunks_end, struct chunk, next);
    /* One that is restarted doesn't keep output for ever. */
    client->lossless = client->lossless && final;
    client->exit_code = exit_code;
    client->owed_exit = true;
    client->behind_since = loop_now();
    client->flags = 0;
    catch_up(client); /* one that is gone is closed when its hangup is read */
    update_events(client);
}

void clients_tell_exit(struct clients *clients, int exit_code, bool final)
{
    for (struct client *client = clients->first; client; client = client->next) {
        bool waits = client->request == MONITOR_REQUEST_WAIT && (final || client->waits_next);
        if (waits)
            client->request = 0;
        if (waits || client->flags)
            tell_exit(client, exit_code, final);
    }
    drop_chunks(clients);
    if (clients_are_owed(clients) && !clients->stall.armed)
        loop_timer_set(clients->loop, &clients->stall, STALL_MS);
}

void clients_watch_input(struct clients *clients)
{
    for (struct client *client = clients->first; client; client = client->next)
        update_events(client);
}

/* ---- the socket ---- */

static bool is_ours(int connection)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void accept_client(struct loop_source *source, uint32_t events)
{
    struct clients *clients = loop_owner(source, struct clients, listener);
    (void)events;
    scope_close int connection = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0 || !is_ours(connection))
        return;
    struct client *client = memory_allocate(1, sizeof *client);
    client->source = (struct loop_source){.fd = scope_take_fd(&connection), .ready = serve_client};
    client->clients = clients;
    client->next = clients->first;
    clients->first = client;
    update_events(client);
    /* Others wait in the socket's backlog. */
    if (++clients->count >= MONITOR_MAX_CLIENTS)
        loop_watch(clients->loop, source, 0);
}

int clients_open(struct clients *clients, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET_NAME};
    clients->chunks_end = &clients->chunks;
    clients->stall.expired = drop_stalled;
    unlink(SOCKET_NAME);
    scope_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177);
    int result =
        fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64);
    umask(mask);
    if (result)
        return error_set(err, errno, "can't make the monitor's socket");
    clients->listener = (struct loop_source){.fd = scope_take_fd(&fd), .ready = accept_client};
    loop_watch(clients->loop, &clients->listener, EPOLLIN);
    return 0;
}

void clients_stop_listening(struct clients *clients)
{
    if (clients->listener.fd < 0)
        return;
    unlink(SOCKET_NAME);
    loop_watch(clients->loop, &clients->listener, 0);
    close(clients->listener.fd);
    clients->listener.fd = -1;
}

void clients_close_idle(struct clients *clients)
{
    for (struct client *client = clients->first, *next; client; client = next) {
        next = client->next;
        if (!client->behind && !client->owed_exit)
            close_client(client);
    }
}

void clients_close(struct clients *clients)
{
    clients_stop_listening(clients);
    while (clients->first)
        close_client(clients->first);
}
