/* What should hold of volumes, whoever was killed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
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

/* What is mounted for no container: who mounted it was killed when its use was already gone. */
static int check_mounts(struct volume_store *store, bool repair, json_t *findings,
                        struct error *err)
{
    json_t *names = json_array(), *name;
    size_t i;
    scope_statement sqlite3_stmt *row =
        database_prepare(store->database, err,
                         "SELECT name FROM volume WHERE options != '{}' AND NOT EXISTS"
                         " (SELECT 1 FROM volume_use WHERE volume = name AND mounted)",
                         "");
    int more = -1, result = 0;
    while (row && (more = database_step(store->database, row, err)) == 1)
        json_array_append_new(names, json_string(database_text(row, 0)));
    database_finalize(&row);
    json_array_foreach(names, i, name)
    {
        scope_free char *path = volume_data_path(store, json_string_value(name));
        if (!volume_is_mounted(AT_FDCWD, path))
            continue;
        find(findings, "volume %s is mounted, and no container uses it", json_string_value(name));
        if (repair && result == 0)
            result = volume_unmount_one(store, json_string_value(name), "", err);
    }
    json_decref(names);
    return more < 0 ? -1 : result;
}

/* 1: nobody has it open to remove it; *lock then says that we do. */
static int is_abandoned(int root, const char *name, int *lock)
{
    *lock = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*lock < 0)
        return errno != ENOENT; /* a file, which no hull makes */
    return flock(*lock, LOCK_EX | LOCK_NB) == 0;
}

static bool is_trash(const char *name)
{
    return strncmp(name, VOLUME_TRASH_PREFIX, sizeof VOLUME_TRASH_PREFIX - 1) == 0;
}

static DIR *open_root(const struct volume_store *store, struct error *err)
{
    DIR *stream = opendir(store->root);
    int code = errno;
    if (!stream)
        error_set(err, code, "can't read %s", store->root);
    errno = code;
    return stream;
}

int volume_sweep(const struct volume_store *store, long long *bytes, struct error *err)
{
    scope_closedir DIR *stream = open_root(store, err);
    if (!stream)
        return errno == ENOENT ? 0 : -1;
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        scope_close int lock = -1;
        if (is_trash(entry->d_name) && is_abandoned(dirfd(stream), entry->d_name, &lock) &&
            remove_tree(dirfd(stream), entry->d_name, bytes, err) < 0)
            return -1;
    }
    return 0;
}

/* What has no row is renamed while no other process can make the row and use the directory. */
static int discard_orphan(struct volume_store *store, const char *name, struct error *err)
{
    char trash[VOLUME_TRASH_SIZE];
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(store->database, &transaction, err) < 0)
        return -1;
    int recorded = volume_is_recorded(store, name, err);
    if (recorded != 0)
        return recorded < 0 ? -1 : 0;
    struct error failure;
    scope_close int held = volume_discard(store, name, trash, &failure);
    if (held >= 0 || failure.code == ENOENT)
        return 0;
    if (err)
        *err = failure;
    return -1;
}

static int check_entry(struct volume_store *store, int root, const char *name, bool repair,
                       json_t *findings, struct error *err)
{
    scope_close int lock = -1;
    if (file_is_dots(name))
        return 0;
    int recorded = volume_is_recorded(store, name, err);
    if (recorded != 0)
        return recorded < 0 ? -1 : 0;
    if (!is_abandoned(root, name, &lock))
        return 0;
    find(findings, "directory %s belongs to no volume", name);
    if (!repair || is_trash(name))
        return 0;
    close(scope_take_fd(&lock)); /* which volume_discard() takes */
    return discard_orphan(store, name, err);
}

int volume_check(struct volume_store *store,
                 bool (*container_exists)(const char *container, void *argument), void *argument,
                 bool repair, json_t *findings, struct error *err)
{
    if (check_uses(store, container_exists, argument, repair, findings, err) < 0 ||
        check_mounts(store, repair, findings, err) < 0)
        return -1;
    scope_closedir DIR *stream = open_root(store, err);
    if (!stream)
        return errno == ENOENT ? 0 : -1;
    struct dirent *entry;
    while ((entry = readdir(stream)))
        if (check_entry(store, dirfd(stream), entry->d_name, repair, findings, err) < 0)
            return -1;
    return repair ? volume_sweep(store, NULL, err) : 0;
}
