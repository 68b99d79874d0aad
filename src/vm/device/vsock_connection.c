#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/device/parts.h"
#include "vm/device/vsock.h"

#define ANSWER_TIMEOUT 10000 /* ms that the guest has to accept a connection */
#define GOODBYE_TIMEOUT                                                                            \
    8000 /* ms that it has to forget one that is over, as long as Linux waits                      \
          */

static unsigned bucket_of(uint32_t host_port, uint32_t guest_port)
{
    return (host_port * 31 + guest_port) % VSOCK_BUCKETS;
}

static void on_ready(struct loop_source *source, uint32_t events);

static void on_timer(struct loop_timer *timer)
{
    struct vsock_connection *connection = loop_owner(timer, struct vsock_connection, timer);
    struct vsock *vsock = connection->vsock;
    vsock_connection_reset(connection);
    vsock_deliver(vsock);
}

struct vsock_connection *vsock_connection_add(struct vsock *vsock, int fd, enum vsock_state state)
{
    if (vsock->count == VSOCK_CONNECTIONS_MAX) {
        close(fd);
        vsock->metrics.connections_refused++;
        return NULL;
    }
    struct vsock_connection *connection = memory_allocate(1, sizeof *connection);
    *connection = (struct vsock_connection){.vsock = vsock,
                                            .slot = vsock->count,
                                            .source = {.fd = fd, .ready = on_ready},
                                            .timer = {.expired = on_timer},
                                            .state = state};
    vsock->connections[vsock->count++] = connection;
    vsock->metrics.connections_added++;
    vsock_listen_on(vsock);
    return connection;
}

void vsock_connection_name(struct vsock_connection *connection, uint32_t host_port,
                           uint32_t guest_port)
{
    struct vsock_connection **bucket =
        &connection->vsock->buckets[bucket_of(host_port, guest_port)];
    connection->host_port = host_port;
    connection->guest_port = guest_port;
    connection->next_in_bucket = *bucket;
    *bucket = connection;
    if (connection->state == VSOCK_REQUESTED)
        loop_timer_set(connection->vsock->device.loop, &connection->timer, ANSWER_TIMEOUT);
}

struct vsock_connection *vsock_connection_find(const struct vsock *vsock, uint32_t host_port,
                                               uint32_t guest_port)
{
    struct vsock_connection *at = vsock->buckets[bucket_of(host_port, guest_port)];
    while (at && (at->host_port != host_port || at->guest_port != guest_port))
        at = at->next_in_bucket;
    return at;
}

static void forget_name(struct vsock_connection *connection)
{
    struct vsock_connection **at =
        &connection->vsock->buckets[bucket_of(connection->host_port, connection->guest_port)];
    for (; *at; at = &(*at)->next_in_bucket) {
        if (*at == connection) {
            *at = connection->next_in_bucket;
            break;
        }
    }
}

static void leave_line(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;
    struct vsock_connection *before = NULL;
    connection->pending = 0;
    if (!connection->in_line)
        return;
    for (struct vsock_connection *at = vsock->line_first; at != connection; at = at->next_in_line)
        before = at;
    *(before ? &before->next_in_line : &vsock->line_first) = connection->next_in_line;
    if (vsock->line_last == connection)
        vsock->line_last = before;
    connection->in_line = false;
}

/* Lets go of the socket and of all that was to go there. */
static void close_socket(struct vsock_connection *connection)
{
    struct loop *loop = connection->vsock->device.loop;
    loop_timer_cancel(loop, &connection->timer);
    if (connection->source.fd >= 0) {
        loop_watch(loop, &connection->source, 0);
        close(connection->source.fd);
        connection->source.fd = -1;
    }
    free(connection->ring);
    connection->ring = NULL;
    connection->ring_used = 0;
}

void vsock_connection_free(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;
    struct vsock_connection *last = vsock->connections[vsock->count - 1];
    close_socket(connection);
    forget_name(connection);
    leave_line(connection);
    vsock->connections[connection->slot] = last;
    last->slot = connection->slot;
    vsock->count--;
    vsock->metrics.connections_removed++;
    free(connection);
    vsock_listen_on(vsock);
}

/* Ends it, and has the guest told. */
static void end(struct vsock_connection *connection)
{
    /* Of these the guest doesn't know. */
    if (connection->state == VSOCK_GREETING || connection->state == VSOCK_DRAINING ||
        (connection->pending & VSOCK_PENDING_REQUEST)) {
        vsock_connection_free(connection);
        return;
    }
    close_socket(connection);
    connection->state = VSOCK_DEAD;
    connection->pending = 0;
    vsock_connection_pend(connection, VSOCK_PENDING_RESET);
}

