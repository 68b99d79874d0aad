/* container/seccomp_listener: a filtered process hands its listener over, and the agent at the
 * other end answers its system call. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/seccomp.h"

#define ANSWER 4242
#define PATIENCE 20 /* seconds */

static int listen_at(const char *directory, const char *name)
{
    /* Through the directory's descriptor, for the full path may be too long for sun_path. */
    scope_close int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory_fd >= 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory_fd, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    struct timeval patience = {.tv_sec = PATIENCE};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

/* Reads until the sender closes; returns the document and the one descriptor that came along. */
static json_t *receive_state(int connection, int *listener)
{
    static char text[65536];
    size_t length = 0;
    *listener = -1;
    for (;;) {
        union {
            struct cmsghdr header;
            char room[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec part = {text + length, sizeof text - length};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        ssize_t count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        assert_true(count >= 0);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header) {
            assert_int_equal(header->cmsg_type, SCM_RIGHTS);
            assert_int_equal(*listener, -1);
            memcpy(listener, CMSG_DATA(header), sizeof *listener);
        }
        if (count == 0)
            break;
        length += (size_t)count;
    }
    assert_true(*listener >= 0);
    return json_loadb(text, length, 0, NULL);
}

static void answer_one_call(int listener)
{
    struct seccomp_notif request = {0};
    assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request), 0);
    assert_int_equal(request.data.nr, SYS_getppid);
    struct seccomp_notif_resp response = {.id = request.id, .val = ANSWER};
    assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response), 0);
}

static struct seccomp_program compile_notifying(void)
{
    static const char *names[] = {"getppid"};
    struct config_seccomp_rule rule = {.names = {1, names}, .action = "SCMP_ACT_NOTIFY"};
    struct config_seccomp seccomp = {.default_action = "SCMP_ACT_ALLOW",
                                     .listener_path = "/unused",
                                     .rule_count = 1,
                                     .rules = &rule};
    struct seccomp_program program;
    struct error err = {0};
    if (seccomp_compile(&program, &seccomp, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(program.notify);
    return program;
}

/* The child's exit code: 0 if the agent's answer came back. */
static int run_notifying(const struct seccomp_program *program, const char *path,
                         const char *metadata)
{
    struct error err = {0};
    int listener;
    alarm(PATIENCE); /* an agent that doesn't answer must not leave this process behind */
    json_t *state = json_pack("{s:s, s:s}", "id", "box", "status", "creating");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        seccomp_install(program, &listener, &err) < 0 || listener < 0)
        return 1;
    if (seccomp_send_listener(path, listener, "1.2.0", 77, metadata, state, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    json_decref(state);
    close(listener);
    return syscall(SYS_getppid) == ANSWER ? 0 : 3;
}

static void exchange(const char *directory, const char *metadata)
{
    scope_close int server = listen_at(directory, "agent");
    scope_free char *path = memory_format("%s/agent", directory);
    struct seccomp_program program = compile_notifying();
    pid_t child = fork();
    if (child == 0)
        _exit(run_notifying(&program, path, metadata));
    scope_close int connection = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    assert_true(connection >= 0);
    scope_close int listener = -1;
    json_t *document = receive_state(connection, &listener);
    json_t *expected = json_pack("{s:s, s:[s], s:i, s:s*, s:{s:s, s:s}}", "ociVersion", "1.2.0",
                                 "fds", "seccompFd", "pid", 77, "metadata", metadata, "state", "id",
                                 "box", "status", "creating");
    assert_true(json_equal(document, expected));
    answer_one_call(listener);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    json_decref(document);
    json_decref(expected);
    seccomp_program_release(&program);
    unlink(path);
}

static void the_agent_gets_the_listener_and_answers(void **state)
{
    (void)state;
    char directory[] = "/tmp/hull-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    exchange(directory, "MKNOD=/dev/null");
    exchange(directory, NULL);
    assert_int_equal(rmdir(directory), 0);
}

static void a_long_path_is_reached(void **state)
{
    (void)state;
    char directory[] = "/tmp/hull-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    scope_free char *deep = memory_format("%s/%0200d", directory, 0);
    assert_int_equal(mkdir(deep, 0700), 0);
    exchange(deep, NULL);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void an_absent_agent_is_an_error(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *container = json_object();
    assert_int_equal(
        seccomp_send_listener("/tmp/hull-test-none", 0, "1.2.0", 77, NULL, container, &err), -1);
    assert_non_null(strstr(err.text, "/tmp/hull-test-none: No such file"));
    json_decref(container);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_agent_gets_the_listener_and_answers),
        cmocka_unit_test(a_long_path_is_reached),
        cmocka_unit_test(an_absent_agent_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
