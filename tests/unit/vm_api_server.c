/* The server of the API of hull-vmm: limits of bodies, its socket, its thread, its loop, and its
 * end. */
#include <poll.h>

#include "vm_api_fixture.h"

static void test_limits(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    char body[300];
    /* Above 100 bytes: the store's limit; above 250: the server's. */
    snprintf(body, sizeof body, "{\"a\":\"%0*d\"}", 92, 0);
    expect(fixture, "PUT", "/mmds", body, 204, NULL);
    snprintf(body, sizeof body, "{\"a\":\"%0*d\"}", 93, 0);
    expect(fixture, "PUT", "/mmds", body, 413, "The MMDS patch request doesn't fit.");
    expect(fixture, "PATCH", "/mmds", "{\"b\":1}", 413, "doesn't fit");
    expect(fixture, "PATCH", "/mmds", "{\"a\":1}", 204, NULL);
    expect_same(fixture, "/mmds", "{\"a\":1}");
    /* It is refused before the body was sent. */
    static const char announced[] =
        "PUT /mmds HTTP/1.1\r\nHost: localhost\r\nContent-Length: 260\r\n\r\nsome body";
    send_bytes(fixture->connection, announced, strlen(announced));
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "Request payload with size 260 is larger than the limit of "
                                        "250 allowed by server.\\nAll previous unanswered requests "
                                        "will be dropped."));
    close(fixture->connection);
    /* A chunked body says no length in advance. */
    fixture->connection = connect_to(fixture->socket);
    char *chunk = memory_format("PUT /mmds HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
                                "chunked\r\n\r\n100\r\n%0256d\r\n100\r\n%0256d\r\n0\r\n\r\n",
                                0, 0);
    send_bytes(fixture->connection, chunk, strlen(chunk));
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "is larger than the limit of 250"));
    free(chunk);
    close(fixture->connection);
    /* And others are still served. */
    fixture->connection = connect_to(fixture->socket);
    expect(fixture, "GET", "/version", NULL, 200, "1.16.1");
}

/* With larger limits a megabyte goes in, and out again as it was; curl waits for a 100 first. */
static void test_large_body(void **state)
{
    struct fixture *fixture = *state;
    static char text[1 << 20], got[(1 << 20) + 4096];
    struct answer answer;
    memset(text, 'b', sizeof text - 1);
    char *body = memory_format("{\"a\":\"%s\"}", text);
    size_t length = strlen(body), have = 0;
    char *head = memory_format("PUT /mmds HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                               "Content-Length: %zu\r\n\r\n",
                               length);
    send_bytes(fixture->connection, head, strlen(head));
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 100);
    send_bytes(fixture->connection, body, length);
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 204);
    static const char request[] = "GET /mmds HTTP/1.1\r\nHost: localhost\r\n\r\n";
    send_bytes(fixture->connection, request, strlen(request));
    const char *end = NULL;
    while (!end || have < (size_t)(end + 4 - got) + length) {
        ssize_t count = recv(fixture->connection, got + have, sizeof got - 1 - have, 0);
        assert_true(count > 0);
        have += (size_t)count;
        end = strstr(got, "\r\n\r\n");
    }
    assert_memory_equal(end + 4, body, length);
    free(body);
    free(head);
}

static void test_socket_in_use(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct api_server *server;
    struct api_server_options options = {.socket_path = fixture->socket, .body_limit = 1};
    assert_int_equal(
        api_server_start(&server, fixture->control, &fixture->handover, &options, &err), -1);
    assert_non_null(strstr(err.text, "Failed to open the API socket at: "));
    assert_non_null(strstr(err.text, "Check that it is not already used."));
    expect(fixture, "GET", "/version", NULL, 200, "1.16.1");
}

struct move {
    struct fixture *fixture;
    struct loop *loop;
};

static void move_to_other_loop(void *argument)
{
    struct move *move = argument;
    handover_move(&move->fixture->handover, move->loop);
    control_move(move->fixture->control, move->loop);
    move->fixture->loop.done = true;
}

/* The machine's loop takes over from the one that waited for its start. */
static void test_move_to_another_loop(void **state)
{
    struct fixture *fixture = *state;
    struct loop first, other;
    struct error err;
    start(fixture);
    assert_int_equal(loop_open(&other, &err), 0);
    struct move move = {fixture, &other};
    assert_int_equal(handover_call(&fixture->handover, move_to_other_loop, &move), 0);
    pthread_join(fixture->thread, NULL);
    assert_null(fixture->loop.timers);
    first = fixture->loop;
    loop_close(&first);
    fixture->loop = other;
    handover_move(&fixture->handover, &fixture->loop);
    control_move(fixture->control, &fixture->loop);
    /* The minute's flush of the metrics came along. */
    assert_non_null(fixture->loop.timers);
    assert_int_equal(pthread_create(&fixture->thread, NULL, turn_loop, &fixture->loop), 0);
    expect(fixture, "GET", "/", NULL, 200, "Running");
}

static int refuse_thread(void *context, struct error *err)
{
    (void)context;
    return error_set(err, 0, "no filter for it");
}

static void test_thread_that_is_not_confined(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct api_server *server;
    struct api_server_options options = {
        .socket_path = "second", .body_limit = 1, .confine_thread = refuse_thread};
    assert_int_equal(
        api_server_start(&server, fixture->control, &fixture->handover, &options, &err), -1);
    assert_string_equal(err.text, "no filter for it");
    assert_int_equal(access("second", F_OK), -1);
}

/* A loop that ends while a request waits for it. */
static void test_stop_with_a_request_waiting(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(handover_call(&fixture->handover, end_loop, &fixture->loop), 0);
    pthread_join(fixture->thread, NULL);
    send_bytes(fixture->connection, request, strlen(request));
    /* The request is in the queue when the loop would be woken. */
    struct pollfd wake = {.fd = fixture->handover.wake.fd, .events = POLLIN};
    assert_int_equal(poll(&wake, 1, 10000), 1);
    api_server_stop(fixture->server);
    fixture->server = NULL;
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.body, "shutting down"));
    close(fixture->connection);
    assert_int_equal(handover_call(&fixture->handover, end_loop, &fixture->loop), -1);
    control_destroy(fixture->control);
    handover_release(&fixture->handover);
    log_close();
    metrics_destroy(fixture->metrics);
    loop_close(&fixture->loop);
    assert_int_equal(chdir("/"), 0);
    struct error err;
    assert_int_equal(remove_tree(AT_FDCWD, fixture->directory, NULL, &err), 0);
    free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_limits, begin_small, end),
        cmocka_unit_test_setup_teardown(test_large_body, begin_large, end),
        cmocka_unit_test_setup_teardown(test_socket_in_use, begin, end),
        cmocka_unit_test_setup_teardown(test_move_to_another_loop, begin, end),
        cmocka_unit_test_setup_teardown(test_thread_that_is_not_confined, begin, end),
        cmocka_unit_test_setup(test_stop_with_a_request_waiting, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
