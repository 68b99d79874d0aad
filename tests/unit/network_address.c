/* network/address: addresses and subnets as numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "network/address.h"
#include "network/link.h"

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical; /* NULL: refused */
    } samples[] = {
        {"10.0.0.1", "10.0.0.1"},
        {"255.255.255.255", "255.255.255.255"},
        {"fd00::1", "fd00::1"},
        {"FD00:0:0:0:0:0:0:1", "fd00::1"},
        {"::", "::"},
        {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
        {"", NULL},
        {"10.0.0", NULL},
        {"10.0.0.256", NULL},
        {"10.0.0.1/8", NULL},
        {"010.0.0.1", NULL},
        {" 10.0.0.1", NULL},
        {"fd00:::1", NULL},
        {"fe80::1%eth0", NULL},
        {"localhost", NULL},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct address address;
        char text[NETWORK_ADDRESS_SIZE];
        bool parsed = address_parse(&address, samples[i].text);
        if (parsed != (samples[i].canonical != NULL))
            fail_msg("'%s' is %s", samples[i].text, parsed ? "taken" : "refused");
        if (parsed)
            assert_string_equal(address_format(&address, text), samples[i].canonical);
    }
    struct address none;
    assert_false(address_parse(&none, NULL));
    assert_int_equal(none.family, 0);
}

static void subnets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical;
    } samples[] = {
        {"10.1.2.3/16", "10.1.0.0/16"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"10.0.0.1/32", "10.0.0.1/32"},
        {"fd00:1::7/64", "fd00:1::/64"},
        {"::/0", "::/0"},
        {"::1/128", "::1/128"},
        {"10.0.0.0/33", NULL},
        {"10.0.0.0/-1", NULL},
        {"10.0.0.0", NULL},
        {"10.0.0.0/", NULL},
        {"fd00::/129", NULL},
        {"10.0.0.0/8x", NULL},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct subnet subnet;
        char text[NETWORK_ADDRESS_SIZE];
        bool parsed = subnet_parse(&subnet, samples[i].text);
        if (parsed != (samples[i].canonical != NULL))
            fail_msg("'%s' is %s", samples[i].text, parsed ? "taken" : "refused");
        if (parsed)
            assert_string_equal(subnet_format(&subnet, text), samples[i].canonical);
    }
}

static void containing_and_overlapping(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool overlap;
    } samples[] = {
        {"10.0.0.0/8", "10.1.0.0/16", true},    {"10.1.0.0/16", "10.0.0.0/8", true},
        {"10.0.0.0/16", "10.1.0.0/16", false},  {"10.0.0.0/24", "10.0.0.0/24", true},
        {"0.0.0.0/0", "1.2.3.0/24", true},      {"0.0.0.0/0", "fd00::/64", false},
        {"fd00::/48", "fd00:0:0:7::/64", true}, {"fd00::/64", "fd00:0:0:1::/64", false},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct subnet a, b;
        assert_true(subnet_parse(&a, samples[i].a) && subnet_parse(&b, samples[i].b));
        if (subnet_overlaps(&a, &b) != samples[i].overlap ||
            subnet_overlaps(&b, &a) != samples[i].overlap)
            fail_msg("%s and %s", samples[i].a, samples[i].b);
    }
    struct subnet subnet;
    struct address address;
    char text[NETWORK_ADDRESS_SIZE];
    subnet_parse(&subnet, "10.0.0.128/25");
    address = subnet_last(&subnet);
    assert_string_equal(address_format(&address, text), "10.0.0.255");
    address = subnet_address(&subnet, 3);
    assert_string_equal(address_format(&address, text), "10.0.0.131");
    assert_true(subnet_contains(&subnet, &address));
    assert_true(subnet_size(&subnet) == 128);
    address_parse(&address, "10.0.0.127");
    assert_false(subnet_contains(&subnet, &address));
    subnet_parse(&subnet, "fd00::/64");
    address = subnet_last(&subnet);
    assert_string_equal(address_format(&address, text), "fd00::ffff:ffff:ffff:ffff");
}

static void bytes(void **state)
{
    (void)state;
    struct address address;
    uint8_t bytes4[16], bytes6[16];
    address_parse(&address, "1.2.3.4");
    assert_int_equal(address_bytes(&address, bytes4), 4);
    assert_memory_equal(bytes4, "\1\2\3\4", 4);
    address_parse(&address, "::1:2");
    assert_int_equal(address_bytes(&address, bytes6), 16);
    struct address again = address_from_bytes(AF_INET6, bytes6);
    assert_true(address_equal(&address, &again));
}

static void macs(void **state)
{
    (void)state;
    uint8_t mac[LINK_MAC_SIZE];
    char text[18];
    assert_true(link_parse_mac("02:42:AC:11:00:0f", mac));
    link_format_mac(mac, text);
    assert_string_equal(text, "02:42:ac:11:00:0f");
    /* of many, of none, and what only looks like one */
    static const char *const bad[] = {
        "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff",  "00:00:00:00:00:00",
        "02:42:ac:11:00",    "02-42-ac-11-00-02",  "2:42:ac:11:0:2:33",
        "02:42:ac:11:00:0g", "02:42:ac:11:00:02:", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (link_parse_mac(bad[i], mac))
            fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses), cmocka_unit_test(subnets),
                                       cmocka_unit_test(containing_and_overlapping),
                                       cmocka_unit_test(bytes), cmocka_unit_test(macs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
