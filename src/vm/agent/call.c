/* Requests with one reply. */
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "vm/agent/dial.h"

struct agent_call {
    struct dial dial;
    const char *request;
    json_t *document;
    agent_replied *replied;
    void *context;
};

void agent_call_cancel(struct agent_call *call)
{
    dial_close(&call->dial);
    json_decref(call->document);
    free(call);
}

static void finish(struct agent_call *call, json_t *reply, const struct error *err)
{
    agent_replied *replied = call->replied;
    void *context = call->context;
    struct error copy = *err;
    agent_call_cancel(call);
    replied(context, reply, &copy);
    json_decref(reply);
}

static void connected(struct dial *dial)
{
    struct agent_call *call = loop_owner(dial, struct agent_call, dial);
    struct error err = {0};
    if (dial_request(&dial->frames, call->request, call->document, &err) < 0)
        finish(call, NULL, &err);
}

static void received(struct dial *dial, unsigned int type, char *bytes, size_t length)
{
    struct agent_call *call = loop_owner(dial, struct agent_call, dial);
    struct error err = {0};
    json_t *reply = NULL;
    if (type == AGENT_REPLY)
        reply = dial_parse_reply(bytes, length, &err);
    else if (type == AGENT_ERROR)
        dial_parse_error(bytes, length, &err);
    else
        error_set(&err, EPROTO, "the guest's agent sent what wasn't asked for");
    finish(call, reply, &err);
}

static void failed(struct dial *dial, const struct error *err)
{
    finish(loop_owner(dial, struct agent_call, dial), NULL, err);
}

struct agent_call *agent_call_start(struct loop *loop, const struct agent_address *address,
                                    const char *request, json_t *document, int64_t timeout,
                                    agent_replied *replied, void *context)
{
    struct agent_call *call = memory_allocate(1, sizeof *call);
    *call = (struct agent_call){
        .dial = {.connected = connected, .received = received, .failed = failed},
        .request = request,
        .document = document,
        .replied = replied,
        .context = context};
    dial_open(&call->dial, loop, address, timeout);
    return call;
}

/* ---- waiting ---- */

struct waiting {
    struct loop loop;
    json_t *reply;
    struct error *err;
};

static void take_reply(void *context, json_t *reply, const struct error *err)
{
    struct waiting *waiting = context;
    waiting->reply = json_incref(reply);
    if (!reply && waiting->err)
        *waiting->err = *err;
    waiting->loop.done = true;
}

json_t *agent_call(const struct agent_address *address, const char *request, json_t *document,
                   int64_t timeout, struct error *err)
{
    struct waiting waiting = {.err = err};
    if (loop_open(&waiting.loop, err) < 0) {
        json_decref(document);
        return NULL;
    }
    agent_call_start(&waiting.loop, address, request, document, timeout, take_reply, &waiting);
    loop_run(&waiting.loop);
    loop_close(&waiting.loop);
    return waiting.reply;
}
