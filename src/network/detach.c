/* Detaching a container, and looking up what it has. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/network_internal.h"

/* What a container has is gone with the next boot: its records may be lost in a power cut, and
 * needn't wait for the disk. */
void networks_begin_volatile(struct networks *networks)
{
    sqlite3_exec(networks->database->handle, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
}

void networks_end_volatile(struct networks *networks)
{
    sqlite3_exec(networks->database->handle, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
}

/* Whatever boot the record is of. 1, 0, -1; *current tells whether it is of this one. */
static int find_any(struct networks *networks, const char *id, bool *current, struct error *err)
{
    scope_statement sqlite3_stmt *row =
        database_prepare(networks->database, err,
                         "SELECT boot = ? FROM network_container WHERE id = ? AND state != 2", "tt",
                         networks->boot, id);
    int found = row ? database_step(networks->database, row, err) : -1;
    *current = found == 1 && sqlite3_column_int(row, 0);
    return found;
}

/* From here on nothing of the container passes; the kernel drops the interfaces with the namespace,
 * which takes it some milliseconds, and container_record_sweep() sees to it that it does. */
static int cut_off(const struct networks *networks, const struct container_record *container,
                   struct error *err)
{
    if (container->endpoint_count == 0 || networks->rootless)
        return 0;
    scope_netlink struct netlink netlink = {.fd = -1};
    if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
        return -1;
    for (size_t i = 0; i < container->endpoint_count; i++)
        link_cut_port(&netlink, container->endpoints[i].host_interface);
    return netlink_flush(&netlink, err);
}

static int forget(struct networks *networks, const struct container_record *container,
                  struct error *err)
{
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(networks->database, &transaction, err) < 0 ||
        database_run(networks->database, err, "DELETE FROM network_port WHERE container = ?", "t",
                     container->id) < 0 ||
        container_record_retire(networks, container->id, err) < 0 ||
        container_record_sweep(networks, false, err) < 0)
        return -1;
    return database_commit(&transaction, err);
}

/* A container of an earlier boot: nothing is left but its records. */
static int forget_old(struct networks *networks, const char *id, struct error *err)
{
    return database_run(networks->database, err, "DELETE FROM network_container WHERE id = ?", "t",
                        id);
}

static int detach(struct networks *networks, const char *id, struct error *err)
{
    scope_container_record struct container_record container = {0};
    bool current;
    int found = find_any(networks, id, &current, err);
    if (found == 1 && !current)
        return forget_old(networks, id, err);
    if (found == 1)
        found = container_record_load(networks, id, &container, err);
    if (found <= 0)
        return found;
    bool had_ports = container.port_count > 0;
    if (helper_stop(&container.helper, err) < 0 || cut_off(networks, &container, err) < 0 ||
        namespace_drop(networks, id, err) < 0 || forget(networks, &container, err) < 0)
        return -1;
    if (network_uses_resolver(networks, &container) && resolver_update(networks, err) < 0)
        return -1;
    if (!had_ports || networks->rootless)
        return 0;
    if (rules_update(networks, err) < 0)
        return -1;
    conntrack_forget(container.ports, container.port_count);
    return 0;
}

int network_detach(struct networks *networks, const char *container_id, struct error *err)
{
    networks_begin_volatile(networks);
    int result = detach(networks, container_id, err);
    networks_end_volatile(networks);
    return result < 0 ? error_wrap(err, "network of container %.12s", container_id) : 0;
}

void network_attachment_release(struct network_attachment *attachment)
{
    for (size_t i = 0; i < attachment->endpoint_count; i++)
        network_endpoint_release(&attachment->endpoints[i]);
    free(attachment->endpoints);
    free(attachment->ports);
    free(attachment->namespace_path);
    free(attachment->hosts);
    free(attachment->resolv_conf);
    free(attachment->hostname);
    *attachment = (struct network_attachment){0};
}

static void take_endpoints(struct container_record *container,
                           struct network_attachment *attachment)
{
    attachment->endpoints =
        memory_allocate(container->endpoint_count, sizeof *attachment->endpoints);
    attachment->endpoint_count = container->endpoint_count;
    for (size_t i = 0; i < container->endpoint_count; i++) {
        attachment->endpoints[i] = container->endpoints[i].public;
        container->endpoints[i].public = (struct network_endpoint){0};
    }
}

int network_find_attachment(struct networks *networks, const char *container_id,
                            struct network_attachment *attachment, struct error *err)
{
    scope_container_record struct container_record container;
    *attachment = (struct network_attachment){0};
    int found = container_record_load(networks, container_id, &container, err);
    if (found <= 0)
        return found;
    if (container.state != CONTAINER_READY)
        return 0;
    attachment->mode = container.mode;
    if (container.mode == NETWORK_MODE_CONTAINER)
        attachment->namespace_path = network_namespace_path(networks, container.other);
    else if (container.mode != NETWORK_MODE_HOST)
        attachment->namespace_path = network_namespace_path(networks, container.id);
    if (network_compose_files(networks, &container, attachment, err) < 0) {
        network_attachment_release(attachment);
        return -1;
    }
    take_endpoints(&container, attachment);
    attachment->ports = scope_take_pointer(container.ports);
    attachment->port_count = container.port_count;
    return 1;
}
