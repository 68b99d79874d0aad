/* oci/config: what a valid configuration becomes. The rules are in config.c and config_linux.c. */
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config_fixture.h"
#include "oci/config_default.h"

static void assert_strings(const struct config_strings *strings, const char *joined)
{
    char *text = memory_copy_string("");
    for (size_t i = 0; i < strings->count; i++) {
        char *longer = memory_format("%s%s%s", text, i ? " " : "", strings->items[i]);
        free(text);
        text = longer;
    }
    assert_string_equal(text, joined);
    free(text);
    if (strings->items)
        assert_null(strings->items[strings->count]);
}

static void a_minimal_configuration_has_defaults(void **state)
{
    (void)state;
    struct config config = fixture_parse("{}");
    assert_string_equal(config.oci_version, "1.2.0");
    assert_string_equal(config.root.path, "rootfs");
    assert_false(config.root.readonly);
    assert_int_equal(config.mount_count, 0);
    assert_null(config.hostname);
    assert_int_equal(config.process->uid, 0);
    assert_false(config.process->has_umask);
    assert_false(config.process->oom_score_adj.given);
    assert_null(config.process->capabilities);
    assert_null(config.process->scheduler);
    assert_false(config.process->has_io_priority);
    assert_null(config.linux_section.resources);
    assert_null(config.linux_section.seccomp);
    assert_false(config.linux_section.has_time_offsets);
    assert_false(config.linux_section.has_personality);
    config_release(&config);
    assert_null(config.document);

    config = fixture_parse("{'process': null}");
    assert_null(config.process);
    config_release(&config);
    config_release(&config); /* twice is harmless */
}

static void process_values(void **state)
{
    (void)state;
    struct config config = fixture_parse(
        "{'process': {'terminal': true, 'consoleSize': {'height': 25, 'width': 80},"
        " 'user': {'uid': 4294967295, 'gid': 2, 'umask': 63, 'additionalGids': [5, 6]},"
        " 'args': ['sh', '-c', 'true'], 'env': ['A=1', 'B='], 'cwd': '/root',"
        " 'capabilities': {'bounding': ['CAP_CHOWN', 'cap_kill', 'CAP_NEW'],"
        "  'permitted': ['SYS_ADMIN', 'CAP_NEW', 'CAP_NEWER'], 'effective': ['CAP_SYS_ADMIN'],"
        "  'ambient': ['CAP_CHECKPOINT_RESTORE']},"
        " 'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': 1024, 'hard': 4096},"
        "  {'type': 'RLIMIT_CORE', 'soft': 0, 'hard': 0}],"
        " 'noNewPrivileges': true, 'apparmorProfile': 'aa', 'selinuxLabel': 'se',"
        " 'oomScoreAdj': -1000, 'ioPriority': {'class': 'IOPRIO_CLASS_IDLE', 'priority': 4},"
        " 'scheduler': {'policy': 'SCHED_FIFO', 'nice': -3, 'priority': 7,"
        "  'flags': ['SCHED_FLAG_RESET_ON_FORK', 'SCHED_FLAG_KEEP_POLICY']}}}");
    const struct config_process *process = config.process;
    assert_true(process->terminal && process->has_console_size);
    assert_int_equal(process->console_height, 25);
    assert_int_equal(process->console_width, 80);
    assert_int_equal(process->uid, UINT32_MAX);
    assert_int_equal(process->gid, 2);
    assert_true(process->has_umask);
    assert_int_equal(process->umask, 077);
    assert_int_equal(process->additional_gid_count, 2);
    assert_int_equal(process->additional_gids[1], 6);
    assert_strings(&process->args, "sh -c true");
    assert_strings(&process->env, "A=1 B=");
    assert_string_equal(process->cwd, "/root");
    const uint64_t *sets = process->capabilities->sets;
    assert_int_equal(sets[CONFIG_CAPABILITY_BOUNDING], 1 << 0 | 1 << 5);
    assert_int_equal(sets[CONFIG_CAPABILITY_PERMITTED], 1 << 21);
    assert_int_equal(sets[CONFIG_CAPABILITY_EFFECTIVE], 1 << 21);
    assert_int_equal(sets[CONFIG_CAPABILITY_INHERITABLE], 0);
    assert_true(sets[CONFIG_CAPABILITY_AMBIENT] == UINT64_C(1) << 40);
    assert_int_equal(process->capabilities->unknown.count, 2);
    assert_string_equal(process->capabilities->unknown.items[0], "CAP_NEW");
    assert_string_equal(process->capabilities->unknown.items[1], "CAP_NEWER");
    assert_int_equal(process->rlimit_count, 2);
    assert_string_equal(process->rlimits[0].name, "RLIMIT_NOFILE");
    assert_int_equal(process->rlimits[0].resource, RLIMIT_NOFILE);
    assert_int_equal(process->rlimits[0].soft, 1024);
    assert_int_equal(process->rlimits[0].hard, 4096);
    assert_int_equal(process->rlimits[1].resource, RLIMIT_CORE);
    assert_true(process->no_new_privileges);
    assert_string_equal(process->apparmor_profile, "aa");
    assert_string_equal(process->selinux_label, "se");
    assert_true(process->oom_score_adj.given);
    assert_int_equal(process->oom_score_adj.value, -1000);
    assert_true(process->has_io_priority);
    assert_int_equal(process->io_priority_class, 3);
    assert_int_equal(process->io_priority, 4);
    assert_int_equal(process->scheduler->policy, SCHED_FIFO);
    assert_int_equal(process->scheduler->nice, -3);
    assert_int_equal(process->scheduler->priority, 7);
    assert_int_equal(process->scheduler->flags, 0x09);
    config_release(&config);
}

