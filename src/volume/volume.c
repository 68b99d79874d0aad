#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

static const char *const steps[] = {
    "CREATE TABLE volume (name TEXT PRIMARY KEY, created INTEGER NOT NULL," /* seconds */
    " anonymous INTEGER NOT NULL, labels TEXT NOT NULL, options TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE volume_use (volume TEXT NOT NULL REFERENCES volume(name),"
    " container TEXT NOT NULL, mounted INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (volume, container)) WITHOUT ROWID;"
    "CREATE INDEX volume_use_container ON volume_use (container)",
};

static const struct database_schema schema = {"volume", steps, sizeof steps / sizeof *steps};

int volume_open(struct volume_store *store, struct database *database, const char *root,
                struct error *err)
{
    *store = (struct volume_store){.database = database};
    if (database_refuse_loss(database, schema.module, root, err) < 0 ||
        database_migrate(database, &schema, err) < 0)
        return -1;
    store->root = memory_copy_string(root);
    return 0;
}

void volume_close(struct volume_store *store)
{
    free(store->root);
    *store = (struct volume_store){0};
}

int volume_refuse(struct error *err, int code, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    error_set(err, 0, "%s", text);
    if (err)
        err->code = code;
    return -1;
}

/* docker's: a letter or digit, then also _ . - ; it becomes a directory's name. */
static int check_name(const char *name, struct error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t length = strlen(name);
    if (length == 0 || length >= VOLUME_NAME_SIZE || !strchr(letters, name[0]) ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != length)
        return error_set(err, 0,
                         "volume '%.80s': a name begins with a letter or digit and goes on with "
                         "these or _ . - (for a directory of the host, give an absolute path)",
                         name);
    return 0;
}

static int check_options(const json_t *options, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)options, key, value)
    {
        if (strcmp(key, "type") != 0 && strcmp(key, "device") != 0 && strcmp(key, "o") != 0)
            return error_set(err, 0,
                             "volume option '%s': the driver local knows type, device and o", key);
        if (!json_is_string(value))
            return error_set(err, 0, "volume option '%s' is not a string", key);
    }
    if (json_object_size(options) > 0 &&
        (!json_object_get(options, "type") || !json_object_get(options, "device")))
        return error_set(err, 0, "volume options: both type and device are needed to mount it");
    return 0;
}

static int name_at_random(char name[VOLUME_NAME_SIZE], struct error *err)
{
    unsigned char bytes[32];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return error_set(err, errno, "can't get random bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
        sprintf(name + 2 * i, "%02x", bytes[i]);
    return 0;
}

static char *dump_object(const json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    return text ? text : memory_copy_string("{}");
}

static int check_same_options(struct volume_store *store, const char *name, const char *options,
                              struct error *err)
{
    scope_statement sqlite3_stmt *statement = database_prepare(
        store->database, err, "SELECT options FROM volume WHERE name = ?", "t", name);
    if (!statement)
        return -1;
    int row = database_step(store->database, statement, err);
    if (row < 0)
        return -1;
    if (row == 1 && strcmp(options, "{}") != 0 && strcmp(database_text(statement, 0), options) != 0)
        return error_set(err, 0, "volume '%s' exists with other options (remove it first)", name);
    return 0;
}

int volume_is_recorded(struct volume_store *store, const char *name, struct error *err)
{
    scope_statement sqlite3_stmt *row =
        database_prepare(store->database, err, "SELECT 1 FROM volume WHERE name = ?", "t", name);
    return row ? database_step(store->database, row, err) : -1;
}

/* The row, and its use, in one transaction. */
static int record(struct volume_store *store, const struct volume_request *request,
                  const char *name, bool anonymous, struct error *err)
{
    scope_free char *labels = dump_object(request->labels);
    scope_free char *options = dump_object(request->options);
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(store->database, &transaction, err) < 0 ||
        database_run(store->database, err, "INSERT OR IGNORE INTO volume VALUES (?, ?, ?, ?, ?)",
                     "tiitt", name, (long long)time(NULL), (long long)anonymous, labels,
                     options) < 0 ||
        check_same_options(store, name, options, err) < 0 ||
        (request->container && volume_use(store, name, request->container, err) < 0))
        return -1;
    return database_commit(&transaction, err);
}

/* 1: the directory is there; 0: the row is gone meanwhile. */
static int make_recorded_directory(struct volume_store *store, const char *name, struct error *err)
{
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(store->database, &transaction, err) < 0)
        return -1;
    int recorded = volume_is_recorded(store, name, err);
    if (recorded <= 0)
        return recorded;
    scope_close int directory = volume_open_directory(store, name, err);
    return directory < 0 ? -1 : 1;
}

