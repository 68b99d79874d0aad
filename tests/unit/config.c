/* oci/config: each rule of the parser, as a variation of a valid configuration and the exact
 * error it must give (or NULL where it must be accepted). Values: config_values.c. */
#include "config_fixture.h"

static void documents_that_are_no_configuration_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "not valid JSON: line 1, column 0: '[' or '{' expected near end of file"},
        {"[]", "the document: expected an object, found an array"},
        {"{", "not valid JSON: line 1, column 1: string or '}' expected near end of file"},
        {"{} x", "not valid JSON: line 1, column 4: end of file expected near 'x'"},
        {"{'a': 1, 'a': 2}",
         "not valid JSON: line 1, column 12: duplicate object key near '\"a\"'"},
        {"{'a': '\n'}", "not valid JSON: line 1, column 7: unexpected newline near '\"'"},
        {"{'a': '\xff'}", "not valid JSON: line 1, column 7: unable to decode byte 0xff near '\"'"},
        {"{}", "ociVersion: required, but missing"},
        {"{'ociVersion': '1.2.0'}", "root: required, but missing"},
        {"{'ociVersion': null}", "ociVersion: required, but missing"},
        {"{'ociVersion': '1.2.0', 'root': {'path': 'a\\u0000b'}}",
         "root.path: the string holds a NUL character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = fixture_quote(cases[i].text);
        fixture_expect_error(config_parse, text, cases[i].error);
        free(text);
    }
}

static void versions_are_semantic_and_one(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'ociVersion': '1.0.0'}", NULL},
        {"{'ociVersion': '1.0.0-rc5'}", NULL},
        {"{'ociVersion': '1.0.2-dev'}", NULL},
        {"{'ociVersion': '1.3.0'}", NULL},
        {"{'ociVersion': '1.2.1-rc.1+build.007'}", NULL},
        {"{'ociVersion': 1}", "ociVersion: expected a string, found an integer"},
        {"{'ociVersion': ''}", "ociVersion: '' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': '1.2'}", "ociVersion: '1.2' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': '1.02.0'}", "ociVersion: '1.02.0' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': '1.2.0-'}", "ociVersion: '1.2.0-' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': '1.2.0-01'}", "ociVersion: '1.2.0-01' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': '1.2.0+a..b'}",
         "ociVersion: '1.2.0+a..b' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': '1.2.0x'}", "ociVersion: '1.2.0x' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': 'one\\nline'}",
         "ociVersion: 'one\\x0aline' is not a version (SemVer 2.0.0)"},
        {"{'ociVersion': '0.9.0'}", "ociVersion: version '0.9.0' is not supported, only 1.x"},
        {"{'ociVersion': '2.0.0'}", "ociVersion: version '2.0.0' is not supported, only 1.x"},
        {"{'ociVersion': '10.0.0'}", "ociVersion: version '10.0.0' is not supported, only 1.x"},
    };
    FIXTURE_CHECK_RULES(rules);
}

