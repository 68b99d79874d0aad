#include "vm/agent/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"

#define READ_SIZE 16384
#define GREETING_LIMIT 128

bool frames_is_open(const struct frames *frames)
{
    return frames->loop != NULL;
}

static void update(struct frames *frames)
{
    loop_watch(frames->loop, &frames->source,
               (frames->paused ? 0 : EPOLLIN) |
                   (frames->out_start < frames->out_length ? EPOLLOUT : 0));
}

static void end(struct frames *frames, int code, const char *reason)
{
    struct error err;
    error_set(&err, code, "%s", reason);
    err.code = code ? code : ECONNRESET;
    frames->ended(frames, &err);
}

/* ---- in ---- */

/* Takes the line of text off what has come in; true if more can be taken. */
static bool take_greeting(struct frames *frames, size_t *at)
{
    char line[GREETING_LIMIT + 1], *start = frames->in + *at;
    size_t length = frames->in_length - *at;
    char *newline = length ? memchr(start, '\n', length) : NULL;
    size_t count = newline ? (size_t)(newline - start) : length;
    if (count > GREETING_LIMIT) {
        end(frames, EPROTO, "the other side's greeting is no line of text");
        return false;
    }
    if (!newline)
        return false;
    memcpy(line, start, count);
    line[count] = '\0';
    *at += count + 1;
    frames->greets = false;
    frames->greeted(frames, line);
    return true;
}

/* Takes a frame off what has come in; true if more can be taken. */
static bool take_frame(struct frames *frames, size_t *at)
{
    struct agent_header header;
    if (frames->in_length - *at < sizeof header)
        return false;
    memcpy(&header, frames->in + *at, sizeof header);
    int64_t limit = agent_frame_limit(header.type, !frames->is_host);
    if (limit < 0 || header.length > limit || header.reserved != 0) {
        end(frames, EPROTO, "the other side sent what is no frame of the protocol");
        return false;
    }
    if (frames->in_length - *at - sizeof header < header.length)
        return false;
    char *bytes = frames->in + *at + sizeof header, *behind = bytes + header.length, kept = *behind;
    bool *gone = frames->gone;
    *at += sizeof header + header.length;
    *behind = '\0'; /* there is room for it behind all that came in */
    frames->received(frames, header.type, bytes, header.length);
    if (!*gone)
        *behind = kept;
    return true;
}

/* Gives what is whole to the owner, who may close the connection or pause it. */
static void take_all(struct frames *frames)
{
    bool *gone = frames->gone;
    char *in = frames->in; /* ours while the owner looks at it, whatever he does */
    size_t at = 0;
    bool more = true;
    while (more && !*gone && !frames->paused)
        more = frames->greets ? take_greeting(frames, &at) : take_frame(frames, &at);
    if (*gone) {
        free(in);
        return;
    }
    frames->in_length -= at;
    memmove(frames->in, frames->in + at, frames->in_length);
}

static void reserve(char **bytes, size_t *room, size_t wanted)
{
    if (wanted <= *room)
        return;
    *room = wanted > 2 * *room ? wanted : 2 * *room;
    *bytes = memory_resize(*bytes, *room, 1);
}

bool frames_take(struct frames *frames, const char *bytes, size_t length)
{
    bool gone = false, *outer = frames->gone;
    reserve(&frames->in, &frames->in_room, frames->in_length + length + 1);
    memcpy(frames->in + frames->in_length, bytes, length);
    frames->in_length += length;
    frames->gone = &gone;
    take_all(frames);
    if (gone) {
        if (outer)
            *outer = true;
        return false;
    }
    frames->gone = outer;
    return true;
}

static void read_more(struct frames *frames)
{
    char bytes[READ_SIZE];
    ssize_t count = read(frames->source.fd, bytes, sizeof bytes);
    if (count > 0)
        frames_take(frames, bytes, (size_t)count);
    else if (count == 0)
        end(frames, 0, "the connection was closed");
    else if (errno != EAGAIN && errno != EINTR)
        end(frames, errno, "the connection broke");
}

void frames_pause(struct frames *frames, bool paused)
{
    if (frames->paused == paused)
        return;
    frames->paused = paused;
    update(frames);
    /* What came before the pause is there already, and the descriptor may never be ready again. */
    if (!paused && !frames->gone)
        frames_take(frames, "", 0);
}

/* ---- out ---- */

/* What doesn't go now goes when there is room; that the connection is gone shows when it is read.
 */
static void send_more(struct frames *frames)
{
    while (frames->out_start < frames->out_length) {
        ssize_t count = send(frames->source.fd, frames->out + frames->out_start,
                             frames->out_length - frames->out_start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (count < 0)
            count = (ssize_t)(frames->out_length - frames->out_start);
        frames->out_start += (size_t)count;
    }
    if (frames->out_start == frames->out_length)
        frames->out_start = frames->out_length = 0;
    update(frames);
}

static void queue(struct frames *frames, const void *bytes, size_t length)
{
    if (length == 0)
        return;
    if (frames->out_start > 0) {
        frames->out_length -= frames->out_start;
        memmove(frames->out, frames->out + frames->out_start, frames->out_length);
        frames->out_start = 0;
    }
    reserve(&frames->out, &frames->out_room, frames->out_length + length);
    memcpy(frames->out + frames->out_length, bytes, length);
    frames->out_length += length;
}

void frames_send(struct frames *frames, unsigned int type, const void *bytes, size_t length)
{
    struct agent_header header = {.length = (uint32_t)length, .type = (uint16_t)type};
    queue(frames, &header, sizeof header);
    queue(frames, bytes, length);
    send_more(frames);
}

void frames_send_text(struct frames *frames, const char *text)
{
    queue(frames, text, strlen(text));
    send_more(frames);
}

size_t frames_backlog(const struct frames *frames)
{
    return frames->out_length - frames->out_start;
}

/* ---- the connection ---- */

static void serve(struct loop_source *source, uint32_t events)
{
    struct frames *frames = loop_owner(source, struct frames, source);
    if (events & EPOLLOUT) {
        send_more(frames);
        if (frames_backlog(frames) == 0 && frames->sent)
            frames->sent(frames);
    } else {
        read_more(frames);
    }
}

void frames_open(struct frames *frames, struct loop *loop, int fd)
{
    frames->loop = loop;
    frames->source = (struct loop_source){.fd = fd, .ready = serve};
    update(frames);
}

int frames_release(struct frames *frames)
{
    int fd = frames->source.fd;
    loop_watch(frames->loop, &frames->source, 0);
    frames->loop = NULL;
    if (frames->gone)
        *frames->gone = true;
    else
        free(frames->in);
    free(frames->out);
    frames->in = frames->out = NULL;
    frames->gone = NULL;
    frames->in_length = frames->in_room = frames->out_start = frames->out_length =
        frames->out_room = 0;
    return fd;
}

void frames_close(struct frames *frames)
{
    if (!frames_is_open(frames))
        return;
    close(frames_release(frames));
}

int frames_put_bytes(int fd, const void *bytes, size_t length)
{
    const char *from = bytes;
    while (length > 0) {
        ssize_t count = send(fd, from, length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        from += count;
        length -= (size_t)count;
    }
    return 0;
}

int frames_put(int fd, unsigned int type, const void *bytes, size_t length)
{
    struct agent_header header = {.length = (uint32_t)length, .type = (uint16_t)type};
    return frames_put_bytes(fd, &header, sizeof header) < 0 ? -1
                                                            : frames_put_bytes(fd, bytes, length);
}
