/* oci/config: the rules of the linux section, continued from config.c: devices, paths, sysctl,
 * control groups, seccomp. */
#include "config_fixture.h"

static void devices(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'linux': {'devices': [{'type': 'c', 'major': 1, 'minor': 3}]}}",
         "linux.devices[0].path: required, but missing"},
        {"{'linux': {'devices': [{'path': 'null', 'type': 'c', 'major': 1, 'minor': 3}]}}",
         "linux.devices[0].path: 'null' is not an absolute path"},
        {"{'linux': {'devices': [{'path': '/n', 'major': 1, 'minor': 3}]}}",
         "linux.devices[0].type: required, but missing"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'x', 'major': 1, 'minor': 3}]}}",
         "linux.devices[0].type: unknown value 'x'; expected one of c, b, u, p"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'u', 'minor': 3}]}}",
         "linux.devices[0].major: required, but missing"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'b', 'major': 3}]}}",
         "linux.devices[0].minor: required, but missing"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'p'}]}}", NULL},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'c', 'major': 4096, 'minor': 3}]}}",
         "linux.devices[0].major: 4096 is out of range (0 to 4095)"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'c', 'major': 1, 'minor': 1048576}]}}",
         "linux.devices[0].minor: 1048576 is out of range (0 to 1048575)"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'p', 'fileMode': 65536}]}}",
         "linux.devices[0].fileMode: 65536 is out of range (0 to 65535)"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'p', 'uid': 'root'}]}}",
         "linux.devices[0].uid: expected an integer, found a string"},
        {"{'linux': {'devices': [{'path': '/n', 'type': 'p', 'gid': -1}]}}",
         "linux.devices[0].gid: -1 is out of range (0 to 4294967295)"},
    };
    FIXTURE_CHECK_RULES(rules);
}

static void paths_labels_and_personality(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'linux': []}", "linux: expected an object, found an array"},
        {"{'linux': null}", NULL},
        {"{'linux': {'maskedPaths': ['/a', 'b']}}",
         "linux.maskedPaths[1]: 'b' is not an absolute path"},
        {"{'linux': {'readonlyPaths': ['']}}",
         "linux.readonlyPaths[0]: '' is not an absolute path"},
        {"{'linux': {'cgroupsPath': '/a/../b'}}", "linux.cgroupsPath: '/a/../b' has a '..' in it"},
        {"{'linux': {'cgroupsPath': '..'}}", "linux.cgroupsPath: '..' has a '..' in it"},
        {"{'linux': {'cgroupsPath': 'a..b/..c/d..'}}", NULL},
        {"{'linux': {'cgroupsPath': 'system.slice:hull:id'}}", NULL},
        {"{'linux': {'cgroupsPath': 5}}", "linux.cgroupsPath: expected a string, found an integer"},
        {"{'linux': {'mountLabel': 5}}", "linux.mountLabel: expected a string, found an integer"},
        {"{'linux': {'rootfsPropagation': 'rshared'}}", NULL},
        {"{'linux': {'rootfsPropagation': ''}}", NULL},
        {"{'linux': {'rootfsPropagation': 'some'}}",
         "linux.rootfsPropagation: unknown value 'some'; expected one of shared, slave, private, "
         "unbindable, rshared, rslave, rprivate, runbindable"},
        {"{'linux': {'personality': {}}}", "linux.personality.domain: required, but missing"},
        {"{'linux': {'personality': {'domain': 'BSD'}}}",
         "linux.personality.domain: unknown value 'BSD'; expected one of LINUX, LINUX32"},
        {"{'linux': {'personality': {'domain': 'LINUX', 'flags': ['X']}}}",
         "linux.personality.flags[0]: the specification has no flags"},
        {"{'linux': {'intelRdt': {'closID': 'a/b'}}}",
         "linux.intelRdt.closID: 'a/b' is not a directory's name"},
        {"{'linux': {'intelRdt': {'closID': '..'}}}",
         "linux.intelRdt.closID: '..' is not a directory's name"},
        {"{'linux': {'intelRdt': {'closID': '/'}}}", NULL},
        {"{'linux': {'intelRdt': {'l3CacheSchema': 'L3:0=f\\nL3:1=f'}}}",
         "linux.intelRdt.l3CacheSchema: has more than one line"},
        {"{'linux': {'intelRdt': {'memBwSchema': 'MB:0=20\\nx'}}}",
         "linux.intelRdt.memBwSchema: has more than one line"},
        {"{'linux': {'intelRdt': {'memBwSchema': 'L3:0=20'}}}",
         "linux.intelRdt.memBwSchema: doesn't begin with 'MB:'"},
        {"{'linux': {'intelRdt': {'schemata': ['L3:0=f', 'a\\nb']}}}",
         "linux.intelRdt.schemata[1]: has more than one line"},
        {"{'linux': {'intelRdt': {'enableCMT': 1}}}",
         "linux.intelRdt.enableCMT: expected a boolean, found an integer"},
    };
    FIXTURE_CHECK_RULES(rules);
}

