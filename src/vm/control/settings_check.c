#include "vm/control/settings_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/scope.h"

#define MAX_COMMAND_LINE 2048 /* COMMAND_LINE_SIZE of Linux on x86 */
#define MAX_TAG_LENGTH 36     /* virtio 1.2, 5.11.4 */

struct settings_reason settings_reason(int code)
{
    struct settings_reason reason;
    /* Firecracker is linked with musl, whose words differ for these. */
    const char *text = code == EBUSY    ? "Resource busy"
                       : code == ENOMEM ? "Out of memory"
                                        : strerror(code);
    snprintf(reason.text, sizeof reason.text, "%.100s (os error %d)", text, code);
    return reason;
}

int settings_check_id(const char *id, struct error *err)
{
    if (!*id)
        return error_set(err, 0, "The ID cannot be empty.");
    if (strlen(id) > VM_MAX_ID_LENGTH)
        return error_set(err, 0, "Invalid ID: it is longer than %d characters.", VM_MAX_ID_LENGTH);
    for (const char *at = id; *at; at++) {
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || *at == '_'))
            return error_set(
                err, 0,
                "API Resource IDs can only contain alphanumeric characters and underscores.");
    }
    return 0;
}

/* 0, or an errno. A named pipe is not waited for. */
static int try_open(const char *path, int flags, struct stat *status)
{
    scope_close int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 || fstat(fd, status) < 0 ? errno : 0;
}

int settings_check_boot(const struct boot_settings *boot, struct error *err)
{
    struct stat status;
    int code = try_open(boot->kernel_path, O_RDONLY, &status);
    if (code == 0 && !S_ISREG(status.st_mode))
        code = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    if (code)
        return error_set(err, 0, "Boot source error: The kernel file cannot be opened: %s",
                         settings_reason(code).text);
    if (boot->initrd_path) {
        code = try_open(boot->initrd_path, O_RDONLY, &status);
        if (code == 0 && !S_ISREG(status.st_mode))
            code = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        if (code)
            return error_set(err, 0,
                             "Boot source error: The initrd file cannot be opened due to invalid "
                             "path or invalid permissions. %s",
                             settings_reason(code).text);
    }
    if (boot->arguments && strlen(boot->arguments) >= MAX_COMMAND_LINE)
        return error_set(err, 0,
                         "Boot source error: The kernel command line is invalid: it is longer "
                         "than %d bytes",
                         MAX_COMMAND_LINE - 1);
    return 0;
}

