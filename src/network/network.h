/* Networks: bridges that containers are attached to, and what an attached container gets: a pinned
 * network namespace with interfaces, addresses and routes, published ports, names, and the text of
 * its /etc/hosts, /etc/resolv.conf and /etc/hostname.
 *
 * What a network is lives in the tables network_* of hull's database and survives a reboot. What is
 * made from it (bridge, veth pairs, namespaces, the nftables table "hull", the resolver process)
 * doesn't: each is recorded before it is made, made when it is first needed, and found missing or
 * left over by network_reconcile() or by the next attach. No function here may be called inside of
 * a database transaction: they begin their own.
 *
 * All functions of one `struct networks` belong to one thread. Several processes may work at the
 * same time; the database and a lock file in RUN_ROOT/network order them. */
#ifndef HULL_NETWORK_NETWORK_H
#define HULL_NETWORK_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/warning.h"
#include "database/database.h"

#define NETWORK_ID_SIZE 65      /* 64 hex digits and a NUL: ids of networks and containers */
#define NETWORK_ADDRESS_SIZE 64 /* an IPv4 or IPv6 address as text, perhaps with "/64" */

struct networks; /* opened by network_open() */

struct network_options {
    struct database *database;       /* outlives the networks */
    const char *run_root;            /* RUN_ROOT; all is kept below RUN_ROOT/network */
    const struct warnings *warnings; /* a foreign firewall in the way, …; may be NULL */
    bool rootless; /* hull is root of a user namespace only: containers get pasta, not bridges */
};

/* Brings the tables up to date and makes sure that the default network "bridge" is recorded; makes
 * no interface. Cheap: a few queries. */
int network_open(struct networks **networks, const struct network_options *options,
                 struct error *err);
void network_close(struct networks **networks); /* does nothing if *networks is NULL */
#define scope_networks __attribute__((cleanup(network_close)))

/* ---- Networks ---- */

/* One --subnet with its --gateway and --ip-range, which may be NULL. A NULL subnet in the first
 * means: from hull's pools (docs/network.md). */
struct network_pool {
    const char *subnet;   /* "172.30.4.0/24" or "fd00:1::/64" */
    const char *gateway;  /* "172.30.4.1"; NULL: the subnet's first address */
    const char *ip_range; /* "172.30.4.128/25": where automatic addresses come from; NULL: all */
};

struct network_settings {
    const char *name;
    const char *driver; /* NULL or "bridge"; others are refused */
    const struct network_pool *pools;
    size_t pool_count;
    bool internal;   /* no way out, and none in but from its own containers and the host */
    bool ipv6;       /* an IPv6 subnet from the pool, too, if pools has none */
    bool attachable; /* recorded, and shown by inspect; any container may attach anyway */
    const char *const *labels; /* "key=value" or "key" */
    size_t label_count;
    /* "key=value", docker's com.docker.network.* keys or hull's short ones:
     *   bridge  com.docker.network.bridge.name                  the interface's name
     *   mtu     com.docker.network.driver.mtu                   68 … 65535
     *   icc     com.docker.network.bridge.enable_icc            containers reach each other
     *   masquerade  com.docker.network.bridge.enable_ip_masquerade
     *   host-binding  com.docker.network.bridge.host_binding_ipv4  where -p binds by default */
    const char *const *options;
    size_t option_count;
};

/* Records a network; its interface is made by the first attach. id receives NETWORK_ID_SIZE bytes.
 * Refuses a name in use, a subnet that overlaps another network's or one of the host's routes. */
int network_create(struct networks *networks, const struct network_settings *settings, char *id,
                   struct error *err);

/* Removes a network (by name, id or unique prefix of one) and its interface. Refused while
 * containers are attached, and for bridge, host and none. */
int network_remove(struct networks *networks, const char *name, struct error *err);

/* Removes all networks of users that nobody is attached to and that in_use (may be NULL) doesn't
 * name: a stopped container's network is only in its settings. The removed names are
 * *names[0 … *count), which the caller frees with network_free_names(). filters as in
 * network_list(): "until" and "label" count. */
int network_prune(struct networks *networks, bool (*in_use)(void *context, const char *network_id),
                  void *context, const char *const *filters, size_t filter_count, char ***names,
                  size_t *count, struct error *err);
