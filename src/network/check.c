/* What should hold of networks, whoever was killed; network_reconcile() makes it so. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/network_internal.h"

/* So long interfaces of a container that is gone may be there: the kernel takes its time. */
#define VANISH_SECONDS 60

static void find(json_t *findings, const char *format, const char *first, const char *second)
{
    scope_free char *text = memory_format(format, first, second);
    json_array_append_new(findings, json_string(text));
}

/* ---- Containers' records ---- */

static void check_endpoints(struct networks *networks, const struct container_record *container,
                            json_t *findings)
{
    for (size_t i = 0; i < container->endpoint_count && !networks->rootless; i++) {
        const char *interface = container->endpoints[i].host_interface;
        if (!link_find(interface))
            find(findings, "interface %.16s of container %.12s isn't there", interface,
                 container->id);
    }
}

static void check_ready(struct networks *networks, const struct container_record *container,
                        json_t *findings)
{
    scope_free char *pin = network_namespace_path(networks, container->id);
    bool has_pin = container->mode == NETWORK_MODE_BRIDGE || container->mode == NETWORK_MODE_NONE;
    if (has_pin && access(pin, F_OK) < 0)
        find(findings, "the network namespace %s of container %.12s isn't there", pin,
             container->id);
    check_endpoints(networks, container, findings);
    scope_close int helper = helper_open(&container->helper);
    if (container->helper.pid != 0 && helper < 0)
        find(findings, "the process that serves the %s of container %.12s isn't there", "ports",
             container->id);
}

/* What is wrong with one is looked at again for two seconds: it may be about to end, and being
 * detached step by step. */
static int check_ready_again(struct networks *networks, const char *id, json_t *findings,
                             struct error *err)
{
    for (int i = 0;; i++) {
        scope_container_record struct container_record container;
        int found = container_record_load(networks, id, &container, err);
        if (found <= 0 || container.state != CONTAINER_READY)
            return found < 0 ? -1 : 0;
        json_t *wrong = json_array();
        check_ready(networks, &container, wrong);
        bool is_done = json_array_size(wrong) == 0 || i == 200;
        if (is_done)
            json_array_extend(findings, wrong);
        json_decref(wrong);
        if (is_done)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

static int check_container(struct networks *networks, const char *id,
                           bool (*lives)(void *context, const char *container_id), void *context,
                           json_t *findings, struct error *err)
{
    scope_container_record struct container_record container;
    int found = container_record_load(networks, id, &container, err);
    if (found <= 0)
        return found;
    scope_close int maker = helper_open(&container.maker);
    if (container.state == CONTAINER_MAKING && maker < 0)
        find(findings, "the network of container %.12s%s", id,
             " is half made, and who made it is gone");
    else if (container.state == CONTAINER_READY && !lives(context, id))
        find(findings, "container %.12s has %s, and doesn't run", id, "a network");
    else if (container.state == CONTAINER_READY)
        return check_ready_again(networks, id, findings, err);
    return 0;
}

static int check_containers(struct networks *networks, enum container_state state,
                            bool (*lives)(void *context, const char *container_id), void *context,
                            json_t *findings, struct error *err)
{
    char **ids;
    size_t count;
    int result = container_record_list(networks, state, &ids, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = check_container(networks, ids[i], lives, context, findings, err);
    network_free_names(ids, count);
    return result;
}

/* Of containers that are gone. */
static int check_gone(struct networks *networks, json_t *findings, struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT e.host_interface, c.id FROM network_container c JOIN network_endpoint e"
        " ON e.container = c.id WHERE c.state = 2 AND c.boot = ? AND c.changed < ?",
        "ti", networks->boot, (long long)time(NULL) - VANISH_SECONDS);
    int more = row ? 1 : -1;
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1)
        if (link_find(database_text(row, 0)))
            find(findings, "interface %.16s is there still, and its container %.12s is gone",
                 database_text(row, 0), database_text(row, 1));
    return more;
}

/* ---- What has no record ---- */

static int check_pins(struct networks *networks, json_t *findings, struct error *err)
{
    scope_free char *path = memory_format("%s/ns", networks->directory);
    scope_closedir DIR *directory = opendir(path);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        int recorded = reconcile_is_pin_recorded(networks, entry->d_name, err);
        if (recorded < 0)
            return -1;
        if (!recorded)
            find(findings, "the network namespace %s/%s belongs to no container", path,
                 entry->d_name);
    }
    return 0;
}

static int check_interfaces(struct networks *networks, json_t *findings, struct error *err)
{
    char(*names)[IF_NAMESIZE];
    size_t count;
    if (reconcile_find_interfaces(networks, &names, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        find(findings, "interface %s belongs to no %s", names[i], "container");
    free(names);
    return 0;
}

/* The table's handle stands for its text, which is always replaced as a whole. */
static int check_rules(struct networks *networks, json_t *findings, struct error *err)
{
    struct network_record *records;
    size_t count;
    if (network_record_list(networks, &records, &count, err) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        if (!*records[i].interface || !link_find(records[i].interface))
            continue;
        int current = rules_are_current(networks, &records[i], err);
        if (current == 0)
            find(findings, "nftables' table %s lacks the rules of network %s", networks->table,
                 records[i].name);
        result = current < 0 ? -1 : 0;
    }
    network_record_release_list(records, count);
    return result;
}

int network_check(struct networks *networks, bool (*lives)(void *context, const char *container_id),
                  void *context, json_t *findings, struct error *err)
{
    if (check_containers(networks, CONTAINER_MAKING, lives, context, findings, err) < 0 ||
        check_containers(networks, CONTAINER_READY, lives, context, findings, err) < 0 ||
        check_gone(networks, findings, err) < 0 || check_pins(networks, findings, err) < 0 ||
        check_interfaces(networks, findings, err) < 0 || check_rules(networks, findings, err) < 0)
        return error_wrap(err, "networks");
    return 0;
}
