/* The serving process of hull-dns: sockets inside of containers' namespaces ask it, and it asks
 * upstream servers from the host's. */
#ifndef HULL_NETWORK_DNS_SERVER_H
#define HULL_NETWORK_DNS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "network/dns_names.h"

/* What its parent tells it through a socket of packets: with a container's pair of sockets (UDP,
 * and TCP listening), the id; with a descriptor of the file of names, "". It answers the latter
 * with "+", or "-" and an error's text. */
#define DNS_CONTROL 3 /* descriptor number */

/* What is watched: each begins with this. */
struct dns_source {
    void (*ready)(struct dns_source *source, uint32_t events);
};

struct dns_query;  /* forwarded by UDP */
struct dns_stream; /* a client's TCP connection */

/* A container's two sockets: they say who asks. */
struct dns_listener {
    struct dns_source udp_source;
    int udp, tcp;
    struct dns_server *server;
    char id[DNS_ID_SIZE];
    const struct dns_container *container; /* of the present names */
    struct dns_listener *next;
    struct dns_source tcp_source;
};

struct dns_server {
    int epoll, control;
    struct dns_names names;
    struct dns_listener *listeners;
    struct dns_query *queries; /* the oldest last */
    size_t query_count;
    struct dns_stream *streams;
    size_t stream_count;
    struct dns_upstream host_upstreams[DNS_UPSTREAMS];
    size_t host_upstream_count;
    int64_t host_file_seen; /* when resolv.conf was last looked at, ms */
};

int dns_server_run(int control, struct error *err);

/* Between the files of the server. */
int64_t dns_now(void); /* ms */
int dns_watch(struct dns_server *server, int fd, struct dns_source *source, uint32_t events);
/* The servers to ask for a container; their number. */
size_t dns_server_upstreams(struct dns_server *server, const struct dns_container *container,
                            const struct dns_upstream **upstreams);
/* Answers what hull knows itself. Returns the answer's length, 0 if others must be asked, or -1 if
 * nothing must be said. */
ssize_t dns_server_answer(struct dns_listener *listener, const uint8_t *query, size_t length,
                          struct dns_question *question, uint8_t *out, size_t size);

/* dns_query.c */
void dns_query_forward(struct dns_listener *listener, const uint8_t *message, size_t length,
                       const struct dns_question *question, const struct sockaddr_storage *client,
                       socklen_t client_length);
/* Milliseconds until something expires, or -1. */
int dns_query_expire(struct dns_server *server);
/* Forgets what the listener is waiting for. */
void dns_query_end_of(struct dns_server *server, const struct dns_listener *listener);

/* dns_stream.c */
void dns_stream_accept(struct dns_listener *listener);
int dns_stream_expire(struct dns_server *server);
void dns_stream_end_of(struct dns_server *server, const struct dns_listener *listener);

#endif