static void mounts_hooks_and_annotations(void **state)
{
    (void)state;
    struct config config = fixture_parse(
        "{'hostname': 'h', 'domainname': 'd', 'root': {'readonly': true}, 'mounts': ["
        " {'destination': 'proc', 'type': 'proc', 'source': 'proc'},"
        " {'destination': '/data', 'type': '', 'source': 'vol', 'options': ['rbind', 'ro'],"
        "  'uidMappings': [{'containerID': 0, 'hostID': 1, 'size': 2}],"
        "  'gidMappings': [{'containerID': 3, 'hostID': 4, 'size': 5}]}],"
        " 'hooks': {'prestart': [{'path': '/a', 'args': ['a', 'b'], 'env': ['X=1'],"
        "  'timeout': 5}, {'path': '/b'}], 'poststop': [{'path': '/c'}]},"
        " 'annotations': {'z': '1', 'a': '2'}}");
    assert_string_equal(config.hostname, "h");
    assert_string_equal(config.domainname, "d");
    assert_true(config.root.readonly);
    assert_int_equal(config.mount_count, 2);
    assert_string_equal(config.mounts[0].destination, "/proc");
    assert_int_equal(config.mounts[0].options.count, 0);
    assert_null(config.mounts[1].type);
    assert_string_equal(config.mounts[1].source, "vol");
    assert_strings(&config.mounts[1].options, "rbind ro");
    assert_int_equal(config.mounts[1].uid_mappings.items[0].host_id, 1);
    assert_int_equal(config.mounts[1].gid_mappings.items[0].container_id, 3);
    assert_int_equal(config.mounts[1].gid_mappings.items[0].size, 5);
    const struct config_hooks *prestart = &config.hooks[CONFIG_HOOK_PRESTART];
    assert_int_equal(prestart->count, 2);
    assert_string_equal(prestart->items[0].path, "/a");
    assert_strings(&prestart->items[0].args, "a b");
    assert_strings(&prestart->items[0].env, "X=1");
    assert_int_equal(prestart->items[0].timeout.value, 5);
    assert_false(prestart->items[1].timeout.given);
    assert_string_equal(config.hooks[CONFIG_HOOK_POSTSTOP].items[0].path, "/c");
    assert_int_equal(config.hooks[CONFIG_HOOK_POSTSTART].count, 0);
    assert_int_equal(config.annotations.count, 2);
    assert_string_equal(config.annotations.items[0].key, "z"); /* the order of the text */
    assert_string_equal(config.annotations.items[1].value, "2");
    config_release(&config);
}

