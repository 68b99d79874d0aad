/* Listing, inspecting and pruning networks. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "network/network_internal.h"

void network_free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

void network_list_release(struct network_description *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        json_decref(list[i].labels);
    }
    free(list);
}

static bool is_builtin(const struct network_record *record)
{
    return !*record->interface || strcmp(record->name, NETWORK_DEFAULT) == 0;
}

static int count_endpoints(struct networks *networks, const char *id, size_t *count,
                           struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT count(*) FROM network_endpoint e JOIN network_container c ON c.id = e.container"
        " WHERE e.network = ? AND c.state != 2 AND c.boot = ?",
        "tt", id, networks->boot);
    if (!row || database_step(networks->database, row, err) < 0)
        return -1;
    *count = (size_t)sqlite3_column_int64(row, 0);
    return 0;
}

/* ---- Filters ----------------------------------------------------------------------------------
 */

/* What filters look at. */
struct candidate {
    const struct network_record *record;
    size_t endpoint_count;
    const json_t *labels;
};

static bool label_matches(const struct candidate *candidate, const char *value)
{
    const char *equals = strchr(value, '=');
    scope_free char *key =
        memory_format("%.*s", equals ? (int)(equals - value) : (int)strlen(value), value);
    const char *label = json_string_value(json_object_get(candidate->labels, key));
    return label && (!equals || strcmp(label, equals + 1) == 0);
}

