#include "engine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "engine/attach.h"
#include "engine/rootless.h"
#include "engine/settings_internal.h"
#include "monitor/document.h"
#include "vm/image/disk.h"
#include "vm/image/initrd.h"
#include "vm/image/kernel.h"

#define MEMORY_DEFAULT (512LL << 20)
#define MEMORY_MINIMUM (64LL << 20)
#define VCPUS_MAX 32
/* Above what users, containers' and other hosts' namespaces have. */
#define OWNER_FIRST 0x60000000u
/* The console is for the kernel's last words; the board has no keyboard to look for. */
#define KERNEL_ARGUMENTS                                                                           \
    "console=ttyS0 quiet panic=-1 reboot=k tsc=reliable i8042.noaux i8042.nomux i8042.dumbkbd"

bool engine_is_machine(const struct engine_container *container)
{
    return strcmp(settings_text(engine_host_config(container), "Isolation"), "vm") == 0;
}

uid_t engine_machine_owner(const struct engine_container *container)
{
    unsigned int number = 0;
    sscanf(container->id, "%7x", &number);
    return OWNER_FIRST + number;
}

/* ---- what can't be ---- */

/* Texts that a machine can't have other than empty, or one of the allowed. */
static int check_modes(const json_t *host, struct error *err)
{
    static const struct {
        const char *member, *allowed, *flag, *why;
    } modes[] = {
        {"PidMode", "", "--pid", "its processes are the guest kernel's"},
        {"IpcMode", "private", "--ipc", "its IPC objects are the guest kernel's"},
        {"UTSMode", "", "--uts", "its name is the guest kernel's"},
        {"UsernsMode", "host", "--userns", "its users are the guest kernel's"},
        {"CgroupnsMode", "private", "--cgroupns", "its cgroups are the guest kernel's"},
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *mode = settings_text(host, modes[i].member);
        if (*mode && strcmp(mode, modes[i].allowed) != 0)
            return error_set(err, 0, "a virtual machine can't have %s %.64s: %s", modes[i].flag,
                             mode, modes[i].why);
    }
    const char *network = settings_text(host, "NetworkMode");
    if (strcmp(network, "host") == 0 || strncmp(network, "container:", 10) == 0)
        return error_set(err, 0,
                         "a virtual machine can't have --network %.64s: it has a network of its "
                         "own",
                         network);
    return 0;
}

int engine_machine_check(const json_t *settings, struct error *err)
{
    const json_t *host = json_object_get(settings, "HostConfig");
    if (strcmp(settings_text(host, "Isolation"), "vm") != 0)
        return 0;
    if (rootless_is_active())
        return error_set(err, 0, "--isolation vm needs root: the machine's monitor gets a jail");
    if (json_array_size(json_object_get(host, "Devices")) > 0 ||
        json_array_size(json_object_get(host, "DeviceRequests")) > 0)
        return error_set(err, 0,
                         "a virtual machine can't have --device or --gpus: it has devices "
                         "of its own");
    if (settings_integer(host, "Memory") > 0 && settings_integer(host, "Memory") < MEMORY_MINIMUM)
        return error_set(err, 0, "a virtual machine needs a --memory of at least %lld MiB",
                         MEMORY_MINIMUM >> 20);
    return check_modes(host, err);
}

int engine_machine_refuse(const struct engine_container *container, const char *what,
                          struct error *err)
{
    if (!engine_is_machine(container))
        return 0;
    return error_set(err, 0,
                     "container %s is a virtual machine, which %s can't look into (copy files with "
                     "`hull cp` while it runs)",
                     container->name, what);
}

/* ---- config.json ---- */

/* Who the user is, the guest looks up itself: its /etc/passwd may have changed. Devices, rules and
 * filters are those of a host's kernel. */
void engine_machine_adapt(const struct engine_container *container, json_t *config)
{
    const char *user = settings_text(container->settings, "User");
    json_t *section = json_object_get(config, "linux");
    if (*user)
        json_object_set_new(json_object_get(json_object_get(config, "process"), "user"), "username",
                            json_string(user));
    json_object_del(section, "devices");
    json_object_del(section, "seccomp");
}

/* ---- machine.json ---- */

static int64_t count_vcpus(const json_t *host)
{
    int64_t nano = settings_integer(host, "NanoCpus");
    int64_t quota = settings_integer(host, "CpuQuota"),
            period = settings_integer(host, "CpuPeriod");
    int64_t count = 1;
    if (nano > 0)
        count = (nano + 999999999) / 1000000000;
    else if (quota > 0)
        count = (quota + (period > 0 ? period : 100000) - 1) / (period > 0 ? period : 100000);
    return count > VCPUS_MAX ? VCPUS_MAX : count;
}

