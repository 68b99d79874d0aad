#include "vm/agent/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

#define FIRST_PAUSE_MS 2
#define LAST_PAUSE_MS 20
#define MESSAGE_LIMIT 800

int dial_connect(const char *path, int flags)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* By a descriptor: the path may be longer than sun_path, and whoever listens there, a jailed
     * monitor, can't have us follow a link that it has put in the socket's place. */
    scope_close int target = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", target);
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return scope_take_fd(&fd);
}

static void try_again_later(struct dial *dial)
{
    loop_timer_set(dial->loop, &dial->retry, dial->pause);
    dial->pause = dial->pause * 2 < LAST_PAUSE_MS ? dial->pause * 2 : LAST_PAUSE_MS;
}

static void try(struct dial *dial)
{
    int fd = dial_connect(dial->socket, SOCK_NONBLOCK);
    if (fd < 0) {
        error_set(&dial->last, errno, "can't connect to %s", dial->socket);
        try_again_later(dial);
        return;
    }
    char line[32];
    snprintf(line, sizeof line, "CONNECT %u\n", dial->port);
    dial->frames.greets = true;
    frames_open(&dial->frames, dial->loop, fd);
    frames_send_text(&dial->frames, line);
}

static void retry(struct loop_timer *timer)
{
    try(loop_owner(timer, struct dial, retry));
}

static void deadline_is_over(struct loop_timer *timer)
{
    struct dial *dial = loop_owner(timer, struct dial, deadline);
    struct error err;
    if (dial->is_connected || !dial->last.text[0])
        error_set(&err, ETIMEDOUT, "the guest's agent didn't answer in %lld ms",
                  (long long)dial->timeout);
    else
        error_set(&err, 0, "the guest's agent wasn't there in %lld ms: %s",
                  (long long)dial->timeout, dial->last.text);
    err.code = ETIMEDOUT;
    dial->failed(dial, &err);
}

/* "OK 1073741824", with the port that the machine monitor took. */
static void greeted(struct frames *frames, char *line)
{
    struct dial *dial = loop_owner(frames, struct dial, frames);
    if (strncmp(line, "OK ", 3) != 0) {
        struct error err;
        error_set(&err, EPROTO, "%s isn't a machine monitor's socket for vsock", dial->socket);
        dial->failed(dial, &err);
        return;
    }
    dial->is_connected = true;
    dial->connected(dial);
}

static void have_received(struct frames *frames, unsigned int type, char *bytes, size_t length)
{
    struct dial *dial = loop_owner(frames, struct dial, frames);
    dial->received(dial, type, bytes, length);
}

/* A guest that doesn't listen yet: the machine monitor closes the connection. */
static void have_ended(struct frames *frames, const struct error *err)
{
    struct dial *dial = loop_owner(frames, struct dial, frames);
    if (dial->is_connected || err->code == EPROTO) {
        dial->failed(dial, err);
        return;
    }
    error_set(&dial->last, 0, "the guest doesn't listen on port %u", dial->port);
    frames_close(frames);
    try_again_later(dial);
}

void dial_open(struct dial *dial, struct loop *loop, const struct agent_address *address,
               int64_t timeout)
{
    dial->loop = loop;
    dial->socket = memory_copy_string(address->socket);
    dial->port = address->port;
    dial->pause = FIRST_PAUSE_MS;
    dial->timeout = timeout;
    dial->retry.expired = retry;
    dial->deadline.expired = deadline_is_over;
    dial->frames.is_host = true;
    dial->frames.greeted = greeted;
    dial->frames.received = have_received;
    dial->frames.ended = have_ended;
    loop_timer_set(loop, &dial->deadline, timeout);
    /* Not here: the caller hasn't got what we return to him yet. */
    loop_timer_set(loop, &dial->retry, 0);
}

void dial_settle(struct dial *dial)
{
    loop_timer_cancel(dial->loop, &dial->deadline);
}

void dial_close(struct dial *dial)
{
    loop_timer_cancel(dial->loop, &dial->retry);
    loop_timer_cancel(dial->loop, &dial->deadline);
    frames_close(&dial->frames);
    free(dial->socket);
    dial->socket = NULL;
}

/* ---- documents ---- */

char *dial_request_text(const char *name, json_t *document, struct error *err)
{
    json_t *request = json_pack("{s:i, s:s}", "version", AGENT_VERSION, "request", name);
    if (document)
        json_object_update_missing(request, document);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text && strlen(text) <= AGENT_DOCUMENT_LIMIT)
        return text;
    free(text);
    error_set(err, E2BIG, "the request '%s' is longer than %u bytes", name, AGENT_DOCUMENT_LIMIT);
    return NULL;
}

int dial_request(struct frames *frames, const char *name, json_t *document, struct error *err)
{
    scope_free char *text = dial_request_text(name, document, err);
    if (!text)
        return -1;
    frames_send(frames, AGENT_REQUEST, text, strlen(text));
    return 0;
}

json_t *dial_parse_reply(const char *bytes, size_t length, struct error *err)
{
    json_t *document = json_loadb(bytes, length, 0, NULL);
    if (json_is_object(document))
        return document;
    json_decref(document);
    error_set(err, EPROTO, "the guest's agent replied with something that can't be read");
    return NULL;
}

int dial_parse_error(const char *bytes, size_t length, struct error *err)
{
    struct error nobody;
    json_t *document = dial_parse_reply(bytes, length, err ? err : &nobody);
    if (!document)
        return -1;
    const char *text = json_string_value(json_object_get(document, "error"));
    json_int_t code = json_integer_value(json_object_get(document, "code"));
    char clean[MESSAGE_LIMIT + 1];
    size_t count = 0;
    for (; text && text[count] && count < MESSAGE_LIMIT; count++) {
        unsigned char byte = (unsigned char)text[count];
        clean[count] = byte < ' ' || byte == 0x7f ? '?' : (char)byte;
    }
    clean[count] = '\0';
    error_set(err, 0, "%s", count > 0 ? clean : "the guest's agent failed and didn't say why");
    if (err)
        err->code = code > 0 && code < 4096 ? (int)code : EIO;
    json_decref(document);
    return -1;
}
