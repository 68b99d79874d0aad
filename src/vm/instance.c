#include "vm/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/confine.h"
#include "vm/control/log.h"
#include "vm/cpu/cpuid.h"
#include "vm/device/virtio_balloon.h"
#include "vm/device/virtio_block.h"
#include "vm/device/virtio_mem.h"
#include "vm/device/virtio_net.h"

/* Firecracker's: no waiting for hardware that isn't there, and a reset that ends the machine. */
#define DEFAULT_ARGUMENTS                                                                          \
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd"
#define BOOT_TIMER_CODE 123

static int64_t now_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

void instance_initialize(struct instance *instance, const struct vm_options *options,
                         struct loop *loop, struct metrics *metrics)
{
    *instance = (struct instance){.options = options,
                                  .loop = loop,
                                  .metrics = metrics,
                                  .serial_output = -1,
                                  .kernel = -1,
                                  .initrd = -1};
}

static void close_files(struct instance *instance)
{
    int *const files[] = {&instance->serial_output, &instance->kernel, &instance->initrd};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        scope_close_fd(files[i]);
        *files[i] = -1;
    }
}

void instance_close(struct instance *instance)
{
    if (instance->debugger)
        gdb_server_close(instance->debugger);
    instance->debugger = NULL;
    if (instance->is_open)
        machine_close(&instance->machine);
    instance->is_open = false;
    instance_drop_shares(instance);
    close_files(instance);
}

/* ---- Start ---- */

static int open_file(const char *path, const char *what, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "can't open %s %s", what, path) : fd;
}

static int open_files(struct instance *instance, const struct vm_settings *settings,
                      struct error *err)
{
    const char *serial = settings->serial.output_path;
    if (!settings->boot.given)
        return error_set(err, 0, "the machine has no kernel to boot");
    if (serial) {
        instance->serial_output =
            open(serial, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0600);
        if (instance->serial_output < 0)
            return error_set(err, errno, "can't open %s for the serial port's output", serial);
    }
    instance->kernel = open_file(settings->boot.kernel_path, "kernel", err);
    if (instance->kernel < 0)
        return -1;
    if (settings->boot.initrd_path)
        instance->initrd = open_file(settings->boot.initrd_path, "initrd", err);
    return settings->boot.initrd_path && instance->initrd < 0 ? -1 : 0;
}

static uint32_t masked(uint32_t value, const struct register_mask *mask)
{
    return (value & (uint32_t)~mask->filter) | (uint32_t)(mask->bits & mask->filter);
}

static void change_cpuid(const void *context, struct cpuid *cpuid)
{
    const struct cpu_settings *settings = context;
    for (size_t i = 0; i < settings->cpuid_count; i++) {
        const struct cpuid_modifier *modifier = &settings->cpuid[i];
        struct cpuid_leaf *leaf = cpuid_find(cpuid, modifier->leaf, modifier->subleaf);
        if (!leaf)
            continue; /* a leaf that this machine hasn't: nothing to mask */
        leaf->eax = masked(leaf->eax, &modifier->eax);
        leaf->ebx = masked(leaf->ebx, &modifier->ebx);
        leaf->ecx = masked(leaf->ecx, &modifier->ecx);
        leaf->edx = masked(leaf->edx, &modifier->edx);
    }
}

static int change_msrs(const void *context, struct vcpu *vcpu, struct error *err)
{
    const struct cpu_settings *settings = context;
    const struct engine_operations *engine = vcpu->engine->operations;
    for (size_t i = 0; i < settings->msr_count; i++) {
        const struct register_mask *mask = &settings->msrs[i].value;
        struct vcpu_msr msr = {.index = settings->msrs[i].address};
        if (engine->get_msr(vcpu, &msr, err) < 0)
            return -1;
        msr.value = (msr.value & ~mask->filter) | (mask->bits & mask->filter);
        if (engine->set_msr(vcpu, &msr, err) < 0)
            return -1;
    }
    return 0;
}

