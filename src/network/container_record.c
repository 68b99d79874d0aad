/* What containers have: rows of network_container, network_endpoint and network_port. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/scope.h"
#include "network/network_internal.h"

/* So long an interface may outlive its container's namespace before it is removed by force. */
#define LINGER_SECONDS 2

void network_endpoint_release(struct network_endpoint *endpoint)
{
    free(endpoint->network_name);
    for (size_t i = 0; i < endpoint->alias_count; i++)
        free(endpoint->aliases[i]);
    free(endpoint->aliases);
    *endpoint = (struct network_endpoint){0};
}

void container_record_release(struct container_record *record)
{
    free(record->name);
    free(record->other);
    json_decref(record->settings);
    for (size_t i = 0; i < record->endpoint_count; i++)
        network_endpoint_release(&record->endpoints[i].public);
    free(record->endpoints);
    free(record->ports);
    *record = (struct container_record){0};
}

static void read_aliases(const char *text, struct network_endpoint *endpoint)
{
    json_t *aliases = json_loads(text, 0, NULL), *alias;
    size_t i;
    endpoint->aliases = memory_allocate(json_array_size(aliases), sizeof *endpoint->aliases);
    json_array_foreach(aliases, i, alias)
    {
        if (json_is_string(alias))
            endpoint->aliases[endpoint->alias_count++] =
                memory_copy_string(json_string_value(alias));
    }
    json_decref(aliases);
}

static void read_endpoint(sqlite3_stmt *row, struct endpoint_record *endpoint)
{
    struct network_endpoint *public = &endpoint->public;
    struct subnet subnet;
    *endpoint = (struct endpoint_record){0};
    snprintf(public->id, sizeof public->id, "%s", database_text(row, 0));
    snprintf(public->network_id, sizeof public->network_id, "%s", database_text(row, 1));
    public->network_name = memory_copy_string(database_text(row, 2));
    snprintf(endpoint->host_interface, IF_NAMESIZE, "%s", database_text(row, 3));
    snprintf(public->interface, sizeof public->interface, "%s", database_text(row, 4));
    snprintf(public->mac, sizeof public->mac, "%s", database_text(row, 5));
    snprintf(public->ip4, sizeof public->ip4, "%s", database_text(row, 6));
    snprintf(public->ip6, sizeof public->ip6, "%s", database_text(row, 7));
    read_aliases(database_text(row, 8), public);
    endpoint->internal = sqlite3_column_int(row, 9);
    subnet_parse(&subnet, database_text(row, 10));
    public->ip4_prefix = subnet.prefix;
    snprintf(public->gateway4, sizeof public->gateway4, "%s", database_text(row, 11));
    subnet_parse(&subnet, database_text(row, 12));
    public->ip6_prefix = subnet.prefix;
    snprintf(public->gateway6, sizeof public->gateway6, "%s", database_text(row, 13));
}

static int load_endpoints(struct networks *networks, struct container_record *record,
                          struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT e.id, n.id, n.name, e.host_interface, e.interface, e.mac, e.ip4, e.ip6, e.aliases,"
        " n.internal, n.subnet4, n.gateway4, n.subnet6, n.gateway6"
        " FROM network_endpoint e JOIN network n ON n.id = e.network WHERE e.container = ?"
        " ORDER BY e.position",
        "t", record->id);
    int more = row ? 1 : -1;
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1) {
        record->endpoints =
            memory_resize(record->endpoints, record->endpoint_count + 1, sizeof *record->endpoints);
        read_endpoint(row, &record->endpoints[record->endpoint_count++]);
    }
    return more;
}

