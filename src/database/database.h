/* hull's SQLite database: one file, ROOT/hull.db, in WAL mode, which engine, network and volume
 * share. Each owns tables whose names begin with its own, and a list of migrations.
 *
 * Every change is one transaction, so that killing any process at any instant leaves what was
 * acknowledged and nothing half done. What a transaction describes outside of the database (an
 * interface, a directory) is recorded first, and made after; so that it can be undone by who finds
 * the record. */
#ifndef HULL_DATABASE_DATABASE_H
#define HULL_DATABASE_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/error.h"

struct database {
    sqlite3 *handle;
    char *path;
};

/* One module's schema: version n is made from n - 1 by steps[n - 1], SQL that may be several
 * statements. Steps are never changed once released, only added. */
struct database_schema {
    const char *module; /* "network" */
    const char *const *steps;
    int step_count;
};

/* Opens the file, which is made if it is missing (mode 0600; its directory must exist). A file that
 * isn't a database, or is damaged, is an error that says so; it is never replaced. Waits up to a
 * minute for other processes' transactions. */
int database_open(struct database *database, const char *path, struct error *err);
/* The same for ROOT/hull.db, which is where everybody's tables are; ROOT is made (mode 0700) if it
 * is missing. After it each module's own open function brings its tables up to date. */
int database_open_root(struct database *database, const char *root, struct error *err);
/* For scopes too: does nothing if *database is zeroed. */
void database_close(struct database *database);
#define scope_database __attribute__((cleanup(database_close)))

/* Brings the module's tables up to date. A database that a newer hull has written is an error. */
int database_migrate(struct database *database, const struct database_schema *schema,
                     struct error *err);

/* Before the module's tables are made: fails if its directory, where it makes nothing before, holds
 * something already, whose record was lost. */
int database_refuse_loss(struct database *database, const char *module, const char *directory,
                         struct error *err);

/* From now on, as long as it is open, transactions needn't survive a power cut (they do survive the
 * end of any process): they don't wait for the disk. */
void database_relax(struct database *database);

/* Runs SQL without parameters and results. */
int database_execute(struct database *database, const char *sql, struct error *err);

/* A write transaction (BEGIN IMMEDIATE). Declare it with scope_transaction: what isn't committed is
 * rolled back. They don't nest. */
struct database_transaction {
    struct database *database; /* NULL: none open */
};
int database_begin(struct database *database, struct database_transaction *transaction,
                   struct error *err);
int database_commit(struct database_transaction *transaction, struct error *err);
void database_rollback(struct database_transaction *transaction);
#define scope_transaction __attribute__((cleanup(database_rollback)))

/* Prepares a statement and binds its parameters in their order, as types says a letter each:
 * 't' const char * (NULL: null), 'i' long long. Texts must live until it is finalized (they aren't
 * copied). NULL with *err filled on failure. */
sqlite3_stmt *database_prepare(struct database *database, struct error *err, const char *sql,
                               const char *types, ...);
/* 1: a row is there to read; 0: there are no more; -1: failed. */
int database_step(struct database *database, sqlite3_stmt *statement, struct error *err);
/* Prepares, runs to the end and finalizes; for statements without rows. */
int database_run(struct database *database, struct error *err, const char *sql, const char *types,
                 ...);
void database_finalize(sqlite3_stmt **statement);
#define scope_statement __attribute__((cleanup(database_finalize)))

/* A column's text, "" where it is null; it lives until the next step. */
const char *database_text(sqlite3_stmt *statement, int column);

#endif
