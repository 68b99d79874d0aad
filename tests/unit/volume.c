/* volume: names, races of creators, removal of deep trees, what kills leave. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/remove_tree.h"
#include "volume/volume.h"
#include "volume/volume_internal.h"

struct place {
    char directory[64];
    struct database database;
    struct volume_store store;
};

static void open_place(struct place *place)
{
    struct error err = {0};
    char *path = memory_format("%s/hull.db", place->directory);
    char *root = memory_format("%s/volumes", place->directory);
    if (database_open(&place->database, path, &err) < 0 ||
        volume_open(&place->store, &place->database, root, &err) < 0)
        fail_msg("%s", err.text);
    free(root);
    free(path);
}

static void close_place(struct place *place)
{
    volume_close(&place->store);
    database_close(&place->database);
}

static int set_up(void **state)
{
    struct place *place = memory_allocate(1, sizeof *place);
    strcpy(place->directory, "volume-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    open_place(place);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    struct error err;
    close_place(place);
    assert_int_equal(remove_tree(AT_FDCWD, place->directory, NULL, &err), 0);
    assert_int_equal(access(place->directory, F_OK), -1);
    free(place);
    return 0;
}

static int create(struct place *place, const char *name, const char *container)
{
    struct error err;
    char made[VOLUME_NAME_SIZE];
    const struct volume_request request = {.name = name, .container = container};
    return volume_create(&place->store, &request, made, &err);
}

static bool nobody(const char *container, void *argument)
{
    (void)container;
    (void)argument;
    return false;
}

static size_t check(struct place *place, bool repair)
{
    struct error err;
    json_t *findings = json_array();
    assert_int_equal(volume_check(&place->store, nobody, NULL, repair, findings, &err), 0);
    size_t count = json_array_size(findings);
    json_decref(findings);
    return count;
}

static void names_that_are_paths_are_refused(void **state)
{
    char longest[VOLUME_NAME_SIZE + 1];
    memset(longest, 'a', sizeof longest);
    longest[VOLUME_NAME_SIZE] = '\0';
    const char *names[] = {"..", ".", "/", "a/b", "../a", "-a", "a b", "a\n", longest};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(create(*state, names[i], NULL), -1);
        assert_int_equal(volume_remove(&((struct place *)*state)->store, names[i], true, NULL), -1);
    }
    assert_int_equal(create(*state, longest + 1, NULL), 0);
}

static void many_creators_make_one_row(void **state)
{
    struct place *place = *state;
    pid_t pids[20];
    struct error err;
    close_place(place);
    for (size_t i = 0; i < 20; i++)
        if ((pids[i] = fork()) == 0) {
            open_place(place);
            _exit(create(place, "same", NULL) == 0 ? 0 : 1);
        }
    for (size_t i = 0; i < 20; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    open_place(place);
    json_t *list = volume_list(&place->store, &err);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
}

static void a_used_volume_stays(void **state)
{
    struct place *place = *state;
    struct error err;
    assert_int_equal(create(place, "used", "container"), 0);
    assert_int_equal(volume_remove(&place->store, "used", true, &err), -1);
    assert_int_equal(err.code, EBUSY);
    assert_int_equal(volume_release(&place->store, "container", true, &err), 0);
    assert_int_equal(volume_remove(&place->store, "used", false, &err), 0);
    assert_int_equal(volume_remove(&place->store, "used", false, &err), -1);
    assert_int_equal(err.code, ENOENT);
}

/* Deeper than a process may have descriptors, and than PATH_MAX allows a name. */
static void a_deep_tree_is_removed(void **state)
{
    struct place *place = *state;
    struct error err;
    assert_int_equal(create(place, "deep", NULL), 0);
    int at = volume_open_directory(&place->store, "deep", &err);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(at, "directory", 0700), 0);
        int next = openat(at, "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    int file = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(file, "12345", 5), 5);
    close(file);
    close(at);
    long long bytes = 0;
    json_t *removed = volume_prune(&place->store, true, NULL, NULL, &bytes, &err);
    assert_non_null(removed);
    assert_int_equal(json_array_size(removed), 1);
    assert_int_equal(bytes, 5);
    json_decref(removed);
    assert_int_equal(check(place, false), 0);
}

static void what_kills_leave_is_repaired(void **state)
{
    struct place *place = *state;
    close_place(place);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            open_place(place);
            for (;;) {
                create(place, "victim", NULL);
                volume_remove(&place->store, "victim", true, NULL);
            }
        }
        usleep((useconds_t)(3000 + i * 1700));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    open_place(place);
    check(place, true);
    assert_int_equal(check(place, false), 0);
    assert_int_equal(create(place, "victim", NULL), 0);
    char *orphan = memory_format("%s/orphan", place->store.root);
    assert_int_equal(mkdir(orphan, 0700), 0);
    assert_int_equal(check(place, true), 1);
    assert_int_equal(access(orphan, F_OK), -1);
    free(orphan);
}

/* Two containers that start at once find the whole of the image's directory, each file once. */
static void a_race_fills_a_volume_once(void **state)
{
    struct place *place = *state;
    struct error err;
    struct stat one, two;
    char *image = memory_format("%s/image", place->directory);
    assert_int_equal(mkdir(image, 0700), 0);
    int source = open(image, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(image);
    assert_int_equal(fchmod(source, 01777), 0);
    assert_int_equal(mkdirat(source, "below", 0750), 0);
    int file = openat(source, "below/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_int_equal(write(file, "text", 4), 4);
    close(file);
    assert_int_equal(linkat(source, "below/file", source, "other", 0), 0);
    assert_int_equal(symlinkat("below", source, "link"), 0);
    assert_int_equal(create(place, "filled", NULL), 0);
    pid_t pids[2];
    close_place(place);
    for (int i = 0; i < 2; i++)
        if ((pids[i] = fork()) == 0) {
            open_place(place);
            _exit(volume_populate(&place->store, "filled", source, &err) == 0 ? 0 : 1);
        }
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    close(source);
    open_place(place);
    char *path = volume_data_path(&place->store, "filled");
    int data = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(path);
    assert_int_equal(fstat(data, &one), 0);
    assert_int_equal(one.st_mode & 07777, 01777);
    assert_int_equal(fstatat(data, "below/file", &one, 0), 0);
    assert_int_equal(fstatat(data, "other", &two, 0), 0);
    assert_int_equal(one.st_ino, two.st_ino);
    assert_int_equal(one.st_size, 4);
    assert_int_equal(one.st_mode & 07777, 0640);
    assert_int_equal(fstatat(data, "link", &two, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISLNK(two.st_mode));
    assert_int_equal(faccessat(data, "../ready", F_OK, 0), -1);
    assert_int_equal(faccessat(data, "../copying", F_OK, 0), -1);
    close(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_that_are_paths_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_creators_make_one_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_used_volume_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deep_tree_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_kills_leave_is_repaired, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_race_fills_a_volume_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
