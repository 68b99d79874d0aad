/* What there is, and pruning. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

#define SELECT_VOLUMES                                                                             \
    "SELECT name, created, anonymous, labels, options,"                                            \
    " (SELECT count(*) FROM volume_use WHERE volume = name) FROM volume "

static json_t *describe(const struct volume_store *store, sqlite3_stmt *row)
{
    char created[40];
    time_t seconds = (time_t)sqlite3_column_int64(row, 1);
    struct tm broken_down;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &broken_down));
    scope_free char *path = volume_data_path(store, database_text(row, 0));
    json_t *labels = json_loads(database_text(row, 3), 0, NULL);
    if (labels && sqlite3_column_int(row, 2)) /* as docker marks them */
        json_object_set_new(labels, "com.docker.volume.anonymous", json_string(""));
    json_t *options = json_loads(database_text(row, 4), 0, NULL);
    if (json_object_size(options) == 0) {
        json_decref(options);
        options = json_null();
    }
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:s, s:b, s:i}", "CreatedAt", created,
                     "Driver", "local", "Labels", labels ? labels : json_object(), "Mountpoint",
                     path, "Name", database_text(row, 0), "Options",
                     options ? options : json_null(), "Scope", "local", "Anonymous",
                     sqlite3_column_int(row, 2) != 0, "UseCount", sqlite3_column_int(row, 5));
}

json_t *volume_inspect(struct volume_store *store, const char *name, struct error *err)
{
    scope_statement sqlite3_stmt *row =
        database_prepare(store->database, err,
                         SELECT_VOLUMES "WHERE name = ? OR (anonymous AND substr(name, 1, ?) = ?)"
                                        " ORDER BY name = ? DESC LIMIT 2",
                         "titt", name, (long long)strlen(name), name, name);
    int found = row ? database_step(store->database, row, err) : -1;
    if (found < 0)
        return NULL;
    if (found == 0 || !*name) {
        volume_refuse(err, ENOENT, "no such volume: %s", name);
        return NULL;
    }
    json_t *volume = describe(store, row);
    if (strcmp(database_text(row, 0), name) != 0 && database_step(store->database, row, err) != 0) {
        json_decref(volume);
        volume_refuse(err, EINVAL, "volume '%s': several names begin like this", name);
        return NULL;
    }
    return volume;
}

json_t *volume_list(struct volume_store *store, struct error *err)
{
    scope_statement sqlite3_stmt *row =
        database_prepare(store->database, err, SELECT_VOLUMES "ORDER BY name", "");
    if (!row)
        return NULL;
    json_t *list = json_array();
    int more;
    while ((more = database_step(store->database, row, err)) == 1)
        json_array_append_new(list, describe(store, row));
    if (more == 0)
        return list;
    json_decref(list);
    return NULL;
}

json_t *volume_prune(struct volume_store *store, bool all,
                     bool (*accept)(const json_t *volume, void *argument), void *argument,
                     long long *bytes, struct error *err)
{
    json_t *list = volume_list(store, err), *removed, *volume;
    if (!list)
        return NULL;
    size_t i;
    removed = json_array();
    json_array_foreach(list, i, volume)
    {
        const char *name = json_string_value(json_object_get(volume, "Name"));
        if (json_integer_value(json_object_get(volume, "UseCount")) > 0 ||
            (!all && !json_is_true(json_object_get(volume, "Anonymous"))) ||
            (accept && !accept(volume, argument)))
            continue;
        struct error failure;
        /* One that is used by now stays. */
        if (volume_remove_counting(store, name, true, bytes, &failure) == 0) {
            json_array_append_new(removed, json_string(name));
        } else if (failure.code != EBUSY) {
            *err = failure;
            json_decref(removed);
            json_decref(list);
            return NULL;
        }
    }
    json_decref(list);
    if (volume_sweep(store, bytes, err) == 0)
        return removed;
    json_decref(removed);
    return NULL;
}
