/* Changes of a container that is attached: one more network, one less, another name. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/network_internal.h"
#include "network/publish.h"

static int load_attached(struct networks *networks, const char *id,
                         struct container_record *container, struct error *err)
{
    if (networks->rootless)
        return error_set(err, 0, "only root can connect containers to networks");
    int found = container_record_load(networks, id, container, err);
    if (found < 0)
        return -1;
    if (found == 0 || container->state != CONTAINER_READY)
        return network_refuse(err, ENOENT, "it is not attached to any network (it doesn't run)");
    if (container->mode != NETWORK_MODE_BRIDGE)
        return error_set(err, 0,
                         "it has %s, so it can't be connected to or disconnected from networks",
                         container->mode == NETWORK_MODE_HOST   ? "the host's network"
                         : container->mode == NETWORK_MODE_NONE ? "no network (none)"
                                                                : "another container's network");
    return 0;
}

/* What depends on which endpoints there are. */
static int follow(struct networks *networks, struct container_record *container, int namespace,
                  bool uses_resolver, struct error *err)
{
    if (endpoint_reroute(container, namespace, err) < 0 ||
        publication_restart(networks, container, err) < 0 ||
        (container->port_count > 0 && rules_update(networks, err) < 0))
        return -1;
    return uses_resolver ? resolver_update(networks, err) : 0;
}

/* ethN with the lowest N that is free. */
static void name_interface(const struct container_record *container, char name[16])
{
    bool taken = true;
    for (size_t number = 0; taken; number++) {
        snprintf(name, 16, "eth%zu", number);
        taken = false;
        for (size_t i = 0; i < container->endpoint_count; i++)
            taken = taken || strcmp(container->endpoints[i].public.interface, name) == 0;
    }
}

static int record_endpoint(struct networks *networks, const char *id,
                           const struct network_endpoint_request *request,
                           struct network_record *network, struct error *err)
{
    scope_container_record struct container_record container = {0};
    struct endpoint_record endpoint = {0};
    scope_transaction struct database_transaction transaction = {0};
    long long position = 0;
    if (database_begin(networks->database, &transaction, err) < 0 ||
        network_record_require(networks, request->network, network, err) < 0 ||
        load_attached(networks, id, &container, err) < 0)
        return -1;
    if (strcmp(network->driver, "bridge") != 0)
        return error_set(err, 0, "network '%s' can't be connected to", network->name);
    for (size_t i = 0; i < container.endpoint_count; i++)
        if (strcmp(container.endpoints[i].public.network_id, network->id) == 0)
            return network_refuse(err, EEXIST, "it is connected to network '%s' already",
                                  network->name);
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT ifnull(max(position), -1) + 1 FROM network_endpoint WHERE container = ?", "t", id);
    if (!row || database_step(networks->database, row, err) < 0)
        return -1;
    position = sqlite3_column_int64(row, 0);
    database_finalize(&row);
    int result = endpoint_prepare(networks, network, request, &endpoint, err);
    name_interface(&container, endpoint.public.interface);
    if (result == 0)
        result = container_record_insert_endpoint(networks, id, (size_t)position, &endpoint, err);
    network_endpoint_release(&endpoint.public);
    return result < 0 ? -1 : database_commit(&transaction, err);
}

/* The record goes only when the interface has: first it says that it is to go. */
static int remove_endpoint(struct networks *networks, const struct endpoint_record *endpoint,
                           struct error *err)
{
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(networks->database, &transaction, err) < 0 ||
        database_run(networks->database, err, "INSERT OR IGNORE INTO network_removed VALUES (?)",
                     "t", endpoint->host_interface) < 0 ||
        database_run(networks->database, err, "DELETE FROM network_endpoint WHERE id = ?", "t",
                     endpoint->public.id) < 0 ||
        database_commit(&transaction, err) < 0)
        return -1;
    return network_sweep_removed(networks, err);
}

