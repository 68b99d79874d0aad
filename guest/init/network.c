/* The machine's interfaces, addresses and routes, over rtnetlink(7). */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "guest.h"

#define INTERFACE_WAIT_MS 10000

unsigned int if_nametoindex(const char *name); /* <net/if.h>, which <linux/if.h> excludes */

/* ---- messages ---- */

struct message {
    struct nlmsghdr header;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
        struct rtmsg route;
    };
    char attributes[256];
};

static void begin(struct message *message, uint16_t type, uint16_t flags, size_t size)
{
    memset(message, 0, sizeof *message);
    message->header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(size),
                                        .nlmsg_type = type,
                                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
                                        .nlmsg_seq = 1};
}

static void add(struct message *message, uint16_t type, const void *value, size_t length)
{
    struct rtattr *attribute = (void *)((char *)message + NLMSG_ALIGN(message->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), value, length);
    message->header.nlmsg_len =
        (uint32_t)(NLMSG_ALIGN(message->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

static void add_number(struct message *message, uint16_t type, uint32_t value)
{
    add(message, type, &value, sizeof value);
}

/* Sends it and waits for the kernel's answer: 0, or -1 with errno. */
static int deliver(int netlink, struct message *message)
{
    char answer[1024];
    ssize_t length = -1;
    if (send(netlink, message, message->header.nlmsg_len, 0) >= 0)
        length = recv(netlink, answer, sizeof answer, 0);
    if (length < 0)
        return -1;
    const struct nlmsghdr *header = (const void *)answer;
    if ((size_t)length < sizeof *header + sizeof(struct nlmsgerr) ||
        header->nlmsg_type != NLMSG_ERROR) {
        errno = EPROTO;
        return -1;
    }
    errno = -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
    return errno ? -1 : 0;
}

/* ---- addresses ---- */

struct address {
    unsigned char family, length; /* AF_INET …; of the prefix, in bits */
    size_t size;
    unsigned char bytes[16];
};

/* "10.0.0.2/24", "fd00::2"; without a prefix it is one host. */
static int parse_address(const char *text, struct address *address, struct error *err)
{
    char copy[64];
    int64_t length = -1;
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    address->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    address->size = address->family == AF_INET6 ? 16 : 4;
    int64_t most = (int64_t)address->size * 8;
    if (!slash)
        length = most;
    else if (!quantity_read_integer(slash + 1, 0, most, &length))
        length = -1;
    if (length < 0 || inet_pton(address->family, copy, address->bytes) != 1)
        return error_set(err, EINVAL, "'%s' is no address", text ? text : "");
    address->length = (unsigned char)length;
    return 0;
}

static int add_address(int netlink, unsigned int index, const char *text, struct error *err)
{
    struct address address;
    struct message message;
    if (parse_address(text, &address, err) < 0)
        return -1;
    begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof message.address);
    message.address = (struct ifaddrmsg){
        .ifa_family = address.family, .ifa_prefixlen = address.length, .ifa_index = index};
    /* The host has chosen it: nobody else on the link has it, and it is good at once. */
    if (address.family == AF_INET6)
        message.address.ifa_flags = IFA_F_NODAD;
    add(&message, IFA_LOCAL, address.bytes, address.size);
    add(&message, IFA_ADDRESS, address.bytes, address.size);
    if (address.family == AF_INET && address.length < 31) {
        uint32_t host;
        memcpy(&host, address.bytes, 4);
        host |= htonl(address.length ? UINT32_MAX >> address.length : UINT32_MAX);
        add_number(&message, IFA_BROADCAST, host);
    }
    if (deliver(netlink, &message) < 0)
        return error_set(err, errno, "can't add the address %s", text);
    return 0;
}

static int add_route(int netlink, const json_t *route, struct error *err)
{
    const char *destination = json_string_value(json_object_get(route, "destination"));
    const char *gateway = json_string_value(json_object_get(route, "gateway"));
    const char *interface = json_string_value(json_object_get(route, "interface"));
    const json_t *metric = json_object_get(route, "metric");
    struct address to = {0}, by = {0};
    bool is_default = !destination || strcmp(destination, "default") == 0;
    if ((gateway && parse_address(gateway, &by, err) < 0) ||
        (!is_default && parse_address(destination, &to, err) < 0))
        return error_wrap(err, "route");
    unsigned int index = interface ? if_nametoindex(interface) : 0;
    if ((interface && !index) || (!interface && !gateway))
        return error_set(err, ENODEV,
                         "route to %s: it needs a gateway or an interface that is there",
                         destination ? destination : "default");
    struct message message;
    begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof message.route);
    message.route = (struct rtmsg){.rtm_family = is_default ? by.family : to.family,
                                   .rtm_dst_len = to.length,
                                   .rtm_table = RT_TABLE_MAIN,
                                   .rtm_protocol = RTPROT_STATIC,
                                   .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                                   .rtm_type = RTN_UNICAST};
    if (!message.route.rtm_family)
        message.route.rtm_family = AF_INET;
    if (!is_default)
        add(&message, RTA_DST, to.bytes, to.size);
    if (gateway)
        add(&message, RTA_GATEWAY, by.bytes, by.size);
    if (index)
        add_number(&message, RTA_OIF, index);
    if (metric)
        add_number(&message, RTA_PRIORITY, (uint32_t)json_integer_value(metric));
    if (deliver(netlink, &message) < 0)
        return error_set(err, errno, "route to %s", destination ? destination : "default");
    return 0;
}

/* ---- interfaces ---- */

/* The interface with this hardware address, "02:fc:00:00:00:01", by any name; 0: none. */
static unsigned int find_by_mac(int socket_fd, const char *mac)
{
    unsigned int bytes[6];
    unsigned char wanted[6];
    if (sscanf(mac, "%x:%x:%x:%x:%x:%x", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4],
               &bytes[5]) != 6)
        return 0;
    for (int i = 0; i < 6; i++)
        wanted[i] = (unsigned char)bytes[i];
    for (int index = 1; index < 256; index++) {
        struct ifreq request = {.ifr_ifindex = index};
        if (ioctl(socket_fd, SIOCGIFNAME, &request) == 0 &&
            ioctl(socket_fd, SIOCGIFHWADDR, &request) == 0 &&
            request.ifr_hwaddr.sa_family != 772 /* ARPHRD_LOOPBACK */ &&
            memcmp(request.ifr_hwaddr.sa_data, wanted, 6) == 0)
            return (unsigned int)index;
    }
    return 0;
}

