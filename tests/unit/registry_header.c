/* image/registry_header: what registries say in the fields of their answers, and what a hostile one
 * might. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/registry_header.h"

static void a_bearer_challenge_is_read_with_its_parameters(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct registry_challenge challenge = {0};
    registry_parse_challenge("Bearer realm=\"https://auth.example/token\",service=\"a \\\"b\\\"\", "
                             "SCOPE = \"repository:x:pull,push\",error=insufficient_scope,other=1",
                             &arena, &challenge);
    assert_true(challenge.bearer);
    assert_false(challenge.basic);
    assert_string_equal(challenge.realm, "https://auth.example/token");
    assert_string_equal(challenge.service, "a \"b\"");
    assert_string_equal(challenge.scope, "repository:x:pull,push");
    assert_string_equal(challenge.error, "insufficient_scope");
    arena_release(&arena);
}

static void several_challenges_may_stand_in_one_field(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct registry_challenge challenge = {0};
    registry_parse_challenge("basic realm=\"not this\", Negotiate YWJj==, bearer realm=http://a/b, "
                             "Digest realm=\"nor this\"",
                             &arena, &challenge);
    assert_true(challenge.basic);
    assert_true(challenge.bearer);
    assert_string_equal(challenge.realm, "http://a/b");
    challenge = (struct registry_challenge){0};
    registry_parse_challenge("Basic realm=\"not this\", bearer realm=http://a/b , Digest "
                             "realm=\"nor this\"",
                             &arena, &challenge);
    assert_true(challenge.basic && challenge.bearer);
    assert_string_equal(challenge.realm, "http://a/b");
    arena_release(&arena);
}

static void challenges_that_do_not_parse_say_nothing(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "",           " , ,", "Digest realm=\"x\"", "=",
        "\"Bearer\"", "\\,",  "Bearerx=1",          "Negotiate\001Bearer"};
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct registry_challenge challenge = {0};
        registry_parse_challenge(fields[i], &arena, &challenge);
        assert_false(challenge.bearer || challenge.basic);
        assert_null(challenge.realm);
    }
    struct registry_challenge challenge = {0};
    registry_parse_challenge("Bearer realm=\"never ends\\", &arena, &challenge);
    assert_true(challenge.bearer);
    assert_null(challenge.realm);
    arena_release(&arena);
}

static void the_next_link_is_found_among_others(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_string_equal(
        registry_parse_next_link("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", &arena),
        "/v2/a/tags/list?last=b&n=2");
    assert_string_equal(registry_parse_next_link(
                            "<a>; rel=prev; title=\"x, <y>; rel=next\", <b>;x;REL=Next", &arena),
                        "b");
    assert_null(registry_parse_next_link("<a>; rel=\"prev\"", &arena));
    assert_null(registry_parse_next_link("<a; rel=\"next\"", &arena));
    assert_null(registry_parse_next_link("<a>; rel=\"next", &arena));
    assert_null(registry_parse_next_link("", &arena));
    arena_release(&arena);
}

static void content_ranges_are_read_if_they_are_consistent(void **state)
{
    (void)state;
    int64_t first, last, total;
    assert_true(registry_parse_content_range("bytes 10-19/20", &first, &last, &total));
    assert_int_equal(first, 10);
    assert_int_equal(last, 19);
    assert_int_equal(total, 20);
    assert_true(registry_parse_content_range(" Bytes 0-0/* ", &first, &last, &total));
    assert_int_equal(total, -1);
    static const char *const wrong[] = {"",
                                        "bytes",
                                        "bytes */20",
                                        "bytes 5-4/20",
                                        "bytes 0-20/20",
                                        "bytes -1-4/20",
                                        "bytes 0-4/20 x",
                                        "bytes 0-4",
                                        "bytes0-4/20",
                                        "items 0-4/20",
                                        "bytes 0-99999999999999999999/*"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(registry_parse_content_range(wrong[i], &first, &last, &total));
}

static void upload_ranges_say_where_to_go_on(void **state)
{
    (void)state;
    int64_t next = -1;
    assert_true(registry_parse_upload_range("0-1023", &next));
    assert_int_equal(next, 1024);
    assert_true(registry_parse_upload_range("bytes=0-4", &next));
    assert_int_equal(next, 5);
    assert_true(registry_parse_upload_range("0-0", &next));
    assert_int_equal(next, 0);
    assert_false(registry_parse_upload_range("5-9", &next));
    assert_false(registry_parse_upload_range("0-9223372036854775807", &next));
    assert_false(registry_parse_upload_range("0-", &next));
    assert_false(registry_parse_upload_range("0-5,7-9", &next));
}

static void retry_after_is_a_number_or_a_date(void **state)
{
    (void)state;
    const time_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT: RFC 9110, 5.6.7 */
    assert_int_equal(registry_parse_retry_after("120", now), 120);
    assert_int_equal(registry_parse_retry_after(" 0 ", now), 0);
    assert_int_equal(registry_parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), 60);
    assert_int_equal(registry_parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), 0);
    assert_int_equal(registry_parse_retry_after("-5", now), -1);
    assert_int_equal(registry_parse_retry_after("soon", now), -1);
    assert_int_equal(registry_parse_retry_after("5 minutes", now), -1);
    assert_int_equal(registry_parse_retry_after("", now), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bearer_challenge_is_read_with_its_parameters),
        cmocka_unit_test(several_challenges_may_stand_in_one_field),
        cmocka_unit_test(challenges_that_do_not_parse_say_nothing),
        cmocka_unit_test(the_next_link_is_found_among_others),
        cmocka_unit_test(content_ranges_are_read_if_they_are_consistent),
        cmocka_unit_test(upload_ranges_say_where_to_go_on),
        cmocka_unit_test(retry_after_is_a_number_or_a_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
