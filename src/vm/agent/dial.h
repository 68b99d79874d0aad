/* A connection to the agent, made in a loop: retried until the guest listens, or a deadline. */
#ifndef HULL_VM_AGENT_DIAL_H
#define HULL_VM_AGENT_DIAL_H

#include <jansson.h>

#include "vm/agent/agent.h"
#include "vm/agent/frames.h"

struct dial {
    struct loop *loop;
    char *socket;
    uint32_t port;
    bool is_connected;
    int64_t pause; /* ms until the next try */
    int64_t timeout;
    struct error last; /* why the last try failed */
    struct loop_timer retry, deadline;
    struct frames frames;

    /* The guest has answered: send the request. */
    void (*connected)(struct dial *dial);
    /* As struct frames has it. */
    void (*received)(struct dial *dial, unsigned int type, char *bytes, size_t length);
    /* It couldn't be connected, or the connection has ended, or the deadline is over. The callback
     * closes. */
    void (*failed)(struct dial *dial, const struct error *err);
};

/* Begins; the callbacks are set before. timeout in ms; it runs until dial_settle(). */
void dial_open(struct dial *dial, struct loop *loop, const struct agent_address *address,
               int64_t timeout);
/* There is no deadline any more. */
void dial_settle(struct dial *dial);
void dial_close(struct dial *dial);

/* A non-blocking connection to the machine monitor's socket, or -1 with errno. */
int dial_connect(const char *path, int flags);

/* Sends {"version", "request": name} with the members of document, which may be NULL. -1 if it is
 * too long. */
int dial_request(struct frames *frames, const char *name, json_t *document, struct error *err);
char *dial_request_text(const char *name, json_t *document, struct error *err);

/* What the guest says in AGENT_REPLY: an object, or NULL with err. */
json_t *dial_parse_reply(const char *bytes, size_t length, struct error *err);
/* What it says in AGENT_ERROR, fit to be shown: it may be anything. Returns -1. */
int dial_parse_error(const char *bytes, size_t length, struct error *err);

#endif