void network_free_names(char **names, size_t count);

struct network_description {
    char id[NETWORK_ID_SIZE];
    char *name;
    const char *driver; /* "bridge", "host", "null" */
    int64_t created;    /* seconds since 1970 */
    bool internal, ipv6;
    size_t endpoint_count; /* attached containers */
    json_t *labels;        /* an object of texts */
};

/* All networks by name, among them bridge, host and none. filters are docker's, "KEY=VALUE" with
 * dangling, driver, id, label, name, scope, type. */
int network_list(struct networks *networks, const char *const *filters, size_t filter_count,
                 struct network_description **list, size_t *count, struct error *err);
void network_list_release(struct network_description *list, size_t count);

/* One network, by name, id or unique prefix of an id: its id (NETWORK_ID_SIZE bytes) and, unless
 * NULL, its name, which the caller frees. 1: found, 0: there is none, -1: error. "default" is
 * "bridge". */
int network_find(struct networks *networks, const char *name, char *id, char **full_name,
                 struct error *err);

/* What `network inspect` prints, in the shape of Docker's API, with its attached containers. The
 * caller owns the object. NULL with *err filled if there is none. */
json_t *network_inspect(struct networks *networks, const char *name, struct error *err);

/* ---- Published ports ---- */

enum network_protocol { NETWORK_TCP, NETWORK_UDP, NETWORK_SCTP };
/* "tcp", "udp", "sctp" */
const char *network_protocol_name(enum network_protocol protocol);

struct network_port {
    enum network_protocol protocol;
    uint16_t container_port;
    /* Where on the host: any free port of first … last; both 0: an ephemeral one. */
    uint16_t host_first, host_last;
    char host_address[NETWORK_ADDRESS_SIZE]; /* "": all addresses, IPv4 and IPv6 */
};

struct network_ports {
    struct network_port *list;
    size_t count;
};

/* Appends what `-p TEXT` means, [HOST-IP:][HOST-PORT[-END]:]PORT[-END][/PROTOCOL]: an entry for
 * each of the container's ports. An IPv6 HOST-IP stands in brackets. */
int network_ports_parse(struct network_ports *ports, const char *text, struct error *err);
/* Appends what `--expose TEXT` means, PORT[-END][/PROTOCOL]: entries with host ports 0, which `-P`
 * publishes. */
int network_ports_parse_exposed(struct network_ports *ports, const char *text, struct error *err);
void network_ports_release(struct network_ports *ports);

/* ---- Attaching a container ---- */

enum network_mode {
    NETWORK_MODE_BRIDGE,    /* the networks in endpoints; none given: the default network */
    NETWORK_MODE_HOST,      /* the host's own namespace */
    NETWORK_MODE_NONE,      /* a namespace with loopback only */
    NETWORK_MODE_CONTAINER, /* that of another container, which must be attached */
};

struct network_endpoint_request {
    const char *network; /* name or id */
    const char *const *aliases;
    size_t alias_count;
    const char *ip4,
        *ip6;        /* a static address, or NULL; only where the subnet was chosen by a user */
    const char *mac; /* "02:42:…", or NULL */
};

/* Everything belongs to the caller and is only read. */
struct network_request {
    const char *container_id;   /* 64 hex digits */
    const char *container_name; /* for DNS and inspect */
    const char *hostname;       /* without domain; NULL: the id's first 12 digits */
    const char *domainname;     /* or NULL */
    enum network_mode mode;
    const char *other_container; /* id, for NETWORK_MODE_CONTAINER */
    const struct network_endpoint_request *endpoints;
    size_t endpoint_count;
    const struct network_port *ports; /* -p, and for -P the exposed ones */
    size_t port_count;
    /* resolv.conf: --dns, --dns-search ("." alone: none), --dns-option. None given: the host's. */
    const char *const *dns_servers, *const *dns_searches, *const *dns_options;
    size_t dns_server_count, dns_search_count, dns_option_count;
    /* --add-host "NAME:ADDRESS" or "NAME=ADDRESS", where ADDRESS may be host-gateway. */
    const char *const *extra_hosts;
    size_t extra_host_count;
    /* The container's own net.* sysctls are the OCI runtime's job. A user namespace that shall own
     * the namespace (--userns): its descriptor, or 0 or less for the caller's. */
    int user_namespace;
    /* A virtual machine's: instead of the interfaces' addresses the namespace gets a tap for each,
     * tap0 for eth0, which this user may open (wire.h). */
    bool is_machine;
    uid_t machine_owner;
};

