#include "vm_net_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"

struct net_socket {
    struct net_backend backend;
    struct loop *loop;
    struct loop_source source;
    bool is_gone; /* the other end was closed */
};

static struct net_socket *socket_of(struct net_backend *backend)
{
    return (struct net_socket *)backend;
}

static void on_ready(struct loop_source *source, uint32_t events)
{
    struct net_socket *peer = loop_owner(source, struct net_socket, source);
    peer->backend.ready(&peer->backend, events & (EPOLLIN | EPOLLERR | EPOLLHUP),
                        events & EPOLLOUT);
}

static void attach(struct net_backend *backend, struct loop *loop)
{
    socket_of(backend)->loop = loop;
}

static int send_packet(struct net_backend *backend, const struct iovec *parts, unsigned count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    return sendmsg(socket_of(backend)->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1
                                                                                             : 0;
}

static ssize_t receive(struct net_backend *backend, const struct iovec *parts, unsigned count)
{
    struct net_socket *peer = socket_of(backend);
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t got = recvmsg(peer->source.fd, &message, MSG_DONTWAIT);
    if (got > 0)
        return got;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    peer->is_gone = true;
    loop_watch(peer->loop, &peer->source, 0);
    return -1;
}

static void watch(struct net_backend *backend, bool receive_too, bool send_too)
{
    struct net_socket *peer = socket_of(backend);
    uint32_t events = (receive_too ? EPOLLIN : 0u) | (send_too ? EPOLLOUT : 0u);
    loop_watch(peer->loop, &peer->source, peer->is_gone ? 0 : events);
}

static void release(struct net_backend *backend)
{
    close(socket_of(backend)->source.fd);
    free(backend);
}

static const struct net_backend_operations operations = {.name = "socket",
                                                         .attach = attach,
                                                         .send = send_packet,
                                                         .receive = receive,
                                                         .watch = watch,
                                                         .release = release};

struct net_backend *net_socket_open(int fd)
{
    struct net_socket *peer = memory_allocate(1, sizeof *peer);
    peer->backend.operations = &operations;
    /* What is said of a packet's checksum and segments goes to the other end with it. */
    peer->backend.features =
        NET_CSUM | NET_GUEST_CSUM | NET_GUEST_TSO4 | NET_GUEST_TSO6 | NET_HOST_TSO4 | NET_HOST_TSO6;
    peer->source = (struct loop_source){.fd = fd, .ready = on_ready};
    return &peer->backend;
}