void vsock_connection_reset(struct vsock_connection *connection)
{
    connection->vsock->metrics.connections_reset++;
    end(connection);
}

void vsock_connection_pend(struct vsock_connection *connection, unsigned what)
{
    struct vsock *vsock = connection->vsock;
    connection->pending |= what;
    if (connection->in_line)
        return;
    connection->in_line = true;
    connection->next_in_line = NULL;
    *(vsock->line_last ? &vsock->line_last->next_in_line : &vsock->line_first) = connection;
    vsock->line_last = connection;
}

/* How many bytes the guest has room for (5.10.6.3). */
static uint32_t credit(const struct vsock_connection *connection)
{
    uint32_t under_way = connection->sent - connection->guest_forwarded;
    return under_way < connection->guest_allocated ? connection->guest_allocated - under_way : 0;
}

void vsock_connection_watch(struct vsock_connection *connection)
{
    uint32_t events = 0;
    if (connection->state == VSOCK_DEAD)
        return;
    if (connection->state == VSOCK_GREETING)
        events = EPOLLIN;
    if (connection->state == VSOCK_ESTABLISHED && !connection->read_done &&
        !(connection->pending & VSOCK_PENDING_DATA) && credit(connection) > 0)
        events |= EPOLLIN;
    if (connection->ring_used > 0)
        events |= EPOLLOUT;
    /* An event that comes unasked, and asking for it is asking for a hangup. */
    if (!connection->hung_up)
        events |= EPOLLERR;
    loop_watch(connection->vsock->device.loop, &connection->source, events);
}

/* Bytes have gone to the host, or are given up; the guest hears of it when it makes a difference to
 * it. */
static void forward(struct vsock_connection *connection, uint32_t bytes)
{
    connection->forwarded += bytes;
    if (connection->forwarded - connection->forwarded_told >= VSOCK_BUFFER_SIZE / 4 &&
        connection->state == VSOCK_ESTABLISHED)
        vsock_connection_pend(connection, VSOCK_PENDING_CREDIT_UPDATE);
}

/* The host reads no more. */
static void stop_writing(struct vsock_connection *connection)
{
    connection->write_done = true;
    connection->to_say |= VSOCK_NO_RECEIVE;
    forward(connection, connection->ring_used);
    connection->ring_used = 0;
}

/* Writes to the socket; how many bytes it took, which is all of them, and to no effect, where
 * the host reads no more. */
static uint32_t send_to_host(struct vsock_connection *connection, struct iovec *parts,
                             unsigned count, uint32_t size)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(connection->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
        return (uint32_t)sent;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
        return 0;
    connection->vsock->metrics.write_failures++;
    stop_writing(connection);
    return size;
}

/* Says and does what follows from both sides' ends. */
static void settle(struct vsock_connection *connection)
{
    if (connection->state != VSOCK_ESTABLISHED)
        return;
    if ((connection->guest_flags & VSOCK_NO_SEND) && connection->ring_used == 0 &&
        !connection->write_done) {
        shutdown(connection->source.fd, SHUT_WR);
        connection->write_done = true;
    }
    /* Neither side has more to say. */
    if (connection->write_done &&
        ((connection->to_say & VSOCK_NO_SEND) || (connection->hung_up && connection->read_done)))
        connection->to_say = VSOCK_NEITHER;
    if (connection->to_say & ~connection->said)
        vsock_connection_pend(connection, VSOCK_PENDING_SHUTDOWN);
}

/* Writes what waits in the ring. */
static void flush(struct vsock_connection *connection)
{
    uint32_t at = connection->ring_start % VSOCK_BUFFER_SIZE, used = connection->ring_used;
    uint32_t first = used < VSOCK_BUFFER_SIZE - at ? used : VSOCK_BUFFER_SIZE - at;
    struct iovec parts[2] = {{connection->ring + at, first}, {connection->ring, used - first}};
    if (used == 0)
        return;
    uint32_t sent = send_to_host(connection, parts, first < used ? 2 : 1, used);
    if (connection->ring_used > 0) { /* else it was given up */
        connection->ring_start += sent;
        connection->ring_used -= sent;
        forward(connection, sent);
    }
    if (connection->ring_used == 0) {
        free(connection->ring);
        connection->ring = NULL;
    }
}

static void store(struct vsock_connection *connection, const struct iovec *parts, unsigned count,
                  uint32_t offset, uint32_t size)
{
    if (!connection->ring) {
        connection->ring = memory_resize(NULL, 1, VSOCK_BUFFER_SIZE);
        connection->ring_start = 0;
    }
    while (size > 0) {
        uint32_t at = (connection->ring_start + connection->ring_used) % VSOCK_BUFFER_SIZE;
        uint32_t piece = size < VSOCK_BUFFER_SIZE - at ? size : VSOCK_BUFFER_SIZE - at;
        virtqueue_copy_from(parts, count, offset, connection->ring + at, piece);
        connection->ring_used += piece;
        offset += piece;
        size -= piece;
    }
}

