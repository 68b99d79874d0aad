#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "network/network_internal.h"

static const char *const steps[] = {
    "CREATE TABLE network (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL,"
    " created INTEGER NOT NULL, internal INTEGER NOT NULL, attachable INTEGER NOT NULL,"
    " icc INTEGER NOT NULL, masquerade INTEGER NOT NULL, mtu INTEGER NOT NULL,"
    " interface TEXT NOT NULL, host_binding TEXT NOT NULL,"
    " subnet4 TEXT NOT NULL, from4 TEXT NOT NULL, gateway4 TEXT NOT NULL, chosen4 INTEGER NOT NULL,"
    " next4 TEXT NOT NULL,"
    " subnet6 TEXT NOT NULL, from6 TEXT NOT NULL, gateway6 TEXT NOT NULL, chosen6 INTEGER NOT NULL,"
    " next6 TEXT NOT NULL,"
    " labels TEXT NOT NULL, options TEXT NOT NULL, rules INTEGER NOT NULL) WITHOUT ROWID;"
    /* Interfaces of removed networks, until they are gone too. */
    "CREATE TABLE network_removed (interface TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE network_container (id TEXT PRIMARY KEY, name TEXT NOT NULL,"
    " mode INTEGER NOT NULL, state INTEGER NOT NULL, other TEXT NOT NULL, boot TEXT NOT NULL,"
    " changed INTEGER NOT NULL, maker INTEGER NOT NULL, maker_start INTEGER NOT NULL,"
    " helper INTEGER NOT NULL, helper_start INTEGER NOT NULL, settings TEXT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX network_container_state ON network_container (state) WHERE state != 1;"
    "CREATE TABLE network_endpoint (id TEXT PRIMARY KEY, container TEXT NOT NULL"
    " REFERENCES network_container(id) ON DELETE CASCADE ON UPDATE CASCADE,"
    " network TEXT NOT NULL REFERENCES network(id), position INTEGER NOT NULL,"
    " host_interface TEXT NOT NULL, interface TEXT NOT NULL, mac TEXT NOT NULL,"
    " ip4 TEXT, ip6 TEXT, aliases TEXT NOT NULL, UNIQUE (network, ip4), UNIQUE (network, ip6))"
    " WITHOUT ROWID;"
    "CREATE INDEX network_endpoint_container ON network_endpoint (container);"
    "CREATE TABLE network_port (container TEXT NOT NULL"
    " REFERENCES network_container(id) ON DELETE CASCADE ON UPDATE CASCADE,"
    " position INTEGER NOT NULL, protocol INTEGER NOT NULL,"
    " container_port INTEGER NOT NULL, host_port INTEGER NOT NULL, host_address TEXT NOT NULL,"
    " PRIMARY KEY (protocol, host_port, host_address)) WITHOUT ROWID;"
    "CREATE INDEX network_port_container ON network_port (container);"
    "CREATE TABLE network_fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
};

static const struct database_schema schema = {"network", steps, sizeof steps / sizeof *steps};

