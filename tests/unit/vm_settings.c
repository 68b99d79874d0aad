/* The settings of a VM: whole documents of --config-file, their errors, and printing them back. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "vm/control/settings.h"

static char directory[] = "/tmp/hull-vm-settings-XXXXXX";

static void make_file(const char *name, const char *content)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, content, strlen(content)), 0);
    close(fd);
}

static int make_directory(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    make_file("kernel", "k");
    make_file("disk", "d");
    return 0;
}

static int remove_directory(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(chdir("/"), 0);
    return remove_tree(AT_FDCWD, directory, NULL, &err);
}

/* As Firecracker's own example, with nulls for what isn't there. */
static const char full[] =
    "{\"boot-source\":{\"kernel_image_path\":\"kernel\",\"boot_args\":\"console=ttyS0\","
    "\"initrd_path\":null},"
    "\"drives\":[{\"drive_id\":\"data\",\"partuuid\":null,\"is_root_device\":false,\"cache_type\":"
    "\"Writeback\",\"is_read_only\":false,\"path_on_host\":\"disk\",\"io_engine\":\"Async\","
    "\"rate_limiter\":{\"bandwidth\":{\"size\":1000,\"one_time_burst\":5,\"refill_time\":100},"
    "\"ops\":null},\"socket\":null},"
    "{\"drive_id\":\"rootfs\",\"partuuid\":\"0eaa91a0-01\",\"is_root_device\":true,\"cache_type\":"
    "\"Unsafe\",\"is_read_only\":true,\"path_on_host\":\"disk\",\"io_engine\":\"Sync\","
    "\"rate_limiter\":null,\"socket\":null,\"format\":\"Qcow2\"}],"
    "\"machine-config\":{\"vcpu_count\":2,\"mem_size_mib\":1024,\"smt\":false,"
    "\"track_dirty_pages\":false,\"huge_pages\":\"None\"},"
    "\"cpu-config\":null,\"balloon\":{\"amount_mib\":1,\"deflate_on_oom\":true,"
    "\"stats_polling_interval_s\":0,\"free_page_hinting\":false,\"free_page_reporting\":true},"
    "\"network-interfaces\":[{\"iface_id\":\"1\",\"host_dev_name\":\"tap0\",\"guest_mac\":"
    "\"06:00:c0:a8:00:02\",\"mtu\":1400,\"rx_rate_limiter\":null,\"tx_rate_limiter\":null}],"
    "\"vsock\":{\"guest_cid\":3,\"uds_path\":\"v.sock\"},"
    "\"logger\":{\"log_path\":\"log\",\"level\":\"Debug\",\"show_level\":true,\"show_log_origin\":"
    "false,\"module\":null},\"metrics\":{\"metrics_path\":\"metrics\"},"
    "\"mmds-config\":{\"network_interfaces\":[\"1\"],\"ipv4_address\":\"169.254.169.250\","
    "\"version\":\"V2\",\"imds_compat\":true},\"entropy\":{\"rate_limiter\":null},"
    "\"pmem\":[{\"id\":\"p\",\"path_on_host\":\"disk\",\"root_device\":false,\"read_only\":true,"
    "\"rate_limiter\":null}],"
    "\"memory-hotplug\":{\"total_size_mib\":1024,\"block_size_mib\":2,\"slot_size_mib\":128},"
    "\"serial\":{\"serial_out_path\":\"out\",\"rate_limiter\":null},"
    "\"filesystems\":[{\"id\":\"f\",\"path_on_host\":\".\",\"tag\":\"share\",\"read_only\":true}]}";

