/* Netlink with as few system calls as there can be: requests are gathered, sent at once, and their
 * acknowledgements read together. The kernel handles them in order, and goes on after one that
 * fails. */
#ifndef HULL_NETWORK_NETLINK_H
#define HULL_NETWORK_NETLINK_H

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdint.h>

#include "base/error.h"

#define NETLINK_MESSAGES 48
#define NETLINK_BUFFER_SIZE 16384

struct netlink_message {
    char what[96]; /* "make interface hull0", for the error */
    int tolerated; /* an errno value that is as good as success, or 0 */
};

struct netlink {
    int fd;
    uint32_t first, count; /* sequence number of the first message gathered, and how many */
    size_t used;
    struct netlink_message messages[NETLINK_MESSAGES];
    char buffer[NETLINK_BUFFER_SIZE] __attribute__((aligned(8)));
};

/* A socket in the calling thread's network namespace. protocol: NETLINK_ROUTE, NETLINK_NETFILTER.
 */
int netlink_open(struct netlink *netlink, int protocol, struct error *err);
void netlink_close(struct netlink *netlink);
#define scope_netlink __attribute__((cleanup(netlink_close)))

/* Begins a request; attributes are put after it with libmnl until netlink_end(). flags beside
 * NLM_F_REQUEST and NLM_F_ACK. */
struct nlmsghdr *netlink_begin(struct netlink *netlink, int type, int flags, int tolerated,
                               const char *what, ...) __attribute__((format(printf, 5, 6)));
void netlink_end(struct netlink *netlink, struct nlmsghdr *message);

/* Sends what was gathered and waits for all its acknowledgements. The error is the first one's. */
int netlink_flush(struct netlink *netlink, struct error *err);

/* Sends one request that answers with messages (a dump, or one object) and calls each() for every
 * one; each() returns 0 to go on, or -1 with *err filled. Returns -ENOENT and so on, negative
 * errno values, with *err filled, if the kernel refused. */
int netlink_query(struct netlink *netlink, struct nlmsghdr *message,
                  int (*each)(const struct nlmsghdr *answer, void *context, struct error *err),
                  void *context, struct error *err);

#endif
