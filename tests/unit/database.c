/* database: migrations of several modules, many processes at once, damage, newer files, kills. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "database/database.h"

#define PROCESSES 8
#define ROUNDS 25

static const char *const steps[] = {
    ("CREATE TABLE sample_count (name TEXT PRIMARY KEY, value INTEGER NOT NULL);"
     "INSERT INTO sample_count VALUES ('a', 0), ('b', 0)"),
    "ALTER TABLE sample_count ADD COLUMN note TEXT",
    "UPDATE sample_count SET note = 'third'",
};
static const char *const other_steps[] = {"CREATE TABLE other_thing (name TEXT)"};
static const char *const wrong_steps[] = {"CREATE TABLE wrong_thing (name TEXT)",
                                          "CREATE TABLE wrong_more (name TEXT); NONSENSE"};

static const struct database_schema first = {"sample", steps, 1}, third = {"sample", steps, 3},
                                    other = {"other", other_steps, 1},
                                    wrong = {"wrong", wrong_steps, 2};

struct place {
    char directory[64];
    char path[80];
};

static int set_up(void **state)
{
    struct place *place = memory_allocate(1, sizeof *place);
    strcpy(place->directory, "database-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/hull.db", place->directory);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        scope_free char *path = memory_format("%s%s", place->path, endings[i]);
        unlink(path);
    }
    /* Nothing else was made: no copy, no other name. */
    assert_int_equal(rmdir(place->directory), 0);
    free(place);
    return 0;
}

static pid_t test_process; /* set by main */

/* In a forked process, which must not go on with the tests, a failure is its end. */
static void assert_done(int result, const struct error *err)
{
    if (result < 0 && getpid() != test_process) {
        print_message("%s\n", err->text);
        _exit(1);
    }
    if (result < 0)
        fail_msg("%s", err->text);
}

static void open_with(const struct place *place, const struct database_schema *schema,
                      struct database *database)
{
    struct error err;
    assert_done(database_open(database, place->path, &err), &err);
    assert_done(database_migrate(database, schema, &err), &err);
}

/* A number that the database answers with. */
static long long ask(struct database *database, const char *sql)
{
    struct error err;
    scope_statement sqlite3_stmt *row = database_prepare(database, &err, sql, "");
    assert_non_null(row);
    assert_done(database_step(database, row, &err), &err);
    return sqlite3_column_int64(row, 0);
}

static void assert_whole(const struct place *place)
{
    scope_database struct database database = {0};
    struct error err;
    assert_done(database_open(&database, place->path, &err), &err);
    scope_statement sqlite3_stmt *row =
        database_prepare(&database, &err, "PRAGMA integrity_check", "");
    assert_done(row ? database_step(&database, row, &err) : -1, &err);
    assert_string_equal(database_text(row, 0), "ok");
}

