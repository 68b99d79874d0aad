/* Ports and states as docker ps shows them. */
#include "cli/ps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "base/timestamp.h"

static void ports(void **state)
{
    static const char *const cases[][2] = {
        {"{}", ""},
        {"{'80/tcp': null}", "80/tcp"},
        {"{'80/tcp': [], '443/tcp': null, '81/tcp': []}", "80-81/tcp, 443/tcp"},
        {"{'80/tcp': [{'HostIp': '0.0.0.0', 'HostPort': '8080'}, {'HostIp': '::', 'HostPort': "
         "'8080'}]}",
         "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"},
        {"{'80/tcp': [{'HostIp': '', 'HostPort': '80'}]}", "0.0.0.0:80->80/tcp"},
        {"{'7000/udp': [{'HostIp': '127.0.0.1', 'HostPort': '9000'}],"
         " '7002/udp': [{'HostIp': '127.0.0.1', 'HostPort': '9002'}],"
         " '7001/udp': [{'HostIp': '127.0.0.1', 'HostPort': '9001'}],"
         " '7003/udp': [{'HostIp': '127.0.0.1', 'HostPort': '9009'}],"
         " '7004/tcp': [{'HostIp': '127.0.0.1', 'HostPort': '9010'}]}",
         "127.0.0.1:9000-9002->7000-7002/udp, 127.0.0.1:9009->7003/udp, "
         "127.0.0.1:9010->7004/tcp"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        for (char *at = text; *at; at++)
            *at = *at == '\'' ? '"' : *at;
        json_t *document = json_loads(text, 0, NULL);
        assert_non_null(document);
        scope_free char *shown = ps_format_ports(document);
        assert_string_equal(shown, cases[i][1]);
        json_decref(document);
    }
}

static void states(void **state)
{
    static const struct {
        const char *status, *health;
        int exit_code;
        const char *shown;
    } cases[] = {
        {"created", NULL, 0, "Created"},
        {"running", NULL, 0, "Up 5 minutes"},
        {"running", "none", 0, "Up 5 minutes"},
        {"running", "starting", 0, "Up 5 minutes (health: starting)"},
        {"running", "unhealthy", 0, "Up 5 minutes (unhealthy)"},
        {"paused", "healthy", 0, "Up 5 minutes (Paused)"},
        {"restarting", NULL, 3, "Restarting (3) 10 seconds ago"},
        {"exited", NULL, 137, "Exited (137) 10 seconds ago"},
        {"dead", NULL, 1, "Dead"},
    };
    int64_t now = 1795264800 * TIMESTAMP_SECOND;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *document = json_pack(
            "{s:s, s:i, s:s, s:s}", "Status", cases[i].status, "ExitCode", cases[i].exit_code,
            "StartedAt", timestamp_format(now - 300 * TIMESTAMP_SECOND, false).text, "FinishedAt",
            timestamp_format(now - 10 * TIMESTAMP_SECOND, false).text);
        if (cases[i].health)
            json_object_set_new(document, "Health", json_pack("{s:s}", "Status", cases[i].health));
        scope_free char *shown = ps_format_status(document, now);
        assert_string_equal(shown, cases[i].shown);
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports),
        cmocka_unit_test(states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
