/* The control queues of a console with several ports (virtio 1.2, 5.3.6.2). */
#include <string.h>

#include "vm/device/virtio_console_internal.h"

#define TURN_MAX 64

/* Composes a message; returns its size in bytes. */
static size_t compose(const struct console *console, const struct port *port,
                      enum control_message message, uint8_t *bytes)
{
    static const uint16_t events[] = {[CONTROL_ADD] = CONSOLE_PORT_ADD,
                                      [CONTROL_CONSOLE] = CONSOLE_CONSOLE_PORT,
                                      [CONTROL_NAME] = CONSOLE_PORT_NAME,
                                      [CONTROL_RESIZE] = CONSOLE_RESIZE,
                                      [CONTROL_OPEN] = CONSOLE_PORT_OPEN};
    struct console_message header = {.port = htole32((uint32_t)(port - console->ports)),
                                     .event = htole16(events[message]),
                                     .value = htole16(1)};
    size_t size = sizeof header;
    if (message == CONTROL_OPEN)
        header.value = htole16(port->in.source.fd >= 0 || port->out.source.fd >= 0);
    memcpy(bytes, &header, sizeof header);
    if (message == CONTROL_NAME) {
        memcpy(bytes + size, port->name, strlen(port->name));
        size += strlen(port->name);
    } else if (message == CONTROL_RESIZE) {
        /* The specification's order; Linux had the two swapped before 6.15 and its backports. */
        uint16_t sizes[2] = {htole16(port->columns), htole16(port->rows)};
        memcpy(bytes + size, sizes, sizeof sizes);
        size += sizeof sizes;
    }
    return size;
}

/* False if the guest has no buffer for it now. */
static bool send_message(struct console *console, struct port *port, enum control_message message,
                         int *status)
{
    uint8_t bytes[sizeof(struct console_message) + VIRTIO_CONSOLE_NAME_MAX];
    struct virtqueue *queue = &console->device.queues[CONTROL_RECEIVE_QUEUE];
    *status = virtqueue_pop(queue, &console->chain);
    if (*status <= 0)
        return false;
    size_t size = compose(console, port, message, bytes);
    uint64_t written =
        virtqueue_copy_to(console->chain.writable, console->chain.writable_count, 0, bytes, size);
    virtqueue_push(queue, console->chain.head, (uint32_t)written);
    return true;
}

void console_control_send(struct console *console)
{
    const struct virtqueue *queue = &console->device.queues[CONTROL_RECEIVE_QUEUE];
    const uint16_t before = queue->next_used;
    int status = 0;
    bool has_room = true;
    for (unsigned i = 0; i < console->port_count && has_room; i++) {
        struct port *port = &console->ports[i];
        for (unsigned message = 0; message < CONTROL_MESSAGES && has_room; message++) {
            if (!(port->pending & 1u << message))
                continue;
            has_room = send_message(console, port, message, &status);
            if (has_room)
                port->pending &= ~(1u << message);
        }
    }
    if (queue->next_used != before)
        virtio_device_interrupt(&console->device, CONTROL_RECEIVE_QUEUE);
    if (status < 0)
        virtio_device_break(&console->device, "put a malformed request into the control queue");
}

void console_control_note(struct console *console, struct port *port, enum control_message message)
{
    if (!virtio_device_has(&console->device, CONSOLE_MULTIPORT) ||
        (message != CONTROL_ADD && !port->known_to_guest))
        return;
    port->pending |= 1u << message;
    console_control_send(console);
}

static void on_port_ready(struct port *port)
{
    port->known_to_guest = true;
    if (port->is_console)
        port->pending |= 1u << CONTROL_CONSOLE;
    if (port->name[0])
        port->pending |= 1u << CONTROL_NAME;
    if (port->is_console && port->columns)
        port->pending |= 1u << CONTROL_RESIZE;
    port->pending |= 1u << CONTROL_OPEN;
}

static void take_message(struct console *console, const struct console_message *message)
{
    uint32_t id = le32toh(message->port);
    uint16_t value = le16toh(message->value);
    struct port *port = id < console->port_count ? &console->ports[id] : NULL;
    switch (le16toh(message->event)) {
    case CONSOLE_DEVICE_READY: /* it has no port: its id is nothing */
        for (unsigned i = 0; i < console->port_count && value; i++)
            console->ports[i].pending |= 1u << CONTROL_ADD;
        break;
    case CONSOLE_PORT_READY:
        if (port && value)
            on_port_ready(port);
        else if (!port)
            console->device.malformed++;
        break;
    case CONSOLE_PORT_OPEN:
        if (port) {
            port->open_in_guest = value != 0;
            console_receive(port);
        } else {
            console->device.malformed++;
        }
        break;
    default: /* later versions' */
        console->device.malformed++;
    }
}

void console_control_take(struct console *console)
{
    struct virtqueue *queue = &console->device.queues[CONTROL_TRANSMIT_QUEUE];
    int status = 0;
    for (unsigned turn = 0;; turn++) {
        struct console_message message;
        if (turn == TURN_MAX) {
            virtio_device_notify(&console->device, CONTROL_TRANSMIT_QUEUE);
            break;
        }
        status = virtqueue_pop(queue, &console->chain);
        if (status <= 0)
            break;
        bool whole = virtqueue_copy_from(console->chain.readable, console->chain.readable_count, 0,
                                         &message, sizeof message) == sizeof message;
        virtqueue_push(queue, console->chain.head, 0);
        if (whole)
            take_message(console, &message);
        else
            console->device.malformed++;
        if (console->device.status & VIRTIO_STATUS_NEEDS_RESET)
            return;
    }
    console_control_send(console);
    virtio_device_interrupt(&console->device, CONTROL_TRANSMIT_QUEUE);
    if (status < 0)
        virtio_device_break(&console->device, "put a malformed request into the control queue");
}
