/* The table hull, as nft(8) reads it, from what the database says.
 *
 * Packets to an address of the host are looked up in maps of published ports, by address, protocol
 * and port, and by protocol and port alone; the answer is the container's address and port. What
 * containers send out takes the host's address. Between bridges, and from outside to a bridge,
 * passes only what was published, or answers. */
#include <string.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "network/network_internal.h"

struct text {
    char *bytes;
    size_t size;
    FILE *file;
};

static void write_bridges(FILE *out, const struct network_record *networks, size_t count)
{
    const char *separator = "";
    fprintf(out, "{ ");
    for (size_t i = 0; i < count; i++) {
        if (*networks[i].interface) {
            fprintf(out, "%s\"%s\"", separator, networks[i].interface);
            separator = ", ";
        }
    }
    fprintf(out, " }");
}

/* Where a container's published ports lead, and what leads there. */
static const char ports_query[] =
    "SELECT p.protocol, p.container_port, p.host_port, p.host_address,"
    " (SELECT e.ip4 FROM network_endpoint e JOIN network n ON n.id = e.network"
    "  WHERE e.container = c.id AND e.ip4 IS NOT NULL AND NOT n.internal"
    "  ORDER BY e.position LIMIT 1),"
    " (SELECT e.ip6 FROM network_endpoint e JOIN network n ON n.id = e.network"
    "  WHERE e.container = c.id AND e.ip6 IS NOT NULL AND NOT n.internal"
    "  ORDER BY e.position LIMIT 1)"
    " FROM network_port p JOIN network_container c ON c.id = p.container"
    " WHERE c.state != 2 AND c.boot = ? ORDER BY p.protocol, p.host_port, p.host_address";

struct maps {
    /* By family, and whether the host's address counts. */
    char *bytes[NETWORK_FAMILIES][2];
    size_t sizes[NETWORK_FAMILIES][2];
    FILE *files[NETWORK_FAMILIES][2];
};

static void add_port(struct maps *maps, sqlite3_stmt *row)
{
    struct address host, target;
    char host_text[NETWORK_ADDRESS_SIZE], target_text[NETWORK_ADDRESS_SIZE];
    if (!address_parse(&host, database_text(row, 3)))
        return;
    int family = host.family == AF_INET ? NETWORK_IP4 : NETWORK_IP6;
    if (!address_parse(&target, database_text(row, family == NETWORK_IP4 ? 4 : 5)))
        return; /* hull-port serves it */
    FILE *out = maps->files[family][host.number != 0];
    if (host.number != 0)
        fprintf(out, "%s . ", address_format(&host, host_text));
    fprintf(out, "%s . %d : %s . %d,\n",
            network_protocol_name((enum network_protocol)sqlite3_column_int(row, 0)),
            sqlite3_column_int(row, 2), address_format(&target, target_text),
            sqlite3_column_int(row, 1));
}

static int collect_ports(struct networks *networks, struct maps *maps, struct error *err)
{
    scope_statement sqlite3_stmt *row =
        database_prepare(networks->database, err, ports_query, "t", networks->boot);
    int more = row ? 1 : -1;
    for (int family = 0; family < NETWORK_FAMILIES; family++)
        for (int by_address = 0; by_address < 2; by_address++)
            maps->files[family][by_address] =
                open_memstream(&maps->bytes[family][by_address], &maps->sizes[family][by_address]);
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1)
        add_port(maps, row);
    for (int family = 0; family < NETWORK_FAMILIES; family++)
        for (int by_address = 0; by_address < 2; by_address++)
            fclose(maps->files[family][by_address]);
    return more;
}

static void release_maps(struct maps *maps)
{
    for (int family = 0; family < NETWORK_FAMILIES; family++)
        for (int by_address = 0; by_address < 2; by_address++)
            free(maps->bytes[family][by_address]);
}

static void write_maps(FILE *out, const struct maps *maps)
{
    for (int family = 0; family < NETWORK_FAMILIES; family++) {
        const char *address = family == NETWORK_IP4 ? "ipv4_addr" : "ipv6_addr";
        for (int by_address = 0; by_address < 2; by_address++) {
            fprintf(out, "map %s%d {\ntype %s%sinet_proto . inet_service : %s . inet_service\n",
                    by_address ? "published_at" : "published", family == NETWORK_IP4 ? 4 : 6,
                    by_address ? address : "", by_address ? " . " : "", address);
            if (maps->sizes[family][by_address] > 0)
                fprintf(out, "elements = {\n%s}\n", maps->bytes[family][by_address]);
            fprintf(out, "}\n");
        }
    }
}

static void write_nat(FILE *out)
{
    fprintf(out, "chain publish {\n"
                 "dnat ip to ip daddr . meta l4proto . th dport map @published_at4\n"
                 "dnat ip to meta l4proto . th dport map @published4\n"
                 "dnat ip6 to ip6 daddr . meta l4proto . th dport map @published_at6\n"
                 "dnat ip6 to meta l4proto . th dport map @published6\n"
                 "}\n"
                 "chain prerouting {\n"
                 "type nat hook prerouting priority dstnat; policy accept;\n"
                 "meta l4proto { tcp, udp, sctp } fib daddr type local jump publish\n"
                 "}\n"
                 "chain output {\n"
                 "type nat hook output priority -100; policy accept;\n"
                 /* ::1 can't be routed out; hull-port serves it. */
                 "ip6 daddr ::1 accept\n"
                 "meta l4proto { tcp, udp, sctp } fib daddr type local jump publish\n"
                 "}\n");
}

