/* Who uses a volume, and what is mounted for it while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

int volume_use(struct volume_store *store, const char *name, const char *container,
               struct error *err)
{
    if (database_run(store->database, err,
                     "INSERT OR IGNORE INTO volume_use (volume, container) VALUES (?, ?)", "tt",
                     name, container) < 0)
        return error_wrap(err, "volume '%s'", name);
    return 0;
}

/* The container's volumes as an array of [name, anonymous, options]. */
static json_t *list_uses(struct volume_store *store, const char *container, struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        store->database, err,
        "SELECT name, anonymous, options FROM volume_use JOIN volume ON volume = name"
        " WHERE container = ?",
        "t", container);
    if (!row)
        return NULL;
    json_t *list = json_array();
    int more;
    while ((more = database_step(store->database, row, err)) == 1)
        json_array_append_new(list, json_pack("[s, b, s]", database_text(row, 0),
                                              sqlite3_column_int(row, 1), database_text(row, 2)));
    if (more == 0)
        return list;
    json_decref(list);
    return NULL;
}

int volume_release(struct volume_store *store, const char *container, bool remove_anonymous,
                   struct error *err)
{
    json_t *uses = list_uses(store, container, err), *use;
    if (!uses)
        return -1;
    size_t i;
    int result = 0;
    if (json_array_size(uses) > 0) {
        result = volume_unmount(store, container, err);
        if (result == 0)
            result = database_run(store->database, err,
                                  "DELETE FROM volume_use WHERE container = ?", "t", container);
    }
    json_array_foreach(uses, i, use)
    {
        struct error failure;
        if (result < 0 || !remove_anonymous || !json_is_true(json_array_get(use, 1)))
            continue;
        if (volume_remove(store, json_string_value(json_array_get(use, 0)), true, &failure) < 0 &&
            failure.code != EBUSY) {
            *err = failure;
            result = -1;
        }
    }
    json_decref(uses);
    return result;
}

bool volume_is_mounted(int directory, const char *path)
{
    struct statx status;
    return statx(directory, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status) == 0 &&
           (status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

int volume_mount(struct volume_store *store, const char *name, const char *container,
                 struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        store->database, err, "SELECT options FROM volume WHERE name = ?", "t", name);
    int found = row ? database_step(store->database, row, err) : -1;
    if (found <= 0)
        return found < 0 ? -1 : volume_refuse(err, ENOENT, "no such volume: %s", name);
    json_t *options = json_loads(database_text(row, 0), 0, NULL);
    database_finalize(&row);
    int result = 0;
    if (json_object_size(options) > 0) {
        scope_close int directory = volume_open_directory(store, name, err);
        scope_close int lock = directory < 0 ? -1 : volume_lock(directory, name, err);
        scope_free char *path = volume_data_path(store, name);
        result = lock < 0 ? -1
                          : database_run(store->database, err,
                                         "UPDATE volume_use SET mounted = 1 WHERE volume = ? AND"
                                         " container = ?",
                                         "tt", name, container);
        if (result == 0 && !volume_is_mounted(AT_FDCWD, path))
            result = volume_run_mount(name, path, options, err);
    }
    json_decref(options);
    return result;
}

int volume_unmount_one(struct volume_store *store, const char *name, const char *container,
                       struct error *err)
{
    scope_close int directory = volume_open_directory(store, name, err);
    scope_close int lock = directory < 0 ? -1 : volume_lock(directory, name, err);
    if (lock < 0 ||
        database_run(store->database, err,
                     "UPDATE volume_use SET mounted = 0 WHERE volume = ? AND container = ?", "tt",
                     name, container) < 0)
        return -1;
    scope_statement sqlite3_stmt *others = database_prepare(
        store->database, err, "SELECT 1 FROM volume_use WHERE volume = ? AND mounted", "t", name);
    int used = others ? database_step(store->database, others, err) : -1;
    scope_free char *path = volume_data_path(store, name);
    if (used == 0 && volume_is_mounted(AT_FDCWD, path) && umount2(path, MNT_DETACH) < 0)
        return error_set(err, errno, "volume '%s': can't unmount %s", name, path);
    return used < 0 ? -1 : 0;
}

int volume_unmount(struct volume_store *store, const char *container, struct error *err)
{
    json_t *uses = list_uses(store, container, err), *use;
    if (!uses)
        return -1;
    size_t i;
    int result = 0;
    json_array_foreach(uses, i, use)
    {
        if (result == 0 && strcmp(json_string_value(json_array_get(use, 2)), "{}") != 0)
            result = volume_unmount_one(store, json_string_value(json_array_get(use, 0)), container,
                                        err);
    }
    json_decref(uses);
    return result;
}