static void linux_values(void **state)
{
    (void)state;
    struct config config = fixture_parse(
        "{'linux': {'namespaces': [{'type': 'network', 'path': '/run/netns/a'}, {'type': 'pid',"
        " 'path': ''}, {'type': 'user'}, {'type': 'time'}, {'type': 'mount'}],"
        " 'timeOffsets': {'boottime': {'secs': -5, 'nanosecs': 6}},"
        " 'devices': [{'path': '/dev/fuse', 'type': 'c', 'major': 10, 'minor': 229,"
        "  'fileMode': 8630, 'uid': 1, 'gid': 2}, {'path': '/p', 'type': 'p'}],"
        " 'cgroupsPath': '/a/b', 'sysctl': {'net.core.somaxconn': '256'},"
        " 'rootfsPropagation': 'rslave', 'maskedPaths': ['/proc/kcore'],"
        " 'readonlyPaths': ['/proc/sys', '/proc/bus'], 'mountLabel': 'm',"
        " 'personality': {'domain': 'LINUX32'},"
        " 'intelRdt': {'closID': 'c', 'l3CacheSchema': 'L3:0=f', 'memBwSchema': 'MB:0=2',"
        "  'schemata': ['L2:0=f'], 'enableCMT': true}}}");
    const struct config_linux *section = &config.linux_section;
    assert_string_equal(section->namespaces[CONFIG_NAMESPACE_NETWORK].path, "/run/netns/a");
    assert_true(section->namespaces[CONFIG_NAMESPACE_PID].listed);
    assert_null(section->namespaces[CONFIG_NAMESPACE_PID].path);
    assert_false(section->namespaces[CONFIG_NAMESPACE_IPC].listed);
    assert_int_equal(section->uid_mappings.items[0].host_id, 1000);
    assert_true(section->has_time_offsets && section->boottime.given);
    assert_int_equal(section->boottime.seconds, -5);
    assert_int_equal(section->boottime.nanoseconds, 6);
    assert_false(section->monotonic.given);
    assert_int_equal(section->devices[0].type, 'c');
    assert_int_equal(section->devices[0].major, 10);
    assert_int_equal(section->devices[0].minor, 229);
    assert_int_equal(section->devices[0].mode, 0666); /* without the type's bits */
    assert_int_equal(section->devices[0].gid, 2);
    assert_false(section->devices[1].has_mode);
    assert_string_equal(section->cgroups_path, "/a/b");
    assert_string_equal(section->sysctl.items[0].value, "256");
    assert_string_equal(section->rootfs_propagation, "rslave");
    assert_strings(&section->masked_paths, "/proc/kcore");
    assert_strings(&section->readonly_paths, "/proc/sys /proc/bus");
    assert_string_equal(section->mount_label, "m");
    assert_true(section->has_personality);
    assert_int_equal(section->personality, 8);
    assert_string_equal(section->intel_rdt->closid, "c");
    assert_strings(&section->intel_rdt->schemata, "L2:0=f");
    assert_true(section->intel_rdt->enable_cmt);
    assert_false(section->intel_rdt->enable_mbm);
    config_release(&config);
}