/* The last one is the new one. */
static int make_recorded(struct networks *networks, struct container_record *container,
                         const struct network_record *network, struct error *err)
{
    size_t last = container->endpoint_count - 1;
    scope_close int namespace = namespace_open(networks, container->id, err);
    if (namespace < 0)
        return -1;
    if (endpoint_make(networks, container, last, network, namespace, err) < 0)
        return -1;
    return follow(networks, container, namespace, network_uses_resolver(networks, container), err);
}

static int connect_container(struct networks *networks, const char *id,
                             const struct network_endpoint_request *request, struct error *err)
{
    scope_network_record struct network_record network = {0};
    scope_container_record struct container_record container = {0};
    struct error other;
    scope_close int lock = network_lock_changes(networks, err);
    if (lock < 0 || container_record_recover(networks, err) < 0 ||
        record_endpoint(networks, id, request, &network, err) < 0 ||
        load_attached(networks, id, &container, err) < 0)
        return -1;
    if (make_recorded(networks, &container, &network, err) == 0)
        return 0;
    if (remove_endpoint(networks, &container.endpoints[container.endpoint_count - 1], &other) < 0)
        warnings_say(networks->warnings, &other);
    return -1;
}

static int find_result(struct networks *networks, const char *id,
                       struct network_attachment *attachment, struct error *err)
{
    if (!attachment)
        return 0;
    int found = network_find_attachment(networks, id, attachment, err);
    if (found == 0)
        return network_refuse(err, ENOENT, "it was detached meanwhile");
    return found < 0 ? -1 : 0;
}

int network_connect(struct networks *networks, const char *container_id,
                    const struct network_endpoint_request *endpoint,
                    struct network_attachment *attachment, struct error *err)
{
    if (attachment)
        *attachment = (struct network_attachment){0};
    if (connect_container(networks, container_id, endpoint, err) < 0 ||
        find_result(networks, container_id, attachment, err) < 0)
        return error_wrap(err, "network of container %.12s", container_id);
    return 0;
}

static int disconnect_container(struct networks *networks, const char *id, const char *name,
                                struct error *err)
{
    scope_container_record struct container_record before = {0}, after = {0};
    scope_network_record struct network_record network = {0};
    const struct endpoint_record *endpoint = NULL;
    scope_close int lock = network_lock_changes(networks, err);
    if (lock < 0 || load_attached(networks, id, &before, err) < 0 ||
        network_record_require(networks, name, &network, err) < 0)
        return -1;
    for (size_t i = 0; i < before.endpoint_count; i++)
        if (strcmp(before.endpoints[i].public.network_id, network.id) == 0)
            endpoint = &before.endpoints[i];
    if (!endpoint)
        return network_refuse(err, ENOENT, "it is not connected to network '%s'", network.name);
    scope_close int namespace = namespace_open(networks, id, err);
    if (namespace < 0 || remove_endpoint(networks, endpoint, err) < 0 ||
        load_attached(networks, id, &after, err) < 0)
        return -1;
    return follow(networks, &after, namespace, network_uses_resolver(networks, &before), err);
}

int network_disconnect(struct networks *networks, const char *container_id, const char *network,
                       struct network_attachment *attachment, struct error *err)
{
    if (attachment)
        *attachment = (struct network_attachment){0};
    if (disconnect_container(networks, container_id, network, err) < 0 ||
        find_result(networks, container_id, attachment, err) < 0)
        return error_wrap(err, "network of container %.12s", container_id);
    return 0;
}

int network_rename(struct networks *networks, const char *container_id, const char *name,
                   struct error *err)
{
    scope_container_record struct container_record container;
    int found = container_record_load(networks, container_id, &container, err);
    if (found <= 0)
        return found;
    if (database_run(networks->database, err, "UPDATE network_container SET name = ? WHERE id = ?",
                     "tt", name, container_id) < 0)
        return -1;
    return network_uses_resolver(networks, &container) ? resolver_update(networks, err) : 0;
}
