/* Putting right what killed processes, reboots and other programs have left. */
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/network_internal.h"
#include "network/publish.h"
#include "network/rootless.h"

static int detach_dead(struct networks *networks,
                       bool (*lives)(void *context, const char *container_id), void *context,
                       struct error *err)
{
    char **ids;
    size_t count;
    int result = container_record_list(networks, CONTAINER_READY, &ids, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++)
        if (!lives(context, ids[i]))
            result = network_detach(networks, ids[i], err);
    network_free_names(ids, count);
    return result;
}

/* 1: a container of this boot has that id, or its endpoint that interface */
static int is_recorded(struct networks *networks, const char *sql, const char *value,
                       struct error *err)
{
    scope_statement sqlite3_stmt *row =
        database_prepare(networks->database, err, sql, "tt", value, networks->boot);
    return row ? database_step(networks->database, row, err) : -1;
}

int reconcile_is_pin_recorded(struct networks *networks, const char *id, struct error *err)
{
    return is_recorded(networks,
                       "SELECT 1 FROM network_container WHERE id = ? AND boot = ?"
                       " AND mode IN (0, 2)",
                       id, err);
}

/* A record is there before its pin: one that has none is left over. */
static int drop_pins(struct networks *networks, struct error *err)
{
    scope_free char *path = memory_format("%s/ns", networks->directory);
    scope_closedir DIR *directory = opendir(path);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        int recorded = reconcile_is_pin_recorded(networks, entry->d_name, err);
        if (recorded < 0 || (recorded == 0 && namespace_drop(networks, entry->d_name, err) < 0))
            return -1;
    }
    return 0;
}

struct ports_of_bridges {
    struct networks *networks;
    struct network_record *records;
    size_t count;
    char (*left)[IF_NAMESIZE];
    size_t left_count;
};

static bool is_bridge(const struct ports_of_bridges *ports, uint32_t index)
{
    char name[IF_NAMESIZE];
    if (!if_indextoname(index, name))
        return false;
    for (size_t i = 0; i < ports->count; i++)
        if (strcmp(ports->records[i].interface, name) == 0)
            return true;
    return false;
}

static int look_at_link(const struct nlmsghdr *answer, void *context, struct error *err)
{
    struct ports_of_bridges *ports = context;
    const struct nlattr *attribute;
    char name[IF_NAMESIZE] = "";
    uint32_t master = 0;
    if (answer->nlmsg_type != RTM_NEWLINK)
        return 0;
    mnl_attr_for_each(attribute, answer, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
            snprintf(name, sizeof name, "%s", mnl_attr_get_str(attribute));
        else if (mnl_attr_get_type(attribute) == IFLA_MASTER)
            master = mnl_attr_get_u32(attribute);
    }
    if (strncmp(name, "hv", 2) != 0 || master == 0 || !is_bridge(ports, master))
        return 0;
    int recorded = is_recorded(ports->networks,
                               "SELECT 1 FROM network_endpoint e JOIN network_container c"
                               " ON c.id = e.container WHERE e.host_interface = ? AND c.boot = ?",
                               name, err);
    if (recorded != 0)
        return recorded < 0 ? -1 : 0;
    ports->left = memory_resize(ports->left, ports->left_count + 1, sizeof *ports->left);
    memcpy(ports->left[ports->left_count++], name, sizeof name);
    return 0;
}

/* The same of interfaces: at hull's bridges, with hull's names, and in no record. */
int reconcile_find_interfaces(struct networks *networks, char (**names)[IF_NAMESIZE], size_t *count,
                              struct error *err)
{
    struct ports_of_bridges ports = {.networks = networks};
    scope_netlink struct netlink netlink = {.fd = -1};
    if (network_record_list(networks, &ports.records, &ports.count, err) < 0)
        return -1;
    int result = netlink_open(&netlink, NETLINK_ROUTE, err);
    if (result == 0) {
        struct nlmsghdr *message =
            netlink_begin(&netlink, RTM_GETLINK, NLM_F_DUMP, 0, "list the host's interfaces");
        mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
        result = netlink_query(&netlink, message, look_at_link, &ports, err) < 0 ? -1 : 0;
    }
    network_record_release_list(ports.records, ports.count);
    *names = ports.left;
    *count = ports.left_count;
    if (result == 0)
        return 0;
    free(ports.left);
    *names = NULL;
    *count = 0;
    return -1;
}

