/* What a virtual machine is to be: read from Firecracker's JSON, checked, and printed back.
 *
 * The structures are filled from tables (settings_tables.c), which also print and free them. An
 * object that may be absent begins with `bool given`. Strings belong to the settings. Sizes whose
 * name ends in _mib are in units of 2^20 bytes. Nothing here opens or makes anything but what
 * settings_check… says. */
#ifndef HULL_VM_CONTROL_SETTINGS_H
#define HULL_VM_CONTROL_SETTINGS_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VM_MAX_VCPUS 32
#define VM_MAX_MEMORY_MIB (UINT64_C(1) << 26) /* 64 TiB: what 46 physical address bits reach */
#define VM_MAX_DEVICES 64                     /* of each kind */
#define VM_MAX_ID_LENGTH 64

/* A bucket of tokens that refills from empty to full in refill_time_ms. No limit at all if it
 * isn't given, or if size or refill_time_ms is 0 (how an update takes a limit away). */
struct token_bucket_settings {
    bool given;
    uint64_t size;           /* tokens: bytes or operations */
    uint64_t one_time_burst; /* tokens there once beside the bucket, at the very beginning */
    uint64_t refill_time_ms;
};

struct limiter_settings {
    bool given;
    struct token_bucket_settings bandwidth; /* of bytes */
    struct token_bucket_settings ops;       /* of requests, or packets */
};

struct boot_settings {
    bool given;
    char *kernel_path;
    char *initrd_path; /* or NULL */
    char *arguments;   /* the kernel's command line, or NULL for the monitor's default */
};

enum huge_pages { HUGE_PAGES_NONE, HUGE_PAGES_2M };
enum cpu_template {
    CPU_TEMPLATE_NONE,
    CPU_TEMPLATE_C3,
    CPU_TEMPLATE_T2,
    CPU_TEMPLATE_T2S,
    CPU_TEMPLATE_T2CL,
    CPU_TEMPLATE_T2A,
    CPU_TEMPLATE_V1N1,
};

struct machine_settings {
    bool given;
    uint32_t vcpu_count; /* 1–32; with smt 1 or even */
    bool smt;            /* two threads a core in the topology shown to the guest */
    uint64_t mem_size_mib;
    bool track_dirty_pages;
    enum huge_pages huge_pages;     /* that back the guest's memory */
    enum cpu_template cpu_template; /* of it and vm_settings.cpu only the one set last is left */
};

/* Bits of a register that are forced: result = (value & ~filter) | (bits & filter). */
struct register_mask {
    uint64_t filter;
    uint64_t bits;
};

struct cpuid_modifier {
    uint32_t leaf, subleaf;
    uint32_t flags; /* KVM_CPUID_FLAG_… */
    struct register_mask eax, ebx, ecx, edx;
};

struct msr_modifier {
    uint32_t address;
    struct register_mask value;
};

/* A KVM capability added to those the monitor insists on, or taken from them. */
struct capability_modifier {
    uint32_t number; /* KVM_CAP_… */
    bool removed;
};

struct cpu_settings {
    bool given;
    json_t *document; /* as it was given, for printing */
    struct capability_modifier *capabilities;
    size_t capability_count;
    struct cpuid_modifier *cpuid;
    size_t cpuid_count;
    struct msr_modifier *msrs;
    size_t msr_count;
};

enum cache_type { CACHE_UNSAFE, CACHE_WRITEBACK }; /* Unsafe: flushes aren't offered */
enum io_engine { IO_ENGINE_SYNC, IO_ENGINE_ASYNC };
enum drive_format {
    DRIVE_RAW,
    DRIVE_QCOW2,
    DRIVE_COMPOSITE, /* path is a description of vm/image/disk_layout.h; read-only */
};

struct drive_settings {
    char *id;
    char *path;     /* on the host */
    char *partuuid; /* of the root partition, or NULL */
    char *socket;   /* of a vhost-user server: known, and refused */
    bool is_root;
    bool is_read_only;
    enum cache_type cache_type;
    enum io_engine io_engine;
    enum drive_format format; /* hull's own */
    struct limiter_settings limiter;
};

struct mac_address {
    bool given;
    uint8_t bytes[6];
};

enum interface_backend { INTERFACE_TAP, INTERFACE_USER };

struct interface_settings {
    char *id;
    char *host_device;              /* the tap's name; NULL for INTERFACE_USER */
    enum interface_backend backend; /* hull's own: a tap, or the user-mode network */
    struct mac_address mac;
    uint32_t mtu; /* 0: not told to the guest */
    struct limiter_settings rx_limiter, tx_limiter;
};

struct pmem_settings {
    char *id;
    char *path;
    bool is_root;
    bool is_read_only;
    struct limiter_settings limiter;
};

/* A directory of the host, through virtio-fs: hull's own. */
struct filesystem_settings {
    char *id;
    char *path;
    char *tag; /* the name that the guest mounts */
    bool is_read_only;
};

