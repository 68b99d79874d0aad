/* Questions by UDP that others must answer: each goes out from a socket of its own, so from a port
 * that nobody can guess (RFC 5452), and with an id of hull's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/dns_server.h"

#define QUERIES 1024 /* at once; the oldest gives way */
#define TRY_MILLISECONDS 2000
#define TRIES 4 /* of all upstreams together */

struct dns_query {
    struct dns_source source;
    struct dns_listener *listener;
    struct dns_query *next;
    int fd;
    unsigned int tries;
    int64_t deadline;
    struct sockaddr_storage client;
    socklen_t client_length;
    uint16_t client_id;
    size_t udp_size;
    size_t length;
    uint8_t message[]; /* with hull's id */
};

static void free_query(struct dns_server *server, struct dns_query *query)
{
    server->query_count--;
    scope_close_fd(&query->fd);
    free(query);
}

static void end_query(struct dns_query *query)
{
    struct dns_server *server = query->listener->server;
    for (struct dns_query **at = &server->queries; *at; at = &(*at)->next) {
        if (*at == query) {
            *at = query->next;
            break;
        }
    }
    free_query(server, query);
}

void dns_query_end_of(struct dns_server *server, const struct dns_listener *listener)
{
    for (struct dns_query **at = &server->queries; *at;) {
        struct dns_query *query = *at;
        if (query->listener != listener) {
            at = &query->next;
            continue;
        }
        *at = query->next;
        free_query(server, query);
    }
}

static void answer(struct dns_query *query, uint8_t *message, size_t length)
{
    message[0] = (uint8_t)(query->client_id >> 8);
    message[1] = (uint8_t)query->client_id;
    sendto(query->listener->udp, message, length, MSG_DONTWAIT, (struct sockaddr *)&query->client,
           query->client_length);
}

static void give_up(struct dns_query *query)
{
    uint8_t message[512];
    struct dns_question question;
    dns_parse_query(query->message, query->length, &question);
    size_t length =
        dns_compose_code(query->message, &question, DNS_SERVFAIL, message, sizeof message);
    if (length > 0)
        answer(query, message, length);
    end_query(query);
}

static void query_ready(struct dns_source *source, uint32_t events);

/* To the next upstream; false: none is left that could be asked. */
static bool ask_next(struct dns_query *query)
{
    struct dns_server *server = query->listener->server;
    const struct dns_upstream *upstreams;
    size_t count = dns_server_upstreams(server, query->listener->container, &upstreams);
    while (query->tries < TRIES && count > 0) {
        const struct dns_upstream *upstream = &upstreams[query->tries++ % count];
        scope_close_fd(&query->fd);
        query->fd =
            socket(upstream->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (query->fd < 0 ||
            connect(query->fd, (const struct sockaddr *)&upstream->address, upstream->length) < 0 ||
            send(query->fd, query->message, query->length, MSG_NOSIGNAL) < 0 ||
            dns_watch(server, query->fd, &query->source, EPOLLIN) < 0)
            continue;
        query->deadline = dns_now() + TRY_MILLISECONDS;
        return true;
    }
    return false;
}

static void query_ready(struct dns_source *source, uint32_t events)
{
    struct dns_query *query = (struct dns_query *)source;
    static uint8_t message[DNS_UDP_SIZE]; /* of this one thread */
    struct dns_question question;
    (void)events;
    ssize_t length = recv(query->fd, message, sizeof message, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length < 0) { /* refused: the next one */
        if (!ask_next(query))
            give_up(query);
        return;
    }
    if (!dns_is_answer(query->message, query->length, message, (size_t)length))
        return; /* somebody else's; the right one may still come */
    size_t size = (size_t)length;
    dns_parse_query(query->message, query->length, &question);
    if (size > query->udp_size)
        size = dns_truncate(message, question.end);
    answer(query, message, size);
    end_query(query);
}

/* The oldest is the last of the list. */
static struct dns_query *find_oldest(struct dns_server *server)
{
    struct dns_query *query = server->queries;
    while (query && query->next)
        query = query->next;
    return query;
}

void dns_query_forward(struct dns_listener *listener, const uint8_t *message, size_t length,
                       const struct dns_question *question, const struct sockaddr_storage *client,
                       socklen_t client_length)
{
    struct dns_server *server = listener->server;
    if (server->query_count >= QUERIES)
        end_query(find_oldest(server));
    struct dns_query *query = memory_allocate(1, sizeof *query + length);
    query->source.ready = query_ready;
    query->listener = listener;
    query->fd = -1;
    query->client = *client;
    query->client_length = client_length;
    query->client_id = question->id;
    query->udp_size = question->udp_size;
    query->length = length;
    memcpy(query->message, message, length);
    query->next = server->queries;
    server->queries = query;
    server->query_count++;
    if (getrandom(query->message, 2, 0) != 2 || !ask_next(query))
        give_up(query);
}

int dns_query_expire(struct dns_server *server)
{
    int64_t now = dns_now(), soonest = -1;
    for (struct dns_query *query = server->queries, *next; query; query = next) {
        next = query->next;
        if (query->deadline <= now && !ask_next(query)) {
            give_up(query);
            continue;
        }
        int64_t left = query->deadline - now;
        if (soonest < 0 || left < soonest)
            soonest = left;
    }
    return (int)soonest;
}
