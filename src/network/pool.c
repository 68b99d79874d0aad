/* Which subnets networks get that ask for none. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "network/network_internal.h"

/* The default network gets the first /16 that is free, users' networks the first /24 of the second
 * column; 172.17.0.0/16 and its successors are Docker's, 10.88.0.0/16 is Podman's. */
static const char *const default_pools[] = {"10.210.0.0/16", "10.220.0.0/16", "10.230.0.0/16",
                                            "192.168.220.0/24", "172.31.220.0/24"};
static const char *const user_pools[] = {"10.211.0.0/16", "10.212.0.0/16",  "10.213.0.0/16",
                                         "10.214.0.0/16", "192.168.0.0/16", "172.24.0.0/16"};
#define USER_PREFIX 24
#define USER_PREFIX_IPV6 64

struct used {
    struct subnet *subnets;
    char (*names)[64]; /* "network 'x'", "the route through eth0" */
    size_t count;
};

static void used_add(struct used *used, const struct subnet *subnet, const char *what,
                     const char *name)
{
    used->subnets = memory_resize(used->subnets, used->count + 1, sizeof *used->subnets);
    used->names = memory_resize(used->names, used->count + 1, sizeof *used->names);
    used->subnets[used->count] = *subnet;
    snprintf(used->names[used->count++], sizeof *used->names, "%s %.40s", what, name);
}

static void used_release(struct used *used)
{
    free(used->subnets);
    free(used->names);
}

static int add_route(const struct subnet *route, const char *interface, void *context,
                     struct error *err)
{
    (void)err;
    used_add(context, route, "the host's route through", interface);
    return 0;
}

static int used_collect(struct networks *networks, struct used *used, struct error *err)
{
    struct network_record *records;
    size_t count;
    if (network_record_list(networks, &records, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        for (int family = 0; family < NETWORK_FAMILIES; family++)
            if (records[i].ranges[family].subnet.base.family)
                used_add(used, &records[i].ranges[family].subnet, "network", records[i].name);
    network_record_release_list(records, count);
    return networks->rootless ? 0 : link_each_route(add_route, used, err);
}

static const char *find_overlap(const struct used *used, const struct subnet *subnet)
{
    for (size_t i = 0; i < used->count; i++)
        if (subnet_overlaps(&used->subnets[i], subnet))
            return used->names[i];
    return NULL;
}

static bool choose_in(const struct used *used, const char *pool, int prefix, struct subnet *subnet)
{
    struct subnet whole;
    subnet_parse(&whole, pool);
    if (prefix < whole.prefix)
        prefix = whole.prefix;
    address_number step = (address_number)1 << (32 - prefix);
    for (address_number at = 0; at < subnet_size(&whole); at += step) {
        *subnet = (struct subnet){subnet_address(&whole, at), prefix};
        if (!find_overlap(used, subnet))
            return true;
    }
    return false;
}

/* Unique local addresses, RFC 4193: fd, 40 random bits that all of this host's networks share, a
 * subnet's 16. */
static int choose_ipv6(struct networks *networks, const struct used *used, struct subnet *subnet,
                       struct error *err)
{
    struct address base;
    char text[NETWORK_ADDRESS_SIZE];
    uint8_t bytes[16] = {0xfd};
    if (getrandom(bytes + 1, 5, 0) != 5)
        return error_set(err, errno, "can't get random bytes");
    base = address_from_bytes(AF_INET6, bytes);
    if (database_run(networks->database, err,
                     "INSERT OR IGNORE INTO network_fact VALUES ('ipv6-prefix', ?)", "t",
                     address_format(&base, text)) < 0)
        return -1;
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err, "SELECT value FROM network_fact WHERE key = 'ipv6-prefix'", "");
    if (!row || database_step(networks->database, row, err) < 0)
        return -1;
    address_parse(&base, database_text(row, 0));
    for (address_number number = 0; number < 65536; number++) {
        *subnet = (struct subnet){{AF_INET6, base.number + (number << 64)}, USER_PREFIX_IPV6};
        if (!find_overlap(used, subnet))
            return 0;
    }
    return error_set(err, 0, "no IPv6 subnet is free (give one with --subnet)");
}

int network_pool_choose(struct networks *networks, int family, bool is_default,
                        struct subnet *subnet, struct error *err)
{
    struct used used = {0};
    int result = used_collect(networks, &used, err);
    bool found = false;
    if (result == 0 && family == AF_INET6) {
        result = choose_ipv6(networks, &used, subnet, err);
        found = true;
    } else if (result == 0 && is_default) {
        for (size_t i = 0; !found && i < sizeof default_pools / sizeof *default_pools; i++)
            found = choose_in(&used, default_pools[i], 16, subnet);
    } else if (result == 0) {
        for (size_t i = 0; !found && i < sizeof user_pools / sizeof *user_pools; i++)
            found = choose_in(&used, user_pools[i], USER_PREFIX, subnet);
    }
    used_release(&used);
    if (result == 0 && !found)
        return error_set(
            err, 0,
            "no subnet of hull's pools is free: networks and the host's routes use all "
            "(remove networks, or give one with --subnet)");
    return result;
}

int network_pool_check(struct networks *networks, const struct subnet *subnet, struct error *err)
{
    struct used used = {0};
    char text[NETWORK_ADDRESS_SIZE];
    int result = used_collect(networks, &used, err);
    const char *overlap = result == 0 ? find_overlap(&used, subnet) : NULL;
    if (overlap)
        result = error_set(err, 0, "subnet %s overlaps %s (choose another)",
                           subnet_format(subnet, text), overlap);
    used_release(&used);
    return result;
}
