/* The control socket and who is connected to it.
 *
 * Output goes to attached clients through their sockets' buffers; when one is full, its client is
 * "behind". While a client is behind, the owner reads no more output of the container, so that no
 * byte is lost and no memory needed; a client that isn't lossless and takes nothing for 10 s is
 * dropped. At the container's end what its pipes still hold is read whatever the clients do, and
 * queued here: that is bounded by the pipes' size. */
#ifndef HULL_MONITOR_CLIENTS_H
#define HULL_MONITOR_CLIENTS_H

#include "base/loop.h"
#include "monitor/monitor.h"

struct chunk;
struct clients;

struct client {
    struct loop_source source;
    struct client *next;
    struct clients *clients;
    int flags;     /* MONITOR_ATTACH_…; 0: not attached, or no longer */
    int streams;   /* which of stdout and stderr it gets, also of what is queued at the end */
    bool attached; /* now or once */
    bool lossless;
    uint32_t request;     /* the one that is still to be answered, or 0 */
    bool waits_next;      /* REQUEST_WAIT: for the next exit already */
    struct chunk *behind; /* the first that it hasn't got, or NULL */
    struct chunk *last;   /* of its container's run, once that has ended */
    bool owed_exit;       /* EXITED comes after those */
    int exit_code;
    int64_t behind_since;
};

struct clients {
    /* Filled by the owner. */
    struct loop *loop;
    /* A checked packet: true, or false to end the connection. The owner answers, now or later. */
    bool (*requested)(struct clients *clients, struct client *client,
                      const struct monitor_packet *packet);
    void (*caught_up)(struct clients *clients);  /* no attached client is behind (any more) */
    void (*input_lost)(struct clients *clients); /* a client with input has gone, or ended it */
    bool (*takes_input)(const struct clients *clients);

    struct loop_source listener;
    struct client *first;
    size_t count;
    struct chunk *chunks, **chunks_end;
    struct loop_timer stall;
};

/* Listens on the socket `control` in the working directory. */
int clients_open(struct clients *clients, struct error *err);
/* Nobody else can connect; the socket is removed. */
void clients_stop_listening(struct clients *clients);
/* Ends the connections of all who are owed nothing. */
void clients_close_idle(struct clients *clients);
void clients_close(struct clients *clients);

/* Passes output on to who is attached to the stream (1, 2). */
void clients_send_output(struct clients *clients, int stream, const char *bytes, size_t count);
/* Is an attached client behind? */
bool clients_are_behind(const struct clients *clients);
/* Does anybody still have to get something? */
bool clients_are_owed(const struct clients *clients);

/* Answers a request: OK where err is NULL. */
void client_answer(struct client *client, const struct error *err, int exit_code);
/* Answers all whose request of this type is still open. */
void clients_answer(struct clients *clients, uint32_t request, const struct error *err,
                    int exit_code);
/* The container has ended: tells who is attached, and who waits for this (final: for the last
 * end, too). */
void clients_tell_exit(struct clients *clients, int exit_code, bool final);

/* There is room for input again, or none any more: reads from the clients that have some, or not.
 */
void clients_watch_input(struct clients *clients);

#endif