static unsigned int await_interface(const char *name, const char *mac)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    int64_t deadline = loop_now() + INTERFACE_WAIT_MS;
    scope_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (;;) {
        unsigned int index = mac ? find_by_mac(fd, mac) : if_nametoindex(name);
        if (index || loop_now() > deadline)
            return index;
        nanosleep(&moment, NULL);
    }
}

/* A name can be changed only while it is down. */
static int set_link(int netlink, unsigned int index, const char *name, uint32_t mtu, bool up)
{
    struct message message;
    begin(&message, RTM_NEWLINK, 0, sizeof message.link);
    message.link = (struct ifinfomsg){.ifi_family = AF_UNSPEC,
                                      .ifi_index = (int)index,
                                      .ifi_flags = up ? IFF_UP : 0,
                                      .ifi_change = up ? IFF_UP : 0};
    if (name)
        add(&message, IFLA_IFNAME, name, strlen(name) + 1);
    if (mtu)
        add_number(&message, IFLA_MTU, mtu);
    return deliver(netlink, &message);
}

static int configure_interface(int netlink, const json_t *interface, struct error *err)
{
    const char *name = json_string_value(json_object_get(interface, "name"));
    const char *mac = json_string_value(json_object_get(interface, "mac"));
    json_int_t mtu = json_integer_value(json_object_get(interface, "mtu"));
    if (!name || !*name || strlen(name) >= IFNAMSIZ || mtu < 0 || mtu > 65536)
        return error_set(err, EINVAL, "an interface needs a name, and an mtu that can be");
    unsigned int index = await_interface(name, mac);
    if (!index)
        return error_set(err, ENODEV, "interface %s (%s)", name, mac ? mac : "by its name");
    bool renames = if_nametoindex(name) != index;
    if ((renames && set_link(netlink, index, name, 0, false) < 0) ||
        set_link(netlink, index, NULL, (uint32_t)mtu, true) < 0)
        return error_set(err, errno, "interface %s", name);
    size_t i;
    json_t *address;
    json_array_foreach(json_object_get(interface, "addresses"), i, address)
    {
        if (add_address(netlink, index, json_string_value(address), err) < 0)
            return error_wrap(err, "interface %s", name);
    }
    return 0;
}

static int open_netlink(struct error *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return fd < 0 ? error_set(err, errno, "can't open a netlink socket") : fd;
}

int network_configure(const json_t *network, struct error *err)
{
    size_t i;
    json_t *item;
    scope_close int netlink = open_netlink(err);
    if (netlink < 0)
        return -1;
    json_array_foreach(json_object_get(network, "interfaces"), i, item)
    {
        if (configure_interface(netlink, item, err) < 0)
            return -1;
    }
    json_array_foreach(json_object_get(network, "routes"), i, item)
    {
        if (add_route(netlink, item, err) < 0)
            return -1;
    }
    return 0;
}

int network_raise_loopback(struct error *err)
{
    scope_close int netlink = open_netlink(err);
    if (netlink < 0)
        return -1;
    if (set_link(netlink, 1, NULL, 0, true) < 0)
        return error_set(err, errno, "can't bring up the loopback interface");
    return 0;
}
