/* What goes over the wire between the host and the agent in a guest: docs/agent.md. Both sides are
 * compiled with this.
 *
 * Every conversation is a connection of its own, and a sequence of frames in each direction: a
 * header of eight bytes, then so many bytes. Numbers are little-endian, as both sides are. */
#ifndef HULL_VM_AGENT_WIRE_H
#define HULL_VM_AGENT_WIRE_H

#include <stdint.h>

#define AGENT_VERSION 1
#define AGENT_PORT 1024 /* where nothing else is said */

#define AGENT_DOCUMENT_LIMIT (1U << 20) /* bytes of a JSON document */
#define AGENT_DATA_LIMIT 32768U         /* bytes of any other frame */
#define AGENT_WINDOW_SIZE 65536U        /* bytes of a stream that may be on their way */

struct agent_header {
    uint32_t length; /* of what follows */
    uint16_t type;
    uint16_t reserved; /* 0 */
};

enum agent_frame {
    /* JSON */
    AGENT_REQUEST = 1, /* host: first in each conversation */
    AGENT_REPLY = 2,   /* guest: it is done */
    AGENT_ERROR = 3,   /* guest: it couldn't be done */
    /* Files, either way: a tar archive, and its end */
    AGENT_DATA = 4,
    AGENT_END = 5,
    /* A process. An empty frame of a stream is its end. */
    AGENT_STDIN = 16,
    AGENT_STDOUT = 17,
    AGENT_STDERR = 18,
    AGENT_WINDOW = 19, /* either way: struct agent_window */
    AGENT_RESIZE = 20, /* host: struct agent_size */
    AGENT_SIGNAL = 21, /* host: struct agent_signal */
    AGENT_EXIT = 22,   /* guest: struct agent_exit */
    AGENT_FORGET = 23, /* host: has got AGENT_EXIT */
};

enum agent_stream_number { AGENT_STREAM_STDIN, AGENT_STREAM_STDOUT, AGENT_STREAM_STDERR };

/* So many more bytes of the stream have been consumed. */
struct agent_window {
    uint32_t stream; /* enum agent_stream_number */
    uint32_t bytes;
};

struct agent_size {
    uint16_t rows, columns;
};

struct agent_signal {
    uint32_t number;
};

struct agent_exit {
    uint32_t status; /* of its end, as shells have it: 128 + the signal where one killed it */
    uint32_t signal; /* that killed it, or 0 */
};

/* The most bytes that a frame of this type may have, as the host (or the guest) sends it; -1: none
 * is sent in that direction. */
static inline int64_t agent_frame_limit(unsigned int type, int from_host)
{
    switch (type) {
    case AGENT_REQUEST:
        return from_host ? (int64_t)AGENT_DOCUMENT_LIMIT : -1;
    case AGENT_REPLY:
    case AGENT_ERROR:
        return from_host ? -1 : (int64_t)AGENT_DOCUMENT_LIMIT;
    case AGENT_DATA:
        return AGENT_DATA_LIMIT;
    case AGENT_END:
        return 0;
    case AGENT_STDIN:
        return from_host ? (int64_t)AGENT_DATA_LIMIT : -1;
    case AGENT_STDOUT:
    case AGENT_STDERR:
        return from_host ? -1 : (int64_t)AGENT_DATA_LIMIT;
    case AGENT_WINDOW:
        return sizeof(struct agent_window);
    case AGENT_RESIZE:
        return from_host ? (int64_t)sizeof(struct agent_size) : -1;
    case AGENT_SIGNAL:
        return from_host ? (int64_t)sizeof(struct agent_signal) : -1;
    case AGENT_EXIT:
        return from_host ? -1 : (int64_t)sizeof(struct agent_exit);
    case AGENT_FORGET:
        return from_host ? 0 : -1;
    default:
        return -1;
    }
}

#endif
