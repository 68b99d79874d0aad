#include "network/port_forward.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

#define EVENTS 64
#define CHUNK ((size_t)1 << 18)
/* Rounds of one connection before another has its turn. */
#define ROUNDS 16

struct forward_listener {
    struct forward_source source;
    struct forwarder *forwarder;
    int fd;
    struct forward_target target;
    struct forward_listener *next_paused;
};

/* One direction: bytes go from a socket to the other through a pipe, without being copied. */
struct flow {
    int from, to;
    int pipe[2];
    size_t queued;
    bool ended;  /* from has said its last */
    bool closed; /* and to has been told */
};

struct forward_connection {
    struct forward_source source;
    struct forwarder *forwarder;
    struct flow flows[2];
    bool connected, is_busy, is_dead;
    struct forward_connection *next; /* busy, or dead */
};

int forward_watch(struct forwarder *forwarder, int fd, struct forward_source *source,
                  uint32_t events, struct error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(forwarder->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_set(err, errno, "can't watch a socket");
    return 0;
}

static void resume(struct forwarder *forwarder)
{
    while (forwarder->paused) {
        struct forward_listener *listener = forwarder->paused;
        forwarder->paused = listener->next_paused;
        forward_watch(forwarder, listener->fd, &listener->source, EPOLLIN, NULL);
    }
}

static void end_connection(struct forward_connection *connection)
{
    struct forwarder *forwarder = connection->forwarder;
    if (connection->is_dead)
        return;
    connection->is_dead = true;
    for (int i = 0; i < 2; i++) {
        scope_close_fd(&connection->flows[i].from);
        scope_close_fd(&connection->flows[i].pipe[0]);
        scope_close_fd(&connection->flows[i].pipe[1]);
    }
    if (!connection->is_busy) {
        connection->next = forwarder->dead;
        forwarder->dead = connection;
    }
    resume(forwarder);
}

enum progress { BLOCKED, MOVED, BROKEN };

static enum progress move(int from, int to, size_t *count)
{
    ssize_t moved;
    do {
        moved = splice(from, NULL, to, NULL, *count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (moved < 0 && errno == EINTR);
    *count = moved > 0 ? (size_t)moved : 0;
    if (moved >= 0)
        return MOVED;
    return errno == EAGAIN ? BLOCKED : BROKEN;
}

static enum progress pump_once(struct flow *flow)
{
    enum progress result = BLOCKED;
    size_t count = CHUNK;
    if (!flow->ended && flow->queued < CHUNK) {
        enum progress taken = move(flow->from, flow->pipe[1], &count);
        if (taken == BROKEN)
            return BROKEN;
        flow->ended = taken == MOVED && count == 0;
        flow->queued += taken == MOVED ? count : 0;
        result = taken;
    }
    if (flow->queued > 0) {
        count = flow->queued;
        enum progress given = move(flow->pipe[0], flow->to, &count);
        if (given == BROKEN)
            return BROKEN;
        flow->queued -= given == MOVED ? count : 0;
        result = given == MOVED ? MOVED : result;
    }
    if (flow->ended && flow->queued == 0 && !flow->closed) {
        flow->closed = true;
        shutdown(flow->to, SHUT_WR);
        return BLOCKED;
    }
    return result;
}

static void pump(struct forward_connection *connection)
{
    for (int round = 0; round < ROUNDS; round++) {
        bool moved = false;
        for (int i = 0; i < 2; i++) {
            enum progress progress = pump_once(&connection->flows[i]);
            if (progress == BROKEN) {
                end_connection(connection);
                return;
            }
            moved = moved || (progress == MOVED && !connection->flows[i].closed);
        }
        if (connection->flows[0].closed && connection->flows[1].closed) {
            end_connection(connection);
            return;
        }
        if (!moved)
            return;
    }
    if (!connection->is_busy) {
        connection->is_busy = true;
        connection->next = connection->forwarder->busy;
        connection->forwarder->busy = connection;
    }
}

/* Events come once for each change (EPOLLET), for either socket. */
static void connection_ready(struct forward_source *source, uint32_t events)
{
    struct forward_connection *connection = (struct forward_connection *)source;
    int code = 0;
    socklen_t length = sizeof code;
    if (connection->is_dead)
        return;
    if (!connection->connected) {
        int inner = connection->flows[0].to;
        struct sockaddr_storage peer;
        socklen_t peer_length = sizeof peer;
        if (getsockopt(inner, SOL_SOCKET, SO_ERROR, &code, &length) < 0 || code != 0) {
            end_connection(connection);
            return;
        }
        if (getpeername(inner, (struct sockaddr *)&peer, &peer_length) < 0)
            return; /* still on the way */
        connection->connected = true;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) == EPOLLERR) {
        end_connection(connection);
        return;
    }
    pump(connection);
}

static void set_flow(struct flow *flow, int from, int to)
{
    flow->from = from;
    flow->to = to;
}

static int begin_connection(struct forward_listener *listener, int outer)
{
    int one = 1;
    struct forward_connection *connection = memory_allocate(1, sizeof *connection);
    connection->source.ready = connection_ready;
    connection->forwarder = listener->forwarder;
    for (int i = 0; i < 2; i++)
        connection->flows[i] = (struct flow){.from = -1, .to = -1, .pipe = {-1, -1}};
    connection->flows[0].from = outer;
    int inner =
        socket(listener->target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set_flow(&connection->flows[0], outer, inner);
    set_flow(&connection->flows[1], inner, outer);
    const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (inner < 0 || pipe2(connection->flows[0].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
        pipe2(connection->flows[1].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
        (connect(inner, (const struct sockaddr *)&listener->target.address,
                 listener->target.length) < 0 &&
         errno != EINPROGRESS) ||
        forward_watch(listener->forwarder, inner, &connection->source, events, NULL) < 0 ||
        forward_watch(listener->forwarder, outer, &connection->source, events, NULL) < 0) {
        end_connection(connection);
        return -1;
    }
    setsockopt(inner, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(outer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return 0;
}

static void listener_ready(struct forward_source *source, uint32_t events)
{
    struct forward_listener *listener = (struct forward_listener *)source;
    (void)events;
    int outer = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (outer >= 0) {
        begin_connection(listener, outer);
    } else if (errno == EMFILE || errno == ENFILE) {
        epoll_ctl(listener->forwarder->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
        listener->next_paused = listener->forwarder->paused;
        listener->forwarder->paused = listener;
    }
}

int forwarder_open(struct forwarder *forwarder, struct error *err)
{
    *forwarder = (struct forwarder){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    return forwarder->epoll < 0 ? error_set(err, errno, "can't make an epoll descriptor") : 0;
}

int forwarder_add(struct forwarder *forwarder, int fd, bool is_udp,
                  const struct forward_target *target, struct error *err)
{
    if (is_udp)
        return forward_add_udp(forwarder, fd, target, err);
    struct forward_listener *listener = memory_allocate(1, sizeof *listener);
    *listener = (struct forward_listener){
        .source.ready = listener_ready, .forwarder = forwarder, .fd = fd, .target = *target};
    return forward_watch(forwarder, fd, &listener->source, EPOLLIN, err);
}

static void run_busy(struct forwarder *forwarder)
{
    struct forward_connection *list = forwarder->busy;
    forwarder->busy = NULL;
    while (list) {
        struct forward_connection *connection = list;
        list = connection->next;
        connection->is_busy = false;
        if (connection->is_dead) {
            connection->next = forwarder->dead;
            forwarder->dead = connection;
        } else {
            pump(connection);
        }
    }
}

int forwarder_run(struct forwarder *forwarder, struct error *err)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int wait = forwarder->busy ? 0 : forward_expire_udp(forwarder);
        int count = epoll_wait(forwarder->epoll, events, EVENTS, wait);
        if (count < 0 && errno != EINTR)
            return error_set(err, errno, "can't wait for events");
        for (int i = 0; i < count; i++) {
            struct forward_source *source = events[i].data.ptr;
            source->ready(source, events[i].events);
        }
        run_busy(forwarder);
        while (forwarder->dead) {
            struct forward_connection *connection = forwarder->dead;
            forwarder->dead = connection->next;
            free(connection);
        }
    }
}
