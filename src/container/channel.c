#include "container/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"

struct wire_header {
    int type, number;
};

union descriptor_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(CHANNEL_DESCRIPTORS_MAX * sizeof(int))];
};

int channel_open(int ends[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, errno, "can't make a socket pair");
    return 0;
}

static int send_message(int channel, struct wire_header wire, const char *text,
                        const int *descriptors, size_t count)
{
    struct iovec parts[2] = {{&wire, sizeof wire}, {(void *)text, text ? strlen(text) : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = text ? 2 : 1};
    union descriptor_control control;
    if (count > 0) {
        size_t size = count * sizeof *descriptors;
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
        memcpy(CMSG_DATA(&control.header), descriptors, size);
    }
    ssize_t sent;
    do {
        sent = sendmsg(channel, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

int channel_send(int channel, enum channel_message_type type, int number)
{
    return send_message(channel, (struct wire_header){(int)type, number}, NULL, NULL, 0);
}

int channel_send_text(int channel, enum channel_message_type type, int number, const char *text)
{
    return send_message(channel, (struct wire_header){(int)type, number}, text, NULL, 0);
}

int channel_send_descriptors(int channel, enum channel_message_type type, int number,
                             const int *descriptors, size_t count)
{
    return send_message(channel, (struct wire_header){(int)type, number}, NULL, descriptors, count);
}

int channel_report(int channel, enum channel_message_type type, int number, const char *text)
{
    char bytes[sizeof(struct wire_header) + ERROR_TEXT_SIZE];
    struct wire_header wire = {(int)type, number};
    size_t length = text ? strnlen(text, ERROR_TEXT_SIZE) : 0;
    memcpy(bytes, &wire, sizeof wire);
    if (length)
        memcpy(bytes + sizeof wire, text, length);
    return write(channel, bytes, sizeof wire + length) < 0 ? -1 : 0;
}

void channel_fail(int channel, const struct error *err)
{
    channel_report(channel, CHANNEL_ERROR, err->code, err->text);
    _exit(1);
}

static void take_descriptors(struct msghdr *header, struct channel_message *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t size = part->cmsg_len - CMSG_LEN(0);
        memcpy(message->descriptors, CMSG_DATA(part), size);
        message->descriptor_count = size / sizeof(int);
    }
}

int channel_receive(int channel, struct channel_message *message)
{
    struct wire_header wire = {CHANNEL_END, 0};
    struct iovec parts[2] = {{&wire, sizeof wire}, {message->text, sizeof message->text - 1}};
    union descriptor_control control;
    struct msghdr header = {.msg_iov = parts,
                            .msg_iovlen = 2,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    ssize_t length;
    /* ECONNRESET, once: the other side has ended without reading all that we sent. What it said
     * before is still there. */
    do {
        length = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
    } while (length < 0 && (errno == EINTR || errno == ECONNRESET));
    message->type = CHANNEL_END;
    message->descriptor_count = 0;
    if (length < 0)
        return -1;
    if ((size_t)length < sizeof wire) {
        message->text[0] = '\0';
        return 0;
    }
    message->type = (enum channel_message_type)wire.type;
    message->number = wire.number;
    message->text[(size_t)length - sizeof wire] = '\0';
    take_descriptors(&header, message);
    return 0;
}

int channel_await(int channel, pid_t child, struct error *err)
{
    scope_close int pidfd = pidfd_open(child, 0);
    if (pidfd < 0)
        return error_set(err, errno, "can't watch process %d", child);
    struct pollfd polled[2] = {{channel, POLLIN, 0}, {pidfd, POLLIN, 0}};
    int ready;
    do {
        ready = poll(polled, 2, -1);
    } while (ready < 0 && errno == EINTR);
    /* What it sent last may have come between the looks at the one and at the other. */
    if (ready > 0 && (polled[0].revents || poll(polled, 1, 0) > 0))
        return 0;
    return error_set(err, 0, "the process that makes the first process died unexpectedly");
}

static void close_descriptors(const struct channel_message *message)
{
    for (size_t i = 0; i < message->descriptor_count; i++)
        close(message->descriptors[i]);
}

static int take_error(const struct channel_message *message, struct error *err)
{
    error_set(err, 0, "%s", message->text);
    if (err)
        err->code = message->number;
    return -1;
}

int channel_explain(int channel, struct error *err)
{
    struct pollfd polled = {channel, POLLIN, 0};
    struct channel_message message;
    while (poll(&polled, 1, 0) > 0 && channel_receive(channel, &message) == 0 &&
           message.type != CHANNEL_END) {
        close_descriptors(&message);
        if (message.type == CHANNEL_ERROR)
            return take_error(&message, err);
    }
    return -1;
}

int channel_expect(int channel, enum channel_message_type type, const char *who,
                   struct channel_message *message, struct error *err)
{
    if (channel_receive(channel, message) < 0)
        return error_set(err, errno, "can't hear from %s", who);
    if (message->type == type)
        return 0;
    close_descriptors(message);
    if (message->type == CHANNEL_ERROR)
        return take_error(message, err);
    if (message->type == CHANNEL_END)
        return error_set(err, 0, "%s died unexpectedly", who);
    return error_set(err, EPROTO, "%s sent a message of type %d", who, message->type);
}
