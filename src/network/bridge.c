/* A network's bridge, and what the host must do so that packets get past it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "network/network_internal.h"

static bool reads_as(const char *path, const char *value)
{
    scope_free char *text = file_read_all(AT_FDCWD, path, 64, NULL, NULL);
    return text && strncmp(text, value, strlen(value)) == 0;
}

/* The guard rule is there before anything is forwarded. */
static int record_guard(struct networks *networks, const char *fact, struct error *err)
{
    if (network_fact_write(networks, fact, networks->boot, err) < 0)
        return -1;
    return rules_update_locked(networks, err);
}

static int forward_ip4(struct networks *networks, struct error *err)
{
    static const char path[] = "/proc/sys/net/ipv4/ip_forward";
    if (!reads_as(path, "0"))
        return 0;
    if (record_guard(networks, FACT_GUARD4, err) < 0)
        return -1;
    return file_write_text(AT_FDCWD, path, "1", err);
}

/* A host that forwards no longer believes router advertisements, unless accept_ra is 2: it would
 * lose its own default route. */
static int keep_router_advertisements(struct error *err)
{
    scope_closedir DIR *directory = opendir("/proc/sys/net/ipv6/conf");
    if (!directory)
        return 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        scope_free char *path =
            memory_format("/proc/sys/net/ipv6/conf/%s/accept_ra", entry->d_name);
        if (entry->d_name[0] != '.' && reads_as(path, "1") &&
            file_write_text(AT_FDCWD, path, "2", err) < 0)
            return -1;
    }
    return 0;
}

static int forward_ip6(struct networks *networks, struct error *err)
{
    static const char path[] = "/proc/sys/net/ipv6/conf/all/forwarding";
    if (!reads_as(path, "0"))
        return 0;
    if (record_guard(networks, FACT_GUARD6, err) < 0 || keep_router_advertisements(err) < 0)
        return -1;
    return file_write_text(AT_FDCWD, path, "1", err);
}

static int make_interface(const struct network_record *network, struct netlink *netlink,
                          struct error *err)
{
    uint8_t mac[LINK_MAC_SIZE];
    if (getrandom(mac, sizeof mac, 0) != sizeof mac)
        return error_set(err, errno, "can't get random bytes");
    mac[0] = 0x02; /* locally administered; fixed, or it would follow the ports' */
    link_add_bridge(netlink, network->interface, mac, network->mtu);
    if (!network_record_has_ipv6(network))
        link_disable_ipv6(netlink, network->interface);
    return netlink_flush(netlink, err);
}

static int add_addresses(const struct network_record *network, struct netlink *netlink, int index,
                         struct error *err)
{
    scope_free char *path =
        memory_format("/proc/sys/net/ipv6/conf/%s/disable_ipv6", network->interface);
    if (network_record_has_ipv6(network) && reads_as(path, "1") &&
        file_write_text(AT_FDCWD, path, "0", err) < 0)
        return -1;
    for (int family = 0; family < NETWORK_FAMILIES; family++) {
        const struct network_range *range = &network->ranges[family];
        if (range->gateway.family)
            link_add_address(netlink, network->interface, index, &range->gateway,
                             range->subnet.prefix);
    }
    return netlink_flush(netlink, err);
}

/* It comes up last, so that one that is up is complete. */
static int make_bridge(struct networks *networks, const struct network_record *network,
                       struct error *err)
{
    scope_netlink struct netlink netlink = {.fd = -1};
    if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0 ||
        make_interface(network, &netlink, err) < 0)
        return -1;
    int index = link_find(network->interface);
    if (index == 0)
        return error_set(err, ENODEV, "the bridge %s vanished", network->interface);
    if (add_addresses(network, &netlink, index, err) < 0 || rules_update_locked(networks, err) < 0)
        return -1;
    if (!network->internal &&
        (forward_ip4(networks, err) < 0 ||
         (network_record_has_ipv6(network) && forward_ip6(networks, err) < 0)))
        return -1;
    /* After the rules, which keep containers from the host's loopback. */
    link_route_localnet(&netlink, network->interface);
    link_set_up(&netlink, network->interface);
    if (netlink_flush(&netlink, err) < 0)
        return -1;
    if (!network->internal)
        foreign_warn(networks, network->interface);
    return index;
}

int bridge_ensure(struct networks *networks, const struct network_record *network,
                  struct error *err)
{
    int index = link_find_up(network->interface);
    if (index == 0) {
        scope_close int lock = network_lock(networks, err);
        if (lock < 0)
            return -1;
        index = link_find_up(network->interface);
        if (index == 0)
            index = make_bridge(networks, network, err);
    } else if (rules_ensure(networks, network, err) < 0) {
        return -1;
    }
    return index < 0 ? error_wrap(err, "network '%s'", network->name) : index;
}
