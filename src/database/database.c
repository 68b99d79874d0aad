#include "database/database.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

#define BUSY_MILLISECONDS 60000
#define RETRY_MILLISECONDS 5

static int fail(const struct database *database, struct error *err, const char *what)
{
    int code = sqlite3_extended_errcode(database->handle);
    int reason = (code & 0xff) == SQLITE_IOERR ? sqlite3_system_errno(database->handle) : 0;
    const char *hint = "";
    /* To SQLite that is an error of input and output in some places. */
    if ((code & 0xff) == SQLITE_FULL)
        reason = ENOSPC;
    if (reason == ENOSPC || reason == EDQUOT)
        return error_set(err, reason, "database %s: can't %s", database->path, what);
    if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
        hint = " (the file is damaged; restore it from a copy, or move it away to begin anew)";
    else if ((code & 0xff) == SQLITE_BUSY)
        hint = " (another hull process holds it)";
    return error_set(err, 0, "database %s: can't %s: %s%s", database->path, what,
                     sqlite3_errmsg(database->handle), hint);
}

/* Private from its first moment on, and not what SQLite takes an empty path or a URI for. */
static int make_file(const char *path, struct error *err)
{
    scope_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, errno, "database %s: can't open it", path);
    return 0;
}

/* FULL: what was acknowledged survives a power cut too. The module table is read so that a damaged
 * file is noticed here. SQLite doesn't wait by itself where two change a new file's journal mode at
 * the same time. */
static int set_up(struct database *database, struct error *err)
{
    static const char sql[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                              "PRAGMA foreign_keys = ON;"
                              "CREATE TABLE IF NOT EXISTS module (name TEXT PRIMARY KEY,"
                              " version INTEGER NOT NULL) WITHOUT ROWID";
    for (int waited = 0;; waited += RETRY_MILLISECONDS) {
        int code = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
        if (code == SQLITE_OK)
            return 0;
        if ((code & 0xff) != SQLITE_BUSY || waited >= BUSY_MILLISECONDS)
            return fail(database, err, "set it up");
        usleep(RETRY_MILLISECONDS * 1000);
    }
}

int database_open(struct database *database, const char *path, struct error *err)
{
    *database = (struct database){0};
    if (make_file(path, err) < 0)
        return -1;
    database->path = memory_copy_string(path);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, &database->handle, flags, NULL) != SQLITE_OK) {
        fail(database, err, "open it");
        database_close(database);
        return -1;
    }
    sqlite3_busy_timeout(database->handle, BUSY_MILLISECONDS);
    if (set_up(database, err) < 0) {
        database_close(database);
        return -1;
    }
    return 0;
}

int database_open_root(struct database *database, const char *root, struct error *err)
{
    *database = (struct database){0};
    if (file_make_directories(root, 0700, err) < 0)
        return -1;
    scope_free char *path = memory_format("%s/hull.db", root);
    return database_open(database, path, err);
}

void database_close(struct database *database)
{
    sqlite3_close_v2(database->handle);
    free(database->path);
    *database = (struct database){0};
}

