/* What hull-dns knows: networks with names, containers that ask. See resolver.c for the file. */
#ifndef HULL_NETWORK_DNS_NAMES_H
#define HULL_NETWORK_DNS_NAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/memory.h"
#include "network/dns_packet.h"

#define DNS_ID_SIZE 65
#define DNS_UPSTREAMS 8

struct dns_name {
    const char *name; /* in lower case */
    struct dns_address address;
};

struct dns_network {
    const char *id, *name;
    struct dns_name *names;
    size_t count, room;
};

struct dns_upstream {
    struct sockaddr_storage address;
    socklen_t length;
};

struct dns_container {
    char id[DNS_ID_SIZE];
    bool internal;                       /* nothing is asked of anybody else for it */
    struct in_addr asks_at;              /* where the server listens in its namespace */
    const struct dns_network **networks; /* that it is in */
    size_t network_count;
    struct dns_upstream upstreams[DNS_UPSTREAMS]; /* none: the host's */
    size_t upstream_count;
};

struct dns_names {
    struct arena arena;
    struct dns_network *networks;
    struct dns_container *containers;
    size_t network_count, container_count;
};

/* Reads the file's text, which is changed. */
int dns_names_parse(struct dns_names *names, char *text, struct error *err);
void dns_names_release(struct dns_names *names);
const struct dns_container *dns_names_find_container(const struct dns_names *names, const char *id);

/* The addresses that a container knows a name by, of length bytes each (0: any), in *addresses,
 * which the caller frees. Returns whether the name is known at all: *count may be 0 then. A name
 * may end in ".NETWORK". */
bool dns_names_look_up(const struct dns_container *container, const char *name, size_t length,
                       struct dns_address **addresses, size_t *count);
/* "NAME.NETWORK" of an address, which the caller frees, or NULL. */
char *dns_names_look_up_address(const struct dns_container *container,
                                const struct dns_address *address);

bool dns_upstream_parse(struct dns_upstream *upstream, const char *text);
/* The nameserver lines of resolv.conf's text, which is changed. */
size_t dns_upstreams_parse(struct dns_upstream upstreams[DNS_UPSTREAMS], char *text);

#endif
