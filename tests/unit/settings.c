/* engine/settings: what is refused and why, what an image adds, and which mounts there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/settings.h"

/* JSON with single quotes, for reading. */
static json_t *parse(const char *text)
{
    char *copy = strdup(text);
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    json_error_t why;
    json_t *value = json_loads(copy, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!value)
        fail_msg("%s: %s", copy, why.text);
    free(copy);
    return value;
}

static char said[512];

static void hear(const struct warnings *warnings, const char *text)
{
    (void)warnings;
    snprintf(said, sizeof said, "%s", text);
}

/* The members of a container of image "i"; begins with ", " or is empty. */
static int check(const char *members, struct error *err)
{
    const struct warnings warnings = {hear, NULL};
    char text[1024];
    said[0] = '\0';
    snprintf(text, sizeof text, "{'Image': 'i'%s}", members);
    json_t *settings = parse(text);
    int status = settings_check(settings, &warnings, err);
    json_decref(settings);
    return status;
}

static void what_is_right_is_accepted(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        ", 'HostConfig': null, 'Cmd': null",
        ", 'HostConfig': {'Memory': 6291456, 'MemorySwap': 6291456, 'MemorySwappiness': -1}",
        ", 'HostConfig': {'NanoCpus': 500000000, 'CpusetCpus': '0-0,0', 'ConsoleSize': [24, 80]}",
        ", 'HostConfig': {'CpuPeriod': 100000, 'CpuQuota': 50000, 'BlkioWeight': 10}",
        ", 'HostConfig': {'NetworkMode': 'container:x', 'IpcMode': 'container:x'}",
        ", 'HostConfig': {'RestartPolicy': {'Name': 'on-failure', 'MaximumRetryCount': 3}}",
        ", 'HostConfig': {'AutoRemove': true, 'RestartPolicy': {'Name': 'no'}}",
        ", 'HostConfig': {'PortBindings': {'80/tcp': [{'HostIp': '::1', 'HostPort': '1-2'}]}}",
        ", 'HostConfig': {'PortBindings': {'80/tcp': null}, 'CpuCount': 0, 'IOMaximumIOps': 0}",
        ", 'HostConfig': {'Sysctls': {'net.ipv4.ip_forward': '1', 'fs.mqueue.msg_max': '5'}}",
        ", 'HostConfig': {'SecurityOpt': ['seccomp={\\\"defaultAction\\\": \\\"x\\\"}', "
        "'label=disable']}",
        ", 'HostConfig': {'LogConfig': {'Type': 'json-file', 'Config': {'max-size': '1m'}}}",
        ", 'NetworkingConfig': {'EndpointsConfig': {'n': {'Aliases': ['a'], 'EndpointID': ''}, "
        "'m': null}}",
        ", 'Healthcheck': {'Test': ['CMD', 'x'], 'Interval': 1000000}, 'StopSignal': 'RTMIN+3'",
        ", 'ExposedPorts': {'80/tcp': {}, '81/udp': {}}, 'Volumes': {'/x': {}}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        if (check(cases[i], &err) < 0)
            fail_msg("%s: %s", cases[i], err.text);
        assert_string_equal(said, "");
    }
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {", 'Hostnam': 'x'", "Hostnam: there is no such setting"},
        {", 'HostConfig': {'Memroy': 5}", "HostConfig.Memroy: there is no such setting"},
        {", 'HostConfig': []", "HostConfig: expected an object"},
        {", 'Cmd': 'x'", "Cmd: expected a list"},
        {", 'Cmd': ['x', 5]", "Cmd[1]: expected a text"},
        {", 'Tty': 1", "Tty: expected true or false"},
        {", 'User': 'a\\u0000b'", "User: a NUL character has no place here"},
        {", 'HostConfig': {'Memory': '5m'}", "HostConfig.Memory: expected a whole number"},
        {", 'HostConfig': {'Memory': -1}", "HostConfig.Memory: -1 is less than 0"},
        {", 'HostConfig': {'OomScoreAdj': 1001}",
         "HostConfig.OomScoreAdj: 1001 is not from -1000 to 1000"},
        {", 'HostConfig': {'CpuCount': 2}", "HostConfig.CpuCount: hull doesn't have this"},
        {", 'HostConfig': {'Mounts': [{'Type': 'bind', 'Spurce': '/'}]}",
         "HostConfig.Mounts[0].Spurce: there is no such setting"},
        {", 'HostConfig': {'PortBindings': {'80/tcp': [{'HostPort': 5}]}}",
         "HostConfig.PortBindings.80/tcp[0].HostPort: expected a text"},
        {", 'HostConfig': {'Memory': 6291455}",
         "HostConfig.Memory: 6291455 bytes are too few (at least 6 MiB)"},
        {", 'HostConfig': {'Memory': 9291455, 'MemorySwap': 9291454}",
         "HostConfig.MemorySwap: memory and swap together can't be less than Memory alone"},
        {", 'HostConfig': {'MemorySwap': 9291454}",
         "HostConfig.MemorySwap: without a limit of Memory it has no meaning (give --memory too)"},
        {", 'HostConfig': {'Memory': 9291455, 'MemoryReservation': 9291456}",
         "HostConfig.MemoryReservation: it is above the limit, Memory"},
        {", 'HostConfig': {'NanoCpus': 100000000, 'CpuQuota': 1000}",
         "HostConfig.NanoCpus: it says the same as CpuPeriod and CpuQuota (give --cpus or them)"},
        {", 'HostConfig': {'CpuPeriod': 999}",
         "HostConfig.CpuPeriod: from 1000 (1 ms) to 1000000 (1 s)"},
        {", 'HostConfig': {'CpusetCpus': '1-'}",
         "HostConfig.CpusetCpus: '1-' is no list such as 0-3,5"},
        {", 'HostConfig': {'BlkioWeight': 9}",
         "HostConfig.BlkioWeight: a weight is 10 to 1000, or 0 for none"},
        {", 'HostConfig': {'Ulimits': [{'Name': 'x'}]}",
         "HostConfig.Ulimits[0].Name: there is no limit 'x'"},
        {", 'HostConfig': {'IpcMode': 'x'}",
         "HostConfig.IpcMode: 'x' is none of: none host private shareable container:NAME"},
        {", 'HostConfig': {'PidMode': 'container:'}",
         "HostConfig.PidMode: 'container:' is none of: host container:NAME"},
        {", 'HostConfig': {'Isolation': 'hyperv'}",
         "HostConfig.Isolation: 'hyperv' is none of: default container vm"},
        {", 'HostConfig': {'Sysctls': {'vm.swappiness': '1'}}",
         "HostConfig.Sysctls: 'vm.swappiness' isn't a container's own (only net.*, fs.mqueue.*, "
         "kernel.msg*, kernel.shm*, kernel.sem are)"},
        {", 'HostConfig': {'NetworkMode': 'host', 'Sysctls': {'net.a': '1'}}",
         "HostConfig.Sysctls: 'net.a' would change the host's, whose namespace is used"},
        {", 'HostConfig': {'SecurityOpt': ['seccomp=/a/file']}",
         "HostConfig.SecurityOpt[0]: 'seccomp=/a/file' is no known option"},
        {", 'HostConfig': {'CapAdd': ['SYS_ADMN']}",
         "HostConfig.CapAdd[0]: there is no capability 'SYS_ADMN'"},
        {", 'HostConfig': {'AutoRemove': true, 'RestartPolicy': {'Name': 'always'}}",
         "HostConfig.AutoRemove: what is removed when it ends can't be restarted (leave out --rm "
         "or "
         "--restart)"},
        {", 'HostConfig': {'RestartPolicy': {'Name': 'always', 'MaximumRetryCount': 1}}",
         "HostConfig.RestartPolicy.MaximumRetryCount: only on-failure counts restarts"},
        {", 'HostConfig': {'NetworkMode': 'container:x', 'Dns': ['1.1.1.1']}",
         "HostConfig.Dns: another container's network has its own (leave it out with --network "
         "container:)"},
        {", 'Hostname': 'x', 'HostConfig': {'UTSMode': 'host'}",
         "HostConfig.UTSMode: with the host's, Hostname and Domainname can't be set"},
        {", 'HostConfig': {'PortBindings': {'80/xcp': []}}",
         "HostConfig.PortBindings: '80/xcp' is no port such as 80/tcp"},
        {", 'HostConfig': {'PortBindings': {'80/tcp': [{'HostPort': '90-80'}]}}",
         "HostConfig.PortBindings.80/tcp: '90-80' is no port of the host"},
        {", 'HostConfig': {'LogConfig': {'Type': 'syslog'}}",
         "HostConfig.LogConfig.Type: 'syslog' is none of: json-file none"},
        {", 'HostConfig': {'LogConfig': {'Config': {'max-file': '0'}}}",
         "HostConfig.LogConfig.Config.max-file: '0' is no number from 1 on"},
        {", 'Healthcheck': {'Interval': 5}",
         "Healthcheck.Interval: at least 1 ms, or 0 for the default"},
        {", 'Healthcheck': {'Test': ['x']}",
         "Healthcheck.Test[0]: expected NONE, CMD or CMD-SHELL"},
        {", 'StopSignal': 'NONE'", "StopSignal: there is no signal 'NONE'"},
        {", 'WorkingDir': 'x'", "WorkingDir: 'x' is no absolute path"},
        {", 'Env': ['=x']", "Env[0]: the variable has no name"},
        {", 'Image': ''", "Image: the image's name is missing"},
        {", 'HostConfig': {'Binds': ['/a:b']}", "HostConfig.Binds[0]: 'b' is no absolute path"},
        {", 'HostConfig': {'Binds': ['/a:/b', '/c:/x/../b/']}",
         "HostConfig.Binds[1]: two mounts have the same target, '/b'"},
        {", 'HostConfig': {'Binds': ['/a:/b:what']}",
         "HostConfig.Binds[0]: there is no option 'what'"},
        {", 'HostConfig': {'Binds': ['/a:/..']}",
         "HostConfig.Binds[0]: nothing can be mounted at the container's /, '/'"},
        {", 'HostConfig': {'Mounts': [{'Type': 'tmpfs', 'Source': 'x', 'Target': '/b'}]}",
         "HostConfig.Mounts[0].Source: a tmpfs has none"},
        {", 'HostConfig': {'Mounts': [{'Type': 'volume', 'Target': '/b', 'VolumeOptions': "
         "{'Subpath': 'a/../../b'}}]}",
         "HostConfig.Mounts[0].VolumeOptions.Subpath: must stay within the volume"},
        {", 'HostConfig': {'Mounts': [{'Type': 'bind', 'Source': '/', 'Target': '/b', "
         "'TmpfsOptions': {'SizeBytes': 5}}]}",
         "HostConfig.Mounts[0].TmpfsOptions: doesn't go with type bind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        if (check(cases[i][0], &err) == 0)
            fail_msg("%s is accepted", cases[i][0]);
        assert_string_equal(err.text, cases[i][1]);
    }
}