/* What Firecracker calls the root device is named on the command line. */
static char *command_line(const struct vm_settings *settings)
{
    const char *arguments = settings->boot.arguments ? settings->boot.arguments : DEFAULT_ARGUMENTS;
    for (size_t i = 0; i < settings->drive_count; i++) {
        const struct drive_settings *drive = &settings->drives[i];
        const char *mode = drive->is_read_only ? "ro" : "rw";
        if (drive->is_root && drive->partuuid)
            return memory_format("%s root=PARTUUID=%s %s", arguments, drive->partuuid, mode);
        if (drive->is_root)
            return memory_format("%s root=/dev/vda %s", arguments, mode);
    }
    for (size_t i = 0; i < settings->pmem_count; i++) {
        if (settings->pmem[i].is_root)
            return memory_format("%s root=/dev/pmem%zu %s rootflags=dax", arguments, i,
                                 settings->pmem[i].is_read_only ? "ro" : "rw");
    }
    return memory_copy_string(arguments);
}

static void on_boot_event(struct machine *machine, uint8_t code)
{
    const struct instance *instance = machine->owner;
    if (code == BOOT_TIMER_CODE)
        log_info("Guest-boot-time = %lld us", (long long)(now_microseconds() - instance->started));
}

/* Standard input, if there can come anything: not from /dev/null or a file, which can't be waited
 * for. */
static int serial_input(void)
{
    struct stat status;
    if (fstat(STDIN_FILENO, &status) < 0)
        return -1;
    return S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || isatty(STDIN_FILENO)
               ? STDIN_FILENO
               : -1;
}

/* With --gdb the first instruction is for a debugger to allow. */
static int wait_for_debugger(struct instance *instance, struct error *err)
{
    const char *path = instance->options->gdb_socket;
    if (!path)
        return 0;
    instance->debugger = gdb_server_open(&instance->machine, path, err);
    return instance->debugger ? 0 : -1;
}

/* The machine on KVM, if that can do the work; else its guest's code is translated. */
static int open_machine(struct instance *instance, const struct machine_options *options,
                        struct error *err)
{
    struct machine *machine = &instance->machine;
    double rate;
    struct error why;
    if (instance->options->engine == VM_ENGINE_KVM)
        return machine_open(machine, options, instance->loop, kvm_engine_open, err);
    if (instance->options->engine == VM_ENGINE_AUTO &&
        machine_open(machine, options, instance->loop, kvm_engine_open, &why) == 0) {
        if (kvm_engine_probe(machine->vcpus[0].vcpu, &machine->memory, &rate, &why) == 0) {
            log_debug("KVM executes %.0f million instructions a second in kernel mode", rate);
            return 0;
        }
        bool was_done = instance->loop->done;
        machine_close(machine);
        instance->loop->done = was_done; /* that machine's end isn't the monitor's */
    }
    if (instance->options->engine == VM_ENGINE_AUTO)
        log_debug("guest code is translated: %s", why.text);
    return machine_open(machine, options, instance->loop, bt_engine_open, err);
}

