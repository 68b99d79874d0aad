/* Devices as settings describe them. */
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/control/metadata.h"
#include "vm/device/disk.h"
#include "vm/device/disk_composite.h"
#include "vm/device/metadata_wire.h"
#include "vm/device/net_backend.h"
#include "vm/device/net_slirp.h"
#include "vm/device/virtio_balloon.h"
#include "vm/device/virtio_block.h"
#include "vm/device/virtio_entropy.h"
#include "vm/device/virtio_fs.h"
#include "vm/device/virtio_mem.h"
#include "vm/device/virtio_net.h"
#include "vm/device/virtio_pmem.h"
#include "vm/device/virtio_vsock.h"
#include "vm/image/disk_layout.h"
#include "vm/instance.h"

#define LAYOUT_LIMIT (1u << 20)

struct virtio_device *instance_find(const struct instance *instance, enum virtio_type type,
                                    const char *id)
{
    for (unsigned i = 0; i < instance->machine.device_count; i++) {
        struct virtio_device *device = instance->machine.devices[i].device;
        if (device->operations->type == type && (!id || strcmp(device->id, id) == 0))
            return device;
    }
    return NULL;
}

/* The device, or the error of who couldn't make it. */
static int add(struct instance *instance, struct virtio_device *device, struct error *err)
{
    return device ? machine_add(&instance->machine, device, err) : -1;
}

static struct rate_limiter_settings limits_of(const struct limiter_settings *settings)
{
    const struct token_bucket_settings *bytes = &settings->bandwidth, *requests = &settings->ops;
    return (struct rate_limiter_settings){
        {bytes->size, bytes->one_time_burst, bytes->refill_time_ms},
        {requests->size, requests->one_time_burst, requests->refill_time_ms}};
}

/* The file that describes which pieces of which files the disk has. */
static int read_layout(const char *path, struct disk_layout *layout, struct error *err)
{
    scope_free char *text = file_read_all(AT_FDCWD, path, LAYOUT_LIMIT, NULL, err);
    if (!text)
        return -1;
    json_t *description = json_loads(text, 0, NULL);
    int status = disk_layout_parse(layout, description, err);
    json_decref(description);
    return status < 0 ? error_wrap(err, "%s", path) : 0;
}

static struct disk *open_composite(const char *path, const struct disk_settings *settings,
                                   struct loop *loop, struct error *err)
{
    scope_disk_layout struct disk_layout layout = {0};
    if (read_layout(path, &layout, err) < 0)
        return NULL;
    return disk_open_composite(&layout, settings, loop, err);
}

struct disk *instance_open_disk(struct instance *instance, const struct drive_settings *drive,
                                const char *path, struct error *err)
{
    const struct disk_settings settings = {.read_only = drive->is_read_only,
                                           .threads = drive->io_engine == IO_ENGINE_SYNC,
                                           .backing = DISK_BACKING_BENEATH};
    switch (drive->format) {
    case DRIVE_QCOW2:
        return disk_open_qcow2(path, &settings, instance->loop, err);
    case DRIVE_COMPOSITE:
        return open_composite(path, &settings, instance->loop, err);
    default:
        return disk_open_raw(path, &settings, instance->loop, err);
    }
}

static int add_drive(struct instance *instance, const struct drive_settings *drive,
                     struct error *err)
{
    const struct virtio_block_settings settings = {
        .unsafe_cache = drive->cache_type == CACHE_UNSAFE, .rate = limits_of(&drive->limiter)};
    struct disk *disk = instance_open_disk(instance, drive, drive->path, err);
    return disk
               ? add(instance, virtio_block_create(drive->id, disk, &settings, instance->loop), err)
               : -1;
}

/* The metadata service's end of an interface, if it has one. */
static struct metadata_wire *wire_of(struct instance *instance, const struct vm_settings *settings,
                                     const char *interface)
{
    const struct metadata_answerer answerer = {metadata_answer,
                                               control_metadata(instance->control)};
    for (size_t i = 0; settings->metadata.given && i < settings->metadata.interface_count; i++) {
        if (strcmp(settings->metadata.interfaces[i], interface) == 0)
            return metadata_wire_create(settings->metadata.address, &answerer);
    }
    return NULL;
}

static int add_interface(struct instance *instance, const struct vm_settings *all,
                         const struct interface_settings *interface, struct error *err)
{
    struct virtio_net_settings settings = {.has_mac = interface->mac.given,
                                           .mtu = (uint16_t)interface->mtu,
                                           .rx = limits_of(&interface->rx_limiter),
                                           .tx = limits_of(&interface->tx_limiter)};
    memcpy(settings.mac, interface->mac.bytes, sizeof settings.mac);
    struct net_backend *backend =
        interface->backend == INTERFACE_USER
            ? net_slirp_open(&(struct net_slirp_settings){.mtu = (uint16_t)interface->mtu}, err)
            : net_tap_open(interface->host_device, -1, err);
    if (!backend)
        return -1;
    settings.metadata = wire_of(instance, all, interface->id);
    return add(instance, virtio_net_create(interface->id, backend, &settings, instance->loop), err);
}

