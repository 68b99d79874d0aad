#include "vm/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/board/acpi.h"
#include "vm/board/controllers.h"
#include "vm/board/layout.h"
#include "vm/confine.h"
#include "vm/cpu/cpuid.h"
#include "vm/log.h"

/* ---- The board: what processors reach ---- */

static struct machine *machine_of(struct engine_board *board)
{
    return (struct machine *)((char *)board - offsetof(struct machine, board));
}

static struct bus *bus_of(struct machine *machine, enum engine_space space)
{
    return space == ENGINE_PORT ? &machine->ports : &machine->registers;
}

static uint64_t read_board(struct engine_board *board, enum engine_space space, uint64_t address,
                           unsigned size)
{
    struct machine *machine = machine_of(board);
    pthread_mutex_lock(machine->lock);
    uint64_t value = bus_read(bus_of(machine, space), address, size);
    pthread_mutex_unlock(machine->lock);
    return value;
}

static void write_board(struct engine_board *board, enum engine_space space, uint64_t address,
                        unsigned size, uint64_t value)
{
    struct machine *machine = machine_of(board);
    pthread_mutex_lock(machine->lock);
    bus_write(bus_of(machine, space), address, size, value);
    pthread_mutex_unlock(machine->lock);
}

static void on_power(struct power_listener *listener, enum power_event event)
{
    struct machine *machine =
        (struct machine *)((char *)listener - offsetof(struct machine, power));
    if (event == POWER_PANIC && !machine->has_panicked)
        vm_log(VM_LOG_ERROR, "machine", "the guest's kernel panicked");
    if (event == POWER_PANIC)
        machine->has_panicked = true;
    else
        machine_stop(machine, event == POWER_OFF ? MACHINE_POWERED_OFF : MACHINE_RESET);
}

static uint64_t read_boot_timer(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return 0xff;
}

static void write_boot_timer(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct machine *machine = device;
    (void)offset, (void)size;
    if (machine->boot_event)
        machine->boot_event(machine, (uint8_t)value);
}

static const struct bus_operations boot_timer_operations = {read_boot_timer, write_boot_timer};

static void note_write(struct guest_memory_watcher *watcher, uint64_t address, uint64_t size)
{
    struct machine *machine =
        (struct machine *)((char *)watcher - offsetof(struct machine, watcher));
    machine->engine->operations->note_write(machine->engine, address, size);
}

static int add_memory(struct machine *machine, struct error *err)
{
    const struct machine_options *options = &machine->options;
    uint64_t low = options->memory < LAYOUT_LOW_END ? options->memory : LAYOUT_LOW_END;
    if (guest_memory_add(&machine->memory, 0, low, options->shared_memory, options->huge_pages,
                         err) < 0 ||
        (options->memory > low &&
         guest_memory_add(&machine->memory, LAYOUT_4_GIB, options->memory - low,
                          options->shared_memory, options->huge_pages, err) < 0))
        return -1;
    for (unsigned i = 0; i < machine->memory.count; i++) {
        const struct guest_region *region = &machine->memory.regions[i];
        if (machine_expose(machine, machine_take_slots(machine, 1), region->address, region->size,
                           true, err) < 0)
            return -1;
    }
    if (machine->engine->operations->note_write) {
        machine->watcher.written = note_write;
        machine->memory.watcher = &machine->watcher;
    }
    machine->next_address =
        options->memory > low ? LAYOUT_4_GIB + options->memory - low : LAYOUT_4_GIB;
    return 0;
}

uint64_t machine_reserve(struct machine *machine, uint64_t size, uint64_t alignment)
{
    uint64_t address = (machine->next_address + alignment - 1) / alignment * alignment;
    machine->next_address = address + size;
    return address;
}

unsigned machine_take_slots(struct machine *machine, unsigned count)
{
    unsigned first = machine->slot_count;
    machine->slot_count += count;
    return first;
}

int machine_expose(struct machine *machine, unsigned slot, uint64_t address, uint64_t size,
                   bool exposed, struct error *err)
{
    const struct engine_operations *engine = machine->engine->operations;
    if (!exposed)
        return engine->unmap_memory(machine->engine, slot, err);
    uint64_t room = size;
    struct guest_region range = {.address = address, .size = size};
    range.host = guest_memory_at_most(&machine->memory, address, &room, false);
    if (!range.host || room < size)
        return error_set(err, 0, "no memory of the machine is at %#llx",
                         (unsigned long long)address);
    range.read_only = !guest_memory_at_most(&machine->memory, address, &room, true);
    return engine->map_memory(machine->engine, slot, &range, false, err);
}