static int build(struct instance *instance, const struct vm_settings *settings, struct error *err)
{
    const struct machine_settings *wanted = &settings->machine;
    struct machine_options options = {
        .vcpus = wanted->vcpu_count,
        .memory = wanted->mem_size_mib << 20,
        .smt = wanted->smt,
        .huge_pages = wanted->huge_pages == HUGE_PAGES_2M,
        .shared_memory = settings->filesystem_count > 0,
        .has_pci = instance->options->pci,
        .user_interrupts = instance->options->user_interrupts,
        .has_keyboard = instance->options->api_socket, /* for SendCtrlAltDel */
        .serial_output = settings->serial.output_path ? instance->serial_output : STDOUT_FILENO,
        .serial_input = settings->serial.output_path ? -1 : serial_input(),
        .change_cpuid = settings->cpu.given ? change_cpuid : NULL,
        .change_msrs = settings->cpu.given ? change_msrs : NULL,
        .context = &settings->cpu};
    scope_free char *arguments = command_line(settings);
    instance->started = now_microseconds();
    if (open_machine(instance, &options, err) < 0)
        return -1;
    instance->is_open = true;
    const struct token_bucket_settings *serial = &settings->serial.limiter;
    const struct rate_bucket_settings limit = {serial->size, serial->one_time_burst,
                                               serial->refill_time_ms};
    serial_limit(instance->machine.serial, &limit);
    instance->machine.owner = instance;
    instance->machine.boot_event = instance->options->boot_timer ? on_boot_event : NULL;
    if (instance_add_devices(instance, settings, err) < 0 ||
        machine_boot(&instance->machine, instance->kernel, settings->boot.kernel_path,
                     instance->initrd, settings->boot.initrd_path, arguments, err) < 0 ||
        wait_for_debugger(instance, err) < 0 || machine_start(&instance->machine, err) < 0)
        return -1;
    return 0;
}

/* What the threads of this machine need besides. */
static void allow_features(const struct instance *instance, const struct vm_settings *settings)
{
    if (instance->options->api_socket)
        confine_allow(CONFINE_UPDATES);
    for (size_t i = 0; i < settings->interface_count; i++) {
        if (settings->interfaces[i].backend == INTERFACE_USER)
            confine_allow(CONFINE_USER_NETWORK);
    }
}

static int start(void *context, const struct vm_settings *settings, struct error *err)
{
    struct instance *instance = context;
    if (settings->machine.cpu_template != CPU_TEMPLATE_NONE)
        return error_set(err, 0, "this processor has no static CPU template: use /cpu-config");
    allow_features(instance, settings);
    if (open_files(instance, settings, err) == 0 && build(instance, settings, err) == 0 &&
        (!instance->is_serving || instance_confine(instance, err) == 0))
        return 0;
    instance_close(instance);
    return -1;
}

int instance_confine(struct instance *instance, struct error *err)
{
    return instance->is_open ? confine_thread(CONFINE_LOOP, err) : 0;
}

/* ---- While it runs ---- */

static int pause_machine(void *context, struct error *err)
{
    return machine_pause(&((struct instance *)context)->machine, err);
}

static int resume_machine(void *context, struct error *err)
{
    return machine_resume(&((struct instance *)context)->machine, err);
}

static int send_ctrl_alt_del(void *context, struct error *err)
{
    (void)err;
    i8042_press_ctrl_alt_delete(((struct instance *)context)->machine.i8042);
    return 0;
}

/* The bucket as devices want it, or NULL where the update doesn't speak of it. */
static const struct rate_bucket_settings *bucket_of(const struct token_bucket_settings *settings,
                                                    struct rate_bucket_settings *bucket)
{
    *bucket = (struct rate_bucket_settings){settings->size, settings->one_time_burst,
                                            settings->refill_time_ms};
    return settings->given ? bucket : NULL;
}

static int update_drive(void *context, const char *id, const char *path,
                        const struct limiter_settings *limiter, struct error *err)
{
    struct instance *instance = context;
    struct virtio_device *device = instance_find(instance, VIRTIO_BLOCK, id);
    const struct drive_settings *drive = vm_settings_drive(control_settings(instance->control), id);
    struct rate_bucket_settings bandwidth, operations;
    if (!device || !drive)
        return error_set(err, 0, "there is no drive %s", id);
    struct disk *disk = instance_open_disk(instance, drive, path ? path : drive->path, err);
    if (!disk)
        return -1;
    if (virtio_block_replace_disk(device, disk, err) < 0) {
        disk_close(disk);
        return -1;
    }
    if (limiter)
        virtio_block_limit(device, bucket_of(&limiter->bandwidth, &bandwidth),
                           bucket_of(&limiter->ops, &operations));
    return 0;
}

