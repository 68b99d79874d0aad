/* vm/device/fs_session under Linux's own FUSE client: the session answers /dev/fuse, mounted in a
 * mount namespace of our own, as it answers a guest's kernel; programs work in the mount. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/remove_tree.h"
#include "vm/device/fs_session.h"

#define BUFFER_SIZE ((1u << 20) + 65536)

static char directory[64];
static char shared[96], mounted[96]; /* below it: what the session has, and the mount of it */
static pid_t server = -1;

/* Answers the kernel until it is unmounted. */
static _Noreturn void serve(int device)
{
    static struct virtqueue_chain chain;
    uint8_t *request = malloc(BUFFER_SIZE), *answer = malloc(BUFFER_SIZE);
    int root = open(shared, O_PATH | O_DIRECTORY);
    int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(0);
    if (!request || !answer || root < 0 || proc < 0 ||
        prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
        _exit(1);
    struct fs_session *session = fs_session_create(root, proc, VIRTIO_FS_CACHE_AUTO, 4096);
    for (;;) {
        ssize_t size = read(device, request, BUFFER_SIZE);
        if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
            continue;
        if (size < 0)
            _exit(errno == ENODEV ? 0 : 1);
        chain.parts[0] = (struct iovec){request, (size_t)size};
        chain.parts[1] = (struct iovec){answer, BUFFER_SIZE};
        chain.readable = chain.parts;
        chain.writable = chain.parts + 1;
        chain.readable_count = chain.writable_count = 1;
        chain.readable_size = (uint64_t)size;
        chain.writable_size = BUFFER_SIZE;
        uint32_t written = fs_session_serve(session, &chain);
        if (written > 0 && write(device, answer, written) < 0 && errno != ENOENT)
            _exit(1);
    }
}

static void need_mount(void)
{
    if (server < 0) {
        print_message("there is no /dev/fuse to open here\n");
        skip();
    }
}

static int mount_session(void **state)
{
    char options[128];
    (void)state;
    if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) < 0)
        return 0;
    snprintf(directory, sizeof directory, "/tmp/hull-fs-XXXXXX");
    if (!mkdtemp(directory) || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    chmod(directory, 0755);
    snprintf(shared, sizeof shared, "%s/shared", directory);
    snprintf(mounted, sizeof mounted, "%s/mounted", directory);
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0 || mkdir(shared, 0755) < 0 || mkdir(mounted, 0755) < 0)
        return -1;
    snprintf(options, sizeof options,
             "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", device);
    if (mount("share", mounted, "fuse.hull", 0, options) < 0)
        return -1;
    server = fork();
    if (server == 0)
        serve(device);
    close(device);
    return 0;
}

static int unmount_session(void **state)
{
    int status;
    struct error err = {0};
    (void)state;
    if (server < 0)
        return 0;
    if (umount2(mounted, 0) < 0)
        return -1;
    if (waitpid(server, &status, 0) != server || status != 0)
        return -1;
    return remove_tree(AT_FDCWD, directory, NULL, &err);
}

/* A script that works in the mount ($M) and looks at what is shared ($S). */
static void run(const char *script)
{
    char text[2048];
    need_mount();
    snprintf(text, sizeof text, "set -eu; M=%s S=%s; %s", mounted, shared, script);
    int status = system(text);
    if (status != 0)
        print_message("%s\n", text);
    assert_int_equal(status, 0);
}

static void trees_are_copied(void **state)
{
    (void)state;
    run("mkdir -p $M/tree; cp -a /usr/share/perl5/Debconf /etc/apt /etc/alternatives $M/tree/ "
        "2>/dev/null || cp -a /etc/apt /etc/alternatives $M/tree/; sync -f $M;"
        "diff -r --no-dereference /etc/apt $M/tree/apt;"
        "diff -r --no-dereference /etc/alternatives $S/tree/alternatives;"
        "(cd $M/tree && tar cf - .) | (mkdir $M/again && cd $M/again && tar xpf -);"
        "diff -r --no-dereference $S/tree $M/again; rm -r $M/tree $M/again; [ -z \"$(ls -A $S)\" "
        "]");
}

static void many_files_are_listed_and_removed(void **state)
{
    (void)state;
    run("mkdir $M/many; cd $M/many; seq 1 1500 | xargs touch;"
        "[ $(ls | wc -l) = 1500 ]; [ $(ls -l | grep -c ^-) = 1500 ]; [ $(find . | wc -l) = 1501 ];"
        "mv 7 seven; mkdir d; mv [1-9] d/; [ $(ls d | wc -l) = 8 ]; cd /; rm -r $M/many");
}

