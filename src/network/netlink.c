#include "network/netlink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"

#define ANSWER_SIZE 32768

int netlink_open(struct netlink *netlink, int protocol, struct error *err)
{
    netlink->first = 1;
    netlink->count = 0;
    netlink->used = 0;
    netlink->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (netlink->fd < 0)
        return error_set(err, errno, "can't open a netlink socket");
    /* Acknowledgements without a copy of the request. */
    int one = 1;
    setsockopt(netlink->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    scope_close_fd(&netlink->fd);
    netlink->fd = -1;
}

struct nlmsghdr *netlink_begin(struct netlink *netlink, int type, int flags, int tolerated,
                               const char *what, ...)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(netlink->buffer + netlink->used);
    struct netlink_message *about = &netlink->messages[netlink->count];
    va_list args;
    va_start(args, what);
    vsnprintf(about->what, sizeof about->what, what, args);
    va_end(args);
    about->tolerated = tolerated;
    message->nlmsg_type = (uint16_t)type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    message->nlmsg_seq = netlink->first + netlink->count;
    return message;
}

void netlink_end(struct netlink *netlink, struct nlmsghdr *message)
{
    netlink->used += NLMSG_ALIGN(message->nlmsg_len);
    netlink->count++;
}

static ssize_t receive(int fd, void *buffer, size_t size)
{
    ssize_t count;
    while ((count = recv(fd, buffer, size, 0)) < 0 && errno == EINTR)
        ;
    return count;
}

static int send_gathered(struct netlink *netlink, size_t length, struct error *err)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    while ((sent = sendto(netlink->fd, netlink->buffer, length, 0, (const struct sockaddr *)&kernel,
                          sizeof kernel)) < 0 &&
           errno == EINTR)
        ;
    return sent < 0 ? error_set(err, errno, "can't send to the kernel's netlink") : 0;
}

int netlink_flush(struct netlink *netlink, struct error *err)
{
    char answers[8192] __attribute__((aligned(8)));
    uint32_t first = netlink->first, count = netlink->count, seen = 0;
    size_t length = netlink->used;
    int result = 0;
    if (count == 0)
        return 0;
    netlink->first += count;
    netlink->count = 0;
    netlink->used = 0;
    if (send_gathered(netlink, length, err) < 0)
        return -1;
    while (seen < count) {
        ssize_t got = receive(netlink->fd, answers, sizeof answers);
        if (got < 0)
            return error_set(err, errno, "can't read the kernel's netlink answers");
        int left = (int)got;
        for (const struct nlmsghdr *answer = (void *)answers; mnl_nlmsg_ok(answer, left);
             answer = mnl_nlmsg_next(answer, &left)) {
            uint32_t index = answer->nlmsg_seq - first;
            if (answer->nlmsg_type != NLMSG_ERROR || index >= count)
                continue;
            seen++;
            int code = -((const struct nlmsgerr *)mnl_nlmsg_get_payload(answer))->error;
            const struct netlink_message *about = &netlink->messages[index];
            /* Of a route that isn't there the kernel says either. */
            if (code == ENOENT && about->tolerated == ESRCH)
                continue;
            if (code != 0 && code != about->tolerated && result == 0)
                result = error_set(err, code, "can't %s", about->what);
        }
    }
    return result;
}

int netlink_query(struct netlink *netlink, struct nlmsghdr *message,
                  int (*each)(const struct nlmsghdr *answer, void *context, struct error *err),
                  void *context, struct error *err)
{
    char buffer[ANSWER_SIZE] __attribute__((aligned(8)));
    size_t length = message->nlmsg_len;
    uint32_t sequence = message->nlmsg_seq;
    const char *what = netlink->messages[0].what;
    int result = 0;
    netlink->first++;
    if (send_gathered(netlink, length, err) < 0)
        return -EIO;
    for (;;) {
        ssize_t got = receive(netlink->fd, buffer, sizeof buffer);
        if (got < 0) {
            error_set(err, errno, "can't %s", what);
            return -EIO;
        }
        int left = (int)got;
        for (const struct nlmsghdr *answer = (void *)buffer; mnl_nlmsg_ok(answer, left);
             answer = mnl_nlmsg_next(answer, &left)) {
            if (answer->nlmsg_seq != sequence)
                continue;
            if (answer->nlmsg_type == NLMSG_DONE)
                return result;
            if (answer->nlmsg_type == NLMSG_ERROR) {
                int code = -((const struct nlmsgerr *)mnl_nlmsg_get_payload(answer))->error;
                if (code == 0)
                    return result;
                error_set(err, code, "can't %s", what);
                return -code;
            }
            if (result == 0 && each && each(answer, context, err) < 0)
                result = -ECANCELED;
        }
    }
}