static void root_mounts_hooks_and_annotations(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'root': null}", "root: required, but missing"},
        {"{'root': 'rootfs'}", "root: expected an object, found a string"},
        {"{'root': {'path': null}}", "root.path: required, but missing"},
        {"{'root': {'path': ''}}", "root.path: is empty"},
        {"{'root': {'readonly': 1}}", "root.readonly: expected a boolean, found an integer"},
        {"{'mounts': {}}", "mounts: expected an array, found an object"},
        {"{'mounts': ['/proc']}", "mounts[0]: expected an object, found a string"},
        {"{'mounts': [null]}", "mounts[0]: expected an object, found null"},
        {"{'mounts': [{'type': 'proc'}]}", "mounts[0].destination: required, but missing"},
        {"{'mounts': [{'destination': ''}]}", "mounts[0].destination: is empty"},
        {"{'mounts': [{'destination': '/a'}, {'destination': '/b', 'options': ['ro', 5]}]}",
         "mounts[1].options[1]: expected a string, found an integer"},
        {"{'mounts': [{'destination': '/a', 'type': true}]}",
         "mounts[0].type: expected a string, found a boolean"},
        {"{'mounts': [{'destination': '/a', 'source': []}]}",
         "mounts[0].source: expected a string, found an array"},
        {"{'mounts': [{'destination': '/a', 'options': ['bind'], 'uidMappings':"
         " [{'containerID': 0, 'hostID': 0, 'size': 1}]}]}",
         "mounts[0].uidMappings: given without gidMappings"},
        {"{'mounts': [{'destination': '/a', 'options': ['bind'], 'gidMappings':"
         " [{'containerID': 0, 'hostID': 0, 'size': 1}]}]}",
         "mounts[0].gidMappings: given without uidMappings"},
        {"{'mounts': [{'destination': '/a', 'type': 'tmpfs', 'options': ['idmap']}]}",
         "mounts[0]: only bind mounts can map ids"},
        {"{'mounts': [{'destination': '/a', 'type': 'bind', 'options': ['ridmap']}]}", NULL},
        {"{'mounts': [{'destination': '/a', 'options': ['rbind', 'idmap']}],"
         " 'linux': {'namespaces': [], 'uidMappings': null, 'gidMappings': null}}",
         "mounts[0].options: idmap needs uidMappings and gidMappings, or a user namespace"},
        {"{'hooks': []}", "hooks: expected an object, found an array"},
        {"{'hooks': {'prestart': {}}}", "hooks.prestart: expected an array, found an object"},
        {"{'hooks': {'poststop': [{}]}}", "hooks.poststop[0].path: required, but missing"},
        {"{'hooks': {'createRuntime': [{'path': ''}]}}",
         "hooks.createRuntime[0].path: required, but missing"},
        {"{'hooks': {'createContainer': [{'path': 'bin/hook'}]}}",
         "hooks.createContainer[0].path: 'bin/hook' is not an absolute path"},
        {"{'hooks': {'startContainer': [{'path': '/h', 'timeout': 0}]}}",
         "hooks.startContainer[0].timeout: 0 is out of range (1 to 2147483647)"},
        {"{'hooks': {'poststart': [{'path': '/h', 'timeout': 1.5}]}}",
         "hooks.poststart[0].timeout: expected an integer, found a real number"},
        {"{'hooks': {'prestart': [{'path': '/h'}, {'path': '/h', 'env': ['A=1', 'B']}]}}",
         "hooks.prestart[1].env[1]: 'B' is not NAME=value"},
        {"{'hooks': {'prestart': [{'path': '/h', 'args': 'h'}]}}",
         "hooks.prestart[0].args: expected an array, found a string"},
        {"{'annotations': {'org.example/key': 1}}",
         "annotations['org.example/key']: expected a string, found an integer"},
        {"{'annotations': {'': 'x'}}", "annotations: a key is empty"},
        {"{'annotations': {'key': ''}}", NULL},
        {"{'unknown': {'x': [1.5, null, 'a']}, 'windows': 5}", NULL},
    };
    FIXTURE_CHECK_RULES(rules);
}

