/* The API of hull-vmm over a real socket: each resource before and after the start, and each way in
 * which a body can be wrong. */
#include <poll.h>

#include "vm_api_fixture.h"

#define TOO_EARLY "The requested operation is not supported before starting the microVM."
#define TOO_LATE "The requested operation is not supported after starting the microVM."
#define DESERIALIZING "An error occurred when deserializing the json body of a request: "

static int begin(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, false, 51200, 51200);
    *state = fixture;
    return 0;
}

static int begin_pci(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, true, 51200, 51200);
    *state = fixture;
    return 0;
}

static int begin_small(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, false, 250, 100);
    *state = fixture;
    return 0;
}

static int begin_large(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, false, 2 << 20, 2 << 20);
    *state = fixture;
    return 0;
}

static int end(void **state)
{
    fixture_end(*state);
    free(*state);
    return 0;
}

static void start(struct fixture *fixture)
{
    expect(fixture, "PUT", "/boot-source", "{\"kernel_image_path\":\"kernel\"}", 204, NULL);
    expect(fixture, "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 204, NULL);
}

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

#define DRIVE(id, path, root)                                                                      \
    "{\"drive_id\":\"" id "\",\"path_on_host\":\"" path "\",\"is_root_device\":" root "}"

static void test_drives(void **state)
{
    struct fixture *fixture = *state;
    static const struct exchange before[] = {
        {"PUT", "/drives/a", DRIVE("a", "disk", "false"), 204, NULL},
        {"PUT", "/drives/root", DRIVE("root", "disk", "true"), 204, NULL},
        {"PUT", "/drives/a", DRIVE("a", "disk", "true"), 400,
         "Drive config error: A root block device already exists!"},
        {"PUT", "/drives/a", DRIVE("a", "foo.bar", "false"), 400,
         "Error manipulating the backing file: No such file or directory (os error 2) foo.bar"},
        {"PUT", "/drives/a", DRIVE("b", "disk", "false"), 400,
         "The id from the path [a] does not match the id from the body [b]!"},
        {"PUT", "/drives/a-b", DRIVE("a-b", "disk", "false"), 400,
         "API Resource IDs can only contain alphanumeric characters and underscores."},
        {"PUT", "/drives/", DRIVE("", "disk", "false"), 400, "The ID cannot be empty."},
        {"PUT", "/drives/a", "{\"drive_id\":\"a\",\"is_root_device\":false}", 400,
         "missing field `path_on_host`"},
        {"PUT", "/drives/a", "{\"drive_id\":\"a\",\"is_root_device\":false,\"socket\":\"s\"}", 400,
         "vhost-user drives can't be had"},
        {"PUT", "/drives/a",
         "{\"drive_id\":\"a\",\"path_on_host\":\"disk\",\"is_root_device\":false,\"rate_limiter\":{"
         "\"bandwidth\":{\"size\":1}}}",
         400, "missing field `refill_time` in `bandwidth` in `rate_limiter`"},
        {"PUT", "/drives/a",
         "{\"drive_id\":\"a\",\"path_on_host\":\"disk\",\"is_root_device\":false,\"io_engine\":"
         "\"Fast\"}",
         400, "unknown variant `Fast`, expected `Sync` or `Async`"},
        {"PATCH", "/drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"other\"}", 400, TOO_EARLY},
    };
    EXPECT_ALL(fixture, before);
    start(fixture);
    static const struct exchange after[] = {
        {"PATCH", "/drives/a", "{\"drive_id\":\"a\"}", 400,
         "Running method expected different backend."},
        {"PATCH", "/drives/none", "{\"drive_id\":\"none\",\"path_on_host\":\"disk\"}", 400,
         "not found"},
        {"PATCH", "/drives/a", "{\"drive_id\":\"a\",\"is_read_only\":true}", 400,
         "unknown field `is_read_only`, expected one of `drive_id`, `path_on_host`, "
         "`rate_limiter`"},
        {"PATCH", "/drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"foo.bar\"}", 400,
         "Error manipulating the backing file: No such file or directory (os error 2) foo.bar"},
        {"PATCH", "/drives/a",
         "{\"drive_id\":\"a\",\"path_on_host\":\"other\",\"rate_limiter\":{\"bandwidth\":{\"size\":"
         "7,\"refill_time\":100}}}",
         204, NULL},
    };
    EXPECT_ALL(fixture, after);
    assert_string_equal(fixture->told, "update drive a other 10 7");
    expect(fixture, "PATCH", "/drives/a",
           "{\"drive_id\":\"a\",\"rate_limiter\":{\"ops\":{\"size\":9,\"refill_time\":1,"
           "\"one_time_burst\":5}}}",
           204, NULL);
    assert_string_equal(fixture->told, "update drive a - 01 0");
    /* What the machine refuses isn't in the settings either. */
    fixture->refuses = true;
    expect(fixture, "PATCH", "/drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"disk\"}", 400,
           "the machine refuses");
    struct answer answer;
    ask(fixture, "GET", "/vm/config", NULL, &answer);
    json_t *document = json_loads(answer.body, 0, NULL);
    json_t *wanted = json_loads(
        "[{\"drive_id\":\"root\",\"partuuid\":null,\"is_root_device\":true,\"cache_type\":"
        "\"Unsafe\",\"is_read_only\":false,\"path_on_host\":\"disk\",\"rate_limiter\":null,"
        "\"io_engine\":\"Sync\",\"socket\":null},"
        "{\"drive_id\":\"a\",\"partuuid\":null,\"is_root_device\":false,\"cache_type\":\"Unsafe\","
        "\"is_read_only\":false,\"path_on_host\":\"other\",\"rate_limiter\":{\"bandwidth\":{"
        "\"size\":7,\"one_time_burst\":null,\"refill_time\":100},\"ops\":{\"size\":9,"
        "\"one_time_burst\":5,\"refill_time\":1}},\"io_engine\":\"Sync\",\"socket\":null}]",
        0, NULL);
    assert_true(json_equal(json_object_get(document, "drives"), wanted));
    json_decref(document);
    json_decref(wanted);
}

static void test_hotplug(void **state)
{
    struct fixture *fixture = *state;
    expect(fixture, "PUT", "/drives/root", DRIVE("root", "disk", "true"), 204, NULL);
    expect(fixture, "DELETE", "/drives/root", NULL, 400, TOO_EARLY);
    start(fixture);
    expect(fixture, "PUT", "/drives/b", DRIVE("b", "other", "false"), 204, NULL);
    assert_string_equal(fixture->told, "attach drive b other");
    static const struct exchange drives[] = {
        {"PUT", "/drives/b", DRIVE("b", "other", "false"), 400, "Device ID in use"},
        {"PUT", "/drives/r", DRIVE("r", "other", "true"), 400,
         "A root block device already exists"},
        {"PUT", "/drives/c", DRIVE("c", "/none/such", "false"), 400, "No such file or directory"},
        {"DELETE", "/drives/none", NULL, 400, "Device not found"},
        {"DELETE", "/drives/root", NULL, 400, "Cannot unplug root device"},
        {"DELETE", "/drives/b", NULL, 204, NULL},
        {"DELETE", "/drives/b", NULL, 400, "Device not found"},
        {"PUT", "/pmem/p", "{\"id\":\"p\",\"path_on_host\":\"disk\",\"root_device\":true}", 400,
         "Attempt to add pmem as a root device"},
        {"PUT", "/pmem/p", "{\"id\":\"p\",\"path_on_host\":\"disk\"}", 204, NULL},
        {"PUT", "/pmem/p", "{\"id\":\"p\",\"path_on_host\":\"disk\"}", 400, "Device ID in use"},
        {"DELETE", "/pmem/p", NULL, 204, NULL},
        {"PUT", "/network-interfaces/n",
         "{\"iface_id\":\"n\",\"host_dev_name\":\"tap0\",\"guest_mac\":\"06:00:00:00:00:01\"}", 204,
         NULL},
        {"PUT", "/network-interfaces/n", "{\"iface_id\":\"n\",\"host_dev_name\":\"tap1\"}", 400,
         "Device ID in use"},
        {"PUT", "/network-interfaces/m",
         "{\"iface_id\":\"m\",\"host_dev_name\":\"tap1\",\"guest_mac\":\"06:00:00:00:00:01\"}", 400,
         "The MAC address is already in use: 06:00:00:00:00:01"},
        {"PUT", "/network-interfaces/m", "{\"iface_id\":\"m\",\"host_dev_name\":\"tap0\"}", 400,
         "Resource busy"},
        {"DELETE", "/network-interfaces/none", NULL, 400, "Device not found"},
        {"DELETE", "/network-interfaces/n", NULL, 204, NULL},
    };
    EXPECT_ALL(fixture, drives);
    assert_string_equal(fixture->told, "detach interface n");
    /* What can't be attached isn't there. */
    fixture->refuses = true;
    expect(fixture, "PUT", "/drives/d", DRIVE("d", "other", "false"), 400, "the machine refuses");
    assert_null(vm_settings_drive(control_settings(fixture->control), "d"));
}

static void test_interfaces(void **state)
{
    struct fixture *fixture = *state;
    static const struct exchange before[] = {
        {"PUT", "/network-interfaces/1",
         "{\"iface_id\":\"1\",\"host_dev_name\":\"tap1\",\"guest_mac\":\"06:00:00:00:00:01\"}", 204,
         NULL},
        {"PUT", "/network-interfaces/2",
         "{\"iface_id\":\"2\",\"host_dev_name\":\"tap2\",\"guest_mac\":\"07:00:00:00:00:01\"}", 400,
         "multicast"},
        {"PUT", "/network-interfaces/2",
         "{\"iface_id\":\"2\",\"host_dev_name\":\"tap2\",\"guest_mac\":\"06:00:00:00:00:01\"}", 400,
         "The MAC address is already in use: 06:00:00:00:00:01"},
        {"PUT", "/network-interfaces/2", "{\"iface_id\":\"2\",\"host_dev_name\":\"tap1\"}", 400,
         "Could not create the network device"},
        {"PUT", "/network-interfaces/2", "{\"iface_id\":\"2\"}", 400,
         "missing field `host_dev_name`"},
        {"PUT", "/network-interfaces/2", "{\"iface_id\":\"2\",\"host_dev_name\":\"a/b\"}", 400,
         "Invalid interface name"},
        {"PUT", "/network-interfaces/2",
         "{\"iface_id\":\"2\",\"host_dev_name\":\"tap2\",\"guest_mac\":\"06:00:00:00:00\"}", 400,
         "MAC address"},
        {"PUT", "/network-interfaces/2",
         "{\"iface_id\":\"2\",\"host_dev_name\":\"tap2\",\"mtu\":67}", 400, "MTU"},
        {"PUT", "/network-interfaces/2",
         "{\"iface_id\":\"2\",\"host_dev_name\":\"tap2\",\"mtu\":9000}", 204, NULL},
        {"PUT", "/network-interfaces/3", "{\"iface_id\":\"3\",\"backend\":\"User\"}", 204, NULL},
        {"PATCH", "/network-interfaces/1", "{\"iface_id\":\"1\"}", 400, TOO_EARLY},
    };
    EXPECT_ALL(fixture, before);
    start(fixture);
    expect(fixture, "PATCH", "/network-interfaces/1",
           "{\"iface_id\":\"1\",\"tx_rate_limiter\":{\"bandwidth\":null,\"ops\":{\"size\":1,"
           "\"refill_time\":77}}}",
           204, NULL);
    assert_string_equal(fixture->told, "update interface 1 01 77");
    expect(fixture, "PATCH", "/network-interfaces/9", "{\"iface_id\":\"9\"}", 400, "not found");
    expect(fixture, "GET", "/vm/config", NULL, 200,
           "\"network-interfaces\":[{\"iface_id\":\"1\",\"host_dev_name\":\"tap1\",\"guest_mac\":"
           "\"06:00:00:00:00:01\",\"mtu\":null,\"rx_rate_limiter\":null,\"tx_rate_limiter\":{"
           "\"bandwidth\":null,\"ops\":{\"size\":1,\"one_time_burst\":null,\"refill_time\":77}}},");
}

static void test_pmem(void **state)
{
    struct fixture *fixture = *state;
    static const struct exchange before[] = {
        {"PUT", "/pmem/pmem", "{\"id\":\"pmem\"}", 400,
         DESERIALIZING "missing field `path_on_host`"},
        {"PUT", "/pmem/pmem", "{\"id\":\"pmem\",\"path_on_host\":\"empty\"}", 400,
         "Error backing file size is 0"},
        {"PUT", "/drives/a", DRIVE("a", "disk", "true"), 204, NULL},
        {"PUT", "/pmem/pmem", "{\"id\":\"pmem\",\"path_on_host\":\"disk\",\"root_device\":true}",
         400,
         "Attempt to add pmem as a root device while the root device defined as a block device"},
        {"PUT", "/drives/a", DRIVE("a", "disk", "false"), 204, NULL},
        {"PUT", "/pmem/pmem", "{\"id\":\"pmem\",\"path_on_host\":\"disk\",\"root_device\":true}",
         204, NULL},
        {"PUT", "/pmem/pmem2", "{\"id\":\"pmem2\",\"path_on_host\":\"disk\",\"root_device\":true}",
         400, "A root pmem device already exist"},
        {"PUT", "/pmem/pmem",
         "{\"id\":\"pmem\",\"path_on_host\":\"disk\",\"rate_limiter\":{\"ops\":{\"size\":10,"
         "\"refill_time\":1000}}}",
         204, NULL},
        {"PATCH", "/pmem/none", "{\"id\":\"none\"}", 400, TOO_EARLY},
    };
    EXPECT_ALL(fixture, before);
    start(fixture);
    expect(fixture, "PATCH", "/pmem/pmem",
           "{\"id\":\"pmem\",\"rate_limiter\":{\"ops\":{\"size\":100,\"refill_time\":500}}}", 204,
           NULL);
    assert_string_equal(fixture->told, "update pmem pmem 100");
    static const struct exchange after[] = {
        {"PATCH", "/pmem/pmem", "{\"id\":\"pmem\"}", 204, NULL},
        {"PATCH", "/pmem/pmem", "{\"id\":\"pmem\",\"path_on_host\":\"x\"}", 400, "unknown field"},
        {"PATCH", "/pmem/none", "{\"id\":\"none\"}", 400, "not found"},
        {"GET", "/vm/config", NULL, 200,
         "\"pmem\":[{\"id\":\"pmem\",\"path_on_host\":\"disk\",\"root_device\":false,\"read_only\":"
         "false,\"rate_limiter\":{\"bandwidth\":null,\"ops\":{\"size\":100,\"one_time_burst\":null,"
         "\"refill_time\":500}}}]"},
    };
    EXPECT_ALL(fixture, after);
}

static void test_single_devices(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    static const struct exchange exchanges[] = {
        {"PUT", "/vsock", "{\"guest_cid\":2,\"uds_path\":\"v\"}", 400, "Vsock config error"},
        {"PUT", "/vsock", "{\"guest_cid\":15,\"uds_path\":\"\"}", 400, "Vsock config error"},
        {"PUT", "/vsock", "{\"guest_cid\":15,\"uds_path\":\"v\"}", 204, NULL},
        {"PUT", "/vsock", "{\"guest_cid\":166,\"uds_path\":\"v.sock\"}", 204, NULL},
        {"PUT", "/entropy", "{}", 204, NULL},
        {"PUT", "/entropy",
         "{\"rate_limiter\":{\"bandwidth\":{\"size\":1000000,\"refill_time\":100}}}", 204, NULL},
        {"PUT", "/entropy", "{\"source\":1}", 400, "unknown field `source`"},
        {"PUT", "/serial",
         "{\"serial_out_path\":\"out\",\"rate_limiter\":{\"size\":5,\"refill_time\":6}}", 204,
         NULL},
        {"PUT", "/serial", "{\"rate_limiter\":{\"bandwidth\":{}}}", 400,
         "unknown field `bandwidth`"},
        {"PUT", "/filesystems/f", "{\"id\":\"f\",\"path_on_host\":\"none\",\"tag\":\"t\"}", 400,
         "No such file"},
        {"PUT", "/filesystems/f", "{\"id\":\"f\",\"path_on_host\":\".\",\"tag\":\"\"}", 400, "tag"},
        {"PUT", "/filesystems/f", "{\"id\":\"f\",\"path_on_host\":\".\",\"tag\":\"t\"}", 204, NULL},
        {"PUT", "/filesystems/g", "{\"id\":\"g\",\"path_on_host\":\".\",\"tag\":\"t\"}", 400,
         "the tag 't' is that of 'f'"},
        {"GET", "/vm/config", NULL, 200, "\"vsock\":{\"guest_cid\":166,\"uds_path\":\"v.sock\"}"},
        {"GET", "/vm/config", NULL, 200,
         "\"serial\":{\"serial_out_path\":\"out\",\"rate_limiter\":{\"size\":5,"},
    };
    EXPECT_ALL(fixture, exchanges);
    ask(fixture, "PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"v\",\"vsock_id\":\"a\"}",
        &answer);
    assert_int_equal(answer.status, 204);
    assert_non_null(strstr(answer.head, "Deprecation: true"));
    ask(fixture, "PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"v\"}", &answer);
    assert_null(strstr(answer.head, "Deprecation"));
}

static void test_balloon(void **state)
{
    struct fixture *fixture = *state;
    static const struct exchange before[] = {
        {"GET", "/balloon", NULL, 400, "No balloon device found"},
        {"PATCH", "/balloon", "{\"amount_mib\":0}", 400, TOO_EARLY},
        {"PUT", "/balloon", "{\"amount_mib\":129,\"deflate_on_oom\":true}", 400,
         "Amount of pages requested cannot fit"},
        {"PUT", "/balloon", "{\"amount_mib\":1}", 400, "missing field `deflate_on_oom`"},
        {"PUT", "/balloon",
         "{\"amount_mib\":64,\"deflate_on_oom\":false,\"stats_polling_interval_s\":5,"
         "\"free_page_hinting\":true}",
         204, NULL},
        {"PATCH", "/machine-config", "{\"mem_size_mib\":32}", 400,
         "Amount of pages requested cannot fit"},
        {"GET", "/balloon/statistics", NULL, 400, TOO_EARLY},
        {"PATCH", "/balloon/hinting/start", NULL, 400, TOO_EARLY},
    };
    EXPECT_ALL(fixture, before);
    start(fixture);
    expect(fixture, "PATCH", "/balloon", "{\"amount_mib\":4}", 204, NULL);
    assert_string_equal(fixture->told, "balloon 4");
    expect(fixture, "PATCH", "/balloon", "{\"amount_mib\":300}", 400, "cannot fit");
    expect_same(fixture, "/balloon",
                "{\"amount_mib\":4,\"deflate_on_oom\":false,\"stats_polling_interval_s\":5,"
                "\"free_page_hinting\":true,\"free_page_reporting\":false}");
    expect_same(fixture, "/balloon/statistics",
                "{\"target_pages\":1024,\"actual_pages\":512,\"target_mib\":4,\"actual_mib\":2,"
                "\"free_memory\":12345,\"direct_reclaim\":9223372036854775807}");
    expect(fixture, "PATCH", "/balloon/statistics", "{\"stats_polling_interval_s\":0}", 400,
           "Statistics cannot be enabled/disabled after activation.");
    expect(fixture, "PATCH", "/balloon/statistics", "{\"stats_polling_interval_s\":9}", 204, NULL);
    assert_string_equal(fixture->told, "interval 9");
    expect(fixture, "PATCH", "/balloon/hinting/start", NULL, 204, NULL);
    assert_string_equal(fixture->told, "hinting 1");
    expect(fixture, "PATCH", "/balloon/hinting/start", "{\"acknowledge_on_stop\":false}", 204,
           NULL);
    assert_string_equal(fixture->told, "hinting 0");
    expect(fixture, "PATCH", "/balloon/hinting/start", "{\"ack\":1}", 400, "unknown field `ack`");
    expect_same(fixture, "/balloon/hinting/status", "{\"host_cmd\":2,\"guest_cmd\":1}");
    expect(fixture, "PATCH", "/balloon/hinting/stop", NULL, 204, NULL);
    assert_string_equal(fixture->told, "hinting stop");
}

static void test_balloon_without_extras(void **state)
{
    struct fixture *fixture = *state;
    expect(fixture, "PUT", "/balloon", "{\"amount_mib\":4,\"deflate_on_oom\":true}", 204, NULL);
    start(fixture);
    static const struct exchange after[] = {
        {"GET", "/balloon/statistics", NULL, 400, "Statistics are not enabled"},
        {"PATCH", "/balloon/statistics", "{\"stats_polling_interval_s\":1}", 400,
         "Statistics cannot be enabled/disabled after activation."},
        {"PATCH", "/balloon/hinting/start", NULL, 400, "hinting is not enabled"},
        {"GET", "/balloon/hinting/status", NULL, 400, "hinting is not enabled"},
        {"PATCH", "/balloon/hinting/stop", NULL, 400, "hinting is not enabled"},
        {"GET", "/hotplug/memory", NULL, 400, "No memory hotplug device found"},
        {"PATCH", "/hotplug/memory", "{\"requested_size_mib\":2}", 400,
         "No memory hotplug device found"},
    };
    EXPECT_ALL(fixture, after);
}

static void test_memory_hotplug(void **state)
{
    struct fixture *fixture = *state;
    static const struct exchange before[] = {
        {"GET", "/hotplug/memory", NULL, 400, TOO_EARLY},
        {"PATCH", "/hotplug/memory", "{\"requested_size_mib\":512}", 400, TOO_EARLY},
        {"PUT", "/hotplug/memory", "{}", 400, "missing field `total_size_mib`"},
        {"PUT", "/hotplug/memory", "{\"total_size_mib\":1000}", 400, "multiple of slot_size_mib"},
        {"PUT", "/hotplug/memory", "{\"total_size_mib\":1024,\"block_size_mib\":3}", 400,
         "power of 2"},
        {"PUT", "/hotplug/memory", "{\"total_size_mib\":1024,\"slot_size_mib\":64}", 400,
         "slot_size_mib"},
        {"PUT", "/hotplug/memory", "{\"total_size_mib\":18446744073709551000}", 400,
         "invalid type"},
        {"PUT", "/hotplug/memory",
         "{\"total_size_mib\":1024,\"block_size_mib\":128,\"slot_size_mib\":1024}", 204, NULL},
        {"PUT", "/hotplug/memory", "{\"total_size_mib\":1024}", 204, NULL},
    };
    EXPECT_ALL(fixture, before);
    start(fixture);
    expect(fixture, "PATCH", "/hotplug/memory", "{\"requested_size_mib\":512}", 204, NULL);
    assert_string_equal(fixture->told, "hotplug 512");
    expect(fixture, "PATCH", "/hotplug/memory", "{\"requested_size_mib\":2048}", 400, "above");
    expect(fixture, "PATCH", "/hotplug/memory", "{\"requested_size_mib\":3}", 400, "multiple");
    expect_same(fixture, "/hotplug/memory",
                "{\"total_size_mib\":1024,\"block_size_mib\":2,\"slot_size_mib\":128,"
                "\"plugged_size_mib\":64,\"requested_size_mib\":512}");
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

static void test_limits(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    char body[300];
    /* Above 100 bytes: the store's limit; above 250: the server's. */
    snprintf(body, sizeof body, "{\"a\":\"%0*d\"}", 92, 0);
    expect(fixture, "PUT", "/mmds", body, 204, NULL);
    snprintf(body, sizeof body, "{\"a\":\"%0*d\"}", 93, 0);
    expect(fixture, "PUT", "/mmds", body, 413, "The MMDS patch request doesn't fit.");
    expect(fixture, "PATCH", "/mmds", "{\"b\":1}", 413, "doesn't fit");
    expect(fixture, "PATCH", "/mmds", "{\"a\":1}", 204, NULL);
    expect_same(fixture, "/mmds", "{\"a\":1}");
    /* It is refused before the body was sent. */
    static const char announced[] =
        "PUT /mmds HTTP/1.1\r\nHost: localhost\r\nContent-Length: 260\r\n\r\nsome body";
    send_bytes(fixture->connection, announced, strlen(announced));
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "Request payload with size 260 is larger than the limit of "
                                        "250 allowed by server.\\nAll previous unanswered requests "
                                        "will be dropped."));
    close(fixture->connection);
    /* A chunked body says no length in advance. */
    fixture->connection = connect_to(fixture->socket);
    char *chunk = memory_format("PUT /mmds HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
                                "chunked\r\n\r\n100\r\n%0256d\r\n100\r\n%0256d\r\n0\r\n\r\n",
                                0, 0);
    send_bytes(fixture->connection, chunk, strlen(chunk));
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "is larger than the limit of 250"));
    free(chunk);
    close(fixture->connection);
    /* And others are still served. */
    fixture->connection = connect_to(fixture->socket);
    expect(fixture, "GET", "/version", NULL, 200, "1.16.1");
}