/* Bytes from the guest; false if it had no leave to send them. */
static bool take_data(struct vsock_connection *connection, const struct iovec *parts,
                      unsigned count, uint32_t size)
{
    if ((connection->guest_flags & VSOCK_NO_SEND) ||
        size > VSOCK_BUFFER_SIZE - (connection->received - connection->forwarded))
        return false;
    connection->received += size;
    connection->vsock->metrics.sent_bytes += size;
    uint32_t done = connection->write_done ? size : 0;
    if (done < size && connection->ring_used == 0) {
        struct iovec copy[VIRTQUEUE_PARTS_MAX];
        memcpy(copy, parts, count * sizeof *parts);
        done = send_to_host(connection, copy, count, size);
    }
    forward(connection, done);
    store(connection, parts, count, done, size - done);
    return true;
}

/* The guest is done with it. What it sent before still goes to the host, which may take its time:
 * the guest needn't wait. */
static void part(struct vsock_connection *connection, const struct vsock_header *header)
{
    if (connection->ring_used == 0 || connection->hung_up) {
        end(connection);
        return;
    }
    loop_timer_cancel(connection->vsock->device.loop, &connection->timer);
    leave_line(connection);
    forget_name(connection);
    connection->state = VSOCK_DRAINING;
    shutdown(connection->source.fd, SHUT_RD);
    vsock_refuse(connection->vsock, header);
}

static bool take_shutdown(struct vsock_connection *connection, const struct vsock_header *header)
{
    if ((header->flags & ~(uint32_t)VSOCK_NEITHER) || header->flags == 0)
        return false;
    connection->guest_flags |= header->flags;
    if (connection->guest_flags == VSOCK_NEITHER) {
        part(connection, header);
    } else if (connection->guest_flags & VSOCK_NO_RECEIVE) {
        connection->read_done = true;
        connection->pending &= ~(unsigned)VSOCK_PENDING_DATA;
        shutdown(connection->source.fd, SHUT_RD);
    }
    return true;
}

