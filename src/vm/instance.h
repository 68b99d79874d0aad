/* The machine that settings describe: its memory, processors and devices made of them, and what the
 * API does to it while it runs. */
#ifndef HULL_VM_INSTANCE_H
#define HULL_VM_INSTANCE_H

#include "vm/control/control.h"
#include "vm/control/options.h"
#include "vm/gdb/server.h"
#include "vm/machine.h"

struct instance {
    const struct vm_options *options;
    struct loop *loop; /* shared, its lock held */
    struct metrics *metrics;
    struct control *control;
    struct machine machine;
    bool is_open;
    struct gdb_server *debugger;         /* or NULL */
    void *counters[MACHINE_DEVICES_MAX]; /* the metrics of the machine's devices, where there are
                                            any */
    int serial_output, kernel, initrd;   /* descriptors, or -1 */
    unsigned hotplug_slot;               /* the first of the engine's for memory that may come */
    bool is_serving;                     /* the loop turns: a start confines its thread at once */
    struct virtio_device *shares[VM_MAX_DEVICES]; /* made by instance_prepare(), not added yet */
    int64_t started; /* us of the monotonic clock: for the boot timer */
};

/* What a struct control is given with the instance as context. */
extern const struct control_operations instance_operations;

/* Everything that isn't set by its owner begins as nothing. */
void instance_initialize(struct instance *instance, const struct vm_options *options,
                         struct loop *loop, struct metrics *metrics);
/* Makes what a jailed monitor can't, once it has dropped its rights: the servers of the settings'
 * shares. Without a jail it needn't be called. */
int instance_prepare(struct instance *instance, const struct vm_settings *settings,
                     struct error *err);
/* Confines the loop's thread if the machine runs, whose first instruction comes after this: the
 * loop's lock is held until the loop turns. */
int instance_confine(struct instance *instance, struct error *err);
/* Ends the machine, if there is one. */
void instance_close(struct instance *instance);

/* ---- instance_devices.c ---- */

/* Adds the devices of the settings to the opened machine. */
int instance_add_devices(struct instance *instance, const struct vm_settings *settings,
                         struct error *err);
/* Ends the servers of shares that weren't added. */
void instance_drop_shares(struct instance *instance);
/* A device of a type with an identifier, or NULL. id NULL: any. */
struct virtio_device *instance_find(const struct instance *instance, enum virtio_type type,
                                    const char *id);
/* Opens a drive's disk. */
struct disk *instance_open_disk(struct instance *instance, const struct drive_settings *drive,
                                const char *path, struct error *err);

/* ---- instance_metrics.c ---- */

/* Assigns what devices counted to the metrics of their names; for metrics_set_collector(). */
void instance_collect(void *instance);

#endif
