/* What the kernel remembers of published UDP ports. A flow of datagrams goes where its first one
 * went as long as it lasts: also to a container that is gone, or past one that has come. So flows
 * to a port are forgotten when it is published and when it is taken back. (TCP's connections end by
 * themselves.) */
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "network/network_internal.h"

#define TUPLE_SIZE 128
#define BATCH 32

struct flow {
    uint8_t family;
    uint16_t length;
    char tuple[TUPLE_SIZE]; /* CTA_TUPLE_ORIG's payload */
};

struct search {
    const struct network_port *ports;
    size_t port_count;
    struct flow *found;
    size_t count;
};

static bool is_published(const struct search *search, uint16_t port)
{
    for (size_t i = 0; i < search->port_count; i++)
        if (search->ports[i].protocol == NETWORK_UDP && search->ports[i].host_first == port)
            return true;
    return false;
}

/* Whether the flow is one of UDP to a published port. */
static bool matches(const struct search *search, const struct nlattr *tuple)
{
    const struct nlattr *part, *attribute;
    uint8_t protocol = 0;
    uint16_t port = 0;
    mnl_attr_for_each_nested(part, tuple)
    {
        if (mnl_attr_get_type(part) != CTA_TUPLE_PROTO)
            continue;
        mnl_attr_for_each_nested(attribute, part)
        {
            if (mnl_attr_get_type(attribute) == CTA_PROTO_NUM)
                protocol = mnl_attr_get_u8(attribute);
            else if (mnl_attr_get_type(attribute) == CTA_PROTO_DST_PORT)
                port = ntohs(mnl_attr_get_u16(attribute));
        }
    }
    return protocol == IPPROTO_UDP && is_published(search, port);
}

static int look_at_flow(const struct nlmsghdr *answer, void *context, struct error *err)
{
    struct search *search = context;
    const struct nfgenmsg *header = mnl_nlmsg_get_payload(answer);
    const struct nlattr *attribute;
    (void)err;
    mnl_attr_for_each(attribute, answer, sizeof *header)
    {
        uint16_t length = mnl_attr_get_payload_len(attribute);
        if (mnl_attr_get_type(attribute) != CTA_TUPLE_ORIG || length > TUPLE_SIZE ||
            !matches(search, attribute))
            continue;
        search->found = memory_resize(search->found, search->count + 1, sizeof *search->found);
        struct flow *flow = &search->found[search->count++];
        flow->family = header->nfgen_family;
        flow->length = length;
        memcpy(flow->tuple, mnl_attr_get_payload(attribute), length);
    }
    return 0;
}

static struct nlmsghdr *begin(struct netlink *netlink, int type, int flags, int tolerated,
                              uint8_t family)
{
    struct nlmsghdr *message = netlink_begin(netlink, NFNL_SUBSYS_CTNETLINK << 8 | type, flags,
                                             tolerated, "forget flows of datagrams");
    struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->nfgen_family = family;
    header->version = NFNETLINK_V0;
    return message;
}

static void forget(struct netlink *netlink, const struct search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        const struct flow *flow = &search->found[i];
        struct nlmsghdr *message = begin(netlink, IPCTNL_MSG_CT_DELETE, 0, ENOENT, flow->family);
        mnl_attr_put(message, CTA_TUPLE_ORIG | NLA_F_NESTED, flow->length, flow->tuple);
        netlink_end(netlink, message);
        if (i % BATCH == BATCH - 1 || i + 1 == search->count)
            netlink_flush(netlink, NULL);
    }
}

void conntrack_forget(const struct network_port *ports, size_t count)
{
    struct search search = {.ports = ports, .port_count = count};
    scope_netlink struct netlink netlink = {.fd = -1};
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || ports[i].protocol == NETWORK_UDP;
    /* A kernel that can't be asked of flows hasn't any, or only what the user must bear. */
    if (!any || netlink_open(&netlink, NETLINK_NETFILTER, NULL) < 0)
        return;
    struct nlmsghdr *message = begin(&netlink, IPCTNL_MSG_CT_GET, NLM_F_DUMP, 0, AF_UNSPEC);
    if (netlink_query(&netlink, message, look_at_flow, &search, NULL) == 0)
        forget(&netlink, &search);
    free(search.found);
}