/* With larger limits a megabyte goes in, and out again as it was; curl waits for a 100 first. */
static void test_large_body(void **state)
{
    struct fixture *fixture = *state;
    static char text[1 << 20], got[(1 << 20) + 4096];
    struct answer answer;
    memset(text, 'b', sizeof text - 1);
    char *body = memory_format("{\"a\":\"%s\"}", text);
    size_t length = strlen(body), have = 0;
    char *head = memory_format("PUT /mmds HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                               "Content-Length: %zu\r\n\r\n",
                               length);
    send_bytes(fixture->connection, head, strlen(head));
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 100);
    send_bytes(fixture->connection, body, length);
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 204);
    static const char request[] = "GET /mmds HTTP/1.1\r\nHost: localhost\r\n\r\n";
    send_bytes(fixture->connection, request, strlen(request));
    const char *end = NULL;
    while (!end || have < (size_t)(end + 4 - got) + length) {
        ssize_t count = recv(fixture->connection, got + have, sizeof got - 1 - have, 0);
        assert_true(count > 0);
        have += (size_t)count;
        end = strstr(got, "\r\n\r\n");
    }
    assert_memory_equal(end + 4, body, length);
    free(body);
    free(head);
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

static void test_socket_in_use(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct api_server *server;
    struct api_server_options options = {.socket_path = fixture->socket, .body_limit = 1};
    assert_int_equal(
        api_server_start(&server, fixture->control, &fixture->handover, &options, &err), -1);
    assert_non_null(strstr(err.text, "Failed to open the API socket at: "));
    assert_non_null(strstr(err.text, "Check that it is not already used."));
    expect(fixture, "GET", "/version", NULL, 200, "1.16.1");
}

