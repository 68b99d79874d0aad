/* container/seccomp_cache: hits, misses, and entries that somebody tampered with. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/seccomp.h"
#include "container/seccomp_cache.h"

/* A directory of its own, with the profile whose entry the test is about. */
struct fixture {
    char directory[32], cache[48];
    struct config_seccomp seccomp;
    struct config_seccomp_rule rule;
    const char *names[2];
    struct seccomp_cache_key key;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    strcpy(fixture->directory, "/tmp/hull-test-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->cache, sizeof fixture->cache, "%s/cache", fixture->directory);
    fixture->names[0] = "getppid";
    fixture->rule.names = (struct config_strings){1, fixture->names};
    fixture->rule.action = "SCMP_ACT_ERRNO";
    fixture->seccomp.default_action = "SCMP_ACT_ALLOW";
    fixture->seccomp.rules = &fixture->rule;
    fixture->seccomp.rule_count = 1;
    seccomp_cache_make_key(&fixture->key, &fixture->seccomp);
    *state = fixture;
    return 0;
}

static void empty_directory(const char *path)
{
    scope_closedir DIR *directory = opendir(path);
    struct dirent *item;
    while (directory && (item = readdir(directory)))
        unlinkat(dirfd(directory), item->d_name, 0);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    unlink(fixture->cache);
    empty_directory(fixture->cache);
    rmdir(fixture->cache);
    char other[64]; /* of the test with a link, should it have failed */
    snprintf(other, sizeof other, "%s/other", fixture->directory);
    empty_directory(other);
    rmdir(other);
    empty_directory(fixture->directory);
    int result = rmdir(fixture->directory);
    seccomp_cache_release_key(&fixture->key);
    free(fixture);
    return result;
}

static struct seccomp_program compile(struct fixture *fixture)
{
    struct seccomp_program program;
    struct error err = {0};
    if (seccomp_compile(&program, &fixture->seccomp, fixture->cache, &err) < 0)
        fail_msg("%s", err.text);
    return program;
}

static bool load(struct fixture *fixture)
{
    struct sock_fprog filter = {0};
    bool hit = seccomp_cache_load(fixture->cache, &fixture->key, &filter);
    free(filter.filter);
    return hit;
}

/* The number of entries; with the path of one of them, if path isn't NULL. */
static size_t count_entries(const struct fixture *fixture, const char *prefix, char *path)
{
    scope_closedir DIR *directory = opendir(fixture->cache);
    size_t count = 0;
    struct dirent *item;
    while (directory && (item = readdir(directory))) {
        if (strncmp(item->d_name, prefix, strlen(prefix)) != 0)
            continue;
        count++;
        if (path)
            sprintf(path, "%s/%s", fixture->cache, item->d_name);
    }
    return count;
}

static void entry_path(struct fixture *fixture, char *path)
{
    struct seccomp_program program = compile(fixture);
    seccomp_program_release(&program);
    assert_int_equal(count_entries(fixture, "filter-", path), 1);
    assert_true(load(fixture));
}

static void a_second_compilation_is_a_hit_with_the_same_filter(void **state)
{
    struct fixture *fixture = *state;
    assert_false(load(fixture));
    struct seccomp_program program = compile(fixture);
    struct sock_fprog loaded = {0};
    assert_true(seccomp_cache_load(fixture->cache, &fixture->key, &loaded));
    assert_int_equal(loaded.len, program.filter.len);
    assert_memory_equal(loaded.filter, program.filter.filter, loaded.len * sizeof *loaded.filter);
    struct seccomp_program again = compile(fixture);
    assert_int_equal(again.filter.len, program.filter.len);
    assert_int_equal(again.flags, program.flags);
    assert_int_equal(count_entries(fixture, "", NULL), 3); /* with . and .. */
    struct stat status;
    char path[512];
    entry_path(fixture, path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(stat(fixture->cache, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    free(loaded.filter);
    seccomp_program_release(&program);
    seccomp_program_release(&again);
}

static void assert_other_key(struct fixture *fixture)
{
    struct seccomp_cache_key key;
    seccomp_cache_make_key(&key, &fixture->seccomp);
    assert_false(key.length == fixture->key.length &&
                 memcmp(key.bytes, fixture->key.bytes, key.length) == 0);
    seccomp_cache_release_key(&key);
}

static void whatever_changes_the_filter_changes_the_key(void **state)
{
    struct fixture *fixture = *state;
    struct config_seccomp_argument argument = {.op = "SCMP_CMP_EQ"};
    struct config_seccomp saved = fixture->seccomp;
    struct config_seccomp_rule saved_rule = fixture->rule;
    const char *architectures[] = {"SCMP_ARCH_X86"};
#define WITH(change)                                                                               \
    do {                                                                                           \
        change;                                                                                    \
        assert_other_key(fixture);                                                                 \
        fixture->seccomp = saved;                                                                  \
        fixture->rule = saved_rule;                                                                \
    } while (0)
    WITH(fixture->seccomp.default_action = "SCMP_ACT_LOG");
    WITH(fixture->seccomp.has_default_errno = true);
    WITH(fixture->seccomp.architectures = ((struct config_strings){1, architectures}));
    WITH(fixture->seccomp.rule_count = 0);
    WITH(fixture->rule.action = "SCMP_ACT_KILL");
    WITH(fixture->rule.has_errno = true);
    WITH((fixture->rule.arguments = &argument, fixture->rule.argument_count = 1));
#undef WITH
    fixture->names[0] = "getpgid";
    assert_other_key(fixture);
}

/* Each byte in turn, and each shorter length, sampled where there are many. */
static void damaged_entries_are_compiled_anew(void **state)
{
    struct fixture *fixture = *state;
    char path[512];
    entry_path(fixture, path);
    size_t length;
    scope_free char *good = file_read_all(AT_FDCWD, path, 1 << 20, &length, NULL);
    assert_non_null(good);
    scope_close int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t at = 0; at < length; at++) {
        char bad = (char)(good[at] ^ 0x40);
        assert_int_equal(pwrite(fd, &bad, 1, (off_t)at), 1);
        if (load(fixture))
            fail_msg("a changed byte %zu of %zu was believed", at, length);
        assert_int_equal(pwrite(fd, good + at, 1, (off_t)at), 1);
    }
    assert_true(load(fixture));
    for (size_t shorter = length; shorter-- > 0;) {
        assert_int_equal(ftruncate(fd, (off_t)shorter), 0);
        assert_false(load(fixture));
    }
    struct seccomp_program program = compile(fixture);
    assert_true(load(fixture)); /* replaced */
    seccomp_program_release(&program);
}

static void an_entry_of_another_profile_is_not_believed(void **state)
{
    struct fixture *fixture = *state;
    char path[512], other[512];
    entry_path(fixture, path);
    assert_int_equal(unlink(path), 0);
    fixture->names[0] = "getpgid"; /* as long as the other: only the comparison tells */
    struct seccomp_program program = compile(fixture);
    seccomp_program_release(&program);
    assert_int_equal(count_entries(fixture, "filter-", other), 1);
    assert_int_equal(rename(other, path), 0); /* as if the names' hashes collided */
    assert_false(load(fixture));
}

static void entries_that_others_could_write_are_not_believed(void **state)
{
    struct fixture *fixture = *state;
    char path[512], moved[64];
    entry_path(fixture, path);
    static const mode_t modes[] = {0620, 0602, 0640, 0604};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_false(load(fixture));
    }
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(load(fixture));
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, 0), 0);
        assert_false(load(fixture));
        assert_int_equal(chown(path, 0, 0), 0);
        assert_int_equal(chown(fixture->cache, 65534, 0), 0);
        assert_false(load(fixture));
        assert_int_equal(chown(fixture->cache, 0, 0), 0);
    }
    assert_int_equal(chmod(fixture->cache, 0720), 0);
    assert_false(load(fixture));
    assert_int_equal(chmod(fixture->cache, 0702), 0);
    assert_false(load(fixture));
    assert_int_equal(chmod(fixture->cache, 0700), 0);
    assert_true(load(fixture));
    snprintf(moved, sizeof moved, "%s/moved", fixture->directory);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(symlink(moved, path), 0);
    assert_false(load(fixture));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(load(fixture)); /* and it doesn't wait for a writer */
}

