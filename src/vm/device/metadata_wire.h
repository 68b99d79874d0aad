/* The metadata service as a machine in the guest's network: it answers ARP for its address, and
 * HTTP over TCP on port 80; whatever else is sent to it is dropped, and never reaches the network.
 *
 * Why the TCP is our own and not lwIP, which Debian has: its liblwip is built with NO_SYS 0 for
 * sockets (a thread of its own, locking that expects it, its timers there), it keeps its state in
 * globals, and its pools are the heap (MEMP_MEM_MALLOC): a guest's connections would take memory
 * without bound. It also forwards packets (IP_FORWARD 1) and answers in IPv6. What a metadata
 * service needs of TCP is small: it only accepts, segments come in order or again, a response is a
 * few KiB, and the wire is memory, which loses nothing but what a guest without buffers loses. */
#ifndef HULL_VM_METADATA_WIRE_H
#define HULL_VM_METADATA_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define METADATA_FRAME_MAX 1514
#define METADATA_CONNECTIONS_MAX 30
#define METADATA_REQUEST_MAX 8192
#define METADATA_RESPONSE_MAX (1u << 20)

/* Who answers HTTP requests. */
struct metadata_answerer {
    /* Makes the response to the size bytes that a guest sent so far: an allocated buffer that the
     * caller frees, and its *response_size; or NULL if the request isn't whole yet. Of a request
     * that is followed by others, *taken is set to the size. *close: nothing more is to come. */
    char *(*answer)(void *context, const char *request, size_t size, size_t *taken,
                    size_t *response_size, bool *close);
    void *context;
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

/* How many of a frame's first bytes metadata_wire_is_for() looks at. */
#define METADATA_LOOK 42
/* Whether a frame of the guest, of which the first size bytes are given, is for the service. */
bool metadata_wire_is_for(const struct metadata_wire *wire, const uint8_t *frame, size_t size);
/* Takes such a frame, all of it. */
void metadata_wire_take(struct metadata_wire *wire, const uint8_t *frame, size_t size);
/* The next frame for the guest, at most METADATA_FRAME_MAX bytes: its size, or 0. */
size_t metadata_wire_next(struct metadata_wire *wire, uint8_t *frame);

/* Changes the address: connections to the old one are forgotten. */
void metadata_wire_set_address(struct metadata_wire *wire, struct in_addr address);

#endif
