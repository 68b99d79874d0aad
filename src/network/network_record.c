/* What a network is: rows of the table network. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "network/network_internal.h"

#define COLUMNS                                                                                    \
    "id, name, driver, created, internal, attachable, icc, masquerade, mtu, interface,"            \
    " host_binding, subnet4, from4, gateway4, chosen4, next4, subnet6, from6, gateway6, chosen6,"  \
    " next6, labels, options, rules"

void network_record_release(struct network_record *record)
{
    free(record->name);
    free(record->labels);
    free(record->options);
    *record = (struct network_record){0};
}

void network_record_release_list(struct network_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        network_record_release(&records[i]);
    free(records);
}

bool network_record_has_ipv6(const struct network_record *record)
{
    return record->ranges[NETWORK_IP6].subnet.base.family != 0;
}

static void read_range(sqlite3_stmt *row, int column, struct network_range *range)
{
    subnet_parse(&range->subnet, database_text(row, column));
    subnet_parse(&range->from, database_text(row, column + 1));
    address_parse(&range->gateway, database_text(row, column + 2));
    range->chosen = sqlite3_column_int(row, column + 3);
    snprintf(range->next, sizeof range->next, "%s", database_text(row, column + 4));
}

static void read_row(sqlite3_stmt *row, struct network_record *record)
{
    *record = (struct network_record){
        .created = sqlite3_column_int64(row, 3),
        .internal = sqlite3_column_int(row, 4),
        .attachable = sqlite3_column_int(row, 5),
        .icc = sqlite3_column_int(row, 6),
        .masquerade = sqlite3_column_int(row, 7),
        .mtu = sqlite3_column_int(row, 8),
        .rules = sqlite3_column_int64(row, 23),
    };
    snprintf(record->id, sizeof record->id, "%s", database_text(row, 0));
    record->name = memory_copy_string(database_text(row, 1));
    snprintf(record->driver, sizeof record->driver, "%s", database_text(row, 2));
    snprintf(record->interface, sizeof record->interface, "%s", database_text(row, 9));
    snprintf(record->host_binding, sizeof record->host_binding, "%s", database_text(row, 10));
    read_range(row, 11, &record->ranges[NETWORK_IP4]);
    read_range(row, 16, &record->ranges[NETWORK_IP6]);
    record->labels = memory_copy_string(database_text(row, 21));
    record->options = memory_copy_string(database_text(row, 22));
}

/* 1, 0, -1; *record is the first row's. */
static int find_by(struct networks *networks, const char *condition, const char *value,
                   struct network_record *record, struct error *err)
{
    scope_free char *sql = memory_format("SELECT " COLUMNS " FROM network WHERE %s", condition);
    scope_statement sqlite3_stmt *row = database_prepare(networks->database, err, sql, "t", value);
    int found = row ? database_step(networks->database, row, err) : -1;
    if (found == 1)
        read_row(row, record);
    return found;
}

/* The prefix is of hexadecimal digits only, so that its successor in text order ends the range. */
static int find_by_prefix(struct networks *networks, const char *prefix,
                          struct network_record *record, struct error *err)
{
    scope_free char *pattern = memory_format("%s*", prefix);
    scope_statement sqlite3_stmt *row =
        database_prepare(networks->database, err,
                         "SELECT " COLUMNS " FROM network WHERE id GLOB ? LIMIT 2", "t", pattern);
    int found = row ? database_step(networks->database, row, err) : -1;
    if (found != 1)
        return found;
    read_row(row, record);
    found = database_step(networks->database, row, err);
    if (found == 0)
        return 1;
    network_record_release(record);
    return found < 0
               ? -1
               : error_set(err, 0,
                           "network '%s': several have an id that begins so (give more of it)",
                           prefix);
}

int network_record_find(struct networks *networks, const char *name, struct network_record *record,
                        struct error *err)
{
    *record = (struct network_record){0};
    if (strcmp(name, "default") == 0)
        name = NETWORK_DEFAULT;
    int found = find_by(networks, "name = ?", name, record, err);
    size_t length = strlen(name);
    if (found == 0 && length > 0 && length < NETWORK_ID_SIZE &&
        strspn(name, "0123456789abcdef") == length)
        found = find_by_prefix(networks, name, record, err);
    return found;
}

int network_record_require(struct networks *networks, const char *name,
                           struct network_record *record, struct error *err)
{
    int found = network_record_find(networks, name, record, err);
    if (found == 0)
        network_refuse(err, ENOENT, "network '%s' not found (hull network ls lists them)", name);
    return found == 1 ? 0 : -1;
}

int network_record_list(struct networks *networks, struct network_record **records, size_t *count,
                        struct error *err)
{
    *records = NULL;
    *count = 0;
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err, "SELECT " COLUMNS " FROM network ORDER BY name", "");
    int more = row ? 1 : -1;
    while (more == 1 && (more = database_step(networks->database, row, err)) == 1) {
        *records = memory_resize(*records, *count + 1, sizeof **records);
        read_row(row, &(*records)[(*count)++]);
    }
    if (more == 0)
        return 0;
    network_record_release_list(*records, *count);
    *records = NULL;
    *count = 0;
    return -1;
}

int network_record_insert(struct networks *networks, const struct network_record *record,
                          struct error *err)
{
    char subnets[2][NETWORK_ADDRESS_SIZE], from[2][NETWORK_ADDRESS_SIZE],
        gateways[2][NETWORK_ADDRESS_SIZE];
    for (int i = 0; i < NETWORK_FAMILIES; i++) {
        subnet_format(&record->ranges[i].subnet, subnets[i]);
        subnet_format(&record->ranges[i].from, from[i]);
        address_format(&record->ranges[i].gateway, gateways[i]);
    }
    return database_run(
        networks->database, err,
        "INSERT INTO network (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '',"
        " ?, ?, ?, ?, '', ?, ?, 0)",
        "tttiiiiiitttttittti"
        "tt",
        record->id, record->name, record->driver, (long long)record->created,
        (long long)record->internal, (long long)record->attachable, (long long)record->icc,
        (long long)record->masquerade, (long long)record->mtu, record->interface,
        record->host_binding, subnets[0], from[0], gateways[0], (long long)record->ranges[0].chosen,
        subnets[1], from[1], gateways[1], (long long)record->ranges[1].chosen, record->labels,
        record->options);
}

int network_find(struct networks *networks, const char *name, char *id, char **full_name,
                 struct error *err)
{
    scope_network_record struct network_record record;
    int found = network_record_find(networks, name, &record, err);
    if (found != 1)
        return found;
    memcpy(id, record.id, NETWORK_ID_SIZE);
    if (full_name)
        *full_name = scope_take_pointer(record.name);
    return 1;
}
