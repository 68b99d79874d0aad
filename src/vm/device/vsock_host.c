#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "vm/device/vsock.h"
#include "vm/log.h"

#define FIRST_HOST_PORT (1u << 30)
#define ACCEPT_AGAIN 1000 /* ms after the host was short of descriptors or memory */
#define PORT_DIGITS 10

static void on_connected(struct loop_source *source, uint32_t events)
{
    struct vsock *vsock = loop_owner(source, struct vsock, listener);
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        vm_log(VM_LOG_WARNING, "vsock", "%s: can't take a connection: %s", vsock->device.id,
               strerror(errno));
        loop_watch(vsock->device.loop, source, 0);
        loop_timer_set(vsock->device.loop, &vsock->listen_again, ACCEPT_AGAIN);
        return;
    }
    struct vsock_connection *connection = vsock_connection_add(vsock, fd, VSOCK_GREETING);
    if (connection)
        vsock_connection_watch(connection);
}

static void on_listen_again(struct loop_timer *timer)
{
    vsock_listen_on(loop_owner(timer, struct vsock, listen_again));
}

int vsock_bind(struct vsock *vsock, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(vsock->path) + 1 + PORT_DIGITS >= sizeof address.sun_path)
        return error_set(err, 0, "the vsock's socket %s has too long a path (at most %zu bytes)",
                         vsock->path, sizeof address.sun_path - PORT_DIGITS - 2);
    strcpy(address.sun_path, vsock->path);
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, errno, "can't make a Unix socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return error_set(err, errno, "can't bind the vsock's socket %s%s", vsock->path,
                         errno == EADDRINUSE ? " (remove it, if no machine uses it)" : "");
    if (listen(fd, SOMAXCONN) < 0) {
        error_set(err, errno, "can't listen on the vsock's socket %s", vsock->path);
        unlink(vsock->path);
        return -1;
    }
    vsock->listener = (struct loop_source){.fd = scope_take_fd(&fd), .ready = on_connected};
    vsock->listen_again.expired = on_listen_again;
    vsock->last_port = FIRST_HOST_PORT - 1;
    return 0;
}

void vsock_unbind(struct vsock *vsock)
{
    close(vsock->listener.fd);
    unlink(vsock->path);
}

void vsock_listen(struct vsock *vsock, bool on)
{
    vsock->listening = on;
    loop_timer_cancel(vsock->device.loop, &vsock->listen_again);
    vsock_listen_on(vsock);
}

void vsock_listen_on(struct vsock *vsock)
{
    bool on = vsock->listening && vsock->count < VSOCK_CONNECTIONS_MAX;
    if (!vsock->listen_again.armed)
        loop_watch(vsock->device.loop, &vsock->listener, on ? EPOLLIN : 0);
}

/* Reads the line "CONNECT PORT", and not a byte more, as far as it is there: 1 if it is all there,
 * 0 if not yet, -1 if it is something else. */
static int read_greeting(struct vsock_connection *connection, uint32_t *port)
{
    char *line = connection->greeting;
    size_t had = connection->greeting_length;
    int64_t number;
    ssize_t got = recv(connection->source.fd, line + had, sizeof connection->greeting - had - 1,
                       MSG_PEEK | MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    char *end = memchr(line + had, '\n', (size_t)got);
    size_t taken = end ? (size_t)(end - line) + 1 - had : (size_t)got;
    if (recv(connection->source.fd, line + had, taken, MSG_DONTWAIT) != (ssize_t)taken)
        return -1;
    connection->greeting_length = had + taken;
    if (!end)
        return connection->greeting_length < sizeof connection->greeting - 1 ? 0 : -1;
    *end = '\0';
    if (strncmp(line, "CONNECT ", 8) != 0 ||
        !quantity_read_integer(line + 8, 0, UINT32_MAX, &number))
        return -1;
    *port = (uint32_t)number;
    return 1;
}

/* A port that no connection to the guest's port has. */
static uint32_t choose_port(struct vsock *vsock, uint32_t guest_port)
{
    do {
        vsock->last_port++;
        if (vsock->last_port < FIRST_HOST_PORT || vsock->last_port == UINT32_MAX)
            vsock->last_port = FIRST_HOST_PORT;
    } while (vsock_connection_find(vsock, vsock->last_port, guest_port));
    return vsock->last_port;
}

void vsock_greeted(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;
    uint32_t port;
    int status = read_greeting(connection, &port);
    if (status == 0)
        return;
    if (status < 0) {
        vsock->metrics.connections_refused++;
        vsock_connection_free(connection);
        return;
    }
    connection->state = VSOCK_REQUESTED;
    vsock_connection_name(connection, choose_port(vsock, port), port);
    vsock_connection_pend(connection, VSOCK_PENDING_REQUEST);
    vsock_connection_watch(connection);
}

int vsock_dial(struct vsock *vsock, uint32_t port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s_%u", vsock->path, port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return scope_take_fd(&fd);
}
