/* cli/table and cli/human: what verbs list, and how numbers are put. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pty.h>
#include <unistd.h>

#include "cli/human.h"
#include "cli/table.h"

static const struct table_column columns[] = {
    {.field = "ID", .header = "CONTAINER ID"},
    {.field = "Names", .header = "NAMES"},
    {.field = "Labels", .header = "LABELS", .is_extra = true},
    {.field = "Command", .header = "COMMAND", .shrinks = true},
    {0},
};

static json_t *make_rows(void)
{
    json_t *rows = json_loads(
        "[{\"ID\":\"0123456789ab\",\"Names\":\"web\",\"Labels\":\"k=v\",\"Command\":\"run the "
        "server with many arguments that go on\",\"Label\":{\"k\":\"v\"}},"
        "{\"ID\":\"b\",\"Names\":\"m\xc3\xbcller-and-\\u001bsons\",\"Labels\":\"\",\"Command\":"
        "\"\",\"Label\":{}}]",
        0, NULL);
    assert_non_null(rows);
    return rows;
}

static void assert_printed(const char *format, const char *expected)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    struct error err = {0};
    json_t *rows = make_rows();
    int status = table_print(columns, rows, format, true, out, &err);
    fclose(out);
    json_decref(rows);
    if (status < 0)
        fail_msg("%s: %s", format, err.text);
    assert_string_equal(text, expected);
    free(text);
}

static void without_a_format_columns_are_aligned(void **state)
{
    (void)state;
    static const char expected[] =
        "CONTAINER ID   NAMES              COMMAND\n"
        "0123456789ab   web                run the server with many arguments that go on\n"
        "b              m\xc3\xbcller-and- sons   \n";
    assert_printed(NULL, expected);
    assert_printed("", expected);
    assert_printed("table", expected);
}

static void formats_choose_what_is_shown(void **state)
{
    (void)state;
    assert_printed("{{.ID}}:{{.Label \"k\"}}", "0123456789ab:v\nb:\n");
    assert_printed("table {{.Names}}\\t{{upper .ID}}", "NAMES              CONTAINER ID\n"
                                                       "web                0123456789AB\n"
                                                       "m\xc3\xbcller-and- sons   B\n");
    assert_printed("table {{.ID}}\t{{.Labels}}", "CONTAINER ID   LABELS\n"
                                                 "0123456789ab   k=v\n"
                                                 "b              \n");
    assert_printed("json",
                   "{\"ID\":\"0123456789ab\",\"Names\":\"web\",\"Labels\":\"k=v\",\"Command\":"
                   "\"run the server with many arguments that go on\"}\n"
                   "{\"ID\":\"b\",\"Names\":\"m\xc3\xbcller-and-\\u001Bsons\",\"Labels\":\"\","
                   "\"Command\":\"\"}\n");
}

static void a_wrong_format_is_an_error(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *rows = make_rows();
    assert_int_equal(table_print(columns, rows, "{{.Id.X}}", true, stdout, &err), -1);
    assert_int_equal(table_print(columns, rows, "table {{.Nothing}}", true, stdout, &err), -1);
    assert_int_equal(table_print(columns, rows, "{{", true, stdout, &err), -1);
    json_decref(rows);
}

static void one_field_alone_is_printed_for_quiet(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    json_t *rows = make_rows();
    table_print_field(rows, "ID", out);
    fclose(out);
    json_decref(rows);
    assert_string_equal(text, "0123456789ab\nb\n");
    free(text);
}

/* Prints the table onto a terminal that is 60 columns wide, and checks what arrives. */
static void assert_on_terminal(bool may_shrink, const char *expected)
{
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    int master, slave;
    unsetenv("COLUMNS");
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    FILE *out = fdopen(slave, "w");
    json_t *rows = make_rows();
    struct error err;
    assert_int_equal(table_print(columns, rows, NULL, may_shrink, out, &err), 0);
    json_decref(rows);
    fflush(out);
    char text[2048];
    size_t length = 0;
    int lines = 0;
    while (lines < 3) {
        ssize_t count = read(master, text + length, sizeof text - 1 - length);
        assert_true(count > 0);
        for (ssize_t i = 0; i < count; i++)
            lines += text[length + (size_t)i] == '\n';
        length += (size_t)count;
    }
    text[length] = '\0';
    assert_string_equal(text, expected);
    fclose(out);
    close(master);
}

static void a_terminal_is_not_overrun(void **state)
{
    (void)state;
    assert_on_terminal(true,
                       "CONTAINER ID   NAMES              COMMAND\r\n"
                       "0123456789ab   web                run the server with many \xe2\x80\xa6"
                       "\r\n"
                       "b              m\xc3\xbcller-and- sons   \r\n");
    assert_on_terminal(false,
                       "CONTAINER ID   NAMES              COMMAND\r\n"
                       "0123456789ab   web                run the server with many arguments that "
                       "go on\r\n"
                       "b              m\xc3\xbcller-and- sons   \r\n");
}

static void sizes_are_put_as_docker_puts_them(void **state)
{
    (void)state;
    assert_string_equal(human_size(0).text, "0B");
    assert_string_equal(human_size(999).text, "999B");
    assert_string_equal(human_size(1000).text, "1kB");
    assert_string_equal(human_size(12345678).text, "12.3MB");
    assert_string_equal(human_size(4270000000).text, "4.27GB");
    assert_string_equal(human_binary_size(1024).text, "1KiB");
    assert_string_equal(human_binary_size(12345678).text, "11.77MiB");
    assert_string_equal(human_binary_size(UINT64_MAX).text, "16EiB");
}

static void durations_are_put_as_docker_puts_them(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {-5, "Less than a second"}, {0, "Less than a second"}, {1, "1 second"},
        {59, "59 seconds"},         {60, "About a minute"},    {119, "About a minute"},
        {120, "2 minutes"},         {3599, "59 minutes"},      {3600, "About an hour"},
        {5400, "2 hours"},          {47 * 3600, "47 hours"},   {48 * 3600, "2 days"},
        {13 * 86400, "13 days"},    {14 * 86400, "2 weeks"},   {60 * 86400, "2 months"},
        {729 * 86400, "24 months"}, {730 * 86400, "2 years"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(human_duration(cases[i].seconds).text, cases[i].text);
    assert_string_equal(human_age(1000, 1180).text, "3 minutes ago");
    assert_string_equal(human_age(2000, 1000).text, "Less than a second ago");
}

static void times_name_their_zone(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    assert_string_equal(human_time(0).text, "1970-01-01 00:00:00 +0000 UTC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_format_columns_are_aligned),
        cmocka_unit_test(formats_choose_what_is_shown),
        cmocka_unit_test(a_wrong_format_is_an_error),
        cmocka_unit_test(one_field_alone_is_printed_for_quiet),
        cmocka_unit_test(a_terminal_is_not_overrun),
        cmocka_unit_test(sizes_are_put_as_docker_puts_them),
        cmocka_unit_test(durations_are_put_as_docker_puts_them),
        cmocka_unit_test(times_name_their_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
