/* network/ports: -p and --expose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "network/network.h"

/* "tcp 80 <- 8080-8080@, …" */
static void show(const struct network_ports *ports, char *text, size_t size)
{
    *text = '\0';
    for (size_t i = 0; i < ports->count; i++) {
        const struct network_port *port = &ports->list[i];
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s %d <- %d-%d@%s", i ? ", " : "",
                 network_protocol_name(port->protocol), port->container_port, port->host_first,
                 port->host_last, port->host_address);
    }
}

static void assert_parsed(int (*parse)(struct network_ports *ports, const char *text,
                                       struct error *err),
                          const char *text, const char *expected)
{
    struct network_ports ports = {0};
    struct error err = {0};
    char shown[512];
    int result = parse(&ports, text, &err);
    show(&ports, shown, sizeof shown);
    if (!expected) {
        if (result == 0)
            fail_msg("'%s' is taken: %s", text, shown);
        if (!strstr(err.text, text))
            fail_msg("'%s': the error doesn't name it: %s", text, err.text);
    } else if (result < 0 || strcmp(shown, expected) != 0) {
        fail_msg("'%s': %s %s", text, shown, err.text);
    }
    network_ports_release(&ports);
}

static void published(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } samples[] = {
        {"80", "tcp 80 <- 0-0@"},
        {"8080:80", "tcp 80 <- 8080-8080@"},
        {"8080:80/udp", "udp 80 <- 8080-8080@"},
        {"9/sctp", "sctp 9 <- 0-0@"},
        {":80", "tcp 80 <- 0-0@"},
        {"0:80", "tcp 80 <- 0-0@"},
        {"127.0.0.1:8080:80", "tcp 80 <- 8080-8080@127.0.0.1"},
        {"127.0.0.1::80", "tcp 80 <- 0-0@127.0.0.1"},
        {"[::1]:8080:80", "tcp 80 <- 8080-8080@::1"},
        {"[FD00::1]::80", "tcp 80 <- 0-0@fd00::1"},
        {"0.0.0.0:8080:80", "tcp 80 <- 8080-8080@0.0.0.0"},
        {"8000-8010:80", "tcp 80 <- 8000-8010@"},
        {"8000-8001:80-81", "tcp 80 <- 8000-8000@, tcp 81 <- 8001-8001@"},
        {"80-81", "tcp 80 <- 0-0@, tcp 81 <- 0-0@"},
        {"1:65535", "tcp 65535 <- 1-1@"},
        {"8000-8002:80-81", NULL},
        {"0", NULL},
        {"65536", NULL},
        {"80:65536", NULL},
        {"99999:80", NULL},
        {"80/icmp", NULL},
        {"80/", NULL},
        {"", NULL},
        {":", NULL},
        {"81-80", NULL},
        {"-80", NULL},
        {"80-", NULL},
        {"a:80", NULL},
        {"host:8080:80", NULL},
        {"[::1]8080:80", NULL},
        {"[::1:8080:80", NULL},
        {"1.2.3:8080:80", NULL},
        {"+80", NULL},
        {" 80", NULL},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        assert_parsed(network_ports_parse, samples[i].text, samples[i].expected);
}

static void exposed(void **state)
{
    (void)state;
    assert_parsed(network_ports_parse_exposed, "80", "tcp 80 <- 0-0@");
    assert_parsed(network_ports_parse_exposed, "80-81/udp", "udp 80 <- 0-0@, udp 81 <- 0-0@");
    assert_parsed(network_ports_parse_exposed, "8080:80", NULL);
    assert_parsed(network_ports_parse_exposed, "0", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published), cmocka_unit_test(exposed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
