#include "network/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"

static struct ifinfomsg *put_link(struct nlmsghdr *message)
{
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(message, sizeof *link);
    link->ifi_family = AF_UNSPEC;
    return link;
}

void link_add_bridge(struct netlink *netlink, const char *name, const uint8_t *mac, int mtu)
{
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
                                             EEXIST, "make the bridge %s", name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    mnl_attr_put(message, IFLA_ADDRESS, LINK_MAC_SIZE, mac);
    if (mtu > 0)
        mnl_attr_put_u32(message, IFLA_MTU, (uint32_t)mtu);
    struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(message, info);
    netlink_end(netlink, message);
}

static void set_port(struct netlink *netlink, const struct link_veth *veth)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_NEWLINK, 0, 0, "set up the bridge's port %s", veth->name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, veth->name);
    struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_SLAVE_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(message, IFLA_BRPORT_ISOLATED, veth->isolated);
    mnl_attr_put_u8(message, IFLA_BRPORT_MODE, veth->hairpin);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    netlink_end(netlink, message);
}

/* One message makes both ends, and makes the host's a port of the bridge. */
void link_add_veth(struct netlink *netlink, const struct link_veth *veth)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0,
                      "make interface %s on bridge %s", veth->inner_name, veth->bridge_name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, veth->name);
    mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t)veth->bridge);
    if (veth->mtu > 0)
        mnl_attr_put_u32(message, IFLA_MTU, (uint32_t)veth->mtu);
    struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, veth->inner_name);
    mnl_attr_put(message, IFLA_ADDRESS, LINK_MAC_SIZE, veth->inner_mac);
    if (veth->mtu > 0)
        mnl_attr_put_u32(message, IFLA_MTU, (uint32_t)veth->mtu);
    mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)veth->inner_namespace);
    mnl_attr_nest_end(message, peer);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    netlink_end(netlink, message);
    link_disable_ipv6(netlink, veth->name);
    if (veth->isolated || veth->hairpin)
        set_port(netlink, veth);
    link_set_up(netlink, veth->name);
}

void link_remove(struct netlink *netlink, const char *name)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_DELLINK, 0, ENODEV, "remove interface %s", name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    netlink_end(netlink, message);
}

void link_cut_port(struct netlink *netlink, const char *name)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_NEWLINK, 0, ENODEV, "cut off interface %s", name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_SLAVE_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(message, IFLA_BRPORT_STATE, BR_STATE_DISABLED);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    netlink_end(netlink, message);
}

void link_set_up(struct netlink *netlink, const char *name)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_NEWLINK, 0, 0, "bring interface %s up", name);
    struct ifinfomsg *link = put_link(message);
    link->ifi_flags = IFF_UP;
    link->ifi_change = IFF_UP;
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    netlink_end(netlink, message);
}

void link_set_master(struct netlink *netlink, const char *name, int bridge)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_NEWLINK, 0, 0, "make %s a port of a bridge", name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t)bridge);
    netlink_end(netlink, message);
}

/* A kernel without IPv6 refuses this, and does what is wanted. */
void link_disable_ipv6(struct netlink *netlink, const char *name)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_NEWLINK, 0, EAFNOSUPPORT, "turn IPv6 off at interface %s", name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    struct nlattr *families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
    struct nlattr *inet6 = mnl_attr_nest_start(message, AF_INET6);
    mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(message, inet6);
    mnl_attr_nest_end(message, families);
    netlink_end(netlink, message);
}

void link_route_localnet(struct netlink *netlink, const char *name)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, RTM_NEWLINK, 0, 0, "let loopback be published through %s", name);
    put_link(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    struct nlattr *families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
    struct nlattr *inet = mnl_attr_nest_start(message, AF_INET);
    struct nlattr *settings = mnl_attr_nest_start(message, IFLA_INET_CONF);
    mnl_attr_put_u32(message, IPV4_DEVCONF_ROUTE_LOCALNET, 1);
    mnl_attr_nest_end(message, settings);
    mnl_attr_nest_end(message, inet);
    mnl_attr_nest_end(message, families);
    netlink_end(netlink, message);
}

/* Of addresses that one link has: peer is own itself, or the other end's. */
static struct nlmsghdr *begin_address(struct netlink *netlink, const char *name, int index,
                                      const struct address *own, const struct address *peer,
                                      int prefix)
{
    uint8_t bytes[16];
    char text[NETWORK_ADDRESS_SIZE];
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
                                             EEXIST, "give interface %s the address %s/%d", name,
                                             address_format(own, text), prefix);
    struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->ifa_family = (uint8_t)own->family;
    header->ifa_prefixlen = (uint8_t)prefix;
    header->ifa_index = (uint32_t)index;
    header->ifa_scope = RT_SCOPE_UNIVERSE;
    /* Addresses are hull's to give: no second of waiting whether another has it. */
    header->ifa_flags = own->family == AF_INET6 ? IFA_F_NODAD : 0;
    size_t count = address_bytes(own, bytes);
    mnl_attr_put(message, IFA_LOCAL, count, bytes);
    count = address_bytes(peer, bytes);
    mnl_attr_put(message, IFA_ADDRESS, count, bytes);
    return message;
}

