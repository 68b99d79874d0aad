/* Verifying all that the engine keeps; the other way round than engine_reconcile(), which shares no
 * code with this where that would make both blind to the same fault. */
#include "engine/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/network.h"

void check_found(struct check *check, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    json_t *line = json_string(text);
    json_array_append_new(check->findings, line ? line : json_string("a fault that isn't UTF-8"));
}

/* ---- The database ---- */

/* SQLite 3.40 finds nulls that aren't there in tables without rowids (fixed in 3.41). */
static bool is_sound(const char *line, const char *sound)
{
    return strcmp(line, sound) == 0 || strncmp(line, "NULL value in ", 14) == 0;
}

static int check_pragma(struct check *check, const char *sql, const char *sound, const char *what,
                        struct error *err)
{
    struct database *database = &check->engine->database;
    scope_statement sqlite3_stmt *row = database_prepare(database, err, sql, "");
    int more = row ? 1 : -1;
    while (more == 1 && (more = database_step(database, row, err)) == 1)
        if (!is_sound(database_text(row, 0), sound))
            check_found(check, "database %s: %s %s", database->path, what, database_text(row, 0));
    return more;
}

static int check_database(struct check *check, struct error *err)
{
    if (check_pragma(check, "PRAGMA integrity_check", "ok", "is damaged:", err) < 0)
        return -1;
    return check_pragma(check, "PRAGMA foreign_key_check", "", "a row refers to none, in", err);
}

/* ---- What belongs to no container ---- */

/* 1: there is a row, or the container is being made or removed; 0; -1. */
static int is_owned(struct check *check, const char *id, struct error *err)
{
    struct error why = {0};
    struct engine_container named = {0};
    scope_container struct engine_container row = {0};
    snprintf(named.id, sizeof named.id, "%s", id);
    engine_container_set_paths(check->engine, &named);
    scope_container struct engine_container container = named;
    scope_close int lock = engine_lock(&container, true, &why);
    if (lock < 0 && why.code == EAGAIN)
        return 1;
    return engine_row_find(check->engine, id, &row, err);
}

/* The name without the suffix, if it is a container's id with that. */
static bool read_id(const char *name, const char *suffix, char id[ENGINE_ID_SIZE])
{
    snprintf(id, ENGINE_ID_SIZE, "%s", name);
    return engine_is_id(id) && strcmp(name + ENGINE_ID_SIZE - 1, suffix) == 0;
}

/* Everything in the directory is named after a container. except: a name that isn't, or NULL. */
static int check_entries(struct check *check, const char *directory, const char *except,
                         struct error *err)
{
    scope_closedir DIR *stream = opendir(directory);
    if (!stream)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't read %s", directory);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *name = entry->d_name;
        if (name[0] == '.' || (except && strcmp(name, except) == 0))
            continue;
        int owned = engine_is_id(name) ? is_owned(check, name, err) : 0;
        if (owned < 0)
            return -1;
        if (!owned)
            check_found(check, "%s/%s belongs to no container", directory, name);
    }
    return 0;
}

/* Whether a file of that number is there: INODE.start is the socket of what has that. */
static bool has_inode(const char *directory, unsigned long long inode)
{
    struct stat status;
    scope_closedir DIR *stream = opendir(directory);
    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        if (fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_ino == inode)
            return true;
    return false;
}

/* A runtime's: ID.container, and for a machine ID.control, its keeper's socket. */
static int check_states(struct check *check, const char *directory, struct error *err)
{
    scope_closedir DIR *stream = opendir(directory);
    if (!stream)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't read %s", directory);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        char id[ENGINE_ID_SIZE], *end;
        const char *name = entry->d_name;
        unsigned long long inode = strtoull(name, &end, 10);
        if (name[0] == '.')
            continue;
        int owned = read_id(name, RUNTIME_STATE_SUFFIX, id) || read_id(name, ".control", id)
                        ? is_owned(check, id, err)
                    : strcmp(end, ".start") == 0 ? has_inode(directory, inode)
                                                 : 0;
        if (owned < 0)
            return -1;
        if (!owned)
            check_found(check, "%s/%s belongs to no container", directory, name);
    }
    return 0;
}

static bool note_draft(const char *name, void *argument)
{
    struct check *check = argument;
    check_found(check, "%s/%s is half made, and who made it is gone", check->engine->containers,
                name);
    return false;
}

static int check_directories(struct check *check, struct error *err)
{
    struct engine *engine = check->engine;
    scope_free char *run_directories = memory_format("%s/containers", engine->run_root);
    if (engine_draft_each(engine, note_draft, check, err) < 0 ||
        check_entries(check, engine->containers, "skeleton", err) < 0 ||
        check_entries(check, run_directories, NULL, err) < 0)
        return -1;
    return check_states(check, check->engine->runtime_root, err) < 0
               ? -1
               : check_states(check, check->engine->machine_root, err);
}

static int check_leases(struct check *check, struct error *err)
{
    for (size_t i = 0; i < check->holder_count; i++) {
        const char *owner = check->holders[i].owner;
        int owned = engine_is_id(owner) ? is_owned(check, owner, err) : 1;
        if (owned < 0)
            return -1;
        if (!owned)
            check_found(check, "image %s is held for container %.12s, which isn't there",
                        check->holders[i].image, owner);
    }
    return 0;
}

static bool is_known(const char *id, void *argument)
{
    struct error ignored;
    return is_owned(argument, id, &ignored) != 0;
}

/* ---- All ---- */

static int check_containers(struct check *check, struct error *err)
{
    scope_engine_list struct engine_list list = {0};
    if (engine_list(check->engine, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++)
        if (check_container(check, &list.items[i], err) < 0)
            return -1;
    return 0;
}

static int check_all(struct check *check, struct error *err)
{
    struct engine *engine = check->engine;
    struct image_store *images = engine_images(engine, err);
    struct volume_store *volumes = images ? engine_volumes(engine, err) : NULL;
    struct networks *networks = volumes ? engine_networks(engine, err) : NULL;
    if (!networks || check_database(check, err) < 0 ||
        image_lease_list(images, &check->holders, &check->holder_count, err) < 0)
        return -1;
    if (check_containers(check, err) < 0 || check_directories(check, err) < 0 ||
        check_leases(check, err) < 0)
        return -1;
    if (volume_check(volumes, is_known, check, false, check->findings, err) < 0)
        return -1;
    return network_check(networks, engine_lives, engine, check->findings, err);
}

int engine_check(struct engine *engine, json_t *findings, struct error *err)
{
    struct check check = {.engine = engine, .findings = findings};
    int result = check_all(&check, err);
    image_lease_holders_free(check.holders, check.holder_count);
    return result;
}
