/* What the filter of each kind of thread allows and refuses: in a child process, which confines
 * itself and then makes a call. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/confine.h"
#include "vm/device/disk_engine.h"

#define ALL_KINDS 4

/* What a child ends with where its call was made but didn't do as it should. */
#define EXIT_WRONG 3

static int words[2]; /* a pipe, of the child's last words */

static void write_words(const char *text)
{
    ssize_t written = write(words[1], text, strlen(text));
    (void)written;
}

/* ---- The calls; each returns whether it did what one that is allowed does ---- */

static bool map_memory(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED && mprotect(memory, 4096, PROT_READ) == 0 &&
           munmap(memory, 4096) == 0;
}

static bool map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool make_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(memory, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool make_unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool make_internet_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0) >= 0;
}

static bool make_netlink_socket(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0) >= 0;
}

static bool run_vcpu(void)
{
    return ioctl(-1, KVM_RUN, 0) < 0 && errno == EBADF;
}

static bool raise_interrupt(void)
{
    return ioctl(-1, KVM_IRQ_LINE, 0) < 0 && errno == EBADF;
}

static bool create_vm(void)
{
    return ioctl(-1, KVM_CREATE_VM, 0) < 0 && errno == EBADF;
}

static bool push_into_terminal(void)
{
    return ioctl(-1, TIOCSTI, "x") < 0 && errno == EBADF;
}

static bool open_file(void)
{
    return open("/dev/null", O_RDONLY) >= 0;
}

static bool is_refused_a_file(void)
{
    return open("/dev/null", O_RDONLY) < 0 && errno == EACCES;
}

static bool may_read_but_not_write(void)
{
    return open("/dev/null", O_RDONLY) >= 0 && open("/dev/null", O_WRONLY) < 0 && errno == EACCES;
}

static bool write_disk(void)
{
    char byte = 0;
    const struct iovec part = {&byte, 1};
    return pwritev(-1, &part, 1, 0) < 0 && errno == EBADF && fdatasync(-1) < 0 && errno == EBADF;
}

static bool execute(void)
{
    char *const none[] = {NULL};
    return execve("/nonexistent", none, none) < 0;
}

static bool trace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static bool make_process(void)
{
    return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) >= 0;
}

static bool make_user_namespace(void)
{
    return unshare(CLONE_NEWUSER) == 0;
}

static bool kill_first(void)
{
    return kill(1, 0) == 0;
}

static bool signal_itself(void)
{
    return syscall(SYS_tgkill, getpid(), gettid(), 0) == 0;
}

static bool signal_another(void)
{
    return syscall(SYS_tgkill, 1, 1, 0) == 0;
}

static bool be_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1) == 0;
}

