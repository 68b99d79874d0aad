/* The fields of each object: names and order are those of Firecracker's API definition. */
#include "vm/control/settings.h"
#include "vm/control/settings_field.h"

#define FIELD(type, json, kind_name, member)                                                       \
    .name = json, .kind = SETTINGS_##kind_name, .offset = offsetof(struct type, member)

static const struct settings_field token_bucket_fields[] = {
    {FIELD(token_bucket_settings, "size", U64, size), .required = true},
    {FIELD(token_bucket_settings, "one_time_burst", U64, one_time_burst), .nullable = true},
    {FIELD(token_bucket_settings, "refill_time", U64, refill_time_ms), .required = true},
    {0},
};
static const struct settings_object token_bucket = {"TokenBucket", token_bucket_fields,
                                                    sizeof(struct token_bucket_settings), NULL};

static const struct settings_field rate_limiter_fields[] = {
    {FIELD(limiter_settings, "bandwidth", OBJECT, bandwidth), .object = &token_bucket},
    {FIELD(limiter_settings, "ops", OBJECT, ops), .object = &token_bucket},
    {0},
};
static const struct settings_object rate_limiter = {"RateLimiter", rate_limiter_fields,
                                                    sizeof(struct limiter_settings), NULL};

static const struct settings_field boot_fields[] = {
    {FIELD(boot_settings, "kernel_image_path", STRING, kernel_path), .required = true},
    {FIELD(boot_settings, "initrd_path", STRING, initrd_path)},
    {FIELD(boot_settings, "boot_args", STRING, arguments)},
    {0},
};
const struct settings_object settings_boot = {"BootSource", boot_fields,
                                              sizeof(struct boot_settings), NULL};

static const char *const huge_pages[] = {"None", "2M", NULL};
static const char *const cpu_templates[] = {"None", "C3", "T2", "T2S", "T2CL", "T2A", "V1N1", NULL};

static const struct settings_field machine_fields[] = {
    {FIELD(machine_settings, "vcpu_count", U32, vcpu_count), .required = true},
    {FIELD(machine_settings, "mem_size_mib", U64, mem_size_mib), .required = true},
    {FIELD(machine_settings, "smt", BOOLEAN, smt)},
    {FIELD(machine_settings, "cpu_template", CHOICE, cpu_template), .choices = cpu_templates,
     .hidden = true},
    {FIELD(machine_settings, "track_dirty_pages", BOOLEAN, track_dirty_pages)},
    {FIELD(machine_settings, "huge_pages", CHOICE, huge_pages), .choices = huge_pages},
    {0},
};
static const struct machine_settings machine_defaults = {
    .given = true, .vcpu_count = 1, .mem_size_mib = 128};
const struct settings_object settings_machine = {
    "MachineConfig", machine_fields, sizeof(struct machine_settings), &machine_defaults};

static const char *const cache_types[] = {"Unsafe", "Writeback", NULL};
static const char *const io_engines[] = {"Sync", "Async", NULL};
static const char *const drive_formats[] = {"Raw", "Qcow2", "Composite", NULL};

static const struct settings_field drive_fields[] = {
    {FIELD(drive_settings, "drive_id", STRING, id), .required = true},
    {FIELD(drive_settings, "partuuid", STRING, partuuid)},
    {FIELD(drive_settings, "is_root_device", BOOLEAN, is_root), .required = true},
    {FIELD(drive_settings, "cache_type", CHOICE, cache_type), .choices = cache_types},
    {FIELD(drive_settings, "is_read_only", BOOLEAN, is_read_only)},
    {FIELD(drive_settings, "path_on_host", STRING, path)},
    {FIELD(drive_settings, "rate_limiter", OBJECT, limiter), .object = &rate_limiter},
    {FIELD(drive_settings, "io_engine", CHOICE, io_engine), .choices = io_engines},
    {FIELD(drive_settings, "socket", STRING, socket)},
    {FIELD(drive_settings, "format", CHOICE, format), .choices = drive_formats, .hidden = true},
    {0},
};
const struct settings_object settings_drive = {"BlockDeviceConfig", drive_fields,
                                               sizeof(struct drive_settings), NULL};

static const struct settings_field drive_update_fields[] = {
    {FIELD(drive_settings, "drive_id", STRING, id), .required = true},
    {FIELD(drive_settings, "path_on_host", STRING, path)},
    {FIELD(drive_settings, "rate_limiter", OBJECT, limiter), .object = &rate_limiter},
    {0},
};
const struct settings_object settings_drive_update = {
    "BlockDeviceUpdateConfig", drive_update_fields, sizeof(struct drive_settings), NULL};

static const char *const backends[] = {"Tap", "User", NULL};