#define ONLY_USER "'namespaces': [{'type': 'user'}]"

static void kernel_parameters(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'linux': {'sysctl': {'net.ipv4.ip_forward': '1', 'net/ipv4/conf/eno2.100/x': '1',"
         " 'net.ipv4.conf.eno2/100.x': '1', 'fs.mqueue.msg_max': '1', 'kernel.sem': '1',"
         " 'kernel.shm_rmid_forced': '1', 'user.max_user_namespaces': '1',"
         " 'kernel/domainname': 'd'}}}",
         NULL},
        {"{'linux': {'sysctl': {'net.x': 1}}}",
         "linux.sysctl['net.x']: expected a string, found an integer"},
        {"{'linux': {'sysctl': {'kernel.panic': '1'}}}",
         "linux.sysctl['kernel.panic']: belongs to the whole machine, not to a namespace"},
        {"{'linux': {'sysctl': {'kernel.semx': '1'}}}",
         "linux.sysctl['kernel.semx']: belongs to the whole machine, not to a namespace"},
        {"{'linux': {'sysctl': {'network': '1'}}}",
         "linux.sysctl['network']: belongs to the whole machine, not to a namespace"},
        {"{'linux': {'sysctl': {'net/../kernel/panic': '1'}}}",
         "linux.sysctl['net/../kernel/panic']: not the name of a kernel parameter"},
        {"{'linux': {'sysctl': {'net.//.kernel.panic': '1'}}}",
         "linux.sysctl['net.//.kernel.panic']: not the name of a kernel parameter"},
        {"{'linux': {'sysctl': {'net/./x': '1'}}}",
         "linux.sysctl['net/./x']: not the name of a kernel parameter"},
        {"{'linux': {'sysctl': {'net..x': '1'}}}",
         "linux.sysctl['net..x']: not the name of a kernel parameter"},
        {"{'linux': {'sysctl': {'/net/x': '1'}}}",
         "linux.sysctl['/net/x']: not the name of a kernel parameter"},
        {"{'linux': {'sysctl': {'net.': '1'}}}",
         "linux.sysctl['net.']: not the name of a kernel parameter"},
        {"{'linux': {'sysctl': {'': '1'}}}",
         "linux.sysctl['']: not the name of a kernel parameter"},
        {"{'linux': {'sysctl': {'kernel.hostname': 'h'}}}",
         "linux.sysctl['kernel.hostname']: use the property hostname instead"},
        {"{'linux': {" ONLY_USER ", 'sysctl': {'net.ipv4.ip_forward': '1'}}}",
         "linux.sysctl['net.ipv4.ip_forward']: given without a network namespace"},
        {"{'linux': {" ONLY_USER ", 'sysctl': {'kernel/msgmax': '1'}}}",
         "linux.sysctl['kernel/msgmax']: given without an ipc namespace"},
        {"{'linux': {" ONLY_USER ", 'sysctl': {'kernel.domainname': 'd'}}}",
         "linux.sysctl['kernel.domainname']: given without a uts namespace"},
        {"{'linux': {'namespaces': [], 'uidMappings': null, 'gidMappings': null,"
         " 'sysctl': {'user.max_user_namespaces': '1'}}}",
         "linux.sysctl['user.max_user_namespaces']: given without a user namespace"},
    };
    FIXTURE_CHECK_RULES(rules);
}

