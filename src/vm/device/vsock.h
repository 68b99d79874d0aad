/* What the files of the socket device share: packets, connections, and the device with its queues.
 *
 * A connection joins ports of both sides with a Unix socket. What it has to say to the guest is a
 * set of flags (enum vsock_pending), not a queue of packets, and it then stands in the device's
 * line of pending connections: vsock_deliver() lets each send a packet in turn while the guest has
 * buffers. So whatever the guest does, what is waiting is bounded. Bytes from the host are read
 * straight into the guest's buffers, and only as many as the guest has credit for; bytes from the
 * guest are written straight to the socket, and what it doesn't take waits in the connection's
 * ring, whose size is the credit that the guest has. */
#ifndef HULL_VM_VSOCK_H
#define HULL_VM_VSOCK_H

#include "vm/device/virtio_vsock.h"

#define VSOCK_CID_HOST 2
#define VSOCK_CONNECTIONS_MAX 1024
#define VSOCK_BUFFER_SIZE (128u << 10) /* the guest's credit of each connection; a power of two */
#define VSOCK_PACKET_SIZE (64u << 10)  /* payload of one packet to the guest, at most */
#define VSOCK_RESETS_MAX 64
#define VSOCK_BUCKETS 256

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENTS, VSOCK_QUEUES };

/* 5.10.6, little-endian. */
struct vsock_header {
    uint64_t source_cid, destination_cid;
    uint32_t source_port, destination_port, length;
    uint16_t type, operation;
    uint32_t flags, allocated, forwarded; /* the sender's buffer, and what it has read in all */
} __attribute__((packed));

#define VSOCK_TYPE_STREAM 1

enum vsock_operation {
    VSOCK_REQUEST = 1,
    VSOCK_RESPONSE,
    VSOCK_RESET,
    VSOCK_SHUTDOWN,
    VSOCK_DATA,
    VSOCK_CREDIT_UPDATE,
    VSOCK_CREDIT_REQUEST,
};

/* The sender of a shutdown will not receive, or not send, any more. */
enum { VSOCK_NO_RECEIVE = 1, VSOCK_NO_SEND = 2, VSOCK_NEITHER = 3 };

enum vsock_state {
    VSOCK_GREETING,    /* the host's "CONNECT" is awaited */
    VSOCK_REQUESTED,   /* the guest's answer is awaited */
    VSOCK_ESTABLISHED, /* bytes go both ways */
    VSOCK_DRAINING,    /* the guest has gone and was told so; its last bytes go to the host */
    VSOCK_DEAD,        /* only the guest isn't told yet */
};

enum vsock_pending {
    VSOCK_PENDING_RESET = 1,
    VSOCK_PENDING_REQUEST = 2,
    VSOCK_PENDING_RESPONSE = 4,
    VSOCK_PENDING_DATA = 8, /* the socket can be read */
    VSOCK_PENDING_SHUTDOWN = 16,
    VSOCK_PENDING_CREDIT_UPDATE = 32,
    VSOCK_PENDING_CREDIT_REQUEST = 64,
};

struct vsock_connection {
    struct vsock *vsock;
    unsigned slot; /* in vsock->connections */
    struct loop_source source;
    struct loop_timer timer; /* for the guest's answer, and for its goodbye */
    enum vsock_state state;
    uint32_t host_port, guest_port;
    struct vsock_connection *next_in_bucket;
    char greeting[sizeof "CONNECT 4294967295\n" + 1]; /* as far as it has come */
    size_t greeting_length;

    unsigned pending; /* enum vsock_pending */
    bool in_line;
    struct vsock_connection *next_in_line;

    /* Towards the guest. Counts of bytes, modulo 2^32. */
    uint32_t guest_allocated, guest_forwarded, sent;
    bool read_done; /* the socket's end was seen, or the guest doesn't want any more */

    /* Towards the host. */
    uint32_t received, forwarded;
    uint32_t forwarded_told; /* what the guest knows of forwarded */
    uint8_t *ring;           /* VSOCK_BUFFER_SIZE bytes, or NULL while nothing waits */
    uint32_t ring_start, ring_used;
    bool write_done; /* the socket takes no more bytes */

    bool hung_up;          /* the host closed its end, all of it */
    unsigned guest_flags;  /* of the shutdowns that the guest sent */
    unsigned to_say, said; /* flags of the shutdown that the guest is sent */
};

struct vsock {
    struct virtio_device device;
    struct {
        uint64_t guest_cid;
    } config;
    char *path;
    struct loop_source listener;
    struct loop_timer listen_again; /* after the host was short of descriptors */
    bool listening;
    uint32_t last_port;

    struct vsock_connection *connections[VSOCK_CONNECTIONS_MAX]; /* the first count */
    unsigned count;
    struct vsock_connection *buckets[VSOCK_BUCKETS];
    struct vsock_connection *line_first, *line_last;

    /* Answers to packets that belong to no connection. While there is no room, packets of the guest
     * wait. */
    struct vsock_header resets[VSOCK_RESETS_MAX];
    unsigned reset_first, reset_count;
    bool packets_wait;

    bool event_waits; /* a transport reset for which the guest has no buffer yet */
    struct virtqueue_chain chain;
    struct virtio_vsock_metrics metrics;
};

/* virtio_vsock.c */

/* Sends what is pending, as far as the guest has buffers. Connections may be gone afterwards. */
void vsock_deliver(struct vsock *vsock);
/* Answers a packet of the guest with a reset. */
void vsock_refuse(struct vsock *vsock, const struct vsock_header *header);

/* vsock_host.c: the Unix sockets */

int vsock_bind(struct vsock *vsock, struct error *err);
void vsock_unbind(struct vsock *vsock);
void vsock_listen(struct vsock *vsock, bool on);
/* Looks whether there is room for another connection. */
void vsock_listen_on(struct vsock *vsock);
/* The host's greeting can be read. The connection may be gone afterwards. */
void vsock_greeted(struct vsock_connection *connection);
/* A socket connected to what listens for the guest on port, or -1. */
int vsock_dial(struct vsock *vsock, uint32_t port);

/* vsock_connection.c */

/* Adds a connection around a socket; NULL, and it is closed, if there are too many. */
struct vsock_connection *vsock_connection_add(struct vsock *vsock, int fd, enum vsock_state state);
/* Gives it its ports, by which it is found. */
void vsock_connection_name(struct vsock_connection *connection, uint32_t host_port,
                           uint32_t guest_port);
struct vsock_connection *vsock_connection_find(const struct vsock *vsock, uint32_t host_port,
                                               uint32_t guest_port);
void vsock_connection_free(struct vsock_connection *connection);
/* Ends it at once; the guest is told by a reset, then it is freed. */
void vsock_connection_reset(struct vsock_connection *connection);
/* Something is to be said to the guest. */
void vsock_connection_pend(struct vsock_connection *connection, unsigned what);
/* Watches the socket for what matters now. */
void vsock_connection_watch(struct vsock_connection *connection);

/* The guest's packet, whose payload is size bytes in parts. The connection may be gone afterwards.
 */
void vsock_connection_take(struct vsock_connection *connection, const struct vsock_header *header,
                           const struct iovec *parts, unsigned count);
/* Makes the next packet for the guest: fills the header but for its addresses, and the payload into
 * parts. False if there is nothing to say after all. The reset is the last one. */
bool vsock_connection_say(struct vsock_connection *connection, struct vsock_header *header,
                          const struct iovec *parts, unsigned count);

#endif
