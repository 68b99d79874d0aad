/* File transfers, one after the other: for a program that does nothing else meanwhile. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/agent/dial.h"

#define GREETING_LIMIT 128

static int fail(struct error *err, const char *what)
{
    return error_set(err, errno == EAGAIN ? ETIMEDOUT : errno, "%s the guest's agent", what);
}

static int receive_all(int fd, void *bytes, size_t length)
{
    char *to = bytes;
    while (length > 0) {
        ssize_t count = recv(fd, to, length, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count == 0)
            errno = ECONNRESET;
        if (count <= 0)
            return -1;
        to += count;
        length -= (size_t)count;
    }
    return 0;
}

static int greet(int fd, uint32_t port, struct error *err)
{
    char line[GREETING_LIMIT];
    size_t length = (size_t)snprintf(line, sizeof line, "CONNECT %u\n", port);
    if (frames_put_bytes(fd, line, length) < 0)
        return fail(err, "can't reach");
    for (length = 0; length < sizeof line; length++) {
        if (receive_all(fd, line + length, 1) < 0)
            return fail(err, "can't reach");
        if (line[length] == '\n')
            break;
    }
    if (length < 3 || memcmp(line, "OK ", 3) != 0)
        return error_set(err, EPROTO, "the machine monitor doesn't connect to port %u", port);
    return 0;
}

static int send_frame(int fd, unsigned int type, const void *bytes, size_t length,
                      struct error *err)
{
    return frames_put(fd, type, bytes, length) < 0 ? fail(err, "can't send to") : 0;
}

/* The frame's type, and its bytes with a NUL behind them in *bytes, which the caller frees. */
static int receive_frame(int fd, char **bytes, size_t *length, struct error *err)
{
    struct agent_header header;
    *bytes = NULL;
    if (receive_all(fd, &header, sizeof header) < 0)
        return fail(err, "can't hear from");
    int64_t limit = agent_frame_limit(header.type, 0);
    if (limit < 0 || header.length > limit || header.reserved != 0)
        return error_set(err, EPROTO, "the guest's agent sent what is no frame of the protocol");
    *bytes = memory_allocate(1, header.length + 1);
    *length = header.length;
    if (receive_all(fd, *bytes, header.length) < 0)
        return fail(err, "can't hear from");
    return header.type;
}

/* 0 with *reply (which may be NULL), or -1 with what the guest says. */
static int await_reply(int fd, json_t **reply, struct error *err)
{
    scope_free char *bytes = NULL;
    size_t length = 0;
    int type = receive_frame(fd, &bytes, &length, err);
    if (type < 0)
        return -1;
    if (type == AGENT_ERROR)
        return dial_parse_error(bytes, length, err);
    if (type != AGENT_REPLY)
        return error_set(err, EPROTO, "the guest's agent sent what wasn't asked for");
    json_t *document = dial_parse_reply(bytes, length, err);
    if (!document)
        return -1;
    if (reply)
        *reply = document;
    else
        json_decref(document);
    return 0;
}

static int begin(const struct agent_address *address, const char *request, json_t *document,
                 int64_t timeout, json_t **reply, struct error *err)
{
    struct timeval time = {.tv_sec = timeout / 1000, .tv_usec = timeout % 1000 * 1000};
    scope_free char *text = dial_request_text(request, document, err);
    if (!text)
        return -1;
    scope_close int fd = dial_connect(address->socket, 0);
    if (fd < 0)
        return error_set(err, errno, "can't connect to %s", address->socket);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    if (greet(fd, address->port, err) < 0 ||
        send_frame(fd, AGENT_REQUEST, text, strlen(text), err) < 0 ||
        await_reply(fd, reply, err) < 0)
        return -1;
    return scope_take_fd(&fd);
}

static int take_archive(int connection, int fd, struct error *err)
{
    for (;;) {
        scope_free char *bytes = NULL;
        size_t length = 0;
        int type = receive_frame(connection, &bytes, &length, err);
        if (type == AGENT_END)
            return 0;
        if (type == AGENT_ERROR)
            return dial_parse_error(bytes, length, err);
        if (type >= 0 && type != AGENT_DATA)
            error_set(err, EPROTO, "the guest's agent sent what wasn't asked for");
        if (type != AGENT_DATA)
            return -1;
        if (file_write_all(fd, bytes, length) < 0)
            return error_set(err, errno, "can't write the archive");
    }
}

int agent_copy_out(const struct agent_address *address, const char *path, int fd, json_t **status,
                   int64_t timeout, struct error *err)
{
    json_t *document = json_pack("{s:s}", "path", path), *reply = NULL;
    if (!document)
        return error_set(err, EILSEQ, "the path can't be written as JSON");
    scope_close int connection = begin(address, "copy-out", document, timeout, &reply, err);
    json_decref(document);
    if (connection < 0)
        return -1;
    int result = take_archive(connection, fd, err);
    if (status && result == 0)
        *status = reply;
    else
        json_decref(reply);
    return result;
}

/* What the guest said while we sent is why sending failed. */
static int explain(int connection, struct error *err)
{
    struct error said = {0};
    if (await_reply(connection, NULL, &said) < 0 && said.code != ECONNRESET && err)
        *err = said;
    return -1;
}

/* It says something before the end: that it has failed. */
static bool has_answered(int connection)
{
    struct pollfd polled = {connection, POLLIN, 0};
    return poll(&polled, 1, 0) > 0;
}

static int give_archive(int connection, int fd, struct error *err)
{
    scope_free char *bytes = memory_allocate(1, AGENT_DATA_LIMIT);
    for (;;) {
        ssize_t count = read(fd, bytes, AGENT_DATA_LIMIT);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set(err, errno, "can't read the archive");
        if (count == 0)
            break;
        if (has_answered(connection))
            return await_reply(connection, NULL, err) < 0
                       ? -1
                       : error_set(err, EPROTO, "the guest's agent replied too early");
        if (send_frame(connection, AGENT_DATA, bytes, (size_t)count, err) < 0)
            return explain(connection, err);
    }
    if (send_frame(connection, AGENT_END, NULL, 0, err) < 0)
        return explain(connection, err);
    return await_reply(connection, NULL, err);
}

int agent_copy_in(const struct agent_address *address, const char *path, json_t *options, int fd,
                  int64_t timeout, struct error *err)
{
    json_t *document = json_pack("{s:s}", "path", path);
    if (document && options)
        json_object_update_missing(document, options);
    json_decref(options);
    if (!document)
        return error_set(err, EILSEQ, "the path can't be written as JSON");
    scope_close int connection = begin(address, "copy-in", document, timeout, NULL, err);
    json_decref(document);
    return connection < 0 ? -1 : give_archive(connection, fd, err);
}