static int load_ports(struct networks *networks, struct container_record *record, struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT protocol, container_port, host_port, host_address FROM network_port"
        " WHERE container = ? ORDER BY position",
        "t", record->id);
    int more = row ? 1 : -1;
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1) {
        record->ports = memory_resize(record->ports, record->port_count + 1, sizeof *record->ports);
        struct network_port *port = &record->ports[record->port_count++];
        *port = (struct network_port){
            .protocol = (enum network_protocol)sqlite3_column_int(row, 0),
            .container_port = (uint16_t)sqlite3_column_int(row, 1),
            .host_first = (uint16_t)sqlite3_column_int(row, 2),
            .host_last = (uint16_t)sqlite3_column_int(row, 2),
        };
        snprintf(port->host_address, sizeof port->host_address, "%s", database_text(row, 3));
    }
    return more;
}

/* 1, 0, -1 */
static int load_row(struct networks *networks, const char *id, struct container_record *record,
                    struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT name, mode, state, other, settings, maker, maker_start, helper, helper_start"
        " FROM network_container WHERE id = ? AND boot = ? AND state != 2",
        "tt", id, networks->boot);
    int found = row ? database_step(networks->database, row, err) : -1;
    if (found != 1)
        return found;
    record->name = memory_copy_string(database_text(row, 0));
    record->mode = (enum network_mode)sqlite3_column_int(row, 1);
    record->state = (enum container_state)sqlite3_column_int(row, 2);
    record->other = memory_copy_string(database_text(row, 3));
    record->settings = json_loads(database_text(row, 4), 0, NULL);
    record->maker = (struct helper){sqlite3_column_int(row, 5), sqlite3_column_int64(row, 6)};
    record->helper = (struct helper){sqlite3_column_int(row, 7), sqlite3_column_int64(row, 8)};
    return 1;
}

int container_record_load(struct networks *networks, const char *id,
                          struct container_record *record, struct error *err)
{
    *record = (struct container_record){0};
    snprintf(record->id, sizeof record->id, "%s", id);
    int found = load_row(networks, id, record, err);
    if (found == 1 &&
        (load_endpoints(networks, record, err) < 0 || load_ports(networks, record, err) < 0))
        found = -1;
    if (found != 1)
        container_record_release(record);
    return found;
}

int container_record_insert_endpoint(struct networks *networks, const char *id, size_t position,
                                     const struct endpoint_record *endpoint, struct error *err)
{
    const struct network_endpoint *public = &endpoint->public;
    json_t *list = json_array();
    for (size_t i = 0; i < public->alias_count; i++)
        json_array_append_new(list, json_string(public->aliases[i]));
    scope_free char *aliases = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return database_run(
        networks->database, err,
        "INSERT INTO network_endpoint (id, container, network, position, host_interface, interface,"
        " mac, ip4, ip6, aliases) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "tttittttt"
        "t",
        public->id, id, public->network_id, (long long)position, endpoint->host_interface,
        public->interface, public->mac, *public->ip4 ? public->ip4 : NULL,
        *public->ip6 ? public->ip6 : NULL, aliases ? aliases : "[]");
}

int container_record_insert_port(struct networks *networks, const char *id, size_t position,
                                 const struct network_port *port, struct error *err)
{
    return database_run(networks->database, err,
                        "INSERT INTO network_port (container, position, protocol, container_port,"
                        " host_port, host_address) VALUES (?, ?, ?, ?, ?, ?)",
                        "tiiiit", id, (long long)position, (long long)port->protocol,
                        (long long)port->container_port, (long long)port->host_first,
                        port->host_address);
}

int container_record_insert(struct networks *networks, struct container_record *record,
                            struct error *err)
{
    scope_free char *settings = json_dumps(record->settings, JSON_COMPACT);
    if (!settings)
        return error_set(err, EINVAL, "container %.12s: its settings are not UTF-8", record->id);
    record->maker = (struct helper){getpid(), network_process_start(getpid())};
    if (database_run(networks->database, err,
                     "INSERT INTO network_container (id, name, mode, state, other, boot, changed,"
                     " maker, maker_start, helper, helper_start, settings)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)",
                     "ttiittiiit", record->id, record->name, (long long)record->mode,
                     (long long)record->state, record->other, networks->boot, (long long)time(NULL),
                     (long long)record->maker.pid, record->maker.start, settings) < 0)
        return -1;
    for (size_t i = 0; i < record->endpoint_count; i++)
        if (container_record_insert_endpoint(networks, record->id, i, &record->endpoints[i], err) <
            0)
            return -1;
    return 0;
}