void link_add_address(struct netlink *netlink, const char *name, int index,
                      const struct address *address, int prefix)
{
    struct nlmsghdr *message = begin_address(netlink, name, index, address, address, prefix);
    if (address->family == AF_INET && prefix < 31) {
        uint32_t broadcast = htonl((uint32_t)address->number | (uint32_t)(0xffffffffUL >> prefix));
        mnl_attr_put(message, IFA_BROADCAST, sizeof broadcast, &broadcast);
    }
    netlink_end(netlink, message);
}

void link_add_peer(struct netlink *netlink, const char *name, int index, const struct address *own,
                   const struct address *peer)
{
    netlink_end(netlink, begin_address(netlink, name, index, own, peer, 32));
}

static struct nlmsghdr *begin_default_route(struct netlink *netlink, int type, int flags,
                                            int tolerated, int family, const char *what)
{
    struct nlmsghdr *message = netlink_begin(netlink, type, flags, tolerated, "%s", what);
    struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof *route);
    route->rtm_family = (uint8_t)family;
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_scope = RT_SCOPE_UNIVERSE;
    if (type == RTM_NEWROUTE) {
        route->rtm_protocol = RTPROT_BOOT;
        route->rtm_type = RTN_UNICAST;
    } else {
        route->rtm_scope = RT_SCOPE_NOWHERE;
    }
    return message;
}

void link_add_default_route(struct netlink *netlink, const char *name, int index,
                            const struct address *gateway)
{
    uint8_t bytes[16];
    char what[96], text[NETWORK_ADDRESS_SIZE];
    size_t count = address_bytes(gateway, bytes);
    snprintf(what, sizeof what, "route through %s by %s", address_format(gateway, text), name);
    struct nlmsghdr *message = begin_default_route(
        netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 0, gateway->family, what);
    mnl_attr_put(message, RTA_GATEWAY, count, bytes);
    mnl_attr_put_u32(message, RTA_OIF, (uint32_t)index);
    netlink_end(netlink, message);
}

void link_remove_default_route(struct netlink *netlink, int family)
{
    struct nlmsghdr *message =
        begin_default_route(netlink, RTM_DELROUTE, 0, ESRCH, family, "remove the default route");
    netlink_end(netlink, message);
}

int link_find(const char *name)
{
    return (int)if_nametoindex(name);
}

int link_find_up(const char *name)
{
    scope_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0 || !(request.ifr_flags & IFF_UP) ||
        ioctl(fd, SIOCGIFINDEX, &request) < 0)
        return 0;
    return request.ifr_ifindex;
}

struct route_walk {
    int (*each)(const struct subnet *route, const char *interface, void *context,
                struct error *err);
    void *context;
};

static int walk_route(const struct nlmsghdr *answer, void *context, struct error *err)
{
    const struct route_walk *walk = context;
    const struct rtmsg *route = mnl_nlmsg_get_payload(answer);
    const struct nlattr *attribute;
    struct subnet subnet = {.prefix = route->rtm_dst_len};
    char name[IF_NAMESIZE] = "";
    if (answer->nlmsg_type != RTM_NEWROUTE || route->rtm_dst_len == 0 ||
        (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) ||
        route->rtm_type != RTN_UNICAST)
        return 0;
    size_t size = route->rtm_family == AF_INET ? 4 : 16;
    mnl_attr_for_each(attribute, answer, sizeof *route)
    {
        if (mnl_attr_get_type(attribute) == RTA_DST && mnl_attr_get_payload_len(attribute) == size)
            subnet.base = address_from_bytes(route->rtm_family, mnl_attr_get_payload(attribute));
        else if (mnl_attr_get_type(attribute) == RTA_OIF)
            if_indextoname(mnl_attr_get_u32(attribute), name);
    }
    return subnet.base.family ? walk->each(&subnet, name, walk->context, err) : 0;
}

int link_each_route(int (*each)(const struct subnet *route, const char *interface, void *context,
                                struct error *err),
                    void *context, struct error *err)
{
    struct route_walk walk = {each, context};
    scope_netlink struct netlink netlink = {.fd = -1};
    if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
        return -1;
    struct nlmsghdr *message =
        netlink_begin(&netlink, RTM_GETROUTE, NLM_F_DUMP, 0, "read the host's routes");
    struct rtmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->rtm_family = AF_UNSPEC;
    return netlink_query(&netlink, message, walk_route, &walk, err) < 0 ? -1 : 0;
}

void link_format_mac(const uint8_t mac[LINK_MAC_SIZE], char text[18])
{
    snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}

bool link_parse_mac(const char *text, uint8_t mac[LINK_MAC_SIZE])
{
    unsigned int parts[LINK_MAC_SIZE];
    int end = 0;
    if (strlen(text) != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &parts[0], &parts[1], &parts[2], &parts[3],
               &parts[4], &parts[5], &end) != 6 ||
        end != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17)
        return false;
    unsigned int all = 0;
    for (int i = 0; i < LINK_MAC_SIZE; i++) {
        mac[i] = (uint8_t)parts[i];
        all |= parts[i];
    }
    return all != 0 && (mac[0] & 1) == 0;
}