static int add_board_devices(struct machine *machine, struct error *err)
{
    struct interrupts *interrupts = machine->engine->interrupts;
    machine->power.happened = on_power;
    machine->serial = serial_create(machine->loop, interrupts, LAYOUT_IRQ_SERIAL,
                                    machine->options.serial_output, machine->options.serial_input);
    machine->i8042 = i8042_create(interrupts, LAYOUT_IRQ_KEYBOARD, &machine->power);
    machine->rtc = rtc_create(machine->loop, interrupts, LAYOUT_IRQ_RTC);
    struct bus *ports = &machine->ports;
    if (bus_add(ports, LAYOUT_SERIAL, 8, &serial_bus_operations, machine->serial, err) < 0 ||
        bus_add(ports, LAYOUT_I8042, 1, &i8042_data_operations, machine->i8042, err) < 0 ||
        bus_add(ports, LAYOUT_I8042_COMMAND, 1, &i8042_command_operations, machine->i8042, err) <
            0 ||
        bus_add(ports, LAYOUT_RTC, 2, &rtc_bus_operations, machine->rtc, err) < 0 ||
        bus_add(ports, LAYOUT_POWER, 2, &power_bus_operations, &machine->power, err) < 0 ||
        bus_add(ports, LAYOUT_PVPANIC, 1, &pvpanic_bus_operations, &machine->power, err) < 0 ||
        bus_add(ports, LAYOUT_BOOT_TIMER, 1, &boot_timer_operations, machine, err) < 0)
        return -1;
    if (machine->engine->controllers &&
        controllers_attach(machine->engine->controllers, ports, &machine->registers, err) < 0)
        return -1;
    if (machine->options.has_pci)
        machine->pci = pci_bus_create(ports, &machine->registers, err);
    return machine->options.has_pci && !machine->pci ? -1 : 0;
}

/* What firmware leaves behind and a kernel relies on: fast string instructions, and memory that is
 * cached where no range says otherwise (Intel SDM 3A, 11.11.2.1). A processor may have neither. */
static void set_boot_msrs(struct vcpu *vcpu)
{
    static const struct vcpu_msr msrs[] = {{0x1a0 /* IA32_MISC_ENABLE */, 1},
                                           {0x2ff /* IA32_MTRR_DEF_TYPE */, 0x806}};
    for (unsigned i = 0; i < sizeof msrs / sizeof *msrs; i++)
        vcpu->engine->operations->set_msr(vcpu, &msrs[i], NULL);
}

static int create_vcpus(struct machine *machine, struct error *err)
{
    const struct engine_operations *engine = machine->engine->operations;
    scope_free struct cpuid *supported = memory_allocate(2, sizeof *supported);
    struct cpuid *cpuid = supported + 1;
    if (engine->supported_cpuid(machine->engine, supported, err) < 0)
        return -1;
    for (unsigned i = 0; i < machine->options.vcpus; i++) {
        *cpuid = *supported;
        cpuid_for_vcpu(cpuid, i, machine->options.vcpus, machine->options.smt);
        if (machine->options.change_cpuid)
            machine->options.change_cpuid(machine->options.context, cpuid);
        struct vcpu *vcpu = engine->create_vcpu(machine->engine, i, cpuid, err);
        if (!vcpu)
            return -1;
        machine->vcpus[machine->vcpu_count++] =
            (struct machine_vcpu){.machine = machine, .vcpu = vcpu};
        set_boot_msrs(vcpu);
        if (machine->options.change_msrs &&
            machine->options.change_msrs(machine->options.context, vcpu, err) < 0)
            return -1;
    }
    return 0;
}

int machine_open(struct machine *machine, const struct machine_options *options, struct loop *loop,
                 struct engine *(*open_engine)(const struct engine_options *options,
                                               struct engine_board *board, struct error *err),
                 struct error *err)
{
    *machine = (struct machine){.options = *options,
                                .board = {read_board, write_board},
                                .loop = loop,
                                .lock = loop->lock,
                                .changed = PTHREAD_COND_INITIALIZER};
    machine->engine =
        open_engine(&(struct engine_options){.vcpus = options->vcpus,
                                             .user_interrupts = options->user_interrupts},
                    &machine->board, err);
    if (machine->engine && add_memory(machine, err) == 0 && add_board_devices(machine, err) == 0 &&
        create_vcpus(machine, err) == 0)
        return 0;
    machine_close(machine);
    return -1;
}