static void processes(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'process': null}", NULL},
        {"{'process': []}", "process: expected an object, found an array"},
        {"{'process': {'args': null}}", "process.args: required, but missing"},
        {"{'process': {'args': []}}", "process.args: at least one is required"},
        {"{'process': {'args': ['']}}", "process.args[0]: the program's name is empty"},
        {"{'process': {'args': ['sh', null]}}", "process.args[1]: expected a string, found null"},
        {"{'process': {'cwd': null}}", "process.cwd: required, but missing"},
        {"{'process': {'cwd': ''}}", "process.cwd: required, but missing"},
        {"{'process': {'cwd': 'tmp'}}", "process.cwd: 'tmp' is not an absolute path"},
        {"{'process': {'env': ['A=', 'B=1=2']}}", NULL},
        {"{'process': {'env': ['A']}}", "process.env[0]: 'A' is not NAME=value"},
        {"{'process': {'env': ['A=1', '=x']}}", "process.env[1]: '=x' is not NAME=value"},
        {"{'process': {'terminal': 'yes'}}",
         "process.terminal: expected a boolean, found a string"},
        {"{'process': {'terminal': true, 'consoleSize': {'width': 80}}}",
         "process.consoleSize.height: required, but missing"},
        {"{'process': {'terminal': true, 'consoleSize': {'height': 25}}}",
         "process.consoleSize.width: required, but missing"},
        {"{'process': {'terminal': true, 'consoleSize': {'height': 65536, 'width': 80}}}",
         "process.consoleSize.height: 65536 is out of range (0 to 65535)"},
        {"{'process': {'consoleSize': 'ignored without a terminal'}}", NULL},
        {"{'process': {'user': 'root'}}", "process.user: expected an object, found a string"},
        {"{'process': {'user': {'uid': -1}}}",
         "process.user.uid: -1 is out of range (0 to 4294967295)"},
        {"{'process': {'user': {'gid': 4294967296}}}",
         "process.user.gid: 4294967296 is out of range (0 to 4294967295)"},
        {"{'process': {'user': {'umask': 512}}}",
         "process.user.umask: 512 is out of range (0 to 511)"},
        {"{'process': {'user': {'additionalGids': [1, '2']}}}",
         "process.user.additionalGids[1]: expected an integer, found a string"},
        {"{'process': {'user': {'additionalGids': [-5]}}}",
         "process.user.additionalGids[0]: -5 is out of range (0 to 4294967295)"},
        {"{'process': {'noNewPrivileges': 0}}",
         "process.noNewPrivileges: expected a boolean, found an integer"},
        {"{'process': {'apparmorProfile': 1}}",
         "process.apparmorProfile: expected a string, found an integer"},
        {"{'process': {'selinuxLabel': 1}}",
         "process.selinuxLabel: expected a string, found an integer"},
        {"{'process': {'oomScoreAdj': -1001}}",
         "process.oomScoreAdj: -1001 is out of range (-1000 to 1000)"},
        {"{'process': {'oomScoreAdj': 1001}}",
         "process.oomScoreAdj: 1001 is out of range (-1000 to 1000)"},
        {"{'process': {'capabilities': {'bounding': 'CAP_KILL'}}}",
         "process.capabilities.bounding: expected an array, found a string"},
        {"{'process': {'capabilities': {'permitted': ['CAP_KILL'], 'effective':"
         " ['CAP_KILL', 'CAP_CHOWN']}}}",
         "process.capabilities.effective: CAP_CHOWN is not in the permitted set"},
        {"{'process': {'capabilities': {'ambient': ['CAP_KILL'], 'permitted': ['CAP_NEW']}}}",
         NULL},
        {"{'process': {'ioPriority': {'priority': 1}}}",
         "process.ioPriority.class: required, but missing"},
        {"{'process': {'ioPriority': {'class': 'IOPRIO_CLASS_BE'}}}",
         "process.ioPriority.priority: required, but missing"},
        {"{'process': {'ioPriority': {'class': 'BE', 'priority': 1}}}",
         "process.ioPriority.class: unknown value 'BE'; expected one of IOPRIO_CLASS_RT, "
         "IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE"},
        {"{'process': {'ioPriority': {'class': 'IOPRIO_CLASS_RT', 'priority': 8}}}",
         "process.ioPriority.priority: 8 is out of range (0 to 7)"},
    };
    FIXTURE_CHECK_RULES(rules);
}

static void rlimits(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'process': {'rlimits': [{'soft': 1, 'hard': 1}]}}",
         "process.rlimits[0].type: required, but missing"},
        {"{'process': {'rlimits': [{'type': 'RLIMIT_CPU', 'hard': 1}]}}",
         "process.rlimits[0].soft: required, but missing"},
        {"{'process': {'rlimits': [{'type': 'RLIMIT_CPU', 'soft': 1}]}}",
         "process.rlimits[0].hard: required, but missing"},
        {"{'process': {'rlimits': [{'type': 'RLIMIT_FOO', 'soft': 1, 'hard': 1}]}}",
         "process.rlimits[0].type: unknown value 'RLIMIT_FOO'"},
        {"{'process': {'rlimits': [{'type': 'RLIMIT_CPU', 'soft': 1, 'hard': 1},"
         " {'type': 'RLIMIT_AS', 'soft': 1, 'hard': 1},"
         " {'type': 'RLIMIT_CPU', 'soft': 1, 'hard': 1}]}}",
         "process.rlimits[2]: RLIMIT_CPU is given twice"},
        {"{'process': {'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': 2, 'hard': 1}]}}",
         "process.rlimits[0].soft: 2 is above the hard limit, 1"},
        {"{'process': {'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': -1, 'hard': 1}]}}",
         "process.rlimits[0].soft: -1 is out of range (0 to 18446744073709551615)"},
    };
    FIXTURE_CHECK_RULES(rules);
}

