#include "vm/device/metadata_tcp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/memory.h"

#define RETRY 500          /* ms until what isn't acknowledged is sent again; then twice that … */
#define RETRIES 6          /* … and so on so many times */
#define IDLE_TIMEOUT 60000 /* ms after which a guest that says nothing is forgotten */

/* Whether sequence number a comes before b. */
static bool is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static void drop_answer(struct tcp_connection *connection)
{
    free(connection->answer);
    connection->answer = NULL;
    connection->answer_size = connection->answer_done = 0;
}

static void release(struct tcp *tcp, struct tcp_connection *connection)
{
    drop_answer(connection);
    free(connection->request);
    *connection = (struct tcp_connection){.state = TCP_FREE};
    tcp->metrics.connections_destroyed++;
}

void tcp_forget(struct tcp *tcp)
{
    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        if (tcp->connections[i].state != TCP_FREE)
            release(tcp, &tcp->connections[i]);
    }
    tcp->reset_count = 0;
}

/* Answers a segment of no connection (RFC 9293, 3.10.7.1). With none of room for it, silence. */
static void refuse(struct tcp *tcp, const struct tcp_peer *peer, const struct tcp_segment *segment)
{
    if ((segment->flags & TCP_RST) || tcp->reset_count == TCP_RESETS_MAX)
        return;
    struct tcp_reset *reset = &tcp->resets[tcp->reset_count++];
    *reset = (struct tcp_reset){.peer = *peer,
                                .segment = {.guest_port = segment->guest_port,
                                            .service_port = segment->service_port,
                                            .flags = TCP_RST}};
    if (segment->flags & TCP_ACK) {
        reset->segment.sequence = segment->acknowledgement;
        return;
    }
    reset->segment.flags |= TCP_ACK;
    reset->segment.acknowledgement = segment->sequence + (uint32_t)segment->size +
                                     !!(segment->flags & TCP_SYN) + !!(segment->flags & TCP_FIN);
}

static void reset(struct tcp *tcp, struct tcp_connection *connection)
{
    const struct tcp_segment last = {.guest_port = connection->port,
                                     .service_port = TCP_SERVICE_PORT,
                                     .flags = TCP_ACK,
                                     .acknowledgement = connection->next};
    refuse(tcp, &connection->peer, &last);
    release(tcp, connection);
}

static struct tcp_connection *find(struct tcp *tcp, const struct tcp_peer *peer, uint16_t port)
{
    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        struct tcp_connection *at = &tcp->connections[i];
        if (at->state != TCP_FREE && at->port == port &&
            memcmp(at->peer.address, peer->address, sizeof peer->address) == 0)
            return at;
    }
    return NULL;
}

/* A free one; if there is none, that which wasn't used for the longest time. */
static struct tcp_connection *make_room(struct tcp *tcp)
{
    struct tcp_connection *oldest = &tcp->connections[0];
    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        struct tcp_connection *at = &tcp->connections[i];
        if (at->state == TCP_FREE)
            return at;
        if (at->used < oldest->used)
            oldest = at;
    }
    reset(tcp, oldest);
    return oldest;
}

static void accept_syn(struct tcp *tcp, const struct tcp_peer *peer,
                       const struct tcp_segment *segment, int64_t now)
{
    struct tcp_connection *connection = make_room(tcp);
    uint32_t first;
    if (getrandom(&first, sizeof first, 0) != sizeof first)
        first = (uint32_t)now;
    uint16_t size = segment->segment_size ? segment->segment_size : 536; /* RFC 9293, 3.7.1 */
    size = size < TCP_PAYLOAD_MAX ? size : TCP_PAYLOAD_MAX;
    *connection = (struct tcp_connection){.state = TCP_SYN_RECEIVED,
                                          .peer = *peer,
                                          .port = segment->guest_port,
                                          .segment_size = size > 64 ? size : 64,
                                          .used = now,
                                          .received = segment->sequence + 1,
                                          .request = memory_allocate(1, TCP_REQUEST_MAX),
                                          .acknowledged = first,
                                          .next = first,
                                          .highest = first,
                                          .window = segment->window};
    tcp->metrics.connections_created++;
}

/* The bytes of the answer that follow those acknowledged. */
static uint32_t unacknowledged(const struct tcp_connection *connection)
{
    return (uint32_t)(connection->answer_size - connection->answer_done);
}