/* ---- Devices ---- */

/* The n-th of the lines that are free for devices, or -1. */
static int device_line(unsigned n)
{
    static const unsigned spare[] = {5, 6, 7, 3};
    if (n < LAYOUT_IRQ_LINES - LAYOUT_IRQ_FIRST)
        return (int)(LAYOUT_IRQ_FIRST + n);
    n -= LAYOUT_IRQ_LINES - LAYOUT_IRQ_FIRST;
    return n < sizeof spare / sizeof *spare ? (int)spare[n] : -1;
}

/* Puts device n on virtio-mmio. */
static int add_mmio(struct machine *machine, unsigned n, struct error *err)
{
    struct virtio_device *device = machine->devices[n].device;
    int line = device_line(n);
    if (line < 0)
        return error_set(err, 0,
                         "the board has no interrupt left for device %s (with PCI it has more)",
                         device->id);
    machine->devices[n].mmio =
        virtio_mmio_create(device, &machine->registers, machine->engine,
                           LAYOUT_VIRTIO_MMIO + n * VIRTIO_MMIO_SIZE, (unsigned)line, err);
    return machine->devices[n].mmio ? 0 : -1;
}

static int add_pci(struct machine *machine, unsigned n, struct error *err)
{
    machine->devices[n].pci =
        virtio_pci_create(machine->devices[n].device, machine->pci, machine->engine, err);
    return machine->devices[n].pci ? 0 : -1;
}

int machine_add(struct machine *machine, struct virtio_device *device, struct error *err)
{
    unsigned n = machine->device_count;
    if (virtio_device_open(device, &machine->memory, machine->loop, err) < 0) {
        device->operations->release(device);
        return -1;
    }
    machine->devices[n].device = device;
    if ((machine->pci ? add_pci : add_mmio)(machine, n, err) < 0) {
        virtio_device_close(device);
        return -1;
    }
    machine->device_count++;
    return 0;
}

/* ---- Boot ---- */

static uint64_t write_tables(struct machine *machine, struct error *err)
{
    struct acpi_virtio virtio[MACHINE_DEVICES_MAX];
    for (unsigned i = 0; i < machine->device_count; i++)
        virtio[i] = (struct acpi_virtio){(uint32_t)(LAYOUT_VIRTIO_MMIO + i * VIRTIO_MMIO_SIZE),
                                         (uint32_t)device_line(i)};
    uint64_t memory = machine->options.memory;
    struct acpi_board board = {
        .vcpus = machine->vcpu_count,
        .virtio = virtio,
        .virtio_count = machine->pci ? 0 : machine->device_count,
        .has_pci = machine->pci,
        .has_keyboard = machine->options.has_keyboard,
        .has_pvpanic = true,
        .has_generation = true,
        .generation = LAYOUT_GENERATION,
        .hotplug_address = machine->hotplug_address,
        .hotplug_size = machine->hotplug_size,
        .low_ram = memory < LAYOUT_LOW_END ? memory : LAYOUT_LOW_END,
        .high_ram = memory < LAYOUT_LOW_END ? 0 : memory - LAYOUT_LOW_END,
    };
    return acpi_write(&board, &machine->memory, err);
}

static void renew_generation(struct machine *machine)
{
    uint8_t id[16];
    if (getrandom(id, sizeof id, 0) == sizeof id)
        guest_memory_write(&machine->memory, LAYOUT_GENERATION, id, sizeof id);
}

void machine_renew_generation(struct machine *machine)
{
    renew_generation(machine);
    interrupts_set_line(machine->engine->interrupts, LAYOUT_IRQ_EVENTS, true);
    interrupts_set_line(machine->engine->interrupts, LAYOUT_IRQ_EVENTS, false);
}

