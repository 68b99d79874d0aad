/* The control queue (5.1.6.5). */
#include <endian.h>
#include <string.h>

#include "vm/device/net.h"

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_GUEST_OFFLOADS = 5 };
enum { MAC_TABLE_SET = 0, MAC_ADDRESS_SET = 1 };
enum { OFFLOADS_SET = 0 };
#define RX_COMMANDS 6       /* promiscuous … no broadcast: each with an octet, on or off */
#define RX_COMMANDS_PLAIN 2 /* of them without NET_CONTROL_RX_EXTRA */
#define COMMANDS_AT_A_TIME 32

/* The command's data: exactly size bytes. */
static bool read_data(const struct net *net, void *bytes, uint64_t size)
{
    return net->chain.readable_size == 2 + size &&
           virtqueue_copy_from(net->chain.readable, net->chain.readable_count, 2, bytes, size) ==
               size;
}

/* The receive mode is taken note of by doing nothing: what the network has for the guest comes in
 * any case, and the driver's own filter is as good. */
static bool set_mode(const struct net *net, uint8_t command)
{
    uint8_t on;
    unsigned known =
        virtio_device_has(&net->device, NET_CONTROL_RX_EXTRA) ? RX_COMMANDS : RX_COMMANDS_PLAIN;
    return virtio_device_has(&net->device, NET_CONTROL_RX) && command < known &&
           read_data(net, &on, sizeof on) && on <= 1;
}

/* Two tables of addresses, each a number of 32 bits and so many addresses. */
static bool set_table(const struct net *net)
{
    uint64_t offset = 2;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t entries;
        if (virtqueue_copy_from(net->chain.readable, net->chain.readable_count, offset, &entries,
                                sizeof entries) < sizeof entries)
            return false;
        offset += sizeof entries + 6ull * le32toh(entries);
    }
    return offset == net->chain.readable_size;
}

static bool set_address(struct net *net)
{
    uint8_t mac[6];
    if (!virtio_device_has(&net->device, NET_CONTROL_MAC) || !read_data(net, mac, sizeof mac) ||
        (mac[0] & 1)) /* nobody is called by a group's address */
        return false;
    memcpy(net->config.mac, mac, sizeof mac);
    return true;
}

static bool set_offloads(struct net *net)
{
    uint64_t offloads;
    struct error err = {0};
    if (!virtio_device_has(&net->device, NET_CONTROL_GUEST_OFFLOADS) ||
        !read_data(net, &offloads, sizeof offloads))
        return false;
    offloads = le64toh(offloads);
    if (offloads & ~(net->device.driver_features & NET_GUEST_OFFLOADS))
        return false;
    if (net->backend->operations->set_offloads &&
        net->backend->operations->set_offloads(net->backend, offloads, &err) < 0)
        return false;
    net->offloads = offloads;
    return true;
}

static bool execute(struct net *net)
{
    uint8_t class_and_command[2];
    if (virtqueue_copy_from(net->chain.readable, net->chain.readable_count, 0, class_and_command,
                            2) < 2)
        return false;
    switch (class_and_command[0]) {
    case CLASS_RX:
        return set_mode(net, class_and_command[1]);
    case CLASS_MAC:
        if (class_and_command[1] == MAC_ADDRESS_SET)
            return set_address(net);
        return class_and_command[1] == MAC_TABLE_SET &&
               virtio_device_has(&net->device, NET_CONTROL_RX) && set_table(net);
    case CLASS_GUEST_OFFLOADS:
        return class_and_command[1] == OFFLOADS_SET && set_offloads(net);
    default:
        return false;
    }
}

void net_control(struct net *net)
{
    struct virtqueue *queue = &net->device.queues[NET_CONTROLS];
    unsigned budget = COMMANDS_AT_A_TIME;
    int status = 0;
    do {
        while (budget > 0 && (status = virtqueue_pop(queue, &net->chain)) > 0) {
            if (net->chain.writable_size < 1) { /* nowhere to answer */
                status = -1;
                break;
            }
            uint8_t failed = !execute(net);
            net->metrics.control_failures += failed;
            virtqueue_copy_to(net->chain.writable, net->chain.writable_count, 0, &failed, 1);
            virtqueue_push(queue, net->chain.head, 1);
            budget--;
        }
    } while (status == 0 && budget-- > 0 && virtqueue_want_notifications(queue, true));
    virtio_device_interrupt(&net->device, NET_CONTROLS);
    if (status < 0)
        virtio_device_break(&net->device, "put a malformed command into the control queue");
    else if (status > 0)
        virtio_device_notify(&net->device, NET_CONTROLS);
}