struct move {
    struct fixture *fixture;
    struct loop *loop;
};

static void move_to_other_loop(void *argument)
{
    struct move *move = argument;
    handover_move(&move->fixture->handover, move->loop);
    control_move(move->fixture->control, move->loop);
    move->fixture->loop.done = true;
}

/* The machine's loop takes over from the one that waited for its start. */
static void test_move_to_another_loop(void **state)
{
    struct fixture *fixture = *state;
    struct loop first, other;
    struct error err;
    start(fixture);
    assert_int_equal(loop_open(&other, &err), 0);
    struct move move = {fixture, &other};
    assert_int_equal(handover_call(&fixture->handover, move_to_other_loop, &move), 0);
    pthread_join(fixture->thread, NULL);
    assert_null(fixture->loop.timers);
    first = fixture->loop;
    loop_close(&first);
    fixture->loop = other;
    handover_move(&fixture->handover, &fixture->loop);
    control_move(fixture->control, &fixture->loop);
    /* The minute's flush of the metrics came along. */
    assert_non_null(fixture->loop.timers);
    assert_int_equal(pthread_create(&fixture->thread, NULL, turn_loop, &fixture->loop), 0);
    expect(fixture, "GET", "/", NULL, 200, "Running");
}

static int refuse_thread(void *context, struct error *err)
{
    (void)context;
    return error_set(err, 0, "no filter for it");
}

