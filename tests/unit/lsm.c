/* container/lsm: labels go nowhere but to procfs. (What AppArmor and SELinux do with them needs a
 * host that has them.) */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/lsm.h"

static int open_procfs(void)
{
    return open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void this_threads_file_is_opened(void **state)
{
    (void)state;
    struct error err = {0};
    scope_close int procfs = open_procfs();
    scope_close int fd = lsm_open_thread_file(procfs, "stat", O_RDONLY, &err);
    if (fd < 0)
        fail_msg("%s", err.text);
    char text[32] = "";
    assert_true(read(fd, text, sizeof text - 1) > 0);
    assert_int_equal(atol(text), gettid());
}

static void assert_refused(int procfs, const char *reason)
{
    struct error err = {0};
    assert_int_equal(lsm_open_thread_file(procfs, "attr/exec", O_WRONLY, &err), -1);
    if (!strstr(err.text, reason))
        fail_msg("'%s' doesn't say '%s'", err.text, reason);
}

/* A directory that looks like procfs, as an image's author would make one. */
static void an_imitation_is_refused(void **state)
{
    (void)state;
    char directory[] = "/tmp/hull-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    scope_close int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    static const char *const steps[] = {"1", "1/attr"};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(mkdirat(fd, steps[i], 0700), 0);
    assert_int_equal(symlinkat("1", fd, "thread-self"), 0);
    assert_int_equal(mknodat(fd, "1/attr/exec", S_IFREG | 0600, 0), 0);
    assert_refused(fd, "is none");
    unlinkat(fd, "1/attr/exec", 0);
    unlinkat(fd, "thread-self", 0);
    unlinkat(fd, "1/attr", AT_REMOVEDIR);
    unlinkat(fd, "1", AT_REMOVEDIR);
    assert_int_equal(rmdir(directory), 0);
}

static void a_directory_within_procfs_is_refused(void **state)
{
    (void)state;
    scope_close int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_refused(fd, "is none");
    scope_close int sys = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_refused(sys, "is none");
}

/* Runs attack in a mount namespace of its own, where nothing reaches the host. */
static void run_apart(int (*attack)(void))
{
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(100);
        _exit(attack());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool is_refused(const char *name)
{
    struct error err = {0};
    scope_close int procfs = open_procfs();
    scope_close int fd = lsm_open_thread_file(procfs, name, O_WRONLY, &err);
    return fd < 0 && err.code == EXDEV;
}

/* Mounts over the file, and over directories on the way, as volumes could be. */
static int mount_over_the_way(void)
{
    scope_free char *task = memory_format("/proc/%d/task/%d", (int)getpid(), (int)gettid());
    scope_free char *file = memory_format("%s/attr/exec", task);
    scope_free char *directory = memory_format("%s/attr", task);
    if (is_refused("attr/exec"))
        return 1;
    if (mount("/dev/null", file, NULL, MS_BIND, NULL) < 0)
        return 2;
    if (!is_refused("attr/exec"))
        return 3;
    if (umount2(file, MNT_DETACH) < 0 || mount("tmpfs", directory, "tmpfs", 0, NULL) < 0)
        return 4;
    if (mknod(file, S_IFREG | 0600, 0) < 0 || !is_refused("attr/exec"))
        return 5;
    /* A file of procfs itself, but another one, as CVE-2025-52881 chose one. */
    if (umount2(directory, MNT_DETACH) < 0 ||
        mount("/proc/self/oom_score_adj", file, NULL, MS_BIND, NULL) < 0)
        return 6;
    return is_refused("attr/exec") ? 0 : 7;
}

/* The root of a tmpfs has the inode number of procfs's root, and the writer in it the path of the
 * caller's thread. */
static int imitate_with_a_tmpfs(void)
{
    struct error err = {0};
    if (mount("tmpfs", "/proc", "tmpfs", 0, NULL) < 0)
        return 1;
    scope_close int fd = open_procfs();
    struct stat status;
    if (fstat(fd, &status) < 0 || status.st_ino != 1 || mkdirat(fd, "1", 0700) < 0 ||
        symlinkat("1", fd, "thread-self") < 0 || mknodat(fd, "1/label", S_IFREG | 0600, 0) < 0)
        return 2;
    return lsm_open_thread_file(fd, "label", O_WRONLY, &err) < 0 && err.code == EXDEV ? 0 : 3;
}

static void a_tmpfs_is_refused(void **state)
{
    (void)state;
    run_apart(imitate_with_a_tmpfs);
}

static void mounts_on_the_way_are_refused(void **state)
{
    (void)state;
    run_apart(mount_over_the_way);
}

/* A detached procfs of one's own has none of the mounts that lie over /proc. */
static int use_a_detached_procfs(void)
{
    struct error err = {0};
    scope_free char *file = memory_format("/proc/%d/task/%d/stat", (int)getpid(), (int)gettid());
    if (mount("/dev/null", file, NULL, MS_BIND, NULL) < 0)
        return 1;
    scope_close int context = (int)syscall(SYS_fsopen, "proc", 1 /* FSOPEN_CLOEXEC */);
    if (context < 0 || syscall(SYS_fsconfig, context, 6 /* FSCONFIG_CMD_CREATE */, 0, 0, 0) < 0)
        return 2;
    scope_close int procfs = (int)syscall(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */, 0);
    scope_close int fd = lsm_open_thread_file(procfs, "stat", O_RDONLY, &err);
    char text[32] = "";
    return fd >= 0 && read(fd, text, sizeof text - 1) > 0 && atol(text) == gettid() ? 0 : 3;
}

static void a_detached_procfs_serves(void **state)
{
    (void)state;
    run_apart(use_a_detached_procfs);
}

static void symbolic_links_are_not_followed(void **state)
{
    (void)state;
    struct error err = {0};
    scope_close int procfs = open_procfs();
    assert_int_equal(lsm_open_thread_file(procfs, "cwd", O_RDONLY, &err), -1);
    assert_int_equal(err.code, ELOOP);
    assert_int_equal(lsm_open_thread_file(procfs, "root/etc/passwd", O_RDONLY, &err), -1);
    assert_int_equal(err.code, ELOOP);
    assert_int_equal(lsm_open_thread_file(procfs, "../../../../etc/passwd", O_RDONLY, &err), -1);
    assert_int_equal(err.code, EXDEV);
}

static void labels_need_their_module(void **state)
{
    (void)state;
    scope_close int procfs = open_procfs();
    struct error err = {0};
    assert_int_equal(lsm_set_exec_label(procfs, NULL, "", &err), 0);
    if (!lsm_apparmor_enabled()) {
        assert_int_equal(lsm_set_exec_label(procfs, "some-profile", NULL, &err), -1);
        assert_non_null(strstr(err.text, "'some-profile', but AppArmor isn't enabled"));
    }
    if (!lsm_selinux_enabled()) {
        assert_int_equal(lsm_set_exec_label(procfs, NULL, "some_label", &err), -1);
        assert_non_null(strstr(err.text, "process.selinuxLabel is 'some_label', but SELinux"));
        assert_int_equal(lsm_check(NULL, NULL, "some_label", &err), -1);
        assert_non_null(strstr(err.text, "linux.mountLabel is 'some_label', but SELinux"));
    }
    assert_int_equal(lsm_check(NULL, NULL, "quoted\",ro", &err), -1);
    assert_non_null(strstr(err.text, "quotes"));
}

static void mount_labels_need_selinux(void **state)
{
    (void)state;
    static const char label[] = "system_u:object_r:container_file_t:s0:c1,c2";
    assert_null(lsm_mount_label_option(label, false));
    assert_null(lsm_mount_label_option("", true));
    assert_null(lsm_mount_label_option(NULL, true));
    scope_free char *option = lsm_mount_label_option(label, true);
    assert_string_equal(option, "context=\"system_u:object_r:container_file_t:s0:c1,c2\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_threads_file_is_opened),
        cmocka_unit_test(an_imitation_is_refused),
        cmocka_unit_test(a_directory_within_procfs_is_refused),
        cmocka_unit_test(a_tmpfs_is_refused),
        cmocka_unit_test(mounts_on_the_way_are_refused),
        cmocka_unit_test(a_detached_procfs_serves),
        cmocka_unit_test(symbolic_links_are_not_followed),
        cmocka_unit_test(labels_need_their_module),
        cmocka_unit_test(mount_labels_need_selinux),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
