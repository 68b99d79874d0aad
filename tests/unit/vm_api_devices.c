/* The devices in the API of hull-vmm: each before and after the start, hot-plugged, and refused. */
#include "vm_api_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_drives, begin, end),
        cmocka_unit_test_setup_teardown(test_hotplug, begin_pci, end),
        cmocka_unit_test_setup_teardown(test_interfaces, begin, end),
        cmocka_unit_test_setup_teardown(test_pmem, begin, end),
        cmocka_unit_test_setup_teardown(test_single_devices, begin, end),
        cmocka_unit_test_setup_teardown(test_balloon, begin, end),
        cmocka_unit_test_setup_teardown(test_balloon_without_extras, begin, end),
        cmocka_unit_test_setup_teardown(test_memory_hotplug, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
