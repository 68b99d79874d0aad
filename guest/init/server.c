/* The socket that the host connects to, and its connections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/memory.h"
#include "base/scope.h"
#include "guest.h"

#define MAX_CONNECTIONS 256

void connection_close(struct connection *connection)
{
    struct guest *guest = connection->guest;
    for (struct connection **at = &guest->connections; *at; at = &(*at)->next) {
        if (*at == connection) {
            *at = connection->next;
            break;
        }
    }
    if (connection->process)
        process_detach(connection->process);
    frames_close(&connection->frames);
    free(connection);
    guest->connection_count--;
    loop_watch(&guest->loop, &guest->listener, EPOLLIN);
}

void connection_reply(struct connection *connection, json_t *reply)
{
    scope_free char *text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    size_t length = text ? strlen(text) : 0;
    if (length > AGENT_DOCUMENT_LIMIT)
        length = 0; /* which is no document: the host says that it can't read it */
    frames_send(&connection->frames, AGENT_REPLY, text, length);
}

void connection_fail(struct connection *connection, const struct error *err)
{
    json_t *document =
        json_pack("{s:s%, s:i}", "error", err->text, strnlen(err->text, 1000), "code", err->code);
    /* A text that is no UTF-8 (a path) can't be a JSON string. */
    if (!document)
        document =
            json_pack("{s:s, s:i}", "error", "the reason can't be written", "code", err->code);
    scope_free char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    frames_send(&connection->frames, AGENT_ERROR, text, strlen(text));
}

static void receive(struct frames *frames, unsigned int type, char *bytes, size_t length)
{
    struct connection *connection = loop_owner(frames, struct connection, frames);
    if (type == AGENT_REQUEST && !connection->process)
        request_serve(connection, bytes, length);
    else if (!connection->process || !process_receive(connection->process, type, bytes, length))
        connection_close(connection);
}

static void have_sent(struct frames *frames)
{
    struct connection *connection = loop_owner(frames, struct connection, frames);
    if (connection->process)
        process_sent(connection->process);
}

static void have_ended(struct frames *frames, const struct error *err)
{
    (void)err;
    connection_close(loop_owner(frames, struct connection, frames));
}

/* A test's host side asks for the port as it would ask the machine monitor. */
static void greet(struct frames *frames, char *line)
{
    struct connection *connection = loop_owner(frames, struct connection, frames);
    if (strncmp(line, "CONNECT ", 8) == 0)
        frames_send_text(frames, "OK 1073741824\n");
    else
        connection_close(connection);
}

static void accept_connection(struct loop_source *source, uint32_t events)
{
    struct guest *guest = loop_owner(source, struct guest, listener);
    struct sockaddr_vm peer = {0};
    socklen_t length = sizeof peer;
    (void)events;
    int fd = accept4(source->fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    /* The container could connect, too, where the kernel has a loopback. */
    if (guest->is_machine && peer.svm_cid != VMADDR_CID_HOST) {
        close(fd);
        return;
    }
    struct connection *connection = memory_allocate(1, sizeof *connection);
    connection->guest = guest;
    connection->frames.greets = !guest->is_machine;
    connection->frames.greeted = greet;
    connection->frames.received = receive;
    connection->frames.sent = have_sent;
    connection->frames.ended = have_ended;
    connection->next = guest->connections;
    guest->connections = connection;
    frames_open(&connection->frames, &guest->loop, fd);
    /* Others wait. */
    if (++guest->connection_count >= MAX_CONNECTIONS)
        loop_watch(&guest->loop, source, 0);
}

int server_listen(struct guest *guest, struct error *err)
{
    int fd = guest->listener_fd;
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_port = guest->port, .svm_cid = VMADDR_CID_ANY};
    if (fd < 0) {
        fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
            listen(fd, 64) < 0)
            return error_set(err, errno,
                             "can't listen on port %u of vsock (is the driver in the initrd?)",
                             guest->port);
    }
    guest->listener = (struct loop_source){.fd = fd, .ready = accept_connection};
    loop_watch(&guest->loop, &guest->listener, EPOLLIN);
    return 0;
}
