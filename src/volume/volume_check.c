/* What should hold of volumes, whoever was killed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

static void find(json_t *findings, const char *format, const char *name)
{
    scope_free char *text = memory_format(format, name);
    json_array_append_new(findings, json_string(text));
}

/* Containers that are noted as users, and aren't there. */
static int check_uses(struct volume_store *store,
                      bool (*container_exists)(const char *container, void *argument),
                      void *argument, bool repair, json_t *findings, struct error *err)
{
    json_t *users = json_array(), *user;
    size_t i;
    scope_statement sqlite3_stmt *row =
        database_prepare(store->database, err, "SELECT DISTINCT container FROM volume_use", "");
    int more = -1, result = 0;
    while (row && (more = database_step(store->database, row, err)) == 1)
        if (!container_exists(database_text(row, 0), argument))
            json_array_append_new(users, json_string(database_text(row, 0)));
    database_finalize(&row);
    json_array_foreach(users, i, user)
    {
        find(findings, "volumes are noted as used by container %s, which isn't there",
             json_string_value(user));
        if (repair && result == 0)
            result = volume_release(store, json_string_value(user), true, err);
    }
    json_decref(users);
    return more < 0 ? -1 : result;
}

/* 1: a volume of that name is recorded. Asked again with the transaction's lock by who removes. */
static int is_recorded(struct volume_store *store, const char *name, struct error *err)
{
    scope_statement sqlite3_stmt *row =
        database_prepare(store->database, err, "SELECT 1 FROM volume WHERE name = ?", "t", name);
    return row ? database_step(store->database, row, err) : -1;
}

int volume_check(struct volume_store *store,
                 bool (*container_exists)(const char *container, void *argument), void *argument,
                 bool repair, json_t *findings, struct error *err)
{
    if (check_uses(store, container_exists, argument, repair, findings, err) < 0)
        return -1;
    scope_closedir DIR *stream = opendir(store->root);
    if (!stream)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't read %s", store->root);
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int recorded = is_recorded(store, entry->d_name, err);
        if (recorded < 0)
            return -1;
        if (recorded == 1)
            continue;
        find(findings, "directory %s belongs to no volume", entry->d_name);
        if (repair && volume_remove_tree(dirfd(stream), entry->d_name, err) < 0)
            return -1;
    }
    return 0;
}
