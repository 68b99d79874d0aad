/* The user-mode network: a back end that needs no privilege and no interface. libslirp is a router,
 * DHCP and DNS server for the guest, and opens sockets of this process for the guest's connections.
 *
 * The network is 10.0.2.0/24 and fec0::/64: the host is .2 (and ::2), DNS is .3 (::3), the guest
 * gets .15 by DHCP. */
#ifndef HULL_VM_NET_SLIRP_H
#define HULL_VM_NET_SLIRP_H

#include <netinet/in.h>

#include "vm/device/net_backend.h"

/* What comes to a port of the host goes to the guest. */
struct net_slirp_forward {
    bool is_udp;
    struct in_addr host_address; /* INADDR_ANY: all of them */
    uint16_t host_port;
    struct in_addr guest_address; /* INADDR_ANY: .15 */
    uint16_t guest_port;
};

struct net_slirp_settings {
    const char *hostname; /* that DHCP gives the guest, or NULL */
    uint16_t mtu;         /* of the guest's interface; 0: 1500 */
    bool is_restricted;   /* the guest reaches nothing but what is forwarded to it */
    bool host_loopback;   /* the guest reaches what listens on the host's 127.0.0.1, as .2 */
    const struct net_slirp_forward *forwards;
    unsigned forward_count;
};

/* Loads the library, if it is there, and keeps it: for a jail, in which it can't be found. */
void net_slirp_prepare(void);

struct net_backend *net_slirp_open(const struct net_slirp_settings *settings, struct error *err);

#endif
