/* Sockets on which a client waits for a descriptor: its console's (--console-socket) or the
 * process's (--pidfd-socket). */
#ifndef HULL_CONTAINER_CLIENT_SOCKET_H
#define HULL_CONTAINER_CLIENT_SOCKET_H

#include <sys/types.h>

#include "base/error.h"

/* Connects: before anything is made, since the socket may not be there. what: for the error. */
int client_socket_connect(const char *what, const char *path, struct error *err);

/* Sends a descriptor, with a name for it. */
int client_socket_send(int connection, int descriptor, const char *name, struct error *err);

/* Sends a pidfd of pid to the socket at path; nothing if path is NULL. */
int client_socket_send_process(const char *path, pid_t pid, struct error *err);

#endif
