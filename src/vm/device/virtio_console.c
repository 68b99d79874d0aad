/* Nothing is kept here: input is read when the guest has put a buffer for it into its queue, and
 * straight into that buffer; output is taken from the guest's buffers when the descriptor takes it,
 * and the request that is being written stays the guest's until its last byte is out. So a slow
 * guest holds back who writes to it, a slow reader holds back the guest, and the kernel's pipe or
 * socket and the guest's ring are the only queues. */
#include "vm/device/virtio_console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/device/virtio_console_internal.h"

/* So many requests of a queue are served before others get a turn. */
#define TURN_MAX 64

static void hang_up(struct port *port, struct endpoint *endpoint)
{
    struct console *console = port->console;
    if (endpoint->source.fd < 0)
        return;
    loop_watch(console->device.loop, &endpoint->source, 0);
    close(endpoint->source.fd);
    endpoint->source.fd = -1;
}

/* Nobody is at the other side any more; the guest hears of it when neither side is left. */
static void note_hang_up(struct port *port, struct endpoint *endpoint)
{
    hang_up(port, endpoint);
    if (port->in.source.fd < 0 && port->out.source.fd < 0)
        console_control_note(port->console, port, CONTROL_OPEN);
}

static void watch(struct port *port, struct endpoint *endpoint, uint32_t events)
{
    if (endpoint->source.fd >= 0 && endpoint->pollable)
        loop_watch(port->console->device.loop, &endpoint->source, events);
}

static bool is_gone(ssize_t count)
{
    return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
}

/* Whether the guest takes input from this port: a driver of several ports drops what comes while
 * nobody has the port open (5.3.6.2). */
static bool wants_input(const struct port *port)
{
    return !virtio_device_has(&port->console->device, CONSOLE_MULTIPORT) || port->open_in_guest;
}

/* Reads into the guest's buffers until there are none, or nothing is left to read. */
void console_receive(struct port *port)
{
    struct console *console = port->console;
    struct virtqueue *queue = &console->device.queues[port->receive_queue];
    const uint16_t before = queue->next_used;
    bool want_more = false;
    int status = 0;
    for (unsigned turn = 0; port->in.source.fd >= 0 && wants_input(port); turn++) {
        if (turn == TURN_MAX) {
            virtio_device_notify(&console->device, port->receive_queue);
            break;
        }
        status = virtqueue_pop(queue, &console->chain);
        if (status <= 0)
            break;
        if (console->chain.writable_size == 0) {
            virtqueue_push(queue, console->chain.head, 0);
            continue;
        }
        ssize_t count =
            readv(port->in.source.fd, console->chain.writable, (int)console->chain.writable_count);
        if (count <= 0) {
            virtqueue_unpop(queue);
            if (is_gone(count))
                note_hang_up(port, &port->in);
            want_more = true;
            break;
        }
        virtqueue_push(queue, console->chain.head, (uint32_t)count);
    }
    watch(port, &port->in, want_more ? EPOLLIN : 0);
    if (queue->next_used != before)
        virtio_device_interrupt(&console->device, port->receive_queue);
    if (status < 0)
        virtio_device_break(&console->device, "put a malformed request into a receive queue");
}

/* Writes what is left of the request at hand: true once all of it is out, or nobody takes it. */
static bool write_rest(struct port *port)
{
    struct virtqueue_chain *chain = &port->sending;
    while (port->sent < chain->readable_size && port->out.source.fd >= 0) {
        uint64_t skip = port->sent;
        unsigned first = 0;
        while (skip >= chain->readable[first].iov_len)
            skip -= chain->readable[first++].iov_len;
        struct iovec *part = &chain->readable[first], whole = *part;
        part->iov_base = (uint8_t *)whole.iov_base + skip;
        part->iov_len = whole.iov_len - skip;
        ssize_t count = writev(port->out.source.fd, part, (int)(chain->readable_count - first));
        *part = whole;
        if (is_gone(count))
            note_hang_up(port, &port->out);
        else if (count < 0)
            return false;
        else
            port->sent += (uint64_t)count;
    }
    return true;
}

void console_transmit(struct port *port)
{
    struct console *console = port->console;
    struct virtqueue *queue = &console->device.queues[port->transmit_queue];
    const uint16_t before = queue->next_used;
    bool want_room = false;
    int status = 0;
    for (unsigned turn = 0;; turn++) {
        if (!port->is_sending) {
            if (turn == TURN_MAX) {
                virtio_device_notify(&console->device, port->transmit_queue);
                break;
            }
            status = virtqueue_pop(queue, &port->sending);
            if (status <= 0)
                break;
            port->is_sending = true;
            port->sent = 0;
        }
        want_room = !write_rest(port);
        if (want_room)
            break;
        port->is_sending = false;
        virtqueue_push(queue, port->sending.head, 0);
    }
    watch(port, &port->out, want_room ? EPOLLOUT : 0);
    if (queue->next_used != before)
        virtio_device_interrupt(&console->device, port->transmit_queue);
    if (status < 0)
        virtio_device_break(&console->device, "put a malformed request into a transmit queue");
}

static bool is_working(const struct console *console)
{
    return console->device.active && !(console->device.status & VIRTIO_STATUS_NEEDS_RESET);
}

static void on_input(struct loop_source *source, uint32_t events)
{
    struct port *port = loop_owner(source, struct port, in.source);
    (void)events;
    if (is_working(port->console))
        console_receive(port);
    else
        watch(port, &port->in, 0);
}

static void on_room(struct loop_source *source, uint32_t events)
{
    struct port *port = loop_owner(source, struct port, out.source);
    (void)events;
    if (is_working(port->console))
        console_transmit(port);
    else
        watch(port, &port->out, 0);
}

