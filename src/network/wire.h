/* Wires of a virtual machine: its guest has the addresses that a container has on its own
 * interface. In the namespace each interface becomes a port of a bridge whose other port is a tap,
 * the end of the machine's monitor:
 *
 *     network's bridge — veth — eth0 | wire0 | tap0 — guest's eth0
 *
 * The guest has eth0's hardware address and addresses; eth0 in the namespace has another and none.
 * The first bridge has NETWORK_MACHINE_RESOLVER, where hull-dns listens for this guest. */
#ifndef HULL_NETWORK_WIRE_H
#define HULL_NETWORK_WIRE_H

#include <stdbool.h>
#include <sys/types.h>

#include "network/network_internal.h"

/* Whether the container is a virtual machine; *owner, unless NULL: whose the taps are. */
bool wire_is_wanted(const struct container_record *container, uid_t *owner);
/* The hardware address of the interface in the namespace, for the guest's. */
void wire_change_mac(uint8_t mac[LINK_MAC_SIZE]);
/* Inside of the namespace: makes bridge and tap for the endpoint's interface, which is there. */
int wire_make(const struct network_endpoint *endpoint, uid_t owner, struct error *err);

#endif
