/* network/dns_packet and dns_names: messages as RFC 1035 has them, and what is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "network/dns_names.h"

/* Writes a query; its length. */
static size_t make_query(uint8_t *message, const char *name, uint16_t type)
{
    static const uint8_t header[] = {0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    memcpy(message, header, sizeof header);
    size_t at = sizeof header;
    while (*name) {
        size_t label = strcspn(name, ".");
        message[at++] = (uint8_t)label;
        memcpy(message + at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    message[at++] = 0;
    message[at++] = (uint8_t)(type >> 8);
    message[at++] = (uint8_t)type;
    message[at++] = 0;
    message[at++] = 1;
    return at;
}

static void queries(void **state)
{
    (void)state;
    uint8_t message[600];
    struct dns_question question;
    size_t length = make_query(message, "Web.Example.ORG", DNS_AAAA);
    assert_int_equal(dns_parse_query(message, length, &question), DNS_NOERROR);
    assert_string_equal(question.name, "web.example.org");
    assert_int_equal(question.type, DNS_AAAA);
    assert_int_equal(question.id, 0x1234);
    assert_int_equal(question.end, length);
    assert_int_equal(question.udp_size, 512);
    /* every cut is refused */
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1);
        memcpy(copy, message, cut);
        int code = dns_parse_query(copy, cut, &question);
        assert_int_equal(code, cut < DNS_HEADER_SIZE ? -1 : DNS_FORMERR);
        free(copy);
    }
    /* an OPT record says how much may be answered */
    static const uint8_t opt[] = {0, 0, 41, 0x10, 0x00, 0, 0, 0, 0, 0, 0};
    memcpy(message + length, opt, sizeof opt);
    message[11] = 1;
    assert_int_equal(dns_parse_query(message, length + sizeof opt, &question), DNS_NOERROR);
    assert_int_equal(question.udp_size, 4096);
}

static void bad_queries(void **state)
{
    (void)state;
    uint8_t message[600];
    struct dns_question question;
    size_t length = make_query(message, "web", DNS_A);
    message[2] |= 0x80; /* an answer isn't answered, or two servers would talk for ever */
    assert_int_equal(dns_parse_query(message, length, &question), -1);
    message[2] = 0x28; /* UPDATE */
    assert_int_equal(dns_parse_query(message, length, &question), DNS_NOTIMP);
    message[2] = 1;
    message[5] = 2; /* two questions */
    assert_int_equal(dns_parse_query(message, length, &question), DNS_FORMERR);
    message[5] = 1;
    message[12] = 0xc0; /* a pointer, to itself */
    message[13] = 12;
    assert_int_equal(dns_parse_query(message, length, &question), DNS_FORMERR);
    /* 254 characters are too many, 253 are not */
    char name[300];
    memset(name, 'a', sizeof name);
    name[63] = name[127] = name[191] = '.';
    name[253] = '\0';
    length = make_query(message, name, DNS_A);
    assert_int_equal(dns_parse_query(message, length, &question), DNS_NOERROR);
    assert_int_equal(strlen(question.name), 253);
    name[253] = 'a';
    name[254] = '\0';
    length = make_query(message, name, DNS_A);
    assert_int_equal(dns_parse_query(message, length, &question), DNS_FORMERR);
    /* no byte of a name is taken for something else */
    length = make_query(message, "a b", DNS_A);
    message[14] = '\0';
    assert_int_equal(dns_parse_query(message, length, &question), DNS_NOERROR);
    assert_string_equal(question.name, "a?b");
}

static void answers(void **state)
{
    (void)state;
    uint8_t query[600], out[600];
    struct dns_question question;
    const struct dns_address addresses[2] = {{{10, 0, 0, 1}, 4}, {{10, 0, 0, 2}, 4}};
    size_t length = make_query(query, "web", DNS_A);
    dns_parse_query(query, length, &question);
    size_t answer = dns_compose_addresses(query, &question, addresses, 2, out, sizeof out);
    assert_int_equal(answer, length + 2 * 16);
    assert_true(dns_is_answer(query, length, out, answer));
    assert_int_equal(out[7], 2);
    assert_memory_equal(out + length + 12, "\x0a\0\0\1", 4);
    /* what doesn't fit is left out, and it is said */
    answer = dns_compose_addresses(query, &question, addresses, 2, out, length + 20);
    assert_int_equal(answer, length + 16);
    assert_int_equal(out[7], 1);
    assert_true(out[2] & 2);
    assert_int_equal(dns_compose_addresses(query, &question, addresses, 2, out, length - 1), 0);
    answer = dns_compose_code(query, &question, DNS_REFUSED, out, sizeof out);
    assert_int_equal(out[3] & 15, DNS_REFUSED);
    assert_true(dns_is_answer(query, length, out, answer));
    /* another's id, or question */
    out[0] ^= 1;
    assert_false(dns_is_answer(query, length, out, answer));
    out[0] ^= 1;
    out[13] = 'x';
    assert_false(dns_is_answer(query, length, out, answer));
    answer = dns_compose_name(query, &question, "web.net", out, sizeof out);
    assert_memory_equal(out + length + 12, "\3web\3net", 9);
}

static void reverse_names(void **state)
{
    (void)state;
    struct dns_address address;
    assert_true(dns_parse_reverse("4.3.2.1.in-addr.arpa", &address));
    assert_int_equal(address.length, 4);
    assert_memory_equal(address.bytes, "\1\2\3\4", 4);
    assert_true(dns_parse_reverse("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f."
                                  "ip6.arpa",
                                  &address));
    assert_int_equal(address.length, 16);
    assert_int_equal(address.bytes[0], 0xfd);
    assert_int_equal(address.bytes[15], 1);
    static const char *const bad[] = {"3.2.1.in-addr.arpa",
                                      "4.3.2.256.in-addr.arpa",
                                      "4.3.2.1.in-addr.arpa.x",
                                      "ip6.arpa",
                                      "1.ip6.arpa",
                                      "web",
                                      ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (dns_parse_reverse(bad[i], &address))
            fail_msg("'%s' is taken", bad[i]);
}

static void names(void **state)
{
    (void)state;
    struct dns_names names;
    struct error err = {0};
    struct dns_address *found;
    size_t count;
    char text[] = "network n1 Web\nname One 10.0.0.1\nname one fd00::1\nname all 10.0.0.1\n"
                  "name all 10.0.0.2\nnetwork n2 back\nname two 10.1.0.1\n"
                  "container c1 open\nin n1\nupstream 192.0.2.1\nupstream 2001:db8::1\n"
                  "container c2 internal\nin n1\nin n2\n";
    assert_int_equal(dns_names_parse(&names, text, &err), 0);
    const struct dns_container *one = dns_names_find_container(&names, "c1");
    const struct dns_container *two = dns_names_find_container(&names, "c2");
    assert_non_null(one);
    assert_null(dns_names_find_container(&names, "c3"));
    assert_int_equal(one->upstream_count, 2);
    assert_true(two->internal && !one->internal);
    assert_true(dns_names_look_up(one, "one", 4, &found, &count));
    assert_int_equal(count, 1);
    free(found);
    assert_true(dns_names_look_up(one, "one.web", 0, &found, &count));
    assert_int_equal(count, 2);
    free(found);
    assert_true(dns_names_look_up(one, "all", 16, &found, &count)); /* known, without IPv6 */
    assert_int_equal(count, 0);
    free(found);
    assert_false(dns_names_look_up(one, "two", 4, &found, &count));
    assert_true(dns_names_look_up(two, "two.back", 4, &found, &count));
    free(found);
    assert_false(dns_names_look_up(two, "two.web", 4, &found, &count));
    assert_false(dns_names_look_up(two, "one.webs", 4, &found, &count));
    struct dns_address address = {{10, 1, 0, 1}, 4};
    assert_null(dns_names_look_up_address(one, &address));
    char *name = dns_names_look_up_address(two, &address);
    assert_string_equal(name, "two.back");
    free(name);
    dns_names_release(&names);
    static const char *const bad[] = {"name one 10.0.0.1\n", "network n\n", "in n1\n",
                                      "network n w\nname one 10.0.0\n", "nonsense\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *copy = strdup(bad[i]);
        if (dns_names_parse(&names, copy, &err) == 0)
            fail_msg("'%s' is taken", bad[i]);
        free(copy);
    }
}

static void upstreams(void **state)
{
    (void)state;
    struct dns_upstream found[DNS_UPSTREAMS];
    char text[] = "# comment\nnameserver 192.0.2.1\nnameserver\t2001:db8::1\nsearch nameserver\n"
                  "nameserver nonsense\nnameserver 192.0.2.3 x\n";
    assert_int_equal(dns_upstreams_parse(found, text), 3);
    assert_int_equal(found[1].address.ss_family, 10); /* AF_INET6 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries), cmocka_unit_test(bad_queries),   cmocka_unit_test(answers),
        cmocka_unit_test(names),   cmocka_unit_test(reverse_names), cmocka_unit_test(upstreams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
