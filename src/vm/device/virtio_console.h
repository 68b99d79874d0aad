/* The console device (virtio 1.2, 5.3): streams of bytes between the guest and descriptors of the
 * monitor. With one port it is a plain console (hvc0); with more the driver is offered
 * VIRTIO_CONSOLE_F_MULTIPORT, and finds the others by name (/dev/virtio-ports/NAME). */
#ifndef HULL_VM_VIRTIO_CONSOLE_H
#define HULL_VM_VIRTIO_CONSOLE_H

#include "vm/device/virtio_device.h"

#define VIRTIO_CONSOLE_PORTS_MAX ((VIRTIO_QUEUES_MAX - 2) / 2)
#define VIRTIO_CONSOLE_NAME_MAX 64

struct virtio_console_port {
    const char *name; /* at most VIRTIO_CONSOLE_NAME_MAX bytes, copied; NULL for none */
    bool is_console;  /* a terminal of the guest (hvc), not a stream with a name */
    int in, out;      /* non-blocking and the device's from now on; may be the same; -1 for none */
};

/* Makes a device that the caller opens with virtio_device_open(); virtio_device_close() frees it
 * and closes the ports' descriptors. multiport offers named ports even if there is only one. The
 * process ignores SIGPIPE. */
struct virtio_device *virtio_console_create(const char *id, const struct virtio_console_port *ports,
                                            unsigned count, bool multiport);

/* Connects a port of an open device to other descriptors, as in virtio_console_port; the old ones
 * are closed. The guest is told whether somebody is there. */
void virtio_console_attach(struct virtio_device *device, unsigned port, int in, int out);
/* The terminal at a port has so many columns and rows now. */
void virtio_console_resize(struct virtio_device *device, unsigned port, uint16_t columns,
                           uint16_t rows);

/* A descriptor for the file, pipe or terminal behind fd that can be made non-blocking without those
 * noticing who share fd (a shell, its terminal); sockets are duplicated. flags: O_RDONLY or
 * O_WRONLY. Needs /proc. -1 with errno. */
int virtio_console_open_private(int fd, int flags);

#endif
