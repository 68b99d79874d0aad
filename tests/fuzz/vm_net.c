/* vm/device/virtio_net and metadata_wire: whatever buffers, packets and commands a guest makes, and
 * whatever the network sends. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/device/metadata_wire.h"
#include "vm/device/net.h"
#include "vm_guest.h"
#include "vm_net_socket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int network;

static char *answer(void *context, const char *request, size_t size, size_t *taken,
                    size_t *response_size, bool *close)
{
    const char *end = memchr(request, '\n', size);
    (void)context;
    if (!end)
        return NULL;
    *taken = (size_t)(end - request) + 1;
    *response_size = (size_t)(end - request) * 100;
    *close = request[0] == 'c';
    return memory_allocate(1, *response_size + 1);
}

/* A frame for the metadata service: TCP whose numbers are near to what fits. */
static void ask_service(struct guest *guest)
{
    static const uint8_t address[4] = {169, 254, 169, 254};
    uint8_t packet[NET_HEADER_SIZE + 54 + 256] = {[NET_HEADER_SIZE + 12] = 8}, *ip, *tcp;
    uint32_t what = guest_take(guest, 1), count = guest_take(guest, 1), sequence, length;
    ip = packet + NET_HEADER_SIZE + 14;
    tcp = ip + 20;
    length = 40 + count;
    ip[0] = 0x45, ip[2] = (uint8_t)(length >> 8), ip[3] = (uint8_t)length, ip[9] = 6;
    memcpy(ip + 16, address, 4);
    tcp[1] = (uint8_t)(what & 3), tcp[3] = 80, tcp[12] = 0x50, tcp[13] = (uint8_t)(what >> 2);
    sequence = htonl(guest_take(guest, 1));
    memcpy(tcp + 4, &sequence, 4);
    memcpy(tcp + 8, guest_memory_at(&guest->memory, GUEST_BUFFERS, 4), 4);
    tcp[14] = (uint8_t)guest_take(guest, 1);
    for (uint32_t i = 0; i < count; i++)
        tcp[20 + i] = (uint8_t)guest_take(guest, 1);

    uint8_t *ring = guest_memory_at(&guest->memory, GUEST_RINGS + NET_TX * 0x1000u, 0x1000);
    uint16_t *available = (uint16_t *)(void *)(ring + 0x200);
    uint64_t at = GUEST_BUFFERS + 0x20000;
    uint32_t size = NET_HEADER_SIZE + 14 + length;
    memcpy(guest_memory_at(&guest->memory, at, size), packet, size);
    memset(ring, 0, 16);
    memcpy(ring, &at, 8);
    memcpy(ring + 8, &size, 4);
    available[2 + guest->added[NET_TX] % GUEST_QUEUE_SIZE] = 0;
    available[1] = ++guest->added[NET_TX];
    virtio_device_notify(guest->device, NET_TX);
}

/* What the service sends has the number that the guest acknowledges next. */
static void give_buffer(struct guest *guest)
{
    uint8_t *ring = guest_memory_at(&guest->memory, GUEST_RINGS + NET_RX * 0x1000u, 0x1000);
    uint16_t *available = (uint16_t *)(void *)(ring + 0x200);
    uint64_t address = GUEST_BUFFERS + 0x40000;
    uint32_t size = NET_HEADER_SIZE + guest_take(guest, 2), number;
    uint16_t flags = 2;
    memcpy(ring, &address, 8);
    memcpy(ring + 8, &size, 4);
    memcpy(ring + 12, &flags, 2);
    available[2 + guest->added[NET_RX] % GUEST_QUEUE_SIZE] = 0;
    available[1] = ++guest->added[NET_RX];
    virtio_device_notify(guest->device, NET_RX);
    guest_turn(guest);
    memcpy(&number, guest_memory_at(&guest->memory, address + NET_HEADER_SIZE + 38, 4), 4);
    number = htonl(ntohl(number) + guest_take(guest, 1));
    guest_memory_write(&guest->memory, GUEST_BUFFERS, &number, 4);
}

static void happen(struct guest *guest, void *context)
{
    static uint8_t packet[NET_PACKET_MAX];
    uint32_t what = guest_take(guest, 1), size = guest_take(guest, 2);
    (void)context;
    switch (what & 7) {
    case 0:
    case 1:
        send(network, packet, size < sizeof packet ? size + 1 : sizeof packet,
             MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 2:
        while (recv(network, packet, sizeof packet, MSG_DONTWAIT) > 0)
            ;
        break;
    case 3:
        virtio_net_set_link(guest->device, size & 1);
        break;
    case 4:
    case 5:
        ask_service(guest);
        break;
    default:
        give_buffer(guest);
    }
    guest_turn(guest);
}

static void check(const struct net *net)
{
    uint64_t room = 0, parts = 0;
    for (unsigned i = 0; i < net->buffer_count; i++) {
        room += net->buffers[i].size;
        parts += net->buffers[i].parts;
    }
    if (room != net->room || parts != net->part_count || parts > NET_WINDOW_PARTS ||
        net->held > NET_PACKET_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest guest;
    const struct metadata_answerer answerer = {.answer = answer};
    const struct virtio_net_settings settings = {
        .has_mac = true,
        .mtu = 1500,
        .metadata = metadata_wire_create((struct in_addr){htonl(0xa9fea9fe)}, &answerer)};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    network = fds[1];
    struct virtio_device *device =
        virtio_net_create("eth0", net_socket_open(fds[0]), &settings, &guest.loop);
    guest_open(&guest, device, false, data, size);
    while (guest_step(&guest, happen, NULL))
        check((const struct net *)device);
    guest_close(&guest);
    close(network);
    return 0;
}