static void resource_values(void **state)
{
    (void)state;
    char *text = fixture_quote(
        "{'devices': [{'allow': false}, {'allow': true, 'type': 'c', 'major': 10, 'minor': 229,"
        "  'access': 'rw'}],"
        " 'memory': {'limit': 1, 'reservation': 2, 'swap': 3, 'kernel': -1, 'kernelTCP': 4,"
        "  'swappiness': 0, 'disableOOMKiller': false, 'checkBeforeUpdate': true},"
        " 'cpu': {'shares': 5, 'quota': -1, 'burst': 6, 'period': 7, 'realtimeRuntime': 8,"
        "  'realtimePeriod': 9, 'cpus': '2-3', 'mems': '0', 'idle': 1},"
        " 'pids': {'limit': 0}, 'blockIO': {'weight': 10, 'leafWeight': 0,"
        "  'weightDevice': [{'major': 8, 'minor': 1, 'leafWeight': 300}],"
        "  'throttleWriteIOPSDevice': [{'major': 8, 'minor': 2, 'rate': 600}]},"
        " 'hugepageLimits': [{'pageSize': '2MB', 'limit': 9223372036854772000}],"
        " 'network': {'classID': 1048577, 'priorities': [{'name': 'eth0', 'priority': 500}]},"
        " 'rdma': {'mlx5_1': {'hcaHandles': 3}}, 'unified': {'memory.high': '5'}}");
    struct config config;
    fixture_accept(config_parse_resources, &config, text);
    free(text);
    const struct config_resources *resources = config.linux_section.resources;
    const struct config_device_rule *rules = resources->device_rules;
    assert_int_equal(resources->device_rule_count, 2);
    assert_true(!rules[0].allow && rules[0].type == 'a' && rules[0].major == -1);
    assert_true(rules[0].read && rules[0].write && rules[0].mknod);
    assert_true(rules[1].allow && rules[1].type == 'c' && rules[1].minor == 229);
    assert_true(rules[1].read && rules[1].write && !rules[1].mknod);
    assert_int_equal(resources->memory.limit.value, 1);
    assert_int_equal(resources->memory.reservation.value, 2);
    assert_int_equal(resources->memory.swap.value, 3);
    assert_int_equal(resources->memory.kernel.value, -1);
    assert_int_equal(resources->memory.kernel_tcp.value, 4);
    assert_true(resources->memory.swappiness.given);
    assert_true(resources->memory.has_disable_oom_killer);
    assert_false(resources->memory.disable_oom_killer);
    assert_false(resources->memory.has_use_hierarchy);
    assert_true(resources->memory.check_before_update);
    assert_true(resources->cpu.has_shares && resources->cpu.shares == 5);
    assert_int_equal(resources->cpu.quota.value, -1);
    assert_int_equal(resources->cpu.burst.value, 6);
    assert_true(resources->cpu.has_period && resources->cpu.period == 7);
    assert_int_equal(resources->cpu.realtime_runtime.value, 8);
    assert_true(resources->cpu.has_realtime_period && resources->cpu.realtime_period == 9);
    assert_string_equal(resources->cpu.cpus, "2-3");
    assert_string_equal(resources->cpu.mems, "0");
    assert_int_equal(resources->cpu.idle.value, 1);
    assert_true(resources->pids_limit.given && resources->pids_limit.value == 0);
    assert_int_equal(resources->block.weight.value, 10);
    assert_false(resources->block.leaf_weight.given); /* 0 is Docker's "not given" */
    assert_int_equal(resources->block.weight_devices[0].leaf_weight.value, 300);
    assert_false(resources->block.weight_devices[0].weight.given);
    assert_int_equal(resources->block.throttle_count[CONFIG_THROTTLE_READ_BPS], 0);
    assert_int_equal(resources->block.throttles[CONFIG_THROTTLE_WRITE_IOPS][0].rate, 600);
    assert_true(resources->hugepage_limits[0].limit == UINT64_C(9223372036854772000));
    assert_int_equal(resources->network.class_id, 1048577);
    assert_string_equal(resources->network.priorities[0].name, "eth0");
    assert_int_equal(resources->network.priorities[0].priority, 500);
    assert_string_equal(resources->rdma[0].device, "mlx5_1");
    assert_true(resources->rdma[0].handles.given && !resources->rdma[0].objects.given);
    assert_string_equal(resources->unified.items[0].key, "memory.high");
    config_release(&config);
}

