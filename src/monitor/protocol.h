/* Packets on the control socket, for both ends. */
#ifndef HULL_MONITOR_PROTOCOL_H
#define HULL_MONITOR_PROTOCOL_H

#include "monitor/monitor.h"

/* Is a packet of `size` received bytes one that a client may send? Sets packet->length, ends the
 * data with a NUL. Looks at nothing beyond the size. */
int protocol_check_request(struct monitor_packet *packet, size_t size);

/* Receives one packet; its length is set and its data ended with a NUL. The number of bytes, 0 at
 * the end, -1 with errno (EPROTO: shorter than a header, or longer than possible). flags: of
 * recv(2). */
ssize_t protocol_receive(int fd, struct monitor_packet *packet, int flags);

/* Sends one packet in one piece, or -1 with errno. */
int protocol_send(int fd, const struct monitor_packet_header *header, const void *data,
                  size_t length, int flags);

#endif
