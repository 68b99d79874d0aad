/* The host's side of the agent against machines that don't answer, or lie. Each is a child that
 * serves one connection. */
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
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/agent/agent.h"

static char directory[64], socket_path[96];
static struct agent_address address = {socket_path, AGENT_PORT};
static pid_t server;

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "./hostile-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(socket_path, sizeof socket_path, "%s/vsock", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    server = 0;
    unlink(socket_path);
    return rmdir(directory);
}

static int listen_here(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strcpy(name.sun_path, socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 8) < 0)
        abort();
    return fd;
}

/* Reads the host's line, and as much of what follows as has come. */
static int accept_host(int listener)
{
    char byte = 0;
    int fd = accept(listener, NULL, NULL);
    while (byte != '\n' && read(fd, &byte, 1) == 1)
        ;
    return fd;
}

/* Says so to the first who connects, then nothing more. */
static void serve(const void *bytes, size_t length)
{
    int listener = listen_here();
    server = fork();
    if (server == 0) {
        signal(SIGPIPE, SIG_IGN);
        int fd = accept_host(listener);
        file_write_all(fd, bytes, length);
        for (;;)
            pause();
    }
    close(listener);
}

static void expect_failure(int64_t timeout, int code, const char *reason)
{
    struct error err = {0};
    int64_t before = loop_now();
    assert_null(agent_call(&address, "hello", NULL, timeout, &err));
    assert_true(loop_now() - before < timeout + 5000);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, reason))
        fail_msg("'%s' has no '%s'", err.text, reason);
}

static void test_gives_up_when_nobody_is_there(void **state)
{
    (void)state;
    expect_failure(100, ETIMEDOUT, "wasn't there in 100 ms: can't connect");
}

static void test_gives_up_when_nobody_answers(void **state)
{
    (void)state;
    serve("OK 5\n", 5);
    expect_failure(100, ETIMEDOUT, "didn't answer in 100 ms");
}

/* A monitor closes the connection while the guest doesn't listen yet; and the socket itself comes
 * later than we do. */
static void test_waits_for_a_guest_that_boots(void **state)
{
    (void)state;
    static const char reply[] = "OK 7\n\x0c\0\0\0\2\0\0\0{\"booted\":0}";
    server = fork();
    if (server == 0) {
        usleep(20000);
        int listener = listen_here();
        for (int i = 0; i < 3; i++)
            close(accept_host(listener));
        int fd = accept_host(listener);
        file_write_all(fd, reply, sizeof reply - 1);
        for (;;)
            pause();
    }
    struct error err = {0};
    json_t *answer = agent_call(&address, "hello", NULL, 20000, &err);
    if (!answer)
        fail_msg("%s", err.text);
    json_decref(answer);
}

static void test_refuses_what_is_no_monitor(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    serve(text, strlen(text));
    expect_failure(5000, EPROTO, "isn't a machine monitor's socket");
}

static void test_refuses_endless_greetings(void **state)
{
    (void)state;
    char text[4096];
    memset(text, 'x', sizeof text);
    serve(text, sizeof text);
    expect_failure(5000, EPROTO, "greeting");
}

static void expect_refused_frame(const char *frame, size_t length, const char *reason)
{
    char bytes[256] = "OK 5\n";
    memcpy(bytes + 5, frame, length);
    serve(bytes, 5 + length);
    expect_failure(5000, EPROTO, reason);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
    unlink(socket_path);
}

static void test_refuses_frames_that_may_not_be(void **state)
{
    (void)state;
    expect_refused_frame("\xff\xff\xff\xff\2\0\0\0", 8, "no frame of the protocol"); /* 4 GiB */
    expect_refused_frame("\0\0\0\0\1\0\0\0", 8, "no frame of the protocol");         /* a request */
    expect_refused_frame("\0\0\0\0\2\0\1\0", 8, "no frame of the protocol");         /* reserved */
    expect_refused_frame("\2\0\0\0\x11\0\0\0hi", 10, "wasn't asked for");            /* output */
    expect_refused_frame("\2\0\0\0\2\0\0\0[]", 10, "can't be read");                 /* no object */
}

/* What a guest says is shown to people, in their terminals. */
static void test_cleans_what_is_shown(void **state)
{
    (void)state;
    static const char text[] = "{\"error\":\"\\u001b[2Jevil\",\"code\":2}";
    char bytes[128] = "OK 5\n";
    struct agent_header header = {.length = sizeof text - 1, .type = AGENT_ERROR};
    memcpy(bytes + 5, &header, sizeof header);
    memcpy(bytes + 5 + sizeof header, text, sizeof text - 1);
    serve(bytes, 5 + sizeof header + sizeof text - 1);
    expect_failure(5000, ENOENT, "?[2Jevil");
}

static void test_copies_end_without_progress(void **state)
{
    (void)state;
    static const char text[] = "OK 5\n\2\0\0\0\2\0\0\0{}\5\0\0\0\4\0\0\0ab"; /* and no more */
    serve(text, sizeof text - 1);
    struct error err = {0};
    scope_close int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(agent_copy_out(&address, "/x", fd, NULL, 200, &err), -1);
    assert_int_equal(err.code, ETIMEDOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gives_up_when_nobody_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gives_up_when_nobody_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waits_for_a_guest_that_boots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_what_is_no_monitor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_endless_greetings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_frames_that_may_not_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cleans_what_is_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copies_end_without_progress, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
