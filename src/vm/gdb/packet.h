/* The frames of GDB's remote serial protocol (GDB's manual, appendix E): $payload#checksum, with
 * '}' before an escaped byte; '+' and '-' for received and not; 0x03 to interrupt. Knows nothing
 * of what packets mean. All sizes are bounded: what comes is anybody's bytes. */
#ifndef HULL_VM_GDB_PACKET_H
#define HULL_VM_GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_SIZE 0x4000 /* of a payload, in both directions */
/* A frame with all of its payload escaped. */
#define GDB_FRAME_SIZE (2 * GDB_PACKET_SIZE + 4)

enum gdb_input {
    GDB_NOTHING,   /* until more bytes come */
    GDB_PACKET,    /* one is in text */
    GDB_TOO_LONG,  /* one was that has no room there */
    GDB_INTERRUPT, /* 0x03, between packets */
};

struct gdb_packets {
    bool without_acknowledgement; /* QStartNoAckMode */
    enum { GDB_BETWEEN, GDB_INSIDE, GDB_ESCAPED, GDB_CHECKSUM_HIGH, GDB_CHECKSUM_LOW } state;
    uint8_t sum, expected;
    bool is_bad;   /* its checksum is none */
    size_t length; /* of the packet; more than GDB_PACKET_SIZE once it is too long */
    char text[GDB_PACKET_SIZE + 1]; /* without framing and escapes; ended by NUL */

    char output[2 * GDB_FRAME_SIZE]; /* to be sent: by who takes bytes from its front */
    size_t output_length;
    char last[GDB_FRAME_SIZE]; /* what was sent last, for a '-' */
    size_t last_length;
};

/* Reads of count bytes up to the end of one packet; *used is how many it took. Acknowledges what
 * comes, and sends the last packet again if it is asked to. */
enum gdb_input gdb_packets_take(struct gdb_packets *packets, const uint8_t *bytes, size_t count,
                                size_t *used);
/* Puts a packet into the output; length is at most GDB_PACKET_SIZE. False if it has no room, since
 * nobody takes what is there. */
bool gdb_packets_send(struct gdb_packets *packets, const char *payload, size_t length);
/* Takes count bytes, which were sent, from the output. */
void gdb_packets_sent(struct gdb_packets *packets, size_t count);

#endif
