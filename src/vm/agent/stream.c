#include "vm/agent/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/memory.h"

#define BACKLOG_LIMIT 65536

void stream_release(struct stream *stream)
{
    free(stream->ring);
    stream->ring = NULL;
}

size_t stream_room(const struct stream *stream)
{
    return stream->closed ? 0 : AGENT_WINDOW_SIZE - (size_t)(stream->end - stream->consumed);
}

bool stream_is_empty(const struct stream *stream)
{
    return stream->end == stream->consumed;
}

/* The pieces of the ring from byte `from` of the stream on, length bytes: one or two. */
static int pieces(const struct stream *stream, uint64_t from, size_t length, struct iovec part[2])
{
    size_t at = (size_t)(from % AGENT_WINDOW_SIZE), first = AGENT_WINDOW_SIZE - at;
    part[0] = (struct iovec){stream->ring + at, length < first ? length : first};
    part[1] = (struct iovec){stream->ring, length - part[0].iov_len};
    return part[1].iov_len ? 2 : 1;
}

static void prepare(struct stream *stream)
{
    if (!stream->ring)
        stream->ring = memory_allocate(1, AGENT_WINDOW_SIZE);
}

size_t stream_write(struct stream *stream, const void *bytes, size_t length)
{
    size_t room = stream_room(stream), count = length < room ? length : room;
    if (count == 0)
        return 0;
    struct iovec part[2] = {{0}};
    prepare(stream);
    pieces(stream, stream->end, count, part);
    memcpy(part[0].iov_base, bytes, part[0].iov_len);
    if (part[1].iov_len)
        memcpy(part[1].iov_base, (const char *)bytes + part[0].iov_len, part[1].iov_len);
    stream->end += count;
    return count;
}

ssize_t stream_read_from(struct stream *stream, int fd)
{
    struct iovec part[2];
    size_t room = stream_room(stream);
    if (room == 0) {
        errno = EAGAIN;
        return -1;
    }
    prepare(stream);
    ssize_t count = readv(fd, part, pieces(stream, stream->end, room, part));
    if (count > 0)
        stream->end += (uint64_t)count;
    return count;
}

ssize_t stream_write_to(struct stream *stream, int fd)
{
    struct iovec part[2];
    size_t length = (size_t)(stream->end - stream->consumed);
    if (length == 0)
        return 0;
    ssize_t count = writev(fd, part, pieces(stream, stream->consumed, length, part));
    if (count > 0)
        stream->consumed += (uint64_t)count;
    return count;
}

bool stream_send(struct stream *stream, struct frames *frames, unsigned int type)
{
    while (stream->sent < stream->end && frames_backlog(frames) < BACKLOG_LIMIT) {
        struct iovec part[2];
        size_t length = (size_t)(stream->end - stream->sent);
        pieces(stream, stream->sent, length, part);
        length = part[0].iov_len < AGENT_DATA_LIMIT ? part[0].iov_len : AGENT_DATA_LIMIT;
        frames_send(frames, type, part[0].iov_base, length);
        stream->sent += length;
    }
    if (stream->sent < stream->end)
        return false;
    if (stream->closed && !stream->closed_sent) {
        frames_send(frames, type, NULL, 0);
        stream->closed_sent = true;
    }
    return true;
}

bool stream_consume(struct stream *stream, uint32_t bytes)
{
    if (bytes > stream->sent - stream->consumed)
        return false;
    stream->consumed += bytes;
    return true;
}

bool stream_resume(struct stream *stream, uint64_t received)
{
    if (received < stream->consumed || received > stream->sent)
        return false;
    stream->consumed = stream->sent = received;
    stream->closed_sent = false;
    return true;
}
