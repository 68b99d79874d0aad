/* The json-file log: records, long lines, rotation, a writer that was killed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "base/memory.h"
#include "monitor/log_file.h"
#include "monitor/log_record.h"

static void expect_record(const char *text, size_t count, int stream, bool ends,
                          const char *attributes, const char *expected)
{
    char *record = memory_allocate(LOG_RECORD_ROOM(count) + 100, 1);
    size_t length = log_record_format(record, stream, text, count, ends, "T", attributes);
    record[length] = '\0';
    assert_string_equal(record, expected);
    free(record);
}

static void test_records(void **state)
{
    (void)state;
    expect_record("plain", 5, 1, true, NULL,
                  "{\"log\":\"plain\\n\",\"stream\":\"stdout\",\"time\":\"T\"}\n");
    expect_record("", 0, 2, false, NULL, "{\"log\":\"\",\"stream\":\"stderr\",\"time\":\"T\"}\n");
    expect_record("\"\\/\t\r\x1b<>&\x7f", 10, 1, false, "{\"a\":\"b\"}",
                  "{\"log\":\"\\\"\\\\/\\u0009\\r\\u001b\\u003c\\u003e\\u0026\x7f\","
                  "\"stream\":\"stdout\",\"attrs\":{\"a\":\"b\"},\"time\":\"T\"}\n");
    /* A byte order mark, separators that JavaScript takes for newlines, four bytes, NUL. */
    expect_record("\xef\xbb\xbf\xe2\x80\xa8\xe2\x80\xa9\xf0\x9f\x98\x80", 13, 1, false, NULL,
                  "{\"log\":\"\xef\xbb\xbf\\u2028\\u2029\xf0\x9f\x98\x80\",\"stream\":\"stdout\","
                  "\"time\":\"T\"}\n");
    /* Not UTF-8: overlong, surrogate, beyond U+10FFFF, cut off. */
    expect_record("\xc0\xaf", 2, 1, false, NULL,
                  "{\"log\":\"\\ufffd\\ufffd\",\"stream\":\"stdout\",\"time\":\"T\"}\n");
    expect_record("\xed\xa0\x80", 3, 1, false, NULL,
                  "{\"log\":\"\\ufffd\\ufffd\\ufffd\",\"stream\":\"stdout\",\"time\":\"T\"}\n");
    expect_record("\xf4\x90\x80\x80", 4, 1, false, NULL,
                  "{\"log\":\"\\ufffd\\ufffd\\ufffd\\ufffd\",\"stream\":\"stdout\",\"time\":\"T\"}"
                  "\n");
    expect_record("a\xe2\x82", 3, 1, false, NULL,
                  "{\"log\":\"a\\ufffd\\ufffd\",\"stream\":\"stdout\",\"time\":\"T\"}\n");
}

/* Whatever the bytes, a record is one line of JSON and fits its room. */
static void test_records_of_any_bytes(void **state)
{
    (void)state;
    unsigned int seed = 1;
    for (int round = 0; round < 2000; round++) {
        char text[64], record[LOG_RECORD_ROOM(64)];
        size_t count = (size_t)rand_r(&seed) % sizeof text;
        for (size_t i = 0; i < count; i++)
            text[i] = (char)rand_r(&seed);
        size_t length = log_record_format(record, 1, text, count, true, "T", NULL);
        assert_true(length <= LOG_RECORD_ROOM(count));
        assert_ptr_equal(memchr(record, '\n', length), record + length - 1);
        json_t *parsed = json_loadb(record, length, JSON_ALLOW_NUL, NULL);
        assert_non_null(parsed);
        json_decref(parsed);
    }
}

static void test_whole_characters(void **state)
{
    (void)state;
    assert_int_equal(log_record_whole_characters("abc", 3), 3);
    assert_int_equal(log_record_whole_characters("ab\xc3", 3), 2);
    assert_int_equal(log_record_whole_characters("a\xc3\xa4", 3), 3);
    assert_int_equal(log_record_whole_characters("a\xf0\x9f\x98", 4), 1);
    assert_int_equal(log_record_whole_characters("\xf0\x9f\x98\x80", 4), 4);
    /* Nothing but the middle of characters still gets on. */
    assert_int_equal(log_record_whole_characters("\x80\x80\x80\x80", 4), 4);
    assert_int_equal(log_record_whole_characters("\xc3", 1), 1);
}

