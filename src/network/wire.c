#include "network/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/scope.h"

/* What hull-vmm opens a tap with. */
#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
/* Bits of a locally administered address that hull's own addresses, which begin with 02, don't
 * have. */
#define MAC_OF_PORT 0x04
#define MAC_OF_BRIDGE 0x08

bool wire_is_wanted(const struct container_record *container, uid_t *owner)
{
    const json_t *value = json_object_get(container->settings, "machine");
    if (owner)
        *owner = (uid_t)json_integer_value(value);
    return json_is_integer(value);
}

void wire_change_mac(uint8_t mac[LINK_MAC_SIZE])
{
    mac[0] = (uint8_t)((mac[0] | 2) ^ MAC_OF_PORT);
}

/* "tap0" of "eth0". */
static void name_after(const char *prefix, const struct network_endpoint *endpoint,
                       char name[IF_NAMESIZE])
{
    const char *number = endpoint->interface + strcspn(endpoint->interface, "0123456789");
    snprintf(name, IF_NAMESIZE, "%s%s", prefix, number);
}

/* It stays when we close it, until the namespace ends. */
static int make_tap(const char *name, uid_t owner, struct error *err)
{
    struct ifreq request = {.ifr_flags = TAP_FLAGS};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    scope_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "can't open /dev/net/tun for a virtual machine's interface");
    if (ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0 ||
        ioctl(fd, TUNSETPERSIST, 1UL) < 0)
        return error_set(err, errno, "can't make the tap %s", name);
    return 0;
}

static int make_bridge(struct netlink *netlink, const struct network_endpoint *endpoint,
                       const char *name, struct error *err)
{
    uint8_t mac[LINK_MAC_SIZE];
    link_parse_mac(endpoint->mac, mac);
    mac[0] = (uint8_t)((mac[0] | 2) ^ MAC_OF_BRIDGE);
    link_add_bridge(netlink, name, mac, 0);
    link_disable_ipv6(netlink, name);
    return netlink_flush(netlink, err);
}

/* The guest's address is behind the bridge, and the resolver's is the bridge's own. */
static void add_resolver(struct netlink *netlink, const struct network_endpoint *endpoint,
                         const char *bridge, int index)
{
    struct address own, guest;
    if (address_parse(&own, NETWORK_MACHINE_RESOLVER) && address_parse(&guest, endpoint->ip4))
        link_add_peer(netlink, bridge, index, &own, &guest);
}

int wire_make(const struct network_endpoint *endpoint, uid_t owner, struct error *err)
{
    char bridge[IF_NAMESIZE], tap[IF_NAMESIZE];
    scope_netlink struct netlink netlink = {.fd = -1};
    name_after("wire", endpoint, bridge);
    name_after("tap", endpoint, tap);
    if (make_tap(tap, owner, err) < 0 || netlink_open(&netlink, NETLINK_ROUTE, err) < 0 ||
        make_bridge(&netlink, endpoint, bridge, err) < 0)
        return -1;
    int index = link_find(bridge);
    const char *const ports[] = {endpoint->interface, tap};
    for (size_t i = 0; i < 2; i++) {
        link_disable_ipv6(&netlink, ports[i]);
        link_set_master(&netlink, ports[i], index);
        link_set_up(&netlink, ports[i]);
    }
    link_set_up(&netlink, bridge);
    if (strcmp(endpoint->interface, "eth0") == 0)
        add_resolver(&netlink, endpoint, bridge, index);
    return netlink_flush(&netlink, err);
}

/* ---- for the guest ---- */

static void describe_route(json_t *routes, const char *interface, const char *gateway)
{
    if (*gateway)
        json_array_append_new(routes, json_pack("{s:s, s:s, s:s}", "destination", "default",
                                                "gateway", gateway, "interface", interface));
}

static json_t *describe_interface(const struct network_endpoint *endpoint, int mtu)
{
    json_t *addresses = json_array();
    if (*endpoint->ip4)
        json_array_append_new(addresses,
                              json_sprintf("%s/%d", endpoint->ip4, endpoint->ip4_prefix));
    if (*endpoint->ip6)
        json_array_append_new(addresses,
                              json_sprintf("%s/%d", endpoint->ip6, endpoint->ip6_prefix));
    json_t *interface = json_pack("{s:s, s:s, s:o}", "name", endpoint->interface, "mac",
                                  endpoint->mac, "addresses", addresses);
    if (mtu > 0)
        json_object_set_new(interface, "mtu", json_integer(mtu));
    return interface;
}

json_t *network_describe_machine(struct networks *networks, const char *container_id,
                                 struct error *err)
{
    scope_container_record struct container_record container = {0};
    json_t *interfaces = json_array(), *routes = json_array();
    int found = container_record_load(networks, container_id, &container, err);
    for (size_t i = 0; found == 1 && i < container.endpoint_count; i++) {
        const struct network_endpoint *endpoint = &container.endpoints[i].public;
        scope_network_record struct network_record network = {0};
        struct endpoint_routes leads = endpoint_choose_routes(&container, i);
        if (network_record_require(networks, endpoint->network_id, &network, err) < 0)
            found = -1;
        json_array_append_new(interfaces, describe_interface(endpoint, network.mtu));
        describe_route(routes, endpoint->interface, leads.ip4 ? endpoint->gateway4 : "");
        describe_route(routes, endpoint->interface, leads.ip6 ? endpoint->gateway6 : "");
    }
    if (found == 1 && container.endpoint_count > 0)
        json_array_append_new(routes, json_pack("{s:s, s:s}", "destination",
                                                NETWORK_MACHINE_RESOLVER, "interface", "eth0"));
    if (found >= 0)
        return json_pack("{s:o, s:o}", "interfaces", interfaces, "routes", routes);
    json_decref(interfaces);
    json_decref(routes);
    return NULL;
}
