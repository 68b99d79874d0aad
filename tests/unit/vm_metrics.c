/* Metrics and the log: what a flush prints, sums, pipes that are full, levels, limits. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/remove_tree.h"
#include "vm/control/log.h"
#include "vm/control/metrics.h"

static char directory[] = "/tmp/hull-vm-metrics-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    return chdir(directory);
}

static int remove_directory(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(chdir("/"), 0);
    return remove_tree(AT_FDCWD, directory, NULL, &err);
}

static json_int_t number(const json_t *document, const char *group, const char *name)
{
    const json_t *value = json_object_get(json_object_get(document, group), name);
    if (!json_is_integer(value))
        fail_msg("there is no %s.%s", group, name);
    return json_integer_value(value);
}

static json_int_t latency(const json_t *document, const char *group, const char *name)
{
    return number(json_object_get(document, group), "read_agg", name);
}

/* The line'th line of the file. */
static json_t *read_line(const char *path, int line)
{
    struct error err;
    char *text = file_read_all(AT_FDCWD, path, 1 << 20, NULL, &err), *at = text;
    assert_non_null(text);
    for (; line > 0; line--) {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    json_t *json = json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static void test_counters_are_differences(void **state)
{
    struct metrics *metrics = metrics_create();
    struct metrics_single *single = metrics_of(metrics);
    struct error err;
    (void)state;
    assert_int_equal(metrics_flush(metrics, &err), 0); /* nowhere */
    assert_int_equal(metrics_open(metrics, "metrics", &err), 0);
    assert_int_equal(metrics_open(metrics, "other", &err), -1);
    assert_string_equal(err.text, "Reinitialization of metrics not allowed.");
    metrics_add(&single->vsock.tx_bytes_count, 70);
    metrics_set(&single->latencies_us.pause_vm, 9);
    assert_int_equal(metrics_flush(metrics, &err), 0);
    metrics_add(&single->vsock.tx_bytes_count, 7);
    assert_int_equal(metrics_flush(metrics, &err), 0);
    json_t *first = read_line("metrics", 0), *second = read_line("metrics", 1);
    assert_int_equal(number(first, "vsock", "tx_bytes_count"), 70);
    assert_int_equal(number(second, "vsock", "tx_bytes_count"), 7);
    assert_int_equal(number(second, "latencies_us", "pause_vm"), 9);
    json_int_t now = (json_int_t)time(NULL) * 1000;
    json_int_t stamp = json_integer_value(json_object_get(first, "utc_timestamp_ms"));
    assert_true(stamp > now - 60000 && stamp < now + 60000);
    json_decref(first);
    json_decref(second);
    metrics_destroy(metrics);
}

/* All groups are there without a device of the kind, with the names of Firecracker's test. */
static void test_groups(void **state)
{
    static const char *const names[] = {"utc_timestamp_ms",
                                        "api_server",
                                        "balloon",
                                        "block",
                                        "deprecated_api",
                                        "get_api_requests",
                                        "i8042",
                                        "latencies_us",
                                        "logger",
                                        "mmds",
                                        "net",
                                        "patch_api_requests",
                                        "put_api_requests",
                                        "seccomp",
                                        "vcpu",
                                        "vmm",
                                        "uart",
                                        "signals",
                                        "vsock",
                                        "entropy",
                                        "interrupts",
                                        "pmem",
                                        "memory_hotplug"};
    struct metrics *metrics = metrics_create();
    json_t *document = metrics_print(metrics);
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(json_object_get(document, names[i]));
    assert_int_equal(json_object_size(document), sizeof names / sizeof *names);
    assert_int_equal(number(document, "block", "remaining_reqs_count"), 0);
    assert_int_equal(latency(document, "block", "min_us"), 0);
    assert_int_equal(json_object_size(json_object_get(document, "memory_hotplug")), 18);
    json_decref(document);
    metrics_destroy(metrics);
}

static void test_devices_are_summed(void **state)
{
    struct metrics *metrics = metrics_create();
    struct metrics_block *one = metrics_add_block(metrics, "rootfs"),
                         *two = metrics_add_block(metrics, "data");
    struct metrics_net *net = metrics_add_net(metrics, "eth0");
    (void)state;
    metrics_add(&one->read_bytes, 100);
    metrics_add(&two->read_bytes, 11);
    metrics_add(&net->tx_count, 3);
    metrics_measure(&one->read_agg, 5);
    metrics_measure(&one->read_agg, 50);
    metrics_measure(&two->read_agg, 8);
    json_t *document = metrics_print(metrics);
    assert_int_equal(number(document, "block", "read_bytes"), 111);
    assert_int_equal(number(document, "block_rootfs", "read_bytes"), 100);
    assert_int_equal(number(document, "block_data", "read_bytes"), 11);
    assert_int_equal(number(document, "net_eth0", "tx_count"), 3);
    assert_int_equal(number(document, "net", "tx_count"), 3);
    assert_int_equal(latency(document, "block", "min_us"), 5);
    assert_int_equal(latency(document, "block", "max_us"), 50);
    assert_int_equal(latency(document, "block", "sum_us"), 63);
    assert_int_equal(latency(document, "block_data", "min_us"), 8);
    json_decref(document);
    metrics_remove_block(metrics, one);
    metrics_remove_net(metrics, net);
    document = metrics_print(metrics);
    assert_null(json_object_get(document, "block_rootfs"));
    assert_null(json_object_get(document, "net_eth0"));
    assert_int_equal(number(document, "block", "read_bytes"), 11);
    json_decref(document);
    metrics_destroy(metrics);
}

static void test_startup(void **state)
{
    struct metrics *metrics = metrics_create();
    struct timespec now;
    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t start = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - 5000;
    metrics_note_startup(metrics, start, 1, 1000000);
    json_t *document = metrics_print(metrics);
    assert_in_range(number(document, "api_server", "process_startup_time_us"), 5000, 60000000);
    assert_in_range(number(document, "api_server", "process_startup_time_cpu_us"), 1000000,
                    60000000);
    json_decref(document);
    /* Not said, or in the future: nothing. */
    metrics_destroy(metrics);
    metrics = metrics_create();
    metrics_note_startup(metrics, UINT64_MAX, 0, 5);
    document = metrics_print(metrics);
    assert_int_equal(number(document, "api_server", "process_startup_time_us"), 0);
    assert_int_equal(number(document, "api_server", "process_startup_time_cpu_us"), 0);
    json_decref(document);
    metrics_destroy(metrics);
}

static void collect(void *context)
{
    struct metrics_block *block = context;
    metrics_assign(&block->write_bytes, block->write_bytes.value + 4096);
    metrics_assign_latency(&block->read_agg, 3, 9, block->read_agg.sum_us.value + 12);
}

/* What a device counts itself is fetched before each flush, and printed as a difference too. */
static void test_collector(void **state)
{
    struct metrics *metrics = metrics_create();
    struct error err;
    (void)state;
    metrics_set_collector(metrics, collect, metrics_add_block(metrics, "a"));
    assert_int_equal(metrics_open(metrics, "collected", &err), 0);
    for (int line = 0; line < 2; line++) {
        assert_int_equal(metrics_flush(metrics, &err), 0);
        json_t *document = read_line("collected", line);
        assert_int_equal(number(document, "block_a", "write_bytes"), 4096);
        assert_int_equal(latency(document, "block", "min_us"), 3);
        assert_int_equal(latency(document, "block", "max_us"), 9);
        assert_int_equal(latency(document, "block", "sum_us"), 12);
        json_decref(document);
    }
    metrics_destroy(metrics);
}

/* A pipe that nobody reads never blocks, and what had no room comes later. */
static void test_full_pipe(void **state)
{
    struct metrics *metrics = metrics_create();
    struct error err;
    static char text[1 << 20];
    int flushes = 0;
    (void)state;
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(metrics_open(metrics, "pipe", &err), 0);
    do
        metrics_add(&metrics_of(metrics)->i8042.read_count, 1);
    while (metrics_flush(metrics, &err) == 0 && flushes++ < 1000);
    assert_in_range(flushes, 1, 999);
    int fd = open("pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text) > 0);
    assert_int_equal(metrics_flush(metrics, &err), 0);
    ssize_t length = read(fd, text, sizeof text - 1);
    assert_true(length > 0);
    text[length] = '\0';
    json_t *line = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    assert_int_equal(number(line, "i8042", "read_count"), 1);
    assert_int_equal(number(line, "logger", "missed_metrics_count"), 1);
    json_decref(line);
    close(fd);
    metrics_destroy(metrics);
}

/* ---- the log ---- */

static const char *log_text(void)
{
    static char text[65536];
    struct error err;
    char *content = file_read_all(AT_FDCWD, "log", sizeof text - 1, NULL, &err);
    assert_non_null(content);
    snprintf(text, sizeof text, "%s", content);
    free(content);
    return text;
}

static void test_log(void **state)
{
    struct metrics_logger counters = {0};
    struct error err;
    struct logger_settings settings = {
        .path = (char *)(uintptr_t) "log", .level_given = true, .level = LOG_LEVEL_WARNING};
    int year, month, day, hour, minute, second;
    long nanoseconds;
    (void)state;
    log_initialize("my-id", &counters);
    assert_int_equal(log_configure(&settings, &err), 0);
    log_info("not wanted");
    log_warning("first\nline %d", 1);
    assert_int_equal(sscanf(log_text(), "%4d-%2d-%2dT%2d:%2d:%2d.%9ld [my-id:", &year, &month, &day,
                            &hour, &minute, &second, &nanoseconds),
                     7);
    /* One message is one line. */
    assert_non_null(strstr(log_text(), "] first line 1\n"));
    assert_null(strstr(log_text(), "wanted"));
    assert_null(strstr(log_text(), "WARN"));
    /* What isn't said again stays: the level and the file. */
    settings = (struct logger_settings){.show_level_given = true,
                                        .show_level = true,
                                        .show_origin_given = true,
                                        .show_origin = true};
    assert_int_equal(log_configure(&settings, &err), 0);
    settings = (struct logger_settings){0};
    assert_int_equal(log_configure(&settings, &err), 0);
    log_message(LOG_LEVEL_ERROR, "../../src/vm/device/block.c", 77, "broken");
    log_message(LOG_LEVEL_INFO, "../../src/vm/device/block.c", 78, "not wanted");
    assert_non_null(strstr(log_text(), ":ERROR:vm/device/block.c:77] broken\n"));
    assert_null(strstr(log_text(), "wanted"));
    settings = (struct logger_settings){.module = (char *)(uintptr_t) "vm/device/"};
    assert_int_equal(log_configure(&settings, &err), 0);
    log_message(LOG_LEVEL_ERROR, "../../src/vm/device/net.c", 1, "of a device");
    log_message(LOG_LEVEL_ERROR, "../../src/vm/board/bus.c", 1, "not wanted");
    assert_non_null(strstr(log_text(), "of a device"));
    assert_null(strstr(log_text(), "wanted"));
    log_take(VM_LOG_WARNING, "vm/device/block", "taken over");
    log_take(VM_LOG_INFO, "vm/device/block", "not wanted");
    log_take(VM_LOG_ERROR, "board", "not wanted");
    assert_non_null(strstr(log_text(), "] taken over"));
    assert_null(strstr(log_text(), "wanted"));
    /* A file that can't be had changes nothing. */
    settings = (struct logger_settings){.path = (char *)(uintptr_t) "/none/such"};
    assert_int_equal(log_configure(&settings, &err), -1);
    assert_true(log_is_wanted(LOG_LEVEL_ERROR, "src/vm/device/net.c"));
    assert_false(log_is_wanted(LOG_LEVEL_ERROR, "src/vm/board/bus.c"));
    log_close();
    struct log_limit limit = {0};
    log_initialize("my-id", &counters);
    int allowed = 0;
    for (int i = 0; i < 100; i++)
        allowed += log_limit_allows(&limit);
    /* The window may have ended once in between. */
    assert_in_range(allowed, LOG_LIMIT_MESSAGES, 2 * LOG_LIMIT_MESSAGES);
    assert_int_equal(counters.rate_limited_log_count.value, 100 - allowed);
    log_close();
}

static void test_log_to_a_full_pipe(void **state)
{
    struct metrics_logger counters = {0};
    struct error err;
    struct logger_settings settings = {.path = (char *)(uintptr_t) "log-pipe"};
    (void)state;
    assert_int_equal(mkfifo("log-pipe", 0600), 0);
    log_initialize("my-id", &counters);
    assert_int_equal(log_configure(&settings, &err), 0);
    for (int i = 0; i < 2000; i++)
        log_error("%0100d", i);
    assert_in_range(counters.missed_log_count.value, 1, 1999);
    log_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_are_differences),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_devices_are_summed),
        cmocka_unit_test(test_startup),
        cmocka_unit_test(test_collector),
        cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_to_a_full_pipe),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