struct fixture {
    char directory[64];
    char path[80];
    struct log_file log;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    snprintf(fixture->directory, sizeof fixture->directory, "./log-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof fixture->path, "%s/log", fixture->directory);
    fixture->log = (struct log_file){.path = fixture->path, .max_file = 1};
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    log_file_close(&fixture->log);
    for (int i = 0; i < 6; i++) {
        char name[96];
        snprintf(name, sizeof name, i ? "%s.%d" : "%s", fixture->path, i);
        unlink(name);
    }
    int result = rmdir(fixture->directory);
    free(fixture);
    return result;
}

/* What the log's records say, one after the other; the caller frees. */
static char *read_log(const char *path)
{
    char *all = file_read_all(AT_FDCWD, path, 1 << 20, NULL, NULL);
    char *said = memory_allocate(1 << 20, 1), *rest = all;
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        json_t *record = json_loads(line, 0, NULL);
        assert_non_null(record);
        strcat(said, json_string_value(json_object_get(record, "log")));
        strcat(said, "|");
        json_decref(record);
    }
    free(all);
    return said;
}

static void expect_log(const char *path, const char *expected)
{
    char *said = read_log(path);
    assert_string_equal(said, expected);
    free(said);
}

static void test_lines(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(log_file_open(&fixture->log, NULL), 0);
    log_file_write(&fixture->log, 1, "one\ntw", 6);
    log_file_write(&fixture->log, 2, "err\n", 4);
    log_file_write(&fixture->log, 1, "o\n\nlast", 7);
    expect_log(fixture->path, "one\n|err\n|two\n|\n|");
    log_file_finish(&fixture->log);
    expect_log(fixture->path, "one\n|err\n|two\n|\n|last|");
}

static void test_long_line_is_split_between_characters(void **state)
{
    struct fixture *fixture = *state;
    char *line = memory_allocate(LOG_LINE_SIZE + 100, 1);
    memset(line, 'x', LOG_LINE_SIZE - 1);
    strcpy(line + LOG_LINE_SIZE - 1, "\xc3\xa4 and more\n");
    assert_int_equal(log_file_open(&fixture->log, NULL), 0);
    log_file_write(&fixture->log, 1, line, strlen(line));
    char *said = read_log(fixture->path);
    assert_int_equal(strcspn(said, "|"), LOG_LINE_SIZE - 1);
    assert_string_equal(said + LOG_LINE_SIZE, "\xc3\xa4 and more\n|");
    free(said);
    free(line);
}

static void test_rotation_keeps_so_many_files(void **state)
{
    struct fixture *fixture = *state;
    char name[96];
    fixture->log.max_size = 100;
    fixture->log.max_file = 3;
    assert_int_equal(log_file_open(&fixture->log, NULL), 0);
    for (char line[] = "a\n"; line[0] <= 'j'; line[0]++)
        log_file_write(&fixture->log, 1, line, 2);
    /* A record has 75 bytes: two fill a file. */
    expect_log(fixture->path, "i\n|j\n|");
    snprintf(name, sizeof name, "%s.1", fixture->path);
    expect_log(name, "g\n|h\n|");
    snprintf(name, sizeof name, "%s.2", fixture->path);
    expect_log(name, "e\n|f\n|");
    snprintf(name, sizeof name, "%s.3", fixture->path);
    assert_int_equal(access(name, F_OK), -1);
}

static void test_one_file_begins_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->log.max_size = 100;
    assert_int_equal(log_file_open(&fixture->log, NULL), 0);
    log_file_write(&fixture->log, 1, "a\nb\nc\n", 6);
    expect_log(fixture->path, "c\n|");
}

static void test_half_record_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    for (int whole = 0; whole < 2; whole++) {
        int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        if (whole)
            assert_int_equal(file_write_all(fd, "{\"log\":\"a\"}\n", 12), 0);
        char *half = memory_allocate(9001, 1);
        memset(half, 'h', 9000);
        assert_int_equal(file_write_all(fd, half, 9000), 0);
        free(half);
        close(fd);
        assert_int_equal(log_file_open(&fixture->log, NULL), 0);
        log_file_write(&fixture->log, 1, "b\n", 2);
        expect_log(fixture->path, whole ? "a|b\n|" : "b\n|");
        log_file_close(&fixture->log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_records_of_any_bytes),
        cmocka_unit_test(test_whole_characters),
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_line_is_split_between_characters, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_rotation_keeps_so_many_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_file_begins_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_record_is_cut_off, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