static int drop_interfaces(struct networks *networks, struct error *err)
{
    char(*names)[IF_NAMESIZE];
    size_t count;
    scope_netlink struct netlink netlink = {.fd = -1};
    if (reconcile_find_interfaces(networks, &names, &count, err) < 0)
        return -1;
    int result = count > 0 ? netlink_open(&netlink, NETLINK_ROUTE, err) : 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        link_remove(&netlink, names[i]);
        result = netlink_flush(&netlink, err);
    }
    free(names);
    return result;
}

/* A living container's hull-port that has died leaves its ports free to be bound again. */
static int restore_helper(struct networks *networks, struct container_record *container,
                          struct error *err)
{
    scope_publication struct publication publication = {0};
    scope_close int process = helper_open(&container->helper);
    if (process >= 0 || container->mode != NETWORK_MODE_BRIDGE)
        return 0;
    if (networks->rootless)
        return rootless_start(networks, container, err);
    if (container->port_count == 0)
        return 0;
    if (publication_bind(networks, container->ports, container->port_count, "", &publication, err) <
            0 ||
        publication_start(networks, container, &publication, err) < 0)
        return -1;
    return 0;
}

/* An interface that isn't there: the process that was to make it was killed. */
static int forget_unmade(struct networks *networks, const struct container_record *container,
                         struct error *err)
{
    for (size_t i = 0; i < container->endpoint_count; i++)
        if (!link_find(container->endpoints[i].host_interface) &&
            database_run(networks->database, err, "DELETE FROM network_endpoint WHERE id = ?", "t",
                         container->endpoints[i].public.id) < 0)
            return -1;
    return 0;
}

static int restore(struct networks *networks, struct error *err)
{
    char **ids;
    size_t count;
    scope_close int lock = network_lock_changes(networks, err);
    if (lock < 0)
        return -1;
    int result = container_record_list(networks, CONTAINER_READY, &ids, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        scope_container_record struct container_record container;
        int found = container_record_load(networks, ids[i], &container, err);
        struct error failure;
        if (found == 1 && !networks->rootless)
            result = forget_unmade(networks, &container, err);
        /* Somebody else may have the port by now: the others shall not suffer. */
        if (found == 1 && result == 0 && restore_helper(networks, &container, &failure) < 0)
            warnings_say(networks->warnings, &failure);
        result = found < 0 ? -1 : result;
    }
    network_free_names(ids, count);
    return result;
}

/* Whether there is anything that could be wrong. */
static bool has_bridges(struct networks *networks)
{
    struct network_record *records;
    size_t count;
    bool any = false;
    if (network_record_list(networks, &records, &count, NULL) < 0)
        return false;
    for (size_t i = 0; i < count; i++)
        any = any || (*records[i].interface && link_find(records[i].interface));
    network_record_release_list(records, count);
    return any;
}

int network_reconcile(struct networks *networks,
                      bool (*lives)(void *context, const char *container_id), void *context,
                      struct error *err)
{
    if (container_record_recover(networks, err) < 0 ||
        detach_dead(networks, lives, context, err) < 0 ||
        container_record_sweep(networks, true, err) < 0 ||
        network_sweep_removed(networks, err) < 0 || drop_pins(networks, err) < 0)
        return error_wrap(err, "networks");
    if (networks->rootless)
        return restore(networks, err);
    if (!has_bridges(networks))
        return 0;
    if (drop_interfaces(networks, err) < 0 || restore(networks, err) < 0 ||
        rules_update(networks, err) < 0 || resolver_update(networks, err) < 0)
        return error_wrap(err, "networks");
    return 0;
}
