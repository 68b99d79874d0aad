/* A virtual machine: memory, processors, the board and its devices, and its life. The loop's thread
 * owns it; processors have a thread each. What all of them share is under one lock, the board's:
 * the loop's thread holds it but while it waits, processors while a guest's access is served. */
#ifndef HULL_VM_MACHINE_H
#define HULL_VM_MACHINE_H

#include "base/loop.h"
#include "vm/board/boot.h"
#include "vm/board/bus.h"
#include "vm/cpu/engine.h"
#include "vm/device/power.h"
#include "vm/device/rtc.h"
#include "vm/device/serial.h"
#include "vm/device/virtio_device.h"
#include "vm/device/virtio_mmio.h"
#include "vm/device/virtio_pci.h"

#define MACHINE_DEVICES_MAX 64

enum machine_state { MACHINE_PREPARED, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_ENDED };
enum machine_end {
    MACHINE_POWERED_OFF,
    MACHINE_RESET,   /* the guest asked to begin again */
    MACHINE_CRASHED, /* a triple fault */
    MACHINE_BROKEN,  /* the engine couldn't go on */
    MACHINE_STOPPED, /* by machine_stop() */
};

struct machine_options {
    unsigned vcpus;
    uint64_t memory; /* bytes; a multiple of 2 MiB */
    bool shared_memory, huge_pages, smt;
    int serial_output, serial_input; /* or -1 */
    /* Change what the guest's processors say they are, and their registers; may be NULL. */
    void (*change_cpuid)(const void *context, struct cpuid *cpuid);
    int (*change_msrs)(const void *context, struct vcpu *vcpu, struct error *err);
    const void *context;
    bool has_pci;         /* devices are on a PCI bus, instead of virtio-mmio */
    bool user_interrupts; /* as engine_options has it */
    /* Kernels are told of the keyboard, whose driver takes them some time; reset works anyway. */
    bool has_keyboard;
};

struct machine_vcpu {
    struct machine *machine;
    struct vcpu *vcpu;
    pthread_t thread;
    bool is_started, is_parked;
    bool is_held; /* by the debugger: it may not run */
};

/* Who debugs the machine. */
struct machine_debugger {
    /* A processor's run() returned VCPU_DEBUG: on its thread, with the lock. */
    void (*happened)(struct machine_debugger *debugger, struct vcpu *vcpu);
};

struct machine {
    struct machine_options options;
    struct engine_board board; /* what the engine calls */
    struct engine *engine;
    struct guest_memory memory;
    struct guest_memory_watcher watcher; /* for the engine */
    struct bus ports, registers;
    unsigned slot_count;                    /* of the engine's memory slots, that are in use */
    uint64_t next_address;                  /* above all memory and what was reserved */
    uint64_t hotplug_address, hotplug_size; /* where memory may come to while it runs, or size 0 */
    struct loop *loop;     /* who opened the machine's, with the lock that all share */
    pthread_mutex_t *lock; /* the loop's */

    struct machine_vcpu vcpus[ENGINE_VCPUS_MAX];
    unsigned vcpu_count, parked;
    pthread_cond_t changed; /* of state, and of parked */
    enum machine_state state;
    struct machine_debugger *debugger; /* or NULL */
    bool is_held;                      /* all processors are, see machine_hold() */
    bool time_stands;                  /* for the guest */
    enum machine_end end;
    struct error failure; /* why it is MACHINE_BROKEN */

    struct power_listener power;
    struct serial *serial;
    struct i8042 *i8042;
    struct rtc *rtc;
    bool has_panicked; /* the guest's kernel said so */
    struct {
        struct virtio_device *device;
        struct virtio_mmio *mmio; /* one of the two */
        struct virtio_pci *pci;
    } devices[MACHINE_DEVICES_MAX];
    unsigned device_count;
    struct pci_bus *pci;                                       /* NULL: none */
    void (*boot_event)(struct machine *machine, uint8_t code); /* of the boot timer; or NULL */
    void *owner;                                               /* whose boot_event() it is */
};

/* Makes the memory and the board, with what every machine has. The loop is shared (loop_share()),
 * and the caller, its thread, holds its lock; so for all functions here. open_engine makes the
 * engine that is to be used. */
int machine_open(struct machine *machine, const struct machine_options *options, struct loop *loop,
                 struct engine *(*open_engine)(const struct engine_options *options,
                                               struct engine_board *board, struct error *err),
                 struct error *err);
/* A range above all memory, for what a device brings along: its address. */
uint64_t machine_reserve(struct machine *machine, uint64_t size, uint64_t alignment);
/* Lets the processors see a range of guest memory that was added after machine_open(), or not any
 * more: under a slot, of which machine_take_slots() gives some. */
unsigned machine_take_slots(struct machine *machine, unsigned count);
int machine_expose(struct machine *machine, unsigned slot, uint64_t address, uint64_t size,
                   bool exposed, struct error *err);
/* Adds a device, which is the machine's from here on, also after an error. */
int machine_add(struct machine *machine, struct virtio_device *device, struct error *err);
/* Loads a kernel and, if initrd isn't -1, an initrd; then the first processor is ready to start. */
int machine_boot(struct machine *machine, int kernel, const char *kernel_name, int initrd,
                 const char *initrd_name, const char *command_line, struct error *err);
/* Tells the guest that it is another one from now on (a copy, or what was restored): what it has of
 * random numbers and identities is to be made anew. */
void machine_renew_generation(struct machine *machine);
int machine_start(struct machine *machine, struct error *err);
/* Stops all processors between two instructions, and lets them go on. */
int machine_pause(struct machine *machine, struct error *err);
int machine_resume(struct machine *machine, struct error *err);
/* A debugger's stop, apart from the pause: a processor runs that neither of them stops. Hold may be
 * called on any thread with the lock, and before machine_start(): processors stop soon. After wait,
 * which is the loop's thread's, they stand; or false, the machine has ended. Release lets go those
 * whose bit is set, and keeps the others. */
void machine_hold(struct machine *machine);
bool machine_wait_held(struct machine *machine);
void machine_release(struct machine *machine, uint32_t vcpus);
/* Ends the machine, from any thread: the loop is done then. */
void machine_stop(struct machine *machine, enum machine_end end);
void machine_close(struct machine *machine);

#endif
