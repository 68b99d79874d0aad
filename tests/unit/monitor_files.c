/* What the monitor and its clients share: monitor.json, status, events, packets. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "monitor/document.h"
#include "monitor/lock.h"
#include "monitor/protocol.h"
#include "monitor/status.h"

static char directory[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "./files-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return monitor_forget(directory, NULL);
}

/* ---- monitor.json ---- */

#define MINIMUM                                                                                    \
    "\"id\":\"c\",\"stateDirectory\":\"/s\",\"events\":\"/e\",\"runtime\":\"/r\","                 \
    "\"runtimeRoot\":\"/o\",\"bundle\":\"/b\""

static int parse(struct monitor_config *config, const char *text, struct error *err)
{
    return monitor_config_parse(config, text, strlen(text), err);
}

static void test_config_comes_back_as_it_was_written(void **state)
{
    (void)state;
    const char *lower[] = {"/l/2", "/l/1"}, *test[] = {"sh", "-c", "true"}, *cleanup[] = {"hull"};
    scope_json json_t *labels = json_pack("{s:s}", "a", "b");
    struct monitor_config config = {
        .id = "id",
        .name = "name",
        .image = "image",
        .labels = labels,
        .state_directory = "/s",
        .events = "/e",
        .runtime = "/r",
        .runtime_root = "/o",
        .bundle = "/b",
        .overlay = {.target = "/t",
                    .lower = {lower, 2},
                    .upper = "/u",
                    .work = "/w",
                    .userxattr = true,
                    .options = "volatile"},
        .terminal = true,
        .open_stdin = true,
        .stdin_once = true,
        .begin_at_once = true,
        .host_mount_namespace = true,
        .rows = 65535,
        .columns = 1,
        .log = {.path = "/log", .max_size = INT64_MAX, .max_file = 7, .compress = true},
        .restart = {MONITOR_RESTART_ON_FAILURE, 4},
        .stop_signal = SIGINT,
        .stop_timeout = INT_MIN,
        .health = {.test = {test, 3},
                   .interval = 1,
                   .timeout = 2,
                   .start_period = 3,
                   .start_interval = 4,
                   .retries = 5},
        .cleanup = {cleanup, 1}};
    struct monitor_config read;
    struct error err;
    assert_int_equal(monitor_config_write(directory, &config, &err), 0);
    assert_int_equal(monitor_config_read(directory, &read, &err), 0);
    assert_string_equal(read.overlay.lower.items[1], "/l/1");
    assert_string_equal(read.overlay.options, "volatile");
    assert_string_equal(read.health.test.items[2], "true");
    assert_null(read.health.test.items[3]);
    assert_string_equal(json_string_value(json_object_get(read.labels, "a")), "b");
    assert_true(read.terminal && read.open_stdin && read.stdin_once && read.begin_at_once &&
                read.host_mount_namespace && read.overlay.userxattr && read.log.compress);
    assert_int_equal(read.rows, 65535);
    assert_true(read.log.max_size == INT64_MAX);
    assert_int_equal(read.restart.maximum_retry_count, 4);
    assert_int_equal(read.stop_timeout, INT_MIN);
    /* All of it: written again, it is the same text. */
    char path[96];
    snprintf(path, sizeof path, "%s/monitor.json", directory);
    char *first = file_read_all(AT_FDCWD, path, 1 << 20, NULL, NULL);
    assert_int_equal(monitor_config_write(directory, &read, &err), 0);
    char *second = file_read_all(AT_FDCWD, path, 1 << 20, NULL, NULL);
    assert_string_equal(first, second);
    free(first);
    free(second);
    monitor_config_release(&read);
}

static void test_config_defaults(void **state)
{
    (void)state;
    struct monitor_config config;
    assert_int_equal(parse(&config, "{" MINIMUM "}", NULL), 0);
    assert_int_equal(config.stop_signal, SIGTERM);
    assert_int_equal(config.log.max_file, 1);
    assert_int_equal(config.restart.kind, MONITOR_RESTART_NO);
    assert_null(config.log.path);
    monitor_config_release(&config);
}