/* The same, for a lone resources object and in its place in a configuration. */
static void check_resources(const struct fixture_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *alone = fixture_quote(rules[i].patch);
        char *patch = memory_format("{'linux': {'resources': %s}}", rules[i].patch);
        char *whole = fixture_text(patch);
        if (rules[i].error) {
            char *prefixed = memory_format("linux.resources.%s", rules[i].error);
            fixture_expect_error(config_parse_resources, alone, rules[i].error);
            fixture_expect_error(config_parse, whole, prefixed);
            free(prefixed);
        } else {
            struct config config;
            fixture_accept(config_parse_resources, &config, alone);
            assert_non_null(config.linux_section.resources);
            config_release(&config);
            fixture_accept(config_parse, &config, whole);
            assert_non_null(config.linux_section.resources);
            config_release(&config);
        }
        free(whole);
        free(patch);
        free(alone);
    }
}

static void memory_cpu_and_pids(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{}", NULL},
        {"{'memory': {'limit': '1G'}}", "memory.limit: expected an integer, found a string"},
        {"{'memory': {'limit': -2}}",
         "memory.limit: -2 is out of range (-1 to 9223372036854775807)"},
        {"{'memory': {'reservation': true}}",
         "memory.reservation: expected an integer, found a boolean"},
        {"{'memory': {'kernel': []}}", "memory.kernel: expected an integer, found an array"},
        {"{'memory': {'kernelTCP': {}}}", "memory.kernelTCP: expected an integer, found an object"},
        {"{'memory': {'limit': 2, 'swap': 1}}",
         "memory.swap: memory and swap together, 1, are less than the memory limit, 2"},
        {"{'memory': {'limit': 2, 'swap': -1}}", NULL},
        {"{'memory': {'limit': 2, 'swap': 0}}", NULL},
        {"{'memory': {'limit': -1, 'swap': 5}}", NULL},
        {"{'memory': {'swappiness': 101}}", "memory.swappiness: 101 is out of range (0 to 100)"},
        {"{'memory': {'disableOOMKiller': 1}}",
         "memory.disableOOMKiller: expected a boolean, found an integer"},
        {"{'memory': {'useHierarchy': 1}}",
         "memory.useHierarchy: expected a boolean, found an integer"},
        {"{'memory': {'checkBeforeUpdate': 1}}",
         "memory.checkBeforeUpdate: expected a boolean, found an integer"},
        {"{'cpu': {'shares': -1}}", "cpu.shares: -1 is out of range (0 to 18446744073709551615)"},
        {"{'cpu': {'period': 1e3}}", "cpu.period: expected an integer, found a real number"},
        {"{'cpu': {'realtimePeriod': -1}}",
         "cpu.realtimePeriod: -1 is out of range (0 to 18446744073709551615)"},
        {"{'cpu': {'realtimeRuntime': -2}}",
         "cpu.realtimeRuntime: -2 is out of range (-1 to 9223372036854775807)"},
        {"{'cpu': {'quota': -2}}", "cpu.quota: -2 is out of range (-1 to 9223372036854775807)"},
        {"{'cpu': {'burst': -1}}", "cpu.burst: -1 is out of range (0 to 9223372036854775807)"},
        {"{'cpu': {'quota': 10, 'burst': 11}}", "cpu.burst: 11 is above the quota, 10"},
        {"{'cpu': {'quota': -1, 'burst': 11}}", NULL},
        {"{'cpu': {'idle': 2}}", "cpu.idle: 2 is out of range (0 to 1)"},
        {"{'cpu': {'cpus': '0-3,7,9-9', 'mems': '0'}}", NULL},
        {"{'cpu': {'cpus': '', 'mems': ''}}", NULL},
        {"{'cpu': {'cpus': '3-1'}}", "cpu.cpus: '3-1' is not a list of numbers and ranges (0-3,7)"},
        {"{'cpu': {'cpus': '0-1-2'}}",
         "cpu.cpus: '0-1-2' is not a list of numbers and ranges (0-3,7)"},
        {"{'cpu': {'cpus': '0,'}}", "cpu.cpus: '0,' is not a list of numbers and ranges (0-3,7)"},
        {"{'cpu': {'mems': 'all'}}", "cpu.mems: 'all' is not a list of numbers and ranges (0-3,7)"},
        {"{'cpu': {'mems': '9999999999'}}",
         "cpu.mems: '9999999999' is not a list of numbers and ranges (0-3,7)"},
        {"{'pids': {'limit': -2}}", "pids.limit: -2 is out of range (-1 to 9223372036854775807)"},
        {"{'pids': {}}", NULL},
        {"{'pids': 5}", "pids: expected an object, found an integer"},
    };
    check_resources(rules, sizeof rules / sizeof *rules);
}