static void test_thread_that_is_not_confined(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct api_server *server;
    struct api_server_options options = {
        .socket_path = "second", .body_limit = 1, .confine_thread = refuse_thread};
    assert_int_equal(
        api_server_start(&server, fixture->control, &fixture->handover, &options, &err), -1);
    assert_string_equal(err.text, "no filter for it");
    assert_int_equal(access("second", F_OK), -1);
}

/* A loop that ends while a request waits for it. */
static void test_stop_with_a_request_waiting(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(handover_call(&fixture->handover, end_loop, &fixture->loop), 0);
    pthread_join(fixture->thread, NULL);
    send_bytes(fixture->connection, request, strlen(request));
    /* The request is in the queue when the loop would be woken. */
    struct pollfd wake = {.fd = fixture->handover.wake.fd, .events = POLLIN};
    assert_int_equal(poll(&wake, 1, 10000), 1);
    api_server_stop(fixture->server);
    fixture->server = NULL;
    read_answer(fixture->connection, &answer);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.body, "shutting down"));
    close(fixture->connection);
    assert_int_equal(handover_call(&fixture->handover, end_loop, &fixture->loop), -1);
    control_destroy(fixture->control);
    handover_release(&fixture->handover);
    log_close();
    metrics_destroy(fixture->metrics);
    loop_close(&fixture->loop);
    assert_int_equal(chdir("/"), 0);
    struct error err;
    assert_int_equal(remove_tree(AT_FDCWD, fixture->directory, NULL, &err), 0);
    free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, begin, end),
        cmocka_unit_test_setup_teardown(test_bad_requests, begin, end),
        cmocka_unit_test_setup_teardown(test_machine, begin, end),
        cmocka_unit_test_setup_teardown(test_processor, begin, end),
        cmocka_unit_test_setup_teardown(test_boot_source, begin, end),
        cmocka_unit_test_setup_teardown(test_drives, begin, end),
        cmocka_unit_test_setup_teardown(test_hotplug, begin_pci, end),
        cmocka_unit_test_setup_teardown(test_interfaces, begin, end),
        cmocka_unit_test_setup_teardown(test_pmem, begin, end),
        cmocka_unit_test_setup_teardown(test_single_devices, begin, end),
        cmocka_unit_test_setup_teardown(test_balloon, begin, end),
        cmocka_unit_test_setup_teardown(test_balloon_without_extras, begin, end),
        cmocka_unit_test_setup_teardown(test_memory_hotplug, begin, end),
        cmocka_unit_test_setup_teardown(test_metadata, begin, end),
        cmocka_unit_test_setup_teardown(test_limits, begin_small, end),
        cmocka_unit_test_setup_teardown(test_large_body, begin_large, end),
        cmocka_unit_test_setup_teardown(test_log_and_metrics, begin, end),
        cmocka_unit_test_setup_teardown(test_whole_configuration, begin, end),
        cmocka_unit_test_setup_teardown(test_socket_in_use, begin, end),
        cmocka_unit_test_setup_teardown(test_move_to_another_loop, begin, end),
        cmocka_unit_test_setup_teardown(test_thread_that_is_not_confined, begin, end),
        cmocka_unit_test_setup(test_stop_with_a_request_waiting, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