void database_relax(struct database *database)
{
    sqlite3_exec(database->handle, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
}

int database_execute(struct database *database, const char *sql, struct error *err)
{
    if (sqlite3_exec(database->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(database, err, "change it");
    return 0;
}

static int read_version(struct database *database, const char *module, int *version,
                        struct error *err)
{
    scope_statement sqlite3_stmt *statement =
        database_prepare(database, err, "SELECT version FROM module WHERE name = ?", "t", module);
    if (!statement)
        return -1;
    int row = database_step(database, statement, err);
    *version = row == 1 ? sqlite3_column_int(statement, 0) : 0;
    return row < 0 ? -1 : 0;
}

/* The name of anything in it, which the caller frees; NULL: nothing. */
static char *find_entry(const char *directory)
{
    scope_closedir DIR *stream = opendir(directory);
    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        if (!file_is_dots(entry->d_name))
            return memory_copy_string(entry->d_name);
    return NULL;
}

int database_refuse_loss(struct database *database, const char *module, const char *directory,
                         struct error *err)
{
    int version;
    if (read_version(database, module, &version, err) < 0)
        return -1;
    scope_free char *entry = version == 0 ? find_entry(directory) : NULL;
    /* Again, after the look: another process may have made the tables, and then that. */
    if (!entry || read_version(database, module, &version, err) < 0)
        return entry ? -1 : 0;
    if (version != 0)
        return 0;
    return error_set(err, 0,
                     "database %s: it is new or empty, and %s holds what it knows nothing of "
                     "(restore it from a copy, or move that directory away to begin anew)",
                     database->path, directory);
}

int database_migrate(struct database *database, const struct database_schema *schema,
                     struct error *err)
{
    int version;
    if (read_version(database, schema->module, &version, err) < 0)
        return -1;
    if (version == schema->step_count)
        return 0;
    scope_transaction struct database_transaction transaction = {0};
    /* Again inside of the transaction: another process may have been here. */
    if (database_begin(database, &transaction, err) < 0 ||
        read_version(database, schema->module, &version, err) < 0)
        return -1;
    if (version > schema->step_count)
        return error_set(err, 0,
                         "database %s: its %s tables are of version %d, and this hull knows only "
                         "%d (use the newer hull that wrote them)",
                         database->path, schema->module, version, schema->step_count);
    for (; version < schema->step_count; version++)
        if (database_execute(database, schema->steps[version], err) < 0)
            return -1;
    if (database_run(database, err, "INSERT OR REPLACE INTO module VALUES (?, ?)", "ti",
                     schema->module, (long long)version) < 0)
        return -1;
    return database_commit(&transaction, err);
}

int database_begin(struct database *database, struct database_transaction *transaction,
                   struct error *err)
{
    transaction->database = NULL;
    if (database_execute(database, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    transaction->database = database;
    return 0;
}

int database_commit(struct database_transaction *transaction, struct error *err)
{
    if (database_execute(transaction->database, "COMMIT", err) < 0)
        return -1;
    transaction->database = NULL;
    return 0;
}

void database_rollback(struct database_transaction *transaction)
{
    if (transaction->database)
        sqlite3_exec(transaction->database->handle, "ROLLBACK", NULL, NULL, NULL);
    transaction->database = NULL;
}

static sqlite3_stmt *prepare(struct database *database, struct error *err, const char *sql,
                             const char *types, va_list values)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL) != SQLITE_OK) {
        fail(database, err, "ask it");
        return NULL;
    }
    for (int i = 0; types[i]; i++) {
        int result = types[i] == 't'
                         ? sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1,
                                             SQLITE_STATIC)
                         : sqlite3_bind_int64(statement, i + 1, va_arg(values, long long));
        if (result != SQLITE_OK) {
            fail(database, err, "ask it");
            sqlite3_finalize(statement);
            return NULL;
        }
    }
    return statement;
}

sqlite3_stmt *database_prepare(struct database *database, struct error *err, const char *sql,
                               const char *types, ...)
{
    va_list values;
    va_start(values, types);
    sqlite3_stmt *statement = prepare(database, err, sql, types, values);
    va_end(values);
    return statement;
}

int database_step(struct database *database, sqlite3_stmt *statement, struct error *err)
{
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return fail(database, err, "read or change it");
    }
}

int database_run(struct database *database, struct error *err, const char *sql, const char *types,
                 ...)
{
    va_list values;
    va_start(values, types);
    scope_statement sqlite3_stmt *statement = prepare(database, err, sql, types, values);
    va_end(values);
    if (!statement)
        return -1;
    int row;
    while ((row = database_step(database, statement, err)) == 1)
        ;
    return row;
}

void database_finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
    *statement = NULL;
}

const char *database_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}