static void device_rules_and_block_devices(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'devices': [{'access': 'rwm'}]}", "devices[0].allow: required, but missing"},
        {"{'devices': [{'allow': 'yes'}]}", "devices[0].allow: expected a boolean, found a string"},
        {"{'devices': [{'allow': true, 'type': 'p'}]}",
         "devices[0].type: unknown value 'p'; expected one of a, c, b"},
        {"{'devices': [{'allow': true, 'type': ''}]}", NULL},
        {"{'devices': [{'allow': true, 'access': 'rx'}]}",
         "devices[0].access: 'rx' is not made of r, w and m"},
        {"{'devices': [{'allow': true, 'major': -2}]}",
         "devices[0].major: -2 is out of range (-1 to 4294967295)"},
        {"{'devices': [{'allow': true, 'minor': 4294967296}]}",
         "devices[0].minor: 4294967296 is out of range (-1 to 4294967295)"},
        {"{'blockIO': {'weight': 9}}", "blockIO.weight: 9 is out of range (10 to 1000)"},
        {"{'blockIO': {'weight': 1001}}", "blockIO.weight: 1001 is out of range (10 to 1000)"},
        {"{'blockIO': {'leafWeight': 'x'}}",
         "blockIO.leafWeight: expected an integer, found a string"},
        {"{'blockIO': {'weightDevice': [{'major': 8, 'minor': 0}]}}",
         "blockIO.weightDevice[0]: neither weight nor leafWeight is given"},
        {"{'blockIO': {'weightDevice': [{'minor': 0, 'weight': 10}]}}",
         "blockIO.weightDevice[0].major: required, but missing"},
        {"{'blockIO': {'throttleReadBpsDevice': [{'major': 8, 'rate': 1}]}}",
         "blockIO.throttleReadBpsDevice[0].minor: required, but missing"},
        {"{'blockIO': {'throttleWriteBpsDevice': [{'major': 8, 'minor': 0}]}}",
         "blockIO.throttleWriteBpsDevice[0].rate: required, but missing"},
        {"{'blockIO': {'throttleReadIOPSDevice': [5]}}",
         "blockIO.throttleReadIOPSDevice[0]: expected an object, found an integer"},
        {"{'blockIO': {'throttleWriteIOPSDevice': [{'major': 8, 'minor': 0, 'rate': -1}]}}",
         "blockIO.throttleWriteIOPSDevice[0].rate: -1 is out of range "
         "(0 to 18446744073709551615)"},
    };
    check_resources(rules, sizeof rules / sizeof *rules);
}