static void ports_without_a_network_are_warned_of(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(
        check(", 'HostConfig': {'NetworkMode': 'host', 'PortBindings': {'80/tcp': [{}]}}", &err),
        0);
    assert_string_equal(said, "published ports have no effect with network host");
}

/* What merging gives: settings, image's config, and what must be in the result. */
static void images_fill_what_settings_leave_open(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"'Cmd': ['b']", "'Cmd': ['a'], 'Entrypoint': ['e']", "'Cmd': ['b'], 'Entrypoint': ['e']"},
        {"", "'Cmd': ['a'], 'Entrypoint': ['e']", "'Cmd': ['a'], 'Entrypoint': ['e']"},
        {"'Entrypoint': ['x']", "'Cmd': ['a'], 'Entrypoint': ['e']",
         "'Cmd': null, 'Entrypoint': ['x']"},
        {"'Entrypoint': [''], 'Cmd': ['b']", "'Cmd': ['a'], 'Entrypoint': ['e']",
         "'Cmd': ['b'], 'Entrypoint': []"},
        {"'Cmd': ['x'], 'Env': ['B=2', 'C', 'D=4', 'X']",
         "'Env': ['PATH=/bin', 'A=1', 'B=1', 'C=1']", "'Env': ['PATH=/bin', 'A=1', 'B=2', 'D=4']"},
        {"'Cmd': ['x']", "",
         "'Env': "
         "['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']"},
        {"'Cmd': ['x'], 'Labels': {'a': '1'}", "'Labels': {'a': '0', 'b': '2'}",
         "'Labels': {'a': '1', 'b': '2'}"},
        {"'Cmd': ['x'], 'ExposedPorts': {'1/tcp': {}}", "'ExposedPorts': {'2/tcp': {}}",
         "'ExposedPorts': {'1/tcp': {}, '2/tcp': {}}"},
        {"'Cmd': ['x'], 'User': 'me'", "'User': 'you', 'WorkingDir': '/w', 'StopSignal': 'INT'",
         "'User': 'me', 'WorkingDir': '/w', 'StopSignal': 'INT'"},
        {"'Cmd': ['x'], 'Healthcheck': {'Interval': 5}",
         "'Healthcheck': {'Test': ['CMD', 'y'], 'Interval': 7, 'Retries': 2}",
         "'Healthcheck': {'Test': ['CMD', 'y'], 'Interval': 5, 'Retries': 2}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "{'Image': 'i'%s%s}", *cases[i][0] ? ", " : "", cases[i][0]);
        json_t *settings = parse(text);
        snprintf(text, sizeof text, "{'config': {%s}}", cases[i][1]);
        json_t *image = parse(text);
        snprintf(text, sizeof text, "{%s}", cases[i][2]);
        json_t *expected = parse(text);
        struct error err = {0};
        json_t *merged = settings_merge(settings, image, &err);
        if (!merged)
            fail_msg("%s: %s", cases[i][0], err.text);
        const char *key;
        json_t *value;
        json_object_foreach(expected, key, value)
        {
            json_t *found = json_object_get(merged, key);
            if (json_is_null(value) ? found != NULL : !json_equal(found, value))
                fail_msg("case %zu: %s is %s", i, key, json_dumps(found, JSON_ENCODE_ANY));
        }
        json_decref(merged);
        json_decref(expected);
        json_decref(image);
        json_decref(settings);
    }
}

