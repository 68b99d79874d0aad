/* The file system device (virtio 1.2, 5.11): a directory of the host, mounted in the guest by its
 * tag ("mount -t virtiofs TAG /mnt"). Served by a process of its own for each share, which sees
 * nothing but that directory and the guest's memory; the monitor only starts it, and passes
 * interrupts on. */
#ifndef HULL_VM_VIRTIO_FS_H
#define HULL_VM_VIRTIO_FS_H

#include "vm/device/virtio_device.h"

#define VIRTIO_FS_TAG_MAX 36

/* How long the guest believes what it read. */
enum virtio_fs_cache {
    VIRTIO_FS_CACHE_AUTO,   /* names and attributes for a second; data until the next open */
    VIRTIO_FS_CACHE_NONE,   /* names and attributes are always asked for */
    VIRTIO_FS_CACHE_ALWAYS, /* a day, and data, too: nobody else changes the directory */
};

struct virtio_fs_options {
    const char *tag; /* 1 to VIRTIO_FS_TAG_MAX bytes */
    const char *directory;
    bool read_only;
    enum virtio_fs_cache cache;
};

/* Starts the server and makes a device for it, which the caller opens with virtio_device_open();
 * virtio_device_close() ends both. To be called before the monitor is jailed and has threads. Guest
 * memory must be shared (guest_memory_add()). As root, files belong to the guest's users; otherwise
 * all of them to the user who runs the monitor. NULL with the error. */
struct virtio_device *virtio_fs_create(const char *id, const struct virtio_fs_options *options,
                                       struct error *err);

#endif
