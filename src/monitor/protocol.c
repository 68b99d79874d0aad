#include "monitor/protocol.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define ANY_FLAGS                                                                                  \
    (MONITOR_ATTACH_STDIN | MONITOR_ATTACH_STDOUT | MONITOR_ATTACH_STDERR | MONITOR_ATTACH_LOSSLESS)

/* What each request's numbers may be, and whether it has data. */
static const struct request_rule {
    int32_t min[2], max[2];
    size_t data;
} rules[] = {
    [MONITOR_REQUEST_BEGIN] = {{0}, {0}, 0},
    [MONITOR_REQUEST_STOP] = {{0, INT32_MIN}, {64, INT32_MAX}, 0},
    [MONITOR_REQUEST_RESTART] = {{0, INT32_MIN}, {64, INT32_MAX}, 0},
    [MONITOR_REQUEST_KILL] = {{0}, {64}, 0},
    [MONITOR_REQUEST_PAUSE] = {{0}, {0}, 0},
    [MONITOR_REQUEST_RESUME] = {{0}, {0}, 0},
    [MONITOR_REQUEST_RESIZE] = {{0, 0}, {USHRT_MAX, USHRT_MAX}, 0},
    [MONITOR_REQUEST_UPDATE] = {{0, 0}, {MONITOR_RESTART_UNLESS_STOPPED, INT32_MAX}, 0},
    [MONITOR_REQUEST_RENAME] = {{0}, {0}, 255},
    [MONITOR_REQUEST_WAIT] = {{0}, {1}, 0},
    [MONITOR_REQUEST_ATTACH] = {{1}, {ANY_FLAGS}, 0},
    [MONITOR_INPUT] = {{0}, {0}, MONITOR_DATA_SIZE},
};

static int measure(struct monitor_packet *packet, size_t size)
{
    if (size < sizeof packet->header || size - sizeof packet->header > MONITOR_DATA_SIZE)
        return -1;
    packet->length = (uint32_t)(size - sizeof packet->header);
    packet->data[packet->length] = '\0';
    return 0;
}

int protocol_check_request(struct monitor_packet *packet, size_t size)
{
    if (measure(packet, size) < 0 || packet->header.type == 0 ||
        packet->header.type >= sizeof rules / sizeof *rules)
        return -1;
    const struct request_rule *rule = &rules[packet->header.type];
    if (packet->length > rule->data)
        return -1;
    for (int i = 0; i < 2; i++) {
        if (packet->header.numbers[i] < rule->min[i] || packet->header.numbers[i] > rule->max[i])
            return -1;
    }
    if (packet->header.type != MONITOR_REQUEST_RENAME)
        return 0;
    return packet->length > 0 && strlen(packet->data) == packet->length ? 0 : -1;
}

ssize_t protocol_receive(int fd, struct monitor_packet *packet, int flags)
{
    struct iovec parts[2] = {{&packet->header, sizeof packet->header},
                             {packet->data, MONITOR_DATA_SIZE}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t size;
    /* ECONNRESET, once: the other side has ended without reading all that we sent. What it sent
     * before is still there. */
    do {
        size = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size <= 0)
        return size;
    if ((message.msg_flags & MSG_TRUNC) || measure(packet, (size_t)size) < 0) {
        errno = EPROTO;
        return -1;
    }
    return size;
}

int protocol_send(int fd, const struct monitor_packet_header *header, const void *data,
                  size_t length, int flags)
{
    struct iovec parts[2] = {{(void *)header, sizeof *header}, {(void *)data, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &message, flags | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}
