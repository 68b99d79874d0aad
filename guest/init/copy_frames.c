#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "copy.h"
#include "vm/agent/frames.h"

int copy_flush(struct copy_output *output, struct error *err)
{
    size_t length = output->used;
    output->used = 0;
    if (length > 0 && frames_put(output->fd, AGENT_DATA, output->bytes, length) < 0)
        return error_set(err, errno, "can't send the archive");
    return 0;
}

int copy_write(struct copy_output *output, const void *bytes, size_t length, struct error *err)
{
    const char *from = bytes;
    while (length > 0) {
        size_t room = sizeof output->bytes - output->used, count = length < room ? length : room;
        memcpy(output->bytes + output->used, from, count);
        output->used += count;
        from += count;
        length -= count;
        if (output->used == sizeof output->bytes && copy_flush(output, err) < 0)
            return -1;
    }
    return 0;
}

static int receive_all(int fd, void *bytes, size_t length)
{
    char *to = bytes;
    while (length > 0) {
        ssize_t count = read(fd, to, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            errno = count < 0 ? errno : ECONNRESET;
            return -1;
        }
        to += count;
        length -= (size_t)count;
    }
    return 0;
}

static int fill(struct copy_input *input, struct error *err)
{
    struct agent_header header;
    if (receive_all(input->fd, &header, sizeof header) < 0)
        return error_set(err, errno, "can't receive the archive");
    if (header.type == AGENT_END && header.length == 0) {
        input->at_end = true;
        return 0;
    }
    if (header.type != AGENT_DATA || header.length > sizeof input->bytes)
        return error_set(err, EPROTO, "can't receive the archive");
    if (receive_all(input->fd, input->bytes, header.length) < 0)
        return error_set(err, errno, "can't receive the archive");
    input->start = 0;
    input->length = header.length;
    return 0;
}

int copy_read(struct copy_input *input, void *bytes, size_t length, struct error *err)
{
    char *to = bytes;
    while (length > 0) {
        if (input->start == input->length) {
            if (!input->at_end && fill(input, err) < 0)
                return -1;
            if (input->at_end)
                return error_set(err, EPROTO, "the archive ends in the middle");
            continue;
        }
        size_t there = input->length - input->start, count = length < there ? length : there;
        memcpy(to, input->bytes + input->start, count);
        input->start += count;
        to += count;
        length -= count;
    }
    return 0;
}

int copy_drain(struct copy_input *input, struct error *err)
{
    while (!input->at_end) {
        if (fill(input, err) < 0)
            return -1;
    }
    return 0;
}
