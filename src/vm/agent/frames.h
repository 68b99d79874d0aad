/* A connection that frames go over, turned by an event loop: used by both sides. Nothing that the
 * other side says is believed: a frame that may not be, or is too long, ends the connection; memory
 * is taken for what has arrived, not for what was announced. */
#ifndef HULL_VM_AGENT_FRAMES_H
#define HULL_VM_AGENT_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "vm/agent/wire.h"

struct frames {
    struct loop *loop;
    struct loop_source source;
    bool is_host; /* which side we are */
    bool paused;  /* nothing is read */
    bool greets;  /* what comes in is still a line of text */
    char *in;
    size_t in_length, in_room;
    char *out; /* out_start bytes of it are sent */
    size_t out_start, out_length, out_room;
    bool *gone; /* set when the connection is closed in a callback; NULL: in none */

    /* A frame has come. May close. bytes has a NUL behind it. */
    void (*received)(struct frames *frames, unsigned int type, char *bytes, size_t length);
    /* All has been sent that was queued. May be NULL. */
    void (*sent)(struct frames *frames);
    /* A line of text has come, while `greets`; without its newline. */
    void (*greeted)(struct frames *frames, char *line);
    /* The connection has ended, or the other side sent what it may not: err says. The callback
     * closes. */
    void (*ended)(struct frames *frames, const struct error *err);
};

/* Takes the descriptor, which must be non-blocking, and watches it. The callbacks, is_host and
 * greets are set before. */
void frames_open(struct frames *frames, struct loop *loop, int fd);
/* Closes and frees what it holds, also in a callback. Harmless where it isn't open. */
void frames_close(struct frames *frames);
bool frames_is_open(const struct frames *frames);

/* Closes, but for the descriptor, which is returned. */
int frames_release(struct frames *frames);

/* Queues a frame. Sent at once as far as the connection takes it. */
void frames_send(struct frames *frames, unsigned int type, const void *bytes, size_t length);
void frames_send_text(struct frames *frames, const char *text); /* no frame: a greeting */
/* How much is queued and not yet sent. */
size_t frames_backlog(const struct frames *frames);
void frames_pause(struct frames *frames, bool paused);

/* Without a loop, on a descriptor that blocks: sends all of the bytes, or a frame. -1 with errno.
 */
int frames_put_bytes(int fd, const void *bytes, size_t length);
int frames_put(int fd, unsigned int type, const void *bytes, size_t length);

/* Takes frames from bytes; what frames_open()'s reading does, for tests. False: closed. */
bool frames_take(struct frames *frames, const char *bytes, size_t length);

#endif
