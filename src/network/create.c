/* Creating and removing networks. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/file.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "network/network_internal.h"

#define NAME_LIMIT 128

static int check_name(const char *name, struct error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char more[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = name ? strlen(name) : 0;
    if (length == 0 || length > NAME_LIMIT || !strchr(letters, name[0]) ||
        strspn(name, more) != length)
        return error_set(err, 0,
                         "network '%.80s': a name begins with a letter or digit and goes on with "
                         "these or _ . -",
                         name ? name : "");
    if (strcmp(name, "default") == 0 || strcmp(name, "container") == 0)
        return error_set(err, 0, "network '%s': the name means something else in --network", name);
    return 0;
}

/* The subnet of one --subnet, with what belongs to it. */
static int fill_range(struct networks *networks, const struct network_pool *pool,
                      struct network_record *record, struct error *err)
{
    struct subnet subnet;
    if (!subnet_parse(&subnet, pool->subnet))
        return error_set(err, 0, "'%s' is no subnet (10.30.0.0/24, fd00:30::/64)", pool->subnet);
    bool is4 = subnet.base.family == AF_INET;
    struct network_range *range = &record->ranges[is4 ? NETWORK_IP4 : NETWORK_IP6];
    if (subnet.prefix > (is4 ? 30 : 126))
        return error_set(err, 0, "subnet %s has no room for a gateway and a container",
                         pool->subnet);
    if (range->subnet.base.family)
        return error_set(err, 0, "a network has one IPv4 and one IPv6 subnet at most");
    if (network_pool_check(networks, &subnet, err) < 0)
        return -1;
    *range = (struct network_range){.subnet = subnet, .from = subnet, .chosen = true};
    range->gateway = subnet_address(&subnet, 1);
    if (pool->gateway && *pool->gateway &&
        (!address_parse(&range->gateway, pool->gateway) ||
         !subnet_contains(&subnet, &range->gateway)))
        return error_set(err, 0, "gateway '%s' is no address of subnet %s", pool->gateway,
                         pool->subnet);
    if (pool->ip_range && *pool->ip_range &&
        (!subnet_parse(&range->from, pool->ip_range) || range->from.prefix < subnet.prefix ||
         !subnet_contains(&subnet, &range->from.base)))
        return error_set(err, 0, "range '%s' is no part of subnet %s", pool->ip_range,
                         pool->subnet);
    return 0;
}

static int fill_automatic(struct networks *networks, int family, struct network_record *record,
                          struct error *err)
{
    struct network_range *range = &record->ranges[family];
    if (range->subnet.base.family)
        return 0;
    if (network_pool_choose(networks, family == NETWORK_IP4 ? AF_INET : AF_INET6, false,
                            &range->subnet, err) < 0)
        return -1;
    range->from = range->subnet;
    range->gateway = subnet_address(&range->subnet, 1);
    return 0;
}

static int fill_ranges(struct networks *networks, const struct network_settings *settings,
                       struct network_record *record, struct error *err)
{
    for (size_t i = 0; i < settings->pool_count; i++)
        if (settings->pools[i].subnet && fill_range(networks, &settings->pools[i], record, err) < 0)
            return -1;
    for (size_t i = 0; i < settings->pool_count; i++)
        if (!settings->pools[i].subnet &&
            (settings->pools[i].gateway || settings->pools[i].ip_range))
            return error_set(err, 0, "a gateway or range needs its subnet");
    /* A network with only an IPv6 subnet given gets an IPv4 one, too, as docker's do. */
    if (fill_automatic(networks, NETWORK_IP4, record, err) < 0)
        return -1;
    return settings->ipv6 ? fill_automatic(networks, NETWORK_IP6, record, err) : 0;
}

static bool read_boolean(const char *text, bool *value)
{
    static const char *const yes[] = {"true", "1", "t", "TRUE", "True", "T"};
    static const char *const no[] = {"false", "0", "f", "FALSE", "False", "F"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *value = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool read_interface(const char *text, struct network_record *record)
{
    size_t length = strlen(text);
    if (length == 0 || length >= IF_NAMESIZE || strpbrk(text, "/ \t\n:\"%") || file_is_dots(text))
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] > '~')
            return false;
    memcpy(record->interface, text, length + 1);
    return true;
}