static const struct settings_field interface_fields[] = {
    {FIELD(interface_settings, "iface_id", STRING, id), .required = true},
    {FIELD(interface_settings, "host_dev_name", STRING, host_device)},
    {FIELD(interface_settings, "guest_mac", MAC, mac)},
    {FIELD(interface_settings, "mtu", U32, mtu), .nullable = true},
    {FIELD(interface_settings, "rx_rate_limiter", OBJECT, rx_limiter), .object = &rate_limiter},
    {FIELD(interface_settings, "tx_rate_limiter", OBJECT, tx_limiter), .object = &rate_limiter},
    {FIELD(interface_settings, "backend", CHOICE, backend), .choices = backends, .hidden = true},
    {0},
};
const struct settings_object settings_interface = {"NetworkInterfaceConfig", interface_fields,
                                                   sizeof(struct interface_settings), NULL};

static const struct settings_field interface_update_fields[] = {
    {FIELD(interface_settings, "iface_id", STRING, id), .required = true},
    {FIELD(interface_settings, "rx_rate_limiter", OBJECT, rx_limiter), .object = &rate_limiter},
    {FIELD(interface_settings, "tx_rate_limiter", OBJECT, tx_limiter), .object = &rate_limiter},
    {0},
};
const struct settings_object settings_interface_update = {"NetworkInterfaceUpdateConfig",
                                                          interface_update_fields,
                                                          sizeof(struct interface_settings), NULL};

static const struct settings_field pmem_fields[] = {
    {FIELD(pmem_settings, "id", STRING, id), .required = true},
    {FIELD(pmem_settings, "path_on_host", STRING, path), .required = true},
    {FIELD(pmem_settings, "root_device", BOOLEAN, is_root)},
    {FIELD(pmem_settings, "read_only", BOOLEAN, is_read_only)},
    {FIELD(pmem_settings, "rate_limiter", OBJECT, limiter), .object = &rate_limiter},
    {0},
};
const struct settings_object settings_pmem = {"PmemConfig", pmem_fields,
                                              sizeof(struct pmem_settings), NULL};

static const struct settings_field pmem_update_fields[] = {
    {FIELD(pmem_settings, "id", STRING, id), .required = true},
    {FIELD(pmem_settings, "rate_limiter", OBJECT, limiter), .object = &rate_limiter},
    {0},
};
const struct settings_object settings_pmem_update = {"PmemUpdateConfig", pmem_update_fields,
                                                     sizeof(struct pmem_settings), NULL};

static const struct settings_field filesystem_fields[] = {
    {FIELD(filesystem_settings, "id", STRING, id), .required = true},
    {FIELD(filesystem_settings, "path_on_host", STRING, path), .required = true},
    {FIELD(filesystem_settings, "tag", STRING, tag), .required = true},
    {FIELD(filesystem_settings, "read_only", BOOLEAN, is_read_only)},
    {0},
};
const struct settings_object settings_filesystem = {"FilesystemConfig", filesystem_fields,
                                                    sizeof(struct filesystem_settings), NULL};

static const struct settings_field vsock_fields[] = {
    {FIELD(vsock_settings, "guest_cid", U32, guest_cid), .required = true},
    {FIELD(vsock_settings, "uds_path", STRING, socket_path), .required = true},
    {FIELD(vsock_settings, "vsock_id", STRING, id), .hidden = true},
    {0},
};
const struct settings_object settings_vsock = {"VsockDeviceConfig", vsock_fields,
                                               sizeof(struct vsock_settings), NULL};

static const struct settings_field entropy_fields[] = {
    {FIELD(entropy_settings, "rate_limiter", OBJECT, limiter), .object = &rate_limiter},
    {0},
};
const struct settings_object settings_entropy = {"EntropyDeviceConfig", entropy_fields,
                                                 sizeof(struct entropy_settings), NULL};

static const struct settings_field balloon_fields[] = {
    {FIELD(balloon_settings, "amount_mib", U32, amount_mib), .required = true},
    {FIELD(balloon_settings, "deflate_on_oom", BOOLEAN, deflate_on_oom), .required = true},
    {FIELD(balloon_settings, "stats_polling_interval_s", U32, statistics_interval_s)},
    {FIELD(balloon_settings, "free_page_hinting", BOOLEAN, free_page_hinting)},
    {FIELD(balloon_settings, "free_page_reporting", BOOLEAN, free_page_reporting)},
    {0},
};
const struct settings_object settings_balloon = {"BalloonDeviceConfig", balloon_fields,
                                                 sizeof(struct balloon_settings), NULL};

static const struct settings_field serial_fields[] = {
    {FIELD(serial_settings, "serial_out_path", STRING, output_path)},
    {FIELD(serial_settings, "rate_limiter", OBJECT, limiter), .object = &token_bucket},
    {0},
};
const struct settings_object settings_serial = {"SerialConfig", serial_fields,
                                                sizeof(struct serial_settings), NULL};

