/* The API of hull-vmm over a real socket: states, the machine, metadata, log and metrics; and each
 * way in which a body can be wrong. Devices are in vm_api_devices.c, the server itself in
 * vm_api_server.c. */
#include "vm_api_fixture.h"

static void test_states(void **state)
{
    struct fixture *fixture = *state;
    static const struct exchange before[] = {
        {"GET", "/", NULL, 200, "\"state\":\"Not started\""},
        {"GET", "/version", NULL, 200, "{\"firecracker_version\":\"1.16.1\"}"},
        {"PATCH", "/vm", "{\"state\":\"Paused\"}", 400, TOO_EARLY},
        {"PATCH", "/vm", "{\"state\":\"Resumed\"}", 400, TOO_EARLY},
        {"PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}", 400, TOO_EARLY},
        {"PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}", 400, TOO_EARLY},
        {"PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 400,
         "Cannot start microvm without kernel configuration."},
        {"PUT", "/boot-source", "{\"kernel_image_path\":\"kernel\"}", 204, NULL},
    };
    EXPECT_ALL(fixture, before);
    /* A start that fails changes nothing: the next one may do better. */
    fixture->refuses = true;
    expect(fixture, "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 400,
           "the machine refuses");
    expect(fixture, "GET", "/", NULL, 200, "Not started");
    fixture->refuses = false;
    expect(fixture, "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 204, NULL);
    assert_string_equal(fixture->told, "start 1 vcpus 128 MiB kernel");
    static const struct exchange after[] = {
        {"GET", "/", NULL, 200, "\"state\":\"Running\""},
        {"PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 400, TOO_LATE},
        {"PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}", 204, NULL},
        {"PUT", "/boot-source", "{\"kernel_image_path\":\"kernel\"}", 400, TOO_LATE},
        {"PUT", "/machine-config", "{\"vcpu_count\":4,\"mem_size_mib\":128}", 400, TOO_LATE},
        {"PATCH", "/machine-config", "{\"vcpu_count\":4}", 400, TOO_LATE},
        {"PUT", "/cpu-config", "{}", 400, TOO_LATE},
        {"PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"v\"}", 400, TOO_LATE},
        {"PUT", "/entropy", "{}", 400, TOO_LATE},
        {"PUT", "/serial", "{}", 400, TOO_LATE},
        {"PUT", "/balloon", "{\"amount_mib\":1,\"deflate_on_oom\":true}", 400, TOO_LATE},
        {"PUT", "/hotplug/memory", "{\"total_size_mib\":1024}", 400, TOO_LATE},
        {"PUT", "/mmds/config", "{\"network_interfaces\":[\"1\"]}", 400, TOO_LATE},
        {"PUT", "/logger", "{}", 400, TOO_LATE},
        {"PUT", "/metrics", "{\"metrics_path\":\"m\"}", 400, TOO_LATE},
        {"PUT", "/filesystems/a", "{\"id\":\"a\",\"path_on_host\":\".\",\"tag\":\"t\"}", 400,
         TOO_LATE},
        {"PUT", "/drives/a",
         "{\"drive_id\":\"a\",\"path_on_host\":\"disk\",\"is_root_device\":false}", 400,
         "PCI is not enabled"},
        {"DELETE", "/drives/a", NULL, 400, "PCI is not enabled"},
        {"PATCH", "/vm", "{\"state\":\"Paused\"}", 204, NULL},
        {"GET", "/", NULL, 200, "\"state\":\"Paused\""},
    };
    EXPECT_ALL(fixture, after);
    assert_string_equal(fixture->told, "pause");
    /* Asked for again, the machine isn't told again. */
    snprintf(fixture->told, sizeof fixture->told, "nothing");
    expect(fixture, "PATCH", "/vm", "{\"state\":\"Paused\"}", 204, NULL);
    assert_string_equal(fixture->told, "nothing");
    fixture->refuses = true;
    expect(fixture, "PATCH", "/vm", "{\"state\":\"Resumed\"}", 400, "the machine refuses");
    expect(fixture, "GET", "/", NULL, 200, "\"state\":\"Paused\"");
    fixture->refuses = false;
    expect(fixture, "PATCH", "/vm", "{\"state\":\"Resumed\"}", 204, NULL);
    assert_string_equal(fixture->told, "resume");
    expect(fixture, "PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}", 204, NULL);
    assert_string_equal(fixture->told, "ctrl-alt-del");
}

static void test_bad_requests(void **state)
{
    static const struct exchange exchanges[] = {
        {"GET", "/nothing", NULL, 400, "Invalid request method and/or path: GET /nothing."},
        {"POST", "/vm", "{}", 400, "Invalid request method"},
        {"PATCH", "/boot-source", "{\"kernel_image_path\":\"otherfile\"}", 400,
         "Invalid request method"},
        {"PATCH", "/logger", "{\"level\":\"Error\"}", 400, "Invalid request method"},
        {"GET", "/vsock", NULL, 400, "Invalid request method"},
        {"GET", "/drives/a/b", NULL, 400, "Invalid request method"},
        {"PUT", "/drives", "{}", 400, "Invalid request method"},
        {"PUT", "/%76sock", "{}", 400, "Invalid request method"},
        {"GET", "/machine-config", "{}", 400, "GET request cannot have a body."},
        {"PUT", "/machine-config", NULL, 400, "Empty PUT request."},
        {"PATCH", "/machine-config", NULL, 400, "Empty PATCH request."},
        {"PATCH", "/machine-config", "{}", 400, "Empty PATCH request."},
        {"PUT", "/vsock", "{", 400, DESERIALIZING},
        {"PUT", "/vsock", "[]", 400, "invalid type: sequence, expected struct VsockDeviceConfig"},
        {"PUT", "/vsock", "3 3", 400, DESERIALIZING},
        {"PUT", "/vsock", "{\"guest_cid\":3,\"guest_cid\":4,\"uds_path\":\"v\"}", 400, "duplicate"},
        {"PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"\\u0000\"}", 400, DESERIALIZING},
        {"PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"\xff\"}", 400, DESERIALIZING},
        {"PUT", "/snapshot/create", "{\"snapshot_path\":\"a\",\"mem_file_path\":\"b\"}", 400,
         "Snapshots come with hull's migration"},
        {"PUT", "/snapshot/load", "{}", 400, "Snapshots come with hull's migration"},
        {"PUT", "/actions", "{\"action_type\":\"Dance\"}", 400,
         "unknown variant `Dance`, expected one of `FlushMetrics`, `InstanceStart`, "
         "`SendCtrlAltDel`"},
        {"PUT", "/actions", "{\"action_type\":null}", 400, "invalid type: null, expected a string"},
        {"PUT", "/actions", "{\"action_type\":\"InstanceStart\",\"x\":1}", 400,
         "unknown field `x`, expected `action_type`"},
        {"PATCH", "/vm", "{\"state\":\"Running\"}", 400,
         "unknown variant `Running`, expected `Paused` or `Resumed`"},
    };
    EXPECT_ALL((struct fixture *)*state, exchanges);
}

static void test_machine(void **state)
{
    struct fixture *fixture = *state;
    expect_same(fixture, "/machine-config",
                "{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":false,\"track_dirty_pages\":false,"
                "\"huge_pages\":\"None\"}");
    static const struct exchange exchanges[] = {
        {"PUT", "/machine-config", "{\"mem_size_mib\": 128}", 400,
         DESERIALIZING "missing field `vcpu_count` at line 1 column 21.\""},
        {"PUT", "/machine-config", "{\"vcpu_count\": 2}", 400,
         "missing field `mem_size_mib` at line 1 column 17."},
        {"PUT", "/machine-config", "{\n \"vcpu_count\": 2}\n", 400, "at line 2 column 17."},
        {"PUT", "/machine-config", "{\"vcpu_count\":\"-2\",\"mem_size_mib\":1}", 400,
         "invalid type: string \\\"-2\\\", expected u32"},
        {"PUT", "/machine-config", "{\"vcpu_count\":-2,\"mem_size_mib\":1}", 400,
         "invalid value: integer `-2`, expected u32"},
        {"PUT", "/machine-config", "{\"vcpu_count\":1.5,\"mem_size_mib\":1}", 400,
         "invalid type: floating point `1.5`"},
        {"PUT", "/machine-config", "{\"vcpu_count\":4294967297,\"mem_size_mib\":1}", 400,
         "invalid value"},
        {"PUT", "/machine-config", "{\"vcpu_count\":1,\"mem_size_mib\":18446744073709551616}", 400,
         "error occurred when deserializing the json body of a request: invalid type"},
        {"PUT", "/machine-config", "{\"vcpu_count\":0,\"mem_size_mib\":128}", 400,
         "The vCPU number is invalid!"},
        {"PUT", "/machine-config", "{\"vcpu_count\":33,\"mem_size_mib\":128}", 400,
         "The vCPU number is invalid!"},
        {"PUT", "/machine-config", "{\"vcpu_count\":3,\"mem_size_mib\":128,\"smt\":true}", 400,
         "The vCPU number is invalid!"},
        {"PUT", "/machine-config", "{\"vcpu_count\":3,\"mem_size_mib\":128}", 204, NULL},
        {"PATCH", "/machine-config", "{\"smt\":true}", 400, "The vCPU number is invalid!"},
        {"PATCH", "/machine-config", "{\"smt\":\"yes\"}", 400,
         "invalid type: string \\\"yes\\\", expected a boolean"},
        {"PATCH", "/machine-config", "{\"mem_size_mib\":0}", 400,
         "The memory size (MiB) is either 0, or not a multiple of the configured page size."},
        {"PUT", "/machine-config", "{\"vcpu_count\":1,\"mem_size_mib\":3,\"huge_pages\":\"2M\"}",
         400, "not a multiple"},
        {"PATCH", "/machine-config", "{\"cpu_template\":\"X\"}", 400, "unknown variant `X`"},
        {"PATCH", "/machine-config", "{\"cpu_template\":\"V1N1\"}", 400, "aarch64"},
        {"PATCH", "/machine-config", "{\"huge_pages\":\"2M\",\"track_dirty_pages\":true}", 204,
         NULL},
    };
    EXPECT_ALL(fixture, exchanges);
    expect_same(fixture, "/machine-config",
                "{\"vcpu_count\":3,\"mem_size_mib\":128,\"smt\":false,\"track_dirty_pages\":true,"
                "\"huge_pages\":\"2M\"}");
    /* What a PUT doesn't say is the default again. */
    expect(fixture, "PUT", "/machine-config", "{\"vcpu_count\":32,\"mem_size_mib\":256}", 204,
           NULL);
    expect_same(fixture, "/machine-config",
                "{\"vcpu_count\":32,\"mem_size_mib\":256,\"smt\":false,\"track_dirty_pages\":false,"
                "\"huge_pages\":\"None\"}");
}

static void test_processor(void **state)
{
    struct fixture *fixture = *state;
    static const char good[] =
        "{\"kvm_capabilities\":[\"!56\"],\"cpuid_modifiers\":[{\"leaf\":\"0x1\",\"subleaf\":"
        "\"0b0\","
        "\"flags\":0,\"modifiers\":[{\"register\":\"ecx\",\"bitmap\":\"0b1_0x\"}]}],"
        "\"msr_modifiers\":[{\"addr\":\"0x10a\",\"bitmap\":\"0b1xx0\"}]}";
    static const struct exchange exchanges[] = {
        {"PATCH", "/machine-config", "{\"cpu_template\":\"T2\"}", 204, NULL},
        {"GET", "/machine-config", NULL, 200, "\"cpu_template\":\"T2\""},
        {"PUT", "/cpu-config", good, 204, NULL},
        {"PUT", "/cpu-config", "{\"foo\":false}", 400, "unknown field `foo`"},
        {"PUT", "/cpu-config", "{\"reg_modifiers\":[]}", 400, "aarch64"},
        {"PUT", "/cpu-config", "{\"kvm_capabilities\":[\"x\"]}", 400, "32-bit number"},
        {"PUT", "/cpu-config", "{\"kvm_capabilities\":[5]}", 400, "KVM capability"},
        {"PUT", "/cpu-config", "{\"msr_modifiers\":[{\"addr\":\"0x1\"}]}", 400,
         "missing field `bitmap`"},
        {"PUT", "/cpu-config", "{\"msr_modifiers\":[{\"addr\":\"0x1\",\"bitmap\":\"1\"}]}", 400,
         "bitmap"},
        {"PUT", "/cpu-config",
         "{\"msr_modifiers\":[{\"addr\":\"0x100000000\",\"bitmap\":\"0b1\"}]}", 400,
         "32-bit number"},
        {"PUT", "/cpu-config",
         "{\"cpuid_modifiers\":[{\"leaf\":\"1\",\"subleaf\":\"0\",\"flags\":0,\"modifiers\":[{"
         "\"register\":\"eax\",\"bitmap\":\"0b000000000000000000000000000000001\"}]}]}",
         400, "at most 32"},
        {"PUT", "/cpu-config",
         "{\"cpuid_modifiers\":[{\"leaf\":\"1\",\"subleaf\":\"0\",\"flags\":0,\"modifiers\":[{"
         "\"register\":\"rax\",\"bitmap\":\"0b1\"}]}]}",
         400, "unknown variant `rax`"},
    };
    EXPECT_ALL(fixture, exchanges);
    const struct cpu_settings *cpu = &control_settings(fixture->control)->cpu;
    assert_int_equal(cpu->capability_count, 1);
    assert_true(cpu->capabilities[0].removed && cpu->capabilities[0].number == 56);
    assert_int_equal(cpu->cpuid[0].leaf, 1);
    assert_int_equal(cpu->cpuid[0].ecx.filter, 6);
    assert_int_equal(cpu->cpuid[0].ecx.bits, 4);
    assert_int_equal(cpu->cpuid[0].eax.filter, 0);
    assert_int_equal(cpu->msrs[0].address, 0x10a);
    assert_int_equal(cpu->msrs[0].value.filter, 9);
    assert_int_equal(cpu->msrs[0].value.bits, 8);
    /* Of the template and it the last one counts. */
    assert_int_equal(control_settings(fixture->control)->machine.cpu_template, CPU_TEMPLATE_NONE);
    struct answer answer;
    ask(fixture, "PATCH", "/machine-config", "{\"cpu_template\":\"T2\"}", &answer);
    assert_non_null(strstr(answer.head, "Deprecation: true"));
    assert_false(cpu->given);
}

static void test_boot_source(void **state)
{
    struct fixture *fixture = *state;
    char *body = memory_format("{\"kernel_image_path\":\"kernel\",\"boot_args\":\"%2048d\"}", 1);
    expect(fixture, "PUT", "/boot-source", body, 400, "The kernel command line is invalid");
    free(body);
    static const struct exchange exchanges[] = {
        {"PUT", "/boot-source", "{\"kernel_image_path\":\"foo.bar\"}", 400,
         "Boot source error: The kernel file cannot be opened: No such file or directory (os error "
         "2)"},
        {"PUT", "/boot-source", "{\"kernel_image_path\":\".\"}", 400, "Is a directory"},
        {"PUT", "/boot-source", "{\"kernel_image_path\":\"kernel\",\"initrd_path\":\"none\"}", 400,
         "The initrd file cannot be opened"},
        {"PUT", "/boot-source", "{}", 400, "missing field `kernel_image_path`"},
        {"PUT", "/boot-source",
         "{\"kernel_image_path\":\"kernel\",\"initrd_path\":\"other\",\"boot_args\":\"a=b\"}", 204,
         NULL},
        {"PUT", "/boot-source", "{\"kernel_image_path\":\"nothing\"}", 400, "cannot be opened"},
        {"GET", "/vm/config", NULL, 200,
         "\"boot-source\":{\"kernel_image_path\":\"kernel\",\"initrd_path\":\"other\","
         "\"boot_args\":\"a=b\"}"},
    };
    EXPECT_ALL(fixture, exchanges);
}

static void test_metadata(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    static const struct exchange exchanges[] = {
        {"GET", "/mmds", NULL, 200, "{}"},
        {"PATCH", "/mmds", "{\"a\":1}", 400, "The MMDS data store is not initialized."},
        {"PUT", "/mmds", "[1]", 400, "JSON object"},
        {"PUT", "/mmds", "{\"a\":{\"b\":1,\"c\":\"x\\u0000y\"}}", 204, NULL},
        {"PATCH", "/mmds", "{\"a\":{\"b\":null,\"d\":2}}", 204, NULL},
        {"GET", "/mmds", NULL, 200, "{\"a\":{\"c\":\"x\\u0000y\",\"d\":2}}"},
        {"PUT", "/mmds/config", "{\"network_interfaces\":[]}", 400,
         "The list of network interface IDs that allow forwarding MMDS requests is empty."},
        {"PUT", "/mmds/config", "{\"network_interfaces\":[\"foo\"]}", 400,
         "The list of network interface IDs provided contains at least one ID that does not "
         "correspond to any existing network interface."},
        {"PUT", "/network-interfaces/1", "{\"iface_id\":\"1\",\"host_dev_name\":\"tap1\"}", 204,
         NULL},
        {"PUT", "/mmds/config", "{\"network_interfaces\":[\"1\",\"foo\"]}", 400, "at least one ID"},
        {"PUT", "/mmds/config", "{\"version\":\"foo\",\"network_interfaces\":[\"1\"]}", 400,
         DESERIALIZING "unknown variant `foo`, expected `V1` or `V2`"},
        {"PUT", "/mmds/config", "{\"ipv4_address\":\"\",\"network_interfaces\":[\"1\"]}", 400,
         "IPv4 address"},
        {"PUT", "/mmds/config", "{\"ipv4_address\":\"1.1.1.1\",\"network_interfaces\":[\"1\"]}",
         400, "link local"},
        {"PUT", "/mmds/config", "{\"ipv4_address\":\"169.254.0.1\",\"network_interfaces\":[\"1\"]}",
         400, "link local"},
    };
    EXPECT_ALL(fixture, exchanges);
    ask(fixture, "PUT", "/mmds/config", "{\"network_interfaces\":[\"1\"]}", &answer);
    assert_int_equal(answer.status, 204);
    assert_non_null(strstr(answer.head, "Deprecation: true"));
    expect(fixture, "GET", "/vm/config", NULL, 200,
           "\"mmds-config\":{\"version\":\"V1\",\"network_interfaces\":[\"1\"],\"ipv4_address\":"
           "\"169.254.169.254\",\"imds_compat\":false}");
    ask(fixture, "PUT", "/mmds/config",
        "{\"version\":\"V2\",\"ipv4_address\":\"169.254.169.250\",\"network_interfaces\":[\"1\"],"
        "\"imds_compat\":true}",
        &answer);
    assert_null(strstr(answer.head, "Deprecation"));
    expect(fixture, "GET", "/vm/config", NULL, 200, "169.254.169.250");
    /* The store is also written while the machine runs. */
    start(fixture);
    expect(fixture, "PUT", "/mmds", "{}", 204, NULL);
}

static void read_file(const char *name, char *text, size_t size)
{
    struct error err;
    size_t length;
    char *content = file_read_all(AT_FDCWD, name, size - 1, &length, &err);
    assert_non_null(content);
    memcpy(text, content, length + 1);
    free(content);
}

static void test_log_and_metrics(void **state)
{
    struct fixture *fixture = *state;
    static char text[262144];
    static const struct exchange exchanges[] = {
        {"PUT", "/logger", "{\"level\":\"loud\"}", 400, "unknown variant `loud`"},
        {"PUT", "/logger", "{\"log_path\":\"/none/log\"}", 400, "Failed to open"},
        {"PUT", "/logger",
         "{\"log_path\":\"log2\",\"level\":\"info\",\"show_level\":true,\"show_log_origin\":true}",
         204, NULL},
        {"PATCH", "/machine-config", "{\"vcpu_count\":4}", 204, NULL},
        {"PUT", "/mmds", "{\"secret\":1}", 204, NULL},
        {"PUT", "/boot-source", "{\"kernel_image_path\":\"nope\"}", 400, "cannot be opened"},
        {"PUT", "/metrics", "{}", 400, "missing field `metrics_path`"},
        {"PUT", "/metrics", "{\"metrics_path\":\"metrics\"}", 204, NULL},
        {"PUT", "/metrics", "{\"metrics_path\":\"other\"}", 400,
         "Reinitialization of metrics not allowed."},
    };
    EXPECT_ALL(fixture, exchanges);
    start(fixture);
    expect(fixture, "PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}", 204, NULL);
    read_file("metrics", text, sizeof text);
    json_t *line = json_loads(text, 0, NULL), *put = json_object_get(line, "put_api_requests");
    assert_int_equal(json_integer_value(json_object_get(put, "boot_source_count")), 2);
    assert_int_equal(json_integer_value(json_object_get(put, "boot_source_fails")), 1);
    assert_int_equal(json_integer_value(json_object_get(put, "metrics_fails")), 2);
    assert_int_equal(json_integer_value(json_object_get(put, "logger_count")), 3);
    json_decref(line);
    read_file("log2", text, sizeof text);
    assert_non_null(strstr(text, ":INFO:vm/control/api.c:"));
    assert_non_null(strstr(text, "The API server received a Patch request on \"/machine-config\" "
                                 "with body \"{\"vcpu_count\":4}\"."));
    assert_non_null(strstr(text, "The API server received a Put request on \"/mmds\"."));
    assert_null(strstr(text, "secret"));
    assert_non_null(strstr(text, "Received Error. Status code: 400 Bad Request. Message: Boot "
                                 "source error: The kernel file cannot be opened: No such file or "
                                 "directory (os error 2)"));
}

static void test_whole_configuration(void **state)
{
    expect_same(*state, "/vm/config",
                "{\"balloon\":null,\"drives\":[],\"boot-source\":null,\"cpu-config\":null,"
                "\"logger\":null,\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":"
                "false,\"track_dirty_pages\":false,\"huge_pages\":\"None\"},\"metrics\":null,"
                "\"mmds-config\":null,\"network-interfaces\":[],\"vsock\":null,\"entropy\":null,"
                "\"pmem\":[],\"memory-hotplug\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, begin, end),
        cmocka_unit_test_setup_teardown(test_bad_requests, begin, end),
        cmocka_unit_test_setup_teardown(test_machine, begin, end),
        cmocka_unit_test_setup_teardown(test_processor, begin, end),
        cmocka_unit_test_setup_teardown(test_boot_source, begin, end),
        cmocka_unit_test_setup_teardown(test_metadata, begin, end),
        cmocka_unit_test_setup_teardown(test_log_and_metrics, begin, end),
        cmocka_unit_test_setup_teardown(test_whole_configuration, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
