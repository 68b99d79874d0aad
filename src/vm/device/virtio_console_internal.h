/* What the console device's two files share. */
#ifndef HULL_VM_VIRTIO_CONSOLE_INTERNAL_H
#define HULL_VM_VIRTIO_CONSOLE_INTERNAL_H

#include <endian.h>

#include "vm/device/virtio_console.h"

/* Features (5.3.3); linux/virtio_console.h can't be included beside virtio_device.h. */
#define CONSOLE_SIZE (1ull << 0)
#define CONSOLE_MULTIPORT (1ull << 1)
#define CONSOLE_EMERGENCY_WRITE (1ull << 2)

/* The configuration space (5.3.4). */
struct console_config {
    uint16_t columns, rows;
    uint32_t ports_max, emergency_write;
};

/* What is said in the control queues (5.3.6.2); a name or size may follow. */
struct console_message {
    uint32_t port;
    uint16_t event, value;
};
enum {
    CONSOLE_DEVICE_READY = 0,
    CONSOLE_PORT_ADD = 1,
    CONSOLE_PORT_READY = 3,
    CONSOLE_CONSOLE_PORT = 4,
    CONSOLE_RESIZE = 5,
    CONSOLE_PORT_OPEN = 6,
    CONSOLE_PORT_NAME = 7,
};

enum { CONTROL_RECEIVE_QUEUE = 2, CONTROL_TRANSMIT_QUEUE = 3 };

/* What the guest is still to be told about a port, in the order of telling. Bits instead of a
 * queue: what is told is how it is now, and a guest that takes no messages costs nothing. */
enum control_message {
    CONTROL_ADD,
    CONTROL_CONSOLE,
    CONTROL_NAME,
    CONTROL_RESIZE,
    CONTROL_OPEN,
    CONTROL_MESSAGES,
};

struct endpoint {
    struct loop_source source; /* fd: -1 where there is none */
    bool pollable;
};

struct console;

struct port {
    struct console *console;
    char name[VIRTIO_CONSOLE_NAME_MAX + 1];
    bool is_console;
    unsigned receive_queue, transmit_queue;
    struct endpoint in, out;
    uint16_t columns, rows;

    bool is_sending; /* the guest's request that is being written, and how far it is */
    uint64_t sent;
    struct virtqueue_chain sending;

    bool open_in_guest;
    bool known_to_guest; /* it said that the port is ready */
    unsigned pending;    /* 1 << enum control_message */
};

struct console {
    struct virtio_device device;
    struct console_config config;
    struct virtqueue_chain chain;
    unsigned port_count;
    struct port ports[VIRTIO_CONSOLE_PORTS_MAX];
};

void console_receive(struct port *port);
void console_transmit(struct port *port);

/* Tells the guest, now or when it has a buffer for it. Nothing happens where the driver doesn't
 * know of several ports, or not yet of this one. */
void console_control_note(struct console *console, struct port *port, enum control_message message);
/* Sends what is pending; takes what the guest says. */
void console_control_send(struct console *console);
void console_control_take(struct console *console);

#endif