int machine_boot(struct machine *machine, int kernel, const char *kernel_name, int initrd,
                 const char *initrd_name, const char *command_line, struct error *err)
{
    struct boot boot;
    struct vcpu_registers registers;
    uint64_t low_end = machine->memory.regions[0].size;
    struct boot_range ranges[5] = {
        {0, LAYOUT_LOW_RAM_END, true},
        {LAYOUT_LOW_RAM_END, LAYOUT_HIGH_RAM - LAYOUT_LOW_RAM_END, false},
        {LAYOUT_HIGH_RAM, low_end - LAYOUT_HIGH_RAM, true}};
    unsigned count = 3;
    if (machine->pci)
        ranges[count++] = (struct boot_range){LAYOUT_PCI_CONFIG,
                                              LAYOUT_PCI_CONFIG_END - LAYOUT_PCI_CONFIG, false};
    if (machine->options.memory > low_end)
        ranges[count++] =
            (struct boot_range){LAYOUT_4_GIB, machine->options.memory - low_end, true};
    if (boot_load_kernel(&boot, &machine->memory, kernel, kernel_name, err) < 0 ||
        (initrd >= 0 && boot_load_initrd(&boot, &machine->memory, initrd, initrd_name, err) < 0))
        return -1;
    renew_generation(machine);
    uint64_t rsdp = write_tables(machine, err);
    if (!rsdp || boot_prepare(&boot, &machine->memory, command_line, ranges, count, rsdp,
                              &registers, err) < 0)
        return -1;
    return machine->engine->operations->set_registers(machine->vcpus[0].vcpu, &registers, err);
}

/* ---- Life ---- */

static bool must_wait(const struct machine_vcpu *vcpu)
{
    const struct machine *machine = vcpu->machine;
    return machine->state == MACHINE_PAUSED || (machine->state == MACHINE_RUNNING && vcpu->is_held);
}

/* Waits while the machine is paused, or its debugger holds the processor; false once the machine
 * has ended. */
static bool may_run(struct machine_vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    pthread_mutex_lock(machine->lock);
    while (must_wait(vcpu)) {
        if (!vcpu->is_parked) {
            vcpu->is_parked = true;
            machine->parked++;
            pthread_cond_broadcast(&machine->changed);
        }
        pthread_cond_wait(&machine->changed, machine->lock);
    }
    if (vcpu->is_parked) {
        vcpu->is_parked = false;
        machine->parked--;
    }
    bool runs = machine->state == MACHINE_RUNNING;
    pthread_mutex_unlock(machine->lock);
    return runs;
}

static void end(struct machine_vcpu *vcpu, enum machine_end how, const struct error *err)
{
    struct machine *machine = vcpu->machine;
    pthread_mutex_lock(machine->lock);
    if (machine->state != MACHINE_ENDED) {
        if (err)
            machine->failure = *err;
        machine_stop(machine, how);
    }
    pthread_mutex_unlock(machine->lock);
}

/* An event that no debugger waits for any more has nothing to stop. */
static void tell_debugger(struct machine_vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    pthread_mutex_lock(machine->lock);
    if (machine->debugger && machine->state != MACHINE_ENDED)
        machine->debugger->happened(machine->debugger, vcpu->vcpu);
    pthread_mutex_unlock(machine->lock);
}

static void *run_vcpu(void *argument)
{
    struct machine_vcpu *vcpu = argument;
    const struct engine_operations *engine = vcpu->machine->engine->operations;
    struct error err = {0};
    if (confine_thread(CONFINE_VCPU, &err) < 0)
        end(vcpu, MACHINE_BROKEN, &err);
    while (may_run(vcpu)) {
        switch (engine->run(vcpu->vcpu, &err)) {
        case VCPU_SHUTDOWN:
            end(vcpu, MACHINE_CRASHED, NULL);
            break;
        case VCPU_RESET:
            end(vcpu, MACHINE_RESET, NULL);
            break;
        case VCPU_FAILED:
            end(vcpu, MACHINE_BROKEN, &err);
            break;
        case VCPU_DEBUG:
            tell_debugger(vcpu);
            break;
        case VCPU_INTERRUPTED:
            break;
        }
    }
    return NULL;
}

static void kick_all(struct machine *machine)
{
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        machine->engine->operations->kick(machine->vcpus[i].vcpu);
}

