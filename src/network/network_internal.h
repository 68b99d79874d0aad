/* Between the files of src/network. */
#ifndef HULL_NETWORK_NETWORK_INTERNAL_H
#define HULL_NETWORK_NETWORK_INTERNAL_H

#include "network/address.h"
#include "network/helper.h"
#include "network/link.h"
#include "network/network.h"

#define NETWORK_DEFAULT "bridge"
#define NETWORK_RESOLVER "127.0.0.11"            /* inside of a container */
#define NETWORK_MACHINE_RESOLVER "169.254.53.53" /* the same of a virtual machine: see wire.h */

struct networks {
    struct database *database;
    const struct warnings *warnings;
    char *run_root, *directory; /* the latter is RUN_ROOT/network */
    /* The default bridge's interface and the nftables table are hull0 and hull for /run/hull; other
     * run roots on the same host have their own. */
    char bridge[IF_NAMESIZE], table[24];
    char boot[40];     /* the kernel's boot id */
    int host_resolver; /* whether the host's is at a loopback address alone; -1: not known yet */
    bool rootless;
    bool has_warned; /* of other firewalls: once is enough */
};

/* As error_set(), but the code is for the caller alone: the text says it better. */
int network_refuse(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Networks: network.c, network_record.c ---- */

enum { NETWORK_IP4, NETWORK_IP6, NETWORK_FAMILIES };

struct network_range {
    struct subnet subnet; /* family 0: none */
    struct subnet from;   /* where automatic addresses come from */
    struct address gateway;
    bool chosen;                     /* by the user: static addresses are allowed */
    char next[NETWORK_ADDRESS_SIZE]; /* the last address given, or "" */
};

struct network_record {
    char id[NETWORK_ID_SIZE];
    char *name;
    char driver[8];
    int64_t created; /* seconds since 1970 */
    bool internal, attachable, icc, masquerade;
    int mtu; /* 0: the kernel's */
    char interface[IF_NAMESIZE];
    char host_binding[NETWORK_ADDRESS_SIZE]; /* where -p binds by default, "": everywhere */
    struct network_range ranges[NETWORK_FAMILIES];
    char *labels, *options; /* JSON objects */
    int64_t rules;          /* handle of the nftables table that has its rules, 0: none yet */
};

/* By name, id, unique prefix of an id, or "default". 1, 0: there is none, -1. */
int network_record_find(struct networks *networks, const char *name, struct network_record *record,
                        struct error *err);
/* The same, but that there is none is an error. */
int network_record_require(struct networks *networks, const char *name,
                           struct network_record *record, struct error *err);
/* All, by name. */
int network_record_list(struct networks *networks, struct network_record **records, size_t *count,
                        struct error *err);
int network_record_insert(struct networks *networks, const struct network_record *record,
                          struct error *err);
void network_record_release(struct network_record *record);
#define scope_network_record __attribute__((cleanup(network_record_release)))
void network_record_release_list(struct network_record *records, size_t count);
bool network_record_has_ipv6(const struct network_record *record);

/* 64 hexadecimal digits at random. */
int network_make_id(char id[NETWORK_ID_SIZE], struct error *err);

/* Removes the interfaces of removed networks and endpoints. */
int network_sweep_removed(struct networks *networks, struct error *err);

/* A subnet of hull's pools that nothing uses: no network, no route of the host. */
int network_pool_choose(struct networks *networks, int family, bool is_default,
                        struct subnet *subnet, struct error *err);
/* Refuses a subnet that overlaps a network's or a route's. */
int network_pool_check(struct networks *networks, const struct subnet *subnet, struct error *err);

/* ---- Containers' records: container_record.c ---- */

enum container_state { CONTAINER_MAKING, CONTAINER_READY, CONTAINER_GONE };

struct endpoint_record {
    struct network_endpoint public;
    char host_interface[IF_NAMESIZE];
    bool internal; /* its network is */
};

struct container_record {
    char id[NETWORK_ID_SIZE];
    char *name;
    enum network_mode mode;
    enum container_state state;
    char *other;          /* for NETWORK_MODE_CONTAINER, or "" */
    json_t *settings;     /* hostname, domainname, dns, searches, options, hosts */
    struct helper maker;  /* who makes it */
    struct helper helper; /* hull-port or pasta, or pid 0 */
    struct endpoint_record *endpoints;
    size_t endpoint_count;
    struct network_port *ports;
    size_t port_count;
};

/* 1, 0: there is none that lives in this boot, -1. A gone container is none. */
int container_record_load(struct networks *networks, const char *id,
                          struct container_record *record, struct error *err);
void container_record_release(struct container_record *record);
#define scope_container_record __attribute__((cleanup(container_record_release)))
/* In the caller's transaction: the container with its endpoints and ports, in state making. */
int container_record_insert(struct networks *networks, struct container_record *record,
                            struct error *err);
int container_record_insert_endpoint(struct networks *networks, const char *id, size_t position,
                                     const struct endpoint_record *endpoint, struct error *err);
int container_record_insert_port(struct networks *networks, const char *id, size_t position,
                                 const struct network_port *port, struct error *err);
int container_record_set_helper(struct networks *networks, const char *id,
                                const struct helper *helper, struct error *err);
/* All that the record says is made. */
int container_record_complete(struct networks *networks, const char *id, struct error *err);
/* Its interfaces may linger: the record is kept for them, under another id, so that the container
 * can be attached again. */
int container_record_retire(struct networks *networks, const char *id, struct error *err);
/* Forgets records of gone containers whose interfaces have vanished, and removes interfaces that
 * linger: with force at once, else after some seconds. Within the caller's transaction or none. */
int container_record_sweep(struct networks *networks, bool force, struct error *err);

/* Detaches what processes that were killed have half attached. */
int container_record_recover(struct networks *networks, struct error *err);
/* The ids of containers in that state, of this boot; an array that the caller frees with
 * network_free_names(). */
int container_record_list(struct networks *networks, enum container_state state, char ***ids,
                          size_t *count, struct error *err);

/* Around changes that only count until the next boot: they don't wait for the disk. */
void networks_begin_volatile(struct networks *networks);
void networks_end_volatile(struct networks *networks);

void network_endpoint_release(struct network_endpoint *endpoint);

/* When the process began, in clock ticks since boot, or -1: with the pid a process's identity. */
long long network_process_start(pid_t pid);

/* ---- Making: endpoint.c, endpoint_address.c, namespace.c, bridge.c ---- */

/* Fills in what the request leaves open (addresses, MAC, names); in the caller's transaction. */
int endpoint_prepare(struct networks *networks, const struct network_record *network,
                     const struct network_endpoint_request *request,
                     struct endpoint_record *endpoint, struct error *err);

/* The lock that orders changes of bridges, rules and the resolver between processes; closing
 * releases it. */
int network_lock(const struct networks *networks, struct error *err);
/* Taken before the other: changes of a container that is attached already. */
int network_lock_changes(const struct networks *networks, struct error *err);
/* RUN_ROOT/network and network/ns. */
int network_make_directories(const struct networks *networks, struct error *err);

/* Makes a network namespace, pins it, and brings its loopback up. Returns its descriptor. The
 * calling thread stays in its own. */
int namespace_make(const struct networks *networks, const char *id, int user_namespace,
                   struct error *err);
/* Its descriptor, or -1. */
int namespace_open(const struct networks *networks, const char *id, struct error *err);
/* Takes the pin away; nothing if there is none. */
int namespace_drop(const struct networks *networks, const char *id, struct error *err);
/* Calls work() with the calling thread in the namespace, and returns its result. */
int namespace_run_inside(int namespace, int (*work)(void *context, struct error *err),
                         void *context, struct error *err);

/* Makes the network's bridge if it is missing; its index, or -1. */
int bridge_ensure(struct networks *networks, const struct network_record *network,
                  struct error *err);

/* Which of an endpoint's gateways the namespace's default routes lead through. */
struct endpoint_routes {
    bool ip4, ip6;
};
/* The first endpoint that isn't internal and has a gateway, for each family. */
struct endpoint_routes endpoint_choose_routes(const struct container_record *container,
                                              size_t index);
/* Makes the container's endpoint of that index, with its bridge. */
int endpoint_make(struct networks *networks, const struct container_record *container, size_t index,
                  const struct network_record *network, int namespace, struct error *err);
/* Leads default routes as the endpoints say, after these have changed. */
int endpoint_reroute(const struct container_record *container, int namespace, struct error *err);

/* ---- Facts: fact.c ---- */

/* A short text that outlives processes. Reading: "" if there is none; value has 64 bytes. */
int network_fact_read(struct networks *networks, const char *key, char value[64],
                      struct error *err);
int network_fact_write(struct networks *networks, const char *key, const char *value,
                       struct error *err);

/* Rules of hull drop what the host didn't forward before hull turned forwarding on: what passes
 * from one interface to another and neither is a bridge. */
#define FACT_GUARD4 "forward-guard4"
#define FACT_GUARD6 "forward-guard6"

/* ---- Rules: rules.c, rules_text.c, rules_library.c ---- */

/* The table is always replaced as a whole, by one transaction of the kernel: what the database says
 * is what it says. */

/* Makes it so, if the table that has the network's rules is not there. */
int rules_ensure(struct networks *networks, const struct network_record *network,
                 struct error *err);
/* Makes it so, whatever is there. */
int rules_update(struct networks *networks, struct error *err);
/* The same for who holds network_lock(). */
int rules_update_locked(struct networks *networks, struct error *err);
/* The whole table as nft(8) reads it; the caller frees. */
char *rules_compose(struct networks *networks, struct error *err);
/* 1: the table that has the network's rules is there; 0; -1. */
int rules_are_current(struct networks *networks, const struct network_record *network,
                      struct error *err);
/* Runs commands of nft(8). */
int rules_run(const char *commands, struct error *err);
/* Runs one that prints; the caller frees *text. */
int rules_list(const char *command, char **text, struct error *err);

/* Forgets the kernel's flows of datagrams to published ports (conntrack.c). */
void conntrack_forget(const struct network_port *ports, size_t count);

/* Warns of firewalls that will drop what passes through the interface (foreign.c). */
void foreign_warn(struct networks *networks, const char *interface);

/* ---- The resolver: resolver.c ---- */

/* Tells the resolver what names there are now; it is started if somebody needs it, and ends if
 * nobody does. */
int resolver_update(struct networks *networks, struct error *err);

/* ---- What is left over: reconcile.c ---- */

/* 1: the pinned namespace of that id has a record; 0; -1. */
int reconcile_is_pin_recorded(struct networks *networks, const char *id, struct error *err);
/* Interfaces at hull's bridges that are in no record; the caller frees *names. */
int reconcile_find_interfaces(struct networks *networks, char (**names)[IF_NAMESIZE], size_t *count,
                              struct error *err);

/* ---- Texts: files.c ---- */

/* Whether it asks hull's own resolver for names: in networks of users, and where the host's servers
 * can't be reached from a container. */
bool network_uses_resolver(struct networks *networks, const struct container_record *record);

/* Fills hosts, resolv_conf and hostname of the attachment. */
int network_compose_files(struct networks *networks, const struct container_record *record,
                          struct network_attachment *attachment, struct error *err);

#endif