static void modules_share_a_file(void **state)
{
    struct place *place = *state;
    struct error err;
    struct stat status;
    struct database database = {0};
    open_with(place, &first, &database);
    assert_done(database_migrate(&database, &other, &err), &err);
    assert_done(database_execute(&database, "UPDATE sample_count SET value = 7", &err), &err);
    database_close(&database);
    open_with(place, &third, &database);
    assert_done(database_migrate(&database, &third, &err), &err);
    assert_int_equal(ask(&database, "SELECT value FROM sample_count WHERE note = 'third'"), 7);
    assert_int_equal(ask(&database, "SELECT version FROM module WHERE name = 'sample'"), 3);
    assert_int_equal(ask(&database, "SELECT version FROM module WHERE name = 'other'"), 1);
    database_close(&database);
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void a_migration_that_fails_does_nothing(void **state)
{
    struct place *place = *state;
    struct error err;
    scope_database struct database database = {0};
    open_with(place, &first, &database);
    assert_int_equal(database_migrate(&database, &wrong, &err), -1);
    assert_non_null(strstr(err.text, "NONSENSE"));
    assert_int_equal(ask(&database, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'wrong%'"),
                     0);
    assert_int_equal(ask(&database, "SELECT count(*) FROM module WHERE name = 'wrong'"), 0);
}

static void a_newer_file_is_refused(void **state)
{
    struct place *place = *state;
    struct error err;
    scope_database struct database database = {0};
    open_with(place, &third, &database);
    assert_int_equal(database_migrate(&database, &first, &err), -1);
    scope_free char *expected = memory_format(
        "database %s: its sample tables are of version 3, and this hull knows only 1 (use the "
        "newer hull that wrote them)",
        place->path);
    assert_string_equal(err.text, expected);
    assert_int_equal(ask(&database, "SELECT version FROM module WHERE name = 'sample'"), 3);
    assert_done(database_migrate(&database, &third, &err), &err);
}

/* Each opens a file that may not be there yet, migrates it, and adds in transactions that read
 * before they write. */
static void count_up(const struct place *place)
{
    scope_database struct database database = {0};
    struct error err;
    open_with(place, &third, &database);
    for (int i = 0; i < ROUNDS; i++) {
        scope_transaction struct database_transaction transaction = {0};
        assert_done(database_begin(&database, &transaction, &err), &err);
        long long value = ask(&database, "SELECT value FROM sample_count WHERE name = 'a'");
        assert_done(
            database_run(&database, &err, "UPDATE sample_count SET value = ?", "i", value + 1),
            &err);
        assert_done(database_commit(&transaction, &err), &err);
    }
}

static void many_processes_wait_for_each_other(void **state)
{
    struct place *place = *state;
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        if ((pids[i] = fork()) == 0) {
            count_up(place);
            _exit(0);
        }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    scope_database struct database database = {0};
    open_with(place, &third, &database);
    assert_int_equal(ask(&database, "SELECT value FROM sample_count WHERE name = 'a'"),
                     PROCESSES * ROUNDS);
    assert_whole(place);
}

/* The caller frees. */
static char *read_file(const struct place *place, size_t *length)
{
    struct error err;
    char *bytes = file_read_all(AT_FDCWD, place->path, 1 << 24, length, &err);
    assert_non_null(bytes);
    return bytes;
}

static void overwrite(const struct place *place, off_t offset, const char *bytes, size_t count)
{
    scope_close int fd = open(place->path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, count, offset), count);
}

static void fill(const struct place *place)
{
    struct error err;
    scope_database struct database database = {0};
    open_with(place, &third, &database);
    assert_done(database_execute(&database,
                                 "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n"
                                 " WHERE i < 3000) INSERT INTO sample_count"
                                 " SELECT 'row ' || i, i, hex(randomblob(40)) FROM n",
                                 &err),
                &err);
}

static void assert_reported(const struct place *place, const struct error *err)
{
    const char *hint =
        "(the file is damaged; restore it from a copy, or move it away to begin anew)";
    assert_non_null(strstr(err->text, place->path));
    if (!strstr(err->text, hint))
        fail_msg("%s", err->text);
}

/* Opens, migrates, reads and writes; whatever fails first is the error. */
static int use(const struct place *place, struct error *err)
{
    scope_database struct database database = {0};
    if (database_open(&database, place->path, err) < 0 ||
        database_migrate(&database, &third, err) < 0)
        return -1;
    return database_run(&database, err, "SELECT sum(length(note)) FROM sample_count ORDER BY name",
                        "");
}

static void damage_is_reported_and_nothing_replaced(void **state)
{
    struct place *place = *state;
    char garbage[4096];
    memset(garbage, 0x5a, sizeof garbage);
    /* The header; the schema behind it; pages of data. */
    static const struct {
        off_t offset;
        size_t count;
    } damages[] = {{0, 100}, {100, 3996}, {4096, 4096}, {8192, 4096}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct error err = {0};
        size_t length, length_after;
        fill(place);
        overwrite(place, damages[i].offset, garbage, damages[i].count);
        scope_free char *before = read_file(place, &length);
        assert_int_equal(use(place, &err), -1);
        assert_reported(place, &err);
        assert_int_equal(use(place, &err), -1);
        scope_free char *after = read_file(place, &length_after);
        assert_int_equal(length, length_after);
        assert_memory_equal(before, after, length);
        assert_int_equal(unlink(place->path), 0);
    }
}

static void what_is_no_database_is_refused(void **state)
{
    struct place *place = *state;
    struct error err = {0};
    int fd = open(place->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "This is a text.\n", 16), 16);
    close(fd);
    assert_int_equal(use(place, &err), -1);
    assert_reported(place, &err);
    unlink(place->path);
    assert_int_equal(symlink("/dev/null", place->path), 0);
    assert_int_equal(use(place, &err), -1);
    assert_non_null(strstr(err.text, "can't open it"));
    unlink(place->path);
    assert_int_equal(mkdir(place->path, 0700), 0);
    assert_int_equal(use(place, &err), -1);
    assert_int_equal(rmdir(place->path), 0);
    assert_int_equal(database_open(&(struct database){0}, "nonexistent/hull.db", &err), -1);
    assert_string_equal(err.text,
                        "database nonexistent/hull.db: can't open it: No such file or directory");
}

