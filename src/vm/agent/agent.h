/* The host's side of the agent in a guest (guest/init; the wire format and what a guest is told at
 * boot: docs/agent.md).
 *
 * A guest is reached through a Unix socket with Firecracker's convention: connect, write
 * "CONNECT 1024\n", read "OK number\n". Each request, process and file transfer has a connection
 * of its own, so none waits for another, and a slow reader of one process's output holds up that
 * process alone.
 *
 * A guest is hostile: nothing it sends is believed, no request takes more memory than a few
 * windows and one document of a MiB, and each has a deadline. */
#ifndef HULL_VM_AGENT_AGENT_H
#define HULL_VM_AGENT_AGENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "vm/agent/wire.h"

struct agent_address {
    const char *socket; /* path of the Unix socket */
    uint32_t port;      /* of the guest: AGENT_PORT */
};

/* ---- requests ---- */

/* "hello", "boot", "signal", "resize", "stats", "stat", "processes", "clock", "shutdown": what each
 * takes and gives is in docs/agent.md. */

struct agent_call;

/* The reply is the callee's for the call only; NULL with err where it failed. The call is gone
 * afterwards. */
typedef void agent_replied(void *context, json_t *reply, const struct error *err);

/* Asks the guest, trying to connect until it listens: the timeout (ms) is for all of it. Takes
 * the document, an object, or NULL. */
struct agent_call *agent_call_start(struct loop *loop, const struct agent_address *address,
                                    const char *request, json_t *document, int64_t timeout,
                                    agent_replied *replied, void *context);
/* Forgets it; replied isn't called. */
void agent_call_cancel(struct agent_call *call);

/* The same, waiting here: the reply (json_decref it), or NULL with err. */
json_t *agent_call(const struct agent_address *address, const char *request, json_t *document,
                   int64_t timeout, struct error *err);

/* ---- processes ---- */

struct agent_process;

/* What happens to a process. Any may call the functions below; after ended() the process is gone.
 */
struct agent_process_events {
    /* It runs, or is attached to again. pid is the one it has in the guest's own namespace. */
    void (*started)(void *context, pid_t pid);
    /* Bytes of AGENT_STREAM_STDOUT or _STDERR: at most AGENT_WINDOW_SIZE come before
     * agent_process_consumed() says that they are done with. length 0: the stream's end. */
    void (*output)(void *context, enum agent_stream_number stream, const char *bytes,
                   size_t length);
    /* Input is taken again. */
    void (*drained)(void *context);
    /* It has ended: status as shells have it, signal what killed it or 0. Or, with err, it couldn't
     * be started, err->code as execve(2) has it (ENOENT, EACCES …). Or the connection is lost
     * (is_lost): the process goes on, and can be attached to again. */
    void (*ended)(void *context, int status, int signal, const struct error *err, bool is_lost);
};

/* How far somebody has got with a process that is attached to again. */
struct agent_process_progress {
    uint64_t output, errors; /* bytes consumed of its standard output and error */
};

/* Starts the guest's container: the process of its configuration, called "main". */
struct agent_process *agent_process_start(struct loop *loop, const struct agent_address *address,
                                          int64_t timeout,
                                          const struct agent_process_events *events, void *context);
/* Starts another process in the container. id: a name of the caller's, unique in the guest.
 * process: an object `process` of the OCI runtime specification, whose user may be a "username"
 * ("name", "name:group" or numbers), to be looked up inside; taken. (One that nobody attends to is
 * started by agent_call() "exec" with "detach".) */
struct agent_process *agent_process_exec(struct loop *loop, const struct agent_address *address,
                                         const char *id, json_t *process, int64_t timeout,
                                         const struct agent_process_events *events, void *context);
/* Goes on with a process whose connection was lost. */
struct agent_process *
agent_process_attach(struct loop *loop, const struct agent_address *address, const char *id,
                     const struct agent_process_progress *progress, int64_t timeout,
                     const struct agent_process_events *events, void *context);

/* How many bytes of input it takes now; when there is none, drained() tells of more. */
size_t agent_process_room(const struct agent_process *process);
/* Takes as much of the input as there is room for: how many bytes. */
size_t agent_process_write(struct agent_process *process, const void *bytes, size_t length);
void agent_process_close_input(struct agent_process *process);
void agent_process_consumed(struct agent_process *process, enum agent_stream_number stream,
                            size_t bytes);
void agent_process_resize(struct agent_process *process, uint16_t rows, uint16_t columns);
void agent_process_signal(struct agent_process *process, int number);
/* Lets go of it; it goes on in the guest. ended() isn't called. */
void agent_process_release(struct agent_process *process);

/* ---- files ---- */

/* Writes a tar archive of what path (in the container) leads to into fd; waits here. *status is
 * what "stat" replies about it, which the caller gives back, and may be NULL. No progress for
 * `timeout` ms is an error. */
int agent_copy_out(const struct agent_address *address, const char *path, int fd, json_t **status,
                   int64_t timeout, struct error *err);
/* Extracts the tar archive that fd has in the directory at path. options: "owner" {uid, gid} for
 * all that is extracted; or NULL. Taken. A directory is never replaced by a file, nor the reverse.
 */
int agent_copy_in(const struct agent_address *address, const char *path, json_t *options, int fd,
                  int64_t timeout, struct error *err);

#endif
