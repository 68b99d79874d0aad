/* Other people's firewalls. A packet that hull's table accepts is dropped nevertheless where any
 * other table's forward chain has the policy to drop. hull doesn't touch those: it says which it
 * is, and what to add. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "network/network_internal.h"

#define MAXIMUM_CHAINS 8
#define NAME_SIZE 64

struct foreign_chain {
    const char *family; /* "ip" */
    char table[NAME_SIZE], name[NAME_SIZE];
};

struct foreign {
    const struct networks *networks;
    struct foreign_chain chains[MAXIMUM_CHAINS];
    size_t count;
    bool has_docker;
};

static const char *family_name(int family)
{
    return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_IPV6 ? "ip6" : "inet";
}

static void copy_name(char name[NAME_SIZE], const struct nlattr *attribute)
{
    snprintf(name, NAME_SIZE, "%.*s", (int)mnl_attr_get_payload_len(attribute),
             (const char *)mnl_attr_get_payload(attribute));
}

static uint32_t read_hook(const struct nlattr *nest)
{
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest)
    {
        if (mnl_attr_get_type(attribute) == NFTA_HOOK_HOOKNUM)
            return ntohl(mnl_attr_get_u32(attribute));
    }
    return UINT32_MAX;
}

static int look_at_chain(const struct nlmsghdr *answer, void *context, struct error *err)
{
    struct foreign *foreign = context;
    const struct nfgenmsg *header = mnl_nlmsg_get_payload(answer);
    const struct nlattr *attribute;
    struct foreign_chain chain = {.family = family_name(header->nfgen_family)};
    uint32_t hook = UINT32_MAX, policy = NF_ACCEPT;
    (void)err;
    mnl_attr_for_each(attribute, answer, sizeof *header)
    {
        switch (mnl_attr_get_type(attribute)) {
        case NFTA_CHAIN_TABLE:
            copy_name(chain.table, attribute);
            break;
        case NFTA_CHAIN_NAME:
            copy_name(chain.name, attribute);
            break;
        case NFTA_CHAIN_HOOK:
            hook = read_hook(attribute);
            break;
        case NFTA_CHAIN_POLICY:
            policy = ntohl(mnl_attr_get_u32(attribute));
            break;
        default:
            break;
        }
    }
    foreign->has_docker = foreign->has_docker || strcmp(chain.name, "DOCKER-USER") == 0;
    /* firewalld's chain accepts, and ends with a rule that rejects. */
    bool drops = hook == NF_INET_FORWARD &&
                 (policy == NF_DROP || strcmp(chain.table, "firewalld") == 0) &&
                 strcmp(chain.table, foreign->networks->table) != 0 &&
                 header->nfgen_family != NFPROTO_BRIDGE;
    if (drops && foreign->count < MAXIMUM_CHAINS)
        foreign->chains[foreign->count++] = chain;
    return 0;
}

static int find_chains(struct foreign *foreign, struct error *err)
{
    scope_netlink struct netlink netlink = {.fd = -1};
    if (netlink_open(&netlink, NETLINK_NETFILTER, err) < 0)
        return -1;
    struct nlmsghdr *message = netlink_begin(&netlink, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN,
                                             NLM_F_DUMP, 0, "look for other firewalls");
    struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->nfgen_family = NFPROTO_UNSPEC;
    header->version = NFNETLINK_V0;
    return netlink_query(&netlink, message, look_at_chain, foreign, err) < 0 ? -1 : 0;
}

/* Whether the table's rules speak of the interface: somebody has seen to it. */
static bool speaks_of(const struct foreign_chain *chain, const char *interface)
{
    scope_free char *command = memory_format("list table %s %s\n", chain->family, chain->table);
    scope_free char *text = NULL;
    scope_free char *quoted = memory_format("\"%s\"", interface);
    if (rules_list(command, &text, NULL) < 0)
        return false;
    return strstr(text, quoted) || strstr(text, "\"hull*\"");
}

static void warn(const struct networks *networks, const struct foreign *foreign,
                 const struct foreign_chain *chain, const char *interface)
{
    struct error text;
    char advice[256];
    bool is_iptables = strcmp(chain->table, "filter") == 0 && strcmp(chain->name, "FORWARD") == 0;
    const char *program = strcmp(chain->family, "ip6") == 0 ? "ip6tables" : "iptables";
    const char *where = foreign->has_docker ? "DOCKER-USER" : "FORWARD";
    if (strcmp(chain->table, "firewalld") == 0)
        snprintf(
            advice, sizeof advice,
            "firewall-cmd --permanent --zone=trusted --add-interface=%s; firewall-cmd --reload",
            interface);
    else if (is_iptables)
        snprintf(advice, sizeof advice, "%s -I %s -i %s -j ACCEPT; %s -I %s -o %s -j ACCEPT",
                 program, where, interface, program, where, interface);
    else
        snprintf(advice, sizeof advice,
                 "nft insert rule %s %s %s iifname %s accept; "
                 "nft insert rule %s %s %s oifname %s accept",
                 chain->family, chain->table, chain->name, interface, chain->family, chain->table,
                 chain->name, interface);
    error_set(&text, 0,
              "another firewall (chain %s of table %s %s) drops what containers send and get "
              "through %s; to let it pass: %s",
              chain->name, chain->family, chain->table, interface, advice);
    warnings_say(networks->warnings, &text);
}

void foreign_warn(struct networks *networks, const char *interface)
{
    struct foreign foreign = {.networks = networks};
    if (!networks->warnings || networks->has_warned || find_chains(&foreign, NULL) < 0)
        return;
    for (size_t i = 0; i < foreign.count; i++)
        if (!speaks_of(&foreign.chains[i], interface)) {
            warn(networks, &foreign, &foreign.chains[i], interface);
            networks->has_warned = true;
        }
}
