/* Containers in the database. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "engine/engine_internal.h"

static const char *const steps[] = {
    "CREATE TABLE engine_container ("
    "  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,"
    "  image TEXT NOT NULL, image_id TEXT NOT NULL, settings TEXT NOT NULL) WITHOUT ROWID;",
};
const struct database_schema engine_schema = {
    .module = "engine",
    .steps = steps,
    .step_count = sizeof steps / sizeof *steps,
};

#define COLUMNS "id, name, created, image, image_id, settings"

void engine_container_set_paths(const struct engine *engine, struct engine_container *container)
{
    container->directory = memory_format("%s/%s", engine->containers, container->id);
    container->run_directory = memory_format("%s/containers/%s", engine->run_root, container->id);
}

void engine_container_release(struct engine_container *container)
{
    free(container->name);
    free(container->image);
    json_decref(container->settings);
    free(container->directory);
    free(container->run_directory);
    *container = (struct engine_container){0};
}

json_t *engine_host_config(const struct engine_container *container)
{
    json_t *host = json_object_get(container->settings, "HostConfig");
    if (!host) {
        host = json_object();
        json_object_set_new(container->settings, "HostConfig", host);
    }
    return host;
}

static int read_row(struct engine *engine, sqlite3_stmt *row, struct engine_container *container,
                    struct error *err)
{
    json_error_t why;
    *container = (struct engine_container){0};
    json_t *settings = json_loads(database_text(row, 5), 0, &why);
    if (!json_is_object(settings)) {
        json_decref(settings);
        return error_set(err, 0, "%s: the settings of container %.64s can't be read: %s",
                         engine->database.path, database_text(row, 0), why.text);
    }
    snprintf(container->id, sizeof container->id, "%s", database_text(row, 0));
    container->name = memory_copy_string(database_text(row, 1));
    container->created = sqlite3_column_int64(row, 2);
    container->image = memory_copy_string(database_text(row, 3));
    snprintf(container->image_id, sizeof container->image_id, "%s", database_text(row, 4));
    container->settings = settings;
    engine_container_set_paths(engine, container);
    return 0;
}

int engine_row_find(struct engine *engine, const char *id, struct engine_container *container,
                    struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        &engine->database, err, "SELECT " COLUMNS " FROM engine_container WHERE id = ?", "t", id);
    int found = row ? database_step(&engine->database, row, err) : -1;
    if (found == 1 && read_row(engine, row, container, err) < 0)
        return -1;
    return found;
}

static bool is_beginning_of_id(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < ENGINE_ID_SIZE && strspn(text, "0123456789abcdef") == length;
}

/* A name counts before the beginning of an id, a whole id before both. */
int engine_find(struct engine *engine, const char *name, struct engine_container *container,
                struct error *err)
{
    bool may_be_id = is_beginning_of_id(name);
    const char *bare = name[0] == '/' ? name + 1 : name;
    scope_free char *after = memory_format("%sg", may_be_id ? name : "g");
    scope_statement sqlite3_stmt *row = database_prepare(
        &engine->database, err,
        "SELECT " COLUMNS ", CASE WHEN id = ?1 THEN 0 WHEN name = ?2 THEN 1 ELSE 2 END AS rank"
        " FROM engine_container WHERE name = ?2 OR (id >= ?1 AND id < ?3)"
        " ORDER BY rank LIMIT 2",
        "ttt", may_be_id ? name : "g", bare, after);
    int found = row ? database_step(&engine->database, row, err) : -1;
    if (found == 0) {
        error_set(err, 0, "no such container: %.128s (see 'hull ps --all')", name);
        if (err)
            err->code = ENOENT;
        return -1;
    }
    if (found < 0 || read_row(engine, row, container, err) < 0)
        return -1;
    bool is_exact = sqlite3_column_int(row, 6) < 2;
    found = is_exact ? 0 : database_step(&engine->database, row, err);
    if (found == 0)
        return 0;
    engine_container_release(container);
    return found < 0 ? -1 : error_set(err, 0, "several containers' ids begin with '%.64s'", name);
}

int engine_list(struct engine *engine, struct engine_list *list, struct error *err)
{
    *list = (struct engine_list){0};
    scope_statement sqlite3_stmt *row =
        database_prepare(&engine->database, err,
                         "SELECT " COLUMNS " FROM engine_container ORDER BY created DESC, id", "");
    int found = row ? 1 : -1;
    while (found == 1 && (found = database_step(&engine->database, row, err)) == 1) {
        list->items = memory_resize(list->items, list->count + 1, sizeof *list->items);
        if (read_row(engine, row, &list->items[list->count], err) < 0)
            found = -1;
        else
            list->count++;
    }
    if (found < 0)
        engine_list_release(list);
    return found;
}

void engine_list_release(struct engine_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        engine_container_release(&list->items[i]);
    free(list->items);
    *list = (struct engine_list){0};
}

/* ---- Names ---- */

static int fail_name_in_use(const char *name, const char *id, struct error *err)
{
    error_set(
        err, 0,
        "the name '%.128s' is in use by container %.12s (remove or rename that one, or choose "
        "another name)",
        name, id);
    if (err)
        err->code = EEXIST;
    return -1;
}

int engine_name_check(struct engine *engine, const char *name, struct error *err)
{
    bool valid = isalnum((unsigned char)name[0]) && name[1] && strlen(name) <= 128;
    for (const char *at = name; *at; at++)
        valid = valid && (isalnum((unsigned char)*at) || strchr("_.-", *at));
    if (!valid)
        return error_set(err, 0,
                         "'%.128s' can't be a container's name: two to 128 letters, digits, or any "
                         "of _ . - that follow one",
                         name);
    scope_statement sqlite3_stmt *row = database_prepare(
        &engine->database, err, "SELECT id FROM engine_container WHERE name = ?", "t", name);
    int found = row ? database_step(&engine->database, row, err) : -1;
    return found == 1 ? fail_name_in_use(name, database_text(row, 0), err) : found;
}

int engine_row_set_name(struct engine *engine, const char *id, const char *name, struct error *err)
{
    struct error why;
    if (database_run(&engine->database, &why, "UPDATE engine_container SET name = ? WHERE id = ?",
                     "tt", name, id) == 0)
        return 0;
    /* The name may have been taken since it was checked. */
    return engine_name_check(engine, name, err) < 0 ? -1 : error_set(err, 0, "%s", why.text);
}

/* ---- Changes ---- */

static char *format_settings(const struct engine_container *container)
{
    return json_dumps(container->settings, JSON_COMPACT);
}

int engine_row_insert(struct engine *engine, const struct engine_container *container,
                      struct error *err)
{
    struct error why;
    scope_free char *settings = format_settings(container);
    if (database_run(&engine->database, &why,
                     "INSERT INTO engine_container (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)",
                     "ttittt", container->id, container->name, (long long)container->created,
                     container->image, container->image_id, settings) == 0)
        return 0;
    return engine_name_check(engine, container->name, err) < 0 ? -1
                                                               : error_set(err, 0, "%s", why.text);
}

int engine_row_delete(struct engine *engine, const char *id, struct error *err)
{
    return database_run(&engine->database, err, "DELETE FROM engine_container WHERE id = ?", "t",
                        id);
}

int engine_row_set_settings(struct engine *engine, const struct engine_container *container,
                            struct error *err)
{
    scope_free char *settings = format_settings(container);
    return database_run(&engine->database, err,
                        "UPDATE engine_container SET settings = ? WHERE id = ?", "tt", settings,
                        container->id);
}