static int take_option(const char *key, const char *value, struct network_record *record,
                       struct error *err)
{
    int64_t mtu;
    struct address address;
    bool good;
    if (strcmp(key, "bridge") == 0 || strcmp(key, "com.docker.network.bridge.name") == 0) {
        good = read_interface(value, record);
    } else if (strcmp(key, "mtu") == 0 || strcmp(key, "com.docker.network.driver.mtu") == 0) {
        good = quantity_read_integer(value, 68, 65535, &mtu);
        record->mtu = good ? (int)mtu : 0;
    } else if (strcmp(key, "icc") == 0 ||
               strcmp(key, "com.docker.network.bridge.enable_icc") == 0) {
        good = read_boolean(value, &record->icc);
    } else if (strcmp(key, "masquerade") == 0 ||
               strcmp(key, "com.docker.network.bridge.enable_ip_masquerade") == 0) {
        good = read_boolean(value, &record->masquerade);
    } else if (strcmp(key, "host-binding") == 0 ||
               strcmp(key, "com.docker.network.bridge.host_binding_ipv4") == 0) {
        good = address_parse(&address, value);
        if (good)
            address_format(&address, record->host_binding);
        /* 0.0.0.0 is docker's way to say all. */
        if (good && address.number == 0)
            *record->host_binding = '\0';
    } else {
        return error_set(
            err, 0, "option '%s' is unknown (bridge, mtu, icc, masquerade, host-binding)", key);
    }
    return good ? 0 : error_set(err, 0, "option %s: '%s' is no value of it", key, value);
}

static int fill_options(const struct network_settings *settings, struct network_record *record,
                        struct error *err)
{
    json_t *options = json_object();
    int result = 0;
    for (size_t i = 0; result == 0 && i < settings->option_count; i++) {
        scope_free char *key = memory_copy_string(settings->options[i]);
        char *value = strchr(key, '=');
        if (!value) {
            result = error_set(err, 0, "option '%s': want KEY=VALUE", key);
            break;
        }
        *value++ = '\0';
        result = take_option(key, value, record, err);
        json_object_set_new(options, key, json_string(value));
    }
    record->options = json_dumps(options, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(options);
    return result;
}

static void fill_labels(const struct network_settings *settings, struct network_record *record)
{
    json_t *labels = json_object();
    for (size_t i = 0; i < settings->label_count; i++) {
        scope_free char *key = memory_copy_string(settings->labels[i]);
        char *value = strchr(key, '=');
        if (value)
            *value++ = '\0';
        json_object_set_new(labels, key, json_string(value ? value : ""));
    }
    record->labels = json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(labels);
}

/* 1: taken, 0: free, -1 */
static int is_taken(struct networks *networks, const char *column, const char *value,
                    struct error *err)
{
    scope_free char *sql = memory_format("SELECT 1 FROM network WHERE %s = ?", column);
    scope_statement sqlite3_stmt *row = database_prepare(networks->database, err, sql, "t", value);
    return row ? database_step(networks->database, row, err) : -1;
}

static int create_recorded(struct networks *networks, const struct network_settings *settings,
                           struct network_record *record, struct error *err)
{
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(networks->database, &transaction, err) < 0)
        return -1;
    int taken = is_taken(networks, "name", record->name, err);
    if (taken == 1)
        return error_set(err, 0, "the name is in use (hull network rm %s removes it)",
                         record->name);
    if (taken == 0)
        taken = is_taken(networks, "interface", record->interface, err);
    if (taken == 1 || (taken == 0 && link_find(record->interface)))
        return error_set(err, 0, "interface %s exists already (choose another name for it)",
                         record->interface);
    if (taken < 0 || fill_ranges(networks, settings, record, err) < 0 ||
        network_record_insert(networks, record, err) < 0)
        return -1;
    return database_commit(&transaction, err);
}