static void seccomp_values(void **state)
{
    (void)state;
    struct config config = fixture_parse(
        "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 38,"
        " 'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'],"
        " 'flags': ['SECCOMP_FILTER_FLAG_LOG'], 'listenerPath': '/l', 'listenerMetadata': 'm',"
        " 'syscalls': [{'names': ['read', 'close'], 'action': 'SCMP_ACT_NOTIFY'},"
        "  {'names': ['personality'], 'action': 'SCMP_ACT_ALLOW', 'args': [{'index': 5,"
        "   'value': 4294967295, 'valueTwo': 7, 'op': 'SCMP_CMP_MASKED_EQ'}]}]}}}");
    const struct config_seccomp *seccomp = config.linux_section.seccomp;
    assert_string_equal(seccomp->default_action, "SCMP_ACT_ERRNO");
    assert_true(seccomp->has_default_errno);
    assert_int_equal(seccomp->default_errno, 38);
    assert_strings(&seccomp->architectures, "SCMP_ARCH_X86_64 SCMP_ARCH_X32");
    assert_strings(&seccomp->flags, "SECCOMP_FILTER_FLAG_LOG");
    assert_string_equal(seccomp->listener_path, "/l");
    assert_string_equal(seccomp->listener_metadata, "m");
    assert_int_equal(seccomp->rule_count, 2);
    assert_strings(&seccomp->rules[0].names, "read close");
    assert_false(seccomp->rules[0].has_errno);
    assert_int_equal(seccomp->rules[1].arguments[0].index, 5);
    assert_true(seccomp->rules[1].arguments[0].value == UINT32_MAX);
    assert_true(seccomp->rules[1].arguments[0].value_two == 7);
    assert_string_equal(seccomp->rules[1].arguments[0].op, "SCMP_CMP_MASKED_EQ");
    config_release(&config);
}

/* Numbers that JSON libraries with 64-bit signed integers can't hold. */
static void integers_beyond_int64_are_exact(void **state)
{
    (void)state;
    char *text = fixture_quote(
        "{'args': ['9999999999999999999', 'a\\\"99999999999999999999'], 'cwd': '/', 'x': 1e999,"
        " 'rlimits': [{'type': 'RLIMIT_CORE', 'soft': 9223372036854775808,"
        " 'hard': 18446744073709551615}, {'type': 'RLIMIT_AS', 'soft': 9223372036854775807,"
        " 'hard':18446744073709551614}], 'y': [-99999999999999999999, 2.5]}");
    struct config config;
    fixture_accept(config_parse_process, &config, text);
    free(text);
    const struct config_rlimit *rlimits = config.process->rlimits;
    assert_true(rlimits[0].soft == UINT64_C(9223372036854775808));
    assert_true(rlimits[0].hard == RLIM_INFINITY);
    assert_true(rlimits[1].soft == UINT64_C(9223372036854775807));
    assert_true(rlimits[1].hard == RLIM_INFINITY - 1);
    assert_string_equal(config.process->args.items[0], "9999999999999999999");
    assert_string_equal(config.process->args.items[1], "a\"99999999999999999999");
    config_release(&config);

    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{'memory': {'limit': 9223372036854775808}}",
         "memory.limit: 9223372036854775808 is out of range (-1 to 9223372036854775807)"},
        {"{'memory': {'limit': -9223372036854775809}}",
         "memory.limit: the number is out of range (-1 to 9223372036854775807)"},
        {"{'cpu': {'shares': 18446744073709551616}}",
         "cpu.shares: the number is out of range (0 to 18446744073709551615)"},
        {"{'x': 18446744073709551615, 'cpu': {'shares': 1.5}}",
         "cpu.shares: expected an integer, found a real number"},
        {"{'x': 18446744073709551615, 'cpu': {'cpus': 18446744073709551615}}",
         "cpu.cpus: expected a string, found an integer"},
        {"{'x': 18446744073709551615, 'y': 01}",
         "not valid JSON: line 1, column 34: invalid token near '0'"},
        {"{'x': 18446744073709551615, 'y': 12-99999999999999999999}",
         "not valid JSON: line 1, column 56: too big negative integer"},
        {"{'x': 18446744073709551615, 'y': 1.}",
         "not valid JSON: line 1, column 35: invalid token near '1.'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *resources = fixture_quote(cases[i].text);
        fixture_expect_error(config_parse_resources, resources, cases[i].error);
        free(resources);
    }

    text = fixture_quote("{'memory': {'limit': 5, 'swappiness': 18446744073709551615}}");
    fixture_accept(config_parse_resources, &config, text);
    free(text);
    assert_int_equal(config.linux_section.resources->memory.limit.value, 5);
    assert_false(config.linux_section.resources->memory.swappiness.given);
    config_release(&config);
}