/* One interface of a container. Texts may be "" where there is nothing. */
struct network_endpoint {
    char network_id[NETWORK_ID_SIZE];
    char *network_name;
    char id[NETWORK_ID_SIZE];
    char interface[16]; /* inside: eth0, eth1, … */
    char mac[18];
    char ip4[NETWORK_ADDRESS_SIZE], ip6[NETWORK_ADDRESS_SIZE]; /* without prefix */
    int ip4_prefix, ip6_prefix;
    char gateway4[NETWORK_ADDRESS_SIZE], gateway6[NETWORK_ADDRESS_SIZE];
    char **aliases;
    size_t alias_count;
};

/* What a container has got. Owned by the caller: network_attachment_release(). */
struct network_attachment {
    enum network_mode mode;
    /* The namespace to join, a path that exists until detach; NULL: the host's (mode host). */
    char *namespace_path;
    struct network_endpoint *endpoints;
    size_t endpoint_count;
    /* As published: host_first == host_last is the port chosen, and host_address is "0.0.0.0",
     * "::", or the one asked for (an entry for all addresses becomes two). */
    struct network_port *ports;
    size_t port_count;
    /* The files' whole content. With mode container all three are NULL: the other's files count. */
    char *hosts, *resolv_conf, *hostname;
};
void network_attachment_release(struct network_attachment *attachment);

/* Gives a container its namespace and all that belongs in it, or nothing: what a failed attach has
 * made is taken back. A container that is attached already is detached first. The endpoint order is
 * kept: the first is eth0; the default route leads through the first that is not internal. */
int network_attach(struct networks *networks, const struct network_request *request,
                   struct network_attachment *attachment, struct error *err);

/* Takes all back: ports, names, interfaces, namespace, records. Succeeds if there is nothing. May
 * be called while the container's processes still live in the namespace (they lose the network). */
int network_detach(struct networks *networks, const char *container_id, struct error *err);

/* One more or one less network for an attached container, running or not (docker network connect,
 * disconnect). *attachment, unless NULL, receives what the container has now: the caller rewrites
 * its hosts file and resolv.conf. network_disconnect() with an unknown endpoint is an error. */
int network_connect(struct networks *networks, const char *container_id,
                    const struct network_endpoint_request *endpoint,
                    struct network_attachment *attachment, struct error *err);
int network_disconnect(struct networks *networks, const char *container_id, const char *network,
                       struct network_attachment *attachment, struct error *err);

/* A new name for an attached container; nothing happens to one that isn't. */
int network_rename(struct networks *networks, const char *container_id, const char *name,
                   struct error *err);

/* What an attached container has, as network_attach() returned it. 1: found, 0: not attached, -1:
 * error. */
int network_find_attachment(struct networks *networks, const char *container_id,
                            struct network_attachment *attachment, struct error *err);

/* "NetworkSettings" of Docker's container inspect: SandboxKey, Ports, IPAddress, Networks, … The
 * caller owns the object. */
json_t *network_attachment_describe(const struct network_attachment *attachment);

/* What the guest of an attached virtual machine is told of its network: "network" of the agent's
 * boot document (docs/agent.md). The caller owns the object; NULL with *err filled. */
json_t *network_describe_machine(struct networks *networks, const char *container_id,
                                 struct error *err);

/* Where an attached container's namespace is or would be; the caller frees. */
char *network_namespace_path(const struct networks *networks, const char *container_id);

/* ---- Putting things right ---- */

/* Detaches every container of which lives() says false, removes interfaces, rules, namespaces and
 * processes without a record, rebuilds what living containers' records say is missing from the
 * nftables table, and starts the resolver if it should run and doesn't. After a reboot nothing
 * lives that was attached before, and all their records go. */
int network_reconcile(struct networks *networks,
                      bool (*lives)(void *context, const char *container_id), void *context,
                      struct error *err);

/* What network_reconcile() would put right, a line each, appended to the array. */
int network_check(struct networks *networks, bool (*lives)(void *context, const char *container_id),
                  void *context, json_t *findings, struct error *err);

#endif
