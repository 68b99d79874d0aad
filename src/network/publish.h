/* Between attach.c and the files of published ports. */
#ifndef HULL_NETWORK_PUBLISH_H
#define HULL_NETWORK_PUBLISH_H

#include "network/network_internal.h"

/* Ports as they are published, each with the socket that reserves it (-1 if the kernel doesn't know
 * the protocol). */
struct publication {
    struct network_port *ports;
    int *sockets;
    size_t count;
};

/* Binds what is asked for; an address "" is default_address, which may be "": all. */
int publication_bind(struct networks *networks, const struct network_port *ports, size_t count,
                     const char *default_address, struct publication *publication,
                     struct error *err);
void publication_release(struct publication *publication);
#define scope_publication __attribute__((cleanup(publication_release)))

/* The first socket's number in hull-port. */
#define PUBLICATION_DESCRIPTOR 3

/* Starts the container's hull-port, which holds the sockets from then on, and records it. */
int publication_start(struct networks *networks, struct container_record *container,
                      const struct publication *publication, struct error *err);
/* Another one takes over the sockets, for the addresses that the container has now. */
int publication_restart(struct networks *networks, struct container_record *container,
                        struct error *err);

#endif
