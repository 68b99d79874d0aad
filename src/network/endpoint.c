/* A container's interface in a network: a veth pair between its namespace and the bridge. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "network/network_internal.h"
#include "network/wire.h"

struct endpoint_routes endpoint_choose_routes(const struct container_record *container,
                                              size_t index)
{
    struct endpoint_routes routes = {false, false};
    bool taken4 = false, taken6 = false;
    for (size_t i = 0; i <= index && i < container->endpoint_count; i++) {
        const struct endpoint_record *endpoint = &container->endpoints[i];
        routes.ip4 = !taken4 && !endpoint->internal && *endpoint->public.gateway4;
        routes.ip6 = !taken6 && !endpoint->internal && *endpoint->public.gateway6;
        taken4 = taken4 || routes.ip4;
        taken6 = taken6 || routes.ip6;
    }
    return routes;
}

static void add_routes(struct netlink *netlink, const struct network_endpoint *endpoint, int index,
                       struct endpoint_routes routes)
{
    struct address gateway;
    if (routes.ip4 && address_parse(&gateway, endpoint->gateway4))
        link_add_default_route(netlink, endpoint->interface, index, &gateway);
    if (routes.ip6 && address_parse(&gateway, endpoint->gateway6))
        link_add_default_route(netlink, endpoint->interface, index, &gateway);
}

struct inner {
    const struct endpoint_record *endpoint;
    bool is_machine;
    uid_t machine_owner;
    struct endpoint_routes routes;
};

/* Inside of the container's namespace. */
static int configure_inner(void *context, struct error *err)
{
    const struct inner *inner = context;
    const struct network_endpoint *endpoint = &inner->endpoint->public;
    struct address address;
    scope_netlink struct netlink netlink = {.fd = -1};
    int index = link_find(endpoint->interface);
    if (index == 0)
        return error_set(err, 0, "interface %s vanished", endpoint->interface);
    if (inner->is_machine)
        return wire_make(endpoint, inner->machine_owner, err);
    if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
        return -1;
    if (*endpoint->ip6) {
        scope_free char *path =
            memory_format("/proc/sys/net/ipv6/conf/%s/disable_ipv6", endpoint->interface);
        if (file_write_text(AT_FDCWD, path, "0", err) < 0)
            return -1;
    } else {
        link_disable_ipv6(&netlink, endpoint->interface);
    }
    link_set_up(&netlink, endpoint->interface);
    if (address_parse(&address, endpoint->ip4))
        link_add_address(&netlink, endpoint->interface, index, &address, endpoint->ip4_prefix);
    if (address_parse(&address, endpoint->ip6))
        link_add_address(&netlink, endpoint->interface, index, &address, endpoint->ip6_prefix);
    add_routes(&netlink, endpoint, index, inner->routes);
    return netlink_flush(&netlink, err);
}

int endpoint_make(struct networks *networks, const struct container_record *container, size_t index,
                  const struct network_record *network, int namespace, struct error *err)
{
    const struct endpoint_record *endpoint = &container->endpoints[index];
    uint8_t mac[LINK_MAC_SIZE];
    int bridge = bridge_ensure(networks, network, err);
    if (bridge < 0)
        return -1;
    scope_netlink struct netlink netlink = {.fd = -1};
    if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
        return -1;
    struct inner inner = {.endpoint = endpoint, .routes = endpoint_choose_routes(container, index)};
    inner.is_machine = wire_is_wanted(container, &inner.machine_owner);
    link_parse_mac(endpoint->public.mac, mac);
    if (inner.is_machine)
        wire_change_mac(mac);
    link_add_veth(&netlink, &(struct link_veth){
                                .name = endpoint->host_interface,
                                .bridge_name = network->interface,
                                .bridge = bridge,
                                .inner_name = endpoint->public.interface,
                                .inner_mac = mac,
                                .inner_namespace = namespace,
                                .mtu = network->mtu,
                                .isolated = !network->icc,
                                .hairpin = container->port_count > 0,
                            });
    if (netlink_flush(&netlink, err) < 0 ||
        namespace_run_inside(namespace, configure_inner, &inner, err) < 0)
        return error_wrap(err, "network '%s'", network->name);
    return 0;
}

/* Inside of the container's namespace. */
static int reroute_inner(void *context, struct error *err)
{
    const struct container_record *container = context;
    scope_netlink struct netlink netlink = {.fd = -1};
    bool has4 = false, has6 = false;
    if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
        return -1;
    for (size_t i = 0; i < container->endpoint_count; i++) {
        const struct network_endpoint *endpoint = &container->endpoints[i].public;
        struct endpoint_routes routes = endpoint_choose_routes(container, i);
        add_routes(&netlink, endpoint, link_find(endpoint->interface), routes);
        has4 = has4 || routes.ip4;
        has6 = has6 || routes.ip6;
    }
    if (!has4)
        link_remove_default_route(&netlink, AF_INET);
    if (!has6)
        link_remove_default_route(&netlink, AF_INET6);
    return netlink_flush(&netlink, err);
}

int endpoint_reroute(const struct container_record *container, int namespace, struct error *err)
{
    return namespace_run_inside(namespace, reroute_inner, (void *)container, err);
}