static int update_interface(void *context, const char *id, const struct limiter_settings *rx,
                            const struct limiter_settings *tx, struct error *err)
{
    struct virtio_device *device = instance_find(context, VIRTIO_NET, id);
    static const struct limiter_settings none;
    struct rate_bucket_settings buckets[4];
    if (!device)
        return error_set(err, 0, "there is no interface %s", id);
    rx = rx ? rx : &none;
    tx = tx ? tx : &none;
    virtio_net_update_limits(
        device, bucket_of(&rx->bandwidth, &buckets[0]), bucket_of(&rx->ops, &buckets[1]),
        bucket_of(&tx->bandwidth, &buckets[2]), bucket_of(&tx->ops, &buckets[3]));
    return 0;
}

static int update_pmem(void *context, const char *id, const struct limiter_settings *limiter,
                       struct error *err)
{
    (void)limiter;
    if (!instance_find(context, VIRTIO_PMEM, id))
        return error_set(err, 0, "there is no pmem device %s", id);
    return error_set(err, 0,
                     "pmem device %s has no rate limiter: what the guest writes to its "
                     "memory is written without the monitor",
                     id);
}

static int set_hotplug_size(void *context, uint32_t requested_size_mib, struct error *err)
{
    return virtio_mem_request(instance_find(context, VIRTIO_MEM, NULL),
                              (uint64_t)requested_size_mib << 20, err);
}

static int get_hotplug_status(void *context, struct memory_hotplug_status *out, struct error *err)
{
    struct virtio_mem_status status;
    (void)err;
    virtio_mem_status(instance_find(context, VIRTIO_MEM, NULL), &status);
    *out = (struct memory_hotplug_status){status.plugged_size >> 20, status.requested_size >> 20};
    return 0;
}

static struct virtio_device *balloon_of(void *context)
{
    return instance_find(context, VIRTIO_BALLOON, NULL);
}

static int set_balloon_amount(void *context, uint32_t amount_mib, struct error *err)
{
    (void)err;
    virtio_balloon_set_pages(balloon_of(context), amount_mib << 8);
    return 0;
}

static int set_balloon_interval(void *context, uint32_t seconds, struct error *err)
{
    return virtio_balloon_set_interval(balloon_of(context), seconds, err);
}

static int get_balloon_statistics(void *context, struct balloon_statistics *out, struct error *err)
{
    const struct virtio_device *device = balloon_of(context);
    out->target_pages = virtio_balloon_pages(device);
    out->actual_pages = virtio_balloon_actual(device);
    return virtio_balloon_statistics(device, &out->guest, err);
}

static int start_balloon_hinting(void *context, bool acknowledge_on_stop, struct error *err)
{
    return virtio_balloon_hinting_start(balloon_of(context), acknowledge_on_stop, err);
}

static int get_balloon_hinting(void *context, struct balloon_hinting *out, struct error *err)
{
    struct virtio_balloon_hinting status;
    if (virtio_balloon_hinting_status(balloon_of(context), &status, err) < 0)
        return -1;
    *out = (struct balloon_hinting){status.host_command, status.guest_command_valid,
                                    status.guest_command};
    return 0;
}

static int stop_balloon_hinting(void *context, struct error *err)
{
    return virtio_balloon_hinting_stop(balloon_of(context), err);
}

const struct control_operations instance_operations = {
    .start = start,
    .pause = pause_machine,
    .resume = resume_machine,
    .send_ctrl_alt_del = send_ctrl_alt_del,
    .update_drive = update_drive,
    .update_interface = update_interface,
    .update_pmem = update_pmem,
    .set_hotplug_size = set_hotplug_size,
    .get_hotplug_status = get_hotplug_status,
    .set_balloon_amount = set_balloon_amount,
    .set_balloon_interval = set_balloon_interval,
    .get_balloon_statistics = get_balloon_statistics,
    .start_balloon_hinting = start_balloon_hinting,
    .get_balloon_hinting = get_balloon_hinting,
    .stop_balloon_hinting = stop_balloon_hinting,
};