struct vsock_settings {
    bool given;
    char *id; /* deprecated, without meaning; or NULL */
    uint32_t guest_cid;
    char *socket_path; /* Unix socket of the host side; PATH_PORT for what the guest opens */
};

struct entropy_settings {
    bool given;
    struct limiter_settings limiter;
};

struct balloon_settings {
    bool given;
    uint32_t amount_mib;
    bool deflate_on_oom;
    uint32_t statistics_interval_s; /* 0: no statistics at all */
    bool free_page_hinting;
    bool free_page_reporting;
};

struct serial_settings {
    bool given;
    char *output_path;                    /* file or named pipe; NULL: standard output */
    struct token_bucket_settings limiter; /* of bytes; what is above is dropped */
};

struct memory_hotplug_settings {
    bool given;
    uint32_t total_size_mib;
    uint32_t block_size_mib;
    uint32_t slot_size_mib;
};

enum metadata_version { METADATA_V1, METADATA_V2 };

struct metadata_settings {
    bool given;
    enum metadata_version version;
    struct in_addr address;
    char **interfaces; /* identifiers of those that answer */
    size_t interface_count;
    bool imds_compat; /* plain text whatever Accept says */
};

enum log_level {
    LOG_LEVEL_OFF,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_TRACE
};

struct logger_settings {
    bool given;
    char *path; /* file or named pipe; NULL: standard error */
    bool level_given;
    enum log_level level;
    bool show_level_given, show_level;
    bool show_origin_given, show_origin;
    char *module; /* a prefix of the origins that are written, or NULL */
};

struct metrics_settings {
    bool given;
    char *path;
};

struct vm_settings {
    struct boot_settings boot;
    struct machine_settings machine;
    struct cpu_settings cpu;
    struct drive_settings *drives; /* the root device first */
    size_t drive_count;
    struct interface_settings *interfaces;
    size_t interface_count;
    struct pmem_settings *pmem;
    size_t pmem_count;
    struct filesystem_settings *filesystems;
    size_t filesystem_count;
    struct vsock_settings vsock;
    struct entropy_settings entropy;
    struct balloon_settings balloon;
    struct serial_settings serial;
    struct memory_hotplug_settings memory_hotplug;
    struct metadata_settings metadata;
    struct logger_settings logger;
    struct metrics_settings metrics;
};

void vm_settings_initialize(struct vm_settings *settings);
void vm_settings_release(struct vm_settings *settings);

/* Reads and checks the document of --config-file, all of it before anything is made; *settings is
 * initialized and only changes if 0 is returned. Paths are as seen from the current directory. */
int vm_settings_read(struct vm_settings *settings, const char *text, size_t length,
                     struct error *err);
int vm_settings_read_file(struct vm_settings *settings, const char *path, struct error *err);

/* The same document back, with null for what isn't there; the caller has the reference. */
json_t *vm_settings_print(const struct vm_settings *settings);

/* By its identifier, or NULL. */
struct drive_settings *vm_settings_drive(const struct vm_settings *settings, const char *id);
struct interface_settings *vm_settings_interface(const struct vm_settings *settings,
                                                 const char *id);
struct pmem_settings *vm_settings_pmem(const struct vm_settings *settings, const char *id);

/* Each checks *item against *settings and then moves it there, in the place of the one with its
 * identifier; *item is zeroed. On an error both stay as they were. Files are opened to see that
 * they can be. */
int vm_settings_put_drive(struct vm_settings *settings, struct drive_settings *item,
                          struct error *err);
int vm_settings_put_interface(struct vm_settings *settings, struct interface_settings *item,
                              struct error *err);
int vm_settings_put_pmem(struct vm_settings *settings, struct pmem_settings *item,
                         struct error *err);
int vm_settings_put_filesystem(struct vm_settings *settings, struct filesystem_settings *item,
                               struct error *err);
int vm_settings_put_boot(struct vm_settings *settings, struct boot_settings *item,
                         struct error *err);
int vm_settings_put_machine(struct vm_settings *settings, const struct machine_settings *item,
                            struct error *err);
int vm_settings_put_cpu(struct vm_settings *settings, struct cpu_settings *item);
int vm_settings_put_vsock(struct vm_settings *settings, struct vsock_settings *item,
                          struct error *err);
int vm_settings_put_balloon(struct vm_settings *settings, const struct balloon_settings *item,
                            struct error *err);
int vm_settings_put_memory_hotplug(struct vm_settings *settings,
                                   const struct memory_hotplug_settings *item, struct error *err);
int vm_settings_put_metadata(struct vm_settings *settings, struct metadata_settings *item,
                             struct error *err);

/* Takes the one with the identifier out. */
void vm_settings_remove_drive(struct vm_settings *settings, const char *id);
void vm_settings_remove_interface(struct vm_settings *settings, const char *id);
void vm_settings_remove_pmem(struct vm_settings *settings, const char *id);

/* What an update says of a limiter: the buckets that are given take the place of the old ones. */
void limiter_settings_update(struct limiter_settings *limiter,
                             const struct limiter_settings *update);

#endif