/* Adds to two rows in one transaction, for ever, and says how often it was acknowledged. */
static void add_for_ever(const struct place *place, volatile long long *acknowledged)
{
    for (;;) {
        scope_database struct database database = {0};
        struct error err;
        open_with(place, &third, &database);
        for (int i = 0; i < 5; i++) {
            scope_transaction struct database_transaction transaction = {0};
            assert_done(database_begin(&database, &transaction, &err), &err);
            assert_done(database_execute(&database,
                                         "UPDATE sample_count SET value = value + 1"
                                         " WHERE name = 'a'",
                                         &err),
                        &err);
            assert_done(database_execute(&database,
                                         "UPDATE sample_count SET value = value + 1"
                                         " WHERE name = 'b'",
                                         &err),
                        &err);
            assert_done(database_commit(&transaction, &err), &err);
            ++*acknowledged;
        }
    }
}

static void kills_lose_nothing_acknowledged(void **state)
{
    struct place *place = *state;
    const char *seed = getenv("HULL_SEED");
    unsigned int random = seed ? (unsigned int)strtoul(seed, NULL, 10) : 1;
    volatile long long *acknowledged =
        mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(acknowledged != MAP_FAILED);
    for (int i = 0; i < 60; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            add_for_ever(place, acknowledged);
        usleep((useconds_t)(500 + rand_r(&random) % 20000));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        scope_database struct database database = {0};
        open_with(place, &third, &database);
        long long a = ask(&database, "SELECT value FROM sample_count WHERE name = 'a'");
        assert_int_equal(ask(&database, "SELECT value FROM sample_count WHERE name = 'b'"), a);
        /* One more may be in the file than was said to be. */
        assert_in_range(a, *acknowledged, *acknowledged + 1);
        *acknowledged = a;
    }
    assert_true(*acknowledged > 0);
    munmap((void *)acknowledged, sizeof *acknowledged);
    assert_whole(place);
}

static void what_is_not_committed_is_rolled_back(void **state)
{
    struct place *place = *state;
    struct error err;
    scope_database struct database database = {0};
    open_with(place, &third, &database);
    {
        scope_transaction struct database_transaction transaction = {0};
        assert_done(database_begin(&database, &transaction, &err), &err);
        assert_done(database_execute(&database, "DELETE FROM sample_count", &err), &err);
    }
    assert_int_equal(ask(&database, "SELECT count(*) FROM sample_count"), 2);
    scope_transaction struct database_transaction next = {0};
    assert_done(database_begin(&database, &next, &err), &err);
    assert_done(database_run(&database, &err, "UPDATE sample_count SET note = ? WHERE name = ?",
                             "tt", NULL, "a"),
                &err);
    assert_done(database_commit(&next, &err), &err);
    assert_int_equal(ask(&database, "SELECT count(*) FROM sample_count WHERE note IS NULL"), 1);
}

int main(void)
{
    test_process = getpid();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(modules_share_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_migration_that_fails_does_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_processes_wait_for_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_reported_and_nothing_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_database_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kills_lose_nothing_acknowledged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_committed_is_rolled_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