static bool dangling_matches(const struct candidate *candidate, const char *value)
{
    bool dangling = !is_builtin(candidate->record) && candidate->endpoint_count == 0;
    return dangling == (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

static bool driver_matches(const struct candidate *candidate, const char *value)
{
    return strcmp(candidate->record->driver, value) == 0;
}

static bool id_matches(const struct candidate *candidate, const char *value)
{
    return strstr(candidate->record->id, value) != NULL;
}

static bool name_matches(const struct candidate *candidate, const char *value)
{
    return strstr(candidate->record->name, value) != NULL;
}

static bool scope_matches(const struct candidate *candidate, const char *value)
{
    (void)candidate;
    return strcmp(value, "local") == 0;
}

static bool type_matches(const struct candidate *candidate, const char *value)
{
    return strcmp(value, is_builtin(candidate->record) ? "builtin" : "custom") == 0;
}

/* "24h" ago, seconds since 1970, or 2026-11-21[T15:04[:05]]: what was created before. */
static bool read_until(const char *value, int64_t *until)
{
    int64_t nanoseconds;
    struct tm time_parts = {0};
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S",
                                          "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
    if (quantity_read_integer(value, 0, INT64_MAX / 2, until))
        return true;
    if (quantity_read_duration(value, &nanoseconds)) {
        *until = time(NULL) - nanoseconds / 1000000000;
        return true;
    }
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const char *end = strptime(value, formats[i], &time_parts);
        if (end && !*end) {
            time_parts.tm_isdst = -1;
            *until = i == 0 ? timegm(&time_parts) : mktime(&time_parts);
            return true;
        }
    }
    return false;
}

static bool until_matches(const struct candidate *candidate, const char *value)
{
    int64_t until;
    return read_until(value, &until) && candidate->record->created < until;
}

static bool not_label_matches(const struct candidate *candidate, const char *value)
{
    return !label_matches(candidate, value);
}

static const struct filter_key {
    const char *name;
    bool (*matches)(const struct candidate *candidate, const char *value);
    bool all; /* several must all match, not any of them */
} filter_keys[] = {
    {"dangling", dangling_matches, true},
    {"driver", driver_matches, false},
    {"id", id_matches, false},
    {"label", label_matches, true},
    {"label!", not_label_matches, true},
    {"name", name_matches, false},
    {"scope", scope_matches, false},
    {"type", type_matches, false},
    {"until", until_matches, true},
};

static const struct filter_key *find_key(const char *filter)
{
    const char *equals = strchr(filter, '=');
    for (size_t i = 0; equals && i < sizeof filter_keys / sizeof *filter_keys; i++) {
        size_t length = strlen(filter_keys[i].name);
        if ((size_t)(equals - filter) == length &&
            strncmp(filter, filter_keys[i].name, length) == 0)
            return &filter_keys[i];
    }
    return NULL;
}

static int check_filters(const char *const *filters, size_t count, bool pruning, struct error *err)
{
    int64_t until;
    for (size_t i = 0; i < count; i++) {
        const struct filter_key *key = find_key(filters[i]);
        bool until_filter = key && key->matches == until_matches;
        bool label_filter = key && strncmp(key->name, "label", 5) == 0;
        if (!key || (pruning && !until_filter && !label_filter) || (!pruning && until_filter))
            return error_set(err, 0, "filter '%s' is none (%s)", filters[i],
                             pruning ? "until=, label=, label!="
                                     : "dangling=, driver=, id=, label=, name=, scope=, type=");
        if (until_filter && !read_until(strchr(filters[i], '=') + 1, &until))
            return error_set(err, 0, "filter '%s': want a time or a duration like 24h", filters[i]);
    }
    return 0;
}

static bool passes(const struct candidate *candidate, const char *const *filters, size_t count)
{
    for (size_t k = 0; k < sizeof filter_keys / sizeof *filter_keys; k++) {
        bool any = false, matched = false, failed = false;
        for (size_t i = 0; i < count; i++) {
            if (find_key(filters[i]) != &filter_keys[k])
                continue;
            bool one = filter_keys[k].matches(candidate, strchr(filters[i], '=') + 1);
            any = true;
            matched = matched || one;
            failed = failed || !one;
        }
        if (any && (filter_keys[k].all ? failed : !matched))
            return false;
    }
    return true;
}

/* ---- Listing ----------------------------------------------------------------------------------
 */

static void describe(struct network_description *to, struct network_record *record,
                     size_t endpoint_count, json_t *labels)
{
    static const char *const drivers[] = {"bridge", "host", "null"};
    *to = (struct network_description){
        .created = record->created,
        .internal = record->internal,
        .ipv6 = network_record_has_ipv6(record),
        .endpoint_count = endpoint_count,
        .labels = json_incref(labels),
        .driver = "",
    };
    memcpy(to->id, record->id, NETWORK_ID_SIZE);
    to->name = memory_copy_string(record->name);
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (strcmp(record->driver, drivers[i]) == 0)
            to->driver = drivers[i];
}

static int list(struct networks *networks, const char *const *filters, size_t filter_count,
                struct network_description **descriptions, size_t *count, struct error *err)
{
    struct network_record *records;
    size_t record_count;
    int result = 0;
    *descriptions = NULL;
    *count = 0;
    if (network_record_list(networks, &records, &record_count, err) < 0)
        return -1;
    *descriptions = memory_allocate(record_count, sizeof **descriptions);
    for (size_t i = 0; result == 0 && i < record_count; i++) {
        json_t *labels = json_loads(records[i].labels, 0, NULL);
        struct candidate candidate = {.record = &records[i], .labels = labels};
        result = count_endpoints(networks, records[i].id, &candidate.endpoint_count, err);
        if (result == 0 && passes(&candidate, filters, filter_count))
            describe(&(*descriptions)[(*count)++], &records[i], candidate.endpoint_count, labels);
        json_decref(labels);
    }
    network_record_release_list(records, record_count);
    if (result < 0)
        network_list_release(*descriptions, *count);
    return result;
}

int network_list(struct networks *networks, const char *const *filters, size_t filter_count,
                 struct network_description **descriptions, size_t *count, struct error *err)
{
    if (check_filters(filters, filter_count, false, err) < 0)
        return -1;
    return list(networks, filters, filter_count, descriptions, count, err);
}

int network_prune(struct networks *networks, bool (*in_use)(void *context, const char *network_id),
                  void *context, const char *const *filters, size_t filter_count, char ***names,
                  size_t *count, struct error *err)
{
    struct network_description *descriptions;
    size_t description_count;
    int result = 0;
    *names = NULL;
    *count = 0;
    if (check_filters(filters, filter_count, true, err) < 0 ||
        list(networks, filters, filter_count, &descriptions, &description_count, err) < 0)
        return -1;
    *names = memory_allocate(description_count, sizeof **names);
    for (size_t i = 0; result == 0 && i < description_count; i++) {
        struct network_description *description = &descriptions[i];
        struct error failure;
        if (strcmp(description->driver, "bridge") != 0 || description->endpoint_count > 0 ||
            strcmp(description->name, NETWORK_DEFAULT) == 0 ||
            (in_use && in_use(context, description->id)))
            continue;
        if (network_remove(networks, description->id, &failure) == 0)
            (*names)[(*count)++] = memory_copy_string(description->name);
        else if (failure.code != EBUSY && failure.code != ENOENT) { /* others were faster */
            if (err)
                *err = failure;
            result = -1;
        }
    }
    network_list_release(descriptions, description_count);
    if (result < 0)
        network_free_names(*names, *count);
    return result;
}

/* ---- Inspecting -------------------------------------------------------------------------------
 */

static json_t *describe_ranges(const struct network_record *record)
{
    json_t *config = json_array();
    for (int family = 0; family < NETWORK_FAMILIES; family++) {
        const struct network_range *range = &record->ranges[family];
        char text[NETWORK_ADDRESS_SIZE];
        if (!range->subnet.base.family)
            continue;
        json_t *entry = json_pack("{s:s}", "Subnet", subnet_format(&range->subnet, text));
        if (range->from.prefix != range->subnet.prefix)
            json_object_set_new(entry, "IPRange", json_string(subnet_format(&range->from, text)));
        json_object_set_new(entry, "Gateway", json_string(address_format(&range->gateway, text)));
        json_array_append_new(config, entry);
    }
    return json_pack("{s:s, s:{}, s:o}", "Driver", "default", "Options", "Config", config);
}

static json_t *with_prefix(const char *address, const char *subnet)
{
    const char *slash = strchr(subnet, '/');
    scope_free char *text = memory_format("%s%s", address, slash ? slash : "");
    return json_string(*address ? text : "");
}

static json_t *describe_containers(struct networks *networks, const char *id, struct error *err)
{
    json_t *containers = json_object();
    scope_statement sqlite3_stmt *row =
        database_prepare(networks->database, err,
                         "SELECT c.id, c.name, e.id, e.mac, e.ip4, e.ip6, n.subnet4, n.subnet6"
                         " FROM network_endpoint e JOIN network_container c ON c.id = e.container"
                         " JOIN network n ON n.id = e.network"
                         " WHERE e.network = ? AND c.state != 2 AND c.boot = ? ORDER BY c.id",
                         "tt", id, networks->boot);
    int more = row ? 1 : -1;
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1)
        json_object_set_new(
            containers, database_text(row, 0),
            json_pack("{s:s, s:s, s:s, s:o, s:o}", "Name", database_text(row, 1), "EndpointID",
                      database_text(row, 2), "MacAddress", database_text(row, 3), "IPv4Address",
                      with_prefix(database_text(row, 4), database_text(row, 6)), "IPv6Address",
                      with_prefix(database_text(row, 5), database_text(row, 7))));
    if (more == 0)
        return containers;
    json_decref(containers);
    return NULL;
}

json_t *network_inspect(struct networks *networks, const char *name, struct error *err)
{
    scope_network_record struct network_record record;
    char created[32];
    struct tm parts;
    if (network_record_require(networks, name, &record, err) < 0)
        return NULL;
    json_t *containers = describe_containers(networks, record.id, err);
    if (!containers)
        return NULL;
    time_t seconds = record.created;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &parts));
    json_t *options = json_loads(record.options, 0, NULL);
    if (options && *record.interface && !json_object_get(options, "com.docker.network.bridge.name"))
        json_object_set_new(options, "com.docker.network.bridge.name",
                            json_string(record.interface));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:b, s:b, s:b, s:{s:s}, s:b, s:o, s:o, "
                     "s:o}",
                     "Name", record.name, "Id", record.id, "Created", created, "Scope", "local",
                     "Driver", record.driver, "EnableIPv6", (int)network_record_has_ipv6(&record),
                     "IPAM", describe_ranges(&record), "Internal", (int)record.internal,
                     "Attachable", (int)record.attachable, "Ingress", 0, "ConfigFrom", "Network",
                     "", "ConfigOnly", 0, "Containers", containers, "Options",
                     options ? options : json_object(), "Labels",
                     json_loads(record.labels, 0, NULL));
}