static void a_program_is_needed(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *settings = parse("{'Image': 'i'}");
    assert_null(settings_merge(settings, NULL, &err));
    assert_string_equal(err.text, "no command given, and image 'i' has none (name one after the "
                                  "image)");
    json_decref(settings);
}

static void mounts_of_all_kinds_are_one_list(void **state)
{
    (void)state;
    json_t *settings =
        parse("{'Volumes': {'/v': {}, '/b/': {}}, 'HostConfig': {'Binds': ['/a:/b:ro,z,rshared', "
              "'vol:/c:nocopy'], 'Mounts': [{'Type': 'tmpfs', 'Target': '/d'}], 'Tmpfs': {'/e': "
              "'size=1m,exec'}}}");
    json_t *expected = parse(
        "[{'Type': 'bind', 'Source': '/a', 'Target': '/b', 'BindOptions': {'CreateMountpoint': "
        "true, 'Propagation': 'rshared'}, 'ReadOnly': true, 'Options': ['z']},"
        "{'Type': 'volume', 'Source': 'vol', 'Target': '/c', 'VolumeOptions': {'NoCopy': true}},"
        "{'Type': 'tmpfs', 'Target': '/d'},"
        "{'Type': 'tmpfs', 'Target': '/e', 'Options': ['size=1m', 'exec']},"
        "{'Type': 'volume', 'Target': '/v'}]");
    struct error err = {0};
    json_t *mounts = settings_list_mounts(settings, &err);
    if (!json_equal(mounts, expected))
        fail_msg("%s", json_dumps(mounts, 0));
    json_decref(mounts);
    json_decref(expected);
    json_decref(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_is_accepted),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(ports_without_a_network_are_warned_of),
        cmocka_unit_test(images_fill_what_settings_leave_open),
        cmocka_unit_test(a_program_is_needed),
        cmocka_unit_test(mounts_of_all_kinds_are_one_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