int volume_create(struct volume_store *store, const struct volume_request *request,
                  char name[VOLUME_NAME_SIZE], struct error *err)
{
    if (request->driver && *request->driver && strcmp(request->driver, "local") != 0)
        return error_set(err, 0, "volume driver '%s': there is only local", request->driver);
    if (check_options(request->options, err) < 0)
        return -1;
    bool anonymous = !request->name || !*request->name;
    if (anonymous ? name_at_random(name, err) < 0 : check_name(request->name, err) < 0)
        return -1;
    if (!anonymous)
        snprintf(name, VOLUME_NAME_SIZE, "%s", request->name);
    int made;
    do {
        if (record(store, request, name, anonymous, err) < 0)
            return -1;
        made = make_recorded_directory(store, name, err);
    } while (made == 0);
    return made < 0 ? -1 : 0;
}

char *volume_data_path(const struct volume_store *store, const char *name)
{
    return memory_format("%s/%s/_data", store->root, name);
}

/* Of that mode whatever the umask: the programs of containers run as any user. */
static int make_directory(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0)
        return errno == EEXIST ? 0 : -1;
    return chmod(path, mode);
}

int volume_open_directory(const struct volume_store *store, const char *name, struct error *err)
{
    if (check_name(name, err) < 0)
        return -1;
    scope_free char *path = memory_format("%s/%s", store->root, name);
    if (make_directory(store->root, 0711) < 0 || make_directory(path, 0701) < 0)
        return error_set(err, errno, "volume '%s': can't make %s", name, path);
    scope_close int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "volume '%s': can't open %s", name, path);
    if (mkdirat(directory, "_data", 0755) == 0)
        fchmodat(directory, "_data", 0755, 0); /* whatever the umask */
    else if (errno != EEXIST)
        return error_set(err, errno, "volume '%s': can't make %s/_data", name, path);
    return scope_take_fd(&directory);
}

int volume_lock(int directory, const char *name, struct error *err)
{
    scope_close int lock =
        openat(directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || file_lock(lock, LOCK_EX) < 0)
        return error_set(err, errno, "volume '%s': can't lock it", name);
    return scope_take_fd(&lock);
}

int volume_discard(const struct volume_store *store, const char *name,
                   char trash[VOLUME_TRASH_SIZE], struct error *err)
{
    char random[VOLUME_NAME_SIZE];
    if (name_at_random(random, err) < 0)
        return -1;
    snprintf(trash, VOLUME_TRASH_SIZE, VOLUME_TRASH_PREFIX "%.16s", random);
    scope_free char *path = memory_format("%s/%s", store->root, name);
    scope_free char *target = memory_format("%s/%s", store->root, trash);
    scope_close int held = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (held < 0)
        return error_set(err, errno, "volume '%s': can't open %s", name, path);
    /* A killed process has left it mounted. */
    if (volume_is_mounted(held, "_data")) {
        scope_free char *data = memory_format("%s/_data", path);
        umount2(data, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    if (flock(held, LOCK_EX | LOCK_NB) < 0 || rename(path, target) < 0)
        return error_set(err, errno, "volume '%s': can't rename %s", name, path);
    return scope_take_fd(&held);
}

/* 1: it is unused and its row is gone; 0: there is no such volume. */
static int delete_row(struct volume_store *store, const char *name, char trash[VOLUME_TRASH_SIZE],
                      int *held, struct error *err)
{
    scope_transaction struct database_transaction transaction = {0};
    if (database_begin(store->database, &transaction, err) < 0)
        return -1;
    int recorded = volume_is_recorded(store, name, err);
    if (recorded <= 0)
        return recorded;
    scope_statement sqlite3_stmt *uses = database_prepare(
        store->database, err, "SELECT container FROM volume_use WHERE volume = ?", "t", name);
    int row = uses ? database_step(store->database, uses, err) : -1;
    if (row < 0)
        return -1;
    if (row == 1)
        return volume_refuse(err, EBUSY,
                             "volume '%s' is used by container %.12s (remove that first)", name,
                             database_text(uses, 0));
    database_finalize(&uses);
    if (database_run(store->database, err, "DELETE FROM volume WHERE name = ?", "t", name) < 0)
        return -1;
    struct error failure;
    *held = volume_discard(store, name, trash, &failure);
    if (*held < 0 && failure.code != ENOENT) {
        if (err)
            *err = failure;
        return -1;
    }
    return database_commit(&transaction, err) < 0 ? -1 : 1;
}

int volume_remove_counting(struct volume_store *store, const char *name, bool force,
                           long long *bytes, struct error *err)
{
    char trash[VOLUME_TRASH_SIZE];
    scope_close int held = -1;
    if (check_name(name, err) < 0)
        return -1;
    int removed = delete_row(store, name, trash, &held, err);
    if (removed < 0)
        return -1;
    if (removed == 0)
        return force ? 0 : volume_refuse(err, ENOENT, "no such volume: %s", name);
    if (held < 0)
        return 0;
    scope_free char *path = memory_format("%s/%s", store->root, trash);
    return remove_tree(AT_FDCWD, path, bytes, err);
}

int volume_remove(struct volume_store *store, const char *name, bool force, struct error *err)
{
    return volume_remove_counting(store, name, force, NULL, err);
}
