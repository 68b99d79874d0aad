/* container/channel: what one side said before it died is heard, whatever the other did meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "container/channel.h"

static void open_pair(int ends[2])
{
    struct error err;
    assert_int_equal(channel_open(ends, &err), 0);
}

static void die_saying(int end, const char *text)
{
    assert_int_equal(channel_report(end, CHANNEL_ERROR, EINVAL, text), 0);
    close(end);
}

static void an_error_is_heard_though_something_was_left_unread(void **state)
{
    (void)state;
    struct channel_message message;
    int ends[2];
    open_pair(ends);
    assert_int_equal(channel_send(ends[0], CHANNEL_GO, 1), 0);
    die_saying(ends[1], "can't go on");
    assert_int_equal(channel_receive(ends[0], &message), 0);
    assert_int_equal(message.type, CHANNEL_ERROR);
    assert_string_equal(message.text, "can't go on");
    assert_int_equal(channel_receive(ends[0], &message), 0);
    assert_int_equal(message.type, CHANNEL_END);
    close(ends[0]);
}

static void a_failed_write_is_explained(void **state)
{
    (void)state;
    struct error err = {EPIPE, "the process died: Broken pipe"};
    int ends[2];
    open_pair(ends);
    /* With a message before it, whose descriptor isn't kept. */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(channel_send_descriptors(ends[1], CHANNEL_CONSOLE, 0, &null, 1), 0);
    close(null);
    die_saying(ends[1], "can't go on");
    assert_int_equal(channel_send(ends[0], CHANNEL_GO, 0), -1);
    assert_int_equal(channel_explain(ends[0], &err), -1);
    assert_string_equal(err.text, "can't go on");
    assert_int_equal(err.code, EINVAL);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_in_range(next, 0, null);
    close(next);
    close(ends[0]);
}

static void without_an_explanation_the_error_stays(void **state)
{
    (void)state;
    struct error err = {EPIPE, "the process died: Broken pipe"};
    int ends[2];
    open_pair(ends);
    assert_int_equal(channel_explain(ends[0], &err), -1);
    assert_string_equal(err.text, "the process died: Broken pipe");
    close(ends[1]);
    assert_int_equal(channel_explain(ends[0], &err), -1);
    assert_int_equal(channel_explain(-1, &err), -1);
    assert_string_equal(err.text, "the process died: Broken pipe");
    assert_int_equal(err.code, EPIPE);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_heard_though_something_was_left_unread),
        cmocka_unit_test(a_failed_write_is_explained),
        cmocka_unit_test(without_an_explanation_the_error_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