static void users_own_what_they_make(void **state)
{
    (void)state;
    run("chmod 1777 $M; mkdir -m 2775 $M/group; chgrp 777 $M/group;"
        "setpriv --reuid 1234 --regid 2345 --clear-groups sh -c \"umask 027; echo text > $M/mine;"
        "  mkdir $M/dir; ln -s target $M/link; mkfifo $M/pipe\";"
        "[ \"$(stat -c '%u %g %a' $S/mine)\" = '1234 2345 640' ];"
        "[ \"$(stat -c '%u %g %a' $S/dir)\" = '1234 2345 750' ];"
        "[ \"$(stat -c '%u %g' $S/link)\" = '1234 2345' ];"
        "! setpriv --reuid 4321 --regid 4321 --clear-groups cat $M/mine 2>/dev/null;"
        "! setpriv --reuid 4321 --regid 4321 --clear-groups rm -f $M/mine 2>/dev/null;"
        /* A group that the user has beside its first. */
        "setpriv --reuid 1234 --regid 2345 --groups 777 touch $M/group/file;"
        "[ \"$(stat -c '%u %g' $S/group/file)\" = '1234 777' ];"
        "chown 5:6 $M/mine; chmod 4711 $M/mine; [ \"$(stat -c '%u %g %a' $S/mine)\" = '5 6 4711' ];"
        "chown 7 $M/mine; [ \"$(stat -c '%a' $S/mine)\" = 711 ];"
        "rm -rf $M/mine $M/dir $M/link $M/pipe $M/group");
}

static void files_behave_as_files(void **state)
{
    (void)state;
    run("cd $M; dd if=/dev/urandom of=big bs=1M count=5 2>/dev/null; cmp big $S/big;"
        "dd if=big of=copy bs=7777 2>/dev/null; cmp copy $S/big; cp --reflink=never big other;"
        "cmp other big; truncate -s 1000 copy; [ $(stat -c %s $S/copy) = 1000 ];"
        "echo more >> copy; [ $(stat -c %s $S/copy) = 1005 ]; ln copy hard; [ $(stat -c %h "
        "$S/copy) = 2 ];"
        "fallocate -l 100000 holes; fallocate -p -o 4096 -l 8192 holes; touch -d @1000 copy;"
        "[ $(stat -c %Y $S/copy) = 1000 ]; mv copy other; [ $(stat -c %s $S/other) = 1005 ];"
        "flock other true; rm big other hard holes");
}

static void an_unlinked_file_stays_open(void **state)
{
    (void)state;
    char path[128], text[8] = "";
    need_mount();
    snprintf(path, sizeof path, "%s/gone", mounted);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(write(fd, "still", 5), 5);
    assert_int_equal(pread(fd, text, sizeof text, 0), 5);
    assert_string_equal(text, "still");
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 5);
    assert_int_equal(status.st_nlink, 0);
    assert_int_equal(close(fd), 0);
}

static void mapped_files_are_written(void **state)
{
    (void)state;
    char path[128], text[16] = "";
    need_mount();
    snprintf(path, sizeof path, "%s/mapped", mounted);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 8192), 0);
    char *bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(bytes != MAP_FAILED);
    memcpy(bytes + 5000, "mapped", 6);
    assert_int_equal(msync(bytes, 8192, MS_SYNC), 0);
    munmap(bytes, 8192);
    close(fd);
    snprintf(path, sizeof path, "%s/mapped", shared);
    fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, text, 6, 5000), 6);
    assert_string_equal(text, "mapped");
    close(fd);
    unlink(path);
}

/* A directory that is shared twice, once to be read only: each file goes by its own mount. */
static void a_file_in_two_mounts_is_two(void **state)
{
    (void)state;
    run("mkdir $S/read $S/write; echo one > $S/read/file; mount --bind $S/read $S/write;"
        "mount --bind $S/read $S/read; mount -o remount,bind,ro $S/read;"
        "[ \"$(cat $M/read/file $M/write/file | xargs)\" = 'one one' ];"
        "! sh -c \"echo two > $M/read/file\" 2>/dev/null; echo three > $M/write/file;"
        "[ \"$(cat $S/read/file)\" = three ]; umount -l $S/read; umount -l $S/write;"
        "rm -r $S/read $S/write");
}

/* Once the second has passed for which the guest may believe what it knows. */
static void what_the_host_changes_is_seen(void **state)
{
    (void)state;
    run("echo one > $S/file; [ \"$(cat $M/file)\" = one ]; echo three > $S/new; mv $S/new $S/file;"
        "sleep 1.1; [ \"$(cat $M/file)\" = three ]; rm $S/file; sleep 1.1; [ ! -e $M/file ]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_copied),
        cmocka_unit_test(many_files_are_listed_and_removed),
        cmocka_unit_test(users_own_what_they_make),
        cmocka_unit_test(files_behave_as_files),
        cmocka_unit_test(an_unlinked_file_stays_open),
        cmocka_unit_test(mapped_files_are_written),
        cmocka_unit_test(a_file_in_two_mounts_is_two),
        cmocka_unit_test(what_the_host_changes_is_seen),
    };
    return cmocka_run_group_tests(tests, mount_session, unmount_session);
}