static void test_config_errors_name_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *named;
    } cases[] = {
        {"{", "not valid JSON"},
        {"[]", "not an object"},
        {"{}", "id is missing"},
        {"{" MINIMUM ",\"more\":1}", "unknown"},
        {"{" MINIMUM ",\"log\":{\"more\":1}}", "log.a key"},
        {"{" MINIMUM ",\"log\":[]}", "log is not an object"},
        {"{" MINIMUM ",\"id\":\"d\"}", "not valid JSON"},
        {"{" MINIMUM ",\"name\":7}", "name"},
        {"{" MINIMUM ",\"name\":\"a\\u0000b\"}", "not valid JSON"},
        {"{" MINIMUM ",\"terminal\":\"yes\"}", "terminal"},
        {"{" MINIMUM ",\"rows\":65536}", "rows"},
        {"{" MINIMUM ",\"stopSignal\":65}", "stopSignal"},
        {"{" MINIMUM ",\"cleanup\":[1]}", "cleanup"},
        {"{" MINIMUM ",\"labels\":{\"a\":1}}", "labels"},
        {"{" MINIMUM ",\"restart\":{\"name\":\"never\"}}", "restart"},
        {"{" MINIMUM ",\"log\":{\"path\":\"relative\"}}", "log.path"},
        {"{" MINIMUM ",\"overlay\":{\"target\":\"/t\"}}", "overlay.lower"},
        {"{" MINIMUM ",\"overlay\":{\"target\":\"/t\",\"lower\":[\"l\"]}}", "overlay.lower"},
        {"{" MINIMUM ",\"overlay\":{\"target\":\"/t\",\"lower\":[\"/l\"],\"upper\":\"/u\"}}",
         "upper and work"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct monitor_config config;
        struct error err = {0};
        assert_int_equal(parse(&config, cases[i].text, &err), -1);
        if (!strstr(err.text, cases[i].named))
            fail_msg("'%s' doesn't name %s", err.text, cases[i].named);
    }
}

/* ---- status ---- */

static void make_status(struct monitor_status *status, enum monitor_state state, pid_t monitor)
{
    *status = (struct monitor_status){.state = state, .pid = 5, .exit_code = 3, .monitor = monitor};
    strcpy(status->started_at, "2024-01-01T00:00:00.000000001Z");
    strcpy(status->finished_at, DOCUMENT_NEVER);
    strcpy(status->error, "why");
}

static void test_status_comes_back(void **state)
{
    (void)state;
    struct monitor_status written, read;
    make_status(&written, MONITOR_EXITED, 0);
    written.oom_killed = written.stopped_by_user = true;
    written.restart = (struct monitor_restart){MONITOR_RESTART_ON_FAILURE, 2};
    written.restart_count = 1;
    assert_int_equal(monitor_read_status(directory, directory, &read, NULL), 0);
    assert_int_equal(status_write(directory, &written, NULL, NULL), 0);
    assert_int_equal(monitor_read_status(directory, "/missing", &read, NULL), 1);
    assert_int_equal(read.state, MONITOR_EXITED);
    assert_int_equal(read.exit_code, 3);
    assert_true(read.oom_killed && read.stopped_by_user && !read.monitor_lost && !read.rebooted);
    assert_int_equal(read.restart.maximum_retry_count, 2);
    assert_string_equal(read.started_at, written.started_at);
    assert_string_equal(read.error, "why");
    monitor_status_release(&read);
}

static void test_status_without_its_monitor(void **state)
{
    (void)state;
    struct monitor_status written, read;
    make_status(&written, MONITOR_RUNNING, getpid());
    assert_int_equal(status_write(directory, &written, NULL, NULL), 0);
    assert_int_equal(monitor_read_status(directory, "/missing", &read, NULL), 1);
    assert_true(read.monitor_lost);
    monitor_status_release(&read);
    int lock = lock_take(directory, 0, NULL);
    assert_true(lock >= 0 && monitor_is_alive(directory));
    assert_int_equal(monitor_read_status(directory, "/missing", &read, NULL), 1);
    assert_false(read.monitor_lost);
    monitor_status_release(&read);
    struct error err;
    assert_int_equal(lock_take(directory, 20, &err), -1);
    assert_int_equal(err.code, EAGAIN);
    close(lock);
    assert_false(monitor_is_alive(directory));
}

static void test_damaged_status_is_an_error(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "{", "[]", "{\"status\":\"odd\"}",
                                        "{\"status\":\"running\"}"};
    char path[96];
    snprintf(path, sizeof path, "%s/status", directory);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct monitor_status read;
        struct error err;
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(file_write_all(fd, wrong[i], strlen(wrong[i])), 0);
        close(fd);
        assert_int_equal(monitor_read_status(directory, "/missing", &read, &err), -1);
        assert_non_null(strstr(err.text, "damaged"));
    }
}

/* ---- events ---- */

static void test_events_rotate(void **state)
{
    (void)state;
    char path[96], old[96], id[65];
    struct stat status;
    snprintf(path, sizeof path, "%s/events", directory);
    snprintf(old, sizeof old, "%s/events.1", directory);
    memset(id, 'f', 64);
    id[64] = '\0';
    scope_json json_t *attributes = json_pack("{s:s}", "image", "busybox");
    for (int i = 0; stat(old, &status) < 0; i++) {
        assert_true(i < 100000);
        assert_int_equal(monitor_event_append(path, "container", "start", id, attributes, NULL), 0);
    }
    assert_in_range(status.st_size, 4 << 20, (4 << 20) + 1000);
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(monitor_event_append(path, "network", "create", "n", NULL, NULL), 0);
    char *text = file_read_all(AT_FDCWD, path, 4096, NULL, NULL);
    scope_json json_t *event = json_loads(text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(event, "Type")), "network");
    assert_null(json_object_get(event, "status"));
    assert_true(json_integer_value(json_object_get(event, "timeNano")) / 1000000000 ==
                json_integer_value(json_object_get(event, "time")));
    free(text);
}