static int add_balloon(struct instance *instance, const struct vm_settings *settings,
                       struct error *err)
{
    const struct balloon_settings *wanted = &settings->balloon;
    const struct virtio_balloon_options options = {
        .pages = wanted->amount_mib << 8,
        .deflate_on_oom = wanted->deflate_on_oom,
        .statistics_interval = wanted->statistics_interval_s,
        .hinting = wanted->free_page_hinting,
        .reporting = wanted->free_page_reporting,
        .huge_pages = settings->machine.huge_pages == HUGE_PAGES_2M};
    return add(instance, virtio_balloon_create("balloon", &options), err);
}

static struct virtio_device *make_share(const struct filesystem_settings *filesystem,
                                        struct error *err)
{
    const struct virtio_fs_options options = {.tag = filesystem->tag,
                                              .directory = filesystem->path,
                                              .read_only = filesystem->is_read_only};
    return virtio_fs_create(filesystem->id, &options, err);
}

int instance_prepare(struct instance *instance, const struct vm_settings *settings,
                     struct error *err)
{
    for (size_t i = 0; i < settings->filesystem_count; i++) {
        instance->shares[i] = make_share(&settings->filesystems[i], err);
        if (!instance->shares[i])
            return -1;
    }
    return 0;
}

void instance_drop_shares(struct instance *instance)
{
    for (size_t i = 0; i < VM_MAX_DEVICES; i++) {
        if (instance->shares[i])
            instance->shares[i]->operations->release(instance->shares[i]);
        instance->shares[i] = NULL;
    }
}

/* The n-th share. */
static int add_filesystem(struct instance *instance, const struct vm_settings *settings, size_t n,
                          struct error *err)
{
    struct virtio_device *share = instance->shares[n];
    instance->shares[n] = NULL;
    if (!share && instance->options->jail.directory)
        return error_set(err, 0,
                         "filesystem %s: a monitor that is jailed has lost the rights to share a "
                         "directory (describe it in --config-file)",
                         settings->filesystems[n].id);
    return add(instance, share ? share : make_share(&settings->filesystems[n], err), err);
}

static int add_pmem(struct instance *instance, const struct pmem_settings *pmem, struct error *err)
{
    struct machine *machine = &instance->machine;
    uint64_t size;
    if (virtio_pmem_measure(pmem->path, &size, err) < 0)
        return -1;
    const struct virtio_pmem_settings settings = {
        .path = pmem->path,
        .read_only = pmem->is_read_only,
        .rate = limits_of(&pmem->limiter),
        .address = machine_reserve(machine, size, VIRTIO_PMEM_ALIGNMENT)};
    struct virtio_device *device =
        virtio_pmem_create(pmem->id, &settings, &machine->memory, instance->loop, err);
    if (add(instance, device, err) < 0)
        return -1;
    return machine_expose(machine, machine_take_slots(machine, 1), settings.address, size, true,
                          err);
}

/* Slot n of the memory that may come is the engine's slot first_slot + n. */
static int expose_hotplug(void *context, uint64_t address, uint64_t size, bool exposed,
                          struct error *err)
{
    struct instance *instance = context;
    unsigned n = (unsigned)((address - instance->machine.hotplug_address) / size);
    return machine_expose(&instance->machine, instance->hotplug_slot + n, address, size, exposed,
                          err);
}

static int add_hotplug(struct instance *instance, const struct memory_hotplug_settings *settings,
                       struct error *err)
{
    struct machine *machine = &instance->machine;
    struct virtio_mem_options options = {.total_size = (uint64_t)settings->total_size_mib << 20,
                                         .block_size = (uint64_t)settings->block_size_mib << 20,
                                         .slot_size = (uint64_t)settings->slot_size_mib << 20,
                                         .expose = expose_hotplug,
                                         .context = instance};
    options.address = machine_reserve(machine, options.total_size, options.slot_size);
    machine->hotplug_address = options.address;
    machine->hotplug_size = options.total_size;
    instance->hotplug_slot =
        machine_take_slots(machine, (unsigned)(options.total_size / options.slot_size));
    if (guest_memory_add(&machine->memory, options.address, options.total_size,
                         machine->options.shared_memory, machine->options.huge_pages, err) < 0)
        return -1;
    return add(instance, virtio_mem_create("memory", &options, err), err);
}

int instance_add_devices(struct instance *instance, const struct vm_settings *settings,
                         struct error *err)
{
    for (size_t i = 0; i < settings->drive_count; i++) {
        if (add_drive(instance, &settings->drives[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < settings->interface_count; i++) {
        if (add_interface(instance, settings, &settings->interfaces[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < settings->filesystem_count; i++) {
        if (add_filesystem(instance, settings, i, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < settings->pmem_count; i++) {
        if (add_pmem(instance, &settings->pmem[i], err) < 0)
            return -1;
    }
    if (settings->memory_hotplug.given && add_hotplug(instance, &settings->memory_hotplug, err) < 0)
        return -1;
    if (settings->vsock.given && add(instance,
                                     virtio_vsock_create("vsock", settings->vsock.guest_cid,
                                                         settings->vsock.socket_path, err),
                                     err) < 0)
        return -1;
    if (settings->balloon.given && add_balloon(instance, settings, err) < 0)
        return -1;
    const struct rate_limiter_settings rate = limits_of(&settings->entropy.limiter);
    return settings->entropy.given
               ? add(instance, virtio_entropy_create("entropy", &rate, instance->loop), err)
               : 0;
}