static bool take_response(struct vsock_connection *connection)
{
    char text[32];
    if (connection->state != VSOCK_REQUESTED || (connection->pending & VSOCK_PENDING_REQUEST))
        return false;
    int length = snprintf(text, sizeof text, "OK %u\n", connection->host_port);
    loop_timer_cancel(connection->vsock->device.loop, &connection->timer);
    connection->state = VSOCK_ESTABLISHED;
    return send(connection->source.fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length;
}

void vsock_connection_take(struct vsock_connection *connection, const struct vsock_header *header,
                           const struct iovec *parts, unsigned count)
{
    bool good = connection->state == VSOCK_ESTABLISHED;
    if (header->operation == VSOCK_RESET) {
        vsock_connection_free(connection);
        return;
    }
    if (connection->state == VSOCK_DEAD)
        return; /* it will hear */
    connection->guest_allocated = header->allocated;
    connection->guest_forwarded = header->forwarded;
    if (header->operation == VSOCK_RESPONSE)
        good = take_response(connection);
    else if (good && header->operation == VSOCK_SHUTDOWN)
        good = take_shutdown(connection, header);
    else if (good && header->operation == VSOCK_DATA)
        good = take_data(connection, parts, count, header->length);
    else if (good && header->operation == VSOCK_CREDIT_REQUEST)
        vsock_connection_pend(connection, VSOCK_PENDING_CREDIT_UPDATE);
    else if (header->operation != VSOCK_CREDIT_UPDATE)
        good = false;
    if (!good)
        vsock_connection_reset(connection);
    else if (connection->state != VSOCK_DEAD) {
        settle(connection);
        vsock_connection_watch(connection);
    }
}

/* The host sends no more; failed: it ended with bytes of the guest unread. */
static void stop_reading(struct vsock_connection *connection, bool failed)
{
    connection->pending &= ~(unsigned)VSOCK_PENDING_DATA;
    connection->read_done = true;
    connection->to_say |= failed ? VSOCK_NEITHER : VSOCK_NO_SEND;
    connection->vsock->metrics.read_failures += failed;
    settle(connection);
}

/* Reads from the socket into the guest's buffer; whether there is something to be sent. */
static bool say_data(struct vsock_connection *connection, struct vsock_header *header,
                     const struct iovec *parts, unsigned count)
{
    struct iovec slice[VIRTQUEUE_PARTS_MAX];
    uint64_t asked = 0;
    count = parts_slice(parts, count, 0, credit(connection), slice);
    for (unsigned i = 0; i < count; i++)
        asked += slice[i].iov_len;
    ssize_t got = readv(connection->source.fd, slice, (int)count);
    if (asked == 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) {
        connection->pending &= ~(unsigned)VSOCK_PENDING_DATA;
        return false;
    }
    if (got <= 0) {
        stop_reading(connection, got < 0);
        return false;
    }
    header->operation = VSOCK_DATA;
    header->length = (uint32_t)got;
    connection->sent += (uint32_t)got;
    connection->vsock->metrics.received_bytes += (uint64_t)got;
    if ((uint64_t)got < asked || credit(connection) == 0) /* else there may be more */
        connection->pending &= ~(unsigned)VSOCK_PENDING_DATA;
    if (credit(connection) == 0)
        connection->pending |= VSOCK_PENDING_CREDIT_REQUEST;
    return true;
}

static void say_shutdown(struct vsock_connection *connection, struct vsock_header *header)
{
    header->operation = VSOCK_SHUTDOWN;
    header->flags = connection->said = connection->to_say;
    if (connection->said == VSOCK_NEITHER)
        loop_timer_set(connection->vsock->device.loop, &connection->timer, GOODBYE_TIMEOUT);
}

bool vsock_connection_say(struct vsock_connection *connection, struct vsock_header *header,
                          const struct iovec *parts, unsigned count)
{
    static const struct {
        enum vsock_pending pending;
        enum vsock_operation operation;
    } plain[] = {{VSOCK_PENDING_RESET, VSOCK_RESET},
                 {VSOCK_PENDING_REQUEST, VSOCK_REQUEST},
                 {VSOCK_PENDING_RESPONSE, VSOCK_RESPONSE},
                 {VSOCK_PENDING_CREDIT_UPDATE, VSOCK_CREDIT_UPDATE},
                 {VSOCK_PENDING_CREDIT_REQUEST, VSOCK_CREDIT_REQUEST}};
    bool first = connection->pending &
                 (VSOCK_PENDING_RESET | VSOCK_PENDING_REQUEST | VSOCK_PENDING_RESPONSE);
    *header = (struct vsock_header){0};
    if (!first && (connection->pending & VSOCK_PENDING_DATA) &&
        say_data(connection, header, parts, count)) {
        /* The header tells of the credit, too. */
        connection->pending &= ~(unsigned)VSOCK_PENDING_CREDIT_UPDATE;
    } else if (!first && (connection->pending & VSOCK_PENDING_SHUTDOWN)) {
        connection->pending &= ~(unsigned)VSOCK_PENDING_SHUTDOWN;
        say_shutdown(connection, header);
    } else {
        for (unsigned i = 0; i < sizeof plain / sizeof *plain && header->operation == 0; i++) {
            if (connection->pending & plain[i].pending) {
                connection->pending &= ~(unsigned)plain[i].pending;
                header->operation = plain[i].operation;
            }
        }
    }
    header->allocated = VSOCK_BUFFER_SIZE;
    header->forwarded = connection->forwarded;
    if (header->operation == 0)
        return false;
    connection->forwarded_told = connection->forwarded;
    return true;
}

/* The host has closed its end, or ended. What it sent before can still be read. */
static void hang_up(struct vsock_connection *connection)
{
    connection->hung_up = true;
    stop_writing(connection);
    settle(connection);
}

static void on_ready(struct loop_source *source, uint32_t events)
{
    struct vsock_connection *connection = loop_owner(source, struct vsock_connection, source);
    struct vsock *vsock = connection->vsock;
    bool gone = events & (EPOLLHUP | EPOLLERR);
    if (connection->state == VSOCK_GREETING) {
        vsock_greeted(connection);
        vsock_deliver(vsock);
        return;
    }
    if (connection->state == VSOCK_REQUESTED || (connection->state == VSOCK_DRAINING && gone)) {
        vsock_connection_reset(connection);
        vsock_deliver(vsock);
        return;
    }
    if (gone)
        hang_up(connection);
    if (events & EPOLLOUT)
        flush(connection);
    if (connection->state == VSOCK_DRAINING && connection->ring_used == 0) {
        vsock_connection_free(connection);
        return;
    }
    settle(connection);
    if ((events & EPOLLIN) && !connection->read_done && credit(connection) > 0)
        vsock_connection_pend(connection, VSOCK_PENDING_DATA);
    if (!connection->in_line)
        vsock_connection_watch(connection);
    vsock_deliver(vsock);
}
