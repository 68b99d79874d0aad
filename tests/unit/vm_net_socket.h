/* A network device's back end for tests: one end of a pair of sockets of packets (SOCK_SEQPACKET),
 * of which each is a header and a frame. */
#ifndef HULL_TESTS_VM_NET_SOCKET_H
#define HULL_TESTS_VM_NET_SOCKET_H

#include "vm/device/net_backend.h"

/* fd is the back end's then. */
struct net_backend *net_socket_open(int fd);

#endif