/* Also where a container asks for a port that its own network's container publishes: the answer
 * must come back through the host. By subnet, as where bridged packets pass the firewall
 * (br_netfilter) they have no incoming interface here. */
static void write_subnet_masquerade(FILE *out, const struct network_record *network, int family)
{
    char subnet[NETWORK_ADDRESS_SIZE];
    const char *protocol = family == NETWORK_IP4 ? "ip" : "ip6";
    subnet_format(&network->ranges[family].subnet, subnet);
    fprintf(out, "%s saddr %s oifname \"%s\" ct status dnat masquerade\n", protocol, subnet,
            network->interface);
    if (network->masquerade)
        fprintf(out, "%s saddr %s oifname != \"%s\" masquerade\n", protocol, subnet,
                network->interface);
}

static void write_masquerade(FILE *out, const struct network_record *networks, size_t count)
{
    fprintf(out, "chain postrouting {\n"
                 "type nat hook postrouting priority srcnat; policy accept;\n"
                 "ip saddr 127.0.0.0/8 oifname @bridges masquerade\n");
    for (size_t i = 0; i < count; i++) {
        const struct network_record *network = &networks[i];
        if (!*network->interface || network->internal)
            continue;
        for (int family = 0; family < NETWORK_FAMILIES; family++)
            if (network->ranges[family].subnet.base.family)
                write_subnet_masquerade(out, network, family);
    }
    fprintf(out, "}\n");
}

static void write_forward(FILE *out, const struct network_record *networks, size_t count,
                          bool guard4, bool guard6)
{
    fprintf(out, "chain forward {\n"
                 "type filter hook forward priority filter; policy accept;\n"
                 "ct state established,related accept\n");
    for (size_t i = 0; i < count; i++) {
        /* Within a bridge, packets come here where br_netfilter is loaded. */
        if (*networks[i].interface && networks[i].internal)
            fprintf(out,
                    "iifname \"%s\" oifname != \"%s\" drop\n"
                    "oifname \"%s\" iifname != \"%s\" drop\n",
                    networks[i].interface, networks[i].interface, networks[i].interface,
                    networks[i].interface);
        else if (*networks[i].interface)
            fprintf(out,
                    "oifname \"%s\" iifname != \"%s\" ct status dnat accept\n"
                    "oifname \"%s\" iifname != \"%s\" drop\n",
                    networks[i].interface, networks[i].interface, networks[i].interface,
                    networks[i].interface);
    }
    /* Other engines' bridges count on forwarding too, and have rules of their own. */
    static const char guard[] = "meta iifkind != \"bridge\" meta oifkind != \"bridge\" drop";
    if (guard4)
        fprintf(out, "meta nfproto ipv4 %s\n", guard);
    if (guard6)
        fprintf(out, "meta nfproto ipv6 %s\n", guard);
    fprintf(out, "}\n");
}

static int write_table(FILE *out, struct networks *networks, const struct network_record *records,
                       size_t count, const struct maps *maps, struct error *err)
{
    char guard4[64], guard6[64];
    if (network_fact_read(networks, FACT_GUARD4, guard4, err) < 0 ||
        network_fact_read(networks, FACT_GUARD6, guard6, err) < 0)
        return -1;
    fprintf(out, "table inet %s\ndelete table inet %s\ntable inet %s {\n", networks->table,
            networks->table, networks->table);
    fprintf(out, "set bridges {\ntype ifname\nelements = ");
    write_bridges(out, records, count);
    fprintf(out, "\n}\n");
    write_maps(out, maps);
    /* route_localnet at the bridges is for answers only. */
    fprintf(out, "chain raw {\n"
                 "type filter hook prerouting priority raw; policy accept;\n"
                 "ip daddr 127.0.0.0/8 iifname @bridges drop\n"
                 "ip saddr 127.0.0.0/8 iifname @bridges drop\n"
                 "}\n");
    write_nat(out);
    write_masquerade(out, records, count);
    write_forward(out, records, count, strcmp(guard4, networks->boot) == 0,
                  strcmp(guard6, networks->boot) == 0);
    fprintf(out, "}\n");
    return 0;
}

char *rules_compose(struct networks *networks, struct error *err)
{
    struct network_record *records;
    struct maps maps = {0};
    struct text text = {0};
    size_t count;
    if (network_record_list(networks, &records, &count, err) < 0)
        return NULL;
    int result = collect_ports(networks, &maps, err);
    if (result == 0) {
        text.file = open_memstream(&text.bytes, &text.size);
        result = write_table(text.file, networks, records, count, &maps, err);
        fclose(text.file);
    }
    release_maps(&maps);
    network_record_release_list(records, count);
    if (result == 0)
        return text.bytes;
    free(text.bytes);
    return NULL;
}