static void schedulers(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'process': {'scheduler': {}}}", "process.scheduler.policy: required, but missing"},
        {"{'process': {'scheduler': {'policy': 'SCHED_FAST'}}}",
         "process.scheduler.policy: unknown value 'SCHED_FAST'; expected one of SCHED_OTHER, "
         "SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE"},
        {"{'process': {'scheduler': {'policy': 'SCHED_ISO'}}}",
         "process.scheduler.policy: no kernel implements SCHED_ISO"},
        {"{'process': {'scheduler': {'policy': 'SCHED_BATCH', 'nice': 20}}}",
         "process.scheduler.nice: 20 is out of range (-20 to 19)"},
        {"{'process': {'scheduler': {'policy': 'SCHED_BATCH', 'priority': 1}}}",
         "process.scheduler.priority: only for SCHED_FIFO and SCHED_RR, not SCHED_BATCH"},
        {"{'process': {'scheduler': {'policy': 'SCHED_FIFO'}}}",
         "process.scheduler.priority: SCHED_FIFO needs one from 1 to 99"},
        {"{'process': {'scheduler': {'policy': 'SCHED_RR', 'priority': 100}}}",
         "process.scheduler.priority: 100 is out of range (0 to 99)"},
        {"{'process': {'scheduler': {'policy': 'SCHED_OTHER', 'period': 5}}}",
         "process.scheduler: runtime, deadline and period are only for SCHED_DEADLINE, not "
         "SCHED_OTHER"},
        {"{'process': {'scheduler': {'policy': 'SCHED_DEADLINE', 'runtime': 5}}}",
         "process.scheduler: SCHED_DEADLINE needs 0 < runtime <= deadline <= period"},
        {"{'process': {'scheduler': {'policy': 'SCHED_DEADLINE', 'runtime': 5, 'deadline': 7,"
         " 'period': 6}}}",
         "process.scheduler: SCHED_DEADLINE needs 0 < runtime <= deadline <= period"},
        {"{'process': {'scheduler': {'policy': 'SCHED_DEADLINE', 'runtime': 5, 'deadline': 7}}}",
         NULL},
        {"{'process': {'scheduler': {'policy': 'SCHED_OTHER', 'flags': ['SCHED_FLAG_X']}}}",
         "process.scheduler.flags[0]: unknown value 'SCHED_FLAG_X'; expected one of "
         "SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN, "
         "SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_UTIL_CLAMP_MIN, "
         "SCHED_FLAG_UTIL_CLAMP_MAX"},
    };
    FIXTURE_CHECK_RULES(rules);
}