static void a_linked_cache_directory_is_not_used(void **state)
{
    struct fixture *fixture = *state;
    char other[64];
    snprintf(other, sizeof other, "%s/other", fixture->directory);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(symlink(other, fixture->cache), 0);
    struct seccomp_program program = compile(fixture);
    assert_true(program.filter.len > 0);
    seccomp_program_release(&program);
    assert_int_equal(rmdir(other), 0); /* nothing was written into it */
}

static void another_libseccomp_is_a_miss(void **state)
{
    struct fixture *fixture = *state;
    char library[64];
    snprintf(library, sizeof library, "%s/library", fixture->directory);
    scope_close int fd = open(library, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, 0x7fff0000);
    struct sock_fprog filter = {1, &allow};
    seccomp_cache_store(fixture->cache, &fixture->key, library, &filter);
    /* (Here the directory doesn't exist yet: store makes it.) */
    assert_true(load(fixture));
    assert_int_equal(write(fd, "new", 3), 3);
    assert_false(load(fixture));
    seccomp_cache_store(fixture->cache, &fixture->key, library, &filter);
    assert_true(load(fixture));
    assert_int_equal(unlink(library), 0);
    assert_false(load(fixture));
}

static void the_oldest_entries_and_orphans_go(void **state)
{
    struct fixture *fixture = *state;
    char first[512], orphan[64];
    entry_path(fixture, first);
    struct timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
    snprintf(orphan, sizeof orphan, "%s/new-1", fixture->cache);
    assert_int_equal(mknod(orphan, S_IFREG | 0600, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, first, long_ago, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, orphan, long_ago, 0), 0);
    fixture->rule.has_errno = true;
    for (uint32_t i = 1; i < SECCOMP_CACHE_ENTRIES; i++) {
        fixture->rule.errno_value = i;
        struct seccomp_program program = compile(fixture);
        seccomp_program_release(&program);
    }
    assert_int_equal(count_entries(fixture, "filter-", NULL), SECCOMP_CACHE_ENTRIES);
    assert_int_equal(access(first, F_OK), 0);
    fixture->rule.errno_value = SECCOMP_CACHE_ENTRIES;
    struct seccomp_program program = compile(fixture);
    seccomp_program_release(&program);
    assert_int_equal(count_entries(fixture, "filter-", NULL), SECCOMP_CACHE_ENTRIES);
    assert_int_equal(access(first, F_OK), -1);
    assert_int_equal(count_entries(fixture, "new-", NULL), 0);
    seccomp_cache_release_key(&fixture->key);
    seccomp_cache_make_key(&fixture->key, &fixture->seccomp);
    assert_true(load(fixture)); /* the newest is there */
}

static void a_cache_that_cannot_be_made_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    strcpy(fixture->cache, "/proc/self/none");
    struct seccomp_program program = compile(fixture);
    assert_true(program.filter.len > 0);
    seccomp_program_release(&program);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(a_second_compilation_is_a_hit_with_the_same_filter),
        WITH_FIXTURE(whatever_changes_the_filter_changes_the_key),
        WITH_FIXTURE(damaged_entries_are_compiled_anew),
        WITH_FIXTURE(an_entry_of_another_profile_is_not_believed),
        WITH_FIXTURE(entries_that_others_could_write_are_not_believed),
        WITH_FIXTURE(a_linked_cache_directory_is_not_used),
        WITH_FIXTURE(another_libseccomp_is_a_miss),
        WITH_FIXTURE(the_oldest_entries_and_orphans_go),
        WITH_FIXTURE(a_cache_that_cannot_be_made_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
