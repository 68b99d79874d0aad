/* Datagrams: each client of a port gets a socket towards the container, so that answers find back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "network/port_forward.h"

#define CLIENTS 4096 /* more aren't served until one is silent for long */
#define SILENCE_MILLISECONDS 90000
#define DATAGRAM_SIZE 65536
#define BATCH 32

struct udp_port {
    struct forward_source source;
    struct forwarder *forwarder;
    int fd;
    struct forward_target target;
};

struct forward_client {
    struct forward_source source;
    struct udp_port *port;
    int fd;
    struct sockaddr_storage address;
    socklen_t length;
    int64_t last; /* ms */
    struct forward_client *next, *previous;
};

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void unlink_client(struct forwarder *forwarder, struct forward_client *client)
{
    if (client->previous)
        client->previous->next = client->next;
    else
        forwarder->clients = client->next;
    if (client->next)
        client->next->previous = client->previous;
}

static void put_first(struct forwarder *forwarder, struct forward_client *client)
{
    client->previous = NULL;
    client->next = forwarder->clients;
    if (client->next)
        client->next->previous = client;
    forwarder->clients = client;
}

static void end_client(struct forwarder *forwarder, struct forward_client *client)
{
    unlink_client(forwarder, client);
    forwarder->client_count--;
    scope_close_fd(&client->fd);
    free(client);
}

static struct forward_client *last_client(struct forwarder *forwarder)
{
    struct forward_client *client = forwarder->clients;
    while (client && client->next)
        client = client->next;
    return client;
}

int forward_expire_udp(struct forwarder *forwarder)
{
    struct forward_client *client;
    while ((client = last_client(forwarder))) {
        int64_t left = client->last + SILENCE_MILLISECONDS - now();
        if (left > 0)
            return (int)left;
        end_client(forwarder, client);
    }
    return -1;
}

static void client_ready(struct forward_source *source, uint32_t events)
{
    struct forward_client *client = (struct forward_client *)source;
    static char datagram[DATAGRAM_SIZE]; /* of this one thread */
    (void)events;
    for (int i = 0; i < BATCH; i++) {
        ssize_t length = recv(client->fd, datagram, sizeof datagram, 0);
        if (length < 0)
            return; /* none left, or the container refused: the client may try again */
        sendto(client->port->fd, datagram, (size_t)length, 0,
               (const struct sockaddr *)&client->address, client->length);
    }
    client->last = now();
}

static struct forward_client *find_client(struct udp_port *port,
                                          const struct sockaddr_storage *address, socklen_t length)
{
    for (struct forward_client *client = port->forwarder->clients; client; client = client->next)
        if (client->port == port && client->length == length &&
            memcmp(&client->address, address, length) == 0)
            return client;
    return NULL;
}

static struct forward_client *make_client(struct udp_port *port,
                                          const struct sockaddr_storage *address, socklen_t length)
{
    struct forwarder *forwarder = port->forwarder;
    if (forwarder->client_count >= CLIENTS)
        return NULL;
    scope_close int fd =
        socket(port->target.address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)&port->target.address, port->target.length) < 0)
        return NULL;
    struct forward_client *client = memory_allocate(1, sizeof *client);
    *client = (struct forward_client){.source.ready = client_ready,
                                      .port = port,
                                      .fd = fd,
                                      .address = *address,
                                      .length = length};
    if (forward_watch(forwarder, fd, &client->source, EPOLLIN, NULL) < 0) {
        free(client);
        return NULL;
    }
    (void)scope_take_fd(&fd);
    forwarder->client_count++;
    put_first(forwarder, client);
    return client;
}

static void port_ready(struct forward_source *source, uint32_t events)
{
    struct udp_port *port = (struct udp_port *)source;
    static char datagram[DATAGRAM_SIZE];
    (void)events;
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_storage address = {0};
        socklen_t length = sizeof address;
        ssize_t size =
            recvfrom(port->fd, datagram, sizeof datagram, 0, (struct sockaddr *)&address, &length);
        if (size < 0)
            return;
        struct forward_client *client = find_client(port, &address, length);
        if (!client)
            client = make_client(port, &address, length);
        if (!client)
            continue;
        client->last = now();
        unlink_client(port->forwarder, client);
        put_first(port->forwarder, client);
        send(client->fd, datagram, (size_t)size, 0);
    }
}

int forward_add_udp(struct forwarder *forwarder, int fd, const struct forward_target *target,
                    struct error *err)
{
    struct udp_port *port = memory_allocate(1, sizeof *port);
    *port = (struct udp_port){
        .source.ready = port_ready, .forwarder = forwarder, .fd = fd, .target = *target};
    return forward_watch(forwarder, fd, &port->source, EPOLLIN, err);
}