/* Has the next request answered, when the answer to the last one has arrived. */
static void answer(struct tcp *tcp, struct tcp_connection *connection)
{
    if (connection->answer || connection->closing || connection->end_is_sent)
        return;
    size_t length = 0;
    bool closes = false;
    if (connection->request_size > 0)
        connection->answer = tcp->answerer.answer(tcp->answerer.context, connection->request,
                                                  connection->request_size, &length,
                                                  &connection->answer_size, &closes);
    if (connection->answer && length > 0 && length <= connection->request_size) {
        connection->request_size -= length;
        memmove(connection->request, connection->request + length, connection->request_size);
        connection->closing = closes;
        if (connection->answer_size == 0)
            drop_answer(connection);
        connection->must_acknowledge = true; /* there is more room */
        return;
    }
    drop_answer(connection);
    if (connection->received_end || connection->request_size == TCP_REQUEST_MAX)
        connection->closing = true; /* it will never be complete */
}

/* What the guest has got: false if it can't have. */
static bool take_acknowledgement(struct tcp *tcp, struct tcp_connection *connection,
                                 const struct tcp_segment *segment)
{
    uint32_t got = segment->acknowledgement - connection->acknowledged;
    if (is_before(connection->highest, segment->acknowledgement) ||
        (connection->state == TCP_SYN_RECEIVED && segment->acknowledgement != connection->highest))
        return false;
    connection->window = segment->window;
    if (is_before(segment->acknowledgement, connection->acknowledged) || got == 0)
        return true; /* an old one */
    connection->acknowledged = segment->acknowledgement;
    if (is_before(connection->next, connection->acknowledged)) /* it had been sent before */
        connection->next = connection->acknowledged;
    connection->retries = 0;
    connection->deadline = 0;
    if (connection->state == TCP_SYN_RECEIVED) {
        connection->state = TCP_OPEN;
        got--;
    }
    uint32_t left = unacknowledged(connection);
    connection->answer_done += got < left ? got : left;
    connection->end_is_sent = connection->end_is_sent || got > left;
    if (connection->answer && connection->answer_done == connection->answer_size)
        drop_answer(connection);
    answer(tcp, connection);
    return true;
}

/* Bytes of the guest, and their end. */
static void take_payload(struct tcp *tcp, struct tcp_connection *connection,
                         const struct tcp_segment *segment)
{
    uint32_t old = connection->received - segment->sequence;
    bool ends = segment->flags & TCP_FIN;
    if (segment->size == 0 && !ends)
        return;
    connection->must_acknowledge = true;
    if (connection->received_end || old > segment->size)
        return; /* from before, or from after something that is missing */
    size_t size = segment->size - old, room = TCP_REQUEST_MAX - connection->request_size;
    if (size > room) {
        size = room;
        ends = false;
    }
    if (size > 0)
        memcpy(connection->request + connection->request_size, segment->payload + old, size);
    connection->request_size += size;
    connection->received += (uint32_t)size;
    if (ends) {
        connection->received++;
        connection->received_end = true;
    }
    answer(tcp, connection);
}

/* A segment of a connection; false if it ends it with a reset. */
static bool take(struct tcp *tcp, struct tcp_connection *connection,
                 const struct tcp_segment *segment)
{
    if (segment->flags & TCP_RST) {
        if (segment->sequence == connection->received) /* RFC 5961, 3.2 */
            release(tcp, connection);
        return true;
    }
    if ((segment->flags & TCP_SYN) || !(segment->flags & TCP_ACK) ||
        !take_acknowledgement(tcp, connection, segment)) {
        connection->must_acknowledge = true;
        return connection->state != TCP_SYN_RECEIVED; /* RFC 5961, 4.2 and 5.2 */
    }
    if (connection->state == TCP_OPEN)
        take_payload(tcp, connection, segment);
    if (connection->end_is_sent && connection->received_end &&
        connection->acknowledged == connection->next && !connection->must_acknowledge)
        release(tcp, connection);
    return true;
}