int machine_start(struct machine *machine, struct error *err)
{
    sigset_t all, before;
    int code = 0;
    machine->state = MACHINE_RUNNING;
    /* Signals are the loop's thread's; the one that kicks has a handler and stays open. */
    sigfillset(&all);
    sigdelset(&all, SIGRTMIN); /* KVM_KICK_SIGNAL */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (unsigned i = 0; i < machine->vcpu_count && code == 0; i++) {
        struct machine_vcpu *vcpu = &machine->vcpus[i];
        code = pthread_create(&vcpu->thread, NULL, run_vcpu, vcpu);
        vcpu->is_started = code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code ? error_set(err, code, "can't start a thread for a vcpu") : 0;
}

/* Both the pause and the debugger's stop make it stand. */
static int set_time(struct machine *machine, bool stands, struct error *err)
{
    const struct engine_operations *engine = machine->engine->operations;
    if (machine->time_stands == stands)
        return 0;
    if ((stands ? engine->pause : engine->resume)(machine->engine, err) < 0)
        return -1;
    machine->time_stands = stands;
    return 0;
}

/* Waits until all processors stand, unless the machine ends before, or, with paused, its pause. */
static void wait_parked(struct machine *machine, bool paused)
{
    while (machine->parked < machine->vcpu_count && machine->state != MACHINE_ENDED &&
           (paused ? machine->state == MACHINE_PAUSED : machine->is_held))
        pthread_cond_wait(&machine->changed, machine->lock);
}

int machine_pause(struct machine *machine, struct error *err)
{
    if (machine->state != MACHINE_RUNNING)
        return error_set(err, 0, "the machine doesn't run");
    machine->state = MACHINE_PAUSED;
    kick_all(machine);
    wait_parked(machine, true);
    if (machine->state != MACHINE_PAUSED)
        return error_set(err, 0, "the machine has ended");
    return set_time(machine, true, err);
}

int machine_resume(struct machine *machine, struct error *err)
{
    if (machine->state != MACHINE_PAUSED)
        return error_set(err, 0, "the machine is not paused");
    if (!machine->is_held && set_time(machine, false, err) < 0)
        return -1;
    machine->state = MACHINE_RUNNING;
    pthread_cond_broadcast(&machine->changed);
    return 0;
}

void machine_hold(struct machine *machine)
{
    machine->is_held = true;
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        machine->vcpus[i].is_held = true;
    if (machine->state != MACHINE_PREPARED)
        kick_all(machine);
}

bool machine_wait_held(struct machine *machine)
{
    struct error err;
    wait_parked(machine, false);
    if (machine->state == MACHINE_ENDED)
        return false;
    if (set_time(machine, true, &err) < 0)
        vm_log(VM_LOG_WARNING, "debugger", "the guest's time goes on while it is stopped: %s",
               err.text);
    return true;
}

void machine_release(struct machine *machine, uint32_t vcpus)
{
    struct error err;
    machine->is_held = false;
    if (machine->state == MACHINE_RUNNING && set_time(machine, false, &err) < 0)
        vm_log(VM_LOG_WARNING, "debugger", "the guest's time jumps: %s", err.text);
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        machine->vcpus[i].is_held = !(vcpus >> i & 1);
    pthread_cond_broadcast(&machine->changed);
}

void machine_stop(struct machine *machine, enum machine_end how)
{
    if (machine->state == MACHINE_ENDED)
        return;
    machine->state = MACHINE_ENDED;
    machine->end = how;
    machine->loop->done = true;
    pthread_cond_broadcast(&machine->changed);
    kick_all(machine);
    loop_wake(machine->loop);
}

void machine_close(struct machine *machine)
{
    machine_stop(machine, MACHINE_STOPPED);
    /* They may wait for the lock. */
    pthread_mutex_unlock(machine->lock);
    for (unsigned i = 0; i < machine->vcpu_count; i++) {
        if (machine->vcpus[i].is_started)
            pthread_join(machine->vcpus[i].thread, NULL);
    }
    pthread_mutex_lock(machine->lock);
    while (machine->device_count > 0) {
        machine->device_count--;
        if (machine->devices[machine->device_count].mmio)
            virtio_mmio_destroy(machine->devices[machine->device_count].mmio);
        else
            virtio_pci_destroy(machine->devices[machine->device_count].pci);
        virtio_device_close(machine->devices[machine->device_count].device);
    }
    if (machine->pci)
        pci_bus_destroy(machine->pci);
    if (machine->serial)
        serial_destroy(machine->serial);
    if (machine->i8042)
        i8042_destroy(machine->i8042);
    if (machine->rtc)
        rtc_destroy(machine->rtc);
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        machine->engine->operations->close_vcpu(machine->vcpus[i].vcpu);
    if (machine->engine)
        machine->engine->operations->close(machine->engine);
    guest_memory_release(&machine->memory);
}
