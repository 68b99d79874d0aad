/* The API over HTTP on a Unix socket, in a thread of its own. The thread only reads requests and
 * writes answers: each request is handed over to the loop's thread, where control_answer() runs. */
#ifndef HULL_VM_CONTROL_HTTP_H
#define HULL_VM_CONTROL_HTTP_H

#include <stddef.h>

#include "base/error.h"
#include "vm/control/control.h"
#include "vm/control/handover.h"

#define API_SERVER_DEFAULT_LIMIT 51200 /* bytes of a request's body */
#define API_SERVER_CONNECTIONS 16

struct api_server_options {
    const char *socket_path; /* made by api_server_start(), removed by api_server_stop() */
    size_t body_limit;       /* bytes */
    /* Called first in the new thread, to confine it; -1 with the error: the server doesn't start.
     * May be NULL. */
    int (*confine_thread)(void *context, struct error *err);
    void *context;
};

struct api_server;

/* Loads what the server needs from the file system, which a jail may take away before the start;
 * api_server_start() does it too. */
int api_server_prepare(struct error *err);

/* Listens and starts the thread. The handover is the loop's, open until after the stop. */
int api_server_start(struct api_server **server, struct control *control, struct handover *handover,
                     const struct api_server_options *options, struct error *err);

/* On the loop's thread, while the loop is still open, and not from within a request: refuses what
 * waits (handover_close()), ends the thread, removes the socket. */
void api_server_stop(struct api_server *server);

#endif