int network_create(struct networks *networks, const struct network_settings *settings, char *id,
                   struct error *err)
{
    scope_network_record struct network_record record = {
        .created = time(NULL),
        .internal = settings->internal,
        .attachable = settings->attachable,
        .icc = true,
        .masquerade = true,
        .driver = "bridge",
    };
    if (check_name(settings->name, err) < 0)
        return -1;
    if (networks->rootless)
        return error_set(err, 0, "network '%s': only root can make networks", settings->name);
    if (settings->driver && *settings->driver && strcmp(settings->driver, "bridge") != 0)
        return error_set(err, 0, "network '%s': there is no driver '%s' (only bridge)",
                         settings->name, settings->driver);
    record.name = memory_copy_string(settings->name);
    if (network_make_id(record.id, err) < 0)
        return -1;
    snprintf(record.interface, sizeof record.interface, "hull-%.10s", record.id);
    fill_labels(settings, &record);
    if (!record.labels)
        return error_set(err, 0, "network '%s': a label is not UTF-8", settings->name);
    if (fill_options(settings, &record, err) < 0 ||
        create_recorded(networks, settings, &record, err) < 0)
        return error_wrap(err, "network '%s'", settings->name);
    memcpy(id, record.id, NETWORK_ID_SIZE);
    return 0;
}

/* ---- Removing ---------------------------------------------------------------------------------
 */

static int check_unused(struct networks *networks, const struct network_record *record,
                        struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT c.id, c.name FROM network_endpoint e JOIN network_container c ON c.id = e.container"
        " WHERE e.network = ?",
        "t", record->id);
    int used = row ? database_step(networks->database, row, err) : -1;
    if (used != 1)
        return used;
    const char *name = database_text(row, 1);
    return network_refuse(err, EBUSY,
                          "container '%.64s' is attached to it (disconnect or remove that)",
                          *name ? name : database_text(row, 0));
}

static int remove_record(struct networks *networks, const char *name, struct network_record *record,
                         struct error *err)
{
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(networks->database, &transaction, err) < 0 ||
        network_record_require(networks, name, record, err) < 0)
        return -1;
    if (!*record->interface || strcmp(record->name, NETWORK_DEFAULT) == 0)
        return error_set(err, 0, "it is built in and can't be removed");
    if (container_record_sweep(networks, true, err) < 0 ||
        check_unused(networks, record, err) < 0 ||
        database_run(networks->database, err, "INSERT OR IGNORE INTO network_removed VALUES (?)",
                     "t", record->interface) < 0 ||
        database_run(networks->database, err, "DELETE FROM network WHERE id = ?", "t", record->id) <
            0)
        return -1;
    return database_commit(&transaction, err);
}

int network_sweep_removed(struct networks *networks, struct error *err)
{
    for (;;) {
        scope_statement sqlite3_stmt *row = database_prepare(
            networks->database, err, "SELECT interface FROM network_removed LIMIT 1", "");
        int found = row ? database_step(networks->database, row, err) : -1;
        if (found != 1)
            return found;
        char interface[IF_NAMESIZE];
        snprintf(interface, sizeof interface, "%s", database_text(row, 0));
        database_finalize(&row);
        scope_netlink struct netlink netlink = {.fd = -1};
        if (link_find(interface)) {
            if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
                return -1;
            link_remove(&netlink, interface);
            if (netlink_flush(&netlink, err) < 0)
                return -1;
        }
        if (database_run(networks->database, err, "DELETE FROM network_removed WHERE interface = ?",
                         "t", interface) < 0)
            return -1;
    }
}

int network_remove(struct networks *networks, const char *name, struct error *err)
{
    scope_network_record struct network_record record = {0};
    if (container_record_recover(networks, err) < 0 ||
        remove_record(networks, name, &record, err) < 0)
        return err && err->code == ENOENT ? -1 : error_wrap(err, "network '%s'", name);
    if (network_sweep_removed(networks, err) < 0 ||
        (record.rules != 0 && rules_update(networks, err) < 0))
        return error_wrap(err, "network '%s'", name);
    return 0;
}