static int64_t choose_memory(const json_t *host)
{
    int64_t bytes = settings_integer(host, "Memory");
    return ((bytes > 0 ? bytes : MEMORY_DEFAULT) + (2 << 20) - 1) >> 21 << 1;
}

static int add_kernel(struct engine *engine, const json_t *host, json_t *machine, struct error *err)
{
    scope_kernel struct kernel kernel = {0};
    const char *name = settings_text(host, "Kernel");
    scope_free char *cache = memory_format("%s/machines/initrd", engine->root);
    if (kernel_find(engine->root, *name ? name : NULL, &kernel, err) < 0)
        return -1;
    const struct initrd_parts parts = {.agent = engine_program(engine, "hull-guest-init"),
                                       .modules = kernel.modules};
    scope_free char *initrd = initrd_obtain(&parts, cache, err);
    if (!initrd)
        return -1;
    json_object_set_new(machine, "kernel",
                        json_string(kernel.vmlinux ? kernel.vmlinux : kernel.vmlinuz));
    json_object_set_new(machine, "initrd", json_string(initrd));
    return 0;
}

static int add_layers(struct engine *engine, const struct engine_container *container,
                      json_t *machine, struct error *err)
{
    scope_image struct image image = {0};
    scope_disk_layout struct disk_layout layout = {0};
    struct image_store *store = engine_images(engine, err);
    bool user_xattrs;
    int found =
        store ? image_find_held(store, container->id, container->image_id, &image, err) : -1;
    if (found == 0)
        return error_set(err, 0, "the image of container %s is gone (%s)", container->name,
                         container->image_id);
    if (found < 0 || disk_make_layers(store, &image, &layout, &user_xattrs, err) < 0)
        return -1;
    int64_t partitions = 0;
    for (size_t i = 0; i < layout.count; i++)
        partitions += layout.extents[i].path != NULL;
    if (partitions == 0)
        return error_set(err, 0, "image %s has no files: there is nothing a machine could start",
                         container->image);
    json_object_set_new(machine, "layers", disk_layout_describe(&layout));
    json_object_set_new(machine, "partitions", json_integer(partitions));
    return 0;
}

/* What the container has written is in it: made once, kept until the container is removed. */
static int add_disk(struct engine *engine, const struct engine_container *container,
                    json_t *machine, struct error *err)
{
    const json_t *host = engine_host_config(container);
    const char *text = settings_text(json_object_get(host, "StorageOpt"), "size");
    scope_free char *path = memory_format("%s/disk.ext4", container->directory);
    scope_free char *cache = memory_format("%s/machines/disks", engine->root);
    uid_t owner = engine_machine_owner(container);
    int64_t size = DISK_WRITABLE_DEFAULT;
    if (*text && !quantity_read_size(text, &size))
        return error_set(err, 0, "HostConfig.StorageOpt.size: '%.64s' is no size such as 10g",
                         text);
    if (access(path, F_OK) < 0 && disk_make_writable(cache, path, size, err) < 0)
        return -1;
    if (chown(path, owner, owner) < 0)
        return error_set(err, errno, "can't give %s to the machine's monitor", path);
    json_object_set_new(machine, "disk", json_string(path));
    return 0;
}

int engine_machine_prepare(struct engine *engine, const struct engine_container *container,
                           struct error *err)
{
    const json_t *host = engine_host_config(container);
    const char *mode = settings_text(host, "NetworkMode");
    const char *engine_name = settings_text(host, "Engine");
    bool has_network =
        strcmp(mode, "none") != 0 && !settings_flag(container->settings, "NetworkDisabled");
    scope_free char *path = memory_format("%s/machine.json", container->run_directory);
    scope_json json_t *machine = json_pack(
        "{s:I, s:I, s:s, s:b, s:I, s:s, s:s?}", "vcpus", (json_int_t)count_vcpus(host), "memory",
        (json_int_t)choose_memory(host), "arguments", KERNEL_ARGUMENTS, "volatile",
        settings_flag(host, "AutoRemove"), "owner", (json_int_t)engine_machine_owner(container),
        "engine", *engine_name ? engine_name : "auto", "monitor",
        engine_program(engine, "hull-vmm"));
    if (add_kernel(engine, host, machine, err) < 0 ||
        add_layers(engine, container, machine, err) < 0 ||
        add_disk(engine, container, machine, err) < 0)
        return -1;
    if (has_network) {
        struct networks *networks = engine_networks(engine, err);
        json_t *network = networks ? network_describe_machine(networks, container->id, err) : NULL;
        if (!network)
            return -1;
        json_object_set_new(machine, "network", network);
    }
    return document_write(path, machine, err);
}