/* ---- packets ---- */

static int check(uint32_t type, int first, int second, const char *data, size_t length)
{
    struct monitor_packet packet = {.header = {type, {first, second}}};
    memcpy(packet.data, data, length);
    return protocol_check_request(&packet, sizeof packet.header + length);
}

static void test_requests_are_checked(void **state)
{
    (void)state;
    static struct monitor_packet packet = {.header = {MONITOR_INPUT}};
    assert_int_equal(check(MONITOR_REQUEST_BEGIN, 0, 0, "", 0), 0);
    assert_int_equal(check(MONITOR_REQUEST_BEGIN, 1, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_REQUEST_BEGIN, 0, 0, "x", 1), -1);
    assert_int_equal(check(MONITOR_REQUEST_STOP, 64, INT_MIN, "", 0), 0);
    assert_int_equal(check(MONITOR_REQUEST_STOP, -1, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_REQUEST_KILL, 65, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_REQUEST_RESIZE, 65536, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_REQUEST_UPDATE, 4, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_REQUEST_RENAME, 0, 0, "name", 4), 0);
    assert_int_equal(check(MONITOR_REQUEST_RENAME, 0, 0, "na\0e", 4), -1);
    assert_int_equal(check(MONITOR_REQUEST_RENAME, 0, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_REQUEST_ATTACH, 16, 0, "", 0), -1);
    assert_int_equal(check(0, 0, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_INPUT + 1, 0, 0, "", 0), -1);
    assert_int_equal(check(MONITOR_REPLY_OK, 0, 0, "", 0), -1);
    assert_int_equal(check(UINT32_MAX, 0, 0, "", 0), -1);
    size_t whole = sizeof packet.header + MONITOR_DATA_SIZE;
    assert_int_equal(protocol_check_request(&packet, whole), 0);
    assert_int_equal(protocol_check_request(&packet, whole + 1), -1);
    assert_int_equal(protocol_check_request(&packet, sizeof packet.header - 1), -1);
}

static void test_packets_are_received_whole_or_not(void **state)
{
    (void)state;
    static struct monitor_packet packet;
    static char bytes[MONITOR_DATA_SIZE + 100];
    int ends[2];
    struct monitor_packet_header header = {MONITOR_REPLY_ERROR, {EBUSY}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    assert_int_equal(protocol_send(ends[0], &header, "why", 3, 0), 0);
    assert_int_equal(protocol_receive(ends[1], &packet, 0), sizeof header + 3);
    assert_string_equal(packet.data, "why");
    assert_int_equal(packet.length, 3);
    assert_int_equal(send(ends[0], bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(protocol_receive(ends[1], &packet, 0), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(send(ends[0], bytes, 3, 0), 3);
    assert_int_equal(protocol_receive(ends[1], &packet, 0), -1);
    close(ends[0]);
    assert_int_equal(protocol_receive(ends[1], &packet, 0), 0);
    close(ends[1]);
}

/* A monitor ends while a client still sends input. */
static void test_what_was_sent_before_the_end_is_received(void **unused)
{
    (void)unused;
    int ends[2];
    struct monitor_packet packet;
    const struct monitor_packet_header input = {MONITOR_INPUT, {0}},
                                       exited = {MONITOR_REPLY_EXITED, {7}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(protocol_send(ends[0], &input, "unread", 6, 0), 0);
    assert_int_equal(protocol_send(ends[1], &exited, NULL, 0, 0), 0);
    close(ends[1]);
    assert_int_equal(protocol_receive(ends[0], &packet, MSG_DONTWAIT), sizeof packet.header);
    assert_int_equal(packet.header.type, MONITOR_REPLY_EXITED);
    assert_int_equal(packet.header.numbers[0], 7);
    assert_int_equal(protocol_receive(ends[0], &packet, MSG_DONTWAIT), 0);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_sent_before_the_end_is_received),
        cmocka_unit_test_setup_teardown(test_config_comes_back_as_it_was_written, set_up,
                                        tear_down),
        cmocka_unit_test(test_config_defaults),
        cmocka_unit_test(test_config_errors_name_the_key),
        cmocka_unit_test_setup_teardown(test_status_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_status_without_its_monitor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_status_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_rotate, set_up, tear_down),
        cmocka_unit_test(test_requests_are_checked),
        cmocka_unit_test(test_packets_are_received_whole_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