static void namespaces_and_mappings(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'linux': {'namespaces': {}}}", "linux.namespaces: expected an array, found an object"},
        {"{'linux': {'namespaces': [{}]}}", "linux.namespaces[0].type: required, but missing"},
        {"{'linux': {'namespaces': ['pid']}}",
         "linux.namespaces[0]: expected an object, found a string"},
        {"{'linux': {'namespaces': [{'type': 'net'}]}}",
         "linux.namespaces[0].type: unknown value 'net'; expected one of user, pid, network, "
         "mount, ipc, uts, cgroup, time"},
        {"{'linux': {'namespaces': [{'type': 'pid'}, {'type': 'pid', 'path': '/x'}]}}",
         "linux.namespaces[1]: the pid namespace is listed twice"},
        {"{'linux': {'namespaces': [{'type': 'pid', 'path': 'proc/1/ns/pid'}]}}",
         "linux.namespaces[0].path: 'proc/1/ns/pid' is not an absolute path"},
        {"{'linux': {'namespaces': [{'type': 'mount'}]}}",
         "linux.uidMappings: given without a user namespace"},
        {"{'linux': {'namespaces': [{'type': 'mount'}], 'uidMappings': null}}",
         "linux.gidMappings: given without a user namespace"},
        {"{'linux': {'uidMappings': null}}", "linux.uidMappings: a new user namespace needs them"},
        {"{'linux': {'gidMappings': []}}", "linux.gidMappings: a new user namespace needs them"},
        {"{'linux': {'namespaces': [{'type': 'user', 'path': '/proc/1/ns/user'}]}}", NULL},
        {"{'linux': {'namespaces': [{'type': 'user', 'path': '/proc/1/ns/user'}],"
         " 'uidMappings': null, 'gidMappings': null}}",
         NULL},
        {"{'linux': {'uidMappings': [{'containerID': 1, 'hostID': 0, 'size': 1}]}}",
         "linux.uidMappings: the container's user 0 is not mapped"},
        {"{'linux': {'gidMappings': [{'containerID': 1, 'hostID': 0, 'size': 1}]}}",
         "linux.gidMappings: the container's group 0 is not mapped"},
        {"{'linux': {'uidMappings': [{'hostID': 0, 'size': 1}]}}",
         "linux.uidMappings[0].containerID: required, but missing"},
        {"{'linux': {'uidMappings': [{'containerID': 0, 'size': 1}]}}",
         "linux.uidMappings[0].hostID: required, but missing"},
        {"{'linux': {'uidMappings': [{'containerID': 0, 'hostID': 0}]}}",
         "linux.uidMappings[0].size: required, but missing"},
        {"{'linux': {'uidMappings': [{'containerID': 0, 'hostID': 0, 'size': 0}]}}",
         "linux.uidMappings[0].size: must be at least 1"},
        {"{'linux': {'uidMappings': [{'containerID': 0, 'hostID': 4294967290, 'size': 6}]}}",
         "linux.uidMappings[0].size: 6 ids from there on go beyond the last id"},
        {"{'linux': {'uidMappings': [{'containerID': 0, 'hostID': 4294967290, 'size': 5}]}}", NULL},
        {"{'linux': {'uidMappings': [{'containerID': 0, 'hostID': 0, 'size': 10},"
         " {'containerID': 9, 'hostID': 100, 'size': 1}]}}",
         "linux.uidMappings[1]: overlaps with element 0"},
        {"{'linux': {'gidMappings': [{'containerID': 0, 'hostID': 50, 'size': 10},"
         " {'containerID': 10, 'hostID': 45, 'size': 6}]}}",
         "linux.gidMappings[1]: overlaps with element 0"},
        {"{'linux': {'gidMappings': [{'containerID': 0, 'hostID': 50, 'size': 10},"
         " {'containerID': 10, 'hostID': 45, 'size': 5}]}}",
         NULL},
        {"{'linux': {'timeOffsets': {'monotonic': {'nanosecs': 1000000000}}}}",
         "linux.timeOffsets.monotonic.nanosecs: 1000000000 is out of range (0 to 999999999)"},
        {"{'linux': {'timeOffsets': {'realtime': {'secs': 1}}}}",
         "linux.timeOffsets.realtime: unknown clock; expected monotonic or boottime"},
        {"{'linux': {'timeOffsets': {'boottime': 5}}}",
         "linux.timeOffsets.boottime: expected an object, found an integer"},
        {"{'linux': {'namespaces': [{'type': 'user'}], 'timeOffsets': {'boottime': {}}}}",
         "linux.timeOffsets: given without a time namespace"},
        {"{'linux': {'namespaces': [{'type': 'user'}, {'type': 'time', 'path': '/t'}],"
         " 'timeOffsets': {'boottime': {'secs': 1}}}}",
         "linux.timeOffsets: given with the path of a time namespace to join"},
        {"{'hostname': 'h', 'linux': {'namespaces': [{'type': 'user'}]}}",
         "hostname: given without a uts namespace"},
        {"{'domainname': 'd', 'linux': {'namespaces': [{'type': 'user'}]}}",
         "domainname: given without a uts namespace"},
        {"{'hostname': '', 'domainname': '', 'linux': {'namespaces': [{'type': 'user'}]}}", NULL},
        {"{'hostname': 'h', 'linux': null}", "hostname: given without a uts namespace"},
        {"{'linux': {'namespaces': [{'type': 'user'}], 'maskedPaths': ['/a']}}",
         "linux.maskedPaths: given without a mount namespace"},
        {"{'linux': {'namespaces': [{'type': 'user'}], 'readonlyPaths': ['/a']}}",
         "linux.readonlyPaths: given without a mount namespace"},
    };
    FIXTURE_CHECK_RULES(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_that_are_no_configuration_are_refused),
        cmocka_unit_test(versions_are_semantic_and_one),
        cmocka_unit_test(root_mounts_hooks_and_annotations),
        cmocka_unit_test(processes),
        cmocka_unit_test(rlimits),
        cmocka_unit_test(schedulers),
        cmocka_unit_test(namespaces_and_mappings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
