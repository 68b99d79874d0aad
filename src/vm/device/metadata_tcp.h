/* The passive end of TCP connections (RFC 9293), as much as the metadata service needs. It never
 * connects; segments that come out of order are dropped, and come again; there is no window scaling
 * or selective acknowledgement, and no congestion control, because the wire is the guest's memory:
 * it loses nothing. All that a connection holds is bounded: a request, an answer. */
#ifndef HULL_VM_METADATA_TCP_H
#define HULL_VM_METADATA_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/device/metadata_wire.h"

#define TCP_CONNECTIONS_MAX 30
#define TCP_REQUEST_MAX 8192
#define TCP_PAYLOAD_MAX 1460

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

#define TCP_SERVICE_PORT 80

/* A segment without its addresses. */
struct tcp_segment {
    uint16_t guest_port, service_port;
    uint32_t sequence, acknowledgement;
    uint16_t window, segment_size; /* of the option of a SYN; 0: none given */
    uint8_t flags;
    const uint8_t *payload;
    size_t size;
};

struct tcp_peer {
    uint8_t mac[6], address[4]; /* of the guest: who sent, and who is answered */
};

enum tcp_state { TCP_FREE, TCP_SYN_RECEIVED, TCP_OPEN };

struct tcp_connection {
    enum tcp_state state;
    struct tcp_peer peer;
    uint16_t port;
    uint16_t segment_size; /* payload of one segment to the guest */
    int64_t used;          /* ms: when the guest was heard of last */

    uint32_t received; /* the sequence number that is expected next */
    char *request;     /* TCP_REQUEST_MAX bytes */
    size_t request_size;
    bool received_end;

    /* Sequence numbers of what goes to the guest: of the first byte of the answer that isn't
     * acknowledged, of the next one to be sent, and of the first one that never was. */
    uint32_t acknowledged, next, highest;
    uint32_t window;
    char *answer; /* or NULL */
    size_t answer_size;
    size_t answer_done;        /* bytes of it that are acknowledged */
    bool closing, end_is_sent; /* nothing follows the answer; and that was said */
    bool must_acknowledge;
    unsigned retries;
    int64_t deadline; /* ms: when to send again what isn't acknowledged; 0: all is */
};

#define TCP_RESETS_MAX 16

struct tcp_reset {
    struct tcp_peer peer;
    struct tcp_segment segment;
};

struct tcp {
    struct metadata_answerer answerer;
    struct metadata_wire_metrics metrics;
    struct tcp_connection connections[TCP_CONNECTIONS_MAX];
    unsigned turn;                           /* whose it is to send */
    struct tcp_reset resets[TCP_RESETS_MAX]; /* the first reset_count wait to be sent */
    unsigned reset_count;
};

/* now is in ms of the monotonic clock. */
void tcp_take(struct tcp *tcp, const struct tcp_peer *peer, const struct tcp_segment *segment,
              int64_t now);
/* The next segment to be sent, if there is one. Its payload is valid until the next call. */
bool tcp_next(struct tcp *tcp, struct tcp_peer *peer, struct tcp_segment *segment, int64_t now);
/* Does what has become due; when to call it again in ms from now, or -1: after other calls. */
int64_t tcp_turn(struct tcp *tcp, int64_t now);
void tcp_forget(struct tcp *tcp);

#endif