static void test_full_document(void **state)
{
    struct vm_settings settings;
    struct error err = {0};
    (void)state;
    vm_settings_initialize(&settings);
    if (vm_settings_read(&settings, full, strlen(full), &err) < 0)
        fail_msg("%s", err.text);
    /* The root device comes first, whatever the order of the file. */
    assert_int_equal(settings.drive_count, 2);
    assert_string_equal(settings.drives[0].id, "rootfs");
    assert_true(settings.drives[0].format == DRIVE_QCOW2 && settings.drives[0].is_root);
    assert_string_equal(settings.drives[0].partuuid, "0eaa91a0-01");
    assert_true(settings.drives[1].cache_type == CACHE_WRITEBACK &&
                settings.drives[1].io_engine == IO_ENGINE_ASYNC);
    assert_true(settings.drives[1].limiter.bandwidth.given &&
                !settings.drives[1].limiter.ops.given);
    assert_int_equal(settings.drives[1].limiter.bandwidth.one_time_burst, 5);
    assert_int_equal(settings.interfaces[0].mac.bytes[2], 0xc0);
    assert_int_equal(settings.interfaces[0].mtu, 1400);
    assert_true(settings.balloon.free_page_reporting && settings.pmem[0].is_read_only);
    assert_string_equal(settings.filesystems[0].tag, "share");
    assert_int_equal(settings.logger.level, LOG_LEVEL_DEBUG);
    assert_int_equal(settings.metadata.address.s_addr, htonl(0xa9fea9fa));
    assert_string_equal(settings.serial.output_path, "out");

    /* What is printed says the same, and reads as the same. */
    json_t *printed = vm_settings_print(&settings);
    char *text = json_dumps(printed, 0);
    struct vm_settings again;
    vm_settings_initialize(&again);
    assert_int_equal(vm_settings_read(&again, text, strlen(text), &err), 0);
    json_t *reprinted = vm_settings_print(&again), *given = json_loads(full, 0, NULL);
    assert_true(json_equal(printed, reprinted));
    json_t *drives = json_object_get(given, "drives");
    json_array_append(drives, json_array_get(drives, 0));
    json_array_remove(drives, 0);
    assert_true(json_equal(printed, given));
    json_decref(printed);
    json_decref(reprinted);
    json_decref(given);
    free(text);
    vm_settings_release(&again);
    vm_settings_release(&settings);
}

static void test_smallest_document(void **state)
{
    struct vm_settings settings;
    struct error err = {0};
    static const char text[] = "{\"boot-source\":{\"kernel_image_path\":\"kernel\"}}";
    (void)state;
    vm_settings_initialize(&settings);
    assert_int_equal(vm_settings_read(&settings, text, strlen(text), &err), 0);
    assert_int_equal(settings.machine.vcpu_count, 1);
    assert_int_equal(settings.machine.mem_size_mib, 128);
    assert_false(settings.vsock.given || settings.balloon.given || settings.metadata.given);
    assert_null(settings.boot.arguments);
    vm_settings_release(&settings);
}

#define BOOT "\"boot-source\":{\"kernel_image_path\":\"kernel\"}"
#define DRIVE "{\"drive_id\":\"a\",\"path_on_host\":\"disk\",\"is_root_device\":true}"

static void test_errors_change_nothing(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "line 1"},
        {"{}", "missing field `boot-source`"},
        {"[]", "invalid type: sequence, expected struct VmmConfig"},
        {"{" BOOT ",\"disks\":[]}", "unknown field `disks`, expected one of `balloon`, `drives`"},
        {"{" BOOT ",\"drives\":{}}", "invalid type: map, expected a sequence in `drives`"},
        {"{" BOOT ",\"drives\":[5]}",
         "invalid type: integer `5`, expected struct BlockDeviceConfig in element 0 in `drives`"},
        {"{" BOOT ",\"drives\":[" DRIVE ",{\"drive_id\":\"b\"}]}",
         "missing field `is_root_device` in element 1 in `drives`"},
        {"{" BOOT ",\"drives\":[" DRIVE ",{\"drive_id\":\"b\",\"path_on_host\":\"disk\","
         "\"is_root_device\":true}]}",
         "A root block device already exists"},
        {"{" BOOT ",\"machine-config\":{\"mem_size_mib\":1024}}",
         "missing field `vcpu_count` in `machine-config`"},
        {"{" BOOT ",\"machine-config\":{\"vcpu_count\":1}}", "missing field `mem_size_mib`"},
        {"{" BOOT ",\"machine-config\":{\"vcpu_count\":33,\"mem_size_mib\":1}}", "vCPU number"},
        {"{" BOOT ",\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":67108865}}", "above"},
        {"{" BOOT ",\"balloon\":{\"amount_mib\":500,\"deflate_on_oom\":true}}", "cannot fit"},
        {"{" BOOT ",\"mmds-config\":{\"network_interfaces\":[\"x\"]}}", "at least one ID"},
        {"{" BOOT ",\"mmds-config\":{\"network_interfaces\":[7]}}", "expected a string"},
        {"{" BOOT ",\"cpu-config\":\"none\"}", "cpu-config 'none'"},
        {"{" BOOT ",\"cpu-config\":{\"x\":1}}", "unknown field `x` in `cpu-config`"},
        {"{" BOOT ",\"boot-source\":{\"kernel_image_path\":\"kernel\"}}", "duplicate"},
        {"{\"boot-source\":{\"kernel_image_path\":\"kernel\",\"kernel\":1}}",
         "unknown field `kernel`, expected one of `kernel_image_path`, `initrd_path`, `boot_args` "
         "in `boot-source`"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vm_settings settings;
        struct error err = {0};
        vm_settings_initialize(&settings);
        assert_int_equal(vm_settings_read(&settings, cases[i].text, strlen(cases[i].text), &err),
                         -1);
        if (!strstr(err.text, cases[i].error))
            fail_msg("%s: got '%s', expected '%s'", cases[i].text, err.text, cases[i].error);
        assert_int_equal(settings.drive_count, 0);
        assert_false(settings.boot.given);
        vm_settings_release(&settings);
    }
}

