/* Forwarding of connections and datagrams between processes, for hull-port. */
#ifndef HULL_NETWORK_PORT_FORWARD_H
#define HULL_NETWORK_PORT_FORWARD_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

struct forward_target {
    struct sockaddr_storage address;
    socklen_t length;
};

/* What an event of the loop means: the first member of all that is watched. */
struct forward_source {
    void (*ready)(struct forward_source *source, uint32_t events);
};

struct forward_connection;
struct forward_client;

struct forwarder {
    int epoll;
    struct forward_connection *busy; /* which have more to do at once */
    struct forward_connection *dead; /* freed when no event can name them any more */
    struct forward_client *clients;  /* of UDP, with the longest silent last */
    size_t client_count;
    struct forward_listener *paused; /* no descriptors were left */
};

int forwarder_open(struct forwarder *forwarder, struct error *err);
/* fd is a socket that is bound, and listens unless it is UDP's. */
int forwarder_add(struct forwarder *forwarder, int fd, bool is_udp,
                  const struct forward_target *target, struct error *err);
/* Returns only with an error. */
int forwarder_run(struct forwarder *forwarder, struct error *err);

/* port_forward_udp.c */
int forward_add_udp(struct forwarder *forwarder, int fd, const struct forward_target *target,
                    struct error *err);
/* Ends clients that have been silent for long; returns the milliseconds until there may be one, or
 * -1. */
int forward_expire_udp(struct forwarder *forwarder);

int forward_watch(struct forwarder *forwarder, int fd, struct forward_source *source,
                  uint32_t events, struct error *err);

#endif