/* epoll doesn't take files and /dev/null: they are always ready. */
static bool is_pollable(int fd)
{
    struct epoll_event event = {0};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bool pollable = epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
    if (epoll >= 0)
        close(epoll);
    return pollable;
}

static void connect_endpoint(struct endpoint *endpoint, int fd,
                             void (*ready)(struct loop_source *source, uint32_t events))
{
    endpoint->source = (struct loop_source){.fd = fd, .ready = ready};
    if (fd >= 0)
        endpoint->pollable = is_pollable(fd);
}

static void connect_port(struct port *port, int in, int out)
{
    if (out >= 0 && in == out)
        out = fcntl(out, F_DUPFD_CLOEXEC, 3); /* epoll takes a descriptor once only */
    connect_endpoint(&port->in, in, on_input);
    connect_endpoint(&port->out, out, on_room);
}

void virtio_console_attach(struct virtio_device *device, unsigned index, int in, int out)
{
    struct console *console = (struct console *)device;
    struct port *port = &console->ports[index];
    hang_up(port, &port->in);
    hang_up(port, &port->out);
    connect_port(port, in, out);
    if (!is_working(console))
        return;
    console_control_note(console, port, CONTROL_OPEN);
    console_receive(port);
    console_transmit(port);
}

void virtio_console_resize(struct virtio_device *device, unsigned index, uint16_t columns,
                           uint16_t rows)
{
    struct console *console = (struct console *)device;
    struct port *port = &console->ports[index];
    port->columns = columns;
    port->rows = rows;
    if (index == 0) {
        console->config.columns = htole16(columns);
        console->config.rows = htole16(rows);
        if (virtio_device_has(device, CONSOLE_SIZE))
            virtio_device_config_changed(device);
    }
    if (is_working(console) && port->is_console)
        console_control_note(console, port, CONTROL_RESIZE);
}

static void notified(struct virtio_device *device, unsigned queue)
{
    struct console *console = (struct console *)device;
    if (queue == CONTROL_RECEIVE_QUEUE) {
        console_control_send(console);
    } else if (queue == CONTROL_TRANSMIT_QUEUE) {
        console_control_take(console);
    } else {
        struct port *port = &console->ports[queue < 2 ? 0 : queue / 2 - 1];
        if (queue == port->receive_queue)
            console_receive(port);
        else
            console_transmit(port);
    }
}

/* Emergency write (5.3.4): a byte for the console from a guest that has no queues yet. It is lost
 * where it can't be written at once. */
static void write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size)
{
    struct console *console = (struct console *)device;
    int fd = console->ports[0].out.source.fd;
    if (offset == offsetof(struct console_config, emergency_write) && size > 0 && fd >= 0 &&
        write(fd, bytes, 1) < 0)
        return;
}

/* Buffers may be there before the driver is ready. */
static int activate(struct virtio_device *device, struct error *err)
{
    (void)err;
    for (unsigned i = 0; i < device->queue_count; i++)
        virtio_device_notify(device, i);
    return 0;
}

static void reset(struct virtio_device *device)
{
    struct console *console = (struct console *)device;
    for (unsigned i = 0; i < console->port_count; i++) {
        struct port *port = &console->ports[i];
        port->is_sending = false;
        port->open_in_guest = false;
        port->known_to_guest = false;
        port->pending = 0;
        watch(port, &port->in, 0);
        watch(port, &port->out, 0);
    }
}

static void release(struct virtio_device *device)
{
    struct console *console = (struct console *)device;
    for (unsigned i = 0; i < console->port_count; i++) {
        hang_up(&console->ports[i], &console->ports[i].in);
        hang_up(&console->ports[i], &console->ports[i].out);
    }
    free(console);
}

static const struct virtio_operations operations = {.type = VIRTIO_CONSOLE,
                                                    .name = "console",
                                                    .write_config = write_config,
                                                    .activate = activate,
                                                    .reset = reset,
                                                    .notified = notified,
                                                    .release = release};

struct virtio_device *virtio_console_create(const char *id, const struct virtio_console_port *ports,
                                            unsigned count, bool multiport)
{
    struct console *console = memory_allocate(1, sizeof *console);
    struct virtio_device *device = &console->device;
    multiport = multiport || count > 1;
    *device = (struct virtio_device){.operations = &operations,
                                     .id = id,
                                     .features = CONSOLE_SIZE | CONSOLE_EMERGENCY_WRITE |
                                                 (multiport ? CONSOLE_MULTIPORT : 0),
                                     .queue_count = multiport ? 2 + 2 * count : 2,
                                     .config = &console->config,
                                     .config_size = sizeof console->config};
    console->config.ports_max = htole32(count);
    console->port_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct port *port = &console->ports[i];
        port->console = console;
        port->receive_queue = i == 0 ? 0 : 2 + 2 * i;
        port->transmit_queue = port->receive_queue + 1;
        port->is_console = ports[i].is_console;
        snprintf(port->name, sizeof port->name, "%s", ports[i].name ? ports[i].name : "");
        connect_port(port, ports[i].in, ports[i].out);
    }
    return device;
}

int virtio_console_open_private(int fd, int flags)
{
    char path[40];
    struct stat status;
    int opened;
    if (fstat(fd, &status) < 0)
        return -1;
    if (S_ISSOCK(status.st_mode)) {
        opened = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (opened >= 0)
            fcntl(opened, F_SETFL, fcntl(opened, F_GETFL) | O_NONBLOCK);
        return opened;
    }
    if (S_ISREG(status.st_mode))
        return fcntl(fd, F_DUPFD_CLOEXEC, 3); /* keeps its position, O_APPEND, and never blocks */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}
