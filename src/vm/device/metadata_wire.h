/* The metadata service as a machine in the guest's network: it answers ARP for its address, and
 * requests over TCP on port 80; whatever else is sent to it is dropped, and nothing that is reaches
 * the network. What the requests are (HTTP) is somebody else's business: struct metadata_answerer.
 *
 * Why the TCP (metadata_tcp.h) is our own and not lwIP's, which Debian has: its liblwip is built
 * with NO_SYS 0, for sockets (a thread of its own, its timers there, a core lock); it keeps its
 * state in globals; and its pools are the heap (MEMP_MEM_MALLOC), so a guest's connections would
 * take memory without bound. It also forwards (IP_FORWARD 1) and speaks IPv6. */
#ifndef HULL_VM_METADATA_WIRE_H
#define HULL_VM_METADATA_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define METADATA_FRAME_MAX 1514 /* to the guest */
/* From the guest, which may leave it to the device to cut its segments: the window, and headers. */
#define METADATA_TAKE_MAX (8192 + 14 + 60 + 60)
/* How many of a frame's first bytes metadata_wire_is_for() looks at. */
#define METADATA_LOOK 42

/* Who answers requests. */
struct metadata_answerer {
    /* Answers the first request in the size bytes that a guest sent: returns an allocated response
     * of *response_size bytes, and sets *taken to the length of the request, and *close if the
     * connection ends with the response; or returns NULL: the request isn't complete yet. */
    char *(*answer)(void *context, const char *request, size_t size, size_t *taken,
                    size_t *response_size, bool *close);
    void *context;
};

/* Counts since it was made. */
struct metadata_wire_metrics {
    uint64_t rx_accepted, rx_bytes, rx_bad; /* frames from the guest */
    uint64_t tx_frames, tx_bytes;           /* to the guest */
    uint64_t connections_created, connections_destroyed;
};

struct metadata_wire;

struct metadata_wire *metadata_wire_create(struct in_addr address,
                                           const struct metadata_answerer *answerer);
void metadata_wire_release(struct metadata_wire *wire);

/* Starts: ready(context) is called on the loop when there are frames for the guest that weren't
 * caused by metadata_wire_take(). */
void metadata_wire_attach(struct metadata_wire *wire, struct loop *loop,
                          void (*ready)(void *context), void *context);
/* Forgets all connections. */
void metadata_wire_reset(struct metadata_wire *wire);
/* Changes the address. Connections to the old one are forgotten. */
void metadata_wire_set_address(struct metadata_wire *wire, struct in_addr address);

/* Whether a frame of the guest, of which the first size bytes are given, is for the service. */
bool metadata_wire_is_for(const struct metadata_wire *wire, const uint8_t *frame, size_t size);
/* Takes such a frame, all of it. */
void metadata_wire_take(struct metadata_wire *wire, const uint8_t *frame, size_t size);
/* The next frame for the guest, at most METADATA_FRAME_MAX bytes: its size, or 0. */
size_t metadata_wire_next(struct metadata_wire *wire, uint8_t *frame);

const struct metadata_wire_metrics *metadata_wire_metrics(const struct metadata_wire *wire);

#endif