static void other_controllers(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'hugepageLimits': [{'limit': 1}]}", "hugepageLimits[0].pageSize: required, but missing"},
        {"{'hugepageLimits': [{'pageSize': '2MB'}]}",
         "hugepageLimits[0].limit: required, but missing"},
        {"{'hugepageLimits': [{'pageSize': '2M', 'limit': 1}]}",
         "hugepageLimits[0].pageSize: '2M' is not like 64KB, 2MB or 1GB"},
        {"{'hugepageLimits': [{'pageSize': '02MB', 'limit': 1}]}",
         "hugepageLimits[0].pageSize: '02MB' is not like 64KB, 2MB or 1GB"},
        {"{'hugepageLimits': [{'pageSize': '', 'limit': 1}]}",
         "hugepageLimits[0].pageSize: '' is not like 64KB, 2MB or 1GB"},
        {"{'hugepageLimits': [{'pageSize': '../2MB', 'limit': 1}]}",
         "hugepageLimits[0].pageSize: '../2MB' is not like 64KB, 2MB or 1GB"},
        {"{'network': {'classID': 4294967296}}",
         "network.classID: 4294967296 is out of range (0 to 4294967295)"},
        {"{'network': {'priorities': [{'priority': 1}]}}",
         "network.priorities[0].name: required, but missing"},
        {"{'network': {'priorities': [{'name': 'eth0'}]}}",
         "network.priorities[0].priority: required, but missing"},
        {"{'network': {'priorities': [{'name': 'eth 0', 'priority': 1}]}}",
         "network.priorities[0].name: 'eth 0' is not an interface's name"},
        {"{'rdma': {'mlx5_1': {}}}", "rdma.mlx5_1: neither hcaHandles nor hcaObjects is given"},
        {"{'rdma': {'mlx5_1': 5}}", "rdma.mlx5_1: expected an object, found an integer"},
        {"{'rdma': {'mlx5_1': {'hcaHandles': -1}}}",
         "rdma.mlx5_1.hcaHandles: -1 is out of range (0 to 4294967295)"},
        {"{'rdma': {'a b': {'hcaObjects': 1}}}", "rdma['a b']: the key is not a device's name"},
        {"{'unified': {'memory.high': 5}}",
         "unified['memory.high']: expected a string, found an integer"},
        {"{'unified': {'../memory.high': '5'}}",
         "unified: the key '../memory.high' is not a file's name"},
        {"{'unified': {'': '5'}}", "unified: the key '' is not a file's name"},
        {"{'unified': {'..': '5'}}", "unified: the key '..' is not a file's name"},
    };
    check_resources(rules, sizeof rules / sizeof *rules);
}

#define SECCOMP(text) "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', " text "}}}"
#define SYSCALL(text) SECCOMP("'syscalls': [{'names': ['read'], 'action': " text "}]")