void tcp_take(struct tcp *tcp, const struct tcp_peer *peer, const struct tcp_segment *segment,
              int64_t now)
{
    struct tcp_connection *connection =
        segment->service_port == TCP_SERVICE_PORT ? find(tcp, peer, segment->guest_port) : NULL;
    bool is_new = (segment->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
    if (connection && is_new) {
        if (connection->state == TCP_SYN_RECEIVED && segment->sequence + 1 == connection->received)
            connection->next = connection->acknowledged; /* it missed the answer */
        else { /* the guest began anew, with a port that it used before */
            release(tcp, connection);
            accept_syn(tcp, peer, segment, now);
        }
    } else if (connection) {
        connection->used = now;
        connection->peer = *peer;
        if (!take(tcp, connection, segment))
            reset(tcp, connection);
    } else if (is_new && segment->service_port == TCP_SERVICE_PORT) {
        accept_syn(tcp, peer, segment, now);
    } else {
        refuse(tcp, peer, segment);
    }
}

/* What a connection has to say now: false if nothing. */
static bool say(struct tcp_connection *connection, struct tcp_segment *segment)
{
    uint32_t under_way = connection->next - connection->acknowledged;
    *segment =
        (struct tcp_segment){.guest_port = connection->port,
                             .service_port = TCP_SERVICE_PORT,
                             .sequence = connection->next,
                             .acknowledgement = connection->received,
                             .window = (uint16_t)(TCP_REQUEST_MAX - connection->request_size),
                             .flags = TCP_ACK};
    if (connection->state == TCP_SYN_RECEIVED) {
        segment->flags |= TCP_SYN;
        segment->segment_size = TCP_PAYLOAD_MAX;
        return under_way == 0;
    }
    uint32_t left = unacknowledged(connection), size = 0;
    if (under_way < left && under_way < connection->window && !connection->end_is_sent) {
        size = left - under_way;
        size = size < connection->window - under_way ? size : connection->window - under_way;
        size = size < connection->segment_size ? size : connection->segment_size;
        segment->payload =
            (const uint8_t *)connection->answer + connection->answer_done + under_way;
        segment->size = size;
        segment->flags |= under_way + size == left ? TCP_PSH : 0;
    }
    if (connection->closing && !connection->end_is_sent && under_way + size == left)
        segment->flags |= TCP_FIN;
    return size > 0 || (segment->flags & TCP_FIN) || connection->must_acknowledge;
}

static void note_sent(struct tcp *tcp, struct tcp_connection *connection,
                      const struct tcp_segment *segment, int64_t now)
{
    connection->next += (uint32_t)segment->size + !!(segment->flags & (TCP_SYN | TCP_FIN));
    connection->end_is_sent = connection->end_is_sent || (segment->flags & TCP_FIN);
    connection->must_acknowledge = false;
    if (is_before(connection->highest, connection->next))
        connection->highest = connection->next;
    if (connection->next != connection->acknowledged && connection->deadline == 0)
        connection->deadline = now + (RETRY << connection->retries);
    if (connection->end_is_sent && connection->received_end &&
        connection->acknowledged == connection->next)
        release(tcp, connection);
}

bool tcp_next(struct tcp *tcp, struct tcp_peer *peer, struct tcp_segment *segment, int64_t now)
{
    if (tcp->reset_count > 0) {
        *peer = tcp->resets[0].peer;
        *segment = tcp->resets[0].segment;
        tcp->reset_count--;
        memmove(tcp->resets, tcp->resets + 1, tcp->reset_count * sizeof *tcp->resets);
        return true;
    }
    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        unsigned at = (tcp->turn + i) % TCP_CONNECTIONS_MAX;
        struct tcp_connection *connection = &tcp->connections[at];
        if (connection->state == TCP_FREE || !say(connection, segment))
            continue;
        *peer = connection->peer;
        tcp->turn = (at + 1) % TCP_CONNECTIONS_MAX;
        note_sent(tcp, connection, segment, now);
        return true;
    }
    return false;
}

/* Something wasn't acknowledged in time, or the window has been shut for as long. */
static void send_again(struct tcp *tcp, struct tcp_connection *connection)
{
    if (connection->retries++ == RETRIES) {
        reset(tcp, connection);
        return;
    }
    connection->next = connection->acknowledged;
    connection->end_is_sent = false;
    connection->deadline = 0;
    if (connection->window == 0)
        connection->window = 1; /* a probe (3.8.6.1) */
}

int64_t tcp_turn(struct tcp *tcp, int64_t now)
{
    int64_t wait = -1;
    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        struct tcp_connection *connection = &tcp->connections[i];
        if (connection->state == TCP_FREE)
            continue;
        if (now - connection->used >= IDLE_TIMEOUT) {
            reset(tcp, connection);
            continue;
        }
        if (connection->deadline == 0 &&
            (connection->next != connection->acknowledged ||
             (connection->window == 0 && unacknowledged(connection) > 0)))
            connection->deadline = now + (RETRY << connection->retries);
        if (connection->deadline != 0 && now >= connection->deadline)
            send_again(tcp, connection);
        if (connection->state == TCP_FREE)
            continue;
        int64_t due = connection->used + IDLE_TIMEOUT - now;
        if (connection->deadline != 0 && connection->deadline - now < due)
            due = connection->deadline - now;
        wait = wait < 0 || due < wait ? due : wait;
    }
    return wait;
}