int container_record_set_helper(struct networks *networks, const char *id,
                                const struct helper *helper, struct error *err)
{
    return database_run(networks->database, err,
                        "UPDATE network_container SET helper = ?, helper_start = ? WHERE id = ?",
                        "iit", (long long)helper->pid, helper->start, id);
}

int container_record_complete(struct networks *networks, const char *id, struct error *err)
{
    return database_run(networks->database, err,
                        "UPDATE network_container SET state = 1, changed = ? WHERE id = ?", "it",
                        (long long)time(NULL), id);
}

int container_record_retire(struct networks *networks, const char *id, struct error *err)
{
    return database_run(networks->database, err,
                        "UPDATE network_container SET state = 2, changed = ?,"
                        " id = id || '-' || lower(hex(randomblob(8))) WHERE id = ?",
                        "it", (long long)time(NULL), id);
}

int container_record_list(struct networks *networks, enum container_state state, char ***ids,
                          size_t *count, struct error *err)
{
    *ids = NULL;
    *count = 0;
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err, "SELECT id FROM network_container WHERE state = ? AND boot = ?",
        "it", (long long)state, networks->boot);
    int more = row ? 1 : -1;
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1) {
        *ids = memory_resize(*ids, *count + 1, sizeof **ids);
        (*ids)[(*count)++] = memory_copy_string(database_text(row, 0));
    }
    if (more == 0)
        return 0;
    network_free_names(*ids, *count);
    *ids = NULL;
    *count = 0;
    return -1;
}

static int recover_one(struct networks *networks, const char *id, struct error *err)
{
    scope_container_record struct container_record record;
    int found = container_record_load(networks, id, &record, err);
    if (found <= 0 || record.state != CONTAINER_MAKING)
        return found < 0 ? -1 : 0;
    scope_close int maker = helper_open(&record.maker);
    return maker >= 0 ? 0 : network_detach(networks, id, err);
}

int container_record_recover(struct networks *networks, struct error *err)
{
    char **ids;
    size_t count;
    int result = container_record_list(networks, CONTAINER_MAKING, &ids, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = recover_one(networks, ids[i], err);
    network_free_names(ids, count);
    return result;
}

/* Removes at once what has had its time. Interfaces go with one message: the kernel takes long for
 * each batch, not for each interface. */
int container_record_sweep(struct networks *networks, bool force, struct error *err)
{
    if (database_run(networks->database, err, "DELETE FROM network_container WHERE boot != ?", "t",
                     networks->boot) < 0)
        return -1;
    scope_statement sqlite3_stmt *row =
        database_prepare(networks->database, err,
                         "SELECT e.id, e.host_interface, c.changed FROM network_container c"
                         " JOIN network_endpoint e ON e.container = c.id WHERE c.state = 2",
                         "");
    int more = row ? 1 : -1;
    scope_netlink struct netlink netlink = {.fd = -1};
    long long now = time(NULL);
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1) {
        const char *interface = database_text(row, 1);
        if (link_find(interface)) {
            if (!force && now - sqlite3_column_int64(row, 2) < LINGER_SECONDS)
                continue;
            if (netlink.fd < 0 && netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
                return -1;
            link_remove(&netlink, interface);
            if (netlink_flush(&netlink, err) < 0)
                return -1;
        }
        if (database_run(networks->database, err, "DELETE FROM network_endpoint WHERE id = ?", "t",
                         database_text(row, 0)) < 0)
            return -1;
    }
    if (more < 0)
        return -1;
    return database_run(networks->database, err,
                        "DELETE FROM network_container WHERE state = 2 AND NOT EXISTS"
                        " (SELECT 1 FROM network_endpoint WHERE container = network_container.id)",
                        "");
}