static bool ask_of_filters(void)
{
    uint32_t action = SECCOMP_RET_TRAP;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static bool call_x32(void)
{
    return syscall(0x40000000 | SYS_getpid) > 0;
}

static bool make_thread(void)
{
    return syscall(SYS_clone3, NULL, 0) >= 0;
}

static void *work(void *argument)
{
    bool *is_well = argument;
    *is_well = confine_thread(CONFINE_WORKER, NULL) == 0 && write_disk();
    return NULL;
}

static bool start_worker(void)
{
    pthread_t thread;
    bool is_well = false;
    return pthread_create(&thread, NULL, work, &is_well) == 0 && pthread_join(thread, NULL) == 0 &&
           is_well;
}

static void *work_badly(void *argument)
{
    return confine_thread(CONFINE_WORKER, NULL) == 0 && make_unix_socket() ? argument : NULL;
}

/* What the loop may and its worker may not. */
static bool start_bad_worker(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, work_badly, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* ---- The child ---- */

static void *do_nothing(void *argument)
{
    return argument;
}

static _Noreturn void be_child(enum confine_thread kind, unsigned features, bool (*call)(void))
{
    sigset_t all;
    struct error err = {0};
    pthread_t thread;
    /* With the first thread, which is never a confined one's, the C library sets signals up. */
    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        _exit(EXIT_WRONG);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL); /* as threads of the monitor have it */
    if (confine_begin(write_words, &err) < 0)
        _exit(EXIT_WRONG);
    confine_allow(features);
    if (confine_thread(kind, &err) < 0)
        _exit(EXIT_WRONG);
    _exit(call() ? 0 : EXIT_WRONG);
}

/* Its status as of wait(2), and its last words. */
static int call_confined(enum confine_thread kind, unsigned features, bool (*call)(void),
                         char text[256])
{
    int status;
    assert_int_equal(0, pipe2(words, O_CLOEXEC));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        be_child(kind, features, call);
    close(words[1]);
    ssize_t length = read(words[0], text, 255);
    text[length > 0 ? length : 0] = '\0';
    close(words[0]);
    assert_int_equal(child, waitpid(child, &status, 0));
    return status;
}

static void expect_allowed(enum confine_thread kind, unsigned features, bool (*call)(void))
{
    char text[256];
    int status = call_confined(kind, features, call, text);
    assert_string_equal("", text);
    assert_true(WIFEXITED(status));
    assert_int_equal(0, WEXITSTATUS(status));
}

static void expect_refused(enum confine_thread kind, unsigned features, bool (*call)(void),
                           const char *name)
{
    char text[256], part[64];
    int status = call_confined(kind, features, call, text);
    assert_true(WIFEXITED(status));
    assert_int_equal(CONFINE_EXIT_CODE, WEXITSTATUS(status));
    snprintf(part, sizeof part, "system call %s (", name);
    assert_non_null(strstr(text, part));
    assert_int_equal('\n', text[strlen(text) - 1]);
}

/* ---- The tests ---- */

static void test_all(void **state)
{
    const unsigned every = CONFINE_UPDATES | CONFINE_USER_NETWORK;
    (void)state;
    for (unsigned i = 0; i < ALL_KINDS; i++) {
        enum confine_thread kind = (enum confine_thread)i;
        expect_allowed(kind, 0, map_memory);
        expect_allowed(kind, 0, signal_itself);
        expect_refused(kind, every, map_code, "mmap");
        expect_refused(kind, every, make_code, "mprotect");
        expect_refused(kind, every, execute, "execve");
        expect_refused(kind, every, trace, "ptrace");
        expect_refused(kind, every, make_process, "clone");
        expect_refused(kind, every, make_user_namespace, "unshare");
        expect_refused(kind, every, kill_first, "kill");
        expect_refused(kind, every, signal_another, "tgkill");
        expect_refused(kind, every, be_dumpable, "prctl");
        expect_refused(kind, every, ask_of_filters, "seccomp");
        expect_refused(kind, every, make_netlink_socket, "socket");
        expect_refused(kind, every, create_vm, "ioctl");
        expect_refused(kind, every, push_into_terminal, "ioctl");
        expect_refused(kind, every, call_x32, "without a name");
    }
}

static void test_devices(void **state)
{
    (void)state;
    expect_allowed(CONFINE_VCPU, 0, run_vcpu);
    expect_refused(CONFINE_LOOP, 0, run_vcpu, "ioctl");
    for (unsigned i = 0; i < 2; i++) {
        enum confine_thread kind = i ? CONFINE_LOOP : CONFINE_VCPU;
        expect_allowed(kind, 0, raise_interrupt);
        expect_allowed(kind, 0, write_disk);
        expect_allowed(kind, 0, make_unix_socket);
        expect_allowed(kind, 0, start_worker);
        expect_refused(kind, 0, start_bad_worker, "socket");
        expect_refused(kind, 0, make_internet_socket, "socket");
        expect_allowed(kind, CONFINE_USER_NETWORK, make_internet_socket);
        expect_allowed(kind, 0, is_refused_a_file);
    }
}

static void test_files(void **state)
{
    (void)state;
    expect_allowed(CONFINE_LOOP, CONFINE_UPDATES, open_file);
    expect_allowed(CONFINE_VCPU, CONFINE_UPDATES, is_refused_a_file);
    expect_allowed(CONFINE_VCPU, CONFINE_USER_NETWORK, may_read_but_not_write);
    expect_allowed(CONFINE_API, CONFINE_UPDATES, is_refused_a_file);
    expect_allowed(CONFINE_WORKER, CONFINE_UPDATES, is_refused_a_file);
}

static void test_others(void **state)
{
    (void)state;
    expect_allowed(CONFINE_WORKER, 0, write_disk);
    expect_refused(CONFINE_WORKER, CONFINE_USER_NETWORK, make_unix_socket, "socket");
    expect_refused(CONFINE_WORKER, 0, raise_interrupt, "ioctl");
    expect_refused(CONFINE_WORKER, 0, make_thread, "clone3");
    expect_refused(CONFINE_API, CONFINE_USER_NETWORK, make_unix_socket, "socket");
    expect_refused(CONFINE_API, 0, write_disk, "pwritev");
    expect_refused(CONFINE_API, 0, run_vcpu, "ioctl");
}

/* A call by another table of numbers, where 20 is getpid(). */
static bool call_32_bit(void)
{
    long result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    return result > 0;
}

static void test_other_architecture(void **state)
{
    char text[256];
    (void)state;
    int status = call_confined(CONFINE_LOOP, 0, call_32_bit, text);
    /* Without a word; or by the processor, where the kernel has no such calls. */
    assert_string_equal("", text);
    assert_true(WIFSIGNALED(status));
    assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
}

static void ignore_batch(void *context)
{
    (void)context;
}

/* The ring's descriptor, or -1. */
static int find_ring(void)
{
    for (int fd = 3; fd < 64; fd++) {
        char path[32], target[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strstr(target, "io_uring"))
            return fd;
    }
    return -1;
}

/* A disk's ring takes no further descriptors, buffers or rights: what it does is not filtered. */
static void test_ring(void **state)
{
    struct loop loop;
    struct error err = {0};
    int fd = 0;
    (void)state;
    assert_int_equal(0, loop_open(&loop, &err));
    struct disk_engine *engine = disk_engine_open(&loop, true, ignore_batch, NULL, &err);
    assert_non_null(engine);
    if (disk_engine_uses_uring(engine)) { /* or the kernel refuses io_uring */
        int ring = find_ring();
        assert_true(ring >= 0);
        assert_int_equal(-1, syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1));
        assert_int_equal(EACCES, errno);
    }
    disk_engine_close(engine);
    loop_close(&loop);
}

/* --no-seccomp */
static void test_off(void **state)
{
    (void)state;
    assert_int_equal(0, confine_thread(CONFINE_WORKER, NULL));
    assert_true(make_internet_socket());
    assert_int_equal(0, prctl(PR_GET_SECCOMP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_off),
                                       cmocka_unit_test(test_all),
                                       cmocka_unit_test(test_devices),
                                       cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_others),
                                       cmocka_unit_test(test_ring),
                                       cmocka_unit_test(test_other_architecture)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
