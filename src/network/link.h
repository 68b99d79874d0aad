/* Requests to rtnetlink about interfaces, addresses and routes; each is added to the batch, and
 * what they find is as the batch leaves it. */
#ifndef HULL_NETWORK_LINK_H
#define HULL_NETWORK_LINK_H

#include <net/if.h>
#include <stdbool.h>

#include "network/address.h"
#include "network/netlink.h"

#define LINK_MAC_SIZE 6

/* A bridge that is there already is as good. mtu 0: the kernel's. */
void link_add_bridge(struct netlink *netlink, const char *name, const uint8_t *mac, int mtu);

struct link_veth {
    const char *name; /* on the host, a port of the bridge */
    const char *bridge_name;
    int bridge;             /* its index */
    const char *inner_name; /* eth0 */
    const uint8_t *inner_mac;
    int inner_namespace; /* descriptor */
    int mtu;
    bool isolated; /* doesn't talk to the bridge's other isolated ports */
    bool hairpin;  /* gets back what it sent, if its own published port was meant: where bridged
                      packets pass the firewall (br_netfilter), they are redirected on the bridge */
};
void link_add_veth(struct netlink *netlink, const struct link_veth *veth);
void link_remove(struct netlink *netlink, const char *name);
/* Nothing comes through a bridge's port any more, from this instant on. */
void link_cut_port(struct netlink *netlink, const char *name);
void link_set_up(struct netlink *netlink, const char *name);
/* Makes it a port of the bridge of that index. */
void link_set_master(struct netlink *netlink, const char *name, int bridge);
/* No IPv6 addresses but given ones: the interface of a network without IPv6. */
void link_disable_ipv6(struct netlink *netlink, const char *name);
/* Packets to 127.0.0.0/8 may be routed through it: the host's loopback publishing. */
void link_route_localnet(struct netlink *netlink, const char *name);
void link_add_address(struct netlink *netlink, const char *name, int index,
                      const struct address *address, int prefix);
/* Its own address, and the one address of the other end. */
void link_add_peer(struct netlink *netlink, const char *name, int index, const struct address *own,
                   const struct address *peer);
/* Replaces one of that family. */
void link_add_default_route(struct netlink *netlink, const char *name, int index,
                            const struct address *gateway);
/* One that isn't there is as good. */
void link_remove_default_route(struct netlink *netlink, int family);

/* The index of an interface of the calling thread's namespace, or 0. */
int link_find(const char *name);
/* The same of one that is up. */
int link_find_up(const char *name);

/* Calls each() for all routes of the host's tables but default ones. */
int link_each_route(int (*each)(const struct subnet *route, const char *interface, void *context,
                                struct error *err),
                    void *context, struct error *err);

/* "02:42:0a:00:00:02" */
void link_format_mac(const uint8_t mac[LINK_MAC_SIZE], char text[18]);
/* A unicast address only. */
bool link_parse_mac(const char *text, uint8_t mac[LINK_MAC_SIZE]);

#endif