static void test_file(void **state)
{
    struct vm_settings settings;
    struct error err = {0};
    (void)state;
    vm_settings_initialize(&settings);
    assert_int_equal(vm_settings_read_file(&settings, "no.json", &err), -1);
    assert_non_null(strstr(err.text, "Configuration for VMM from one single json failed"));
    make_file("cpu.json", "{\"kvm_capabilities\":[\"171\",\"!172\"]}");
    make_file("vm.json", "{" BOOT ",\"cpu-config\":\"cpu.json\"}");
    assert_int_equal(vm_settings_read_file(&settings, "vm.json", &err), 0);
    assert_int_equal(settings.cpu.capability_count, 2);
    assert_int_equal(settings.cpu.capabilities[0].number, 171);
    assert_true(!settings.cpu.capabilities[0].removed && settings.cpu.capabilities[1].removed);
    /* A second document takes the place of the first. */
    make_file("vm.json", "{" BOOT ",\"drives\":[" DRIVE "]}");
    assert_int_equal(vm_settings_read_file(&settings, "vm.json", &err), 0);
    assert_false(settings.cpu.given);
    assert_int_equal(settings.drive_count, 1);
    vm_settings_release(&settings);
}

static void test_lists_are_bounded(void **state)
{
    struct vm_settings settings;
    struct error err = {0};
    (void)state;
    vm_settings_initialize(&settings);
    for (int i = 0; i <= VM_MAX_DEVICES; i++) {
        struct drive_settings drive = {.id = memory_format("d%d", i),
                                       .path = memory_copy_string("disk")};
        int status = vm_settings_put_drive(&settings, &drive, &err);
        assert_int_equal(status, i < VM_MAX_DEVICES ? 0 : -1);
        /* It is moved, or it is still ours. */
        assert_true(status == 0 ? !drive.id : drive.id != NULL);
        free(drive.id);
        free(drive.path);
    }
    assert_non_null(strstr(err.text, "no more can be had"));
    vm_settings_remove_drive(&settings, "d7");
    assert_null(vm_settings_drive(&settings, "d7"));
    assert_string_equal(vm_settings_drive(&settings, "d8")->id, "d8");
    assert_int_equal(settings.drive_count, VM_MAX_DEVICES - 1);
    vm_settings_release(&settings);
}

static void test_limiter_update(void **state)
{
    struct limiter_settings limiter = {0};
    struct limiter_settings update = {.bandwidth = {true, 5, 0, 6}};
    (void)state;
    limiter_settings_update(&limiter, &update);
    assert_false(limiter.given);
    update.given = true;
    limiter_settings_update(&limiter, &update);
    assert_true(limiter.given && limiter.bandwidth.size == 5 && !limiter.ops.given);
    update = (struct limiter_settings){.given = true, .ops = {true, 0, 0, 0}};
    limiter_settings_update(&limiter, &update);
    assert_true(limiter.bandwidth.size == 5 && limiter.ops.given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_document),         cmocka_unit_test(test_smallest_document),
        cmocka_unit_test(test_errors_change_nothing), cmocka_unit_test(test_file),
        cmocka_unit_test(test_lists_are_bounded),     cmocka_unit_test(test_limiter_update),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
