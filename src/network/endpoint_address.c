/* What an endpoint gets where the request leaves it open: addresses, a MAC, names. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "network/network_internal.h"

/* So many addresses are tried before a network counts as full. */
#define TRIES 70000

static const char *const columns[] = {"ip4", "ip6"};
static const char *const next_columns[] = {"next4", "next6"};

/* 1: an endpoint has it, 0: free, -1 */
static int is_used(struct networks *networks, const struct network_record *network, int family,
                   const char *address, struct error *err)
{
    scope_free char *sql = memory_format(
        "SELECT 1 FROM network_endpoint WHERE network = ? AND %s = ?", columns[family]);
    scope_statement sqlite3_stmt *row =
        database_prepare(networks->database, err, sql, "tt", network->id, address);
    return row ? database_step(networks->database, row, err) : -1;
}

/* The subnet's first address means the subnet, and IPv4's last one all of them, where there are
 * more than two. */
static bool is_reserved(const struct network_range *range, const struct address *address)
{
    const struct subnet *subnet = &range->subnet;
    struct address last = subnet_last(subnet);
    if (address_equal(address, &range->gateway))
        return true;
    if (subnet_size(subnet) <= 2)
        return false;
    return address_equal(address, &subnet->base) ||
           (address->family == AF_INET && address_equal(address, &last));
}

/* The next one after the last that was given, not the lowest free: what is known by an address, in
 * others' caches, doesn't become another container at once. 1: found, 0: all are used. */
static int find_free(struct networks *networks, const struct network_record *network, int family,
                     char *text, struct error *err)
{
    const struct network_range *range = &network->ranges[family];
    struct address last;
    address_number size = subnet_size(&range->from), offset = 0;
    if (address_parse(&last, range->next) && subnet_contains(&range->from, &last))
        offset = last.number - range->from.base.number + 1;
    for (address_number tried = 0; tried < size && tried < TRIES; tried++, offset++) {
        struct address candidate = subnet_address(&range->from, offset % size);
        if (is_reserved(range, &candidate))
            continue;
        int used = is_used(networks, network, family, address_format(&candidate, text), err);
        if (used <= 0)
            return used < 0 ? -1 : 1;
    }
    return 0;
}

static int choose(struct networks *networks, const struct network_record *network, int family,
                  char *text, struct error *err)
{
    char subnet[NETWORK_ADDRESS_SIZE];
    int found = find_free(networks, network, family, text, err);
    if (found == 0) {
        if (container_record_sweep(networks, true, err) < 0)
            return -1;
        found = find_free(networks, network, family, text, err);
    }
    if (found == 0)
        return error_set(err, EADDRNOTAVAIL,
                         "no address of %s is free (remove containers, or use a larger network)",
                         subnet_format(&network->ranges[family].from, subnet));
    if (found < 0)
        return -1;
    scope_free char *sql =
        memory_format("UPDATE network SET %s = ? WHERE id = ?", next_columns[family]);
    return database_run(networks->database, err, sql, "tt", text, network->id);
}

static int check_static(struct networks *networks, const struct network_record *network, int family,
                        const char *wanted, char *text, struct error *err)
{
    const struct network_range *range = &network->ranges[family];
    struct address address;
    char subnet[NETWORK_ADDRESS_SIZE];
    if (!address_parse(&address, wanted) ||
        address.family != (family == NETWORK_IP4 ? AF_INET : AF_INET6))
        return error_set(err, 0, "'%s' is no IPv%d address", wanted, family == NETWORK_IP4 ? 4 : 6);
    if (!range->chosen)
        return error_set(err, 0,
                         "address %s can't be chosen: that needs a network created with --subnet",
                         wanted);
    if (!subnet_contains(&range->subnet, &address) || is_reserved(range, &address))
        return error_set(err, 0, "address %s is not one for containers of subnet %s", wanted,
                         subnet_format(&range->subnet, subnet));
    address_format(&address, text);
    int used = is_used(networks, network, family, text, err);
    if (used == 1 && container_record_sweep(networks, true, err) == 0)
        used = is_used(networks, network, family, text, err);
    if (used == 1)
        return error_set(err, EADDRINUSE, "address %s is another container's", text);
    return used;
}

static int choose_address(struct networks *networks, const struct network_record *network,
                          int family, const char *wanted, char *text, int *prefix, char *gateway,
                          struct error *err)
{
    const struct network_range *range = &network->ranges[family];
    if (!range->subnet.base.family)
        return wanted && *wanted
                   ? error_set(err, 0, "address %s: the network has no such subnet", wanted)
                   : 0;
    *prefix = range->subnet.prefix;
    address_format(&range->gateway, gateway);
    if (wanted && *wanted)
        return check_static(networks, network, family, wanted, text, err);
    return choose(networks, network, family, text, err);
}

/* 02:42 and the IPv4 address, so that a neighbour's cache stays right when an address moves. */
static int choose_mac(const char *wanted, const char *ip4, char text[18], struct error *err)
{
    uint8_t mac[LINK_MAC_SIZE] = {0x02, 0x42}, bytes[16];
    struct address address;
    if (wanted && *wanted) {
        if (!link_parse_mac(wanted, mac))
            return error_set(err, 0, "'%s' is no MAC address of an interface (02:42:ac:11:00:02)",
                             wanted);
    } else if (address_parse(&address, ip4) && address_bytes(&address, bytes) == 4) {
        memcpy(mac + 2, bytes, 4);
    } else if (getrandom(mac + 2, 4, 0) != 4) {
        return error_set(err, errno, "can't get random bytes");
    }
    link_format_mac(mac, text);
    return 0;
}

int endpoint_prepare(struct networks *networks, const struct network_record *network,
                     const struct network_endpoint_request *request,
                     struct endpoint_record *endpoint, struct error *err)
{
    struct network_endpoint *public = &endpoint->public;
    *endpoint = (struct endpoint_record){.internal = network->internal};
    memcpy(public->network_id, network->id, NETWORK_ID_SIZE);
    public->network_name = memory_copy_string(network->name);
    public->aliases = memory_allocate(request->alias_count, sizeof *public->aliases);
    for (size_t i = 0; i < request->alias_count; i++)
    public->aliases[public->alias_count++] = memory_copy_string(request->aliases[i]);
    if (network_make_id(public->id, err) < 0)
        return -1;
    snprintf(endpoint->host_interface, IF_NAMESIZE, "hv%.12s", public->id);
    if (choose_address(networks, network, NETWORK_IP4, request->ip4, public->ip4,
                       &public->ip4_prefix, public->gateway4, err) < 0 ||
        choose_address(networks, network, NETWORK_IP6, request->ip6, public->ip6,
                       &public->ip6_prefix, public->gateway6, err) < 0 ||
        choose_mac(request->mac, public->ip4, public->mac, err) < 0)
        return error_wrap(err, "network '%s'", network->name);
    return 0;
}
