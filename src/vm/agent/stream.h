/* The sending end of a stream of a process: what is on its way and not yet consumed is kept, so
 * that it can be sent again on another connection. Both sides count a stream's bytes from its
 * beginning, so each can say how far it has got. */
#ifndef HULL_VM_AGENT_STREAM_H
#define HULL_VM_AGENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/agent/frames.h"

struct stream {
    char *ring;        /* AGENT_WINDOW_SIZE bytes, allocated when first written to */
    uint64_t consumed; /* bytes of the stream that the other side is done with */
    uint64_t sent;     /* bytes sent */
    uint64_t end;      /* bytes taken in: consumed <= sent <= end <= consumed + window */
    bool closed;       /* nothing more is taken in */
    bool closed_sent;
};

void stream_release(struct stream *stream);

/* How many bytes it takes in now. */
size_t stream_room(const struct stream *stream);
/* Takes in at most so many bytes; how many it were. */
size_t stream_write(struct stream *stream, const void *bytes, size_t length);
/* Takes in what fd has, as far as there is room: read(2)'s result, or -1 with EAGAIN where there is
 * none. */
ssize_t stream_read_from(struct stream *stream, int fd);
/* Writes to fd what it has, without a frame: the number of bytes, or -1 with errno. They are
 * consumed. */
ssize_t stream_write_to(struct stream *stream, int fd);
bool stream_is_empty(const struct stream *stream);

/* Sends what hasn't been sent, and the end, as frames of this type, while the connection's backlog
 * is small. True if all is sent. */
bool stream_send(struct stream *stream, struct frames *frames, unsigned int type);

/* The other side has consumed so many more; false if it can't have. */
bool stream_consume(struct stream *stream, uint32_t bytes);
/* The other side of a new connection has had `received` bytes: what comes after is sent again.
 * False if that can't be. */
bool stream_resume(struct stream *stream, uint64_t received);

#endif