static void seccomp(void **state)
{
    (void)state;
    static const struct fixture_rule rules[] = {
        {"{'linux': {'seccomp': {}}}", "linux.seccomp.defaultAction: required, but missing"},
        {"{'linux': {'seccomp': {'defaultAction': 'ALLOW'}}}",
         "linux.seccomp.defaultAction: unknown value 'ALLOW'; expected one of SCMP_ACT_KILL, "
         "SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, "
         "SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG, SCMP_ACT_NOTIFY"},
        {"{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_NOTIFY', 'listenerPath': '/s'}}}",
         "linux.seccomp.defaultAction: can't be SCMP_ACT_NOTIFY"},
        {SECCOMP("'defaultErrnoRet': 1"), "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes "
                                          "none"},
        {"{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 4096}}}",
         "linux.seccomp.defaultErrnoRet: 4096 is out of range (0 to 4095)"},
        {SECCOMP("'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_VAX']"),
         "linux.seccomp.architectures[1]: unknown value 'SCMP_ARCH_VAX'"},
        {SECCOMP("'architectures': ['SCMP_ARCH_SHEB', 'SCMP_ARCH_LOONGARCH64']"), NULL},
        {SECCOMP("'flags': ['LOG']"),
         "linux.seccomp.flags[0]: unknown value 'LOG'; expected one of SECCOMP_FILTER_FLAG_TSYNC, "
         "SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, "
         "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"},
        {SECCOMP("'listenerMetadata': 'm'"),
         "linux.seccomp.listenerMetadata: given without listenerPath"},
        {SECCOMP("'syscalls': [{'action': 'SCMP_ACT_LOG'}]"),
         "linux.seccomp.syscalls[0].names: required, but missing"},
        {SECCOMP("'syscalls': [{'names': [], 'action': 'SCMP_ACT_LOG'}]"),
         "linux.seccomp.syscalls[0].names: at least one is required"},
        {SECCOMP("'syscalls': [{'names': ['read', ''], 'action': 'SCMP_ACT_LOG'}]"),
         "linux.seccomp.syscalls[0].names[1]: is empty"},
        {SECCOMP("'syscalls': [{'names': ['read']}]"),
         "linux.seccomp.syscalls[0].action: required, but missing"},
        {SYSCALL("'SCMP_ACT_KILL'"), NULL},
        {SYSCALL("'SCMP_ACT_TRACE', 'errnoRet': 65535"), NULL},
        {SYSCALL("'SCMP_ACT_TRACE', 'errnoRet': 65536"),
         "linux.seccomp.syscalls[0].errnoRet: 65536 is out of range (0 to 65535)"},
        {SYSCALL("'SCMP_ACT_KILL', 'errnoRet': 1"),
         "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL takes none"},
        {SYSCALL("'SCMP_ACT_NOTIFY'"),
         "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath"},
        {SYSCALL("'SCMP_ACT_NOTIFY'}], 'listenerPath': '/run/agent', 'x': [{"), NULL},
        {SECCOMP("'listenerPath': '/s', 'syscalls': [{'names': ['read', 'write'], 'action':"
                 " 'SCMP_ACT_NOTIFY'}]"),
         "linux.seccomp.syscalls[0].names[1]: write can't have SCMP_ACT_NOTIFY"},
        {SECCOMP("'listenerPath':"
                 " '/1234567890123456789012345678901234567890123456789012345678901234567890"
                 "1234567890123456789012345678901234567',"
                 " 'syscalls': [{'names': ['read'], 'action': 'SCMP_ACT_NOTIFY'}]"),
         "linux.seccomp.listenerPath: too long for a socket"},
        {SYSCALL("'SCMP_ACT_LOG', 'args': [{'value': 1, 'op': 'SCMP_CMP_EQ'}]"),
         "linux.seccomp.syscalls[0].args[0].index: required, but missing"},
        {SYSCALL("'SCMP_ACT_LOG', 'args': [{'index': 6, 'value': 1, 'op': 'SCMP_CMP_EQ'}]"),
         "linux.seccomp.syscalls[0].args[0].index: 6 is out of range (0 to 5)"},
        {SYSCALL("'SCMP_ACT_LOG', 'args': [{'index': 0, 'op': 'SCMP_CMP_EQ'}]"),
         "linux.seccomp.syscalls[0].args[0].value: required, but missing"},
        {SYSCALL("'SCMP_ACT_LOG', 'args': [{'index': 0, 'value': 1}]"),
         "linux.seccomp.syscalls[0].args[0].op: required, but missing"},
        {SYSCALL("'SCMP_ACT_LOG', 'args': [{'index': 0, 'value': 1, 'op': '=='}]"),
         "linux.seccomp.syscalls[0].args[0].op: unknown value '=='; expected one of SCMP_CMP_NE, "
         "SCMP_CMP_LT, SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ"},
        {SYSCALL("'SCMP_ACT_LOG', 'args': [{'index': 0, 'value': 1, 'valueTwo': 'x',"
                 " 'op': 'SCMP_CMP_EQ'}]"),
         "linux.seccomp.syscalls[0].args[0].valueTwo: expected an integer, found a string"},
    };
    FIXTURE_CHECK_RULES(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices),
        cmocka_unit_test(paths_labels_and_personality),
        cmocka_unit_test(kernel_parameters),
        cmocka_unit_test(memory_cpu_and_pids),
        cmocka_unit_test(device_rules_and_block_devices),
        cmocka_unit_test(other_controllers),
        cmocka_unit_test(seccomp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
