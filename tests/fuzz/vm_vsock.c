/* vm/device/virtio_vsock: whatever packets and buffers a guest makes, and whenever the host's
 * programs connect, write, read and close: what a connection holds is bounded. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vm/device/vsock.h"
#include "vm_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CID 3
#define PORTS 4
#define PROGRAMS 8

/* The host's programs: connections of theirs, of which some are -1. */
struct host {
    char path[64];
    int listener; /* for the guest's port 1 */
    int fds[PROGRAMS];
};

static int open_socket(const char *path, bool listens)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        abort();
    if (listens &&
        (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0))
        abort();
    if (!listens && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static struct host host;

/* Leaves nothing behind. */
static void remove_host(void)
{
    char path[80];
    snprintf(path, sizeof path, "%s_1", host.path);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static void open_host(void)
{
    char directory[] = "/tmp/fuzz-vsock-XXXXXX", path[80];
    if (!mkdtemp(directory))
        abort();
    snprintf(host.path, sizeof host.path, "%s/v", directory);
    snprintf(path, sizeof path, "%s_1", host.path);
    host.listener = open_socket(path, true);
    for (unsigned i = 0; i < PROGRAMS; i++)
        host.fds[i] = -1;
    atexit(remove_host);
}

static void close_programs(void)
{
    int fd;
    for (unsigned i = 0; i < PROGRAMS; i++) {
        if (host.fds[i] >= 0)
            close(host.fds[i]);
        host.fds[i] = -1;
    }
    while ((fd = accept(host.listener, NULL, NULL)) >= 0)
        close(fd);
}

/* A packet that looks like one. */
static void send_packet(struct guest *guest)
{
    uint32_t what = guest_take(guest, 1), length = guest_take(guest, 2);
    struct vsock_header header = {.source_cid = CID,
                                  .destination_cid = VSOCK_CID_HOST,
                                  .source_port = 1024 + what % PORTS,
                                  .destination_port =
                                      what & 0x40 ? 1 : (1u << 30) + (what >> 2) % PORTS,
                                  .length = length,
                                  .type = VSOCK_TYPE_STREAM,
                                  .operation = (uint16_t)(guest_take(guest, 1) % 9),
                                  .flags = guest_take(guest, 1) % 5,
                                  .allocated = guest_take(guest, 3),
                                  .forwarded = guest_take(guest, 2)};
    uint8_t *ring = guest_memory_at(&guest->memory, GUEST_RINGS + VSOCK_TX * 0x1000u, 0x1000);
    uint16_t *available = (uint16_t *)(void *)(ring + 0x200);
    uint64_t address = GUEST_BUFFERS + 0x20000;
    uint32_t size = (uint32_t)sizeof header + (what & 0x80 ? length / 2 : length);
    memcpy(guest_memory_at(&guest->memory, address, sizeof header), &header, sizeof header);
    memset(ring, 0, 16);
    memcpy(ring, &address, 8);
    memcpy(ring + 8, &size, 4);
    available[2 + guest->added[VSOCK_TX] % GUEST_QUEUE_SIZE] = 0;
    available[1] = ++guest->added[VSOCK_TX];
    virtio_device_notify(guest->device, VSOCK_TX);
    guest_turn(guest);
}

static void give_buffer(struct guest *guest)
{
    uint8_t *ring = guest_memory_at(&guest->memory, GUEST_RINGS + VSOCK_RX * 0x1000u, 0x1000);
    uint16_t *available = (uint16_t *)(void *)(ring + 0x200);
    uint64_t address = GUEST_BUFFERS + 0x40000;
    uint32_t size = 50 + guest_take(guest, 2);
    uint16_t flags = 2;
    memcpy(ring, &address, 8);
    memcpy(ring + 8, &size, 4);
    memcpy(ring + 12, &flags, 2);
    available[2 + guest->added[VSOCK_RX] % GUEST_QUEUE_SIZE] = 0;
    available[1] = ++guest->added[VSOCK_RX];
    virtio_device_notify(guest->device, VSOCK_RX);
    guest_turn(guest);
}

static void happen(struct guest *guest, void *context)
{
    static char bytes[65536];
    (void)context;
    uint32_t what = guest_take(guest, 1);
    int *fd = &host.fds[(what >> 3) % PROGRAMS];
    size_t length;
    switch (what & 7) {
    case 0:
        send_packet(guest);
        break;
    case 1:
        give_buffer(guest);
        break;
    case 2:
        if (*fd < 0)
            *fd = what & 0x80 ? accept4(host.listener, NULL, NULL, SOCK_NONBLOCK)
                              : open_socket(host.path, false);
        break;
    case 3:
        snprintf(bytes, sizeof bytes, "CONNECT %u\n", 1024 + guest_take(guest, 1) % PORTS);
        send(*fd, bytes, strlen(bytes), MSG_NOSIGNAL);
        memset(bytes, 0, 64);
        break;
    case 4:
        length = guest_take(guest, 2);
        send(*fd, bytes, length, MSG_NOSIGNAL);
        break;
    case 5:
        recv(*fd, bytes, sizeof bytes, 0);
        memset(bytes, 0, sizeof bytes);
        break;
    case 6:
        shutdown(*fd, what & 0x80 ? SHUT_WR : SHUT_RD);
        break;
    case 7:
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        if (what & 0x80)
            virtio_vsock_transport_reset(guest->device);
    }
    guest_turn(guest);
}

static void check(const struct vsock *vsock)
{
    unsigned in_line = 0, limit = vsock->count;
    for (unsigned i = 0; i < vsock->count; i++) {
        const struct vsock_connection *connection = vsock->connections[i];
        if (connection->slot != i || connection->ring_used > VSOCK_BUFFER_SIZE ||
            (connection->ring_used > 0 && !connection->ring) ||
            (connection->pending && !connection->in_line))
            abort();
        in_line += connection->in_line;
    }
    for (const struct vsock_connection *at = vsock->line_first; at; at = at->next_in_line) {
        if (limit-- == 0 || !at->in_line)
            abort();
        in_line--;
    }
    if (in_line != 0 || vsock->reset_count > VSOCK_RESETS_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest guest;
    if (!host.path[0])
        open_host();
    struct virtio_device *device = virtio_vsock_create("vsock", CID, host.path, NULL);
    if (!device)
        abort();
    guest_open(&guest, device, false, data, size);
    while (guest_step(&guest, happen, NULL))
        check((const struct vsock *)device);
    guest_close(&guest);
    close_programs();
    return 0;
}