static const struct settings_field memory_hotplug_fields[] = {
    {FIELD(memory_hotplug_settings, "total_size_mib", U32, total_size_mib), .required = true},
    {FIELD(memory_hotplug_settings, "block_size_mib", U32, block_size_mib)},
    {FIELD(memory_hotplug_settings, "slot_size_mib", U32, slot_size_mib)},
    {0},
};
static const struct memory_hotplug_settings memory_hotplug_defaults = {.block_size_mib = 2,
                                                                       .slot_size_mib = 128};
const struct settings_object settings_memory_hotplug = {
    "MemoryHotplugConfig", memory_hotplug_fields, sizeof(struct memory_hotplug_settings),
    &memory_hotplug_defaults};

static const char *const metadata_versions[] = {"V1", "V2", NULL};

static const struct settings_field metadata_fields[] = {
    {FIELD(metadata_settings, "version", CHOICE, version), .choices = metadata_versions},
    {FIELD(metadata_settings, "network_interfaces", STRINGS, interfaces), .required = true,
     .count_offset = offsetof(struct metadata_settings, interface_count)},
    {FIELD(metadata_settings, "ipv4_address", ADDRESS, address)},
    {FIELD(metadata_settings, "imds_compat", BOOLEAN, imds_compat)},
    {0},
};
static const struct metadata_settings metadata_defaults = {
    .address.s_addr = __builtin_bswap32(0xa9fea9fe)}; /* 169.254.169.254 */
const struct settings_object settings_metadata = {
    "MmdsConfig", metadata_fields, sizeof(struct metadata_settings), &metadata_defaults};

/* In the order of enum log_level. */
static const char *const log_levels[] = {"Off", "Error", "Warning", "Info", "Debug", "Trace", NULL};

static const struct settings_field logger_fields[] = {
    {FIELD(logger_settings, "log_path", STRING, path)},
    {FIELD(logger_settings, "level", CHOICE, level), .choices = log_levels, .any_case = true,
     .flag_offset = offsetof(struct logger_settings, level_given)},
    {FIELD(logger_settings, "show_level", BOOLEAN, show_level),
     .flag_offset = offsetof(struct logger_settings, show_level_given)},
    {FIELD(logger_settings, "show_log_origin", BOOLEAN, show_origin),
     .flag_offset = offsetof(struct logger_settings, show_origin_given)},
    {FIELD(logger_settings, "module", STRING, module)},
    {0},
};
static const struct logger_settings logger_defaults = {.level = LOG_LEVEL_INFO};
const struct settings_object settings_logger = {"LoggerConfig", logger_fields,
                                                sizeof(struct logger_settings), &logger_defaults};

static const struct settings_field metrics_fields[] = {
    {FIELD(metrics_settings, "metrics_path", STRING, path), .required = true},
    {0},
};
const struct settings_object settings_metrics = {"MetricsConfig", metrics_fields,
                                                 sizeof(struct metrics_settings), NULL};

#define SECTION(json, member)                                                                      \
    .name = json, .kind = SETTINGS_OBJECT, .offset = offsetof(struct vm_settings, member)
#define SECTIONS(json, member, count)                                                              \
    .name = json, .kind = SETTINGS_LIST, .offset = offsetof(struct vm_settings, member),           \
    .count_offset = offsetof(struct vm_settings, count)

static const struct settings_field vm_fields[] = {
    {SECTION("balloon", balloon), .object = &settings_balloon},
    {SECTIONS("drives", drives, drive_count), .object = &settings_drive},
    {SECTION("boot-source", boot), .object = &settings_boot, .required = true},
    {.name = "cpu-config", .kind = SETTINGS_CPU, .offset = offsetof(struct vm_settings, cpu)},
    {SECTION("logger", logger), .object = &settings_logger},
    {SECTION("machine-config", machine), .object = &settings_machine},
    {SECTION("metrics", metrics), .object = &settings_metrics},
    {SECTION("mmds-config", metadata), .object = &settings_metadata},
    {SECTIONS("network-interfaces", interfaces, interface_count), .object = &settings_interface},
    {SECTION("vsock", vsock), .object = &settings_vsock},
    {SECTION("entropy", entropy), .object = &settings_entropy},
    {SECTIONS("pmem", pmem, pmem_count), .object = &settings_pmem},
    {SECTION("memory-hotplug", memory_hotplug), .object = &settings_memory_hotplug},
    {SECTION("serial", serial), .object = &settings_serial, .hidden = true},
    {SECTIONS("filesystems", filesystems, filesystem_count), .object = &settings_filesystem,
     .hidden = true},
    {0},
};
static const struct vm_settings vm_defaults = {
    .machine = {.given = true, .vcpu_count = 1, .mem_size_mib = 128}};
const struct settings_object settings_vm = {"VmmConfig", vm_fields, sizeof(struct vm_settings),
                                            &vm_defaults};