int settings_check_drive_file(const char *path, bool is_read_only, struct error *err)
{
    struct stat status;
    int code = try_open(path, is_read_only ? O_RDONLY : O_RDWR, &status);
    if (code == 0 && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        code = EINVAL;
    if (code)
        return error_set(err, 0, "Error manipulating the backing file: %s %s",
                         settings_reason(code).text, path);
    return 0;
}

static const struct pmem_settings *root_pmem(const struct vm_settings *settings)
{
    for (size_t i = 0; i < settings->pmem_count; i++) {
        if (settings->pmem[i].is_root)
            return &settings->pmem[i];
    }
    return NULL;
}

static const struct drive_settings *root_drive(const struct vm_settings *settings)
{
    for (size_t i = 0; i < settings->drive_count; i++) {
        if (settings->drives[i].is_root)
            return &settings->drives[i];
    }
    return NULL;
}

static int check_count(size_t count, bool replaces, struct error *err)
{
    return replaces || count < VM_MAX_DEVICES
               ? 0
               : error_set(err, 0, "there are %d such devices, and no more can be had",
                           VM_MAX_DEVICES);
}

static int check_drive(const struct vm_settings *settings, const struct drive_settings *drive,
                       struct error *err)
{
    const struct drive_settings *root = root_drive(settings);
    if (settings_check_id(drive->id, err) < 0 ||
        check_count(settings->drive_count, vm_settings_drive(settings, drive->id), err) < 0)
        return -1;
    if (drive->socket)
        return error_set(err, 0,
                         "vhost-user drives can't be had: give `path_on_host` instead of "
                         "`socket`");
    if (!drive->path)
        return error_set(err, 0, "missing field `path_on_host`");
    if (drive->is_root && root && strcmp(root->id, drive->id) != 0)
        return error_set(err, 0, "A root block device already exists!");
    if (drive->is_root && root_pmem(settings))
        return error_set(err, 0,
                         "Attempt to add block as a root device while the root device "
                         "defined as a pmem device");
    if (drive->format == DRIVE_COMPOSITE && !drive->is_read_only)
        return error_set(err, 0, "a composite drive can only be read: set `is_read_only`");
    return settings_check_drive_file(drive->path, drive->is_read_only, err);
}

int settings_check_drive(const struct vm_settings *settings, const struct drive_settings *drive,
                         struct error *err)
{
    return check_drive(settings, drive, err) < 0 ? error_wrap(err, "Drive config error") : 0;
}

static int check_pmem(const struct vm_settings *settings, const struct pmem_settings *pmem,
                      struct error *err)
{
    const struct pmem_settings *root = root_pmem(settings);
    struct stat status;
    if (settings_check_id(pmem->id, err) < 0 ||
        check_count(settings->pmem_count, vm_settings_pmem(settings, pmem->id), err) < 0)
        return -1;
    if (pmem->is_root && root_drive(settings))
        return error_set(err, 0,
                         "Attempt to add pmem as a root device while the root device "
                         "defined as a block device");
    if (pmem->is_root && root && strcmp(root->id, pmem->id) != 0)
        return error_set(err, 0, "A root pmem device already exist");
    int code = try_open(pmem->path, pmem->is_read_only ? O_RDONLY : O_RDWR, &status);
    if (code == 0 && !S_ISREG(status.st_mode))
        code = EINVAL;
    if (code)
        return error_set(err, 0, "Error accessing backing file: %s %s", settings_reason(code).text,
                         pmem->path);
    if (status.st_size == 0)
        return error_set(err, 0, "Error backing file size is 0");
    return 0;
}

int settings_check_pmem(const struct vm_settings *settings, const struct pmem_settings *pmem,
                        struct error *err)
{
    return check_pmem(settings, pmem, err) < 0 ? error_wrap(err, "Pmem config error") : 0;
}

static int check_filesystem(const struct vm_settings *settings,
                            const struct filesystem_settings *filesystem, struct error *err)
{
    bool replaces = false;
    if (settings_check_id(filesystem->id, err) < 0)
        return -1;
    if (!*filesystem->tag || strlen(filesystem->tag) > MAX_TAG_LENGTH)
        return error_set(err, 0, "the tag has to have 1 to %d bytes", MAX_TAG_LENGTH);
    for (size_t i = 0; i < settings->filesystem_count; i++) {
        const struct filesystem_settings *other = &settings->filesystems[i];
        if (strcmp(other->id, filesystem->id) == 0)
            replaces = true;
        else if (strcmp(other->tag, filesystem->tag) == 0)
            return error_set(err, 0, "the tag '%s' is that of '%s'", other->tag, other->id);
    }
    struct stat status;
    int code = try_open(filesystem->path, O_PATH | O_DIRECTORY, &status);
    if (code)
        return error_set(err, 0, "the directory can't be opened: %s %s", settings_reason(code).text,
                         filesystem->path);
    return check_count(settings->filesystem_count, replaces, err);
}

int settings_check_filesystem(const struct vm_settings *settings,
                              const struct filesystem_settings *filesystem, struct error *err)
{
    return check_filesystem(settings, filesystem, err) < 0
               ? error_wrap(err, "File system config error")
               : 0;
}

int settings_check_machine(const struct machine_settings *machine,
                           const struct balloon_settings *balloon, struct error *err)
{
    if (machine->vcpu_count < 1 || machine->vcpu_count > VM_MAX_VCPUS ||
        (machine->smt && machine->vcpu_count > 1 && machine->vcpu_count % 2))
        return error_set(err, 0,
                         "The vCPU number is invalid! The vCPU number can only be 1 to %d, and "
                         "only 1 or an even number when SMT is enabled.",
                         VM_MAX_VCPUS);
    if (machine->mem_size_mib == 0 ||
        (machine->huge_pages == HUGE_PAGES_2M && machine->mem_size_mib % 2))
        return error_set(err, 0,
                         "The memory size (MiB) is either 0, or not a multiple of the "
                         "configured page size.");
    if (machine->mem_size_mib > VM_MAX_MEMORY_MIB)
        return error_set(err, 0, "The memory size (MiB) is above %llu.",
                         (unsigned long long)VM_MAX_MEMORY_MIB);
    if (machine->cpu_template == CPU_TEMPLATE_V1N1)
        return error_set(err, 0, "The CPU template V1N1 is for aarch64, and guests are x86_64.");
    return balloon->given && settings_check_balloon(balloon, machine->mem_size_mib, err) < 0 ? -1
                                                                                             : 0;
}

static int check_interface(const struct vm_settings *settings,
                           const struct interface_settings *interface, struct error *err)
{
    bool is_user = interface->backend == INTERFACE_USER;
    if (settings_check_id(interface->id, err) < 0 ||
        check_count(settings->interface_count, vm_settings_interface(settings, interface->id),
                    err) < 0)
        return -1;
    if (!interface->host_device && !is_user)
        return error_set(err, 0, "missing field `host_dev_name`");
    if (interface->host_device && is_user)
        return error_set(err, 0, "the user-mode network has no `host_dev_name`");
    if (interface->host_device &&
        (!*interface->host_device || strlen(interface->host_device) >= IFNAMSIZ ||
         strchr(interface->host_device, '/')))
        return error_set(err, 0, "Could not create the network device: Invalid interface name: %s",
                         interface->host_device);
    if (interface->mtu && (interface->mtu < 68 || interface->mtu > 65535))
        return error_set(err, 0, "Invalid MTU %u: it has to be 68 to 65535", interface->mtu);
    if (interface->mac.given && interface->mac.bytes[0] & 1)
        return error_set(err, 0, "The guest's MAC address is a multicast address");
    for (size_t i = 0; i < settings->interface_count; i++) {
        const struct interface_settings *other = &settings->interfaces[i];
        const uint8_t *mac = interface->mac.bytes;
        if (strcmp(other->id, interface->id) == 0)
            continue;
        if (interface->mac.given && other->mac.given && memcmp(other->mac.bytes, mac, 6) == 0)
            return error_set(err, 0,
                             "The MAC address is already in use: %02x:%02x:%02x:%02x:%02x:%02x",
                             mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        if (!is_user && other->host_device &&
            strcmp(other->host_device, interface->host_device) == 0)
            return error_set(err, 0,
                             "Could not create the network device: Open tap device failed: %s %s",
                             settings_reason(EBUSY).text, interface->host_device);
    }
    return 0;
}

int settings_check_interface(const struct vm_settings *settings,
                             const struct interface_settings *interface, struct error *err)
{
    return check_interface(settings, interface, err) < 0 ? error_wrap(err, "Network config error")
                                                         : 0;
}

int settings_check_vsock(const struct vsock_settings *vsock, struct error *err)
{
    if (vsock->guest_cid < 3 || vsock->guest_cid == UINT32_MAX)
        return error_set(err, 0,
                         "Vsock config error: the guest's CID %u is reserved: give one "
                         "from 3 on",
                         vsock->guest_cid);
    /* "_" and the largest port are put behind it. */
    if (!*vsock->socket_path || strlen(vsock->socket_path) + strlen("_4294967295") >=
                                    sizeof((struct sockaddr_un *)NULL)->sun_path)
        return error_set(err, 0,
                         "Vsock config error: Cannot create backend for vsock device: the "
                         "path of the socket is empty or too long");
    return 0;
}

int settings_check_balloon(const struct balloon_settings *balloon, uint64_t mem_size_mib,
                           struct error *err)
{
    if (balloon->amount_mib > mem_size_mib)
        return error_set(err, 0,
                         "Balloon config error: Amount of pages requested cannot fit in `%llu` MiB "
                         "of guest memory",
                         (unsigned long long)mem_size_mib);
    return 0;
}

int settings_check_memory_hotplug(const struct memory_hotplug_settings *memory, struct error *err)
{
    const char *fault = NULL;
    if (memory->block_size_mib < 2 || memory->block_size_mib & (memory->block_size_mib - 1))
        fault = "block_size_mib has to be a power of 2, and at least 2";
    else if (memory->slot_size_mib < 128 || memory->slot_size_mib % memory->block_size_mib)
        fault = "slot_size_mib has to be a multiple of block_size_mib, and at least 128";
    else if (memory->total_size_mib < memory->slot_size_mib ||
             memory->total_size_mib % memory->slot_size_mib)
        fault = "total_size_mib has to be a multiple of slot_size_mib";
    else if (memory->total_size_mib > VM_MAX_MEMORY_MIB)
        fault = "total_size_mib is above 64 TiB";
    return fault ? error_set(err, 0, "Memory hotplug config error: %s", fault) : 0;
}

int settings_check_metadata(const struct vm_settings *settings,
                            const struct metadata_settings *metadata, struct error *err)
{
    uint32_t address = ntohl(metadata->address.s_addr);
    uint32_t third = address >> 8 & 0xff;
    /* RFC 3927: 169.254/16 without its first and last 256 addresses. */
    if (address >> 16 != 0xa9fe || third == 0 || third == 255)
        return error_set(err, 0, "The MMDS IPv4 address is not link local.");
    if (metadata->interface_count == 0)
        return error_set(err, 0,
                         "The list of network interface IDs that allow forwarding MMDS "
                         "requests is empty.");
    for (size_t i = 0; i < metadata->interface_count; i++) {
        if (!vm_settings_interface(settings, metadata->interfaces[i]))
            return error_set(err, 0,
                             "The list of network interface IDs provided contains at least "
                             "one ID that does not correspond to any existing network "
                             "interface.");
    }
    return 0;
}
