/* volume: what its options name is mounted while a container uses it; filling that; measuring;
 * what kills leave. In a mount namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
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
    scope_free char *root = memory_format("%s/volumes", place->directory);
    if (database_open_root(&place->database, place->directory, &err) < 0 ||
        volume_open(&place->store, &place->database, root, &err) < 0)
        fail_msg("%s", err.text);
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

static void create(struct place *place, const char *name, const char *type, const char *device,
                   const char *o, const char *container)
{
    struct error err;
    char made[VOLUME_NAME_SIZE];
    json_t *options = type ? json_pack("{s:s, s:s}", "type", type, "device", device) : NULL;
    if (o)
        json_object_set_new(options, "o", json_string(o));
    const struct volume_request request = {
        .name = name, .options = options, .container = container};
    assert_done(volume_create(&place->store, &request, made, &err), &err);
    json_decref(options);
}

static bool is_mounted(struct place *place, const char *name)
{
    scope_free char *path = volume_data_path(&place->store, name);
    return volume_is_mounted(AT_FDCWD, path);
}

/* A file in directory (a path) with that many bytes. */
static void make_file(const char *directory, const char *name, int size)
{
    scope_free char *path = memory_format("%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    for (int i = 0; i < size; i++)
        assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static bool has_file(struct place *place, const char *volume, const char *name)
{
    scope_free char *data = volume_data_path(&place->store, volume);
    scope_free char *path = memory_format("%s/%s", data, name);
    return access(path, F_OK) == 0;
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
    assert_done(volume_check(&place->store, nobody, NULL, repair, findings, &err), &err);
    size_t count = json_array_size(findings);
    json_decref(findings);
    return count;
}

/* A directory with two files and one below, as an image has it; the caller frees. */
static char *make_source(struct place *place, int *descriptor)
{
    char *source = memory_format("%s/source", place->directory);
    scope_free char *below = memory_format("%s/below", source);
    assert_int_equal(mkdir(source, 0700), 0);
    assert_int_equal(mkdir(below, 0750), 0);
    assert_int_equal(chmod(source, 0751), 0);
    make_file(source, "one", 3);
    make_file(below, "two", 4);
    *descriptor = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(*descriptor >= 0);
    return source;
}

static void it_is_mounted_while_somebody_uses_it(void **state)
{
    struct place *place = *state;
    struct error err;
    create(place, "v", "tmpfs", "tmpfs", "size=1m,mode=0711", "first");
    assert_done(volume_use(&place->store, "v", "second", &err), &err);
    assert_false(is_mounted(place, "v"));
    assert_done(volume_mount(&place->store, "v", "first", &err), &err);
    assert_true(is_mounted(place, "v"));
    scope_free char *data = volume_data_path(&place->store, "v");
    struct stat status;
    assert_int_equal(stat(data, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0711);
    make_file(data, "kept", 1);
    assert_done(volume_mount(&place->store, "v", "second", &err), &err);
    assert_true(has_file(place, "v", "kept"));
    assert_done(volume_unmount(&place->store, "first", &err), &err);
    assert_true(has_file(place, "v", "kept"));
    assert_done(volume_release(&place->store, "second", true, &err), &err);
    assert_false(is_mounted(place, "v"));
    assert_false(has_file(place, "v", "kept"));
    assert_done(volume_release(&place->store, "first", true, &err), &err);
    assert_done(volume_remove(&place->store, "v", false, &err), &err);
}

static void what_is_mounted_is_filled_once(void **state)
{
    struct place *place = *state;
    struct error err;
    struct stat status;
    int source;
    free(make_source(place, &source));
    create(place, "v", "tmpfs", "tmpfs", NULL, "c");
    assert_done(volume_mount(&place->store, "v", "c", &err), &err);
    assert_done(volume_populate(&place->store, "v", source, &err), &err);
    assert_true(has_file(place, "v", "one"));
    assert_true(has_file(place, "v", "below/two"));
    scope_free char *data = volume_data_path(&place->store, "v");
    assert_int_equal(stat(data, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0751);
    scope_free char *one = memory_format("%s/one", data);
    assert_int_equal(unlink(one), 0);
    assert_done(volume_populate(&place->store, "v", source, &err), &err);
    assert_false(has_file(place, "v", "one"));
    close(source);
    assert_done(volume_release(&place->store, "c", true, &err), &err);
    /* It went into what was mounted, not below it. */
    assert_false(has_file(place, "v", "below"));
}

/* Who was to unmount it has been killed, and its use forgotten. */
static void removal_spares_what_is_bound(void **state)
{
    struct place *place = *state;
    struct error err;
    int descriptor;
    scope_free char *source = make_source(place, &descriptor);
    close(descriptor);
    scope_free char *device = realpath(source, NULL);
    scope_free char *file = memory_format("%s/below/two", source);
    create(place, "v", "none", device, "bind", "c");
    for (int i = 0; i < 2; i++) {
        assert_done(volume_use(&place->store, "v", "c", &err), &err);
        assert_done(volume_mount(&place->store, "v", "c", &err), &err);
        assert_true(has_file(place, "v", "below/two"));
        assert_done(database_execute(&place->database, "DELETE FROM volume_use", &err), &err);
        if (i == 0) {
            assert_int_equal(check(place, false), 1);
            assert_true(is_mounted(place, "v"));
            assert_int_equal(check(place, true), 1);
            assert_false(is_mounted(place, "v"));
            assert_int_equal(check(place, false), 0);
        }
    }
    assert_done(volume_remove(&place->store, "v", false, &err), &err);
    assert_false(is_mounted(place, "v"));
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(check(place, false), 0);
}

static void a_missing_helper_is_named(void **state)
{
    struct place *place = *state;
    struct error err = {0};
    if (access("/sbin/mount.nfs", F_OK) == 0) {
        print_message("there is mount.nfs\n");
        skip();
    }
    create(place, "v", "nfs", "192.0.2.1:/srv", "ro", "c");
    assert_int_equal(volume_mount(&place->store, "v", "c", &err), -1);
    assert_string_equal(
        err.text, "volume 'v': mounting the type nfs needs /sbin/mount.nfs (install nfs-common)");
    assert_done(volume_release(&place->store, "c", true, &err), &err);
}

static void nfs_may_be_written_as_for_docker(void **state)
{
    static const char *const samples[][4] = {
        {"nfs", ":/srv", "addr=192.0.2.1,rw", "192.0.2.1:/srv"},
        {"nfs4", ":/srv", "rw,addr=server", "server:/srv"},
        {"nfs", ":/srv", "addr=2001:db8::1", "[2001:db8::1]:/srv"},
        {"nfs", ":/srv", "addr=[2001:db8::1],ro", "[2001:db8::1]:/srv"},
        {"nfs", "other:/srv", "addr=192.0.2.1", "other:/srv"},
        {"nfs", ":/srv", "rw,clientaddr=192.0.2.1", ":/srv"},
        {"nfs", ":/srv", NULL, ":/srv"},
        {"ext4", ":/srv", "addr=192.0.2.1", ":/srv"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        scope_free char *device = volume_mount_device(samples[i][0], samples[i][1], samples[i][2]);
        assert_string_equal(device, samples[i][3]);
    }
}

static void what_mount_says_is_passed_on(void **state)
{
    struct place *place = *state;
    struct error err = {0};
    create(place, "v", "none", "/nonexistent/directory", "bind", "c");
    assert_int_equal(volume_mount(&place->store, "v", "c", &err), -1);
    assert_non_null(
        strstr(err.text, "volume 'v': can't mount /nonexistent/directory, of type none: "));
    assert_non_null(strstr(err.text, "special device /nonexistent/directory does not exist"));
    assert_null(strchr(err.text, '\n'));
    assert_false(is_mounted(place, "v"));
    assert_done(volume_release(&place->store, "c", true, &err), &err);
}

static void use_for_ever(struct place *place, int source)
{
    struct error err;
    open_place(place);
    for (;;) {
        create(place, "v", "tmpfs", "tmpfs", NULL, "c");
        if (volume_mount(&place->store, "v", "c", &err) < 0 ||
            volume_populate(&place->store, "v", source, &err) < 0 ||
            volume_release(&place->store, "c", true, &err) < 0)
            _exit(1);
    }
}

static void kills_leave_nothing_mounted(void **state)
{
    struct place *place = *state;
    struct error err;
    int source;
    free(make_source(place, &source));
    close_place(place);
    /* The killed one's mount(8) becomes ours, so that its end is seen. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (int i = 0; i < 40; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            use_for_ever(place, source);
        usleep((useconds_t)(2000 + i * 1300));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (waitpid(-1, NULL, 0) > 0)
            ;
        open_place(place);
        check(place, true);
        assert_false(is_mounted(place, "v"));
        assert_int_equal(check(place, false), 0);
        assert_done(volume_remove(&place->store, "v", true, &err), &err);
        close_place(place);
    }
    open_place(place);
    close(source);
}

static void sizes_count_each_file_once(void **state)
{
    struct place *place = *state;
    struct error err;
    long long bytes;
    create(place, "v", NULL, NULL, NULL, NULL);
    assert_done(volume_size(&place->store, "v", &bytes, &err), &err);
    assert_int_equal(bytes, 0);
    scope_free char *data = volume_data_path(&place->store, "v");
    int at = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("/usr", at, "link"), 0);
    assert_int_equal(mkdirat(at, "mount", 0700), 0);
    /* Deeper than PATH_MAX, with files on both sides of each subdirectory. */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mkdirat(at, "below", 0700), 0);
        for (int j = 0; j < 4; j++) {
            char name[] = {"afpz"[j], '\0'};
            int file = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            assert_int_equal(write(file, "12", 2), 2);
            close(file);
        }
        assert_int_equal(linkat(at, "a", at, "again", 0), 0);
        int next = openat(at, "below", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    close(at);
    scope_free char *mount_point = memory_format("%s/mount", data);
    assert_int_equal(mount("tmpfs", mount_point, "tmpfs", 0, NULL), 0);
    make_file(mount_point, "elsewhere", 5);
    assert_done(volume_size(&place->store, "v", &bytes, &err), &err);
    assert_int_equal(bytes, 8000);
    assert_int_equal(umount(mount_point), 0);
    create(place, "own", "tmpfs", "tmpfs", NULL, NULL);
    assert_done(volume_size(&place->store, "own", &bytes, &err), &err);
    assert_int_equal(bytes, -1);
    assert_int_equal(volume_size(&place->store, "none", &bytes, &err), -1);
    assert_string_equal(err.text, "no such volume: none");
}

/* A container that moves directories about while they are measured can't lead us out. */
static void sizes_stay_inside_while_directories_move(void **state)
{
    struct place *place = *state;
    struct error err;
    create(place, "v", NULL, NULL, NULL, NULL);
    scope_free char *data = volume_data_path(&place->store, "v");
    scope_free char *outside = memory_format("%s/outside", place->directory);
    assert_int_equal(mkdir(outside, 0700), 0);
    make_file(outside, "large", 1000);
    scope_free char *here = memory_format("%s/a/b", data);
    scope_free char *above = memory_format("%s/a", data);
    scope_free char *there = memory_format("%s/b", outside);
    assert_int_equal(mkdir(above, 0700), 0);
    assert_int_equal(mkdir(here, 0700), 0);
    make_file(here, "small", 7);
    pid_t pid = fork();
    if (pid == 0)
        for (;;) {
            rename(here, there);
            rename(there, here);
        }
    int measured = 0;
    for (int i = 0; i < 2000; i++) {
        long long bytes;
        if (volume_size(&place->store, "v", &bytes, &err) < 0)
            continue;
        measured++;
        if (bytes >= 1000)
            fail_msg("%lld bytes", bytes);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(measured > 0);
}

static int enter_namespace(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0;
}

int main(void)
{
    test_process = getpid();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_mounted_while_somebody_uses_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_mounted_is_filled_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removal_spares_what_is_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_helper_is_named, set_up, tear_down),
        cmocka_unit_test(nfs_may_be_written_as_for_docker),
        cmocka_unit_test_setup_teardown(what_mount_says_is_passed_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kills_leave_nothing_mounted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_count_each_file_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_stay_inside_while_directories_move, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