int network_make_id(char id[NETWORK_ID_SIZE], struct error *err)
{
    unsigned char bytes[(NETWORK_ID_SIZE - 1) / 2];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return error_set(err, errno, "can't get random bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

int network_refuse(struct error *err, int code, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(err, 0, "%s", text);
    if (err)
        err->code = code;
    return -1;
}

static int record_builtin(struct networks *networks, const char *name, const char *driver,
                          struct error *err)
{
    struct network_record record = {.created = time(NULL), .icc = true, .masquerade = true};
    snprintf(record.driver, sizeof record.driver, "%s", driver);
    record.name = (char *)name;
    record.labels = record.options = "{}";
    if (network_make_id(record.id, err) < 0)
        return -1;
    if (strcmp(driver, "bridge") == 0) {
        struct network_range *range = &record.ranges[NETWORK_IP4];
        if (network_pool_choose(networks, AF_INET, true, &range->subnet, err) < 0)
            return -1;
        range->from = range->subnet;
        range->gateway = subnet_address(&range->subnet, 1);
        snprintf(record.interface, sizeof record.interface, "%s", networks->bridge);
    }
    return network_record_insert(networks, &record, err);
}

/* 1: bridge, host and none are recorded. */
static int has_builtins(struct networks *networks, struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err, "SELECT 1 FROM network WHERE name = 'bridge'", "");
    return row ? database_step(networks->database, row, err) : -1;
}

static int ensure_builtins(struct networks *networks, struct error *err)
{
    int found = has_builtins(networks, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(networks->database, &transaction, err) < 0)
        return -1;
    found = has_builtins(networks, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (record_builtin(networks, "bridge", "bridge", err) < 0 ||
        record_builtin(networks, "host", "host", err) < 0 ||
        record_builtin(networks, "none", "null", err) < 0)
        return -1;
    return database_commit(&transaction, err);
}

/* FNV-1a: two run roots of one host shall not share names. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash;
}

static void name_instance(struct networks *networks)
{
    if (strcmp(networks->run_root, "/run/hull") == 0) {
        snprintf(networks->bridge, sizeof networks->bridge, "hull0");
        snprintf(networks->table, sizeof networks->table, "hull");
        return;
    }
    uint64_t hash = hash_text(networks->run_root) & 0xffffffff;
    snprintf(networks->bridge, sizeof networks->bridge, "hull0-%08llx", (unsigned long long)hash);
    snprintf(networks->table, sizeof networks->table, "hull-%08llx", (unsigned long long)hash);
}

int network_open(struct networks **networks, const struct network_options *options,
                 struct error *err)
{
    struct networks *opened = memory_allocate(1, sizeof *opened);
    opened->database = options->database;
    opened->warnings = options->warnings;
    opened->rootless = options->rootless;
    opened->host_resolver = -1;
    opened->run_root = memory_copy_string(options->run_root);
    opened->directory = memory_format("%s/network", options->run_root);
    name_instance(opened);
    scope_free char *boot =
        file_read_all(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, NULL, err);
    if (!boot || database_migrate(opened->database, &schema, err) < 0 ||
        ensure_builtins(opened, err) < 0) {
        network_close(&opened);
        return error_wrap(err, "networks");
    }
    snprintf(opened->boot, sizeof opened->boot, "%.36s", boot);
    *networks = opened;
    return 0;
}

void network_close(struct networks **networks)
{
    if (!*networks)
        return;
    free((*networks)->run_root);
    free((*networks)->directory);
    free(*networks);
    *networks = NULL;
}

int network_make_directories(const struct networks *networks, struct error *err)
{
    scope_free char *pins = memory_format("%s/ns", networks->directory);
    if (mkdir(pins, 0700) == 0 || errno == EEXIST)
        return 0;
    const char *const paths[] = {networks->run_root, networks->directory, pins};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (mkdir(paths[i], 0711) < 0 && errno != EEXIST)
            return error_set(err, errno, "can't make the directory %s", paths[i]);
    return 0;
}

static int lock_file(const struct networks *networks, const char *name, struct error *err)
{
    scope_free char *path = memory_format("%s/%s", networks->directory, name);
    if (network_make_directories(networks, err) < 0)
        return -1;
    scope_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || file_lock(fd, LOCK_EX) < 0)
        return error_set(err, errno, "can't lock %s", path);
    return scope_take_fd(&fd);
}

int network_lock(const struct networks *networks, struct error *err)
{
    return lock_file(networks, "lock", err);
}

int network_lock_changes(const struct networks *networks, struct error *err)
{
    return lock_file(networks, "changes.lock", err);
}

long long network_process_start(pid_t pid)
{
    uint64_t start;
    char state;
    return process_start_time(pid, &start, &state) == 0 ? (long long)start : -1;
}