static void errors_stay_on_one_short_line(void **state)
{
    (void)state;
    char key[4000];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    key[3] = '\n';
    json_t *document = json_pack("{s:{s:i}}", "unified", key, 1);
    char *text = json_dumps(document, 0);
    json_decref(document);
    fixture_expect_error(
        config_parse_resources, text,
        "unified['kkk\\x0akkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
        "kkkkkkkkkkkkkkkkkkkkkkk...']: expected a string, found an integer");
    free(text);

    /* Cut between characters, not within: é has two bytes, and the cut falls on an odd one. */
    char accents[201];
    for (size_t i = 0; i + 1 < sizeof accents; i += 2)
        memcpy(accents + i, "é", 2);
    accents[sizeof accents - 1] = '\0';
    text = memory_format("{\"cwd\": \"%s\", \"args\": [\"sh\"]}", accents);
    struct config config;
    struct error err;
    assert_int_equal(config_parse_process(&config, text, strlen(text), &err), -1);
    json_t *valid = json_string(err.text); /* NULL if it is not UTF-8 */
    assert_non_null(valid);
    json_decref(valid);
    free(text);
}

static void the_default_documents_are_valid(void **state)
{
    (void)state;
    for (int rootless = 0; rootless < 2; rootless++) {
        json_t *document = config_default_document(rootless);
        char *text = json_dumps(document, JSON_INDENT(4));
        json_decref(document);
        struct config config;
        fixture_accept(config_parse, &config, text);
        free(text);
        const struct config_linux *section = &config.linux_section;
        assert_string_equal(config.oci_version, "1.2.0");
        assert_strings(&config.process->args, "sh");
        assert_true(config.process->terminal && config.process->no_new_privileges);
        assert_int_equal(config.process->capabilities->sets[CONFIG_CAPABILITY_AMBIENT],
                         1 << 5 | 1 << 10 | 1 << 29);
        assert_int_equal(config.process->rlimits[0].soft, 1024);
        assert_int_equal(config.mount_count, 7);
        assert_strings(&config.mounts[2].options,
                       rootless ? "nosuid noexec newinstance ptmxmode=0666 mode=0620"
                                : "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5");
        assert_string_equal(config.mounts[5].source, rootless ? "/sys" : "sysfs");
        assert_int_equal(section->masked_paths.count, 10);
        assert_int_equal(section->readonly_paths.count, 5);
        assert_int_equal(section->namespaces[CONFIG_NAMESPACE_USER].listed, rootless);
        assert_int_equal(section->namespaces[CONFIG_NAMESPACE_NETWORK].listed, !rootless);
        assert_int_equal(section->uid_mappings.count, rootless);
        if (rootless)
            assert_int_equal(section->uid_mappings.items[0].host_id, geteuid());
        assert_int_equal(section->resources != NULL, !rootless);
        config_release(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minimal_configuration_has_defaults),
        cmocka_unit_test(process_values),
        cmocka_unit_test(mounts_hooks_and_annotations),
        cmocka_unit_test(linux_values),
        cmocka_unit_test(resource_values),
        cmocka_unit_test(seccomp_values),
        cmocka_unit_test(integers_beyond_int64_are_exact),
        cmocka_unit_test(errors_stay_on_one_short_line),
        cmocka_unit_test(the_default_documents_are_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
